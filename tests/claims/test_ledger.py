"""The list of claims: that of the paper's audit, each judged once, with cards and figures that exist."""

import re
from collections import Counter

import pytest

from cleanprio_lib import experiments
from cleanprio_lib.claims import BOOK, CLAIMS, MODULES, PAGES, PAPER
from tools.book import ROOT, Book
from tools.publish import SCOREBOARD

AUDIT = ROOT.parent / "shared" / "design" / "paper.md"
IDS = [listed.id for listed in (*PAPER, *BOOK)]


def listed_in(text):
    """Ids of the table rows of section 2, in their order."""
    table = re.search(r"^## 2\..*?(?=^## 3\.)", text, re.DOTALL | re.MULTILINE)
    return re.findall(r"^\| `([a-z0-9.-]+)`", table[0], re.MULTILINE)


def test_rows_of_the_audit_are_read():
    rows = "| id | d |\n| --- | --- |\n| `eq-1` (a) | e |\n| `fig-2.3` | f `g` |\n"
    text = f"## 1. a\n| `no` | b |\n## 2. c\n{rows}## 3. h\n| `i` |\n"
    assert listed_in(text) == ["eq-1", "fig-2.3"]


def test_the_list_is_that_of_the_audit():
    if not AUDIT.exists():
        pytest.skip(f"THE LIST OF CLAIMS WAS NOT COMPARED WITH THE AUDIT OF THE PAPER: there is no {AUDIT}")
    assert [listed.id for listed in PAPER] == listed_in(AUDIT.read_text("utf8"))


def test_every_listed_claim_is_judged_once_and_no_other():
    written = Counter(claim.id for module in MODULES for claim in module.CLAIMS)
    assert {claim: count for claim, count in written.items() if count > 1} == {}
    assert {claim: count for claim, count in Counter(IDS).items() if count > 1} == {}
    assert set(IDS) - set(written) == set(), "listed, and in no module"
    assert set(written) - set(IDS) == set(), "judged, and not listed in claims/ledger.py"
    assert set(CLAIMS) == set(IDS)


@pytest.mark.parametrize("listed", [*PAPER, *BOOK], ids=IDS)
def test_place_and_runs_are_those_of_the_claim(listed):
    claim = CLAIMS[listed.id]
    assert claim.where.startswith(listed.place)
    assert set(claim.experiments) <= set(experiments.EXPERIMENTS)
    assert claim.statement.endswith(".")


def test_pages_are_the_chapters_of_the_book():
    assert [f"book/{page}" for page in PAGES] == [page for page in Book().chapters if page != SCOREBOARD]


def test_the_page_of_every_listed_claim_is_there():
    assert {listed.id: listed.page for listed in (*PAPER, *BOOK) if listed.page not in PAGES} == {}


@pytest.mark.parametrize("listed", [*PAPER, *BOOK], ids=IDS)
def test_card_and_figure_are_on_the_chapters_page_and_errata_on_theirs(listed):
    errata = (ROOT / "book/appendix/errata.md").read_text("utf8")
    assert all(f"(erratum-{number})=" in errata for number in listed.errata)
    page = (ROOT / f"book/{listed.page}.md").read_text("utf8")
    beginnings = re.findall(r'startswith\("([^"]+)"\)', page)
    assert f'"{listed.id}"' in page or any(map(listed.id.startswith, beginnings))
    assert not listed.figure or f'name="{listed.figure}"' in page
