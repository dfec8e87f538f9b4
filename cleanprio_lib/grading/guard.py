"""Where nothing better is to be had: Python itself refuses what reaches outside a student's folder.

It holds off accidents and idle mischief, `shutil.rmtree("/")` say, not an attacker: code below Python, called
through `ctypes`, passes it by. The hook cannot be removed by Python code.

Source: PEP 578, and the table of audit events in Python's documentation.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

CHANGES = {
    *("os.remove", "os.rmdir", "os.mkdir", "os.rename", "os.truncate", "os.chmod", "os.chown", "os.utime"),
    *(
        "os.link",
        "os.symlink",
        "os.setxattr",
        "os.removexattr",
        "shutil.rmtree",
        "shutil.move",
        "shutil.copyfile",
    ),
}
NETWORK = {"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}
PROGRAMS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"}
READS = {"os.listdir", "os.scandir", "os.chdir"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def guard(home: str, hidden: Sequence[str]) -> None:
    """From now on, refuse changes outside `home`, anything in `hidden`, and the network, to forks as well.

    Also refused are other programs, which the hook would not follow into, and signals to other processes.
    """
    inside = os.path.realpath(home)
    kept_from = tuple(os.path.realpath(path) for path in hidden)
    own = {os.getpid()}

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            _refuse_hidden(path, kept_from)
            if isinstance(flags, int) and flags & WRITING:
                _refuse_outside(path, inside)
        elif event in CHANGES:
            for path in arguments:
                if isinstance(path, str | bytes | os.PathLike):
                    _refuse_outside(path, inside, arguments)
        elif event in READS:
            _refuse_hidden(arguments[0], kept_from)
        elif event in NETWORK:
            raise PermissionError("there is no network at grading")
        elif event in PROGRAMS:
            raise PermissionError("no other programs can be started at grading")
        elif event in ("os.kill", "os.killpg") and arguments[0] not in own:
            raise PermissionError("other processes cannot be signalled at grading")

    sys.addaudithook(hook)


def _refuse_outside(path: object, inside: str, arguments: Sequence[object] = ()) -> None:
    whole = _whole(path, arguments)
    if whole is None or whole == inside or whole.startswith(inside + os.sep) or whole == os.devnull:
        return
    raise PermissionError(f"{whole} lies outside the folder in which the notebook runs")


def _refuse_hidden(path: object, kept_from: Sequence[str]) -> None:
    whole = _whole(path)
    if whole is not None and any(whole == one or whole.startswith(one + os.sep) for one in kept_from):
        raise PermissionError(f"{whole} cannot be read at grading")


def _whole(path: object, arguments: Sequence[object] = ()) -> str | None:
    """The path without links and dots; of a file that is already open, None."""
    if not isinstance(path, str | bytes | os.PathLike):
        return None
    text = os.fsdecode(path)
    folder = arguments[-1] if arguments and isinstance(arguments[-1], int) else -1
    if folder >= 0 and not os.path.isabs(text):  # relative to a folder that is open
        text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)
    return os.path.realpath(text)
