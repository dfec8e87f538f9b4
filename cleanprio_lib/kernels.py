r"""Laplacian and Gaussian kernel machines, trained by gradient descent on noisy labels of two classes.

A kernel machine is $f(x) = \sum_i a_i k(x_i, x)$. Gradient descent in the kernel's space changes each of the
coefficients, from zero, by $-\frac\eta B \ell'(f_i, y_i)$, for the $B$ samples of a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy  # type: ignore[import-untyped]
import torch
from torch import Tensor
from tqdm.auto import tqdm

from cleanprio_lib import metrics
from cleanprio_lib.metrics import Task

KERNELS = ("laplacian", "gaussian")
LOSSES = ("squared", "logistic")
HELD = 2 * 2**30  # bytes of kernel values that are kept; more are computed again whenever they are needed
ROWS = 256  # of a streamed matrix at a time
MEDIAN_SAMPLES = 2_000


def median_distance(x: Tensor, *, samples: int = MEDIAN_SAMPLES) -> float:
    r"""The median rule: the median of $\lVert x_i - x_j\rVert$ over all pairs $i < j$ of the first samples.

    Args:
        x: (n, d) inputs.
        samples: how many of the first ones are paired; all where there are fewer.
    """
    return float(np.median(scipy.spatial.distance.pdist(x[:samples].double().numpy())))


def kernel_values(x: Tensor, z: Tensor, *, kernel: str, scale: float) -> Tensor:
    r"""(n, m) values of the kernel $e^{-\lVert x - z\rVert/s}$ or $e^{-\lVert x - z\rVert^2/s^2}$.

    Both are $1/e$ at the distance $s$. Squared distances come from inner products and are uncertain by a few
    last places of the inputs' squared lengths, $\epsilon$: so is $s^2$ times a Gaussian value, while a
    Laplacian one is off by about $\epsilon/(2sr)$ at the distance $r$, and by $\sqrt\epsilon/s$ at zero.

    Args:
        x: (n, d) inputs, float32 or float64, in whose precision all is computed.
        z: (m, d) inputs.
        kernel: "laplacian" or "gaussian".
        scale: $s > 0$.
    """
    if kernel not in KERNELS:
        raise ValueError(f"kernel must be one of {KERNELS}, got {kernel!r}")
    if not 0 < scale < math.inf:
        raise ValueError(f"scale must be positive and finite, got {scale!r}")
    values = torch.addmm((z**2).sum(dim=1), x, z.T, alpha=-2).add_((x**2).sum(dim=1)[:, None]).clamp_(min=0)
    if kernel == "laplacian":
        values.sqrt_()
    return values.mul_(-1 / scale ** (1 if kernel == "laplacian" else 2)).exp_()


def entry_error(x: Tensor, *, kernel: str, scale: float, samples: int = 500) -> float:
    """The largest difference between float32 and float64 values among pairs of some first samples.

    A sample and itself are left out: `KernelMatrix` has exactly one there.
    """
    few = _centred(x[:samples], x)
    single = kernel_values(few.float(), few.float(), kernel=kernel, scale=scale)
    double = kernel_values(few.double(), few.double(), kernel=kernel, scale=scale)
    return float((single - double).fill_diagonal_(0).abs().max())


class KernelMatrix:
    """Kernel values of inputs with training inputs, by blocks of rows, float32.

    They are held in memory where that takes no more than `held` bytes and else computed whenever they are
    asked for, which gives the same numbers.

    Args:
        x: (n, d) inputs, one for each row.
        training: (m, d) inputs, one for each column; where this is `x` itself, the diagonal is exactly 1.
        kernel, scale: as for `kernel_values`.
        held: bytes.
    """

    def __init__(self, x: Tensor, training: Tensor, *, kernel: str, scale: float, held: int = HELD) -> None:
        self.x = _centred(x, training)
        self.training = self.x if x is training else _centred(training, training)
        self.kernel, self.scale = kernel, scale
        self.values: Tensor | None = None
        if 4 * len(x) * len(training) <= held:
            values = torch.empty(len(x), len(training))
            for rows in self.blocks():
                values[rows] = self.rows(rows)
            self.values = values

    def rows(self, rows: slice) -> Tensor:
        """(b, m) values of some rows."""
        if self.values is not None:
            return self.values[rows]
        values = kernel_values(self.x[rows], self.training, kernel=self.kernel, scale=self.scale)
        if self.training is self.x:
            values.diagonal(rows.start or 0).fill_(1)
        return values

    def blocks(self, size: int = ROWS) -> Iterator[slice]:
        """Slices of at most so many rows that follow each other."""
        for start in range(0, len(self.x), size):
            yield slice(start, min(start + size, len(self.x)))

    def times(self, coefficients: Tensor, rows: slice | None = None) -> Tensor:
        """(b,) values of some rows, or of all (n,), times (m,) coefficients.

        What is held is multiplied by NumPy: PyTorch's product of a matrix and a vector keeps to one core.
        """
        if self.values is not None:
            values = self.values if rows is None else self.values[rows]
            return torch.from_numpy(values.numpy() @ coefficients.numpy())
        blocks = self.blocks() if rows is None else [rows]
        return torch.cat([self.rows(block) @ coefficients for block in blocks])

    def top_eigenvalue(self) -> float:
        """Largest eigenvalue of a square matrix, by Lanczos iteration, to a relative 1e-4."""
        size = len(self.x)
        operator = scipy.sparse.linalg.LinearOperator(
            (size, size),
            matvec=lambda vector: self.times(torch.from_numpy(vector.astype(np.float32).ravel())).numpy(),
            dtype=np.float32,
        )
        start = np.ones(size, dtype=np.float32)
        (value,) = scipy.sparse.linalg.eigsh(
            operator, k=1, which="LA", v0=start, tol=1e-4, return_eigenvectors=False
        )
        return float(value)


@dataclass(frozen=True)
class KernelTraining:
    r"""How a kernel machine is trained and when it is measured.

    Attributes:
        epochs: passes over the training set.
        loss: "squared", $\frac12(f - y)^2$ with $y = \pm1$, or "logistic".
        batch_size: samples in a step; None for all of them. The samples are shuffled once into batches, which
            come in another order in every epoch.
        step: the learning rate in units of the one that would learn the top eigenvector in a single step of
            the squared loss, $1/\lambda$ with $\lambda$ its largest curvature: 2 is where it diverges. For
            batches $\lambda$ is at most $(k(x, x) + (B - 1)\lambda_1/n)/B$ on average; the curvature of the
            logistic loss is at most a quarter, and its step four times as long.
        records: measurements, at epochs that are evenly spaced in their logarithm, and one before the first.
    """

    epochs: int
    loss: str = "squared"
    batch_size: int | None = None
    step: float = 1.0
    records: int = 40

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {LOSSES}, got {self.loss!r}")
        for name in ("epochs", "batch_size", "records"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 0 < self.step < 2:
            raise ValueError(f"step must lie in (0, 2), got {self.step}")

    @property
    def recorded(self) -> list[int]:
        """Epochs after which the machine is measured."""
        return [0, *sorted({round(epoch) for epoch in np.geomspace(self.epochs, 1, self.records)})]


def train(
    matrix: KernelMatrix,
    test: KernelMatrix,
    task: Task,
    settings: KernelTraining,
    *,
    top: float,
    seed: int,
    progress: bool = True,
) -> pd.DataFrame:
    r"""Train a kernel machine on the given labels of two classes and measure it on the way.

    Args:
        matrix: (n, n) of the training inputs. With batches its rows are expected in a random order, as
            `shuffled` gives them.
        test: (m, n) of the test inputs with the training inputs.
        task: two classes, its samples in the matrix's order.
        settings: see `KernelTraining`.
        top: `matrix.top_eigenvalue()`.
        seed: of the order of the batches.
        progress: show a progress bar.

    Returns:
        A row for each recorded epoch: `epoch`, `time` (the $t$ of gradient flow, $\dot a = -\ell'$, that has
        passed) and the errors, losses and residuals of `outputs_metrics`.

    Raises:
        FloatingPointError: the outputs are no longer finite.
        ValueError: the task has more than two classes.
    """
    if task.num_classes != 2:
        raise ValueError(f"task must have 2 classes, got {task.num_classes}")
    batches = list(matrix.blocks(settings.batch_size or len(task.x)))
    rate = learning_rate(settings, top=top, samples=len(task.x))
    coefficients, targets = torch.zeros(len(task.x)), _targets(task.given, settings.loss)
    recorded, rows = set(settings.recorded), []
    for epoch in tqdm(range(settings.epochs + 1), desc=settings.loss, unit="epoch", disable=not progress):
        if epoch > 0:
            for number in np.random.default_rng([seed, epoch]).permutation(len(batches)):
                batch = batches[number]
                outputs = matrix.times(coefficients, batch)
                coefficients[batch].sub_(_slopes(outputs, targets[batch], settings.loss), alpha=rate)
        if epoch in recorded:
            outputs = matrix.times(coefficients)
            if not torch.isfinite(outputs).all():
                raise FloatingPointError(f"training diverged by epoch {epoch}; step was {settings.step}")
            measured = outputs_metrics(outputs, test.times(coefficients), task, loss=settings.loss)
            rows.append({"epoch": epoch, "time": epoch * rate, **measured})
    return pd.DataFrame(rows)


def learning_rate(settings: KernelTraining, *, top: float, samples: int) -> float:
    r"""$\eta/B$ of the mean loss of a batch of $B$: the time that passes in an epoch of gradient flow.

    Args:
        settings: see `KernelTraining`.
        top: $\lambda_1$, the largest eigenvalue of the kernel matrix.
        samples: $n$.

    Source: Ma, Bassily and Belkin (2018) for batches.
    """
    batch = settings.batch_size
    curvature = top if batch is None else 1 + (batch - 1) * top / samples
    return settings.step / (curvature * (1.0 if settings.loss == "squared" else 0.25))


def shuffled(task: Task, *, seed: int) -> Task:
    """The task with its training samples in an order that depends on the seed alone."""
    return task.take(torch.from_numpy(np.random.default_rng(seed).permutation(len(task.x))))


def outputs_metrics(outputs: Tensor, test_outputs: Tensor, task: Task, *, loss: str) -> dict[str, float]:
    r"""Error, mean loss and mean residual of each subset, named as by `metrics.subset_metrics`.

    Args:
        outputs: (n,) $f$ of the training samples; an output above zero predicts class 1.
        test_outputs: (m,) of the test samples.
        task: two classes.
        loss: "squared", with labels $\pm1$ and residuals $|f - y|$ that begin at one, or "logistic", with
            residuals of the sigmoid that begin at one half.
    """
    noisy = task.is_noisy
    subsets = {
        "clean": (outputs[~noisy], task.given[~noisy]),
        "noisy": (outputs[noisy], task.given[noisy]),
        "noisy_true": (outputs[noisy], task.true[noisy]),
        "train": (outputs, task.given),
        "test": (test_outputs, task.y_test),
    }
    return {
        f"{subset}_{quantity}": float(values.double().mean())
        for subset, (f, labels) in subsets.items()
        for quantity, values in _samples(f, labels, loss).items()
    }


def _samples(outputs: Tensor, labels: Tensor, loss: str) -> dict[str, Tensor]:
    """Error, loss and residual of each sample."""
    logits = outputs[:, None]
    errors = metrics.sample_errors(logits, labels)
    if loss == "logistic":
        losses, residuals = metrics.sample_losses(logits, labels), metrics.sample_residuals(logits, labels)
        return {"error": errors, "loss": losses, "residual": residuals}
    residuals = _slopes(outputs, _targets(labels, loss), loss).abs()
    return {"error": errors, "loss": residuals**2 / 2, "residual": residuals}


def _targets(labels: Tensor, loss: str) -> Tensor:
    """(b,) what the outputs are compared with: labels of plus and minus one, or of zero and one."""
    return (2 * labels - 1 if loss == "squared" else labels).float()


def _slopes(outputs: Tensor, targets: Tensor, loss: str) -> Tensor:
    r"""(b,) derivatives $\ell'$ of the losses by the outputs."""
    return (outputs if loss == "squared" else torch.sigmoid(outputs)) - targets


def _centred(x: Tensor, training: Tensor) -> Tensor:
    """Inputs without the training inputs' mean, which distances do not see and rounding does."""
    return x - training.mean(dim=0)
