"""How fast a net of finite width learns: its tangent kernel as PyTorch begins it, mean over weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cleanprio_lib.theory.tangent_kernel import _checked

Array = NDArray[np.float64]


def standard_kernel(x: ArrayLike, z: ArrayLike, *, width: int, depth: int = 2) -> Array:
    r"""Mean inner products $\langle\nabla h(x_i), \nabla h(z_j)\rangle$ of ReLU nets as PyTorch begins them.

    Weights and biases of a layer have the variance $1/(3n)$, with $n$ the number of its inputs, so that no
    factor keeps the derivative's length from growing with the width $m$: the part of the first layer does not
    depend on it, that of every other layer is $m$ times something, and that of a bias is of order 1. With one
    learning rate for all, wider nets are faster. For $L = 3$ and $x = z$ it is

    $$\frac{\lVert x\rVert^2 + 1}{36} + \frac16 \big(m\,\tfrac{q}{2} + 1\big)
    + \big(m\,\tfrac{q}{12} + \tfrac76\big),\qquad q = \frac{\lVert x\rVert^2 + 1}{3d}.$$

    Args:
        x: (n, d) inputs, none zero.
        z: (k, d) inputs, none zero.
        width: $m \ge 1$, units in each hidden layer.
        depth: $L \ge 2$, the number of weight layers.

    Returns:
        (n, k) float64. Where $x_i = z_j$ it is the mean at every width; elsewhere the second hidden layer and
        those above see a Gram matrix that is off by $1/\sqrt m$, which moves the mean by a few parts in $m$.

    Raises:
        ValueError: the inputs are not two matrices with rows of one length, one of them is zero, or a number
            is outside its range.

    Source: beyond the paper, whose theory has the NTK parametrisation; initial weights are `nn.Linear`'s.
    """
    one, other = _checked("x", x), _checked("z", z)
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"x and z must have rows of one length, got {one.shape[1]} and {other.shape[1]}")
    for name, value, least in (("width", width, 1), ("depth", depth, 2)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    products = one @ other.T + 1  # of a layer's inputs, with the constant 1 that a bias sees
    squares = (one**2).sum(axis=1) + 1, (other**2).sum(axis=1) + 1
    kernel, inputs = products, one.shape[1]
    for _ in range(depth - 1):
        scale = width / (3 * inputs)
        lengths = scale * np.sqrt(np.outer(*squares))
        angles = np.arccos(np.clip(scale * products / lengths, -1, 1))
        kept = (np.pi - angles) / (2 * np.pi)  # how often two ReLUs are open together
        products = lengths * (np.sin(angles) / (2 * np.pi) + kept * np.cos(angles)) + 1
        squares = scale * squares[0] / 2 + 1, scale * squares[1] / 2 + 1
        kernel, inputs = kernel * kept / 3 + products, width
    return np.asarray(kernel)


def class_speed(kernel: ArrayLike, labels: ArrayLike) -> float:
    r"""How fast a kernel tells two classes apart at the start: the mean of $s_i s_j K_{ij}$ over $i \ne j$.

    With labels $s = \pm1$ and from $f = 1/2$ on, a step of size $\eta$ on the mean logistic loss of many
    samples raises the mean of $s\,h$ by half of it times $\eta$, and with a fraction $\delta$ of wrong labels
    by $1 - 2\delta$ times as much.

    Args:
        kernel: (n, n) inner products of derivatives, n at least 2.
        labels: (n,) true labels, 0 or 1.

    Raises:
        ValueError: shapes that do not belong together.
    """
    matrix, signs = np.asarray(kernel, dtype=np.float64), 2 * np.asarray(labels, dtype=np.float64) - 1
    n = len(signs)
    if matrix.shape != (n, n) or n < 2:
        raise ValueError(f"kernel must be (n, n) for n = {n} labels, two or more, got shape {matrix.shape}")
    return float(signs @ matrix @ signs - matrix.trace()) / (n * (n - 1))


def sums_cosine(kernel: ArrayLike, clean: int, noisy: int) -> float:
    r"""Cosine of $g_{clean}$ and $g_{noise}$ of a class before the first step, by chance of its samples.

    At $f = 1/2$ both are sums of $\nabla h$, with opposite signs. If two samples have $a$ in common on
    average, and one with itself $a + \epsilon$, the cosine is

    $$-\Big[\big(1 + \tfrac{\epsilon}{a N_{clean}}\big)\big(1 + \tfrac{\epsilon}{a N_{noisy}}\big)
    \Big]^{-1/2} ,$$

    which a net reaches whose samples of a class differ in nothing but chance.

    Args:
        kernel: (n, n) inner products of derivatives of some of the class's samples, n at least 2.
        clean: $N_{clean}$, how many samples the class has with the right label, and
        noisy: $N_{noisy}$, with the wrong one; at least 1 each.

    Raises:
        ValueError: no such kernel or number.
    """
    matrix = np.asarray(kernel, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(f"kernel must be (n, n) with n at least 2, got shape {matrix.shape}")
    for name, count in (("clean", clean), ("noisy", noisy)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    n, trace = len(matrix), float(matrix.trace())
    common = (float(matrix.sum()) - trace) / (n * (n - 1))
    own = (trace / n - common) / common
    return float(-1 / np.sqrt((1 + own / clean) * (1 + own / noisy)))
