"""What the tests of built pages rest on: a browser that has no network, and in which faults are seen."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import SAME_LOOKS, Seen, violations, windows

pytestmark = pytest.mark.browser

FAULTLESS = "<!doctype html><html lang='en'><title>T</title><main><h1>H</h1></main></html>"
NOWHERE = "https://there-is-no-network.invalid/style.css"


@pytest.mark.parametrize(
    ("script", "event", "complaint"),
    [
        ("console.warn('a warning')", "console", "a warning"),
        ("console.error('an error')", "console", "an error"),
        ("setTimeout(() => { throw new Error('thrown'); })", "pageerror", "thrown"),
    ],
)
def test_what_scripts_complain_about_is_kept(browser: Any, script: str, event: str, complaint: str) -> None:
    with windows(browser) as window:
        seen = Seen(window())
        seen.page.set_content(FAULTLESS)
        seen.page.evaluate("console.log('nothing')")
        assert seen.complaints == []
        with seen.page.expect_event(event):
            seen.page.evaluate(f"() => {{ {script}; }}")
        assert seen.complaints == [complaint]


def test_nothing_but_the_disk_can_be_reached(browser: Any, tmp_path: Any) -> None:
    (tmp_path / "near.css").write_text("h1 { color: rgb(1, 2, 3); }")
    links = "".join(f"<link rel='stylesheet' href='{address}'>" for address in ("near.css", NOWHERE))
    (tmp_path / "page.html").write_text(FAULTLESS.replace("<main>", f"{links}<main>"))
    with windows(browser) as window:
        seen = Seen(window())
        seen.page.goto((tmp_path / "page.html").as_uri())
        assert seen.page.locator("h1").evaluate("h1 => getComputedStyle(h1).color") == "rgb(1, 2, 3)"
        assert seen.remote == [NOWHERE]
        assert len(seen.complaints) == 1


def test_what_makes_a_page_hard_to_use_is_found(browser: Any) -> None:
    with windows(browser) as window:
        page = window()
        page.set_content(FAULTLESS)
        assert violations(page) == []
        page.set_content(FAULTLESS.replace("<h1>", "<img src='data:,' id='bare'><h1>"))
        assert violations(page) == [("image-alt", '<img src="data:," id="bare">')]


def test_contrast_is_measured_on_request_and_formulas_are_put_back(browser: Any) -> None:
    pale = "<h1 style='color: #eee'>Pale</h1><mjx-math><mjx-mi></mjx-mi><!-- x --></mjx-math>"
    with windows(browser) as window:
        page = window()
        page.set_content(FAULTLESS.replace("<h1>H</h1>", pale))
        before = page.content()
        assert [rule for rule, _ in violations(page)] == ["color-contrast"]
        assert violations(page, contrast=False) == []
        assert page.content() == before


def test_contrast_is_measured_of_all_that_differs_in_looks(browser: Any) -> None:
    """However many pieces of text look the same, one on another ground or in another colour is found."""
    same, paler = "<p>readable</p>" * 20, "<p style='color: #ccc'>paler</p>" * 20
    ground = f"<div style='background: #333'>{same}</div>"
    with windows(browser) as window:
        page = window()
        page.set_content(FAULTLESS.replace("<h1>H</h1>", f"<h1>H</h1>{same}"))
        assert violations(page) == []
        for unreadable in (ground, paler):
            page.set_content(FAULTLESS.replace("<h1>H</h1>", f"<h1>H</h1>{same}{unreadable}"))
            assert [rule for rule, _ in violations(page)] == ["color-contrast"] * SAME_LOOKS


def test_settings_are_each_windows_own_and_motion_is_reduced(browser: Any) -> None:
    with windows(browser) as window:
        wide, dark = window(viewport={"width": 1440, "height": 900}), window(color_scheme="dark")
        assert wide.evaluate("innerWidth") == 1440
        for page, scheme in ((wide, "light"), (dark, "dark")):
            for preferred in (f"color-scheme: {scheme}", "reduced-motion: reduce"):
                assert page.evaluate(f"matchMedia('(prefers-{preferred})').matches")
    assert wide.is_closed()
    assert dark.is_closed()
