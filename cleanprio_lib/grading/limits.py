"""What a submission may take: of time, memory, files, processes, printed text and words of an answer."""

from __future__ import annotations

import contextlib
import os
import resource
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
NUMBER_OF_THREADS = 256  # beside the limit on processes: torch and others start threads
OPEN_FILES = 256
PAGE = resource.getpagesize()


@dataclass(frozen=True)
class Limits:
    """What one submission may take.

    Attributes:
        seconds: all of it, on the wall clock, not counting the start of Python; a single cell gets a third, a
            single call of a function a sixth.
        memory: bytes that its processes may take together, beyond what torch and the library take.
        files: bytes that its files may have.
        processes: at once.
        printed: bytes.
        answer: bytes of one message.
    """

    seconds: float = 300.0
    memory: int = 2048 * MIB
    files: int = 256 * MIB
    processes: int = 64
    printed: int = 16 * MIB
    answer: int = 64 * MIB

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")

    @property
    def cell_seconds(self) -> float:
        """Wall-clock seconds of one cell."""
        return self.seconds / 3

    @property
    def call_seconds(self) -> float:
        """Wall-clock seconds of one call of a student's function."""
        return self.seconds / 6


def restrict(limits: Limits) -> None:
    """Set the limits that the system keeps for this process and each that it starts.

    Memory is counted from the address space that this process has now: torch reserves gigabytes that it never
    touches, and a limit that leaves room for them from zero would say nothing.
    """
    cpu = int(2 * limits.seconds) + 1
    _lower(resource.RLIMIT_CPU, cpu)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, limits.files)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    with contextlib.suppress(OSError):
        _lower(resource.RLIMIT_AS, _address_space() + limits.memory)
        # Counts all that the user runs, where the user has no namespace of its own.
        _lower(resource.RLIMIT_NPROC, _tasks_of_all() + limits.processes + NUMBER_OF_THREADS)


def own_memory(process: int | str = "self") -> int:
    """Bytes of memory that a process has for itself, neither files nor shared; 0 if it is gone."""
    try:
        _, resident, shared = Path(f"/proc/{process}/statm").read_text().split()[:3]
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * PAGE


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * PAGE


def _tasks_of_all() -> int:
    """Threads of the whole system, or of the own namespace."""
    return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])


def _lower(what: int, limit: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    # A CPU limit is first a signal, which says what it was, and a second later the end.
    beyond = limit + 1 if what == resource.RLIMIT_CPU and hard in (resource.RLIM_INFINITY,) else limit
    resource.setrlimit(what, (limit, beyond))


def processes_below(ancestor: int) -> list[int]:
    """Processes that a process started, directly or not; none where the system has no /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                # The name of the program, in brackets, may hold anything.
                parent = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    waiting = [ancestor]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found
