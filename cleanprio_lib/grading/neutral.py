"""What a notebook expects and does not get at grading: magics, shell lines, Colab, a person at the keyboard.

All of it is noted and none of it run, but for magics that only wrap code (`%%time`, `%%capture`): their code
runs.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

MOST_NOTES = 40
WRAPPERS = {"time", "timeit", "capture", "prun"}

Note = Callable[[str], None]


def install(note: Note, run: Callable[[str], None]) -> None:
    """Put the stand-ins where notebooks look for them.

    Args:
        note: called with each thing that was not run.
        run: runs the code of a magic that only wraps it.
    """
    shell = Shell(note, run)

    def ask(prompt: object = "") -> str:
        note("input()")
        return ""

    for name, stand_in in {"get_ipython": lambda: shell, "input": ask, "display": _show_nothing}.items():
        setattr(builtins, name, stand_in)
    display: Any = importlib.import_module("IPython.display")
    display.display = _show_nothing
    sys.meta_path.insert(0, ColabFinder(note))


class Shell:
    """What `get_ipython()` gives: notes each magic and shell line."""

    def __init__(self, note: Note, run: Callable[[str], None]) -> None:
        self._note, self._run = note, run

    def run_line_magic(self, name: str, line: str, *_: object, **__: object) -> None:
        """`%name line`."""
        self._note(f"%{name} {line}")
        if name in WRAPPERS and line:
            self._run(line)

    def run_cell_magic(self, name: str, line: str, cell: str) -> None:
        """`%%name line`, and the cell below it."""
        self._note(f"%%{name} {line}")
        if name in WRAPPERS:
            self._run(cell)

    def system(self, command: str) -> None:
        """`!command`."""
        self._note(f"!{command}")

    def getoutput(self, command: str, *_: object, **__: object) -> list[str]:
        """`lines = !command`."""
        self._note(f"!{command}")
        return []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing(f"get_ipython().{name}", self._note)


class Nothing:
    """Can be called, used in `with` and asked for attributes; does nothing, holds nothing."""

    def __init__(self, name: str, note: Note) -> None:
        self._name, self._note = name, note

    def __call__(self, *_: object, **__: object) -> Any:
        self._note(f"{self._name}()")
        return {} if self._name.endswith(".upload") else None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing(f"{self._name}.{name}", self._note)

    def __enter__(self) -> Nothing:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class ColabFinder:
    """Finds `google.colab` and all below it, as empty modules; `google` only where there is none."""

    def __init__(self, note: Note) -> None:
        self._note = note

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> Any:
        """The import system asks."""
        if name == "google":
            if importlib.machinery.PathFinder.find_spec(name, path) is not None:
                return None
        elif name != "google.colab" and not name.startswith("google.colab."):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """The import system asks."""
        note = self._note

        class Stub(types.ModuleType):
            def __getattr__(self, name: str) -> Any:
                if name.startswith("__"):
                    raise AttributeError(name)
                return Nothing(f"{self.__name__}.{name}", note)

        return Stub(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """The import system asks."""


def _show_nothing(*_: object, **__: object) -> None:
    return None
