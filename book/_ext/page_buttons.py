"""A page's buttons: what they open is in the tree, what they hand out runs alone, and issues get a form."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile
from typing import Any
from urllib.parse import urlencode

from docutils import nodes
from sphinx.application import Sphinx

FORM = "number.yml"
# Colab opens .ipynb files only, and an executed page shows its mark-up raw in any notebook.
NEED_A_PAIR = {"launch-buttons", "download-notebook-button"}
Button = dict[str, Any]


def settle_buttons(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Correct the buttons that the theme has made for a page."""
    if doctree is None:
        return
    pair = Path(app.srcdir, f"{pagename}.ipynb")
    if not pair.exists():
        context["header_buttons"] = without(context["header_buttons"], NEED_A_PAIR)
    else:
        target = Path(app.outdir, "_sources", f"{pagename}.ipynb")
        target.parent.mkdir(parents=True, exist_ok=True)
        copyfile(pair, target)
    repository = app.config.html_theme_options.get("repository_url", "")
    for button in everything_in(context["header_buttons"]):
        if button.get("label") == "source-issues-button":
            button["url"] = report_address(repository, f"{pagename}.html")
            button["text"] = button["tooltip"] = "A number looks wrong"


def without(buttons: list[Button], labels: set[str]) -> list[Button]:
    """All buttons but those with these labels, in groups too."""
    return [
        {**button, "buttons": without(button["buttons"], labels)} if "buttons" in button else button
        for button in buttons
        if button.get("label") not in labels
    ]


def everything_in(buttons: list[Button]) -> list[Button]:
    """Buttons and those inside their groups."""
    return [inner for button in buttons for inner in (button, *everything_in(button.get("buttons", [])))]


def report_address(repository: str, page: str) -> str:
    """Where a number that looks wrong is reported, with the page filled in."""
    return f"{repository.rstrip('/')}/issues/new?{urlencode({'template': FORM, 'where': page})}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx. The hook comes after the theme's own, which have priorities around 500."""
    app.connect("html-page-context", settle_buttons, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
