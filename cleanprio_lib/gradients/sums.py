"""Sums of many samples' gradients, a matrix (m, S, b, q) for each record, and what is done with them."""

from __future__ import annotations

import torch
from torch import Tensor

from cleanprio_lib.gradients.capture import CapturedNet
from cleanprio_lib.gradients.records import SUMMED

MEMORY = 1024.0
SHORT = 1e-20  # a squared norm from which on entries whose squares float32 does not hold do not matter
Sums = dict[str, Tensor]


def inner_products(sums: Sums, *, dim: int) -> Tensor:
    """(·, k, k) float64 inner products along one of the first two dimensions of (m, S, b, q) sums."""
    grams = []
    for value in sums.values():
        vectors, size = _scaled(value.movedim(dim, 0))
        gram = torch.stack([_gram(own) for own in vectors.flatten(2).unbind(1)])
        grams.append(gram * size[:, :, None] * size[:, None, :])
    return torch.stack(grams).sum(0)


def _gram(vectors: Tensor) -> Tensor:
    """(k, k) float64 inner products of (k, p) vectors."""
    whole = vectors.shape[1] // SUMMED * SUMMED
    parts, rest = vectors[:, :whole].unflatten(1, (-1, SUMMED)).transpose(0, 1), vectors[:, whole:]
    return torch.bmm(parts, parts.mT).sum(0, dtype=torch.float64) + torch.mm(rest, rest.t()).double()


def square_norms(sums: Sums) -> Tensor:
    """(m, S) float64 squared norms of (m, S, b, q) sums."""
    parts = []
    for value in sums.values():
        norms = _dots(value, value)
        if not bool(((norms > SHORT) & (norms < 1 / SHORT)).all()):
            vectors, size = _scaled(value)
            norms = _dots(vectors, vectors) * size.t().square()
        parts.append(norms)
    return torch.stack(parts).sum(0)


def _dots(one: Tensor, other: Tensor) -> Tensor:
    """Float64 inner products of the matrices in two tensors (..., b, q)."""
    return (one * other).sum(-1).sum(-1, dtype=torch.float64)


def _scaled(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """(k, S, b, q) vectors divided by their largest entries, and these (S, k) in float64.

    A short gradient's squares are below what float32 holds.
    """
    largest = vectors.abs().amax((-1, -2))
    largest = torch.where(largest > 0, largest, 1)
    return vectors / largest[..., None, None], largest.double().t()


def angles_of(cosines: Tensor) -> Tensor:
    """Angles in radians of float64 cosines, which rounding may have carried beyond 1."""
    return cosines.clamp(-1, 1).acos()


def logit_blocks(net: CapturedNet, subsets: int, count: int, memory: float) -> list[slice]:
    """Logits whose sums fit into half the memory (MiB) together; at least one at a time."""
    item = torch.finfo(net.dtype).bits // 8
    most = int(memory * 2**19 // (subsets * net.num_parameters * item))
    step = min(count, max(1, most))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
