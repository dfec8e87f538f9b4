"""The scoreboard on a built page: filtered by keyboard, a table for screen readers, on phone and screen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from browsing import Seen, windows

from cleanprio_lib import scoreboard
from cleanprio_lib.scoreboard import showing
from tools import publish
from tools.book import Book

pytestmark = pytest.mark.browser

BOOK = Book()
VISIBLE = "rows => rows.filter((row) => row.offsetHeight > 0).length"


@pytest.fixture(scope="module")
def rows() -> tuple[scoreboard.Row, ...]:
    """What the page shows."""
    return scoreboard.judge_all()


class Scoreboard(Seen):
    """The scoreboard, open in the browser."""

    @property
    def shown(self) -> int:
        """How many claims can be seen."""
        return int(self.page.locator(".scoreboard tbody tr").evaluate_all(VISIBLE))

    @property
    def told(self) -> str:
        """What is said about how many there are."""
        return str(self.page.locator(".scoreboard [role=status]").inner_text())


OpenPage = Callable[..., Scoreboard]


@pytest.fixture
def open_page(browser: Any) -> Iterator[OpenPage]:
    """Open the page at a width, with or without scripts."""
    with windows(browser) as window:

        @cache
        def opened(width: int = 1440, scripts: bool = True) -> Scoreboard:
            size = {"width": width, "height": 900}
            seen = Scoreboard(window(viewport=size, java_script_enabled=scripts))
            seen.page.goto((BOOK.html / f"{publish.SCOREBOARD}.html").as_uri())
            return seen

        yield opened


def test_the_published_files_are_what_the_command_prints() -> None:
    # With as many threads as the build had: the last digit of a sum depends on them.
    variables = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", "cleanprio_lib", "claims", "--json"]
    printed = subprocess.check_output(command, env=variables, cwd=BOOK.root, text=True)
    folder = (BOOK.html / publish.SCOREBOARD).parent
    assert printed == (folder / "claims.json").read_text(encoding="utf-8")
    assert {"claims.csv", "claims.schema.json"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["verdict", "chapter", "scale", "part"])
def test_the_keyboard_filters_and_the_count_is_announced(open_page: OpenPage, rows: Any, name: str) -> None:
    seen, total = open_page(), len(rows)
    assert (seen.shown, seen.told) == (total, f"{total} of {total} claims shown.")
    chosen = {
        "verdict": lambda row: showing._slug(row.judged.verdict),
        "chapter": lambda row: str(row.listed.chapter),
        "scale": lambda row: showing._slug(row.scale),
        "part": lambda row: row.part,
    }[name]
    wanted = Counter(map(chosen, rows))
    select = seen.page.locator(f".scoreboard [data-filter={name}]")
    select.focus()
    offered = select.locator("option").count() - 1
    met = {}
    for _ in range(offered):
        seen.page.keyboard.press("ArrowDown")
        met[select.input_value()] = seen.shown
        assert seen.told == f"{seen.shown} of {total} claims shown."
    assert {value: count for value, count in met.items() if count} == dict(wanted)
    seen.page.locator(".scoreboard button").focus()
    seen.page.keyboard.press("Enter")
    assert (seen.shown, select.input_value()) == (total, "")
    assert seen.told == f"{total} of {total} claims shown."


def test_filters_act_together_and_tab_goes_through_them(open_page: OpenPage, rows: Any) -> None:
    seen = open_page()
    seen.page.locator(".scoreboard [data-filter=verdict]").select_option("holds-in-part")
    seen.page.locator(".scoreboard [data-filter=chapter]").select_option("3")
    both = [row for row in rows if row.judged.verdict == "holds in part" and row.listed.chapter == 3]
    assert seen.shown == len(both) > 0
    ids = seen.page.locator(".scoreboard tbody tr:not([hidden]) th code").all_inner_texts()
    assert ids == [row.listed.id for row in both]
    seen.page.locator(".scoreboard [data-filter=verdict]").focus()
    order = []
    for _ in range(4):
        seen.page.keyboard.press("Tab")
        here = "document.activeElement"
        order.append(seen.page.evaluate(f"{here}.dataset.filter || {here}.type"))
    assert order == ["chapter", "scale", "part", "button"]


def test_without_scripts_all_is_shown_and_no_filter(open_page: OpenPage, rows: Any) -> None:
    still = open_page(scripts=False)
    assert still.shown == len(rows)
    assert not still.page.locator(".scoreboard-filters").is_visible()
    assert open_page().page.locator(".scoreboard-filters").is_visible()
    assert still.told == f"{len(rows)} claims."


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_it_fits(open_page: OpenPage, width: int) -> None:
    page = open_page(width).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.locator(".scoreboard").evaluate(
        "box => [...box.querySelectorAll('*')].filter((part) => {"
        "  const { left, right, width } = part.getBoundingClientRect();"
        "  return width && !part.closest('thead') && (left < box.getBoundingClientRect().left - 1"
        "    || right > box.getBoundingClientRect().right + 1);"
        "}).map((part) => part.outerHTML.slice(0, 100))"
    )
    assert wide == []


@pytest.mark.parametrize("width", [390, 1440])
def test_a_screen_reader_meets_a_table(open_page: OpenPage, rows: Any, width: int) -> None:
    page = open_page(width).page
    table = page.get_by_role("table", name="Every claim of the paper")
    assert table.count() == 1
    assert table.get_by_role("row").count() == len(rows) + 1
    assert table.get_by_role("columnheader").all_inner_texts() == list(showing.COLUMNS)
    assert table.get_by_role("rowheader").count() == len(rows)
    assert table.get_by_role("cell").count() == len(rows) * (len(showing.COLUMNS) - 1)
    block = table.get_by_role("row").nth(1).evaluate("row => getComputedStyle(row).display")
    assert block == ("block" if width == 390 else "table-row")


def test_on_a_phone_every_cell_says_what_it_is(open_page: OpenPage) -> None:
    page = open_page(390).page
    before = "cell => getComputedStyle(cell, '::before').content"
    for place, column in enumerate(showing.COLUMNS[2:], start=1):
        cell = page.locator(".scoreboard tbody tr").first.locator("td").nth(place)
        assert cell.evaluate(before).replace('" "', "").startswith(f'"{column}')
    size = page.locator(".scoreboard tbody td").first.evaluate("cell => getComputedStyle(cell).fontSize")
    assert float(size.removesuffix("px")) >= 13


def test_verdicts_are_marks_and_words(open_page: OpenPage, rows: Any) -> None:
    cells = open_page().page.locator(".scoreboard tbody tr td:nth-of-type(1)").all_inner_texts()
    assert cells == [f"{showing.MARKS[row.judged.verdict]} {row.judged.verdict}" for row in rows]


def test_details_open_by_the_keyboard_without_a_script(open_page: OpenPage) -> None:
    page = open_page().page
    details = page.locator(".scoreboard details").first
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    assert details.get_attribute("open") is not None
    assert details.locator("li").first.is_visible()


def test_it_filters_in_the_output_of_a_notebook(
    browser: Any, monkeypatch: pytest.MonkeyPatch, rows: Any
) -> None:
    outputs: list[Any] = []
    monkeypatch.setattr(showing, "display", outputs.append)
    scoreboard.show(rows)
    insert = """html => {
        const frame = document.createElement("iframe");
        frame.srcdoc = html;
        document.body.append(frame);
    }"""
    with windows(browser) as window:
        seen = Seen(window())
        seen.page.evaluate(insert, outputs[0].data)
        frame = seen.page.frame_locator("iframe")
        frame.locator("[data-filter=verdict]").select_option("does-not-hold")
        count = sum(row.judged.verdict == "does not hold" for row in rows)
        assert frame.locator("[role=status]").inner_text() == f"{count} of {len(rows)} claims shown."
    assert seen.complaints == seen.remote == []
