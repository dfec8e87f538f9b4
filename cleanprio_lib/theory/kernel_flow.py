r"""Gradient flow of a kernel machine on wrong labels, solved: its outputs, and their law over the noise.

Labels are $\pm1$ (class 0 is $-1$), the loss is $\frac12\sum_i (f_i - y_i)^2$ and $f = 0$ at the start. Then
$\dot f = -K(f - y)$, and both the training outputs and those for new inputs are linear in the labels:
$f = S_t y$ with $S_t = I - e^{-Kt}$, and $f(x) = k_x K^{-1} S_t\,y$. So the mean and the variance over all
ways to place the wrong labels are exact; errors follow by a normal approximation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # type: ignore[import-untyped]
from numpy.typing import ArrayLike, NDArray

from cleanprio_lib.theory.placed_noise import PLACEMENTS, output_law, own_output_law, wrong_counts

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class KernelFlow:
    r"""A kernel's eigenvectors, in each of which gradient flow is a single exponential.

    Attributes:
        values: (n,) eigenvalues $\lambda_k$ of $K$, rising, none negative.
        vectors: (n, n), the eigenvectors $u_k$ as columns.
        step: of gradient descent with steps of this size instead of the flow, $(1 - \eta\lambda)^{t/\eta}$
            for $e^{-\lambda t}$ at whole numbers of steps; None for the flow.
    """

    values: Array
    vectors: Array
    step: float | None = None

    def learnt(self, time: float) -> Array:
        r"""(n,) share of each eigenvector's part of the labels that is learnt, $1 - e^{-\lambda_k t}$."""
        if self.step is None:
            return np.asarray(-np.expm1(-time * self.values))
        if self.step * self.values[-1] >= 2:
            raise ValueError(f"step must be below {2 / self.values[-1]:.4g} here, got {self.step}")
        steps, gone = round(time / self.step), self.step * self.values
        slow = gone < 0.5  # by the logarithm, in which nothing cancels
        slowly = -np.expm1(steps * np.log1p(-np.where(slow, gone, 0)))
        return np.asarray(np.where(slow, slowly, 1 - (1 - gone) ** steps))

    def outputs(self, labels: ArrayLike, time: float) -> Array:
        r"""Training outputs $S_t y$ for labels $y = \pm1$, (n,) or (n, draws)."""
        return self._apply(self.vectors, self.learnt(time), labels)

    def predictions(self, projected: Array, labels: ArrayLike, time: float) -> Array:
        """Outputs for new inputs, (m,) or (m, draws): `projected` of `project`, labels as for `outputs`."""
        return self._apply(projected, self._learnt_by_value(time), labels)

    def project(self, cross: ArrayLike) -> Array:
        """(m, n) kernel values of new inputs with the training inputs, in terms of the eigenvectors."""
        return np.asarray(cross, dtype=self.vectors.dtype) @ self.vectors

    def influence(self, time: float, *, rows: ArrayLike | None = None) -> Array:
        r"""$S_t$, or (r, n) of its rows: how much each label moves each training output."""
        chosen = self.vectors if rows is None else self.vectors[np.asarray(rows)]
        return np.asarray((chosen * self.learnt(time).astype(chosen.dtype)) @ self.vectors.T)

    def influence_on(self, projected: Array, time: float) -> Array:
        """(m, n): how much each label moves each new input's output; `projected` of `project`."""
        return np.asarray((projected * self._learnt_by_value(time).astype(projected.dtype)) @ self.vectors.T)

    def _learnt_by_value(self, time: float) -> Array:
        r"""$(1 - e^{-\lambda t})/\lambda$, which is $t$ at zero."""
        positive = self.values > 0
        divided = self.learnt(time) / np.where(positive, self.values, 1)
        return np.asarray(np.where(positive, divided, time))

    def _apply(self, left: Array, middle: Array, labels: ArrayLike) -> Array:
        parts = (np.asarray(labels, dtype=self.vectors.dtype).T @ self.vectors) * middle
        return np.asarray(left @ parts.T)


def kernel_flow(kernel: ArrayLike, *, step: float | None = None) -> KernelFlow:
    """The flow of a symmetric kernel matrix (n, n), in its own precision (float32 or float64).

    Rounding makes eigenvalues uncertain by about the largest one times the precision's last place, so that
    times are reliable far below the reciprocal of that. Those that come out negative are set to zero.

    Raises:
        ValueError: the kernel is not a square matrix.
    """
    matrix = np.asarray(kernel)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"kernel must be a square matrix, got shape {matrix.shape}")
    values, vectors = scipy.linalg.eigh(matrix, driver="evd", check_finite=False)
    return KernelFlow(np.maximum(values, 0).astype(np.float64), vectors, step)


@dataclass(frozen=True, eq=False)
class FlowErrors:
    r"""What gradient flow on noisy labels does, in the mean over all placements of the noise.

    Attributes:
        time: (T,) $t$.
        clean_error, noisy_error, train_error: (T,) against the given labels.
        test_error: (T,) against the true ones; errors by the normal approximation.
        clean_output, noisy_output: (T,) mean of $\hat y f$ on the two subsets, exact.
    """

    time: Array
    clean_error: Array
    noisy_error: Array
    train_error: Array
    test_error: Array
    clean_output: Array
    noisy_output: Array


def flow_errors(
    flow: KernelFlow,
    true: ArrayLike,
    projected: Array,
    true_test: ArrayLike,
    level: float,
    times: Sequence[float] | Array,
    *,
    rows: ArrayLike | None = None,
    placement: str = PLACEMENTS[0],
) -> FlowErrors:
    r"""Errors of all subsets over time, in the mean over all placements of the noise.

    Args:
        flow: of the training inputs' kernel.
        true: (n,) true labels, 0 or 1.
        projected: (m, n) of `KernelFlow.project`, for the test inputs.
        true_test: (m,) their labels.
        level: $\delta$, in (0, 1).
        times: (T,) $t$.
        rows: (r,) training samples over which the subsets' means are taken; None for all. The time it takes
            grows with $(r + m)n^2$ for each $t$.
        placement: as for `output_law`.
    """
    labels, counts = wrong_counts(true, level)
    rows = np.arange(len(labels)) if rows is None else np.asarray(rows)
    shares = counts / np.bincount(labels, minlength=2) if placement == PLACEMENTS[0] else np.full(2, level)
    share = shares[labels[rows]]
    weights = {False: (1 - share) / (1 - share).sum(), True: share / share.sum()}
    found: dict[str, list[float]] = {name: [] for name in FlowErrors.__dataclass_fields__}
    for time in times:
        influence = flow.influence(time, rows=rows)
        for wrong, name in ((False, "clean"), (True, "noisy")):
            law = own_output_law(influence, rows, labels, level, wrong=wrong, placement=placement)
            below = law.chance_below_zero
            found[f"{name}_error"].append(float(weights[wrong] @ (1 - below if wrong else below)))
            found[f"{name}_output"].append(float(weights[wrong] @ law.mean))
        found["test_error"].append(
            expected_test_error(flow, labels, projected, true_test, level, time, placement=placement)
        )
        found["time"].append(float(time))
    level_of_all = shares @ np.bincount(labels) / len(labels)
    arrays = {name: np.array(values) for name, values in found.items()}
    arrays["train_error"] = (1 - level_of_all) * arrays["clean_error"] + level_of_all * arrays["noisy_error"]
    return FlowErrors(**arrays)


def expected_test_error(
    flow: KernelFlow,
    true: ArrayLike,
    projected: Array,
    true_test: ArrayLike,
    level: float,
    time: float,
    *,
    placement: str = PLACEMENTS[0],
) -> float:
    """Test error at one time, in the mean over all placements; arguments as for `flow_errors`."""
    below = output_law(flow.influence_on(projected, time), true, level, placement=placement).chance_below_zero
    return float(np.where(np.asarray(true_test) == 1, below, 1 - below).mean())


def turning_time(
    flow: KernelFlow,
    true: ArrayLike,
    projected: Array,
    true_test: ArrayLike,
    level: float,
    *,
    between: tuple[float, float],
    placement: str = PLACEMENTS[0],
) -> tuple[float, float]:
    """When the mean test error is lowest, and how low: (time, error).

    Args:
        between: times within which it is looked for, on 40 that are evenly spaced in their logarithm and then
            around the best of these; others as for `flow_errors`.
    """

    def error(log_time: float) -> float:
        return expected_test_error(
            flow, true, projected, true_test, level, float(np.exp(log_time)), placement=placement
        )

    grid = np.linspace(np.log(between[0]), np.log(between[1]), 40)
    best = int(np.argmin([error(log_time) for log_time in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = scipy.optimize.minimize_scalar(error, bounds=around, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x)), float(found.fun)
