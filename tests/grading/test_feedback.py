"""The feedback page: everything in it, nothing that acts, nothing from elsewhere."""

import base64
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cleanprio_lib.grading import feedback
from cleanprio_lib.grading.grades import Graded
from cleanprio_lib.grading.judging import PNG, Examined, Result, nothing
from cleanprio_lib.grading.sandbox import KINDS
from cleanprio_lib.grading.submissions import Cell, Submission
from tests.grading.toy import TOY

EVIL = '<script>alert(1)</script><img src="http://evil/x.png" onerror="x()">"\'&'
PICTURE = base64.b64encode(PNG + b"submitted").decode()


class Reader(HTMLParser):
    """Collects tags, their attributes, and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def graded(cells=(), *, problem=None, **found):
    path = Path(f"{EVIL.replace('/', '_')}.ipynb")
    submission = Submission(path, EVIL, "1", (1,), "0", tuple(cells), problem)
    if problem:
        return Graded(submission, nothing(TOY, problem), "none", "x")
    results = {
        "9.1": Result(1.0, {"a number": EVIL}),
        "9.2": Result(1.0, {"a few": None}),
        "9.3": Result(None),
    }
    return Graded(submission, Examined(results=results, **found), "namespaces", "x")


ANSWER = Cell(4, "markdown", f"**Answer to 9.3**\n\n{EVIL}")
NO_PICTURE = base64.b64encode(b"<svg onload=x>").decode()
DRAWN = Cell(5, "code", "plot()", (PICTURE, "no base64 at all!", NO_PICTURE))


@pytest.fixture
def page():
    one = graded([ANSWER, DRAWN], failed={2: EVIL}, notes=[f"cell 1: !{EVIL}"], ended=EVIL)
    return Reader(feedback.page(one, TOY, {}))


def test_nothing_in_it_acts_or_comes_from_elsewhere(page):
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "form", "a", "base"}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.of("img"))
    policy = next(meta["content"] for meta in page.of("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in policy


def test_it_says_all_there_is(page):
    for text in ("Assignment 9: Sums", "9.1 Twice as much", "✗ not passed", "✓ passed", EVIL, "Cell 2:"):
        assert text in page.text, text
    assert "What was not run" in page.text
    assert "1 point for a reason; 1 for the <right> one." in page.text
    assert "judged by your teacher" in page.text
    assert "2 so far" in page.text


def test_it_can_be_read_by_all(page):
    assert page.of("html") == [{"lang": "en"}]
    assert len(page.of("h1")) == len(page.of("main")) == len(page.of("title")) == 1
    assert len(page.of("caption")) == len(page.of("table")) == 3
    assert all("scope" in head for head in page.of("th"))
    assert all(image["alt"] for image in page.of("img"))


def test_figures_are_those_drawn_at_grading_or_else_the_submitted_ones(page):
    assert [image["src"] for image in page.of("img")] == [f"data:image/png;base64,{PICTURE}"]
    assert "at grading it was not drawn" in page.text
    one = graded([ANSWER, DRAWN], pictures={5: [PNG + b"drawn"]})
    again = Reader(feedback.page(one, TOY, {}))
    assert len(again.of("img")) == 1
    assert PICTURE not in again.of("img")[0]["src"]
    assert "as it was drawn at grading" in again.text


def test_a_file_that_is_no_notebook(page):
    text = Reader(feedback.page(graded(problem="x.pdf is not a notebook"), TOY, {})).text
    assert "x.pdf is not a notebook. Nothing could be graded." in text
    assert "No answer was found." in text


def test_the_total_once_all_is_judged():
    assert "3.5" in Reader(feedback.page(graded(), TOY, {"9.3 (by hand, of 2)": "1.5"})).text


@pytest.mark.parametrize("kind", KINDS)
def test_isolation_is_said_and_its_lack_plainly(kind):
    one = graded()
    text = Reader(feedback.page(Graded(one.submission, one.examined, kind, ""), TOY, {})).text
    assert ("NOT ISOLATED" in text) == (kind == "none")
