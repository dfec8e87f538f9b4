"""What one step on wrong labels is, and where such steps lead, while no single label has been memorised."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cleanprio_lib.noise import _checked_labels

Array = NDArray[np.float64]


def smoothing(level: ArrayLike, num_classes: int = 2) -> np.float64 | Array:
    r"""How much label smoothing uniform label noise amounts to: $\kappa = \delta C/(C - 1)$.

    At every $w$ that has not seen which labels are wrong, the expected gradient on them is

    $$\mathbb E\,\nabla L(w; D)
    = (1 - \kappa)\,\nabla L(w; \hat D) + \kappa\,\nabla L(w; \text{uniform labels}).$$

    Above $\delta = (C - 1)/C$ it passes 1: the true labels then count negatively.

    Args:
        level: any shape, $\delta$, the fraction of wrong labels, in [0, 1].
        num_classes: $C \ge 2$.

    Returns:
        $\kappa$, in the shape of `level`.

    Raises:
        ValueError: an argument outside its range.

    Source: beyond the paper; what proposition 4.2 is in full.
    """
    _check_num_classes(num_classes)
    return np.asarray(_checked_level(level) * num_classes / (num_classes - 1))[()]


def smoothed_labels(labels: ArrayLike, level: float, *, num_classes: int) -> Array:
    r"""The mean of the one-hot labels over all draws of uniform noise.

    $1 - \delta$ on the true label and $\delta/(C - 1)$ on each other one, which is $1 - \kappa$ times the
    one-hot label plus $\kappa$ times the uniform one, with the $\kappa$ of `smoothing`.

    Args:
        labels: (n,) integer true labels in [0, C).
        level: $\delta$, the fraction of wrong labels, in [0, 1].
        num_classes: $C \ge 2$.

    Returns:
        (n, C) rows that sum to 1. For a binary net with one output the column 1 is its target.

    Raises:
        ValueError: an argument outside its range.
    """
    _check_num_classes(num_classes)
    delta = _checked_level(level)
    if delta.ndim:
        raise ValueError(f"level must be one number, got shape {delta.shape}")
    own = np.eye(num_classes)[_checked_labels(labels, num_classes)]
    return (1 - delta) * own + delta / (num_classes - 1) * (1 - own)


def step_factor(level: ArrayLike, alpha: ArrayLike) -> np.float64 | Array:
    r"""How long the step on the noisy labels is, measured by that on the true ones.

    $$\eta'/\eta = (1 - \delta)(1 - \alpha)$$

    It is exact where $g_{noise} = -\alpha\,g_{clean}$ and the net treats the samples whose labels are wrong
    like the others: their gradients on the true labels then sum to $\frac{\delta}{1-\delta}\,g_{clean}$,
    and $g_{clean} = (1 - \delta)\,\hat g$. Memorising a wrong label ends that.

    Args:
        level: $\delta$, the fraction of wrong labels, in [0, 1].
        alpha: $\alpha$ of assumption 4.1, any finite number: negative where $g_{noise}$ points along
            $g_{clean}$, above 1 where it is the longer.

    Returns:
        The factor, in the shape to which the arguments broadcast.

    Raises:
        ValueError: an argument outside its range.

    Source: proposition 4.2 of the paper, corrected.
    """
    return np.asarray((1 - _checked_level(level)) * (1 - _checked_alpha(alpha)))[()]


def paper_step_factor(alpha: ArrayLike) -> np.float64 | Array:
    r"""`step_factor` as the paper has it: $\eta'/\eta = (1 - \alpha)/(1 + \alpha)$.

    Its proof takes a sample's gradient on the wrong label to be minus that on the true one, which holds for
    two classes and $f = 1/2$, that is before the first step: $\alpha = \delta/(1 - \delta)$, where both
    factors are $1 - 2\delta$. It then falls short, by a factor that tends to $1/(2(1 - \delta))$.

    Args:
        alpha: any shape, $\alpha$ of assumption 4.1, finite and above -1.

    Returns:
        The factor, in the shape of `alpha`.

    Raises:
        ValueError: alpha outside its range.

    Source: equation 10 and proposition 4.2 of the paper.
    """
    ratio = _checked_alpha(alpha)
    if not (ratio > -1).all():
        raise ValueError(f"alpha must be above -1, got {alpha!r}")
    return np.asarray((1 - ratio) / (1 + ratio))[()]


@dataclass(frozen=True, eq=False)
class Plateau:
    r"""Mean residuals and losses, each in the shape of `level`, of a net that has learnt no single label.

    Attributes:
        clean_residual: of the samples whose given label is right.
        noisy_residual: of those whose given label is wrong, with respect to that label.
        clean_loss: logistic loss or cross-entropy of the former, in nats; infinite where the level is 1.
        noisy_loss: of the latter; infinite where the level is 0.
    """

    clean_residual: np.float64 | Array
    noisy_residual: np.float64 | Array
    clean_loss: np.float64 | Array
    noisy_loss: np.float64 | Array


def plateau(level: ArrayLike, num_classes: int = 2) -> Plateau:
    r"""Where training on uniform noise rests before it memorises: the label distribution of each class.

    The output is $f = 1 - \delta$ for the true class and $\delta/(C - 1)$ for each other, the minimiser of
    the expected loss. Clean and noisy gradients of a class there cancel for its own logit. Residuals are
    $\lvert f - y\rvert$ of a single output for two classes, $\delta$ and $1 - \delta$, and else
    $\lVert f - y\rVert_2$, for clean samples $\delta\sqrt{C/(C - 1)}$.

    Args:
        level: any shape, $\delta$, the fraction of wrong labels, in [0, 1].
        num_classes: $C \ge 2$.

    Raises:
        ValueError: an argument outside its range.
    """
    _check_num_classes(num_classes)
    delta = _checked_level(level)
    other = delta / (num_classes - 1)
    clean, noisy = delta, 1 - delta
    if num_classes > 2:
        clean = np.sqrt(delta**2 + (num_classes - 1) * other**2)
        noisy = np.sqrt((1 - delta) ** 2 + (1 - other) ** 2 + (num_classes - 2) * other**2)
    with np.errstate(divide="ignore"):
        losses = -np.log1p(-delta), -np.log(other)
    return Plateau(*(np.array(value)[()] for value in (clean, noisy, *losses)))


def noisy_majority(level: ArrayLike, batch: ArrayLike) -> np.float64 | Array:
    r"""Probability that more than half of a mini-batch has wrong labels, if its samples are drawn one by one.

    The upper tail of a binomial distribution; its relative error is at most about $2\cdot10^{-16}$ times the
    batch, however small it is. Batches cut from a shuffled data set are drawn without replacement, which
    spreads them less.

    Args:
        level: $\delta$, the fraction of wrong labels, in [0, 1].
        batch: samples in a batch, whole numbers of at least 1.

    Returns:
        The probability, in the shape to which the arguments broadcast.

    Raises:
        ValueError: an argument outside its range.

    Source: remark 4.3 of the paper, "not too small" made a number.
    """
    delta, size = np.broadcast_arrays(_checked_level(level), _checked_batch(batch))
    tails = [_majority(float(d), int(b)) for d, b in zip(delta.flat, size.flat, strict=True)]
    return np.array(tails, dtype=np.float64).reshape(delta.shape)[()]


def _majority(level: float, batch: int) -> float:
    """P(more than half of `batch` draws hit) at the rate `level`: one tail or what the other leaves."""
    if level <= 0.5:
        return _upper_tail(level, batch, batch // 2 + 1)
    return 1 - _upper_tail(1 - level, batch, (batch + 1) // 2)


def _upper_tail(level: float, batch: int, first: int) -> float:
    """P(at least `first` of `batch` draws hit), for `first` from half of them on and a rate up to 1/2.

    Its first term is C(batch, first)/2^batch, a ratio of whole numbers, times the powers of 4δ(1 - δ) and
    of δ/(1 - δ) that remain; each later term is a smaller multiple of the one before.
    """
    odds = level / (1 - level)
    centre = math.comb(batch, first) / 2**batch * (4 * level * (1 - level)) ** (batch / 2)
    hits = np.arange(first, batch)
    multiples = np.cumprod((batch - hits) / (hits + 1) * odds)
    return float(centre * odds ** (first - batch / 2) * (1 + multiples.sum()))


def _checked_level(level: ArrayLike) -> Array:
    delta = np.asarray(level, dtype=np.float64)
    if not ((delta >= 0) & (delta <= 1)).all():
        raise ValueError(f"level must be a fraction in [0, 1], got {level!r}")
    return delta


def _checked_alpha(alpha: ArrayLike) -> Array:
    ratio = np.asarray(alpha, dtype=np.float64)
    if not np.isfinite(ratio).all():
        raise ValueError(f"alpha must be finite, got {alpha!r}")
    return ratio


def _checked_batch(batch: ArrayLike) -> NDArray[np.integer]:
    size = np.asarray(batch)
    if not (np.issubdtype(size.dtype, np.integer) and (size >= 1).all()):
        raise ValueError(f"batch must hold whole numbers of at least 1, got {batch!r}")
    return size


def _check_num_classes(num_classes: int) -> None:
    if isinstance(num_classes, bool) or not isinstance(num_classes, int | np.integer) or num_classes < 2:
        raise ValueError(f"num_classes must be an integer of at least 2, got {num_classes!r}")
