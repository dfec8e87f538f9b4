"""Sums of many samples' gradients, a matrix (m, S, b, q) for each record, and what is done with them."""

from __future__ import annotations

import torch
from torch import Tensor

from cleanprio_lib.gradients.capture import CapturedNet

MEMORY = 1024.0
Sums = dict[str, Tensor]


def inner_products(sums: Sums, *, dim: int) -> Tensor:
    """(·, k, k) float64 inner products along one of the first two dimensions of (m, S, b, q) sums.

    Each sum is divided by its largest entry first: a short gradient's squares are below what float32 holds.
    """
    grams = []
    for value in sums.values():
        vectors = value.movedim(dim, 0)
        largest = vectors.abs().amax((-1, -2))
        vectors = vectors / torch.where(largest > 0, largest, 1)[..., None, None]
        rows = [(vectors * vector).sum(-1).sum(-1, dtype=torch.float64) for vector in vectors]
        size = largest.double().t()
        grams.append(torch.stack(rows).permute(2, 0, 1) * size[:, :, None] * size[:, None, :])
    return torch.stack(grams).sum(0)


def angles_of(cosines: Tensor) -> Tensor:
    """Angles in radians; an arc cosine's own rounding would show near 0 and pi."""
    cosines = cosines.clamp(-1, 1)
    return 2 * torch.atan2((1 - cosines).sqrt(), (1 + cosines).sqrt())


def logit_blocks(net: CapturedNet, subsets: int, count: int, memory: float) -> list[slice]:
    """Logits whose sums fit into half the memory (MiB) together; at least one at a time."""
    item = torch.finfo(net.dtype).bits // 8
    most = int(memory * 2**19 // (subsets * net.num_parameters * item))
    step = min(count, max(1, most))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
