"""The process in which a student's notebook runs: cells, one by one, then calls of its functions.

The grader asks over a channel, one thing at a time, and believes nothing of what comes back but that it is
what the student's functions made of the inputs:

    {"do": "cell", "number", "source", "seconds", "pictures"} -> {"error", "notes", "pictures"}
    {"do": "call", "function", "inputs", "seed", "seconds"}   -> {"outputs", "error", "changed"}

Neither right answers nor judges are ever here. What a cell or a function prints is counted and thrown away.
"""

from __future__ import annotations

import ast
import contextlib
import io
import linecache
import random
import signal
import socket
import sys
import traceback
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from cleanprio_lib.checks import checking
from cleanprio_lib.grading import neutral, transport
from cleanprio_lib.grading.limits import MIB, Limits

MOST_WORDS = 600  # characters of an error
MOST_PICTURES, LARGEST_PICTURE = 6, 2 * MIB
PAUSED = "took too long: after {seconds:.0f} seconds it was stopped"


class TimeUpError(BaseException):
    """The seconds of a cell or call are over; no `except Exception` holds it."""


def serve(channel: socket.socket, limits: Limits) -> None:
    """Do what the grader asks until it closes the channel."""
    notebook = Notebook()
    while True:
        try:
            asked: Any = transport.receive(channel, limit=limits.answer)
        except EOFError:
            return
        answer: Any = notebook.cell(asked) if asked["do"] == "cell" else notebook.call(asked)
        try:
            transport.send(channel, answer)
        except transport.TransportError as error:
            transport.send(
                channel, {"outputs": (), "changed": [], "error": f"returned what cannot be compared: {error}"}
            )


class Notebook:
    """A namespace, and what is done in it."""

    def __init__(self) -> None:
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.namespace = module.__dict__
        self.notes: list[str] = []
        neutral.install(self._note, self._run_wrapped)
        from IPython.core.inputtransformer2 import TransformerManager

        self._plain = TransformerManager().transform_cell
        self._place = "a cell"

    def cell(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Run a cell; what it raises is noted."""
        self.notes, self._place = [], f"cell {asked['number']}"
        error = None
        try:
            with _seconds(asked["seconds"]):
                self._run(self._plain(asked["source"]), self._place)
        except BaseException as raised:
            error = _words(raised, asked["seconds"])
        pictures = _pictures(asked["pictures"])
        return {"error": error, "notes": self.notes[: neutral.MOST_NOTES], "pictures": pictures}

    def call(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Call a function of the notebook on one dict of keyword arguments."""
        function = self.namespace.get(asked["function"])
        nothing: dict[str, Any] = {"outputs": (), "changed": []}
        if not callable(function):
            missing = "is not a function" if asked["function"] in self.namespace else "is not defined"
            return {**nothing, "error": f"`{asked['function']}` {missing}"}
        _same_luck(asked["seed"])
        try:
            with _seconds(asked["seconds"]):
                outcome = checking.run(function, [asked["inputs"]])
        except BaseException as raised:
            return {**nothing, "error": _words(raised, asked["seconds"])}
        error = None if outcome.error is None else _shortened(outcome.error)
        return {"outputs": outcome.outputs, "error": error, "changed": list(outcome.changed)}

    def _run(self, source: str, name: str) -> None:
        filename = f"<{name}>"
        # So that tracebacks, and `inspect`, find the lines.
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        exec(compile(ast.parse(source, filename), filename, "exec"), self.namespace)

    def _run_wrapped(self, source: str) -> None:
        self._run(self._plain(source), self._place)

    def _note(self, what: str) -> None:
        self.notes.append(" ".join(what.split())[:200])


@contextlib.contextmanager
def _seconds(seconds: float) -> Iterator[None]:
    """Raise TimeUpError in the block when so many seconds are over."""

    def stop(*_: object) -> None:
        raise TimeUpError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _same_luck(seed: int) -> None:
    """Functions that draw from shared generators give the same each time they are graded."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (a student may use it)
    torch.manual_seed(seed)


def _words(error: BaseException, seconds: float) -> str:
    if isinstance(error, TimeUpError):
        return PAUSED.format(seconds=seconds)
    try:
        own = [
            frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("<cell")
        ]
        line = error.lineno if isinstance(error, SyntaxError) else own[-1].lineno if own else None
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except BaseException:  # an error's own text may raise as well
        line, text = None, "(an error without words)"
    where = f" (line {line})" if line else ""
    return _shortened(f"{type(error).__name__}: {text}{where}")


def _shortened(words: str) -> str:
    return words if len(words) <= MOST_WORDS else words[:MOST_WORDS] + "…"


def _pictures(wanted: bool) -> list[np.ndarray]:
    """Figures that are open, as PNG; they are closed."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    pictures: list[np.ndarray] = []
    if pyplot is None:
        return pictures
    try:
        for number in pyplot.get_fignums()[:MOST_PICTURES] if wanted else []:
            file = io.BytesIO()
            with _seconds(20):
                pyplot.figure(number).savefig(file, format="png", dpi=100, bbox_inches="tight")
            if file.tell() <= LARGEST_PICTURE:
                pictures.append(np.frombuffer(file.getvalue(), dtype=np.uint8))
        pyplot.close("all")
    except BaseException:  # a figure is a student's as well
        return pictures
    return pictures
