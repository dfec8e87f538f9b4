"""The angle between a wide net's derivatives at two inputs, from the angle between the inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
ACTIVATIONS = ("relu", "linear")


@overload
def derivative_angle(theta: float, *, depth: int = 2, activation: str = "relu") -> np.float64: ...
@overload
def derivative_angle(
    theta: Sequence[Any] | NDArray[Any], *, depth: int = 2, activation: str = "relu"
) -> Array: ...
def derivative_angle(theta: ArrayLike, *, depth: int = 2, activation: str = "relu") -> np.float64 | Array:
    r"""Angle $\theta_h$ between the derivatives $\nabla h$ at two inputs, for an infinitely wide random net.

    With $L = 2$, $\cos\theta_h = \frac{\pi - \theta_d}{\pi}\cos\theta_d + \frac{1}{2\pi}\sin\theta_d$.
    For more layers let $\theta_1 = \theta_d$ and $\theta_{l+1}$ be the angle between the inputs' images in
    hidden layer $l$: $\cos\theta_{l+1} = (\sin\theta_l + (\pi - \theta_l)\cos\theta_l)/\pi$. Then
    $\cos\theta_h = \Theta_L/L$ where $\Theta_1 = \cos\theta_d$ and
    $\Theta_{l+1} = \cos\theta_{l+1} + (1 - \theta_l/\pi)\,\Theta_l$. A linear net has $\theta_h = \theta_d$.

    No cosine is inverted near $\pm 1$: the result is right to some units in its last place, at 0 and at
    $\pi$ too.

    Args:
        theta: any shape, the angle $\theta_d$ between the inputs in radians, in $[0, \pi]$.
        depth: $L \ge 2$, the number of weight layers.
        activation: "relu" or "linear".

    Returns:
        Radians, in the shape of `theta`.

    Raises:
        ValueError: an argument outside its range.

    Source: theorem 3.1 of the paper for $L = 2$; Jacot et al. (2018) for the recursion. NTK parametrisation,
    all entries $N(0, 1)$, no biases.
    """
    angles = _checked_angles(theta)
    _check_depth(depth)
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {ACTIVATIONS}, got {activation!r}")
    if activation == "linear":
        return angles.copy()[()]
    return np.asarray(_angle(_deficit(angles, depth)[0] / depth))[()]


def small_angle_law(theta: ArrayLike, *, depth: int = 2) -> np.float64 | Array:
    r"""What `derivative_angle` of a ReLU net tends to for similar inputs: $\sqrt{(L - 1)\,\theta_d/\pi}$.

    Args:
        theta: any shape, $\theta_d$ in radians, in $[0, \pi]$.
        depth: $L \ge 2$, the number of weight layers.

    Raises:
        ValueError: an argument outside its range.

    Source: for $L = 2$ the expansion in the paper's appendix A.2, $1 - \cos\theta_h \to \theta_d/2\pi$.
    """
    _check_depth(depth)
    return np.sqrt((depth - 1) * _checked_angles(theta) / np.pi)


def largest_derivative_angle(depth: int = 2) -> tuple[float, float]:
    r"""Where a ReLU net's $\theta_h$ is largest: $(\theta_d, \theta_h)$ in radians.

    Corollary 3.2 of the paper says that $\theta_h$ grows with $\theta_d$ up to $\pi/2$. It grows beyond, but
    not as far as $\pi$.

    Raises:
        ValueError: depth is not an integer of at least 2.
    """
    _check_depth(depth)
    place = _root(lambda theta: _deficit(theta, depth)[1], np.pi / 2, np.pi)
    return place, float(derivative_angle(place, depth=depth))


def crossing_angle(depth: int = 2) -> float:
    r"""The $\theta_d > 0$, in radians, at which a ReLU net has $\theta_h = \theta_d$.

    Inputs closer together than this have derivatives that are farther apart than they are, inputs farther
    apart have closer ones. For $L = 2$ it solves $\tan\theta = 2\theta$.

    Raises:
        ValueError: depth is not an integer of at least 2.
    """
    return _root(lambda theta: derivative_angle(theta, depth=depth) - theta, np.pi / 4, np.pi / 2)


def _deficit(theta: ArrayLike, depth: int) -> tuple[Array, Array]:
    """L (1 - cos θ_h), a sum of positive terms, and its derivative by θ_d (NaN at 0)."""
    angles = _layer_angles(np.asarray(theta, dtype=np.float64), depth)
    deficit, slope, turned = _versine(angles[0]), np.sin(angles[0]), np.ones_like(angles[0])
    for layer, (before, after) in enumerate(pairwise(angles), start=1):
        kept, gained = 1 - before / np.pi, turned / np.pi
        with np.errstate(divide="ignore", invalid="ignore"):
            turned = kept * np.sin(before) * turned / np.sin(after)
            slope = np.sin(after) * turned + (layer - deficit) * gained + kept * slope
        deficit = _versine(after) + layer * before / np.pi + kept * deficit
    return deficit, slope


def _layer_angles(theta: Array, depth: int) -> list[Array]:
    """The angles θ_1 ... θ_L of `derivative_angle`.

    sin²(θ_{l+1}/2) = sin²(θ_l/2) - (sin θ_l - θ_l cos θ_l)/2π, with (θ_l/2)² taken out, so that nothing
    cancels near 0.
    """
    angles = [theta]
    for _ in range(depth - 1):
        half = angles[-1] / 2
        shorter = np.sqrt(np.sinc(half / np.pi) ** 2 - 2 / np.pi * _spherical_bessel(angles[-1]))
        angles.append(2 * np.arcsin(half * shorter))
    return angles


def _spherical_bessel(x: Array) -> Array:
    """(sin x - x cos x)/x²; up to 1 by its series: term k is -x²/(2k(2k + 3)) times the one before."""
    series = np.ones_like(x)
    for k in range(9, 0, -1):
        series = 1 - series * x**2 / (2 * k * (2 * k + 3))
    far = np.maximum(x, 1)
    return np.where(x < 1, x / 3 * series, (np.sin(far) - far * np.cos(far)) / far**2)


def _versine(angle: Array) -> Array:
    """1 - cos, without cancellation."""
    return np.asarray(2 * np.sin(angle / 2) ** 2)


def _angle(versine: Array) -> Array:
    """The angle with this 1 - cos."""
    return np.asarray(2 * np.arcsin(np.sqrt(versine / 2)))


def _root(function: Callable[[float], Any], low: float, high: float) -> float:
    """Where a function that is positive at `low` and not at `high` changes sign, to the last place."""
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return float(middle)


def _checked_angles(theta: ArrayLike) -> Array:
    angles = np.asarray(theta, dtype=np.float64)
    if not ((angles >= 0) & (angles <= np.pi)).all():
        raise ValueError(f"theta must be an angle in [0, π] radians, got {theta!r}")
    return angles


def _check_depth(depth: int) -> None:
    if isinstance(depth, bool) or not isinstance(depth, int | np.integer) or depth < 2:
        raise ValueError(f"depth must be an integer of at least 2, got {depth!r}")
