"""Rankings of training samples by how suspect their labels are, in one run, against what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from cleanprio_lib import data, robust_training, wrong_labels
from cleanprio_lib.measurements.practice_signals import held_out_metrics
from cleanprio_lib.measurements.practice_tasks import PracticeSettings, new_net, practice
from cleanprio_lib.metrics import Task, predict, sample_errors, sample_residuals
from cleanprio_lib.sgd import SGD
from cleanprio_lib.training import train_epoch

SHARES = (0.01, 0.02, 0.05, *(round(0.1 * k, 1) for k in range(1, 11)))
AT_STOP, AT_END, MARGINS, HELD_OUT = (
    "residual at the stop",
    "residual at the end",
    "area under the margin",
    "cross-validated confidence",
)
RANKINGS = (AT_STOP, AT_END, MARGINS, HELD_OUT)
CONFIDENT, PRUNED = "confident joint", "prune by noise rate"
SETS = (CONFIDENT, PRUNED)


@dataclass(frozen=True)
class RankingSettings:
    r"""A problem, and how suspects are looked for.

    Attributes:
        problem: samples, net and training.
        folds: of the cross-validation that confident learning needs.
        shares: of all samples, how many of a ranking's first are looked at, beside $\delta$ of them.
    """

    problem: PracticeSettings
    folds: int = 5
    shares: tuple[float, ...] = SHARES

    @property
    def dataset(self) -> str:
        """Name for `data.load`."""
        return self.problem.dataset


@dataclass(frozen=True, eq=False)
class Watched:
    """One training run as rankings see it.

    Attributes:
        stop: epoch of the lowest error on the noisy validation set.
        test_error: there.
        at_stop, at_end: (n,) residuals $\\lVert f - y\\rVert$ of the given labels.
        areas: (n,) mean margins over all epochs.
    """

    stop: int
    test_error: float
    at_stop: Tensor
    at_end: Tensor
    areas: Tensor


def rankings(settings: RankingSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""Rank the training samples in every way and count the wrong labels among the first.

    The net is stopped where its error on a noisy validation set is lowest, a rule that anybody can use.
    Confident learning gets its probabilities from as many other nets as there are folds, each trained for as
    many epochs on the other folds.

    Returns:
        A row for each `ranking` of `RANKINGS` and each share of samples looked at, and one for each set of
        suspects of `SETS`: `share`, `flagged`, `precision` and `recall` of `wrong_labels`; and `stop` and
        `test_error`, of the net at the stop.
    """
    problem = practice(settings.problem, split, seed=seed)
    task, noisy = problem.task, problem.task.is_noisy.numpy()
    watched = watch(settings.problem, task, problem.validation, seed=seed)
    likely = cross_validated(settings, task, epochs=watched.stop, seed=seed)
    given = task.given.numpy()
    scores = {
        AT_STOP: watched.at_stop.numpy(),
        AT_END: watched.at_end.numpy(),
        MARGINS: -watched.areas.numpy(),
        HELD_OUT: -wrong_labels.self_confidence(given, likely),
    }
    shares = sorted({*settings.shares, settings.problem.level})
    frames = [
        wrong_labels.ranked(suspect, noisy, shares).assign(ranking=name) for name, suspect in scores.items()
    ]
    sets = {
        CONFIDENT: wrong_labels.confident_errors(given, likely),
        PRUNED: wrong_labels.pruned_by_noise_rate(given, likely),
    }
    frames.append(
        pd.DataFrame([{"ranking": name, **wrong_labels.flagged(mask, noisy)} for name, mask in sets.items()])
    )
    found = pd.concat(frames, ignore_index=True).assign(stop=watched.stop, test_error=watched.test_error)
    return found[["ranking", "share", "flagged", "precision", "recall", "stop", "test_error"]]


def watch(settings: PracticeSettings, task: Task, validation: Task, *, seed: int) -> Watched:
    """Train to the end, and keep the residuals at the lowest error on the validation set and at the end."""
    net, training = new_net(settings, task, seed=seed), settings.training
    optimizer = SGD(net.parameters(), lr=training.learning_rate, momentum=training.momentum)
    lowest, best = np.inf, (0, np.nan, torch.zeros(len(task.x)))
    areas = torch.zeros(len(task.x), dtype=torch.float64)
    logits = predict(net, task.x)
    for epoch in range(1, training.epochs + 1):
        train_epoch(net, task, optimizer, training, epoch=epoch, seed=seed)
        logits = predict(net, task.x)
        areas += robust_training.margins(logits, task.given).double() / training.epochs
        error = held_out_metrics(net, validation)["validation_error"]
        if error < lowest:
            test = float(sample_errors(predict(net, task.x_test), task.y_test).double().mean())
            lowest, best = error, (epoch, test, sample_residuals(logits, task.given))
    return Watched(*best, at_end=sample_residuals(logits, task.given), areas=areas)


def cross_validated(settings: RankingSettings, task: Task, *, epochs: int, seed: int) -> NDArray[np.float64]:
    """(n, C) probabilities of each training sample by a net that was trained on the other folds."""
    order = np.random.default_rng([seed, 5]).permutation(len(task.x))
    likely = np.zeros((len(task.x), task.num_classes))
    training = replace(settings.problem.training, epochs=epochs)
    for number, fold in enumerate(np.array_split(order, settings.folds)):
        others = torch.from_numpy(np.setdiff1d(order, fold))
        part, net = task.take(others), new_net(settings.problem, task, seed=seed + number)
        optimizer = SGD(net.parameters(), lr=training.learning_rate, momentum=training.momentum)
        for epoch in range(1, epochs + 1):
            train_epoch(net, part, optimizer, training, epoch=epoch, seed=seed)
        chosen = torch.from_numpy(fold)
        likely[fold] = robust_training.probabilities(predict(net, task.x[chosen])).numpy()
    return likely
