"""Recorded numbers run again: does this machine get the same?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cleanprio_lib import data, experiments, provenance
from cleanprio_lib.metrics import QUANTITIES, SUBSETS, Task
from cleanprio_lib.recordings import Cell
from cleanprio_lib.runs import load, recorded_folder, refuse_other_settings
from cleanprio_lib.training import train

ULP = 2.0**-23
SENSITIVITY_FACTOR = 10.0
# Measurements without training are float64: sums in another order move an angle by √(2·2⁻⁵²) = 2e-8 at most
# times the few roundings of its cosine, and a sample by one bin.
RESOLUTION = 1e-6


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
    slice is run once more from weights changed by one unit in the last place; a column may differ by
    ten times what that changes, and an error by two samples more. A measurement that does not train is
    compared to `RESOLUTION`, in units of the column's largest value or of one, and whole numbers to two.

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
        A row for each column: `difference` (largest over the epochs), `tolerance`, `agrees`.

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
    again = _slice(sliced, split, seed, perturbation=0.0, compiled=compiled, progress=progress)
    wanted = rows.drop(columns="seed").set_index("epoch")
    common = again.index.intersection(wanted.index)
    difference = (again.loc[common] - wanted.loc[common]).abs().max()
    tolerance = 0.0 * difference
    if difference.any():
        nudged = _slice(sliced, split, seed, perturbation=ULP, compiled=compiled, progress=progress)
        tolerance = SENSITIVITY_FACTOR * (nudged.loc[common] - again.loc[common]).abs().max()
        tolerance += _two_samples(experiments.build_task(sliced, split, seed=seed), sliced)
    return pd.DataFrame({"difference": difference, "tolerance": tolerance, "agrees": difference <= tolerance})


def _chosen(cells: Iterable[Cell], seed: int | None, value: Any) -> Cell:
    """The first recorded cell of that seed and value, where they are given."""
    for cell in cells:
        if seed in (None, cell.seed) and value in (None, cell.value):
            return cell
    raise ValueError(f"no cell with seed {seed} and value {value} is recorded")


def _compared(again: pd.DataFrame, wanted: pd.DataFrame) -> pd.DataFrame:
    """Largest difference of every column between two measurements; one of words differs by 0 or 1."""
    if list(again) != list(wanted) or len(again) != len(wanted):
        raise ValueError(
            f"the recorded run has {len(wanted)} rows of {list(wanted)}, "
            f"this code makes {len(again)} rows of {list(again)}"
        )
    rows = {}
    for column in again:
        new, old = again[column].to_numpy(), wanted[column].to_numpy()
        if old.dtype.kind == "f":
            same = (new == old) | (np.isnan(new) & np.isnan(old))
            difference = float(np.where(same, 0.0, np.abs(new - old)).max())
            rows[column] = (difference, RESOLUTION * max(1.0, float(np.nanmax(np.abs(old), initial=0.0))))
        elif old.dtype.kind == "i":
            rows[column] = (float(np.abs(new - old).max()), 2.0)
        else:
            rows[column] = (float((new != old).any()), 0.0)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["difference", "tolerance"])
    return table.assign(agrees=table.difference <= table.tolerance)


def _slice(
    settings: experiments.Settings,
    split: data.Split,
    seed: int,
    *,
    perturbation: float,
    compiled: bool,
    progress: bool,
) -> pd.DataFrame:
    """Frame by epoch of a run from initial weights changed by +- `perturbation` of their size."""
    task = experiments.build_task(settings, split, seed=seed).to(experiments.default_device())
    model = experiments.build_model(settings, task, seed=seed).to(task.x.device)
    signs = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            sign = torch.randint(0, 2, weights.shape, generator=signs).to(weights.device) * 2 - 1
            weights.mul_(1 + perturbation * sign)
    return train(
        model,
        task,
        settings.training,
        seed=seed,
        compiled=compiled,
        progress=progress,
        description="verifying",
    ).set_index("epoch")


def _two_samples(task: Task, settings: experiments.Settings) -> pd.Series:
    noisy = int(task.is_noisy.sum())
    share = (settings.training.measured or len(task.x)) / len(task.x)
    sizes = {
        "clean_error": share * (len(task.x) - noisy),
        "noisy_error": share * noisy,
        "noisy_true_error": share * noisy,
        "train_error": share * len(task.x),
        "test_error": len(task.x_test),
    }
    columns = [f"{subset}_{quantity}" for subset in (*SUBSETS, "noisy_true") for quantity in QUANTITIES]
    return pd.Series({name: 2 / size for name, size in sizes.items() if size}).reindex(
        columns, fill_value=0.0
    )
