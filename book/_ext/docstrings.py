"""Docstrings for autodoc: they are written in Markdown with $mathematics$, and Sphinx expects RST."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

LISTING = re.compile(r"(?<=::\n\n)(?: {4}.*\n|\n(?= {4}))+")
DISPLAY = re.compile(r"^( *)\$\$(.+?)\$\$ *$", re.DOTALL | re.MULTILINE)
MATHS = re.compile(r"\$([^$]+)\$", re.DOTALL)
NAMES = re.compile(r"^( +)(\w+(?:, \w+)+):", re.MULTILINE)
CODE = re.compile(r"(?<![`:])`([^`]+)`(?!`)")


def as_rst(lines: list[str]) -> list[str]:
    """A docstring's lines with mathematics and code in RST's mark-up.

    A bar that is no mathematics, as in |x|, would begin a substitution, a trailing underscore a link, and
    several names of one meaning, as in `a, b: text`, a type before a name.
    """
    kept: list[str] = []

    def keep(rst: str) -> str:
        kept.append(rst)
        return f"\x00{len(kept) - 1}\x00"

    text = LISTING.sub(lambda found: keep(found[0]), "\n".join(lines))
    text = DISPLAY.sub(lambda found: keep(_displayed(found)), text)
    text = MATHS.sub(lambda found: keep(f":math:`{' '.join(found[1].split())}`"), text)
    text = CODE.sub(lambda found: keep(f"``{' '.join(found[1].split())}``"), text)
    text = NAMES.sub(lambda found: f"{found[1]}{found[2].replace(', ', ',')}:", text)
    text = re.sub(r"([|*]|_\b)", r"\\\1", text)
    while "\x00" in text:
        text = re.sub(r"\x00(\d+)\x00", lambda found: kept[int(found[1])], text)
    return text.split("\n")


def _displayed(found: re.Match[str]) -> str:
    indent, formula = found[1], " ".join(found[2].split())
    return f"{indent}.. math:: {formula}"


def rewrite(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring in place, before its sections are read."""
    lines[:] = as_rst(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register before napoleon, which reads sections such as Args at the default priority."""
    app.connect("autodoc-process-docstring", rewrite, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
