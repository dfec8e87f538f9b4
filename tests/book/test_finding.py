"""Finding things: symbols, statements of the paper and terms, by the search and by the tables, from disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import axe_playwright_python
import equations
import paper_numbering
import pytest
import symbols

from cleanprio_lib.claims import CLAIMS, PAGES, PAPER
from tools.book import Book

BOOK = Book()
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
EQUATIONS = 34  # are numbered in the paper
FIGURES = 13


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
    assert {"Equation 8", "Eq. 8", "eq 8".capitalize(), "Equation (8)"} <= set(
        paper_numbering.spellings("Equation 8")
    )
    assert paper_numbering.spellings("Abstract") == ["Abstract"]


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


@pytest.fixture(scope="module")
def seen(browser: Any) -> Iterator[Any]:
    """A page that can reach nothing but the disk, and keeps what is complained about.

    Motion is reduced: buttons fade from one colour scheme to the other, and half-way have no contrast.
    """
    page = browser.new_page(reduced_motion="reduce")
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on(
        "console",
        lambda line: page.complaints.append(line.text) if line.type in {"error", "warning"} else None,
    )
    page.route(re.compile(r"^(?!file:|data:|blob:)"), lambda route: route.abort())
    yield page
    page.close()


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
def test_the_search_finds_symbols_and_statements(seen: Any, words: str, page: str, told: str) -> None:
    seen.goto(f"{(BOOK.html / 'search.html').as_uri()}?q={quote(words)}")
    first = seen.locator("#search-results > ul > li > a").first
    first.wait_for()
    seen.locator(
        "#search-results p.search-summary:has-text('finished'), #search-results > ul"
    ).first.wait_for()
    found = seen.locator("#search-results > ul > li > a").evaluate_all(
        "links => links.slice(0, 4).map(link => [link.getAttribute('href'), link.textContent])"
    )
    assert page in [address for address, _ in found]
    assert told in dict(found)[page]
    assert seen.complaints == []
    seen.goto((BOOK.html / page.partition("#")[0]).as_uri() + "#" + page.partition("#")[2])
    assert seen.locator(f"[id='{page.partition('#')[2]}']").count() == 1


@pytest.mark.browser
@pytest.mark.parametrize("page", ["search.html?q=noise", "genindex.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_search_and_index_are_accessible(seen: Any, page: str, scheme: str) -> None:
    seen.complaints.clear()
    seen.emulate_media(color_scheme=scheme)
    seen.goto(f"{BOOK.html.as_uri()}/{page}")
    if page.startswith("search"):
        seen.locator("#search-results > ul > li > a").first.wait_for()
    assert seen.complaints == []
    seen.evaluate(AXE.read_text(encoding="utf-8"))
    run = "axe.run({ resultTypes: ['violations'], preload: false }).then(result => result.violations)"
    violations = seen.evaluate(run)
    assert [(rule["id"], node["html"][:120]) for rule in violations for node in rule["nodes"]] == []


@pytest.mark.browser
def test_every_number_of_the_paper_has_its_row_and_every_claim_its_card(seen: Any) -> None:
    seen.goto((BOOK.html / "book" / "appendix" / "numbering.html").as_uri())
    wanted = [f"Equation {number}" for number in range(1, EQUATIONS + 1)]
    wanted += [f"Figure {number}" for number in range(1, FIGURES + 1)]
    wanted += ["Theorem 3.1", "Corollary 3.2", "Remark 3.3", "Assumption 4.1", "Proposition 4.2"]
    wanted += ["Remark 4.3", "Theorem 4.4", "Theorem 4.5", "Lemma A.2", "Section 1", "Abstract"]
    rows = seen.locator("article tbody th").all_inner_texts()
    assert set(wanted) <= set(rows)
    assert len(set(rows)) == len(rows)
    cards = seen.locator("article tbody td a[href*='#claim-']").evaluate_all(
        "links => links.map(link => link.getAttribute('href').split('#claim-'))"
    )
    pages = {claim: page.removeprefix("../").removesuffix(".html") for page, claim in cards}
    assert pages == {one.id: one.page if one.page in PAGES else "12-scoreboard" for one in PAPER}
    assert set(pages) <= set(CLAIMS)
    for row in seen.locator("article tbody tr").all():
        assert row.locator("td a").count() > 0, row.inner_text()


@pytest.mark.browser
def test_every_symbol_is_drawn_and_leads_to_where_it_is_introduced(seen: Any) -> None:
    seen.goto((BOOK.html / "book" / "appendix" / "glossary.html").as_uri())
    seen.evaluate("window.MathJax?.startup?.promise")
    rows = seen.locator("table tbody tr:has([id^='symbol-'])")
    assert rows.count() > 30
    for row in rows.all():
        assert row.locator("td:first-child mjx-container").count() == 1
        assert row.locator("td:last-child a[href^='../'][href*='#']").count() >= 1


@pytest.mark.browser
@pytest.mark.parametrize("name", ["book/06-single-logit-gradients", "book/appendix/proofs"])
def test_every_formula_can_be_linked_to(seen: Any, name: str) -> None:
    seen.goto((BOOK.html / f"{name}.html").as_uri())
    links = seen.locator("article .formula > a.headerlink").evaluate_all(
        "links => links.map(link => [link.getAttribute('href'), link.parentElement.id, link.textContent])"
    )
    assert len(links) == seen.locator("article div.math").count() > 3
    assert len({href for href, _, _ in links}) == len(links)
    assert "\\tag" not in seen.locator("article").inner_text()
    for href, where, told in links:
        assert href == f"#{where}"
        number = where.removeprefix("equation-")
        assert told == "#" if where.startswith("formula-") else number in re.findall(r"\d+", told)


@pytest.mark.browser
def test_the_papers_equations_are_linked_where_they_are_shown(seen: Any) -> None:
    seen.goto((BOOK.html / "book" / "appendix" / "numbering.html").as_uri())
    for number in (1, 7, 14, 24):
        row = seen.locator("article tbody tr").filter(has=seen.locator(f"[id='paper-equation-{number}']"))
        for page in row.locator(f"a[href$='#equation-{number}']").evaluate_all(
            "links => links.map(a => a.href)"
        ):
            seen.goto(page)
            here = f"[id='equation-{number}']"
            shown = seen.locator(f".formula:is({here}, :has({here}))")
            assert shown.locator("mjx-container").count() == 1
            assert str(number) in shown.locator("a.equation-number").inner_text()
            seen.go_back()
