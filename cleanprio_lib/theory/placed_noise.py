r"""The law of outputs that are linear in the given labels, over all ways to place the wrong ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # type: ignore[import-untyped]
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
PLACEMENTS = ("per class", "independent")


@dataclass(frozen=True, eq=False)
class Law:
    """Mean and variance of outputs over all placements of the noise, each (m,)."""

    mean: Array
    variance: Array

    @property
    def chance_below_zero(self) -> Array:
        r"""$P(f < 0) = \Phi(-\mu/\sigma)$ for a normal law; one half of a point at zero."""
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = self.mean / np.sqrt(self.variance)
        return np.asarray(scipy.special.ndtr(-np.where(np.isnan(distance), 0, distance)))


def output_law(influence: Array, true: ArrayLike, level: float, *, placement: str = PLACEMENTS[0]) -> Law:
    r"""Law of outputs that are linear in the given labels, over where the wrong labels are.

    With $a_j = w_j \hat y_j$, $A_c$ and $Q_c$ the sums of $a_j$ and $a_j^2$ over class $c$, $n_c$ its samples
    and $\delta_c$ the share of them that gets the wrong label, exactly so many, every choice equally likely:

    $$\mu = \sum_c (1 - 2\delta_c) A_c, \qquad
    \sigma^2 = \sum_c 4\delta_c(1 - \delta_c)\frac{n_c}{n_c - 1}\Bigl(Q_c - \frac{A_c^2}{n_c}\Bigr).$$

    Args:
        influence: (m, n) weights $w_j$ of the training labels in each output.
        true: (n,) true labels, 0 or 1.
        level: $\delta$; in each class round(level * n_c) labels are wrong.
        placement: "per class", or "independent" flips with probability `level`, whose variance is
            $4\delta(1 - \delta)\sum_j a_j^2$.

    Source: the book's appendix of proofs, "kernel machines".
    """
    labels, counts = wrong_counts(true, level)
    sums, squares = _class_sums(influence, labels)
    sizes = np.bincount(labels, minlength=2)
    return _law(sums, squares, sizes[None], counts[None], level, placement)


def own_output_law(
    influence: Array,
    rows: ArrayLike,
    true: ArrayLike,
    level: float,
    *,
    wrong: bool,
    placement: str = PLACEMENTS[0],
) -> Law:
    r"""Law of $\hat y_i f_i$ of training samples of which it is known that their label is wrong, or right.

    The sample's own label then moves its output by $\mp S_{ii}$ for certain; the others of its class share
    one wrong label fewer, or as many among one fewer.

    Args:
        influence: (r, n) the rows of $S_t$.
        rows: (r,) which samples these are.
        true, level, placement: as for `output_law`.
        wrong: whether the samples' own labels are wrong.
    """
    labels, counts = wrong_counts(true, level)
    chosen = np.asarray(rows)
    own_class = labels[chosen]
    signs = np.where(own_class == 1, 1.0, -1.0)
    own = influence[np.arange(len(chosen)), chosen].astype(np.float64)
    sums, squares = _class_sums(influence, labels)
    sums *= signs[:, None]
    places = np.arange(len(chosen)), own_class
    sums[places] -= own
    squares[places] -= own**2
    sizes = np.tile(np.bincount(labels, minlength=2), (len(chosen), 1))
    counts = np.tile(counts, (len(chosen), 1))
    sizes[places] -= 1
    counts[places] -= int(wrong)
    law = _law(sums, squares, sizes, counts, level, placement)
    return Law(law.mean + (-own if wrong else own), law.variance)


def _law(sums: Array, squares: Array, sizes: Array, counts: Array, level: float, placement: str) -> Law:
    """Law from each class's sums (m, 2), samples that may be wrong (m or 1, 2) and how many of them are."""
    if placement not in PLACEMENTS:
        raise ValueError(f"placement must be one of {PLACEMENTS}, got {placement!r}")
    if placement == "independent":
        return Law((1 - 2 * level) * sums.sum(axis=1), 4 * level * (1 - level) * squares.sum(axis=1))
    some, others = np.maximum(sizes, 1), np.maximum(sizes - 1, 1)
    share = counts / some
    spread = np.maximum(squares - sums**2 / some, 0) * some / others
    return Law(((1 - 2 * share) * sums).sum(axis=1), (4 * share * (1 - share) * spread).sum(axis=1))


def _class_sums(influence: Array, labels: NDArray[np.int64]) -> tuple[Array, Array]:
    """(m, 2) sums of the weights times the true label (-1 or 1) over each class, and of their squares."""
    members = np.eye(2, dtype=influence.dtype)[labels]
    sums, squares = influence @ (members * [-1, 1]).astype(influence.dtype), np.square(influence) @ members
    return sums.astype(np.float64), squares.astype(np.float64)


def wrong_counts(true: ArrayLike, level: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n,) labels, and (2,) how many of each class are wrong: counted as `noise.uniform` does.

    Raises:
        ValueError: a level outside (0, 1), or labels other than 0 and 1, with samples of both.
    """
    labels = np.asarray(true, dtype=np.int64)
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}")
    sizes = np.bincount(labels, minlength=2)
    if labels.ndim != 1 or len(sizes) != 2 or not sizes.all():
        raise ValueError("true must be (n,) labels 0 and 1, with samples of both")
    return labels, np.array([round(round(level * int(size), 9)) for size in sizes])


def eigenspace_cosine(strength: ArrayLike, level: float) -> Array:
    r"""Cosine between the parts of the clean and the noisy gradient in an eigenspace of the kernel.

    $$\cos = -\frac{\sqrt{\delta(1 - \delta)}\,(\rho - 1)}
    {\sqrt{((1 - \delta)\rho + \delta)(\delta\rho + 1 - \delta)}}$$

    Args:
        strength: $\rho \ge 0$, any shape: how much of the true labels' square is in the eigenspace, as a
            multiple of what would be there if it were spread evenly, as that of the noise is.
        level: $\delta$, in (0, 1).

    Source: step K.13 of the book's appendix of proofs.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}")
    rho = np.asarray(strength, dtype=np.float64)
    if not (rho >= 0).all():
        raise ValueError("strength must not be negative")
    lengths = ((1 - level) * rho + level) * (level * rho + 1 - level)
    return np.asarray(-np.sqrt(level * (1 - level) / lengths) * (rho - 1))
