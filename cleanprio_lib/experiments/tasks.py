"""The task and the net that settings name."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cleanprio_lib import data, models, noise
from cleanprio_lib.experiments.settings import Settings
from cleanprio_lib.metrics import Task


def _fully_connected(task: Task, *, seed: int, **net: Any) -> nn.Module:
    return models.fully_connected(task.x[0].numel(), num_outputs=task.num_outputs, seed=seed, **net)


def _centred(task: Task, *, seed: int, **net: Any) -> nn.Module:
    return models.Centred(lambda: _fully_connected(task, seed=seed, **net))


def _mnist_cnn(task: Task, *, seed: int) -> nn.Module:
    return models.mnist_cnn(num_classes=task.num_classes, seed=seed)


def _resnet9(task: Task, *, seed: int, **net: Any) -> nn.Module:
    return models.resnet9(num_classes=task.num_classes, seed=seed, **net)


MODELS: MappingProxyType[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "mnist_cnn": _mnist_cnn,
        "resnet9": _resnet9,
        "fully_connected": _fully_connected,
        "centred_fully_connected": _centred,
    }
)


def split_of(settings: Any, split: data.Split | None = None) -> data.Split | None:
    """The data set that settings name, loaded unless it is given; None if they name none."""
    return split if split is not None or settings.dataset is None else data.load(settings.dataset)


def build_task(settings: Settings, split: data.Split, *, seed: int) -> Task:
    """Inputs in [0, 1] with channels first and labels with noise placed from the seed."""
    split = split if settings.classes is None else data.binary(split, settings.classes)
    x, true = _first(split.x_train, split.y_train, settings.train_samples, "train_samples")
    x_test, y_test = _first(split.x_test, split.y_test, settings.test_samples, "test_samples")
    labels = _given(true, settings, split.num_classes, seed=seed)
    return Task(
        x=_inputs(x),
        given=torch.from_numpy(labels.given),
        true=torch.from_numpy(labels.true),
        x_test=_inputs(x_test),
        y_test=torch.from_numpy(y_test.astype(np.int64)),
        num_classes=split.num_classes,
        targets=_targets(settings, labels, split.num_classes),
    )


def build_model(settings: Settings, task: Task, *, seed: int) -> nn.Module:
    """The experiment's net with initial weights from the seed."""
    return MODELS[settings.model](task, seed=seed, **dict(settings.net or ()))


def _given(
    true: NDArray[np.integer], settings: Settings, num_classes: int, *, seed: int
) -> noise.NoisyLabels:
    if settings.concentration is None:
        return noise.uniform(true, settings.level, num_classes=num_classes, seed=seed)
    matrix = noise.transition_matrix(
        settings.level, num_classes=num_classes, concentration=settings.concentration
    )
    return noise.asymmetric(true, matrix, seed=seed)


def _targets(settings: Settings, labels: noise.NoisyLabels, num_classes: int) -> torch.Tensor | None:
    r"""True labels, or for each the mean of given ones: label smoothing by $\kappa = \delta C/(C-1)$."""
    if settings.targets is None:
        return None
    true = torch.from_numpy(labels.true)
    if settings.targets == "true":
        return true
    kept = 1 - settings.level
    wrong = settings.level / (num_classes - 1)
    rows = torch.full((num_classes, num_classes), wrong).fill_diagonal_(kept)[true]
    return rows[:, 1] if num_classes == 2 else rows


def _first(
    x: NDArray[np.uint8], y: NDArray[np.integer], count: int | None, name: str
) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    if count is not None and not 0 < count <= len(x):
        raise ValueError(f"{name} must lie in [1, {len(x)}] for this data, got {count}")
    return x[:count], y[:count]


def _inputs(images: NDArray[np.uint8]) -> torch.Tensor:
    """(n, h, w) or (n, h, w, c) bytes to (n, c, h, w) float32 in [0, 1], channels last in memory."""
    pixels = torch.from_numpy(images if images.ndim == 4 else images[..., None])
    return pixels.permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)
