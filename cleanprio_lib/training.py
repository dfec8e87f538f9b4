"""Plain stochastic gradient descent, measured at fixed weights, that survives being killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from cleanprio_lib.checkpoints import RunState, threads
from cleanprio_lib.metrics import Task, measured_samples, predict, subset_metrics
from cleanprio_lib.precision import full_precision, resolve_precision
from cleanprio_lib.sgd import SGD, Optimizer
from cleanprio_lib.steps import Step, compiled_step

Measure = Callable[[nn.Module, Task], dict[str, float]]
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class TrainingSettings:
    """How a net is trained and when it is measured.

    Attributes:
        epochs: passes over the training set.
        batch_size: samples in a step; the last batch of an epoch takes what is left. None for all of them:
            gradient descent, one step an epoch.
        learning_rate: $\\eta$ of the mean loss of a batch.
        momentum: of plain SGD; the paper's is 0.
        record_every: measure after every such epoch, and always before the first and after the last.
        dense_epochs: measure after each of the first so many epochs too.
        measured: on how many training samples (the same share of every class, clean and noisy) the subset
            metrics are taken; None for all. The test set is always measured whole.
        precision: of the training steps: "float32" (never TensorFloat-32), "bfloat16" (autocast; weights stay
            float32), or "auto", which is bfloat16 where the device has the instructions. Measurements are
            always float32.
    """

    epochs: int
    batch_size: int | None
    learning_rate: float
    momentum: float = 0.0
    record_every: int = 1
    dense_epochs: int = 0
    measured: int | None = None
    precision: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "record_every"):
            value = getattr(self, name)
            if not (value is None and name == "batch_size") and (value is None or value < 1):
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}, got {self.precision!r}")

    def is_recorded(self, epoch: int) -> bool:
        """Whether the net is measured after `epoch` passes."""
        return epoch <= self.dense_epochs or epoch % self.record_every == 0 or epoch == self.epochs


def train(
    model: nn.Module,
    task: Task,
    settings: TrainingSettings,
    *,
    seed: int,
    measures: Sequence[Measure] = (subset_metrics,),
    checkpoint: Path | None = None,
    compiled: bool = False,
    progress: bool = True,
    description: str = "training",
) -> pd.DataFrame:
    """Train `model` in place by SGD on the task's targets and measure it on the way.

    The run is a function of the model's weights, the task, the settings and the seed: on a CPU bit for bit,
    for one number of threads. With a `checkpoint` path, a run that was killed at any moment goes on from
    its last saved epoch and gives the same numbers as one that was not.

    Args:
        model: maps (n, ...) inputs to (n, task.num_outputs) logits; on the task's device.
        task: inputs and labels.
        settings: see `TrainingSettings`.
        seed: of the order of the samples.
        measures: functions of (model, task) that return named numbers, called at every recorded epoch.
        checkpoint: file that holds the run's state; removed by nobody but its owner.
        compiled: take steps by `steps.compiled_step`; numbers change in the last places.
        progress: show a progress bar.
        description: what the bar says.

    Returns:
        A row for each recorded epoch: `epoch` and the measures' columns. The frame's `attrs` hold the
        resolved `precision`, whether it was `compiled`, the number of `threads`, when it was `started`
        and how many `seconds` it ran.

    Raises:
        FloatingPointError: the loss is no longer finite.
        ValueError: the checkpoint belongs to another run, or is past its last epoch.
    """
    _check_logits(model, task)
    device = task.x.device
    precision = resolve_precision(settings.precision, device)
    measured_task = _measured_task(task, settings)
    if task.x.ndim == 4:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = SGD(model.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    identity = {**asdict(settings), "precision": precision, "compiled": compiled}
    identity |= {"seed": seed, "samples": len(task.x)}
    del identity["epochs"]  # a finished run may go on for longer
    state = RunState(model, optimizer, identity, checkpoint)
    if state.epoch > settings.epochs:
        raise ValueError(
            f"epochs must be at least {state.epoch}, at which {checkpoint} is, got {settings.epochs}"
        )
    step = (compiled_step if compiled else Step)(model, task, optimizer, settings)
    with (
        threads(state.threads),
        tqdm(
            total=settings.epochs,
            initial=max(state.epoch, 0),
            desc=description,
            unit="epoch",
            disable=not progress,
        ) as bar,
    ):
        for epoch in range(state.epoch + 1, settings.epochs + 1):
            if epoch > 0:
                train_epoch(model, task, optimizer, settings, epoch=epoch, seed=seed, step=step)
                bar.update()
            row = None
            if settings.is_recorded(epoch):
                row = {"epoch": epoch, **_measure(model, measured_task, measures, settings)}
                bar.set_postfix(
                    {name: f"{row[name]:.3f}" for name in ("test_error", "noisy_error") if name in row}
                )
            state.advance(epoch, row, last=epoch == settings.epochs)
    frame = pd.DataFrame([row for row in state.rows if settings.is_recorded(row["epoch"])])
    frame.attrs = {
        "precision": precision,
        "compiled": compiled,
        "threads": state.threads,
        "started": state.started,
        "seconds": round(state.seconds(), 1),
    }
    return frame


def train_epoch(
    model: nn.Module,
    task: Task,
    optimizer: Optimizer,
    settings: TrainingSettings,
    *,
    epoch: int,
    seed: int,
    step: Step | None = None,
) -> None:
    """One pass over the training set, in an order that depends on (seed, epoch) alone.

    Args:
        model: trained in place.
        task: with the model on one device.
        optimizer: of the model's parameters.
        settings: see `TrainingSettings`.
        epoch: number of the pass.
        seed: of the order.
        step: takes the steps, of these four; None for `steps.Step`.
    """
    model.train()
    step = step or Step(model, task, optimizer, settings)
    order = sample_order(len(task.x), epoch=epoch, seed=seed).to(task.x.device)
    with nullcontext() if step.in_bfloat16 else full_precision(task.x.device):
        for batch in order.split(step.batch_size):
            step(batch)


def sample_order(count: int, *, epoch: int, seed: int) -> Tensor:
    """(count,) permutation of the samples for one epoch, the same on every machine."""
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(count))


def _measured_task(task: Task, settings: TrainingSettings) -> Task:
    if settings.measured is None:
        return task
    indices = measured_samples(task.true, task.is_noisy, settings.measured)
    return task.take(torch.from_numpy(indices).to(task.x.device))


def _measure(
    model: nn.Module, task: Task, measures: Sequence[Measure], settings: TrainingSettings
) -> dict[str, float]:
    row = {name: value for measure in measures for name, value in measure(model, task).items()}
    if not np.isfinite(row.get("train_loss", 0.0)):
        raise FloatingPointError(
            f"training diverged: the loss is {row['train_loss']}; learning_rate was {settings.learning_rate}"
        )
    return row


def _check_logits(model: nn.Module, task: Task) -> None:
    shape = tuple(predict(model, task.x[:2]).shape)  # leaves BatchNorm's running statistics as they are
    if shape != (len(task.x[:2]), task.num_outputs):
        raise ValueError(
            f"model must map 2 inputs to logits of shape (2, {task.num_outputs}) "
            f"for {task.num_classes} classes, got {shape}"
        )
