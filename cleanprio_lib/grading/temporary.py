"""Temporary folders of a grader: gone when it ends; one that was killed leaves its own to the next.

A folder holds a file that its grader keeps locked. The system lets go of the lock whatever ends the grader:
a folder whose lock can be had belongs to nobody any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

PREFIX = "cleanprio-grade-"
LOCK = "in-use"


class Folder:
    """A new temporary folder; those of graders that were killed are removed.

    Attributes:
        path: of the folder.
    """

    def __init__(self) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Under its name only when it is locked, or another grader's sweep might come in between.
        not_yet = self.path / "locking"
        self._lock: int | None = os.open(not_yet, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        not_yet.rename(self.path / LOCK)

    def close(self) -> None:
        """Remove it with all that is in it; again does nothing."""
        if self._lock is not None:
            remove(str(self.path))
            os.close(self._lock)
            self._lock = None


def sweep() -> None:
    """Remove the temporary folders of graders that are no more."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if path.is_symlink():  # no grader makes one
            continue
        # Another user's, or gone meanwhile, or in use.
        with contextlib.suppress(OSError):
            lock = os.open(path / LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(str(path))
            finally:
                os.close(lock)


def remove(folder: str) -> None:
    """Remove a folder, whatever a student did to the permissions in it."""

    def open_up(remove: Any, path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            if path != folder:  # what it lies in is the system's
                os.chmod(os.path.dirname(path), 0o700)
            if os.path.isdir(path) and not os.path.islink(path):
                os.chmod(path, 0o700)
                shutil.rmtree(path)
            else:
                os.unlink(path)

    shutil.rmtree(folder, onerror=open_up)
