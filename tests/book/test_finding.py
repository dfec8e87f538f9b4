"""Finding things: symbols, statements of the paper and terms, by the search and by the tables, from disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import equations
import paper_numbering
import pytest
import symbols
from browsing import Seen, violations, windows
from docutils import nodes
from docutils.utils import new_document
from small_book import MakeBook
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from cleanprio_lib.claims import CLAIMS, PAPER
from tools import build
from tools.book import Book

BOOK = Book()
EQUATIONS = 34  # are numbered in the paper
FIGURES = 13
STATEMENTS = paper_numbering.GROUPS["Statements"]


@pytest.mark.parametrize(
    ("place", "number"),
    [
        ("Theorem 3.1", "Theorem 3.1"),
        ("Figure 4, left", "Figure 4"),
        ("below Theorem 4.4", "Theorem 4.4"),
        ("Below equation 14", "Equation 14"),
        ("Lemma A.2", "Lemma A.2"),
        ("Abstract", "Abstract"),
    ],
)
def test_a_place_belongs_to_a_number(place: str, number: str) -> None:
    assert paper_numbering.number_of(place) == number


def test_a_place_without_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="no number of the paper in 'beyond'"):
        paper_numbering.number_of("beyond")


def test_numbers_are_in_the_papers_order() -> None:
    numbers = ["Lemma A.2", "Figure 10", "Figure 9", "Theorem 4.10", "Theorem 4.9"]
    assert paper_numbering.in_order(numbers)[-1] == "Lemma A.2"
    assert paper_numbering.in_order(numbers[3:]) == ["Theorem 4.9", "Theorem 4.10"]
    assert paper_numbering.in_order(numbers[1:3]) == ["Figure 9", "Figure 10"]


def test_readers_may_abbreviate() -> None:
    assert {"Equation 8", "Eq. 8", "Eq 8", "Equation (8)"} <= set(paper_numbering.spellings("Equation 8"))
    assert {"Assump 4.1", "Assump. 4.1"} <= set(paper_numbering.spellings("Assumption 4.1"))
    assert {"Lem A.2", "Lem. A.2"} <= set(paper_numbering.spellings("Lemma A.2"))
    assert paper_numbering.spellings("Abstract") == ["Abstract"]


def test_every_kind_that_is_numbered_is_in_a_group() -> None:
    with pytest.raises(ValueError, match=r"no number of the paper in 'Definition 2\.1'"):
        paper_numbering.number_of("Definition 2.1")
    for kinds in paper_numbering.GROUPS.values():
        for kind in kinds:
            assert paper_numbering.number_of(f"{kind} 3.1") == f"{kind} 3.1"


def test_every_equation_may_have_a_row() -> None:
    wanted = [f"Equation {number}" for number in range(1, EQUATIONS + 1)]
    assert paper_numbering.known(["Equation"]) == wanted


def test_lines_add_to_the_rows_of_a_group() -> None:
    lines = ["Theorem 3.1: {ref}`proof <a>`, {ref}`b: c <d>`", "", "Corollary A.3: again"]
    assert paper_numbering.additions(lines, STATEMENTS) == {
        "Theorem 3.1": "{ref}`proof <a>`, {ref}`b: c <d>`",
        "Corollary A.3": "again",
    }


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Theorem 3.1 proof", "a number, a colon, a space and a text, got 'Theorem 3.1 proof'"),
        ("Theorem 3.1: ", "a number, a colon, a space and a text, got 'Theorem 3.1: '"),
        ("Equation 8: proof", "one of Theorem 3.1, Corollary 3.2, Remark 3.3, .*; got 'Equation 8'"),
        ("Theorem 3.11: proof", "one of Theorem 3.1, .*; got 'Theorem 3.11'"),
        ("theorem 3.1: proof", "one of Theorem 3.1, .*; got 'theorem 3.1'"),
        ("Theorem 4.4: again", "a number must have one line, got another of 'Theorem 4.4'"),
    ],
)
def test_a_wrong_line_is_refused(line: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        paper_numbering.additions(["Theorem 4.4: proof", line], STATEMENTS)


def test_links_to_figures_say_whose_they_are() -> None:
    rows: dict[str, list[Any]] = {}
    for listed in PAPER:
        rows.setdefault(paper_numbering.number_of(listed.place), []).append(listed)
    for number, claims in rows.items():
        links = paper_numbering.pictures(claims)
        told = [link.astext() for link in links]
        assert len({link["refuri"] for link in links}) == len(links) == len(set(told)), number
        assert {claim.id for claim in claims if claim.figure} == {
            word for text in told for word in text.removeprefix("figure of ").split(" and ")
        }
    (both,) = paper_numbering.pictures(rows["Figure 3"])
    assert both["refuri"] == "../02-derivative-angles.html#fig-3"
    assert both.astext() == "figure of fig-3-left and fig-3-right"
    assert [link.astext() for link in paper_numbering.pictures(rows["Figure 11"])] == [
        "figure of fig-11-left",
        "figure of fig-11-middle",
        "figure of fig-11-right",
    ]


@pytest.mark.slow
def test_a_wrong_table_stops_the_build_and_says_where(
    make_book: MakeBook, capfd: pytest.CaptureFixture[str]
) -> None:
    tables = ("Statments\n", "Figures\nFigure 14: none", "Equations\nEquation 8 is proved")
    text = "\n\n".join(f"```{{paper-numbering}} {table}\n```" for table in tables)
    assert build.build(make_book({"appendix/wrong": f"# Wrong\n\n{text}\n"})) != 0
    log = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", "".join(capfd.readouterr())).split())
    for line, told in (
        (3, "the argument must be one of Statements, Equations, Figures, Sentences, got 'Statments'"),
        (7, "a line must begin with one of Figure 1, Figure 2,"),
        (11, "a line must be a number, a colon, a space and a text, got 'Equation 8 is proved'"),
    ):
        assert re.search(rf"wrong\.md:{line}: \S+ {re.escape(told)}", log), (line, told, log)


@pytest.mark.parametrize("name", ["θ_h", "g^(c)", "", "2d"])
def test_a_symbol_needs_a_name_that_everyone_can_type(name: str) -> None:
    with pytest.raises(ValueError, match="plain ASCII"):
        symbols.anchor(["θ_h", name])


@pytest.mark.parametrize(
    ("formula", "numbers"),
    [
        (r"f - y . \tag{5}", [5]),
        ("\\begin{gathered}\na, \\\\\nb\n\\end{gathered} \\tag{6, 7}", [6, 7]),
        ("R = 1", []),
        (r"\tag{a}", []),
    ],
)
def test_a_formula_says_which_equation_of_the_paper_it_is(formula: str, numbers: list[int]) -> None:
    assert equations.numbers_of(formula) == numbers


def test_what_touches_a_formula_stays_on_its_line() -> None:
    document, paragraph = new_document(""), nodes.paragraph()
    for part in (
        "three (",
        nodes.math("", "x"),
        "), and the ",
        nodes.math("", "y"),
        "-th of ",
        nodes.math("", "z"),
        " all",
    ):
        paragraph += nodes.Text(part) if isinstance(part, str) else part
    document += paragraph
    equations.keep_together(document)
    together = [node for node in paragraph.findall(nodes.inline) if "unbroken" in node["classes"]]
    assert [node.astext() for node in together] == ["(x),", "y-th"]
    assert paragraph.astext() == "three (x), and the y-th of z all"


def test_texts_that_read_the_same_stay_where_they_are() -> None:
    paragraph = nodes.paragraph("", "", nodes.strong("", "a"), nodes.Text("."), nodes.strong("", "b"))
    paragraph += [nodes.math("", "x"), nodes.Text(".")]
    document = new_document("")
    document += paragraph
    equations.keep_together(document)
    assert paragraph.astext() == "a.bx."


@pytest.fixture(scope="module")
def seen(browser: Any) -> Iterator[Seen]:
    """A page of which all tests here make use."""
    with windows(browser) as window:
        yield Seen(window())


@pytest.fixture(scope="module")
def undrawn(browser: Any) -> Iterator[Seen]:
    """A page without scripts, in which formulas are there but not drawn, which takes its time."""
    with windows(browser) as window:
        yield Seen(window(java_script_enabled=False))


def search(seen: Seen, words: str) -> Any:
    """Search the book; the links to all that was found."""
    seen.page.goto(f"{(BOOK.html / 'search.html').as_uri()}?q={quote(words)}")
    # Results arrive one by one.
    seen.page.locator("#search-results p.search-summary:has-text('finished')").wait_for()
    return seen.page.locator("#search-results > ul > li > a")


@pytest.mark.browser
@pytest.mark.parametrize(
    ("words", "page", "told"),
    [
        ("theta_h", "book/appendix/glossary.html#symbol-theta_h", "Terms and symbols: theta_h"),
        ("θ_h", "book/appendix/glossary.html#symbol-theta_h", "Terms and symbols: theta_h"),
        ("α", "book/appendix/glossary.html#symbol-alpha", "Terms and symbols: alpha"),
        ("∇h", "book/appendix/glossary.html#symbol-nabla_h", "Terms and symbols: nabla_h"),
        ("g_clean", "book/appendix/glossary.html#symbol-g_clean", "Terms and symbols: g_clean"),
        ("Theorem 3.1", "book/appendix/numbering.html#paper-theorem-3.1", "Theorem 3.1"),
        ("Theorem 3.1", "book/02-derivative-angles.html#claim-thm-3.1-relu", "claim thm-3.1-relu"),
        ("thm 4.5", "book/05-diminishing-dominance.html#claim-thm-4.5", "claim thm-4.5"),
        ("eq. 8", "book/03-sample-gradients.html#claim-eq-8", "claim eq-8"),
        ("fig-6", "book/05-diminishing-dominance.html#claim-fig-6", "claim fig-6"),
        ("Figure 6", "book/05-diminishing-dominance.html#claim-fig-6", "claim fig-6"),
        ("tangent kernel", "book/appendix/glossary.html#term-tangent-kernel", "tangent kernel"),
    ],
)
def test_the_search_finds_symbols_and_statements(
    seen: Seen, undrawn: Seen, words: str, page: str, told: str
) -> None:
    found = search(seen, words).evaluate_all(
        "links => links.slice(0, 4).map(link => [link.getAttribute('href'), link.textContent])"
    )
    assert page in [address for address, _ in found]
    assert told in dict(found)[page]
    assert seen.complaints == []
    file, _, anchor = page.partition("#")
    undrawn.page.goto((BOOK.html / file).as_uri())
    assert undrawn.page.locator(f"[id='{anchor}']").count() == 1


@pytest.mark.browser
@pytest.mark.parametrize("page", ["search", "genindex"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_search_and_index_are_accessible(seen: Seen, page: str, scheme: str) -> None:
    seen.complaints.clear()
    seen.page.emulate_media(color_scheme=scheme)
    if page == "search":
        assert search(seen, "noise").count() > 1
    else:
        seen.page.goto((BOOK.html / f"{page}.html").as_uri())
    assert seen.complaints == []
    assert violations(seen.page) == []


@pytest.mark.browser
def test_every_number_of_the_paper_has_its_row_and_every_claim_its_card(seen: Seen) -> None:
    seen.page.goto((BOOK.html / "book" / "appendix" / "numbering.html").as_uri())
    wanted = [f"Equation {number}" for number in range(1, EQUATIONS + 1)]
    wanted += [f"Figure {number}" for number in range(1, FIGURES + 1)]
    wanted += ["Theorem 3.1", "Corollary 3.2", "Remark 3.3", "Assumption 4.1", "Proposition 4.2"]
    wanted += ["Remark 4.3", "Theorem 4.4", "Theorem 4.5", "Lemma A.2", "Section 1", "Abstract"]
    rows = seen.page.locator("article tbody th").all_inner_texts()
    assert set(wanted) <= set(rows)
    assert {row for row in rows if row.startswith(("Equation", "Figure"))} <= set(wanted)
    assert len(set(rows)) == len(rows)
    cards = seen.page.locator("article tbody td a[href*='#claim-']").evaluate_all(
        "links => links.map(link => link.getAttribute('href').split('#claim-'))"
    )
    pages = {claim: page.removeprefix("../").removesuffix(".html") for page, claim in cards}
    assert pages == {one.id: one.page for one in PAPER}
    assert set(pages) <= set(CLAIMS)
    for row in seen.page.locator("article tbody tr").all():
        assert row.locator("td a").count() > 0, row.inner_text()


@pytest.mark.browser
def test_every_symbol_is_drawn_and_leads_to_where_it_is_introduced(seen: Seen) -> None:
    seen.page.goto((BOOK.html / "book" / "appendix" / "glossary.html").as_uri())
    seen.page.evaluate("window.MathJax?.startup?.promise")
    rows = seen.page.locator("table tbody tr:has([id^='symbol-'])")
    assert rows.count() > 30
    for row in rows.all():
        assert row.locator("td:first-child mjx-container").count() == 1
        assert row.locator("td:last-child a[href^='../'][href*='#']").count() >= 1


@pytest.mark.browser
@pytest.mark.parametrize("name", ["book/06-single-logit-gradients", "book/appendix/proofs"])
def test_every_formula_can_be_linked_to(undrawn: Seen, name: str) -> None:
    undrawn.page.goto((BOOK.html / f"{name}.html").as_uri())
    links = undrawn.page.locator("article .formula > a.headerlink").evaluate_all(
        "links => links.map(link => [link.getAttribute('href'), link.parentElement.id, link.textContent])"
    )
    assert len(links) == undrawn.page.locator("article div.math").count() > 3
    assert len({href for href, _, _ in links}) == len(links)
    for href, where, told in links:
        assert href == f"#{where}"
        number = where.removeprefix("equation-")
        assert told == "#" if where.startswith("formula-") else number in re.findall(r"\d+", told)


@pytest.mark.browser
def test_the_papers_equations_are_linked_where_they_are_shown(undrawn: Seen) -> None:
    page = undrawn.page
    page.goto((BOOK.html / "book" / "appendix" / "numbering.html").as_uri())
    links = page.locator("article tr:has([id^='paper-equation-']) a[href*='#equation-']").evaluate_all(
        "links => links.map(link => [link.href, link.closest('tr').querySelector('th [id]').id])"
    )
    rows = {row for _, row in links}
    assert {f"paper-equation-{number}" for number in (1, 7, 14, 24)} <= rows
    for address in sorted({href.partition("#")[0] for href, _ in links}):
        page.goto(address)
        for _, row in (link for link in links if link[0].partition("#")[0] == address):
            number = row.rpartition("-")[2]
            here = f"[id='equation-{number}']"
            shown = page.locator(f".formula:is({here}, :has({here}))")
            assert shown.locator(".math").count() == 1
            assert number in re.findall(r"\d+", shown.locator("a.equation-number").inner_text())


def test_a_page_that_is_not_built_again_stays_in_the_index(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text("extensions = ['symbols']\n", "utf8")
    (tmp_path / "index.rst").write_text("Start\n=====\n\n.. toctree::\n\n   other\n", "utf8")
    (tmp_path / "other.rst").write_text("Other\n=====\n\n:symbol:`\\theta_h <theta_h>`\n", "utf8")
    for text in ("", "\nChanged.\n"):
        with (tmp_path / "index.rst").open("a", encoding="utf8") as file:
            file.write(text)
        with docutils_namespace():
            app = Sphinx(tmp_path, tmp_path, tmp_path / "html", tmp_path / "trees", "html", status=None)
            app.build()
        assert '"theta_h":[[' in (tmp_path / "html/searchindex.js").read_text("utf8").replace(" ", "")
