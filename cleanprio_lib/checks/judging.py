"""What is wrong with an output, in words: for judges of checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cleanprio_lib.checks.values import Inputs, Net, Value, words, words_of_inputs

Slips: TypeAlias = Mapping[str, Any]
ROUNDING = 1e-4  # of the largest number: what is computed in float32 passes, other formulas do not


def tensor(inputs: Inputs, name: str) -> Tensor:
    """An input that is a tensor or an array, as a tensor."""
    return torch.as_tensor(inputs[name])


def number(inputs: Inputs, name: str) -> float:
    """An input that is a number."""
    value = inputs[name]
    assert isinstance(value, int | float)
    return value


def net_of(inputs: Inputs) -> nn.Module:
    """The network that the function was handed, as it was before the call."""
    net = inputs["net"]
    assert isinstance(net, Net)
    return net.build()


def each(
    judge: Callable[[Inputs, Value], str | None],
) -> Callable[[tuple[Inputs, ...], tuple[Value, ...]], str | None]:
    """A judge of all calls, from one of a single call: the first reason that there is."""

    def of_all(calls: tuple[Inputs, ...], outputs: tuple[Value, ...]) -> str | None:
        reasons = (judge(inputs, output) for inputs, output in zip(calls, outputs, strict=True))
        return next((reason for reason in reasons if reason), None)

    return of_all


def wrong_numbers(
    output: Value,
    wanted: Any,
    inputs: Inputs,
    *,
    what: str = "",
    slips: Slips | None = None,
    margin: float = 0.0,
) -> str | None:
    """What is wrong with numbers; None if they are right, up to rounding.

    Args:
        output: what the student's function returned.
        wanted: the right numbers: of any shape; NaN where NaN is right.
        inputs: of the call, for the words.
        what: names the part of the output that is meant, if it is not all of it.
        slips: words for a mistake that is often made → the numbers it gives. The words follow "is".
        margin: absolute, added to rounding.
    """
    at, part = words_of_inputs(inputs), f"{what} " if what else ""
    problem = unlike_numbers(output)
    if problem:
        return f"for {at}: {part}{problem}"
    found, right = as_array(output), as_array(wanted)
    if found.shape != right.shape and not found.size == right.size == 1:
        return f"for {at}: {part}has shape {found.shape}, and {right.shape} is wanted"
    found = found.reshape(right.shape)
    if _close(found, right, margin):
        return None
    for slip, numbers in (slips or {}).items():
        other = as_array(numbers)
        if other.shape == right.shape and _close(found, other, margin):
            return f"for {at}: {part or 'that '}is {slip}"
    return f"for {at}: {part}{_first_difference(found, right, margin)}"


def wrong_parts(
    output: Value,
    wanted: Mapping[str, Any],
    inputs: Inputs,
    *,
    slips: Mapping[str, Mapping[str, Any]] | None = None,
) -> str | None:
    """What is wrong with a dict of numbers; None if all are right. Each of `slips` has some of the parts."""
    at = words_of_inputs(inputs)
    if not isinstance(output, dict):
        return f"for {at}: returned {words(output)}, and a dict is wanted"
    missing = [name for name in wanted if name not in output]
    if missing:
        return f"for {at}: returned {words(output)}; what is missing is {', '.join(missing)}"
    for name, right in wanted.items():
        own = {slip: parts[name] for slip, parts in (slips or {}).items() if name in parts}
        reason = wrong_numbers(output[name], right, inputs, what=f"`{name}`", slips=own)
        if reason:
            return reason
    return None


def unlike_numbers(output: Value) -> str | None:
    """Why an output is not made of numbers; None if it is."""
    if output is None:
        return "is None: a `return` is missing"
    try:
        as_array(output)
    except (TypeError, ValueError):
        return f"is {words(output)}, and numbers are wanted"
    return None


def as_array(output: Any) -> NDArray[np.float64]:
    """Numbers, an array, a tensor or a list of numbers as a float64 array."""
    if isinstance(output, torch.Tensor):
        output = output.detach().cpu().double().numpy()
    if isinstance(output, list | tuple):
        output = [as_array(item) for item in output]
    if output is None or isinstance(output, str | dict):
        raise TypeError(f"a {type(output).__name__} is not made of numbers")
    return np.asarray(output, dtype=np.float64)


def _allowed(right: NDArray[np.float64], margin: float) -> float:
    sizes = np.abs(right[np.isfinite(right)])
    return margin + ROUNDING * (float(sizes.max()) if sizes.size and sizes.max() > 0 else 1e-8)


def _same_places(found: NDArray[np.float64], right: NDArray[np.float64], margin: float) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        near = np.abs(found - right) <= _allowed(right, margin)
    return near | (found == right) | (np.isnan(found) & np.isnan(right))


def _close(found: NDArray[np.float64], right: NDArray[np.float64], margin: float) -> bool:
    return bool(_same_places(found, right, margin).all())


def _first_difference(found: NDArray[np.float64], right: NDArray[np.float64], margin: float) -> str:
    place = tuple(int(i) for i in np.argwhere(~_same_places(found, right, margin))[0])
    where = f"at [{', '.join(map(str, place))}] " if place else ""
    return f"{where}is {found[place]:.6g}, and {right[place]:.6g} is right"
