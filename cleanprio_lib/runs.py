"""Recorded runs: written cell by cell, resumed where they stopped, checked, loaded.

A cell is a seed or, where a setting is swept, a value of it and a seed; `recordings` says how they are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from cleanprio_lib import cells, data, experiments, listing, provenance, recordings, sweeps
from cleanprio_lib.cells import Job, Result, checkpoint_folder
from cleanprio_lib.listing import ranges
from cleanprio_lib.recordings import Cell, Recorded, refuse_other_settings

PACKAGE = Path(__file__).parent

EVIDENCE = 3  # seeds, at least: fewer are an example
ELSEWHERE = "another folder, --folder, takes them"
RESUME = "finished cells are recorded; the same command goes on from the last saved epochs"


def recorded_folder() -> Path:
    """Where recorded runs lie: `book/recorded` of a checkout, or the copy installed with the library."""
    checkout = PACKAGE.parent / "book" / "recorded"
    return checkout if checkout.is_dir() else PACKAGE / "recorded"


def load(name: str, scale: str | None = None, *, folder: Path | None = None) -> Recorded:
    """Load a recorded run.

    Args:
        name: of the experiment.
        scale: None for the largest scale with `EVIDENCE` seeds or more (of every value, where a setting is
            swept), or if none has, the largest there is.
        folder: None for `recorded_folder()`.

    Raises:
        ValueError: no such experiment or scale.
        FileNotFoundError: it has not been recorded; the message says how to.
    """
    experiments.settings_of(name, scale or "quick")
    folder = folder or recorded_folder()
    scales = [scale] if scale else list(reversed(experiments.SCALES))
    read = (recordings.read(name, candidate, folder) for candidate in scales)
    found = [run for run in read if run is not None]
    if found:
        return next((run for run in found if _is_evidence(run)), found[0])
    wanted = scale or "laptop"
    raise FileNotFoundError(
        f"{name} is not recorded at scale {' or '.join(scales)} in {folder}: "
        f"python -m cleanprio_lib record {name} --scale {wanted} --seeds 0-2"
    )


def record(
    name: str,
    scale: str,
    seeds: Iterable[int],
    *,
    folder: Path | None = None,
    checkpoints: Path | None = None,
    split: data.Split | None = None,
    device: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
    dask: str | None = None,
    compiled: bool = False,
    progress: bool = True,
) -> Recorded:
    """Run the cells that are not recorded yet and write each as it ends.

    A cell that was interrupted goes on from its checkpoint. Several processes may record different cells of
    one experiment at once.

    Args:
        name: of the experiment.
        scale: "quick", "laptop" or "paper".
        seeds: to be recorded in the end; where a setting is swept, of each of its values.
        folder: where CSV and JSON go; None for `recorded_folder()`.
        checkpoints: where unfinished cells are kept; None for the cache folder of the machine that runs them.
        split: data already loaded; None loads it.
        device: None takes a GPU where there is one.
        threads: CPU threads of a cell, on which the last bits of its numbers depend. None for one thread with
            `workers` or `dask`, however many these are, and else for what torch has.
        workers: compute so many cells at once, each in a process of its own.
        dask: compute on a Dask cluster: a scheduler's address, its file, or "local:4".
        compiled: take training steps by `steps.compiled_step`, which a ResNet-9 gains from; numbers change
            in the last places.
        progress: show progress and the time left.

    Raises:
        ValueError: the file holds runs with other settings or other data, or workers exceed the cores.
        RuntimeError: cells failed, another process records the same cell, or the scheduler is gone.
        OSError: the disk is full.
    """
    if workers is not None and dask is not None:
        raise ValueError(f"workers and dask exclude each other, got {workers} and {dask!r}")
    settings = experiments.settings_of(name, scale)
    folder = folder or recorded_folder()
    loaded = experiments.split_of(settings, split)
    header = provenance.header(name, scale, settings, loaded)
    try:
        refuse_other_settings(header, folder)
    except ValueError as error:
        error.add_note(ELSEWHERE)
        raise
    together = workers is not None or dask is not None
    job = partial(
        Job,
        header=header,
        measure=experiments.EXPERIMENTS[name].measure,
        source=provenance.source_sha256(),  # of what runs: the files may be edited before it ends
        split=split if together else loaded,  # a worker loads its own
        device=device,
        folder=checkpoints,
        threads=threads or 1 if together else threads,
        compiled=compiled,
        progress=progress and not together,
    )
    known = recordings.recorded_cells(name, scale, folder)
    jobs = [
        job(cell, settings=experiments.at(settings, cell.value))
        for cell in cells_of(settings, seeds)
        if cell not in known
    ]
    keep = partial(_keep, header=header, folder=folder, checkpoints=checkpoints or checkpoint_folder())
    try:
        if together and jobs:
            sweeps.compute_all(jobs, keep, workers=workers, dask=dask, progress=progress)
        else:
            _one_after_another(jobs, keep, header, folder)
    except Exception as error:
        error.add_note(RESUME)
        raise
    return load(name, scale, folder=folder)


def cells_of(settings: Any, seeds: Iterable[int]) -> list[Cell]:
    """Cells in the order in which they are run: seed by seed all values, so that every value soon has one."""
    return [Cell(seed, value) for seed in seeds for value in experiments.swept(settings)[1]]


def missing_cells(name: str, scale: str, seeds: Iterable[int], *, folder: Path | None = None) -> list[Cell]:
    """Cells that are recorded neither at a scale nor at another one with the same settings.

    Args:
        name: of the experiment.
        scale: "quick", "laptop" or "paper".
        seeds: that are wanted.
        folder: of the recorded runs; None for `recorded_folder()`.
    """
    folder, same = folder or recorded_folder(), experiments.scales_like(name, scale)
    known = {cell for other in same for cell in recordings.recorded_cells(name, other, folder)}
    return [cell for cell in cells_of(experiments.settings_of(name, scale), seeds) if cell not in known]


def table(*, folder: Path | None = None, checkpoints: Path | None = None) -> pd.DataFrame:
    """A row for each experiment and scale: what is recorded, its state, time and machine; see `listing`."""
    return listing.table(folder or recorded_folder(), checkpoints or checkpoint_folder())


def _is_evidence(run: Recorded) -> bool:
    wanted = experiments.swept(experiments.settings_of(run.name, run.scale))[1]
    return len(run.seeds) >= EVIDENCE and set(wanted) <= set(run.values)


def _one_after_another(jobs: Sequence[Job], keep: Any, header: dict[str, Any], folder: Path) -> None:
    """Compute in this process, each cell locked until it is written."""
    for job in jobs:
        if job.cell in recordings.recorded_cells(header["name"], header["scale"], folder):
            continue  # by another process, meanwhile
        with cells.only_one(Path(job.stem + ".lock"), job.label):
            keep(cells.compute(job))


def _keep(result: Result, *, header: dict[str, Any], folder: Path, checkpoints: Path) -> None:
    """Write a result and remove its checkpoint."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    with FileLock(checkpoints / f"{header['name']}-{header['scale']}.lock"):
        recordings.add(header, result.cell, result.frame, result.entry, folder)
    cells.forget(result.stem)


__all__ = [
    "EVIDENCE",
    "RESUME",
    "Cell",
    "Recorded",
    "cells_of",
    "checkpoint_folder",
    "load",
    "missing_cells",
    "ranges",
    "record",
    "recorded_folder",
    "refuse_other_settings",
    "table",
]
