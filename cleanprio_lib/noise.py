"""Label noise: which labels are wrong, how many, and what they were turned into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """Labels as given to the learner beside the true ones.

    Attributes:
        given: (n,) integer labels $y$ that training sees.
        true: (n,) integer labels $\\hat y$.
    """

    given: NDArray[np.int64]
    true: NDArray[np.int64]

    @property
    def is_noisy(self) -> NDArray[np.bool_]:
        """(n,) mask of the noisy subset: exactly where the given label differs from the true one."""
        return self.given != self.true


def uniform(labels: ArrayLike, level: float, *, num_classes: int, seed: int) -> NoisyLabels:
    """Give a fraction of every class a wrong label, uniform over the *other* classes.

    Inside every class of $n_c$ samples exactly round(level * n_c) (half to even) are chosen without
    replacement. The true label is never redrawn, so `level` is the fraction that is really wrong.

    Args:
        labels: (n,) integer true labels in [0, num_classes).
        level: $\\delta$, the fraction of wrong labels, in [0, 1].
        num_classes: $C \\ge 2$.
        seed: non-negative integer; the result depends on nothing else.

    Raises:
        ValueError: an argument outside its range.

    Source: section 2 of the paper.
    """
    if not 0 <= level <= 1:
        raise ValueError(f"level must be a fraction in [0, 1], got {level!r}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes!r}")
    odds = np.ones((num_classes, num_classes)) - np.eye(num_classes)
    return _relabel(_checked_labels(labels, num_classes), np.full(num_classes, level), odds, seed)


def asymmetric(labels: ArrayLike, transition: ArrayLike, *, seed: int) -> NoisyLabels:
    r"""Give labels by an arbitrary transition matrix.

    Inside every class $c$ exactly round($(1 - T_{cc})\, n_c$) samples (half to even) are chosen without
    replacement; each gets class $k \ne c$ with probability $T_{ck} / (1 - T_{cc})$.

    Args:
        labels: (n,) integer true labels in [0, C).
        transition: (C, C) row-stochastic matrix $T_{ck} = P(y = k \mid \hat y = c)$.
        seed: non-negative integer; the result depends on nothing else.

    Raises:
        ValueError: the matrix is not square and row-stochastic, or a label lies outside [0, C).
    """
    matrix = _checked_transition(transition)
    odds = matrix * (1 - np.eye(len(matrix)))
    return _relabel(_checked_labels(labels, len(matrix)), odds.sum(axis=1), odds, seed)


def transition_matrix(level: float, *, num_classes: int, concentration: float = 0.0) -> NDArray[np.float64]:
    r"""A noise matrix between uniform noise and pair flips.

    $T_{cc} = 1 - \delta$; of the wrong labels the share $\gamma$ is the next class, $c + 1$ and after the
    last one 0, and the others are uniform over all wrong classes.

    Args:
        level: $\delta$, the fraction of wrong labels in every class, in [0, 1].
        num_classes: $C \ge 2$.
        concentration: $\gamma$ in [0, 1]: 0 for uniform noise, 1 for pair flips.

    Returns:
        (C, C) matrix for `asymmetric`.

    Raises:
        ValueError: an argument outside its range.
    """
    for name, value in (("level", level), ("concentration", concentration)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be a fraction in [0, 1], got {value!r}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes!r}")
    own = np.eye(num_classes)
    uniform_row, pair = (1 - own) / (num_classes - 1), np.roll(own, 1, axis=1)
    return (1 - level) * own + level * ((1 - concentration) * uniform_row + concentration * pair)


def by_group(labels: ArrayLike, groups: ArrayLike, transitions: ArrayLike, *, seed: int) -> NoisyLabels:
    """Give labels by a transition matrix of each group of samples, such as parts of classes.

    Args:
        labels: (n,) integer true labels in [0, C).
        groups: (n,) integers in [0, G).
        transitions: (G, C, C) row-stochastic matrices, as for `asymmetric`.
        seed: non-negative integer; the result depends on nothing else.

    Raises:
        ValueError: a matrix is not square and row-stochastic, or a label or a group outside its range.
    """
    matrices = [_checked_transition(matrix) for matrix in np.asarray(transitions, dtype=np.float64)]
    of_samples = np.asarray(groups)
    true = _checked_labels(labels, len(matrices[0]))
    if of_samples.shape != true.shape or not np.isin(of_samples, np.arange(len(matrices))).all():
        raise ValueError(f"groups must be ({len(true)},) integers in [0, {len(matrices)})")
    given = true.copy()
    for group, matrix in enumerate(matrices):
        members = np.flatnonzero(of_samples == group)
        odds = matrix * (1 - np.eye(len(matrix)))
        given[members] = _relabel(true[members], odds.sum(axis=1), odds, [seed, group]).given
    return NoisyLabels(given=given, true=true)


def _relabel(
    true: NDArray[np.int64],
    levels: NDArray[np.float64],
    odds: NDArray[np.float64],
    seed: int | list[int],
) -> NoisyLabels:
    given = true.copy()
    rng = np.random.default_rng(seed)
    for label, (level, row) in enumerate(zip(levels, odds, strict=True)):
        members = np.flatnonzero(true == label)
        # The inner rounding takes away float dust: 0.29 * 50 is 14.5, not 14.499999999999998.
        count = round(round(float(level) * len(members), 9))
        chosen = rng.choice(members, size=count, replace=False)
        if count:
            given[chosen] = rng.choice(len(row), size=count, p=row / row.sum())
    return NoisyLabels(given=given, true=true)


def _checked_transition(transition: ArrayLike) -> NDArray[np.float64]:
    matrix = np.asarray(transition, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(f"transition must be a square (C, C) matrix with C >= 2, got shape {matrix.shape}")
    if not (np.isfinite(matrix).all() and (matrix >= 0).all()):
        raise ValueError(f"transition must hold probabilities, got entries down to {matrix.min()}")
    sums = matrix.sum(axis=1)
    if not np.allclose(sums, 1, rtol=0, atol=1e-9):
        worst = int(np.abs(sums - 1).argmax())
        raise ValueError(f"every row of transition must sum to 1, row {worst} sums to {sums[worst]:.12g}")
    return matrix


def _checked_labels(labels: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"labels must be a (n,) array of integers, got {array.dtype} of shape {array.shape}")
    if array.size and not (array.min() >= 0 and array.max() < num_classes):
        raise ValueError(
            f"labels must lie in [0, {num_classes}) for {num_classes} classes, "
            f"got values from {array.min()} to {array.max()}"
        )
    return array.astype(np.int64)
