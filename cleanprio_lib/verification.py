"""Recorded numbers run again: does this machine get the same?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cleanprio_lib import data, experiments, provenance
from cleanprio_lib.metrics import Task
from cleanprio_lib.recordings import Cell
from cleanprio_lib.runs import load, recorded_folder, refuse_other_settings
from cleanprio_lib.training import train

ULP = 2.0**-23
SENSITIVITY_FACTOR = 10.0
# How much rounding moves a number varies from one try to the next. If as normal numbers do, one is ten times
# the largest of six others once in 250,000 numbers, of which a run has some hundreds; of a single other, once
# in 16.
NUDGES = 6
# Measurements without training are float64: sums in another order move an angle by √(2·2⁻⁵²) = 2e-8 at most
# times the few roundings of its cosine, and a sample by one bin.
RESOLUTION = 1e-6
BIN = "bin_"  # how the columns of a histogram's counts begin


def verify(
    name: str,
    scale: str | None = None,
    *,
    seed: int | None = None,
    value: Any = None,
    epochs: int = 2,
    folder: Path | None = None,
    split: data.Split | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Re-run the first epochs of one recorded cell, or its whole measurement, and compare every number.

    On the machine and with the thread count that recorded it a run repeats bit for bit. Elsewhere sums are
    rounded in another order, and training amplifies that. The tolerance is measured, not chosen: the same
    slice is run `NUDGES` times more from weights changed by one unit in the last place, up or down by
    chance; a column may differ by ten times the most that this changes, an error by two samples more, and a
    probability that one sample's residual exceeds another's by two pairs. A measurement is compared to
    `RESOLUTION`, in units of the column's largest value or of one; of whole numbers those in a histogram may
    differ by two.

    Args:
        name: of the experiment.
        scale: None for the largest recorded.
        seed: None for the first recorded.
        value: of the swept setting, where there is one; None for the first recorded.
        epochs: how many of the first epochs to run again.
        folder: None for `recorded_folder()`.
        split: data already loaded; None loads it.
        progress: show a progress bar.

    Returns:
        A row for each column: `difference`, `tolerance`, both at the recorded epoch at which it agrees
        least, and `agrees`. Its `attrs` say whether it is of a measurement: `measured`.

    Raises:
        ValueError: the data at hand are not those of the recording, or the cell is not recorded.
    """
    recorded = load(name, scale, folder=folder)
    settings = experiments.settings_of(name, recorded.scale)
    split = experiments.split_of(settings, split)
    refuse_other_settings(
        provenance.header(name, recorded.scale, settings, split), folder or recorded_folder()
    )
    cell = _chosen(recorded.cells, seed, value)
    rows = recorded.frame[recorded.frame.seed == cell.seed]
    if recorded.swept:
        rows = rows[rows[recorded.swept] == cell.value].drop(columns=recorded.swept)
    settings, seed = experiments.at(settings, cell.value), cell.seed
    measure = experiments.EXPERIMENTS[name].measure
    if measure is not None:
        return _compared(experiments.run(name, recorded.scale, seed=seed, split=split), rows)
    assert split is not None  # a training run always names its data
    machine = recorded.cells[cell]
    sliced = replace(
        settings, training=replace(settings.training, epochs=epochs, precision=machine["precision"])
    )
    compiled = machine.get("compiled", False)  # needs a compiler here too
    run = partial(_slice, sliced, split, seed, compiled=compiled, progress=progress)
    again = run()
    wanted = rows.drop(columns="seed").set_index("epoch")
    _refuse_other_columns(again, wanted)
    difference = _differences(again, wanted)
    tolerance = 0.0 * difference
    if difference.any(axis=None):
        changes = [_differences(run(nudge=nudge), again) for nudge in range(NUDGES)]
        largest = pd.concat(changes).groupby(level=0).max().loc[difference.index]
        counted = _two_counts(experiments.build_task(sliced, split, seed=seed), sliced)
        tolerance = SENSITIVITY_FACTOR * largest + counted.reindex(difference.columns, fill_value=0.0)
    worst = (difference - tolerance).fillna(0.0).idxmax()  # of two infinite numbers, none
    least = [(difference[name][epoch], tolerance[name][epoch]) for name, epoch in worst.items()]
    table = pd.DataFrame(least, index=worst.index, columns=["difference", "tolerance"])
    return table.assign(agrees=table.difference <= table.tolerance)


def _chosen(cells: Iterable[Cell], seed: int | None, value: Any) -> Cell:
    """The first recorded cell of that seed and value, where they are given."""
    for cell in cells:
        if seed in (None, cell.seed) and value in (None, cell.value):
            return cell
    have = ", ".join(cell.key for cell in cells)
    raise ValueError(f"seed and value must be of a recorded cell, got {seed} and {value}; recorded: {have}")


def _refuse_other_columns(again: pd.DataFrame, wanted: pd.DataFrame) -> None:
    if list(again) != list(wanted):
        raise ValueError(f"the recorded run has columns {list(wanted)}, this code makes {list(again)}")


def _differences(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Size of every difference at the epochs that both have; infinite where one of two has no number."""
    common = one.index.intersection(other.index)
    new, old = one.loc[common], other.loc[common]
    return (new - old).abs().mask((new == old) | (new.isna() & old.isna()), 0.0).fillna(np.inf)


def _compared(again: pd.DataFrame, wanted: pd.DataFrame) -> pd.DataFrame:
    """Largest difference of every column between two measurements; one of words differs by 0 or 1."""
    _refuse_other_columns(again, wanted)
    if len(again) != len(wanted):
        raise ValueError(f"the recorded run has {len(wanted)} rows, this code makes {len(again)}")
    rows = {}
    for column in again:
        new, old = again[column].to_numpy(), wanted[column].to_numpy()
        if old.dtype.kind == "f":
            same = (new == old) | (np.isnan(new) & np.isnan(old))
            difference = float(np.nan_to_num(np.where(same, 0.0, np.abs(new - old)), nan=np.inf).max())
            rows[column] = (difference, RESOLUTION * max(1.0, float(np.nanmax(np.abs(old), initial=0.0))))
        elif old.dtype.kind == "i":
            rows[column] = (float(np.abs(new - old).max()), 2.0 if str(column).startswith(BIN) else 0.0)
        else:
            rows[column] = (float((new != old).any()), 0.0)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["difference", "tolerance"])
    table.attrs["measured"] = True
    return table.assign(agrees=table.difference <= table.tolerance)


def _slice(
    settings: experiments.Settings,
    split: data.Split,
    seed: int,
    *,
    nudge: int | None = None,
    compiled: bool,
    progress: bool,
) -> pd.DataFrame:
    """Frame by epoch of a run, with a `nudge` from initial weights changed by +- `ULP` of their size."""
    task = experiments.build_task(settings, split, seed=seed).to(experiments.default_device())
    model = experiments.build_model(settings, task, seed=seed).to(task.x.device)
    if nudge is not None:
        signs = torch.Generator().manual_seed(NUDGES * seed + nudge)
        with torch.no_grad():
            for weights in model.parameters():
                sign = torch.randint(0, 2, weights.shape, generator=signs).to(weights.device) * 2 - 1
                weights.mul_(1 + ULP * sign)
    return train(
        model,
        task,
        settings.training,
        seed=seed,
        measures=experiments.measures_of(settings),
        compiled=compiled,
        progress=progress,
        description="verifying",
    ).set_index("epoch")


def _two_counts(task: Task, settings: experiments.Settings) -> pd.Series:
    """By how much two samples change an error, and two pairs of samples a `detection`."""
    share = (settings.training.measured or len(task.x)) / len(task.x)
    noisy, clean = share * int(task.is_noisy.sum()), share * int((~task.is_noisy).sum())
    sizes = {
        "clean_error": clean,
        "noisy_error": noisy,
        "noisy_true_error": noisy,
        "train_error": share * len(task.x),
        "test_error": len(task.x_test),
        "detection": clean * noisy,
    }
    for c in range(task.num_classes):
        own = task.is_noisy[task.true == c]
        sizes[f"detection_{c}"] = share**2 * int(own.sum()) * int((~own).sum())
    return pd.Series({name: 2 / size for name, size in sizes.items() if size})
