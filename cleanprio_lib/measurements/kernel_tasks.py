"""Two digits as flat inputs with noisy labels, for kernels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from cleanprio_lib import data, noise
from cleanprio_lib.metrics import Task


def two_digits(
    split: data.Split,
    classes: tuple[int, int],
    level: float,
    *,
    seed: int,
    train_samples: int | None = None,
    test_samples: int | None = None,
) -> Task:
    r"""The first images of two digits, with noise on the training labels.

    Args:
        split: a data set of 28 × 28 images.
        classes: two digits, which become 0 and 1.
        level: $\delta$.
        seed: of the noise.
        train_samples, test_samples: how many of the two digits' first images; None for all.

    Returns:
        A task with (n, 784) float32 inputs in [0, 1].
    """
    pair = data.binary(split, classes)
    labels = noise.uniform(pair.y_train[:train_samples], level, num_classes=2, seed=seed)
    return Task(
        x=_flat(pair.x_train[:train_samples]),
        given=torch.from_numpy(labels.given),
        true=torch.from_numpy(labels.true),
        x_test=_flat(pair.x_test[:test_samples]),
        y_test=torch.from_numpy(pair.y_test[:test_samples].astype(np.int64)),
        num_classes=2,
    )


def _flat(images: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(images.reshape(len(images), -1)).float() / 255
