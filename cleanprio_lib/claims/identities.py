r"""Claims that are identities: equations 4 and 11, computed on a small net whenever they are judged."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import torch
from torch import Tensor, nn

from cleanprio_lib import data, models, noise
from cleanprio_lib.claims.judging import Claim, Measured, below
from cleanprio_lib.metrics import Task
from cleanprio_lib.sgd import SGD
from cleanprio_lib.training import TrainingSettings, train_epoch

SEEDS = (0, 1, 2)
LEVEL, PER_CLUSTER, WIDTH, DEPTH = 0.3, 20, 32, 3
RATE = 0.5
DISTANCE = 1e-6  # relative; the training loop takes its losses in float32


def _eq_4() -> tuple[Measured, ...]:
    what = "distance of a step from −η∇L(w; D), by its length"
    return (_no_distance(what, pd.Series([step_distance(seed) for seed in SEEDS])),)


def _eq_11() -> tuple[Measured, ...]:
    what = "distance of (g_clean + g_noise)/n, summed over classes, from ∇L(w; D), by its length"
    return (_no_distance(what, pd.Series([sum_distance(seed) for seed in SEEDS])),)


def _no_distance(what: str, distances: pd.Series) -> Measured:
    return below(what, distances, DISTANCE, f"0 (below {DISTANCE:g})")


def step_distance(seed: int) -> float:
    r"""How far a step of the training loop on all samples is from $-\eta \nabla L(w; D)$, by its length.

    Args:
        seed: of inputs, noise and net.

    Source: equation 4 of the paper.
    """
    task, net = _task(seed), _net(seed)
    before, wanted = _flat(net.parameters()), -RATE * _gradient(net, _mean_loss(net, task))
    settings = TrainingSettings(epochs=1, batch_size=None, learning_rate=RATE, precision="float32")
    optimizer = SGD(net.parameters(), lr=RATE)
    train_epoch(net, task, optimizer, settings, epoch=1, seed=seed)
    return float((_flat(net.parameters()) - before - wanted).norm() / wanted.norm())


def sum_distance(seed: int) -> float:
    r"""How far $\frac1n \sum_c (g^{(c)}_{clean} + g^{(c)}_{noise})$ is from $\nabla L(w; D)$, by its length.

    Args:
        seed: of inputs, noise and net.

    Source: equation 11 of the paper, with the $1/n$ that its loss, a mean, asks for.
    """
    task, net = _task(seed), _net(seed)
    whole = _gradient(net, _mean_loss(net, task))
    subsets = [(task.true == c) & (task.is_noisy == noisy) for c in (0, 1) for noisy in (False, True)]
    sums = torch.stack([_subset_gradient(net, task, members) for members in subsets]).sum(dim=0)
    return float((sums / len(task.x) - whole).norm() / whole.norm())


def _task(seed: int) -> Task:
    """Two clusters in the plane with noisy labels, in float64."""
    inputs, classes = data.two_clusters(PER_CLUSTER, seed=seed)
    labels = noise.uniform(classes, LEVEL, num_classes=2, seed=seed)
    x, given, true = torch.from_numpy(inputs), torch.from_numpy(labels.given), torch.from_numpy(labels.true)
    return Task(x, given, true, x_test=x, y_test=true, num_classes=2)


def _net(seed: int) -> nn.Module:
    return models.fully_connected(2, WIDTH, depth=DEPTH, seed=seed).double()


def _mean_loss(net: nn.Module, task: Task) -> Tensor:
    """Written out: in PyTorch's own loss the derivative f − y is built in."""
    f = net(task.x)[:, 0].sigmoid()
    return -torch.where(task.given == 1, f, 1 - f).log().mean()


def _subset_gradient(net: nn.Module, task: Task, members: Tensor) -> Tensor:
    """The sum of (f − y)∇h over the members."""
    logits = net(task.x[members])[:, 0]
    return _gradient(net, ((logits.sigmoid() - task.given[members]).detach() * logits).sum())


def _gradient(net: nn.Module, value: Tensor) -> Tensor:
    return _flat(torch.autograd.grad(value, list(net.parameters())))


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


CLAIMS = (
    Claim(
        "eq-4",
        "A step of gradient descent is −η∇L(w; D), with L the mean loss over the noisy labels.",
        "Equation 4",
        (),
        None,
        _eq_4,
    ),
    Claim(
        "eq-11",
        "∇L(w; D) is the sum of g_clean and g_noise over the classes, divided by n.",
        "Equation 11, with the 1/n that is missing there",
        (),
        None,
        _eq_11,
    ),
)
