"""Built pages in a browser that has no network, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import axe_playwright_python

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
FIND_VIOLATIONS = Path(__file__).with_name("violations.js").read_text(encoding="utf-8")
SAME_LOOKS = 5
ELSEWHERE = re.compile(r"^(?!file:|data:|blob:)")


class Seen:
    """A page that can reach nothing but the disk, and what went wrong on it.

    Attributes:
        page: the page.
        complaints: errors and warnings of its scripts and of the console.
        remote: addresses that it asked for in vain.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.remote: list[str] = []
        page.on("console", lambda message: self.note(message.type, message.text))
        page.on("pageerror", lambda error: self.note("error", str(error)))
        page.route(ELSEWHERE, self.refuse)

    def note(self, kind: str, text: str) -> None:
        """Keep what is wrong."""
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def refuse(self, route: Any) -> None:
        """There is no network."""
        self.remote.append(route.request.url)
        route.abort()


@contextmanager
def windows(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an empty page, each time it is called, with the settings it is given; all are closed in the end.

    Motion is reduced: buttons fade from one colour scheme to the other, and half-way have no contrast.
    """
    with ExitStack() as opened:
        yield lambda **settings: opened.enter_context(
            browser.new_context(reduced_motion="reduce", **settings)
        ).new_page()


def violations(page: Any, *, contrast: bool = True) -> list[tuple[str, str]]:
    """What makes a page hard to use for some: the rule, and the beginning of the element that breaks it.

    Args:
        page: of the browser.
        contrast: whether to measure that of the text, too.
    """
    if page.evaluate("!window.axe"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(FIND_VIOLATIONS, {"contrast": contrast, "sameLooks": SAME_LOOKS})
    return [(rule["id"], node["html"][:120]) for rule in found for node in rule["nodes"]]
