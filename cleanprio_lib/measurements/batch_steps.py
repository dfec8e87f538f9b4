r"""Steps of mini-batches with noisy labels against the gradient that true labels would give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from cleanprio_lib import data, models, noise
from cleanprio_lib.metrics import Task, sample_losses
from cleanprio_lib.sgd import SGD
from cleanprio_lib.training import TrainingSettings, train_epoch


@dataclass(frozen=True)
class BatchSettings:
    r"""A net on the way, and the batches that are drawn at some of its epochs.

    Attributes:
        classes: two digits.
        level: $\delta$.
        width, depth: of the net.
        epochs: after which batches are drawn, in rising order.
        batch_sizes: $B$ of the batches drawn.
        draws: batches of each size.
        train_samples: the first so many training images of the two digits; None for all.
        training_batch, learning_rate: of the training in between.
        dataset: for `data.load`.
    """

    classes: tuple[int, int] = (7, 9)
    level: float = 0.4
    width: int = 512
    depth: int = 3
    epochs: tuple[int, ...] = (0, 10, 40, 160)
    batch_sizes: tuple[int, ...] = (4, 16, 64, 256, 1024)
    draws: int = 200
    train_samples: int | None = None
    training_batch: int = 256
    learning_rate: float = 0.01
    dataset: str = "mnist"


def by_size(settings: BatchSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""What a step of each batch size does, at some epochs of training.

    Returns:
        A row for each `epoch` and `batch`: over the batches drawn, the mean `cosine` of the angle between the
        batch's gradient on its given labels and the gradient of the whole training set on true labels, its
        quantiles `cosine_q05` and `cosine_q95`; `forward`, the share of the batches for which it is positive,
        so that a small step lowers the loss on true labels; `majority`, the share more than half of whose
        labels are wrong; and `whole`, the cosine of the whole training set's gradient on given labels.

    Source: remark 4.3 of the paper.
    """
    task = _task(settings, split, seed)
    net = models.fully_connected(784, settings.width, depth=settings.depth, seed=seed)
    training = TrainingSettings(1, settings.training_batch, settings.learning_rate, precision="float32")
    optimizer = SGD(net.parameters(), lr=settings.learning_rate)
    generator = np.random.default_rng([seed, 1])
    rows = []
    for epoch in range(max(settings.epochs) + 1):
        if epoch > 0:
            train_epoch(net, task, optimizer, training, epoch=epoch, seed=seed)
        if epoch in settings.epochs:
            rows += [{"epoch": epoch, **row} for row in _steps(net, task, settings, generator)]
    return pd.DataFrame(rows)


def _steps(
    net: nn.Module, task: Task, settings: BatchSettings, generator: np.random.Generator
) -> list[dict[str, float]]:
    true = _gradient(net, task.x, task.true)
    whole = _cosine(_gradient(net, task.x, task.given), true)
    rows = []
    for size in settings.batch_sizes:
        cosines, shares = [], []
        for _ in range(settings.draws):
            batch = torch.from_numpy(generator.choice(len(task.x), size, replace=False))
            cosines.append(_cosine(_gradient(net, task.x[batch], task.given[batch]), true))
            shares.append(float(task.is_noisy[batch].double().mean()))
        found = np.array(cosines)
        rows.append(
            {
                "batch": size,
                "cosine": found.mean(),
                "cosine_q05": np.quantile(found, 0.05),
                "cosine_q95": np.quantile(found, 0.95),
                "forward": (found > 0).mean(),
                "majority": (np.array(shares) > 0.5).mean(),
                "whole": whole,
            }
        )
    return rows


def _gradient(net: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    """(p,) gradient of the mean loss."""
    loss = sample_losses(net(x), labels).mean()
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(net.parameters()))])


def _cosine(one: Tensor, other: Tensor) -> float:
    one, other = one.double(), other.double()
    return float(one @ other / (one.norm() * other.norm()))


def _task(settings: BatchSettings, split: data.Split, seed: int) -> Task:
    pair = data.binary(split, settings.classes)
    chosen = slice(settings.train_samples)
    x = torch.from_numpy(pair.x_train[chosen].reshape(-1, 784) / np.float32(255))
    labels = noise.uniform(pair.y_train[chosen], settings.level, num_classes=2, seed=seed)
    x_test = torch.from_numpy(pair.x_test.reshape(-1, 784) / np.float32(255))
    return Task(
        x=x,
        given=torch.from_numpy(labels.given),
        true=torch.from_numpy(labels.true),
        x_test=x_test,
        y_test=torch.from_numpy(pair.y_test.astype(np.int64)),
        num_classes=2,
    )
