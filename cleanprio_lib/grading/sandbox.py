"""Where submissions run, seen from the grader: processes with limits, apart from it and from each other.

Three kinds, of which the first that a system has is taken:

- *namespaces*: a fork server imports torch once and forks for each submission, which then leaves for a small
  system of its own (`namespaces`).
- *bubblewrap*: a program of that name makes such a system, in which Python starts anew for each submission.
  For systems on which that program may do what others may not.
- *none*: Python starts anew for each submission, with limits and with what Python itself can refuse
(`guard`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cleanprio_lib.checks.checking import Value
from cleanprio_lib.grading import namespaces, places, transport
from cleanprio_lib.grading.hosts import Host, UnavailableError
from cleanprio_lib.grading.limits import Limits
from cleanprio_lib.grading.places import HOME
from cleanprio_lib.grading.temporary import Folder, remove

NAMESPACES, BUBBLEWRAP, NONE = KINDS = ("namespaces", "bubblewrap", "none")
GRACE = 3.0  # seconds after a limit, within which a process should have said that it was reached

APART = (
    "Each notebook ran in a small system of its own ({}): an empty folder, no network, no other processes, "
    "none of the teacher's files, Python and the library read-only."
)
IN_WORDS = {
    NAMESPACES: APART.format("Linux namespaces"),
    BUBBLEWRAP: APART.format("bubblewrap"),
    NONE: "NOT ISOLATED: neither namespaces nor bubblewrap were used. Notebooks ran in an empty folder, with "
    "limits on time, memory and output, and Python refused to change other files, to use the network and to "
    "start programs. That stops accidents; code that means harm can pass it by.",
}


class EndedError(Exception):
    """A submission's process is gone; says why, in words that go on from "it"."""


class Session:
    """One process of one submission: asked one thing at a time."""

    def __init__(self, channel: socket.socket, leash: socket.socket, limits: Limits) -> None:
        self._channel, self._leash, self._limits = channel, leash, limits

    def ask(self, question: Value, *, seconds: float) -> dict[str, Any]:
        """Send a question and return the answer.

        Args:
            question: see `worker`.
            seconds: that it may take.

        Raises:
            EndedError: the process has ended, or did not answer in time, or with something that is no answer.
        """
        try:
            transport.send(self._channel, question, seconds=seconds + GRACE)
            answer = transport.receive(self._channel, limit=self._limits.answer, seconds=seconds + GRACE)
        except TimeoutError:
            raise EndedError(f"took longer than {seconds:.0f} seconds and could not be interrupted") from None
        except (EOFError, OSError):
            raise EndedError(self._why_ended()) from None
        except transport.TransportError as error:
            raise EndedError(f"sent something that is no answer: {error}") from None
        if not isinstance(answer, dict):
            raise EndedError("sent something that is no answer")
        return answer

    def _why_ended(self) -> str:
        try:
            report = transport.receive(self._leash, limit=transport.MIB, seconds=GRACE)
        except (TimeoutError, EOFError, OSError, transport.TransportError):
            report = None
        match report:
            case {"status": int(status)}:
                return in_words(status, self._limits)
            case {"reason": str(reason)}:
                return reason[:200]
        return "ended, and with it the process that watched over it"


class Sandbox:
    """Runs one submission at a time; for several at once, make several.

    Args:
        kind: one of `KINDS`.
        limits: of each submission.
        hidden: files and folders that no submission may see: solutions, other submissions, grades.

    Raises:
        ValueError: what is hidden holds Python or the library.
    """

    def __init__(self, kind: str, *, limits: Limits, hidden: Sequence[Path] = ()) -> None:
        self.kind, self.limits = kind, limits
        self._hidden = [str(path.resolve()) for path in hidden]
        self._needed, self._shown = places.needed(), places.shown()
        for path in self._needed:
            for one in self._hidden:
                if places.lies_in(path, one):
                    raise ValueError(
                        f"notebooks must not see {one} and cannot run without {path}: keep them apart"
                    )
        self._temporary = Folder()
        self._folder = self._temporary.path
        self._fonts = self._folder / "fonts"
        self._fonts.mkdir()
        places.copy_font_list(self._fonts)
        self._host: Host | None = None
        self._leash: socket.socket | None = None
        self._stopped = False

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def open(self) -> Iterator[Session]:
        """A new process for a submission; when the block is left, all that it started is gone.

        Raises:
            UnavailableError: this kind of sandbox cannot be had here.
        """
        home = tempfile.mkdtemp(prefix="student-", dir=self._folder) if self.kind == NONE else HOME
        try:
            channel, self._leash = self._start(home)
        except UnavailableError:  # of a fork server that has died, perhaps; a new one may do
            self._end_host()
            channel, self._leash = self._start(home)
        try:
            yield Session(channel, self._leash, self.limits)
        finally:
            channel.close()
            _let_go(self._leash)
            if self.kind != NAMESPACES:
                self._end_host()
            if self.kind == NONE:
                remove(home)

    def stop(self) -> None:
        """From another thread: end the submission that runs, and let no other begin."""
        self._stopped = True
        if self._leash is not None:
            with contextlib.suppress(OSError):
                self._leash.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End everything and remove the temporary files."""
        self._end_host()
        self._temporary.close()

    def _start(self, home: str) -> tuple[socket.socket, socket.socket]:
        """The grader's ends of the channel and the leash of a new process."""
        if self._stopped:
            raise UnavailableError("the grader was stopped")
        self._host = self._host or self._new_host()
        channel, their_channel = socket.socketpair()
        leash, their_leash = socket.socketpair()
        try:
            with their_channel, their_leash:
                self._host.start(self._job(home), their_channel, their_leash)
            _await_start(leash)
        except UnavailableError:
            channel.close()
            leash.close()
            raise
        return channel, leash

    def _new_host(self) -> Host:
        once = self.kind != NAMESPACES  # as `open` ends it after each submission
        if self.kind != BUBBLEWRAP:
            return Host([], places.environment(str(self._folder), str(self._fonts)), self._folder, once=once)
        before = places.bubblewrap(self.limits, visible=self._shown, hidden=self._hidden, fonts=self._fonts)
        return Host(before, places.environment(HOME, HOME), self._folder, once=once)

    def _end_host(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None

    def _job(self, home: str) -> dict[str, Any]:
        root = self._folder / "root"
        root.mkdir(exist_ok=True)
        view = {
            "root": str(root),
            "shown": self._shown,
            "hidden": self._hidden,
            "home": home,
            "size": self.limits.files,
        }
        return {
            "limits": dataclasses.asdict(self.limits),
            "home": home,
            "view": view if self.kind == NAMESPACES else None,
            "user": namespaces.stranger(),
            "needed": self._needed,
            "guarded": self._hidden if self.kind == NONE else None,
        }


def choose(wanted: str | None, *, limits: Limits, hidden: Sequence[Path] = ()) -> tuple[Sandbox, list[str]]:
    """The best sandbox that this system has, and why better ones are not to be had.

    Args:
        wanted: one of `KINDS`, or None for the best.
        limits: of each submission.
        hidden: as for `Sandbox`.

    Raises:
        UnavailableError: the wanted one cannot be had.
        ValueError: there is no such kind.
    """
    if wanted is not None and wanted not in KINDS:
        raise ValueError(f"isolation must be one of {', '.join(KINDS)}, got {wanted!r}")
    reasons: list[str] = []
    for kind in [wanted] if wanted else KINDS:
        sandbox = Sandbox(kind, limits=limits, hidden=hidden)
        try:
            _try(sandbox)
        except UnavailableError as error:
            reasons.append(f"{kind}: {error}")
            sandbox.close()
        except BaseException:
            sandbox.close()
            raise
        else:
            return sandbox, reasons
    raise UnavailableError(f"no isolation of the kind {wanted or 'none'} here: {'; '.join(reasons)}")


def in_words(status: int, limits: Limits) -> str:
    """How a process ended, from its status."""
    if not os.WIFSIGNALED(status):
        return f"ended Python itself (exit code {os.waitstatus_to_exitcode(status)})"
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return f"took more than {2 * limits.seconds:.0f} seconds of computing"
    if number == signal.SIGKILL:
        return "was killed, by itself or for lack of memory"
    return f"crashed Python itself ({signal.strsignal(number) or f'signal {number}'})"


def _try(sandbox: Sandbox) -> None:
    if sandbox.kind == BUBBLEWRAP and shutil.which("bwrap") is None:
        raise UnavailableError("there is no program bwrap")
    if sandbox.kind == NAMESPACES and sys.platform != "linux":
        raise UnavailableError("only Linux has them")
    if sandbox.kind == NONE:
        return
    question: Value = {"do": "cell", "number": 1, "source": "1 + 1", "seconds": 10.0, "pictures": False}
    with sandbox.open() as session:
        try:
            answer = session.ask(question, seconds=10.0)
        except EndedError as error:
            raise UnavailableError(f"a first cell {error}") from error
    if answer.get("error"):
        raise UnavailableError(f"a first cell failed: {answer['error']}")


def _await_start(leash: socket.socket) -> None:
    try:
        started: Any = transport.receive(leash, limit=transport.MIB, seconds=10 * GRACE)
    except (EOFError, OSError, transport.TransportError) as error:
        raise UnavailableError(f"a notebook's process does not start ({type(error).__name__})") from error
    if not started.get("started"):
        raise UnavailableError(str(started.get("failed")))


def _let_go(leash: socket.socket) -> None:
    """Let go of the leash, whereupon the keeper ends all, and wait until it has."""
    with leash, contextlib.suppress(OSError):
        leash.shutdown(socket.SHUT_WR)
        leash.settimeout(GRACE)
        while leash.recv(1 << 16):
            pass
