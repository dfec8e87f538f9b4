"""Recorded numbers run again: does this machine get the same?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cleanprio_lib import data, experiments, models, provenance
from cleanprio_lib.metrics import Task
from cleanprio_lib.recordings import Cell
from cleanprio_lib.runs import load, recorded_folder, refuse_other_settings
from cleanprio_lib.training import train

SENSITIVITY_FACTOR = 10.0
# How much rounding moves a number varies from one try to the next. If as normal numbers do, one is ten times
# the largest of six others once in 250,000 numbers, of which a run has some hundreds; of a single other, once
# in 16.
NUDGES = 6
# Measurements without training are float64: sums in another order move an angle by √(2·2⁻⁵²) = 2e-8 at most
# times the few roundings of its cosine, and a sample by one bin.
RESOLUTION = 1e-6
NUDGED = "ten times what changes in the last place make"
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
    differ by two. If it trains, and differs by more, it too may differ by ten times what nudges have changed
    by then.

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
        least, and `agrees`. Its `attrs` say in words what tolerances there were: `within`.

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
    experiment = experiments.EXPERIMENTS[name]
    if experiment.measure is not None:
        measure = partial(_measured, name, recorded.scale, seed, split)
        return _compared(measure, rows.reset_index(drop=True), seed, trains=experiment.trains)
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
        largest = _changes(run, again, seed).loc[difference.index]
        counted = _two_counts(experiments.build_task(sliced, split, seed=seed), sliced)
        tolerance = SENSITIVITY_FACTOR * largest + counted.reindex(difference.columns, fill_value=0.0)
    return _table(difference, tolerance, f"{NUDGED}, and two samples")


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


def _measured(
    name: str, scale: str, seed: int, split: data.Split | None, *, nudge: int | None = None
) -> pd.DataFrame:
    """Frame of a measurement, with a `nudge` as in `_slice`."""
    with models.nudged(nudge) if nudge is not None else nullcontext():
        return experiments.run(name, scale, seed=seed, split=split)


def _compared(
    measure: Callable[..., pd.DataFrame], wanted: pd.DataFrame, seed: int, *, trains: bool
) -> pd.DataFrame:
    """A measurement made again against the recorded one, row by row; words differ by 0 or 1."""
    again = measure()
    _refuse_other_columns(again, wanted)
    if len(again) != len(wanted):
        raise ValueError(f"the recorded run has {len(wanted)} rows, this code makes {len(again)}")
    difference = _differences(_in_numbers(again, wanted), _in_numbers(wanted, wanted))
    resolution = {name: _resolution(wanted[name]) for name in wanted}
    tolerance = (0.0 * difference).fillna(0.0) + pd.Series(resolution)
    within = f"{RESOLUTION:g} of its largest value, or of one"
    if trains and (difference > tolerance).any(axis=None):
        numbers = partial(_numbers_of, measure, wanted)
        largest = _changes(numbers, _in_numbers(again, wanted), seed)
        if "epoch" in wanted:  # what has been amplified stays so for as long as a net is trained
            largest = largest.groupby((wanted.epoch.diff() < 0).cumsum()).cummax()
        tolerance += SENSITIVITY_FACTOR * largest
        within = NUDGED
    return _table(difference, tolerance, within)


def _numbers_of(measure: Callable[..., pd.DataFrame], wanted: pd.DataFrame, *, nudge: int) -> pd.DataFrame:
    return _in_numbers(measure(nudge=nudge), wanted)


def _in_numbers(frame: pd.DataFrame, wanted: pd.DataFrame) -> pd.DataFrame:
    """Words become 0 where they are those wanted, and 1 elsewhere."""
    words = [name for name in wanted if wanted[name].dtype.kind not in "fiub"]
    replaced = frame.copy()
    for name in words:
        replaced[name] = (frame[name] != wanted[name]).astype(float)
    return replaced


def _resolution(wanted: pd.Series) -> float:
    """By how much a column of a measurement that trains nothing may differ."""
    if wanted.dtype.kind == "f":
        return RESOLUTION * max(1.0, float(np.nanmax(wanted.abs(), initial=0.0)))
    return 2.0 if wanted.dtype.kind == "i" and str(wanted.name).startswith(BIN) else 0.0


def _changes(run: Callable[..., pd.DataFrame], again: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The most that nudges change of every number."""
    changes = [_differences(run(nudge=NUDGES * seed + nudge), again) for nudge in range(NUDGES)]
    return pd.concat(changes).groupby(level=0).max()


def _table(difference: pd.DataFrame, tolerance: pd.DataFrame, within: str) -> pd.DataFrame:
    """A row for each column, of the place at which it agrees least."""
    worst = (difference - tolerance).fillna(0.0).idxmax()  # of two infinite numbers, none
    least = [(difference[name][place], tolerance[name][place]) for name, place in worst.items()]
    table = pd.DataFrame(least, index=worst.index, columns=["difference", "tolerance"])
    table.attrs["within"] = within
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
    """Frame by epoch of a run, with a `nudge` from initial weights changed as `models.nudged` does."""
    task = experiments.build_task(settings, split, seed=seed).to(experiments.default_device())
    with models.nudged(nudge) if nudge is not None else nullcontext():
        model = experiments.build_model(settings, task, seed=seed).to(task.x.device)
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
