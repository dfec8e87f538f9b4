"""Kernel machines against scikit-learn's kernels in the loop one would write around them.

    python benchmarks/kernels.py [--samples N] [--epochs E] [--repeats K] [--out FILE.json]

For the Laplacian and the Gaussian kernel, on random inputs of 784 pixels in two classes, three claims, each a
ratio of two wall times measured in this run, on all cores:

- *matrix*: all kernel values of the training set, by `kernels.KernelMatrix` against scikit-learn
  (`rbf_kernel`, and for the Laplacian kernel `Matern(nu=0.5)`: its `laplacian_kernel` is of sums of absolute
  differences);
- *held*: the matrix and then epochs of mini-batch descent on it in memory, against the bare loop in NumPy on
  scikit-learn's matrix;
- *streamed*: epochs with nothing kept, against the same loop that asks scikit-learn for each batch's rows.

Why that is fair. All take the same batches in the same order and as many steps; none takes measurements but
ours, which takes two. scikit-learn computes in float64 and leaves no choice with `Matern`; `rbf_kernel` is
given float32 inputs, and so are the loops after it. Contestants take turns in one process; what is claimed is
the ratio of the fastest repeats, and the largest difference between the coefficients' outputs is printed.
The held descent by itself is shown without a claim: both loops wait for the same product by NumPy, to which
ours adds its measurements and some 20 microseconds a step.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.gaussian_process.kernels import Matern
from sklearn.metrics.pairwise import rbf_kernel

from cleanprio_lib import kernels
from cleanprio_lib.kernels import KernelMatrix, KernelTraining
from cleanprio_lib.metrics import Task

SEED = 0
BATCH = 256
TESTS = 100
HELD_FACTOR = 10
LEAST = {"matrix": 1.0, "held": 1.0, "held, descent alone": None, "streamed": 1.0}
Array = NDArray[np.floating]


@dataclass(frozen=True)
class Problem:
    """A kernel, its scale, a task, and how it is trained."""

    kernel: str
    scale: float
    task: Task
    training: KernelTraining
    top: float

    def matrix(self, *, held: bool) -> KernelMatrix:
        budget = 2**62 if held else 0
        return KernelMatrix(self.task.x, self.task.x, kernel=self.kernel, scale=self.scale, held=budget)

    def test_matrix(self) -> KernelMatrix:
        return KernelMatrix(self.task.x_test, self.task.x, kernel=self.kernel, scale=self.scale)

    def rows(self, x: Array) -> Array:
        """scikit-learn's values of some inputs with all of them."""
        everyone = self.task.x.numpy()
        if self.kernel == "gaussian":
            return np.asarray(rbf_kernel(x, everyone, gamma=1 / self.scale**2))
        return np.asarray(Matern(length_scale=self.scale, nu=0.5)(x, everyone))


def problem(kernel: str, *, samples: int, epochs: int) -> Problem:
    """Random images around one centre for each class."""
    generator = torch.Generator().manual_seed(SEED)
    labels = torch.arange(samples + TESTS) % 2
    x = (
        torch.rand(samples + TESTS, 784, generator=generator)
        + torch.rand(2, 784, generator=generator)[labels]
    )
    task = Task(x[:samples] / 2, labels[:samples], labels[:samples], x[samples:] / 2, labels[samples:], 2)
    scale = kernels.median_distance(task.x)
    training = KernelTraining(epochs, batch_size=BATCH, step=0.2, records=1)
    top = KernelMatrix(task.x, task.x, kernel=kernel, scale=scale).top_eigenvalue()
    return Problem(kernel, scale, task, training, top)


def our_descent(given: Problem, matrix: KernelMatrix, test: KernelMatrix) -> pd.DataFrame:
    """The library's training, measured twice."""
    return kernels.train(matrix, test, given.task, given.training, top=given.top, seed=SEED, progress=False)


def plain_descent(given: Problem, rows_of: Callable[[slice], Array]) -> Array:
    """Coefficients by the loop one would write."""
    labels = 2.0 * given.task.given.numpy() - 1
    count = len(labels)
    rate = kernels.learning_rate(given.training, top=given.top, samples=count)
    batches = [slice(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]
    coefficients = np.zeros(count, dtype=rows_of(slice(0, 1)).dtype)
    for epoch in range(1, given.training.epochs + 1):
        for number in np.random.default_rng([SEED, epoch]).permutation(len(batches)):
            batch = batches[number]
            coefficients[batch] -= rate * (rows_of(batch) @ coefficients - labels[batch])
    return coefficients


def pairs(given: Problem) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """For each claim, ours and the competitor; on a matrix that is held, for more epochs."""
    x = given.task.x.numpy()
    ours, theirs = given.matrix(held=True), given.rows(x)
    streamed, test = given.matrix(held=False), given.test_matrix()
    longer = replace(given, training=replace(given.training, epochs=HELD_FACTOR * given.training.epochs))
    return {
        "matrix": (lambda: given.matrix(held=True), lambda: given.rows(x)),
        "held": (
            lambda: our_descent(longer, given.matrix(held=True), test),
            lambda: plain_descent(longer, given.rows(x).__getitem__),
        ),
        "held, descent alone": (
            lambda: our_descent(longer, ours, test),
            lambda: plain_descent(longer, theirs.__getitem__),
        ),
        "streamed": (
            lambda: our_descent(given, streamed, test),
            lambda: plain_descent(given, lambda batch: given.rows(x[batch])),
        ),
    }


def benchmark(samples: int, epochs: int, repeats: int) -> pd.DataFrame:
    """A row for each kernel and claim, with the fastest of the repeats' wall times."""
    claims = []
    for kernel in kernels.KERNELS:
        given = problem(kernel, samples=samples, epochs=epochs)
        for what, contestants in pairs(given).items():
            times: tuple[list[float], list[float]] = ([], [])
            for repeat in range(repeats):
                order = (0, 1) if repeat % 2 == 0 else (1, 0)
                for which in order:
                    times[which].append(_seconds(contestants[which]))
            ours, competitor = min(times[0]), min(times[1])
            ratio, least = competitor / ours, LEAST[what]
            claims.append(
                {
                    "what": f"{kernel}: {what}",
                    "ours": ours,
                    "competitor": competitor,
                    "ratio": ratio,
                    "must": "" if least is None else f"≥ {least:.1f}",
                    "reached": "" if least is None else "yes" if ratio >= least else "no",
                }
            )
    return pd.DataFrame(claims)


def difference(given: Problem) -> float:
    """How far the two loops' training residuals are apart, in the mean."""
    coefficients = plain_descent(given, lambda batch: given.rows(given.task.x.numpy()[batch]))
    residual = np.abs(given.rows(given.task.x.numpy()) @ coefficients - (2.0 * given.task.given.numpy() - 1))
    ours = our_descent(given, given.matrix(held=True), given.test_matrix()).train_residual.iloc[-1]
    return float(abs(residual.mean() - ours))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and say what falls short."""
    parser = argparse.ArgumentParser(description="Kernel machines against scikit-learn's kernels in a loop.")
    parser.add_argument("--samples", type=int, default=4_000, help="training inputs (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=5, help="of each descent (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of everything (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="also write the claims to this .json")
    chosen = parser.parse_args(arguments)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    print(f"{torch.get_num_threads()} threads; load before it begins: {load:.1f}", flush=True)
    claims = benchmark(chosen.samples, chosen.epochs, chosen.repeats)
    print(claims.to_string(index=False, float_format="{:.3g}".format))
    for kernel in kernels.KERNELS:
        off = difference(problem(kernel, samples=min(chosen.samples, 500), epochs=chosen.epochs))
        print(f"{kernel}: mean training residuals differ by {off:.1e}")
    short = claims[claims.reached == "no"]
    print("All claims hold here." if short.empty else f"Falls short here: {', '.join(short.what)}")
    if chosen.out:
        content = {"samples": chosen.samples, "epochs": chosen.epochs, "claims": claims.to_dict("records")}
        chosen.out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf8")


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
