"""A small book to break, and a browser to look at the real one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_book import MakeBook, write_book
from xdist.scheduler import LoadFileScheduling

from tools.book import Book

# The first has no windows of its own to draw, which saves a tenth of the time.
CHROMIUM = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)


@pytest.fixture
def make_book(tmp_path: Path) -> MakeBook:
    """Make a small book in a folder of its own."""
    return lambda pages=None, root="# Index\n\nWelcome.\n": write_book(tmp_path, pages or {}, root)


def find_chromium() -> str | None:
    """Path of a Chromium, from the variable CHROMIUM or the usual places."""
    found = (shutil.which(name) for name in (os.environ.get("CHROMIUM", ""), *CHROMIUM) if name)
    return next(filter(None, found), None)


def why_no_browser_tests() -> str | None:
    """What is missing for tests in a browser; None if nothing is."""
    if find_chromium() is None:
        return "there is no Chromium on this machine (install the package chromium, or name one in CHROMIUM)"
    if not (Book().html / "index.html").exists():
        return "there are no built pages (make book)"
    return None


class FilesAndPages(LoadFileScheduling):
    """Spread tests over processes by file, and those of the built pages by page.

    The built pages are by far the longest file, and each of their tests needs its page open.
    """

    pages = sorted(Book().pages, key=len, reverse=True)

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        of_page = (page for page in self.pages if f"[{page}" in test)
        return next(of_page, file) if file.endswith("test_pages.py") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FilesAndPages | None:
    """Keep pages together where files are kept together."""
    return FilesAndPages(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a browser where there is none."""
    missing = why_no_browser_tests()
    for item in items:
        if missing and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=missing))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was left out: a skipped test is easily overlooked."""
    missing = why_no_browser_tests()
    if missing:
        terminalreporter.section("THE BUILT PAGES WERE NOT TESTED IN A BROWSER", red=True, bold=True)
        terminalreporter.write_line(f"Reason: {missing}.", red=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """One Chromium for all tests of a session."""
    from playwright.sync_api import sync_playwright

    quiet = ("background-networking", "component-update", "gpu", "quic", "sync")
    flags = ["--no-sandbox", "--no-first-run", *(f"--disable-{feature}" for feature in quiet)]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        yield chromium
        chromium.close()
