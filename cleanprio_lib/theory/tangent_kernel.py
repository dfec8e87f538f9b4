"""The tangent kernel of an infinitely wide ReLU net: inner products of its derivatives at initialisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cleanprio_lib.theory.derivative_angles import derivative_angle

Array = NDArray[np.float64]
ROWS = 256  # at a time: the angles and what is made of them stay in the processor's cache


def tangent_kernel(x: ArrayLike, z: ArrayLike, *, depth: int = 2) -> Array:
    r"""Inner products $\langle\nabla h(x_i), \nabla h(z_j)\rangle$ of an infinitely wide net with $L$ layers.

    In the NTK parametrisation every layer's part of a derivative has the same length, and a hidden layer
    halves the square of it, so that

    $$\langle\nabla h(x), \nabla h(z)\rangle = L\,2^{1-L}\,\lVert x\rVert\,\lVert z\rVert\,\cos\theta_h,$$

    with the angle $\theta_h$ of `derivative_angle`. In this limit it does not change in training, and the net
    trained by gradient descent is a kernel machine.

    Args:
        x: (n, d) inputs, none zero.
        z: (m, d) inputs, none zero.
        depth: $L \ge 2$, the number of weight layers.

    Returns:
        (n, m) float64. An angle comes from the arc cosine of an inner product, so that the kernel is right to
        about $10^{-8}$ of its diagonal for inputs that are equal, and to $10^{-14}$ for others.

    Raises:
        ValueError: the inputs are not two matrices with rows of one length, or one of them is zero.

    Source: Jacot et al. (2018); NTK parametrisation, all entries $N(0, 1)$, no biases.
    """
    one, other = _checked("x", x), _checked("z", z)
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"x and z must have rows of one length, got {one.shape[1]} and {other.shape[1]}")
    lengths = np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1)
    directions = [points / length[:, None] for points, length in zip((one, other), lengths, strict=True)]
    kernel = np.empty((len(one), len(other)))
    for start in range(0, len(one), ROWS):
        rows = slice(start, start + ROWS)
        angles = np.arccos(np.clip(directions[0][rows] @ directions[1].T, -1, 1))
        kernel[rows] = np.cos(derivative_angle(angles, depth=depth))
    kernel *= depth * 2.0 ** (1 - depth) * lengths[0][:, None]
    kernel *= lengths[1]
    return kernel


def _checked(name: str, points: ArrayLike) -> Array:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"{name} must be (n, d), got shape {array.shape}")
    if not (array**2).sum(axis=1).all():
        raise ValueError(f"{name} must not hold an input that is zero")
    return array
