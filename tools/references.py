"""What the pages can refer to: labels, with the numbers that the built pages show, and cited works.

Sphinx counts figures, labelled equations and exercises through the whole book, in the order of the pages. So
does this module, from the pages' text alone: a pair can then be written without building anything.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from jupytext.myst import myst_to_notebook
from nbformat import NotebookNode
from pybtex.database import Entry, Person, parse_file
from pybtex.richtext import Text as RichText

from tools.book import Book
from tools.myst import HEADING, Directive, Text, blocks

ANCHOR = re.compile(r"^\((?P<label>[\w:.-]+)\)=[ \t]*$", re.MULTILINE)
DISPLAY_LABEL = re.compile(r"\$\$[ \t]*\((?P<label>[\w:.-]+)\)[ \t]*$", re.MULTILINE)
CITATION = re.compile(r"(?<!`)\{cite(?::[a-z]+)?\}`(?P<keys>[^`]+)`")
EXERCISES = {"exercise", "exercise-start"}


@dataclass(frozen=True)
class Target:
    """What a label stands for: its page and anchor, what a reference to it reads, its number if any."""

    page: str
    anchor: str
    text: str
    number: int | None = None


@dataclass(frozen=True)
class Work:
    """A cited work: authors as cited, year, entry in a list of references, and where to find it."""

    authors: str
    year: str
    entry: str
    url: str


@dataclass(frozen=True)
class Index:
    """All that can be referred to."""

    targets: dict[str, Target]
    titles: dict[str, str]
    works: dict[str, Work]


def index(book: Book) -> Index:
    """Read all pages and the bibliography of `book`."""
    counter: Counter[str] = Counter()
    targets: dict[str, Target] = {}
    titles: dict[str, str] = {}
    for page in book.pages:
        text = book.source(page).read_text(encoding="utf-8")
        for cell in myst_to_notebook(text).cells:
            if cell.cell_type == "code":
                targets |= figure_of_cell(page, cell, counter)
            else:
                targets |= targets_in(page, cell.source, counter)
                title = HEADING.search(cell.source)
                titles.setdefault(page, title["title"] if title else page)
    works: dict[str, Work] = {}
    for name in book.config.get("bibtex_bibfiles", ()):
        works |= read_works(book.root / name)
    return Index(targets, titles, works)


def figure_of_cell(page: str, cell: NotebookNode, counter: Counter[str]) -> dict[str, Target]:
    """The figure that a code cell's metadata names, if it does."""
    figure = cell.metadata.get("mystnb", {}).get("figure", {})
    if "caption" not in figure:
        return {}
    counter["figure"] += 1
    return _figure(page, figure.get("name"), counter)


def targets_in(page: str, text: str, counter: Counter[str]) -> dict[str, Target]:
    """The labels in a Markdown cell, directives within directives included."""
    found: dict[str, Target] = {}
    for block in blocks(text):
        if isinstance(block, Text):
            found |= _sections(page, block.text) | _equations(page, block.text, counter)
        elif isinstance(block, Directive):
            found |= _of_directive(page, block, counter)
            found |= {} if block.name == "math" else targets_in(page, block.body, counter)
    return found


def _sections(page: str, text: str) -> dict[str, Target]:
    found = {}
    for anchor in ANCHOR.finditer(text):
        heading = HEADING.match(text[anchor.end() :].lstrip("\n"))
        title = heading["title"] if heading else ""
        found[anchor["label"]] = Target(page, html_id(anchor["label"]), title)
    return found


def _equations(page: str, text: str, counter: Counter[str]) -> dict[str, Target]:
    labels = [match["label"] for match in DISPLAY_LABEL.finditer(text)]
    return {label: _equation(page, label, counter) for label in labels}


def _equation(page: str, label: str, counter: Counter[str]) -> Target:
    counter["equation"] += 1
    number = counter["equation"]
    return Target(page, f"equation-{html_id(label)}", f"({number})", number)


def _figure(page: str, label: str | None, counter: Counter[str]) -> dict[str, Target]:
    number = counter["figure"]
    return {label: Target(page, html_id(label), f"Fig. {number}", number)} if label else {}


def _of_directive(page: str, block: Directive, counter: Counter[str]) -> dict[str, Target]:
    label = block.options.get("label") or block.options.get("name")
    if block.name == "math" and label:
        return {label: _equation(page, label, counter)}
    if block.name == "figure":
        counter["figure"] += 1
        return _figure(page, label, counter)
    if block.name in EXERCISES and "nonumber" not in block.options:
        counter["exercise"] += 1
        number = counter["exercise"]
        return {label: Target(page, html_id(label), f"Exercise {number}", number)} if label else {}
    return {}


def html_id(label: str) -> str:
    """The id that docutils makes of a label."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


# Cited works


def read_works(path: Path) -> dict[str, Work]:
    """The works in a BibTeX file."""
    return {key: _work(entry) for key, entry in parse_file(str(path)).entries.items()}


def _work(entry: Entry) -> Work:
    people = entry.persons["author"]
    fields = {key: _plain(value) for key, value in entry.fields.items()}
    url = _address(fields)
    venue = fields.get("journal") or fields.get("booktitle") or f"arXiv:{fields['eprint']}"
    authors = _joined([_full_name(person) for person in people])
    line = f"{authors} ({fields['year']}). [{fields['title']}]({url}). *{venue}*."
    last_names = [_plain(" ".join(person.last_names)) for person in people]
    cited = _joined(last_names) if len(people) < 3 else f"{last_names[0]} et al."
    return Work(cited, fields["year"], line, url)


def _full_name(person: Person) -> str:
    parts = person.first_names + person.middle_names + person.prelast_names + person.last_names
    return _plain(" ".join(parts))


def _joined(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _address(fields: dict[str, str]) -> str:
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    return fields.get("url") or f"https://arxiv.org/abs/{fields['eprint']}"


def _plain(latex: str) -> str:
    """LaTeX's accents and braces as plain text."""
    return " ".join(str(RichText.from_latex(latex)).split())
