r"""How far the derivatives $\nabla h$ of a net of finite width move while it is trained."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from cleanprio_lib import data, gradients, models, noise
from cleanprio_lib.sgd import SGD


@dataclass(frozen=True)
class DescentSettings:
    r"""Full-batch gradient descent on two digits, in the NTK parametrisation and in float64.

    Attributes:
        classes: the two digits.
        level: $\delta$.
        widths: $m$ of each net.
        depth: $L$.
        train_samples, test_samples: images drawn from the data set's two parts.
        inputs: test images at which derivatives are compared.
        epochs: steps of gradient descent.
        learning_rate: $\eta$, of the mean loss; images have norm 1.
        record_every: epochs between measurements.
        dataset: for `data.load`.
    """

    classes: tuple[int, int] = (7, 9)
    level: float = 0.3
    widths: tuple[int, ...] = (128, 512, 2048)
    depth: int = 2
    train_samples: int = 500
    test_samples: int = 1000
    inputs: int = 40
    epochs: int = 300
    learning_rate: float = 4.0
    record_every: int = 10
    dataset: str = "mnist"


@dataclass(frozen=True, eq=False)
class _Task:
    x: Tensor
    labels: noise.NoisyLabels
    x_test: Tensor
    y_test: Tensor


def in_training(settings: DescentSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""Derivatives in training against those at initialisation: a row for each width and recorded epoch.

    Args:
        settings: nets, data and training.
        seed: draws images, noise and weights.
        split: the whole data set.

    Returns:
        Columns `width`, `epoch`, `train_error` (given labels), `test_error`; over the compared inputs the
        mean `cosine` of the angle between $\nabla h(w_t; x)$ and $\nabla h(w_0; x)$, and `angle_moved`, the
        root mean square change of $\theta_h$ between two inputs since initialisation, radians.

    Source: remark 3.3 of the paper.
    """
    task = _task(settings, split, seed)
    return pd.concat([_trained(settings, task, width, seed) for width in settings.widths], ignore_index=True)


def derivative_cosines(model: nn.Module, other: nn.Module, x: Tensor) -> Tensor:
    r"""(n,) cosines of the angles between $\nabla h(x_i)$ of two nets with the same parameters' shapes."""
    cosines = []
    for i in range(len(x)):
        one, two = (_derivative(net, x[i : i + 1]) for net in (model, other))
        cosines.append(one @ two / (one.norm() * two.norm()))
    return torch.stack(cosines)


def _trained(settings: DescentSettings, task: _Task, width: int, seed: int) -> pd.DataFrame:
    net = models.fully_connected(
        task.x.shape[1], width, depth=settings.depth, parametrization="ntk", seed=seed
    ).double()
    start = copy.deepcopy(net)
    inputs = task.x_test[: settings.inputs]
    angles = gradients.derivative_angles(start, inputs, dtype=torch.float64)
    target = torch.from_numpy(task.labels.given).double()
    optimizer = SGD(net.parameters(), lr=settings.learning_rate)
    rows = []
    for epoch in range(settings.epochs + 1):
        logits = net(task.x)[:, 0]
        if epoch % settings.record_every == 0:
            moved = gradients.derivative_angles(net, inputs, dtype=torch.float64) - angles
            rows.append(
                {
                    "width": width,
                    "epoch": epoch,
                    "train_error": float(((logits > 0) != (target > 0.5)).double().mean()),
                    "test_error": _error(net, task.x_test, task.y_test),
                    "cosine": float(derivative_cosines(net, start, inputs).mean()),
                    "angle_moved": float(_off_diagonal(moved).square().mean().sqrt()),
                }
            )
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits, target).backward()
        optimizer.step()
    return pd.DataFrame(rows)


def _task(settings: DescentSettings, split: data.Split, seed: int) -> _Task:
    pair = data.binary(split, settings.classes)
    generator = np.random.default_rng(seed)
    train, test = (
        generator.choice(len(labels), count, replace=False)
        for labels, count in ((pair.y_train, settings.train_samples), (pair.y_test, settings.test_samples))
    )
    labels = noise.uniform(pair.y_train[train], settings.level, num_classes=2, seed=seed)
    y_test = torch.from_numpy(pair.y_test[test])
    return _Task(_unit(pair.x_train[train]), labels, _unit(pair.x_test[test]), y_test)


def _unit(images: NDArray[np.uint8]) -> Tensor:
    """(n, d) images of norm 1."""
    return F.normalize(torch.from_numpy(images.reshape(len(images), -1)).double(), dim=1)


def _error(net: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return float(((net(x)[:, 0] > 0) != (y == 1)).double().mean())


def _derivative(net: nn.Module, x: Tensor) -> Tensor:
    """(p,) derivative of the one logit at one input."""
    return torch.cat([part.flatten() for part in torch.autograd.grad(net(x).sum(), list(net.parameters()))])


def _off_diagonal(matrix: Tensor) -> Tensor:
    return matrix[~torch.eye(len(matrix), dtype=torch.bool)]
