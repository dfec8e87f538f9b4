"""A fork server: imports torch and the library once, then forks for each submission.

    python -m cleanprio_lib.grading.host [--once]

It runs nothing of a student's itself. Its standard input is a socket to the grader, on which it says when it
is ready and whether each submission can have namespaces of its own, and then gets jobs, each with two
sockets: the channel of the student's process and the leash of its keeper. It ends when the grader closes the
socket.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
from typing import Any

from cleanprio_lib.grading import keeper, namespaces, transport, worker
from cleanprio_lib.grading.guard import guard
from cleanprio_lib.grading.limits import Limits, restrict
from cleanprio_lib.grading.namespaces import View

LONGEST_JOB = 1 << 16
# What every submission needs.
ALWAYS = ("torch", "numpy", "IPython.core.inputtransformer2", "cleanprio_lib.checks")
# What notebooks of the course import too; with --once, only those that do wait for it.
OFTEN = (
    "pandas",
    "matplotlib.pyplot",
    "seaborn",
    "tqdm.auto",
    "IPython.display",
    "cleanprio_lib.training",
    "cleanprio_lib.data",
)


def main(*options: str) -> None:
    """Serve until the grader is gone; with --once a single submission is expected."""
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name in ALWAYS if "--once" in options else ALWAYS + OFTEN:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for keepers: they speak for themselves
    control.sendall(b"ready\n")
    while True:
        message, sockets, _, _ = socket.recv_fds(control, LONGEST_JOB, 2)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            _start(json.loads(message), *map(_socket, sockets))
        for number in sockets:
            os.close(number)


def _start(job: dict[str, Any], channel: socket.socket, leash: socket.socket) -> None:
    """In a new process: become the keeper of a submission, in namespaces if the job wants them; no return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    limits = Limits(**job["limits"])
    try:
        if job["view"] is None:
            os.chdir(job["home"])
            _keep(job, channel, leash, limits)
        else:
            view = View(
                **{
                    **job["view"],
                    "shown": tuple(job["view"]["shown"]),
                    "hidden": tuple(job["view"]["hidden"]),
                }
            )
            namespaces.separate(user=job["user"])
            if os.fork() == 0:
                namespaces.furnish(view)
                namespaces.surrender(user=job["user"])
                unreadable = namespaces.unreadable(job["needed"])
                if unreadable:
                    raise PermissionError(f"other users cannot read {', '.join(unreadable)}")
                _keep(job, channel, leash, limits)
    except BaseException as error:
        with contextlib.suppress(OSError):
            transport.send(leash, {"failed": str(error) or type(error).__name__}, seconds=1.0)
    os._exit(0)


def _keep(job: dict[str, Any], channel: socket.socket, leash: socket.socket, limits: Limits) -> None:
    home = job["home"]
    os.environ.update(HOME=home, TMPDIR=home)
    transport.send(leash, {"started": True}, seconds=1.0)

    def student() -> None:
        restrict(limits)
        if job["guarded"]:
            guard(home, job["guarded"])
        worker.serve(channel, limits)

    keeper.keep(leash, student, limits, alone=job["view"] is not None)


def _socket(number: int) -> socket.socket:
    os.set_inheritable(number, False)
    return socket.socket(fileno=number)


if __name__ == "__main__":
    main(*sys.argv[1:])
