r"""How far subset gradients may be from assumption 4.1 while a step still raises the noisy loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Departure:
    r"""What the inner products of several classes' clean and noisy gradients say of the next small step.

    $G$ is the sum of the clean gradients $g_c$ over classes, $Q$ that of the noisy ones $q_c$.

    Attributes:
        alpha: $-\langle Q, G\rangle/\lVert G\rVert^2$.
        rest: $\lVert Q + \alpha G\rVert/\lVert G\rVert$, the part of $Q$ that is not along $G$.
        clean_slope: of the clean loss along the step, $-\langle G, G + Q\rangle$ in units of
            $\lVert G\rVert^2$: below 0 it falls.
        noisy_slope: of the noisy loss, $-\langle Q, G + Q\rangle$ in the same units: above 0 it rises.
        alphas: (C,) the same as `alpha`, of each class.
        angles: (C,) between $-q_c$ and $g_c$, radians: 0 where assumption 4.1 is true.
        cancellation: $s = \sum_c \lVert g_c\rVert/\lVert G\rVert \ge 1$.
        middle: $\bar\alpha$, half way between the smallest and the largest of `alphas`.
        distance: $\lVert Q + \bar\alpha G\rVert/\lVert G\rVert$.
        bound: $s \max_c \sqrt{(\alpha_c - \bar\alpha)^2 + \alpha_c^2\tan^2\varphi_c}$, which `distance` does
            not exceed.
        room: $\min(\bar\alpha, 1 - \bar\alpha)$; a distance below it raises the noisy loss.
    """

    alpha: float
    rest: float
    clean_slope: float
    noisy_slope: float
    alphas: Array
    angles: Array
    cancellation: float
    middle: float
    distance: float
    bound: float
    room: float


def departure(gram: ArrayLike) -> Departure:
    r"""Read the next small step on all samples, and how far from assumption 4.1 it is, from inner products.

    Args:
        gram: (2C, 2C) inner products of the clean gradients of all classes, then of their noisy ones, each a
            sum over samples.

    Raises:
        ValueError: no such matrix, or a clean gradient is zero.

    Source: beyond the paper; steps B.1 to B.8 of the appendix.
    """
    products = _checked_gram(gram)
    count = len(products) // 2
    ones = np.ones(count)
    clean, noisy = np.r_[ones, 0 * ones], np.r_[0 * ones, ones]
    square = clean @ products @ clean
    if square <= 0 or (products.diagonal()[:count] <= 0).any():
        raise ValueError("gram must hold clean gradients that are not zero, and whose sum is not")
    alpha = -(noisy @ products @ clean) / square
    alphas, rests, angles = _of_classes(products)
    middle = (alphas.min() + alphas.max()) / 2
    cancellation = np.sqrt(products.diagonal()[:count]).sum() / np.sqrt(square)
    return Departure(
        alpha=alpha,
        rest=_length(products, noisy + alpha * clean) / np.sqrt(square),
        clean_slope=-(clean @ products @ (clean + noisy)) / square,
        noisy_slope=-(noisy @ products @ (clean + noisy)) / square,
        alphas=alphas,
        angles=angles,
        cancellation=cancellation,
        middle=middle,
        distance=_length(products, noisy + middle * clean) / np.sqrt(square),
        bound=cancellation * np.sqrt((alphas - middle) ** 2 + rests**2).max(),
        room=min(middle, 1 - middle),
    )


def largest_rest(alpha: ArrayLike) -> np.float64 | Array:
    r"""The part of the noisy gradient that may lie across the clean one: $\sqrt{\alpha(1 - \alpha)}$.

    With $Q = -\alpha G + E$ and $E$ at a right angle to $G$, a small step raises the noisy loss exactly if
    $\lVert E\rVert/\lVert G\rVert$ is below it: $-Q$ lies in the ball that has $G$ as a diameter.

    Args:
        alpha: any shape.

    Returns:
        In the shape of `alpha`; 0 outside [0, 1], where no $E$ does.

    Source: beyond the paper; step B.3 of the appendix.
    """
    ratio = np.asarray(alpha, dtype=np.float64)
    return np.sqrt(np.clip(ratio * (1 - ratio), 0, None))[()]


def largest_angle(
    alpha: ArrayLike, spread: ArrayLike = 0.0, cancellation: ArrayLike = 1.0
) -> np.float64 | Array:
    r"""Angle up to which every class's gradients may be off opposite, whatever else the net does.

    If all $\alpha_c$ are within $d$ of $\bar\alpha$ and all angles between $-q_c$ and $g_c$ are below
    $\varphi$, then $s\sqrt{d^2 + (\bar\alpha + d)^2\tan^2\varphi} < \min(\bar\alpha, 1 - \bar\alpha)$ is
    enough for a small step to raise the noisy loss and to lower the clean one.

    Args:
        alpha: $\bar\alpha$, in (0, 1).
        spread: $d \ge 0$.
        cancellation: $s \ge 1$, the lengths of the classes' clean gradients by that of their sum.

    Returns:
        $\varphi$ in radians, in the shape to which the arguments broadcast; NaN where the spread alone is
        too much.

    Raises:
        ValueError: an argument outside its range.

    Source: beyond the paper; step B.8 of the appendix.
    """
    middle, d, s = (np.asarray(value, dtype=np.float64) for value in (alpha, spread, cancellation))
    for name, values, right in (
        ("alpha", alpha, (middle > 0) & (middle < 1)),
        ("spread", spread, d >= 0),
        ("cancellation", cancellation, s >= 1),
    ):
        if not np.all(right):
            raise ValueError(f"{name} is outside its range, got {values!r}")
    left = (np.minimum(middle, 1 - middle) / s) ** 2 - d**2
    with np.errstate(invalid="ignore"):
        return np.arctan(np.sqrt(np.where(left > 0, left, np.nan)) / (middle + d))[()]


def _of_classes(products: Array) -> tuple[Array, Array, Array]:
    """α_c, the length of q_c + α_c g_c by that of g_c, and the angle between -q_c and g_c."""
    count = len(products) // 2
    square, noisy_square = products.diagonal()[:count], products.diagonal()[count:]
    inner = products.diagonal(count)
    alphas = -inner / square
    rests = np.sqrt(np.clip(noisy_square / square - alphas**2, 0, None))
    return alphas, rests, np.arctan2(rests, alphas)


def _length(products: Array, weights: Array) -> float:
    return math.sqrt(max(float(weights @ products @ weights), 0.0))


def _checked_gram(gram: ArrayLike) -> Array:
    array = np.asarray(gram, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or len(array) < 2 or len(array) % 2:
        raise ValueError(f"gram must be a (2C, 2C) matrix, got shape {array.shape}")
    if not np.isfinite(array).all() or not np.allclose(array, array.T, rtol=1e-6):
        raise ValueError("gram must be finite and symmetric")
    return array
