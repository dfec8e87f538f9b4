"""A cell of a recording, computed from its checkpoint: in this process, or in one that others ask."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout
from threadpoolctl import threadpool_limits

from cleanprio_lib import checkpoints, data, experiments, provenance
from cleanprio_lib.recordings import Cell

LOCK_SECONDS = 60.0  # how long a worker waits for another that still holds its cell
_one_at_a_time = threading.Lock()  # a Dask worker may have several threads; a cell sets those of its process


@dataclass(frozen=True)
class Job:
    """A cell and all that another process must know to compute it.

    Attributes:
        cell: its seed and value.
        header: `provenance.header` of the run.
        settings: of this cell alone.
        measure: of the experiment; None trains.
        source: sha256 of the source that must compute it.
        split: data already loaded; None loads them where the cell is computed.
        device: None takes a GPU where there is one.
        folder: of checkpoints; None for `checkpoint_folder()` of the machine that computes.
        threads: of the CPU; None for the process's own number.
        compiled: take training steps by `steps.compiled_step`.
        progress: show a progress bar.
    """

    cell: Cell
    header: dict[str, Any]
    settings: Any
    measure: Callable[..., pd.DataFrame] | None
    source: str
    split: data.Split | None = None
    device: str | None = None
    folder: Path | None = None
    threads: int | None = None
    compiled: bool = False
    progress: bool = False

    @property
    def swept(self) -> str | None:
        """Name of the swept setting; None where none is."""
        return self.header["settings"].get("swept")

    @property
    def label(self) -> str:
        """The cell in words: "fig-12-width quick width 64 seed 0"."""
        value = f" {self.swept} {self.cell.value}" if self.swept else ""
        return f"{self.header['name']} {self.header['scale']}{value} seed {self.cell.seed}"

    @property
    def stem(self) -> str:
        """Path of its checkpoint on this machine, without the ending."""
        folder = self.folder or checkpoint_folder()
        return str(folder / f"{self.header['name']}-{self.header['scale']}-{self.cell.key}")


@dataclass(frozen=True, eq=False)
class Result:
    """A computed cell: its rows, what `provenance.seed_entry` says of it, and the path of its checkpoint."""

    cell: Cell
    frame: pd.DataFrame
    entry: dict[str, Any]
    stem: str


class UnfitWorkerError(RuntimeError):
    """A worker whose source or data are not those of the process that asks: it would spoil every cell."""


def checkpoint_folder() -> Path:
    """Where unfinished runs wait to be resumed: in the cache folder."""
    return data.cache_folder() / "checkpoints"


def compute(job: Job) -> Result:
    """Compute a cell here, from its checkpoint if there is one.

    Raises:
        ValueError: the checkpoint was made with other settings or data.
    """
    checkpoint = Path(job.stem + ".pt")
    if job.measure is None:
        _refuse_other_checkpoint(job, checkpoint)
    count = job.threads or torch.get_num_threads()
    with checkpoints.threads(count), threadpool_limits(job.threads, user_api="blas"):
        frame = experiments.run_settings(
            job.settings,
            job.measure,
            seed=job.cell.seed,
            split=job.split,
            device=job.device,
            checkpoint=checkpoint,
            compiled=job.compiled,
            progress=job.progress,
            description=job.label,
        )
    # Measurements run on the CPU, whatever else there is.
    device = job.device if job.measure is None else "cpu"
    entry = provenance.seed_entry(frame, device, source=job.source)
    if job.swept:
        frame.insert(0, job.swept, job.cell.value)
    return Result(job.cell, frame, entry, job.stem)


def work(job: Job) -> Result:
    """Compute a cell in a worker: one at a time, with the source and the data of the process that asks.

    Raises:
        UnfitWorkerError: source or data differ here.
        RuntimeError: another process computes the cell.
    """
    with _one_at_a_time, only_one(Path(job.stem + ".lock"), job.label, seconds=LOCK_SECONDS):
        if _source() != job.source:
            raise UnfitWorkerError(
                "the library's source on this worker is not that of the process that asks; if it was edited "
                "since, start anew, and if this is another machine, install the same version there"
            )
        split = job.split or _loaded(job.settings.dataset)
        if (dict(split.sha256) if split else {}) != job.header["data"]["sha256"]:
            raise UnfitWorkerError(
                f"the data set {job.settings.dataset} on this worker is not that of the process that asks"
            )
        return compute(replace(job, split=split))


@contextmanager
def only_one(path: Path, what: str, *, seconds: float = 0.5) -> Iterator[None]:
    """Hold the lock of a cell, or raise a RuntimeError if another process keeps it for so long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=seconds):
            yield
    except Timeout:
        raise RuntimeError(f"{what} is being recorded by another process, which holds {path}") from None


def forget(stem: str) -> None:
    """Remove the checkpoint of a cell whose result is written, and what lies beside it."""
    for ending in (".pt", ".json"):
        Path(stem + ending).unlink(missing_ok=True)


def _refuse_other_checkpoint(job: Job, checkpoint: Path) -> None:
    """Write beside a checkpoint what it belongs to; raise if it belongs to something else."""
    facts = Path(job.stem + ".json")
    mine = {"settings": experiments.as_dict(job.settings), "data": job.header["data"]["sha256"]}
    text = json.dumps(mine)
    if checkpoint.exists() and facts.exists() and facts.read_text("utf8") != text:
        raise ValueError(f"checkpoint {checkpoint} has other settings or data; delete it to start anew")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with checkpoints.atomic_path(facts) as temporary:
        temporary.write_text(text, "utf8")


@lru_cache
def _source() -> str:
    return provenance.source_sha256()


@lru_cache
def _loaded(dataset: str | None) -> data.Split | None:
    return None if dataset is None else data.load(dataset)
