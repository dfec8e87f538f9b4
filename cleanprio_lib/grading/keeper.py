"""The process that watches over a student's: starts it, counts what it takes, ends all that it left behind.

It holds one end of a leash, a socket whose other end is the grader's. When the grader lets go, or dies, it
ends everything. When the student's process ends or takes too much, it says so on the leash, then ends
everything:

    {"status": 0}                      how the process ended, as os.waitpid has it
    {"reason": "printed more than…"}   why it was ended

Where the system has namespaces it is process 1 of its own, and all processes but it are the student's; the
kernel ends them with it. Elsewhere it is the nearest ancestor that outlives them, as far as the system
allows.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable

from cleanprio_lib.checks.checking import Value
from cleanprio_lib.grading import namespaces, transport
from cleanprio_lib.grading.limits import MIB, Limits, own_memory, processes_below

LOOK_EVERY = 0.05  # seconds
CHUNK = 1 << 16
SET_DEATH_SIGNAL, SET_SUBREAPER = 1, 36


def keep(leash: socket.socket, student: Callable[[], None], limits: Limits, *, alone: bool) -> None:
    """Run `student` in a process of its own until it ends or must end; returns when all it started is gone.

    Args:
        leash: to the grader.
        student: what the new process runs; its standard output and error are counted and thrown away.
        limits: of the submission.
        alone: this is process 1 of its own system.
    """
    if sys.platform == "linux":
        namespaces.may_be_traced(False)
        ctypes.CDLL(None).prctl(SET_SUBREAPER, 1, 0, 0, 0)
    printed, printing = os.pipe()
    keeper = os.getpid()
    process = os.fork()
    if process == 0:
        leash.close()
        os.close(printed)
        try:
            _become_student(printing, keeper)
            student()
        except BaseException:  # a student's code has broken what surrounds it
            os._exit(1)
        os._exit(0)
    os.close(printing)
    everything = _others if alone else lambda: processes_below(keeper)
    report = _watch(process, printed, leash, limits, everything)
    # Before the pipe is closed, or a process that printed too much would learn of it, and blame what it
    # does next.
    with contextlib.suppress(OSError):
        os.killpg(process, signal.SIGKILL)
    _end(everything)
    with contextlib.suppress(OSError):
        transport.send(leash, report, seconds=1.0)


def _become_student(printing: int, keeper: int) -> None:
    os.setsid()
    nothing = os.open("/dev/null", os.O_RDONLY)
    for source, target in ((nothing, 0), (printing, 1), (printing, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(printing)
    if sys.platform == "linux":
        namespaces.may_be_traced(True)
        ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != keeper:  # it died before it was asked for
            os._exit(1)


def _watch(
    process: int, printed: int, leash: socket.socket, limits: Limits, everything: Callable[[], list[int]]
) -> Value:
    watched, count, looked, at_first = [leash.fileno(), printed], 0, 0.0, own_memory(process)
    while True:
        ready, _, _ = select.select(watched, [], [], LOOK_EVERY)
        if leash.fileno() in ready:
            return {"reason": "was stopped by the grader"}
        if printed in ready:
            chunk = len(os.read(printed, CHUNK))
            count += chunk
            if chunk == 0:
                watched.remove(printed)
        if count > limits.printed:
            return {"reason": f"printed more than {limits.printed // MIB} MiB"}
        status = _ended(process)
        if status is not None:
            return {"status": status}
        if time.monotonic() - looked > LOOK_EVERY:
            looked = time.monotonic()
            reason = _too_much(everything(), limits, at_first)
            if reason:
                return {"reason": reason}


def _ended(process: int) -> int | None:
    """Status of the student's process if it has ended; whatever else has ended is cleared away."""
    with contextlib.suppress(ChildProcessError):
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == process:
                return status
            if ended == 0:
                return None
    return 0


def _too_much(processes: list[int], limits: Limits, at_first: int) -> str | None:
    if len(processes) > limits.processes:
        return f"started more than {limits.processes} processes"
    taken = sum(max(0, own_memory(process) - at_first) for process in processes)
    if taken > limits.memory:
        return f"took more than {limits.memory // MIB:,} MiB of memory"
    return None


def _others() -> list[int]:
    own = os.getpid()
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != own]


def _end(everything: Callable[[], list[int]]) -> None:
    """Stop all, so that nothing new is started meanwhile, then kill all; again until none is left."""
    for _ in range(100):
        processes = everything()
        if not processes:
            return
        for kind in (signal.SIGSTOP, signal.SIGKILL):
            for process in processes:
                with contextlib.suppress(OSError):
                    os.kill(process, kind)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)
