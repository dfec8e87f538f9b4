"""Problems as a practitioner has them: noisy training labels, held-out noisy labels, inputs without any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cleanprio_lib import data, models, noise
from cleanprio_lib.metrics import Task
from cleanprio_lib.training import TrainingSettings


@dataclass(frozen=True)
class PracticeSettings:
    r"""A problem, a fully connected net and its training.

    Attributes:
        level: $\delta$, of the training and the validation labels.
        training: steps and epochs; every epoch is measured, on all samples.
        concentration: share of the wrong labels that are the next class, as in `noise.transition_matrix`: 0
            for uniform noise, 1 for pair flips.
        classes: two digits; None for all ten.
        train_samples: the first so many training images.
        validation_samples: the images after them, whose labels have the same noise and are held out.
        probe_samples: the images after these, whose labels are random or not used at all.
        test_samples: the first so many test images; None for all.
        width, depth: of the net.
        batches: whose gradients are compared, each of the training's batch size.
        dataset: for `data.load`.

    Raises:
        ValueError: there is no batch size, or there are too few samples for the batches that are compared.
    """

    level: float
    training: TrainingSettings
    concentration: float = 0.0
    classes: tuple[int, int] | None = None
    train_samples: int = 6_000
    validation_samples: int = 1_000
    probe_samples: int = 256
    test_samples: int | None = None
    width: int = 256
    depth: int = 3
    batches: int = 5
    dataset: str = "mnist"

    def __post_init__(self) -> None:
        if self.training.batch_size is None or self.batches < 2:
            raise ValueError("training must have a batch size and batches must be at least 2")
        if self.batches * self.training.batch_size > self.train_samples:
            raise ValueError(
                f"train_samples must be at least {self.batches} batches of {self.training.batch_size}, "
                f"got {self.train_samples}"
            )


@dataclass(frozen=True, eq=False)
class Practice:
    """A problem's samples.

    Attributes:
        task: training samples with noisy labels, and test samples with true ones.
        validation: held-out samples with noisy labels, as the training part of a task.
        probe: held-out samples with labels drawn evenly from all classes, likewise.
    """

    task: Task
    validation: Task
    probe: Task


def practice(settings: PracticeSettings, split: data.Split, *, seed: int) -> Practice:
    """The problem that settings name, its noise from the seed.

    Raises:
        ValueError: the data set has too few images.
    """
    split = split if settings.classes is None else data.binary(split, settings.classes)
    counts = settings.train_samples, settings.validation_samples, settings.probe_samples
    ends = np.cumsum(counts)
    if ends[-1] > len(split.x_train):
        raise ValueError(f"train, validation and probe samples must be at most {len(split.x_train)} together")
    parts = [slice(end - count, end) for count, end in zip(counts, ends, strict=True)]
    generator = np.random.default_rng([seed, 3])
    true = split.y_train.astype(np.int64)
    given = [
        noisy_labels(true[parts[0]], settings, split.num_classes, seed=seed).given,
        noisy_labels(true[parts[1]], settings, split.num_classes, seed=seed + 1_000_000).given,
        generator.integers(split.num_classes, size=settings.probe_samples),
    ]
    chosen = slice(settings.test_samples)
    test = _flat(split.x_test[chosen]), torch.from_numpy(split.y_test[chosen].astype(np.int64))
    tasks = [
        Task(
            x=_flat(split.x_train[part]),
            given=torch.from_numpy(np.asarray(labels, dtype=np.int64)),
            true=torch.from_numpy(true[part]),
            x_test=test[0],
            y_test=test[1],
            num_classes=split.num_classes,
        )
        for part, labels in zip(parts, given, strict=True)
    ]
    return Practice(*tasks)


def noisy_labels(
    true: NDArray[np.int64], settings: PracticeSettings, num_classes: int, *, seed: int
) -> noise.NoisyLabels:
    """True labels with the settings' noise, exactly so much of it in every class."""
    if not settings.concentration:
        return noise.uniform(true, settings.level, num_classes=num_classes, seed=seed)
    matrix = noise.transition_matrix(
        settings.level, num_classes=num_classes, concentration=settings.concentration
    )
    return noise.asymmetric(true, matrix, seed=seed)


def new_net(
    settings: PracticeSettings, task: Task, *, seed: int, num_outputs: int | None = None
) -> nn.Module:
    """The fully connected net with initial weights from the seed; `num_outputs` None for the task's own."""
    outputs = task.num_outputs if num_outputs is None else num_outputs
    return models.fully_connected(
        task.x[0].numel(), settings.width, depth=settings.depth, num_outputs=outputs, seed=seed
    )


def predicted(logits: Tensor) -> Tensor:
    """(n,) predicted classes of (n, k) logits."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)


def _flat(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images.reshape(len(images), -1)).float() / 255
