r"""Ten classes and several levels of noise in a machine that can be solved: the wide net's tangent kernel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cleanprio_lib import data, noise, theory

Array = NDArray[np.float64]


def by_level(
    split: data.Split,
    levels: Sequence[float],
    *,
    train_samples: int,
    test_samples: int,
    times: Sequence[float] | Array,
    seeds: Sequence[int] = (0,),
    depth: int = 3,
) -> pd.DataFrame:
    r"""Errors of the infinitely wide net's kernel machine under gradient flow, for several noise levels.

    The squared loss of $C$ outputs against one-hot labels, all outputs $1/C$ at the start. Each output is the
    flow of its own labels, so that one set of eigenvectors serves all levels, seeds and classes.

    Args:
        split: a data set of images.
        levels: $\delta$, each in (0, 1).
        train_samples, test_samples: how many of its first images.
        times: $t$, in units of the reciprocal of the largest eigenvalue.
        seeds: of the noise.
        depth: $L$ of the net whose kernel it is.

    Returns:
        A row for each (level, seed, time), with `epoch`, the number of the time, and as
        `metrics.subset_metrics` has them `clean_error`, `noisy_error`, `test_error`, `clean_residual` and
        `noisy_residual`.
    """
    x, x_test = _flat(split.x_train[:train_samples]), _flat(split.x_test[:test_samples])
    true, true_test = split.y_train[:train_samples], split.y_test[:test_samples]
    flow = theory.kernel_flow(theory.tangent_kernel(x, x, depth=depth))
    projected = flow.project(theory.tangent_kernel(x_test, x, depth=depth))
    rows = []
    for level in levels:
        for seed in seeds:
            labels = noise.uniform(true, level, num_classes=split.num_classes, seed=seed)
            wanted = np.eye(split.num_classes)[labels.given]
            for number, time in enumerate(times):
                at = time / flow.values[-1]
                outputs = flow.outputs(wanted - 1 / split.num_classes, at) + 1 / split.num_classes
                on_test = flow.predictions(projected, wanted - 1 / split.num_classes, at)
                errors = _errors(outputs, wanted, labels.is_noisy)
                test = float((on_test.argmax(axis=1) != true_test).mean())
                own = {"level": level, "seed": seed, "epoch": number, "time": time}
                rows.append({**own, **errors, "test_error": test})
    return pd.DataFrame(rows)


def _errors(outputs: Array, wanted: Array, wrong: NDArray[np.bool_]) -> dict[str, float]:
    missed = outputs.argmax(axis=1) != wanted.argmax(axis=1)
    residuals = np.linalg.norm(outputs - wanted, axis=1)
    return {
        f"{subset}_{quantity}": float(values[chosen].mean())
        for subset, chosen in (("clean", ~wrong), ("noisy", wrong))
        for quantity, values in (("error", missed), ("residual", residuals))
    }


def _flat(images: NDArray[np.uint8]) -> Array:
    return images.reshape(len(images), -1) / 255
