"""Runs that outlive the process that began them."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cleanprio_lib.sgd import SGD

CHECKPOINT_SECONDS = 10.0


class RunState:
    """Weights, optimiser, epoch and rows of a run, mirrored in a file so that a killed run can go on.

    Args:
        model: its weights are replaced by the file's, if there is one.
        optimizer: likewise its state.
        identity: named values that a file must share to belong to this run.
        path: of the file; None for a run that is not saved.

    Raises:
        ValueError: the file belongs to another run.
    """

    def __init__(self, model: nn.Module, optimizer: SGD, identity: dict[str, Any], path: Path | None) -> None:
        self.model, self.optimizer, self.identity, self.path = model, optimizer, identity, path
        self.epoch, self.threads = -1, torch.get_num_threads()
        self.rows: list[dict[str, Any]] = []
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.seconds_before = 0.0
        self.began_at = self.saved_at = time.monotonic()
        if path is None:
            return
        for leftover in path.parent.glob(f".{path.name}.*"):  # of a process that was killed while it saved
            leftover.unlink(missing_ok=True)
        if path.exists():
            self._load(path)

    def _load(self, path: Path) -> None:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        different = [name for name, value in self.identity.items() if saved["identity"].get(name) != value]
        if different:
            was = ", ".join(
                f"{name} {saved['identity'].get(name)!r} (now {self.identity[name]!r})" for name in different
            )
            raise ValueError(f"checkpoint {path} belongs to another run: {was}; delete it to start anew")
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.epoch, self.rows, self.threads = saved["epoch"], saved["rows"], saved["threads"]
        self.started, self.seconds_before = saved["started"], saved["seconds"]

    def seconds(self) -> float:
        """Time the run has taken so far, over all its resumptions."""
        return self.seconds_before + time.monotonic() - self.began_at

    def advance(self, epoch: int, row: dict[str, Any] | None, *, last: bool) -> None:
        """Take in an epoch that ended, and save if it was the last or the last save is some seconds ago."""
        self.epoch = epoch
        if row is not None:
            self.rows.append(row)
        if self.path is not None and (last or time.monotonic() - self.saved_at >= CHECKPOINT_SECONDS):
            self._save(self.path)
            self.saved_at = time.monotonic()

    def _save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "rows": self.rows,
            "threads": self.threads,
            "started": self.started,
            "seconds": self.seconds(),
        }
        buffer = io.BytesIO()  # torch writes a file itself, but where a disk is full raises no OSError
        torch.save(content, buffer)
        with atomic_path(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())


def how_far(path: Path) -> tuple[int, float]:
    """Epoch and seconds that a checkpoint is at, without reading its weights."""
    saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return saved["epoch"], saved["seconds"]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it, whole and flushed to disk, if the block succeeds."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with so many CPU threads, on which the last bits of sums depend."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
