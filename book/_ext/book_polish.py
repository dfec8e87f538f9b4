"""Small repairs that theme and docutils need: accessible markup, no unused scripts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

# What a screen reader, or the browser's console, objects to in the finished pages: (pattern, replacement).
REPAIRS = (
    # Every exercise and every solution on a page has the same id.
    (r'<section id="(?:exercise|solution)-content">', "<section>"),
    # The space before a link is underlined with it.
    (r"(Solution to)(<a [^>]*>) ", r"\1 \2"),
    # A bibliography is marked as a list whose entries carry roles that ARIA has withdrawn.
    (r'<div role="list" class="citation-list">', '<div class="citation-list">'),
    (r' role="doc-(?:biblioentry|backlink)"', ""),
    # pandas leaves the corner above its index empty, and the row of a named index: cells that head nothing.
    (r"<th></th>", "<td></td>"),
    # The arrow that unfolds a part of the contents list has no name.
    (
        r'<summary><span class="toctree-toggle"',
        '<summary aria-label="Pages below this one"><span class="toctree-toggle"',
    ),
    # The left sidebar lies outside every landmark.
    (
        r'<div id="pst-primary-sidebar" class',
        '<div id="pst-primary-sidebar" role="complementary" aria-label="Book" class',
    ),
)
# A named index gives a table of pandas a second row of headings, empty but for that name; the name of the
# columns, if they have one, stands above it.
ROW = r"<tr[^>]*>((?:(?!</?tr\b).)*)</tr>"  # no more than one
TWO_HEADINGS = re.compile(rf"<thead>\s*{ROW}\s*{ROW}\s*</thead>", re.DOTALL)
HEADING = re.compile(r"<th>(.*?)</th>", re.DOTALL)
# The theme's script looks for this sidebar on pages with margin notes; one without a contents list has none.
SIDEBAR = "bd-sidebar-secondary"
SIDEBAR_STAND_IN = f'<div class="{SIDEBAR}" hidden></div>\n</body>'


def in_one_row(head: re.Match[str]) -> str:
    """Two rows of headings as one, where no column but the index has a heading in both."""
    above, below = (HEADING.findall(row) for row in head.groups())
    cells = head[0].count("<th") - 1  # less <thead>
    columns = list(zip(above, below, strict=False))
    if cells != 2 * len(columns) or len(above) != len(below) or sum(map(all, columns)) > 1:
        return head[0]
    row = "".join(f"<th>{', by '.join(filter(None, (low, high)))}</th>" for high, low in columns)
    return f"<thead><tr>{row}</tr></thead>"


def repaired(html: str) -> str:
    """One page's HTML after all repairs; repairing twice changes nothing more."""
    html = TWO_HEADINGS.sub(in_one_row, html)
    for pattern, replacement in REPAIRS:
        html = re.sub(pattern, replacement, html)
    if f'class="{SIDEBAR}' not in html:
        html = html.replace("</body>", SIDEBAR_STAND_IN)
    return html


def repair_pages(app: Sphinx, exception: Exception | None) -> None:
    """Repair what was written, when the build is done."""
    if exception is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        before = page.read_text(encoding="utf-8")
        after = repaired(before)
        if after != before:
            page.write_text(after, encoding="utf-8")


def drop_thebe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Drop the scripts that would run cells on a remote server: not offered here, and declared twice."""
    context["script_files"] = [
        script for script in context["script_files"] if "thebe" not in str(script) + script_body(script)
    ]


def script_body(script: Any) -> str:
    """The text of an inline script, empty for a script in a file."""
    return str(getattr(script, "attributes", {}).get("body") or "")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx. The page hook comes after the theme's own, which have priorities around 500."""
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", repair_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
