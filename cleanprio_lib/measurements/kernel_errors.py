"""Errors of gradient flow on noisy labels, in the mean over all placements of the noise and of draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cleanprio_lib import data, kernels, noise, theory
from cleanprio_lib.kernels import KERNELS
from cleanprio_lib.measurements.kernel_tasks import two_digits
from cleanprio_lib.metrics import Task

ERRORS = ("clean_error", "noisy_error", "test_error")
TANGENT = "tangent"
QUANTILES = (0.025, 0.975)


@dataclass(frozen=True)
class FlowSettings:
    r"""Kernels, noise levels and times.

    Attributes:
        kernels: "laplacian", "gaussian" and "tangent", that of an infinitely wide ReLU net.
        depth: of that net.
        levels: $\delta$.
        first, last: times, in units of $1/\lambda_1$.
        times: how many, evenly spaced in their logarithm.
        draws: of the noise, with which the flow is solved as well.
        train_samples, test_samples: the first images of the two digits; None for all.
        rows: first training samples over which errors of the subsets are taken; None for all.
        classes: two digits.
        dataset: for `data.load`.
    """

    kernels: tuple[str, ...] = (*KERNELS, TANGENT)
    depth: int = 3
    levels: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.45)
    first: float = 0.1
    last: float = 1e5
    times: int = 40
    draws: int = 400
    train_samples: int | None = 2_000
    test_samples: int | None = 1_000
    rows: int | None = 1_000
    classes: tuple[int, int] = (7, 9)
    dataset: str = "mnist"


def kernel_errors(settings: FlowSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    """Solve gradient flow for each kernel and noise level.

    Returns:
        A row for each `kernel`, `level` and `time`: `clean_error`, `noisy_error` and `test_error` in the mean
        over all placements of the noise, by `theory.flow_errors`; `drawn_*`, the mean of each over the draws,
        and `low_*` and `high_*`, between which 95% of the draws are; and the largest eigenvalue, `top`.
    """
    task = two_digits(
        split,
        settings.classes,
        settings.levels[0],
        seed=seed,
        train_samples=settings.train_samples,
        test_samples=settings.test_samples,
    )
    frames = []
    for kernel in settings.kernels:
        flow, projected = solved(task, kernel, depth=settings.depth)
        times = np.geomspace(settings.first, settings.last, settings.times) / flow.values[-1]
        for level in settings.levels:
            mean = _mean_errors(flow, projected, task, level, times, settings.rows)
            drawn = drawn_errors(
                flow, projected, task, level, times, draws=settings.draws, seed=seed, rows=settings.rows
            )
            frame = mean.join(drawn)
            frame.insert(0, "kernel", kernel)
            frame.insert(1, "level", level)
            frames.append(frame.assign(top=flow.values[-1]))
    return pd.concat(frames, ignore_index=True)


def solved(task: Task, kernel: str, *, depth: int = 3) -> tuple[theory.KernelFlow, NDArray[np.float64]]:
    """The flow of a kernel on the task's training inputs, and its test inputs projected, in float64.

    The Laplacian and the Gaussian kernel's scale is the median distance of the training inputs.
    """
    x, x_test = task.x.double(), task.x_test.double()
    if kernel == TANGENT:
        own = theory.tangent_kernel(x.numpy(), x.numpy(), depth=depth)
        cross = theory.tangent_kernel(x_test.numpy(), x.numpy(), depth=depth)
    else:
        scale = kernels.median_distance(task.x)
        own = kernels.kernel_values(x, x, kernel=kernel, scale=scale).fill_diagonal_(1).numpy()
        cross = kernels.kernel_values(x_test, x, kernel=kernel, scale=scale).numpy()
    flow = theory.kernel_flow(own)
    return flow, flow.project(cross)


def drawn_errors(
    flow: theory.KernelFlow,
    projected: NDArray[np.float64],
    task: Task,
    level: float,
    times: NDArray[np.float64],
    *,
    draws: int,
    seed: int,
    rows: int | None = None,
) -> pd.DataFrame:
    """Errors of the flow on some draws of the noise, a row for each time: mean and central 95%.

    Args:
        flow, projected: of `solved`.
        task: its true labels are used.
        level: of the noise.
        times: (T,).
        draws: how many, of seeds that depend on `seed`.
        rows: first training samples over which errors of the subsets are taken; None for all.
    """
    true, true_test = task.true.numpy(), task.y_test.numpy()
    own = np.random.default_rng([seed, 1]).integers(2**31, size=draws)
    given = np.stack([noise.uniform(true, level, num_classes=2, seed=int(one)).given for one in own], axis=1)
    wrong = (given != true[:, None])[:rows]
    records = []
    for time in times:
        errors = ((flow.outputs(2 * given - 1, time) > 0) != given)[:rows]
        test = (flow.predictions(projected, 2 * given - 1, time) > 0) != true_test[:, None]
        found = {
            "clean_error": (errors & ~wrong).sum(axis=0) / (~wrong).sum(axis=0),
            "noisy_error": (errors & wrong).sum(axis=0) / wrong.sum(axis=0),
            "test_error": test.mean(axis=0),
        }
        row = {f"drawn_{name}": values.mean() for name, values in found.items()}
        for side, quantile in zip(("low", "high"), QUANTILES, strict=True):
            row |= {f"{side}_{name}": np.quantile(values, quantile) for name, values in found.items()}
        records.append(row)
    return pd.DataFrame(records)


def _mean_errors(
    flow: theory.KernelFlow,
    projected: NDArray[np.float64],
    task: Task,
    level: float,
    times: NDArray[np.float64],
    rows: int | None,
) -> pd.DataFrame:
    true, true_test = task.true.numpy(), task.y_test.numpy()
    errors = theory.flow_errors(
        flow, true, projected, true_test, level, times, rows=np.arange(len(true))[:rows]
    )
    return pd.DataFrame({name: getattr(errors, name) for name in ("time", *ERRORS)})
