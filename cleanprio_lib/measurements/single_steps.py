r"""How far one mini-batch step moves the ratio of single-logit gradients, by the number of images in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from cleanprio_lib import data, gradients, models, noise
from cleanprio_lib.measurements.logit_dynamics import CLEAN, NOISY, logit_masks
from cleanprio_lib.metrics import Task, measured_samples
from cleanprio_lib.sgd import SGD
from cleanprio_lib.steps import Step
from cleanprio_lib.training import TrainingSettings, train_epoch


@dataclass(frozen=True)
class StepSettings:
    r"""The paper's CNN on the way, and the steps that are tried there.

    Attributes:
        level: $\delta$.
        epochs: of training before the first trial.
        batch_size: of that training, and of the steps between two trials.
        learning_rate: $\eta$ of all steps.
        batch_sizes: images in the steps that are tried.
        draws: trials, each from other weights.
        between: ordinary steps before each trial.
        samples: on how many training images the ratio is measured.
        train_samples: the first so many training images; None for all.
        dataset: for `data.load`.
    """

    level: float = 0.3
    epochs: int = 3
    batch_size: int = 512
    learning_rate: float = 0.1
    batch_sizes: tuple[int, ...] = (96, 224, 512)
    draws: int = 24
    between: int = 4
    samples: int = 1_000
    train_samples: int | None = None
    dataset: str = "mnist"


def tried(settings: StepSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""Steps of several sizes, each tried from the same weights and taken back, at moments of a training.

    Returns:
        A row for each `draw` and `batch`: `before` and `after`, the ratio
        $\lVert g^{(c)}_{clean}\rVert/\lVert g^{(c)}_{noise}\rVert$, geometric mean over logits, before the
        step and after it. The images of a step are drawn without repetition, anew for every trial and size.

    Raises:
        ValueError: a step has more images than there are.

    Source: beyond the paper; the ratio is that of figure 8.
    """
    task = _task(settings, split, seed)
    most = max(settings.batch_size, *settings.batch_sizes)
    if most > len(task.x):
        raise ValueError(f"batch sizes must be at most {len(task.x)}, the number of images, got {most}")
    net = models.mnist_cnn(seed=seed).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    training = TrainingSettings(1, settings.batch_size, settings.learning_rate, precision="float32")
    optimizer = SGD(net.parameters(), lr=settings.learning_rate)
    for epoch in range(1, settings.epochs + 1):
        train_epoch(net, task, optimizer, training, epoch=epoch, seed=seed)
    step = Step(net, task, optimizer, training)
    measured = task.take(torch.from_numpy(measured_samples(task.true, task.is_noisy, settings.samples)))
    generator = np.random.default_rng([seed, 1])

    def take(size: int) -> None:
        step(torch.from_numpy(generator.choice(len(task.x), size, replace=False)))

    rows = []
    for draw in range(settings.draws):
        for _ in range(settings.between):
            take(settings.batch_size)
        weights, before = _weights(net), _ratio(net, measured)
        for size in settings.batch_sizes:
            take(size)
            rows.append({"draw": draw, "batch": size, "before": before, "after": _ratio(net, measured)})
            net.load_state_dict(weights)
    return pd.DataFrame(rows)


def _weights(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def _ratio(net: nn.Module, task: Task) -> float:
    """Geometric mean over logits of the clean over the noisy single-logit gradient."""
    subsets = logit_masks(task)[[CLEAN, NOISY]]
    ratios = gradients.subset_gradients(net, task.x, task.given, subsets).ratios[:, 0, 1]
    return float(ratios.log().mean().exp())


def _task(settings: StepSettings, split: data.Split, seed: int) -> Task:
    chosen = slice(settings.train_samples)
    labels = noise.uniform(split.y_train[chosen], settings.level, num_classes=split.num_classes, seed=seed)
    x = torch.from_numpy(split.x_train[chosen, None]).float().div_(255)
    x, true = x.contiguous(memory_format=torch.channels_last), torch.from_numpy(labels.true)
    return Task(x, torch.from_numpy(labels.given), true, x[:0], true[:0], split.num_classes)
