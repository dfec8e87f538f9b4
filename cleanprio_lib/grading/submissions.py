"""Submitted notebooks, whatever their state: found in a folder, told apart by student, read cell by cell.

Nothing of a notebook is run here. What cannot be read as a notebook is a submission all the same, with the
reason in words: every student who handed something in gets a row.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LARGEST = 64 << 20  # bytes of a submitted file
PASSED_OVER = {".ipynb_checkpoints", "__MACOSX"}

# Canvas: lastfirst_LATE_123_456_name-1.ipynb, where 123 is the student's id and 456 counts submissions.
CANVAS = re.compile(r"(?P<name>[^_]+)_(?:LATE_)?(?P<id>\d+)_(?P<order>\d+)_(?P<rest>.*)", re.IGNORECASE)
# Moodle: a folder "First Last_1234567_assignsubmission_file" for each student.
MOODLE = re.compile(r"(?P<name>[^_]+)_(?P<id>\d+)_assignsubmission_file_?", re.IGNORECASE)
# What file systems and browsers add to a name that is taken, and Drive to a copy.
COPIES = re.compile(r"^(copy of|kopie van|kopie von|copie de|copia de)\s+|\s*\(\d+\)$|-\d+$", re.IGNORECASE)
DECLARED = re.compile(r"""^student\s*=\s*(["'])(?P<name>.+?)\1\s*(#.*)?$""", re.MULTILINE)
# Parts of the library that code names: "cleanprio_lib.theory", "from cleanprio_lib import checks, theory",
# and what it takes from the checks.
LIBRARY = re.compile(
    r"\bcleanprio_lib(?P<part>(?:\.\w+)*)(?:\s+import\s+(?P<names>\([^)]*\)|(?:[^\n;#\\]|\\\n)+))?"
)
OF_CHECKS = re.compile(r"\bchecks\.(?P<name>\w+)")
EVERYONES = {"", "checks", "checks.check", "checks.seed_of"}
UNCHANGED = "your name or number"  # how the name begins in the notebook that students get


@dataclass(frozen=True)
class Cell:
    """A cell as it was handed in.

    Attributes:
        number: its place in the notebook, from 1.
        kind: "code", "markdown" or something else.
        source: its text.
        pictures: PNG images among its outputs, base64, as they stand in the file.
    """

    number: int
    kind: str
    source: str
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submission:
    """What a student handed in.

    Attributes:
        path: of the file.
        name: the student's, from the file's name or, where that holds none, the file's name itself.
        user: the student's number in Canvas or Moodle; "" where the file's name holds none.
        order: later submissions of a student have the larger one.
        sha256: of the file.
        cells: in the notebook's order; none where there is a problem.
        problem: why it cannot be read as a notebook; None if it can.
        replaced: names of the student's earlier submissions, which do not count.
    """

    path: Path
    name: str
    user: str
    order: tuple[int, ...]
    sha256: str
    cells: tuple[Cell, ...] = ()
    problem: str | None = None
    replaced: tuple[str, ...] = field(default=())

    @property
    def declared(self) -> str:
        """The name that the notebook itself gives: `student = "…"`; "" if it gives none."""
        found = (DECLARED.search(cell.source) for cell in self.cells if cell.kind == "code")
        name = next((match["name"].strip() for match in found if match), "")
        return "" if name.startswith(UNCHANGED) else name

    @property
    def library(self) -> set[str]:
        """Parts of the library that the code names, such as "theory", but for those that are everyone's."""
        return {
            part for cell in self.cells if cell.kind == "code" for part in _parts(cell.source)
        } - EVERYONES

    @property
    def student(self) -> str:
        """The student's name, as well as it is known."""
        return self.name if self.user else self.declared or self.name

    @property
    def key(self) -> str:
        """What tells the student from others: the platform's number, or names of file and student together.

        Platforms without numbers give one name to files of different students, and "(1)" to all but one of
        them.
        """
        if self.user:
            return self.user
        name = f"{_without_copies(self.name)} {self.declared}" if self.declared else self.name
        return " ".join(name.casefold().split())


def find(folder: Path) -> list[Submission]:
    """One submission a student: the latest, in order of the students' names.

    Args:
        folder: of submitted files, and of folders of them.

    Raises:
        ValueError: there is no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise ValueError(f"FOLDER must be a folder of submitted notebooks, got {folder}")
    paths = sorted(_files(folder))
    if not paths:
        raise ValueError(f"{folder} holds no file")
    return sorted(
        _latest(read(path, folder=folder) for path in paths), key=lambda one: (one.student, one.key)
    )


def read(path: Path, *, folder: Path) -> Submission:
    """Read one submitted file; raises nothing, whatever it holds.

    Args:
        path: of the file.
        folder: that all submissions lie in: names of folders between the two may name the student.
    """
    name, user, order = whose(path.relative_to(folder))
    try:
        if path.is_symlink():
            raise ValueError("it is a link to another file")
        size, changed = path.stat().st_size, path.stat().st_mtime_ns
        if size > LARGEST:
            raise ValueError(f"it has {size >> 20} MiB, and {LARGEST >> 20} are allowed: clear its outputs")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        return Submission(path, name, user, order, "", problem=f"{path.name} cannot be read: {error}")
    digest = hashlib.sha256(content).hexdigest()
    order = (*order, changed)
    try:
        return Submission(path, name, user, order, digest, cells=tuple(_cells(path, content)))
    except ValueError as error:
        return Submission(path, name, user, order, digest, problem=f"{path.name} {error}")


def whose(path: Path) -> tuple[str, str, tuple[int, ...]]:
    """Student's name, number and order of a submission, as far as its path within the folder tells."""
    for folder in path.parts[:-1]:
        if moodle := MOODLE.fullmatch(folder):
            return moodle["name"].strip(), moodle["id"], ()
    if canvas := CANVAS.fullmatch(path.stem):
        # Canvas numbers submissions over all students: a later one has the larger number.
        return canvas["name"], canvas["id"], (int(canvas["order"]),)
    return str(path.with_suffix("")), "", ()


def _parts(source: str) -> Iterator[str]:
    for found in LIBRARY.finditer(source):
        module, *below = found["part"].strip(".").split(".")
        names = re.sub(r"#[^\n]*|[()\\]", " ", found["names"] or "")
        imported = [name.split()[0] for name in names.split(",") if name.strip()]
        if module in ("", "checks"):
            yield from (".".join([*filter(None, [module]), name]) for name in below[:1] or imported)
        else:
            yield module
    yield from (f"checks.{found['name']}" for found in OF_CHECKS.finditer(source))


def _without_copies(name: str) -> str:
    while (shorter := COPIES.sub("", name).strip()) != name and shorter:
        name = shorter
    return name


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in PASSED_OVER or path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        elif path.is_file() or path.is_symlink():
            yield path


def _latest(submissions: Iterable[Submission]) -> Iterator[Submission]:
    own: dict[str, list[Submission]] = {}
    for one in submissions:
        own.setdefault(one.key, []).append(one)
    for several in own.values():
        # A notebook that can be read counts before a file that cannot: a report beside it, say.
        *earlier, last = sorted(several, key=lambda one: (one.problem is None, one.order))
        replaced = tuple(one.path.name for one in earlier)
        yield Submission(**{**vars(last), "replaced": replaced})


def _cells(path: Path, content: bytes) -> Iterator[Cell]:
    if not content.strip():
        raise ValueError("is empty")
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        kind = (
            "is not a notebook"
            if path.suffix != ".ipynb"
            else "is damaged, and no notebook can be read from it"
        )
        raise ValueError(f"{kind} ({_short(error)})") from error
    if not isinstance(notebook, dict):
        raise ValueError("is not a notebook: it holds no cells")
    cells = notebook.get("cells")
    if cells is None:  # nbformat 3 has worksheets
        sheets = notebook.get("worksheets")
        cells = [cell for sheet in _dicts(sheets) for cell in _dicts(sheet.get("cells"))] if sheets else None
    if not isinstance(cells, list):
        raise ValueError("is not a notebook: it holds no cells")
    for number, cell in enumerate(_dicts(cells), start=1):
        source = _text(cell.get("source", cell.get("input", "")))
        yield Cell(number, str(cell.get("cell_type", "")), source, tuple(_pictures(cell)))


def _pictures(cell: dict[str, Any]) -> Iterator[str]:
    for output in _dicts(cell.get("outputs")):
        data = output.get("data", output)
        picture = data.get("image/png", data.get("png")) if isinstance(data, dict) else None
        if picture:
            yield _text(picture)


def _dicts(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _text(source: Any) -> str:
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


def _short(error: BaseException) -> str:
    return str(error)[:100] or type(error).__name__
