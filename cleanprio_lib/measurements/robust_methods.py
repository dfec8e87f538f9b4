"""Methods for noisy labels on one problem: the same net, the same batches, the same number of epochs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cleanprio_lib import data, robust_training, theory
from cleanprio_lib.measurements.practice_signals import errors_and_losses, held_out_metrics
from cleanprio_lib.measurements.practice_tasks import Practice, PracticeSettings, new_net, practice
from cleanprio_lib.metrics import Task, predict, sample_losses
from cleanprio_lib.sgd import SGD
from cleanprio_lib.training import sample_order

PLAIN, SMOOTHED, ELR, SMALL_LOSS, CO_TEACHING, AUM = (
    "plain",
    "label smoothing",
    "ELR",
    "small loss",
    "Co-teaching",
    "AUM",
)
METHODS = (PLAIN, SMOOTHED, ELR, SMALL_LOSS, CO_TEACHING, AUM)
Step = Callable[[list[nn.Module], Tensor, int], list[Tensor]]


@dataclass(frozen=True)
class RobustSettings:
    r"""A problem with more than two classes, and what the methods are told.

    Attributes:
        problem: samples, net and training, the same for all methods.
        methods: some of `METHODS`.
        strength, momentum: $\lambda$ and $\beta$ of ELR.
        gradual: epochs $T_k$ until small-loss selection and Co-teaching leave out as many as are wrong.
        quantile: of the threshold samples' area under the margin, at and below which a sample is removed.

    Raises:
        ValueError: there is no such method.
    """

    problem: PracticeSettings
    methods: tuple[str, ...] = METHODS
    strength: float = 3.0
    momentum: float = 0.7
    gradual: int = 10
    quantile: float = 0.99

    def __post_init__(self) -> None:
        if unknown := set(self.methods) - set(METHODS):
            raise ValueError(f"methods must be some of {METHODS}, got {sorted(unknown)}")

    @property
    def dataset(self) -> str:
        """Name for `data.load`."""
        return self.problem.dataset


def compare(settings: RobustSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""Train with each method and record its errors at every epoch.

    Label smoothing takes as much as the noise itself amounts to, $\kappa = \delta C/(C-1)$. Small-loss
    selection, in one net, and Co-teaching, whose two nets choose for each other, know $\delta$. AUM spends
    the first half of the epochs on ranking, with threshold samples in a class of their own, removes what
    ranks like these, and trains a new net on the rest in the second half; threshold samples are kept.

    Returns:
        A row for each `method` and `epoch`: `test_error`, `train_error`, `clean_error`, `noisy_error` and
        `validation_error` (held-out noisy labels), of Co-teaching the mean of its two nets'; and `removed`
        and `removed_wrong`, of AUM the share of the training samples that it takes out, and the share of
        these whose labels are wrong, else NaN.
    """
    problem = practice(settings.problem, split, seed=seed)
    frames = []
    for method in settings.methods:
        run = _with_aum if method == AUM else _with_loss
        frames.append(run(method, settings, problem, seed=seed).assign(method=method))
    frame = pd.concat(frames, ignore_index=True)
    return frame[["method", *(name for name in frame if name != "method")]]


def _with_loss(method: str, settings: RobustSettings, problem: Practice, *, seed: int) -> pd.DataFrame:
    """One method that changes the loss, or which samples it is taken over."""
    count = 2 if method == CO_TEACHING else 1
    nets = [new_net(settings.problem, problem.task, seed=seed + 1_000 * k) for k in range(count)]
    step = step_of(method, settings, problem.task)
    return _trained(
        nets, problem, settings, step, problem.task, epochs=settings.problem.training.epochs, seed=seed
    )


def _with_aum(method: str, settings: RobustSettings, problem: Practice, *, seed: int) -> pd.DataFrame:
    """Rank by the area under the margin, remove, and train anew on the rest."""
    first = settings.problem.training.epochs // 2
    suspect = removed_by_aum(settings, problem.task, epochs=first, seed=seed)
    rest = problem.task.take(torch.nonzero(~suspect)[:, 0])
    net = new_net(settings.problem, problem.task, seed=seed)
    step = step_of(PLAIN, settings, rest)
    left = settings.problem.training.epochs - first
    frame = _trained([net], problem, settings, step, rest, epochs=left, seed=seed)
    wrong = float(problem.task.is_noisy[suspect].double().mean()) if suspect.any() else np.nan
    return frame.assign(
        epoch=frame.epoch + first, removed=float(suspect.double().mean()), removed_wrong=wrong
    )


def removed_by_aum(settings: RobustSettings, task: Task, *, epochs: int, seed: int) -> Tensor:
    """(n,) mask of the samples whose area under the margin is at most that of the threshold samples.

    That is the quantile of settings of theirs, after so many epochs with one output more than classes.
    """
    labels, chosen = robust_training.threshold_labels(task.given, task.num_classes, seed=seed)
    net = new_net(settings.problem, task, seed=seed, num_outputs=task.num_classes + 1)
    marked = replace(task, given=labels)
    areas = torch.zeros(len(labels), dtype=torch.float64)
    step = step_of(PLAIN, settings, marked)
    optimizers = _optimizers([net], settings)
    for epoch in range(1, epochs + 1):
        _epoch([net], optimizers, marked, settings, step, epoch=epoch, seed=seed)
        areas += robust_training.margins(predict(net, task.x), labels).double() / epochs
    return ~chosen & (areas <= torch.quantile(areas[chosen], settings.quantile))


def step_of(method: str, settings: RobustSettings, task: Task) -> Step:
    """The losses that a step is taken on, one for each net, as a function of nets, batch and epoch."""
    x, given = task.x, task.given
    smoothing = float(theory.smoothing(settings.problem.level, task.num_classes))
    targets = torch.zeros(len(given), task.num_classes)

    def plain(nets: list[nn.Module], batch: Tensor, epoch: int) -> list[Tensor]:
        return [sample_losses(nets[0](x[batch]), given[batch]).mean()]

    def smoothed(nets: list[nn.Module], batch: Tensor, epoch: int) -> list[Tensor]:
        return [F.cross_entropy(nets[0](x[batch]), given[batch], label_smoothing=smoothing)]

    def regularised(nets: list[nn.Module], batch: Tensor, epoch: int) -> list[Tensor]:
        logits = nets[0](x[batch])
        moved = robust_training.moved_targets(targets[batch], logits, momentum=settings.momentum)
        targets[batch] = moved
        term = robust_training.elr_term(logits, moved)
        return [sample_losses(logits, given[batch]).mean() + settings.strength * term]

    def selected(nets: list[nn.Module], batch: Tensor, epoch: int) -> list[Tensor]:
        share = robust_training.kept_share(epoch, forgotten=settings.problem.level, gradual=settings.gradual)
        losses = [sample_losses(net(x[batch]), given[batch]) for net in nets]
        chosen = [robust_training.smallest(own, share) for own in losses]
        # With two nets each learns what the other has chosen; with one, what it has chosen itself.
        return [own[other].mean() for own, other in zip(losses, reversed(chosen), strict=True)]

    steps = {PLAIN: plain, SMOOTHED: smoothed, ELR: regularised, SMALL_LOSS: selected, CO_TEACHING: selected}
    return steps[method]


def _trained(
    nets: list[nn.Module],
    problem: Practice,
    settings: RobustSettings,
    step: Step,
    task: Task,
    *,
    epochs: int,
    seed: int,
) -> pd.DataFrame:
    optimizers = _optimizers(nets, settings)
    rows = []
    for epoch in range(epochs + 1):
        if epoch > 0:
            _epoch(nets, optimizers, task, settings, step, epoch=epoch, seed=seed)
        rows.append({"epoch": epoch, **_errors(nets, problem)})
    return pd.DataFrame(rows).assign(removed=np.nan, removed_wrong=np.nan)


def _epoch(
    nets: list[nn.Module],
    optimizers: list[SGD],
    task: Task,
    settings: RobustSettings,
    step: Step,
    *,
    epoch: int,
    seed: int,
) -> None:
    size = settings.problem.training.batch_size or len(task.x)
    for batch in sample_order(len(task.x), epoch=epoch, seed=seed).split(size):
        for optimizer, loss in zip(optimizers, step(nets, batch, epoch), strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _optimizers(nets: list[nn.Module], settings: RobustSettings) -> list[SGD]:
    training = settings.problem.training
    return [SGD(net.parameters(), lr=training.learning_rate, momentum=training.momentum) for net in nets]


def _errors(nets: list[nn.Module], problem: Practice) -> dict[str, float]:
    names = ("test_error", "train_error", "clean_error", "noisy_error", "validation_error")
    task, validation = problem.task, problem.validation
    found = [
        {**errors_and_losses(net, task, predict(net, task.x)), **held_out_metrics(net, validation)}
        for net in nets
    ]
    return {name: float(np.mean([one[name] for one in found])) for name in names}
