"""Pages for a small book that a test may break."""

from __future__ import annotations

from collections.abc import Callable

from tools.book import Book

FRONT_MATTER = """\
---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
cleanprio: {minutes_cpu: 2, minutes_gpu: 1}
---
"""

MakeBook = Callable[..., Book]


def notebook_page(text: str) -> str:
    """A page that is a text notebook, with the front matter of a chapter."""
    return FRONT_MATTER + "\n" + text


def code_cell(code: str, options: str = "") -> str:
    """A code cell of a text notebook."""
    return f"```{{code-cell}} ipython3\n{options}{code}\n```\n"
