"""Write each chapter's Colab pair: `book/NN-name.ipynb`, made from `book/NN-name.md` and never edited.

python -m tools.pairs          write what is stale
python -m tools.pairs --check  change nothing; fail if a pair is stale, missing or left over
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import nbformat
from jupytext.myst import myst_to_notebook
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from cleanprio_lib import __version__
from tools.book import Book
from tools.colab import Chapter, Converter, caption_of, cited_keys
from tools.myst import HEADING, MystError
from tools.references import Index, index

SETUP = """\
# In Colab: the book's library. Colab's own torch, torchvision, numpy and pandas stay as they are.
import importlib.util

if importlib.util.find_spec("cleanprio_lib") is None:
    %pip install -q --no-deps "git+{repository}@v{version}\""""
HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}


class PairError(ValueError):
    """A chapter that cannot be turned into a pair; the message begins with file and line."""


def pair_text(book: Book, page: str, references: Index) -> str:
    """The pair of a chapter as the text of an .ipynb file.

    Raises:
        PairError: something in the chapter has no rule, or its front matter does not say how long it takes.
    """
    text = book.source(page).read_text(encoding="utf-8")
    source = myst_to_notebook(text, add_source_map=True)
    chapter = Chapter(page, references, book.published, raw_files(book, page), cited_keys(text))
    try:
        cells = converted_cells(source, chapter, text.split("\n"))
    except MystError as error:
        raise PairError(f"{page}.md:{error}") from None
    cells = with_setup(cells, book, page, duration(source, page))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:03d}"
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata = {"colab": {"provenance": []}, "kernelspec": source.metadata["kernelspec"]}
    nbformat.validate(notebook)
    return str(nbformat.writes(notebook, version=4)) + "\n"


def raw_files(book: Book, page: str) -> str:
    """Address at which Colab finds the files that lie beside a page."""
    owner, name = book.owner_and_name
    folder = page.rpartition("/")[0]
    return f"https://raw.githubusercontent.com/{owner}/{name}/{book.branch}/{folder}".rstrip("/")


def converted_cells(source: NotebookNode, chapter: Chapter, lines: list[str]) -> list[NotebookNode]:
    """All cells for Colab: text by the rules, code as it is, captions below figures."""
    converter = Converter(chapter)
    cells = []
    for cell, start in zip(source.cells, source.metadata["source_map"], strict=True):
        line = first_text_line(lines, start)
        if cell.cell_type == "markdown":
            cells += markdown_cell(converter.cell(cell.source, line))
        else:
            cells.append(code_cell(cell, converter.solution))
            cells += markdown_cell(caption_of(cell, converter, line))
    if converter.solution:
        raise MystError(len(lines), f"never ended: {converter.solution}")
    return cells


def first_text_line(lines: list[str], start: int) -> int:
    """Number of the first line from index `start` that holds something, counted from 1."""
    return next((at + 1 for at in range(start, len(lines)) if lines[at].strip()), start + 1)


def markdown_cell(text: str) -> list[NotebookNode]:
    """A Markdown cell, unless there is nothing in it."""
    return [new_markdown_cell(text)] if text.strip() else []


def code_cell(cell: NotebookNode, solution: str) -> NotebookNode:
    """A code cell without outputs; folded under a title in Colab if the page hides it too."""
    title = solution or ("Code" if HIDDEN & set(cell.metadata.get("tags", ())) else "")
    if not title or cell.source.startswith("%%"):
        return new_code_cell(cell.source, metadata=cell.metadata)
    folded = {"cellView": "form", "jupyter": {"source_hidden": True}}
    return new_code_cell(f"# @title {title}\n{cell.source}", metadata={**cell.metadata, **folded})


def duration(source: NotebookNode, page: str) -> str:
    """How long a chapter takes, from its front matter: `cleanprio: {minutes_cpu: 2, minutes_gpu: 1}`."""
    facts = source.metadata.get("cleanprio", {})
    missing = [key for key in ("minutes_cpu", "minutes_gpu") if key not in facts]
    if missing:
        raise PairError(f"{page}.md:1: the front matter lacks cleanprio: {{{', '.join(missing)}}}")
    return f"about {minutes(facts['minutes_cpu'])} on a CPU and {minutes(facts['minutes_gpu'])} on a GPU"


def minutes(number: float) -> str:
    """`1 minute`, `2 minutes`."""
    return f"{number:g} minute{'' if number == 1 else 's'}"


def with_setup(cells: list[NotebookNode], book: Book, page: str, takes: str) -> list[NotebookNode]:
    """The cells with title, time needed and set-up first."""
    first, *rest = cells
    title = HEADING.search(first.source)
    if first.cell_type != "markdown" or title is None:
        raise PairError(f"{page}.md:1: a chapter begins with its title")
    head, opening = first.source[: title.end()], first.source[title.end() :].strip("\n")
    link = f"[The page on the web]({book.published}/{page}.html) shows it with all results."
    note = f"*In Colab this chapter takes {takes}. {link}*"
    setup = new_code_cell(SETUP.format(repository=book.repository, version=__version__))
    return [new_markdown_cell(f"{head}\n\n{note}"), setup, *markdown_cell(opening), *rest]


def problems(book: Book, *, write: bool) -> list[str]:
    """Bring the pairs up to date, or say what is not."""
    references = index(book)
    found = []
    for page in book.chapters:
        text = pair_text(book, page, references)
        path = book.pair(page)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if write:
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(book.root)}")
        else:
            found.append(f"{path.relative_to(book.root)} is {'stale' if path.exists() else 'missing'}")
    kept = {book.pair(page) for page in book.chapters}
    left_over = sorted(path for path in book.root.glob("book/*.ipynb") if path not in kept)
    return found + [f"{path.relative_to(book.root)} belongs to no chapter in _toc.yml" for path in left_over]


def main(arguments: Sequence[str] = ()) -> int:
    """Write or check the pairs; 0 if all is well."""
    check = "--check" in arguments
    try:
        found = problems(Book(), write=not check)
    except PairError as error:
        found = [str(error)]
    for problem in found:
        print(problem)
    if check and found:
        print("Write the pairs anew with `make sync`.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
