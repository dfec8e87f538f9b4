"""What the loss adds to the gradients of logits: residuals and their signs; which samples a subset holds."""

from __future__ import annotations

import torch
from torch import Tensor


def residuals(logits: Tensor, y: Tensor) -> Tensor:
    r"""(n, C) float64 residuals $f_c - y_c$ of (n, C) logits, with all their digits where $f$ is almost $y$.

    Args:
        logits: (n, C); C = 1 for the logistic loss.
        y: (n,) labels: 0 or 1 for one logit, else in [0, C).

    Source: equation 5 of the paper.
    """
    logits = logits.double()
    if logits.shape[1] == 1:
        sign = (1 - 2 * y.double())[:, None]
        return sign * torch.sigmoid(sign * logits)
    own = y.long()[:, None]
    f = logits.softmax(dim=1)
    others = f.scatter(1, own, 0.0)
    return others.scatter(1, own, -others.sum(dim=1, keepdim=True))


def residual_signs(y: Tensor, count: int) -> Tensor:
    """(n, C) signs of residuals, also of those too small for a number: -1 for the label's logit, else 1."""
    own = y[:, None] == (1 if count == 1 else torch.arange(count, device=y.device))
    return torch.where(own, -1.0, 1.0)


def check_labels(y: Tensor, samples: int, count: int, *, subsets: int | None = None) -> None:
    """Raise a ValueError if labels are not (n,), or (subsets, n), classes of a model with `count` logits."""
    shapes = [(samples,)] if subsets is None else [(samples,), (subsets, samples)]
    if tuple(y.shape) not in shapes:
        raise ValueError(f"y must have shape {' or '.join(map(str, shapes))}, got {tuple(y.shape)}")
    classes = max(count, 2)
    if not bool(((y >= 0) & (y < classes) & (y == y.long())).all()):
        plural = "" if count == 1 else "s"
        found = sorted(set(y.flatten().tolist()))
        raise ValueError(
            f"y must hold classes 0 to {classes - 1} for {count} logit{plural}, got {found[0]} to {found[-1]}"
        )


def subsets_by_logit(masks: Tensor, samples: int, count: int) -> Tensor:
    """(m, n, C) booleans of (n,), (m, n) or (m, n, C) masks.

    Raises:
        ValueError: they have another shape, or are not booleans.
    """
    if masks.dtype != torch.bool:
        raise ValueError(f"mask must be of booleans, got {masks.dtype}")
    wide = masks[None] if masks.ndim == 1 else masks
    wide = wide[..., None].expand(-1, -1, count) if wide.ndim == 2 else wide
    if wide.ndim != 3 or tuple(wide.shape[1:]) != (samples, count):
        raise ValueError(
            f"mask must have shape ({samples},), (m, {samples}) or (m, {samples}, {count}), "
            f"got {tuple(masks.shape)}"
        )
    return wide
