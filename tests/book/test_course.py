"""The built pages hold the student notebooks, and no solution of an assignment."""

import json
import re

import pytest

from tools import assignments
from tools.book import Book

BOOK = Book()
SOURCES = assignments.sources(BOOK)


def telling_lines(text):
    """Long lines of a solution, which are nowhere else by accident."""
    regions = [match["solution"] for match in assignments.SOLUTION.finditer(text)]
    lines = {line.strip() for region in regions for line in region.split("\n")}
    given = {line.strip() for line in assignments.SOLUTION.sub("", text).split("\n")}
    return {line for line in lines - given if len(line) > 40 and re.search(r"\w", line)}


@pytest.fixture(scope="module")
def published():
    """Every text that is published, by path."""
    kinds = {".html", ".ipynb", ".txt", ".md", ".js", ".json", ".py"}
    files = [path for path in BOOK.html.rglob("*") if path.suffix in kinds and "_static" not in path.parts]
    assert files
    return {
        path.relative_to(BOOK.html).as_posix(): path.read_text("utf8", errors="replace") for path in files
    }


def test_every_student_notebook_can_be_downloaded(published):
    downloads = {path.rpartition("/")[2]: text for path, text in published.items() if "_downloads/" in path}
    for source in SOURCES.values():
        path = assignments.student_file(BOOK, source)
        assert downloads[path.name] == path.read_text("utf8")
    page = published["book/assignments/index.html"]
    assert all(
        f"/blob/{BOOK.branch}/book/assignments/{source.stem}.ipynb" in page for source in SOURCES.values()
    )


@pytest.mark.parametrize("number", sorted(SOURCES))
def test_no_solution_is_published(published, number):
    lines = telling_lines(SOURCES[number].read_text("utf8"))
    assert len(lines) > 20
    dressed = {form for line in lines for form in (line, json.dumps(line, ensure_ascii=False)[1:-1])}
    found = [(path, line) for path, text in published.items() for line in dressed if line in text]
    assert found == []
    assert not any("solutions" in path or "hidden_" in path for path in published)
