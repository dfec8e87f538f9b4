"""What the build adds to the pages: explained terms, status, zip, what links show, citation."""

from __future__ import annotations

import re
import zipfile
from html.parser import HTMLParser
from typing import Any

import book_polish
import glossary_terms
import pandas as pd
import pytest
import yaml
from docutils import nodes
from small_book import write_book

from tools import build, publish
from tools.book import ROOT, Book, read_json, write_json

GLOSSARY = """\
(glossary)=
# Terms

```{glossary}
noisy subset
  The samples with a wrong label.

residual
  What a net gives minus what the label says, for each and every one of the samples in the set,
  the clean ones as well as the noisy ones, whatever the loss.
```
"""
STATUS = '# Status\n\n<div id="execution-status"></div>\n'
CHAPTER = """\
# The residual of a chapter

A `residual` in code, then **residuals** of the
noisy
subset, and again a residual of the noisy subset.

[A residual](#somewhere) is linked already.

(somewhere)=
## Somewhere

Text.
"""
INDEX = "# Index\n\nWelcome to the book, whose first words are these.\n\n```{bibtex}\n```\n"
PROVENANCE = {
    "data": {"mnist": {"sentence": "MNIST was read <somewhere>."}},
    "pages": {"book/01-a": {"seconds": 41.6, "finished": "2026-11-25T23:35:57+00:00"}},
    "versions": {"torch": "2.13.0", "jupyter-book": "1.0"},
    "machine": "2-core CPU",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """A small book with a glossary and a status page, built once."""
    book = write_book(
        tmp_path_factory.mktemp("published"),
        {"01-a": CHAPTER, "appendix/glossary": GLOSSARY, "appendix/status": STATUS},
        INDEX,
    )
    write_json(book.provenance, PROVENANCE)
    assert build.build(book) == 0
    return book


def html_of(book: Book, page: str) -> str:
    return (book.html / f"{page}.html").read_text(encoding="utf-8")


class Terms(HTMLParser):
    """The links to terms of a page: text, address, definition."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.open: dict[str, Any] | None = None
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "a" and "term" in str(attributes.get("class", "")).split():
            self.open, self.text = attributes, ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self.open:
            self.found.append((" ".join(self.text.split()), self.open["href"], self.open["title"]))
            self.open = None


def test_the_first_use_of_a_term_explains_it(built: Book) -> None:
    assert Terms(html_of(built, "book/01-a")).found == [
        (
            "residuals",
            "appendix/glossary.html#term-residual",
            "What a net gives minus what the label says, for each and every one of the samples in the set, "
            "the clean ones as well as the noisy ones, whatever…",
        ),
        ("noisy subset", "appendix/glossary.html#term-noisy-subset", "The samples with a wrong label."),
    ]
    assert Terms(html_of(built, "book/appendix/glossary")).found == []


def test_titles_of_cited_works_are_not_explained() -> None:
    def paragraph(words: str) -> nodes.paragraph:
        return nodes.paragraph("", "", nodes.Text(words))

    page = nodes.container("", paragraph("text"), nodes.citation("", paragraph("a title")))
    assert list(glossary_terms.running_text(page)) == ["text"]


def test_nothing_is_added_twice(built: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    publish.publish(built)
    packed = []
    monkeypatch.setattr(publish, "publish_zip", packed.append)
    publish.publish(built)
    assert packed == []
    (built.html / "new.html").write_text("<p>new</p>")
    publish.publish(built)
    assert packed == [built]
    (built.html / "new.html").unlink()
    (built.build / ".published-with").unlink()


@pytest.mark.browser
def test_a_definition_shows_when_the_keyboard_is_on_its_term(built: Book, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto((built.html / "book/01-a.html").as_uri())
    shown = "link => getComputedStyle(link, '::after').content"
    link = page.locator("article a.term").last
    assert link.evaluate(shown) == "none"
    page.keyboard.press("Tab")
    link.focus()
    assert "wrong label" in link.evaluate(shown)
    page.close()


def test_the_status_page_says_when_each_page_ran(built: Book) -> None:
    page = html_of(built, "book/appendix/status")
    assert (
        "MNIST was read &lt;somewhere&gt;. Run on a 2-core CPU with torch 2.13.0, jupyter-book 1.0." in page
    )
    assert (
        "<tr><th scope='row'><a href='../../book/01-a.html'>The residual of a chapter</a></th>"
        "<td>2026-11-25 23:35</td><td>42</td></tr>" in page
    )
    assert page.count("<th scope='row'>") == 1


def test_the_status_is_written_anew_when_a_page_ran_again(built: Book) -> None:
    again = {**PROVENANCE, "pages": {"book/01-a": {"seconds": 7, "finished": "2027-01-01T00:00:00+00:00"}}}
    write_json(built.provenance, again)
    publish.publish(built)
    page = html_of(built, "book/appendix/status")
    assert "2027-01-01" in page
    assert "2026-11-25" not in page
    write_json(built.provenance, PROVENANCE)
    publish.publish(built)


def test_a_status_page_without_its_place_is_refused(built: Book) -> None:
    page = built.html / "book/appendix/status.html"
    before = page.read_text(encoding="utf-8")
    page.write_text(before.replace("execution-status", "elsewhere"), encoding="utf-8")
    with pytest.raises(ValueError, match="execution-status, got 0"):
        publish.publish_status(built)
    page.write_text(before, encoding="utf-8")


def test_the_zip_holds_the_pages_and_is_the_same_for_the_same_pages(built: Book) -> None:
    path = built.html / built.zip_name
    first = path.read_bytes()
    folder = path.stem
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        assert archive.read(f"{folder}/book/01-a.html").decode() == html_of(built, "book/01-a")
    assert {f"{folder}/index.html", f"{folder}/_static/custom.css"} <= names
    assert not any(name.endswith((".zip", ".part", ".buildinfo")) for name in names)
    publish.publish_zip(built)
    assert path.read_bytes() == first


def test_links_to_a_page_show_its_title_first_words_and_the_picture(built: Book) -> None:
    index = html_of(built, "book/index")
    address = "https://cleanprio.github.io/learning-the-clean-labels-first/"
    for said in (
        '<meta property="og:title" content="Index">',
        '<meta property="og:description" content="Welcome to the book, whose first words are these.">',
        f'<meta property="og:url" content="{address}book/index.html">',
        f'<meta property="og:image" content="{address}_static/social-card.png">',
        f'<link rel="canonical" href="{address}book/index.html"',
    ):
        assert said in index, said
    card = (built.html / publish.CARD).read_bytes()
    assert card.startswith(b"\x89PNG")
    assert [int.from_bytes(card[at : at + 4], "big") for at in (16, 20)] == [1200, 630]


def test_the_citation_is_that_of_the_citation_file(built: Book) -> None:
    text = re.sub(r"<[^>]+>", "", html_of(built, "book/index")).replace("&#64;", "@")
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert "@misc{learningthecleanlabelsfirst," in text
    assert f"title = {{{{{cff['title']}}}}}," in text
    assert f"version = {{{cff['version']}}}," in text


def test_versions_agree() -> None:
    import cleanprio_lib

    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert cff["version"] == cleanprio_lib.__version__
    assert re.search(r"^## (\S+)", changes, re.MULTILINE)[1] == cleanprio_lib.__version__


def test_every_recorded_run_says_which_version_it_was_made_with() -> None:
    files = sorted((ROOT / "book" / "recorded").glob("*.json"))
    assert files
    for path in files:
        facts = read_json(path)
        made = facts["cells"] if "cells" in facts else list(facts["seeds"].values())
        assert made, path.name
        assert all(re.fullmatch(r"\d+\.\d+\.\d+", each["library"]) for each in made), path.name


@pytest.mark.parametrize("page", ["book/index", "book/01-a", "book/appendix/glossary"])
def test_every_page_says_its_version_and_leads_to_its_source(built: Book, page: str) -> None:
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    text = html_of(built, page)
    assert f"Version {cff['version']}" in text
    assert f'href="{built.repository}/blob/{built.branch}/{page}.md?plain=1"' in text
    assert f'href="{built.repository}/issues/new?template=number.yml' in text
    assert "download-notebook-button" not in text, "a page without a pair has no notebook to hand out"


def headings_of(table: pd.DataFrame) -> list[list[str]]:
    """The rows of headings of a table of pandas on a page, after a table that has one row of them."""
    page = pd.DataFrame({"above": [0]}).to_html() + table.to_html()
    _, head = re.findall(r"<thead>.*?</thead>", book_polish.repaired(page), re.DOTALL)
    return [re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", row) for row in head.split("</tr>")[:-1]]


def test_an_index_has_its_name_beside_the_other_headings() -> None:
    plain = pd.DataFrame({"seed": [0, 0], "epoch": [1, 2], "error": [0.5, 0.4]})
    assert headings_of(plain) == [["", "seed", "epoch", "error"]]
    assert headings_of(plain.set_index("epoch")) == [["epoch", "seed", "error"]]
    assert headings_of(plain.set_index(["seed", "epoch"])) == [["seed", "epoch", "error"]]
    pivoted = plain.pivot(index="epoch", columns="seed", values="error")
    assert headings_of(pivoted) == [["epoch, by seed", "0"]]


def test_two_rows_of_headings_stay_where_one_would_lose_some() -> None:
    plain = pd.DataFrame({"seed": [0, 0], "epoch": [1, 2], "error": [0.5, 0.4]})
    named = plain.set_index("epoch")
    named.columns = pd.MultiIndex.from_product([["by"], named.columns])
    assert headings_of(named) == [["", "by"], ["", "seed", "error"], ["epoch", "", ""]]
