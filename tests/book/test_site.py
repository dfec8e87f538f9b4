"""The site check finds each fault, names page and line, and passes a clean site."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import check_site
from tools.book import Book

CONFIG = """\
repository: {url: https://github.com/someone/some-book, branch: main}
launch_buttons: {colab_url: https://colab.research.google.com}
"""
REPOSITORY = "https://github.com/someone/some-book"
COLAB = "https://colab.research.google.com/github/someone/some-book/blob/main"
CLEAN = f"""\
<html><head><script src="_static/a.js"></script>
<link rel="stylesheet" href="_static/a.css"></head><body><h1 id="top">Title</h1>
<a href="other.html#there">a page</a> <a href="#top">up</a> <a href="folder/">a folder</a>
<a href="https://example.org/x">elsewhere</a> <a href="{REPOSITORY}">all of it</a>
<a href="{REPOSITORY}/">too</a>
<a href="{REPOSITORY}/blob/main/book/01-a.md?plain=1">source</a>
<a href="{REPOSITORY}/issues/new?template=a.yml&amp;where=x">tell us</a> <a href="{REPOSITORY}/issues">all</a>
<a href="{COLAB}/book/01-a.ipynb">Colab</a>
<img src="_static/a.png" alt="A curve">
<img src="_static/a.png" alt="" role="presentation">
<p>Formulas may hold braces: \\(x_{{ref}} + \\text{{note}}\\) and \\[y_{{eq}}\\].</p>
<pre>```{{note}} quoted ::: mark-up {{cite}}`x`</pre><code>{{ref}}`quoted`</code>
<div class="output stream">fine</div></body></html>
"""


@pytest.fixture
def site(tmp_path: Path) -> Book:
    """A small built site without a fault."""
    book = Book(tmp_path)
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "book").mkdir()
    for name in ("01-a.md", "01-a.ipynb"):
        (tmp_path / "book" / name).write_text("")
    (tmp_path / ".github" / "ISSUE_TEMPLATE").mkdir(parents=True)
    (tmp_path / ".github" / "ISSUE_TEMPLATE" / "a.yml").write_text("")
    (book.html / "_static").mkdir(parents=True)
    (book.html / "folder").mkdir()
    for name in ("_static/a.js", "_static/a.css", "_static/a.png"):
        (book.html / name).write_text("")
    (book.html / "index.html").write_text(CLEAN)
    (book.html / "other.html").write_text('<p id="there">There.</p>')
    (book.html / "folder" / "index.html").write_text("<p>Folder.</p>")
    return book


def test_a_clean_site_passes(site: Book) -> None:
    assert check_site.check(site) == []


@pytest.mark.parametrize(
    ("html", "what"),
    [
        ('<a href="nowhere.html">x</a>', "dead link: nowhere.html"),
        ('<a href="other.html#nowhere">x</a>', "dead anchor: other.html#nowhere"),
        ('<a href="#nowhere">x</a>', "dead anchor: #nowhere"),
        ('<a href="_static/">x</a>', "dead link: _static/"),
        ('<p id="a">x</p><p id="a">y</p>', "an id for the second time: a"),
        ('<img src="gone.png" alt="x">', "dead link: gone.png"),
        ('<img src="_static/a.png">', "image without alternative text"),
        ('<img src="_static/a.png" alt=" ">', "image without alternative text"),
        ('<script src="https://cdn.example.org/x.js"></script>', "loaded from another host"),
        ('<link rel="stylesheet" href="//cdn.example.org/x.css">', "loaded from another host"),
        ('<img src="https://example.org/x.png" alt="x">', "loaded from another host"),
        ("<p>:::{note}</p>", "raw mark-up in the text: :::"),
        ("<p>```{note}</p>", "raw mark-up in the text: ```"),
        ("<p>see {cite:p}`x`</p>", "raw mark-up in the text: {cite:p}`"),
        ("<p>the residual $-(1</p>", "raw mark-up in the text: $"),
        ("<p>see {cite} too</p>", "raw mark-up in the text: {cite}"),
        ("<p>{eval-rst}</p>", "raw mark-up in the text: {eval-rst}"),
        ("<p>\n(some-label)=\n</p>", "raw mark-up in the text: (some-label)="),
        ('<div class="output traceback highlight">boom</div>', "a traceback on the page"),
        ('<div class="output stderr">warning</div>', "output on stderr on the page"),
        (f'<a href="{REPOSITORY}/blob/main/book/02-b.md">x</a>', "link to nothing in this tree"),
        (f'<a href="{REPOSITORY}/blob/other/book/01-a.md">x</a>', "link to nothing in this tree"),
        (f'<a href="{REPOSITORY}/issues/new?template=b.yml">x</a>', "link to nothing in this tree"),
        (f'<a href="{COLAB}/book/01-a.md">x</a>', "launch button leads to no notebook"),
        (f'<a href="{COLAB}/book/02-b.ipynb">x</a>', "launch button leads to no notebook"),
        (
            '<a href="https://colab.research.google.com/github/else/x/blob/main/book/01-a.ipynb">x</a>',
            "launch button leads to no notebook",
        ),
    ],
)
def test_a_fault_is_found_and_its_place_named(site: Book, html: str, what: str) -> None:
    (site.html / "folder" / "page.html").write_text(f"<body>\n<p>fine</p>\n{fitted(html)}</body>")
    (fault,) = check_site.check(site)
    assert fault.page == "_build/html/folder/page.html"
    assert fault.line == (4 if "some-label" in html else 3)
    assert fitted(what) in str(fault)


def fitted(html: str) -> str:
    """References of a page one folder down."""
    for name in ("_static/", "other.html"):
        html = html.replace(name, f"../{name}")
    return html


def test_main_prints_faults_and_fails(site: Book, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(check_site, "Book", lambda: site)
    assert check_site.main() == 0
    (site.html / "other.html").write_text("")
    assert check_site.main() == 1
    out = capsys.readouterr().out
    assert "_build/html/index.html:3: dead anchor: other.html#there" in out
    assert "1 fault." in out


def test_a_missing_site_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(check_site, "Book", lambda: Book(tmp_path))
    assert check_site.main() == 1
    assert "make book" in capsys.readouterr().out
