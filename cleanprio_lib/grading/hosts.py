"""A running fork server, or a Python that starts for one submission, seen from the grader."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cleanprio_lib.grading.limits import processes_below

START_SECONDS = 180.0  # for Python to import torch from a slow disk
COMMAND = (sys.executable, "-m", "cleanprio_lib.grading.host")


class UnavailableError(RuntimeError):
    """A kind of sandbox cannot be had on this system; says why."""


class Host:
    """A process that runs `host`, and the socket to it.

    Args:
        before: what stands in front of its command: nothing, or a program that isolates it.
        environment: its variables, all of them.
        folder: for what it says when it fails.
        once: one submission is all that it gets: it starts sooner and leaves imports to the submission.

    Raises:
        UnavailableError: it does not start.
    """

    def __init__(
        self, before: Sequence[str], environment: dict[str, str], folder: Path, *, once: bool = False
    ) -> None:
        self._control, theirs = socket.socketpair()
        said = folder / f"host-{threading.get_ident()}.txt"
        with theirs, said.open("wb") as errors:
            self._process = subprocess.Popen(
                [*before, *COMMAND, *(["--once"] if once else [])],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        self._control.settimeout(START_SECONDS)
        try:
            ready = self._control.recv(64)
        except OSError:
            ready = b""
        if ready != b"ready\n":
            self.close()
            *_, last = ["it says nothing", *said.read_text("utf8", errors="replace").strip().splitlines()]
            raise UnavailableError(f"{[*before, *COMMAND][0]} does not start Python: {last}")

    def start(self, job: dict[str, Any], channel: socket.socket, leash: socket.socket) -> None:
        """Start a submission.

        Args:
            job: see `host`.
            channel: for the submission's process.
            leash: for the process that watches over it.

        Raises:
            UnavailableError: the host is gone.
        """
        try:
            socket.send_fds(self._control, [json.dumps(job).encode()], [channel.fileno(), leash.fileno()])
        except OSError as error:
            raise UnavailableError(f"the process that starts submissions is gone ({error})") from error

    def close(self) -> None:
        """End it and all that it started."""
        self._control.close()
        below = processes_below(self._process.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0 if below else 1)
        for process in [self._process.pid, *below] if self._process.poll() is None else below:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()
