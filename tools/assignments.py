"""Write each assignment's student notebook from its solution, which is the one source that a teacher edits.

    python -m tools.assignments              write what is stale
    python -m tools.assignments --check      change nothing; fail if one is stale, missing or left over
    python -m tools.assignments --solutions  execute the solutions into `_build/solutions`, never published

A solution, `book/assignments/solutions/N-name.md`, is a text notebook. What students must not see stands
between lines `### BEGIN SOLUTION` and `### END SOLUTION`, in code and in text. In a student's notebook a
function then says `raise NotImplementedError`, and what was an answer is a place to write one. Cells that
answer a question begin with `Answer to N.M`. Titles, points and rubrics come from `cleanprio_lib.checks`.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
from jupytext.myst import myst_to_notebook
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from cleanprio_lib import __version__
from cleanprio_lib.checks import ASSIGNMENTS, Assignment, Question
from tools.book import Book
from tools.colab import Chapter, Converter, cited_keys
from tools.myst import HEADING, MystError
from tools.pairs import SETUP, PairError, duration, first_text_line, raw_files
from tools.references import Index, index

FOLDER = Path("book/assignments")
SOLUTION = re.compile(
    r"^(?P<indent> *)### BEGIN SOLUTION *\n(?P<solution>.*?)^ *### END SOLUTION *(?:\n|\Z)",
    re.MULTILINE | re.DOTALL,
)
MARKER = re.compile(r"### (?:BEGIN|END) SOLUTION")
ANSWER = re.compile(r"\A(?:# |\*\*)Answer to (?P<question>\d\.\d)\b")
QUESTION = re.compile(r"^## (?P<question>\d\.\d)[ \t]*$", re.MULTILINE)
TO_WRITE = {"code": "...  # your code", "markdown": "*Write here.*\n"}
HOW = """\
Write what is missing where it says `raise NotImplementedError`, and run the cell below it: a line with a ✓ is
right, one with a ✗ says what is not. These are the checks that you see; others, with other inputs, run when
the notebook is graded. A cell that uses a function which is not written yet stops with a
`NotImplementedError`; that is as it should be. Keep the names of the functions and of their arguments, and
the lines *Answer to …*; add as many cells as you like. Before you hand in, run everything once from top to
bottom (in Colab: *Runtime, Restart session and run all*): that is what happens when it is graded."""


class AssignmentError(ValueError):
    """A solution that no student notebook can be made of; the message begins with the file."""


def sources(book: Book) -> dict[int, Path]:
    """The solutions by number."""
    found = sorted((book.root / FOLDER / "solutions").glob("[0-9]-*.md"))
    return {int(path.name[0]): path for path in found}


def student_file(book: Book, source: Path) -> Path:
    """Where the student notebook of a solution lies."""
    return book.root / FOLDER / f"{source.stem}.ipynb"


def student_text(book: Book, source: Path, assignment: Assignment, references: Index) -> str:
    """The student notebook of a solution, as the text of an .ipynb file.

    Raises:
        AssignmentError: a question without an answer, an answer to no question, a marker without its twin.
    """
    notebook = read(source)
    check_answers(notebook, source, assignment)
    cells = [cell for cell in map(without_solution, notebook.cells) if cell is not None]
    cells = converted(cells, book, source, references)
    if any(MARKER.search(cell.source) for cell in cells):
        raise AssignmentError(f"{source.name}: a line BEGIN SOLUTION or END SOLUTION has no twin")
    head = header(cells[0], book, source, assignment, duration(notebook, source.stem))
    return as_text([*head, *cells[1:]], notebook, assignment)


def read(source: Path) -> NotebookNode:
    """A solution as a notebook whose cells know the lines they begin at."""
    text = source.read_text(encoding="utf-8")
    notebook = myst_to_notebook(text, add_source_map=True)
    lines = text.split("\n")
    for cell, start in zip(notebook.cells, notebook.metadata["source_map"], strict=True):
        cell["line"] = first_text_line(lines, start)
    return notebook


def without_solution(cell: NotebookNode) -> NotebookNode | None:
    """The cell as a student has it; None if nothing but a solution is in it."""

    def to_write(match: re.Match[str]) -> str:
        if match["indent"]:
            return f"{match['indent']}raise NotImplementedError\n"
        return TO_WRITE[cell.cell_type]

    if nothing_else(cell):
        return None
    return NotebookNode({**cell, "source": SOLUTION.sub(to_write, cell.source).strip("\n")})


def nothing_else(cell: NotebookNode) -> bool:
    """Whether a cell is a solution from its first line to its last: students do not see that there is one."""
    return bool(SOLUTION.search(cell.source)) and not SOLUTION.sub("", cell.source).strip()


def converted(cells: list[NotebookNode], book: Book, source: Path, references: Index) -> list[NotebookNode]:
    """The cells in what Colab can show."""
    page = f"{FOLDER}/{source.stem}"
    text = source.read_text(encoding="utf-8")
    converter = Converter(Chapter(page, references, book.published, raw_files(book, page), cited_keys(text)))
    try:
        return [
            new_markdown_cell(converter.cell(cell.source, cell["line"]))
            if cell.cell_type == "markdown"
            else new_code_cell(cell.source)
            for cell in cells
        ]
    except MystError as error:
        raise AssignmentError(f"{source.name}:{error}") from None


def header(
    first: NotebookNode, book: Book, source: Path, assignment: Assignment, takes: str
) -> list[NotebookNode]:
    """Title, time, points and how to work; the setup cell; the opening."""
    title = HEADING.search(first.source)
    if title is None:
        raise AssignmentError(f"{source.name}:1: an assignment begins with its title")
    facts = (
        f"*{assignment.points} points · about {assignment.minutes} minutes of your time; it runs in {takes}.*"
    )
    setup = SETUP.format(repository=book.repository, version=__version__)
    return [
        new_markdown_cell(f"{first.source[: title.end()]}\n\n{facts}\n\n{HOW}"),
        new_code_cell(setup),
        new_markdown_cell(first.source[title.end() :].strip("\n")),
    ]


def as_text(cells: list[NotebookNode], source: NotebookNode, assignment: Assignment) -> str:
    """An .ipynb file of these cells: points in the headings, ids by place, questions in the metadata."""
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:03d}"
        answer = ANSWER.match(cell.source)
        if answer:
            cell.metadata["cleanprio"] = {"question": answer["question"]}
        cell.source = QUESTION.sub(lambda match: heading(assignment, match["question"]), cell.source)
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata = {
        "cleanprio": {"assignment": assignment.number},
        "colab": {"provenance": []},
        "kernelspec": source.metadata["kernelspec"],
    }
    nbformat.validate(notebook)
    return str(nbformat.writes(notebook, version=4)) + "\n"


def heading(assignment: Assignment, name: str) -> str:
    """`## 1.2 Title (5 points)`, and what earns the points where people judge."""
    question = by_id(assignment)[name]
    points = f"{question.points} point{'' if question.points == 1 else 's'}"
    rubric = f"\n\n*What earns the points: {question.rubric}*" if question.rubric else ""
    return f"## {name} {question.title} ({points}){rubric}"


def by_id(assignment: Assignment) -> dict[str, Question]:
    """The questions of an assignment by id."""
    return {question.id: question for question in assignment.questions}


def check_answers(notebook: NotebookNode, source: Path, assignment: Assignment) -> None:
    """Raise an AssignmentError unless every question has its heading and a solution, in their order."""
    wanted = list(by_id(assignment))
    headings = [found for cell in notebook.cells for found in QUESTION.findall(cell.source)]
    if headings != wanted:
        raise AssignmentError(f"{source.name}: the headings are {headings}, and the questions {wanted}")
    answered = [match["question"] for cell in notebook.cells if (match := ANSWER.match(cell.source))]
    if list(dict.fromkeys(answered)) != wanted:
        raise AssignmentError(f"{source.name}: the answers are to {answered}, and the questions {wanted}")
    for cell in notebook.cells:
        if nothing_else(cell):
            continue
        solved = bool(SOLUTION.search(cell.source))
        if solved != bool(ANSWER.match(cell.source)):
            problem = "a solution without" if solved else "without a solution under"
            raise AssignmentError(
                f"{source.name}:{cell['line']}: a cell {problem} a first line 'Answer to …'"
            )


# All of them


def problems(book: Book, *, write: bool) -> list[str]:
    """Bring the student notebooks up to date, or say what is not."""
    references = index(book)
    kept, found = set(), []
    for number, source in sources(book).items():
        if number not in ASSIGNMENTS:
            found.append(f"{source.name}: there is no assignment {number} in cleanprio_lib.checks")
            continue
        path = student_file(book, source)
        kept.add(path)
        text = student_text(book, source, ASSIGNMENTS[number], references)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if write:
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(book.root)}")
        else:
            found.append(f"{path.relative_to(book.root)} is {'stale' if path.exists() else 'missing'}")
    left_over = sorted(set((book.root / FOLDER).glob("*.ipynb")) - kept)
    return found + [f"{path.relative_to(book.root)} belongs to no solution" for path in left_over]


def solution_notebook(source: Path) -> NotebookNode:
    """A solution as a notebook without the marker lines, ready to be run."""
    notebook = read(source)
    cells = []
    for number, cell in enumerate(notebook.cells):
        text = re.sub(r"^ *### (?:BEGIN|END) SOLUTION *\n?", "", cell.source, flags=re.MULTILINE)
        make = new_code_cell if cell.cell_type == "code" else new_markdown_cell
        cells.append(make(text, id=f"cell-{number:03d}"))
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": notebook.metadata["kernelspec"]})


def execute_solutions(book: Book) -> int:
    """Run all solutions and keep them with their results; 0 if none fails."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    folder, status = book.build / "solutions", 0
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources(book).values():
        notebook, start = solution_notebook(source), time.monotonic()
        try:
            NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
        except CellExecutionError as error:
            print(f"{source.name}: {error}")
            status = 1
        path = folder / f"{source.stem}.ipynb"
        nbformat.write(notebook, path)
        print(f"{path.relative_to(book.root)}: {time.monotonic() - start:.0f} s")
    return status


def main(arguments: Sequence[str] = ()) -> int:
    """Write or check the student notebooks, or execute the solutions; 0 if all is well."""
    if "--solutions" in arguments:
        return execute_solutions(Book())
    check = "--check" in arguments
    try:
        found = problems(Book(), write=not check)
    except (AssignmentError, PairError) as error:
        found = [str(error)]
    for problem in found:
        print(problem)
    if check and found:
        print("Write the student notebooks anew with `make assignments`.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
