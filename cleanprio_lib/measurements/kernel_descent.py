"""Kernel machines trained on noisy labels: errors of every subset over epochs."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cleanprio_lib import data, kernels
from cleanprio_lib.kernels import KernelMatrix, KernelTraining
from cleanprio_lib.measurements.kernel_tasks import two_digits


@dataclass(frozen=True)
class DescentSettings:
    r"""A kernel machine on two digits.

    Attributes:
        kernel: "laplacian" or "gaussian"; its scale is the median distance of `kernels.median_distance`.
        level: $\delta$.
        losses: "squared" and "logistic", or one of them.
        epochs, batch_size, step, records: see `kernels.KernelTraining`.
        train_samples, test_samples: the first images of the two digits; None for all.
        classes: two digits.
        dataset: for `data.load`.
    """

    kernel: str
    level: float = 0.4
    losses: tuple[str, ...] = kernels.LOSSES
    epochs: int = 2_000
    batch_size: int | None = 256
    step: float = 0.2
    records: int = 40
    train_samples: int | None = None
    test_samples: int | None = None
    classes: tuple[int, int] = (7, 9)
    dataset: str = "mnist"


def kernel_descent(settings: DescentSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    """Train a kernel machine with each loss.

    Returns:
        A row for each loss and recorded epoch: `loss`, `epoch`, `time` and the metrics of `kernels.train`; in
        every row the kernel's `scale`, the matrix's `top_eigenvalue` and the largest `entry_error` of its
        float32 values.

    Source: Figure 9 of the paper, which does not state scale, loss, step or epochs.
    """
    task = two_digits(
        split,
        settings.classes,
        settings.level,
        seed=seed,
        train_samples=settings.train_samples,
        test_samples=settings.test_samples,
    )
    scale = kernels.median_distance(task.x)
    error = kernels.entry_error(task.x, kernel=settings.kernel, scale=scale)
    task = kernels.shuffled(task, seed=seed)
    matrix = KernelMatrix(task.x, task.x, kernel=settings.kernel, scale=scale)
    test = KernelMatrix(task.x_test, task.x, kernel=settings.kernel, scale=scale)
    top = matrix.top_eigenvalue()
    frames = []
    for loss in settings.losses:
        training = KernelTraining(settings.epochs, loss, settings.batch_size, settings.step, settings.records)
        frame = kernels.train(matrix, test, task, training, top=top, seed=seed)
        frame.insert(0, "loss", loss)
        frames.append(frame.assign(scale=scale, top_eigenvalue=top, entry_error=error))
    return pd.concat(frames, ignore_index=True)
