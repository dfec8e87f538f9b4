r"""What held-out noisy labels say of the error on true ones, and how surely."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cleanprio_lib.noise import _checked_transition
from cleanprio_lib.theory.noisy_steps import smoothing

Array = NDArray[np.float64]


def noisy_error(error: ArrayLike, level: ArrayLike, num_classes: int = 2) -> np.float64 | Array:
    r"""Expected error on held-out labels with uniform noise: $\delta + (1 - \kappa)\,\epsilon$.

    A right prediction meets a wrong label with probability $\delta$; a wrong one meets the very label that it
    names with probability $\delta/(C - 1)$. With $\kappa = \delta C/(C - 1)$ that is affine in the error
    $\epsilon$ on true labels, and rises with it as long as $\kappa < 1$: both are lowest at one epoch.

    Args:
        error: $\epsilon$, in [0, 1].
        level: $\delta$, the fraction of wrong labels, in [0, 1].
        num_classes: $C \ge 2$.

    Returns:
        The expectation over the noise, in the shape to which `error` and `level` broadcast.

    Raises:
        ValueError: an argument outside its range.

    Source: beyond the paper; that a noisy validation set is reliable is proved by Chen et al. (AAAI 2021).
    """
    kept = 1 - smoothing(level, num_classes)
    return np.asarray(np.asarray(level, dtype=np.float64) + kept * _checked_share(error, "error"))[()]


def noisy_error_of(confusion: ArrayLike, transition: ArrayLike) -> float:
    r"""Expected error on held-out labels with any noise matrix: $1 - \sum_{ck} J_{ck} T_{ck}$.

    With pair flips it is $\delta + (1 - \delta)\,\epsilon - \delta\,\epsilon_{pair}$, where $\epsilon_{pair}$
    is the share of samples that are predicted to be what their class is flipped to: not a function of
    $\epsilon$, and blind in part to the errors that memorising makes.

    Args:
        confusion: (C, C) shares $J_{ck}$ of the samples of true class $c$ that are predicted $k$; sum 1.
        transition: (C, C) row-stochastic matrix $T_{ck} = P(y = k \mid \hat y = c)$.

    Raises:
        ValueError: shapes differ, or `confusion` does not hold shares of all samples.

    Source: beyond the paper.
    """
    shares, matrix = np.asarray(confusion, dtype=np.float64), _checked_transition(transition)
    if shares.shape != matrix.shape or (shares < 0).any() or abs(shares.sum() - 1) > 1e-9:
        raise ValueError(
            f"confusion must be a {matrix.shape} array of shares that sum to 1, got {confusion!r}"
        )
    return float(1 - (shares * matrix).sum())


def comparison_spread(
    one_right: ArrayLike,
    samples: ArrayLike,
    level: float,
    *,
    num_classes: int = 2,
    both_wrong: ArrayLike = 0.0,
) -> np.float64 | Array:
    r"""How far a noisy validation set may be off when it compares two classifiers, in units of true error.

    Where both predict the same, the noise cancels. Where one is right, the difference of the two is $\pm1$ or
    0, with mean $1 - \kappa$ and mean square $1 - \delta + \delta/(C - 1)$; where both are wrong and differ,
    with mean 0 and mean square $2\delta/(C - 1)$. Divided by $1 - \kappa$, the difference of noisy errors
    estimates that of true errors with the standard deviation

    $$\frac{1}{1 - \kappa}\sqrt{\frac1n \Bigl(D \bigl[1 - \delta + \tfrac{\delta}{C - 1} - (1 - \kappa)^2
    \bigr] + B\, \tfrac{2\delta}{C - 1}\Bigr)} .$$

    Args:
        one_right: $D$, the share of samples on which exactly one of the two is right.
        samples: $n$, of the validation set.
        level: $\delta$, the fraction of wrong labels, each wrong by itself; below $(C - 1)/C$.
        num_classes: $C \ge 2$.
        both_wrong: $B$, the share on which both are wrong and differ.

    Returns:
        The standard deviation over the noise, for these samples, in the shape to which arguments broadcast.

    Raises:
        ValueError: an argument outside its range.

    Source: beyond the paper.
    """
    kept = 1 - float(smoothing(level, num_classes))
    if not kept > 0:
        raise ValueError(f"level must be below (C - 1)/C, got {level!r} for {num_classes} classes")
    count = np.asarray(samples, dtype=np.float64)
    if not (count >= 1).all():
        raise ValueError(f"samples must be at least 1, got {samples!r}")
    hit = level / (num_classes - 1)
    differ = _checked_share(one_right, "one_right"), _checked_share(both_wrong, "both_wrong")
    variance = differ[0] * (1 - level + hit - kept**2) + differ[1] * 2 * hit
    return np.asarray(np.sqrt(variance / count) / kept)[()]


def _checked_share(value: ArrayLike, name: str) -> Array:
    share = np.asarray(value, dtype=np.float64)
    if not ((share >= 0) & (share <= 1)).all():
        raise ValueError(f"{name} must be a fraction in [0, 1], got {value!r}")
    return share
