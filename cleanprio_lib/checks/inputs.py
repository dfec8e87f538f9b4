"""Inputs that several checks share: small nets, labels, logits, gradients; each made from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from cleanprio_lib.checks.values import Inputs, Net

Make: TypeAlias = Callable[[int], tuple[Inputs, ...]]


def net_and_inputs(
    seed: int,
    *,
    samples: int,
    num_inputs: int = 3,
    width: int = 16,
    depth: int = 2,
    parametrization: str = "ntk",
    size: float = 1.0,
) -> Inputs:
    """A small net with one output and normal inputs of a size for it, both float64."""
    options: dict[str, int | str] = {
        "num_inputs": num_inputs,
        "width": width,
        "depth": depth,
        "parametrization": parametrization,
    }
    x = size * np.random.default_rng([seed, samples]).standard_normal((samples, num_inputs))
    return {"net": Net("fully_connected", options, seed=seed, dtype="float64"), "x": torch.from_numpy(x)}


def labels_of(sizes: Sequence[int], seed: int) -> NDArray[np.int64]:
    """Labels 0, 1, … of classes of these sizes, shuffled."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).permutation(labels)


def logits_and_labels(samples: int, num_classes: int, *, size: float = 1.0, shift: float = 0.0) -> Make:
    """Inputs of one call: normal logits of a size about a shift, and labels."""

    def inputs(seed: int) -> tuple[Inputs, ...]:
        generator = np.random.default_rng([seed, samples, num_classes])
        logits = size * generator.standard_normal((samples, num_classes)) + shift
        labels = generator.integers(num_classes, size=samples)
        return ({"logits": torch.from_numpy(logits), "labels": torch.from_numpy(labels)},)

    return inputs
