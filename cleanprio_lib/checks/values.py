"""Plain values, of which inputs and outputs are made: they can be sent, compared and put into words."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, TypeAlias, Union

import numpy as np
import torch
from torch import nn

from cleanprio_lib import models

Value: TypeAlias = Union[
    torch.Tensor,
    np.ndarray,
    int,
    float,
    bool,
    str,
    list["Value"],
    tuple["Value", ...],
    dict[str, "Value"],
    "Net",
    None,
]
Inputs: TypeAlias = dict[str, Value]

LONGEST = 80  # characters of a value in a sentence


@dataclass(frozen=True)
class Net:
    """A small network by its recipe, sent where a module cannot be; functions get a module.

    Attributes:
        builder: name of a function in `cleanprio_lib.models`.
        options: its arguments other than the seed; numbers and strings.
        seed: of the initial weights.
        dtype: "float32" or "float64".
    """

    builder: str
    options: dict[str, int | str]
    seed: int
    dtype: str = "float32"

    def build(self) -> nn.Module:
        """The network, new at every call."""
        return getattr(models, self.builder)(**self.options, seed=self.seed).to(getattr(torch, self.dtype))


def as_value(output: Any) -> Value:
    """What a function returned as a plain value: tensors detached, on the CPU; numpy's scalars as Python's.

    Raises:
        TypeError: it is none, in words that a student can act on.
    """
    if output is None or isinstance(output, bool | int | float | str):
        return output.item() if isinstance(output, np.generic) else output
    if isinstance(output, torch.Tensor):
        return output.detach().cpu()
    if isinstance(output, np.generic | np.ndarray) and output.dtype.kind in "biuf":
        return output.item() if isinstance(output, np.generic) else np.array(output)
    if isinstance(output, dict) and all(isinstance(key, str) for key in output):
        return {key: as_value(item) for key, item in output.items()}
    if isinstance(output, list | tuple):
        items = [as_value(item) for item in output]
        return items if isinstance(output, list) else tuple(items)
    raise TypeError(
        f"returned a {type(output).__name__}; wanted is what is made of numbers, arrays, lists or dicts"
    )


def words(value: Any) -> str:
    """A value in a few words: small ones in full, large ones by shape."""
    text = _words(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _words(value: Any) -> str:
    if isinstance(value, Net):
        return f"a {value.builder} net (seed {value.seed})"
    if isinstance(value, torch.Tensor | np.ndarray):
        array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
        if array.size <= 6:
            return np.array2string(array, precision=4, separator=", ").replace("\n", "")
        kind = "a tensor" if isinstance(value, torch.Tensor) else "an array"
        return f"{kind} of shape {array.shape}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return "a dict with " + (", ".join(list(value)[:10]) or "nothing in it")
    if isinstance(value, list | tuple) and len(value) > 6:
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(words(item) for item in value) + "]"
    if isinstance(value, str):
        return repr(value[:LONGEST])
    return repr(value) if value is None or isinstance(value, bool | int) else f"a {type(value).__name__}"


def words_of_inputs(inputs: Inputs) -> str:
    """`theta = 0.5, depth = 3`."""
    return ", ".join(f"{name} = {words(value)}" for name, value in inputs.items())


def arguments(inputs: Inputs) -> dict[str, Any]:
    """Inputs as a function is called with them: copies, and modules in place of `Net`s."""
    return {
        name: value.build() if isinstance(value, Net) else copy.deepcopy(value)
        for name, value in inputs.items()
    }


def same(one: Any, other: Any) -> bool:
    """Whether two values, modules included, are equal to the last bit; NaN equals NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, nn.Module):
        return same(dict(one.state_dict()), dict(other.state_dict()))
    if isinstance(one, torch.Tensor):
        one, other = one.detach().cpu().numpy(), other.detach().cpu().numpy()
    if isinstance(one, np.ndarray):
        equal_nan = one.dtype.kind == "f"
        return one.shape == other.shape and np.array_equal(one, other, equal_nan=equal_nan)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
