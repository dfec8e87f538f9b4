"""The book's version, on every page, and the directive `{bibtex}`: both from CITATION.cff."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

CITATION = "CITATION.cff"


def bibtex(cff: dict[str, Any], address: str, year: str) -> str:
    """A BibTeX entry for what a citation file describes.

    Args:
        cff: title, version and authors, each with a name or a family-names and given-names.
        address: where the book is published.
        year: of the edition.
    """
    authors = " and ".join(name_of(author) for author in cff["authors"])
    # Braces keep an author that is no person in one piece, and the title's capitals as they are.
    fields = {"title": f"{{{cff['title']}}}", "author": authors, "year": year, "version": cff["version"]}
    lines = [f"  {field} = {{{value}}}," for field, value in (fields | {"url": address}).items()]
    return "\n".join(["@misc{learningthecleanlabelsfirst,", *lines, "}"])


def name_of(author: dict[str, str]) -> str:
    """An author as BibTeX sorts it."""
    return (
        f"{{{author['name']}}}" if "name" in author else f"{author['family-names']}, {author['given-names']}"
    )


class BibTeX(SphinxDirective):
    """A listing to copy."""

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        path = Path(self.env.srcdir, CITATION)
        self.env.note_dependency(str(path))
        entry = bibtex(
            yaml.safe_load(path.read_text(encoding="utf-8")), self.config.html_baseurl, self.config.copyright
        )
        return [nodes.literal_block(entry, entry, language="bibtex")]


def show_version(app: Sphinx, config: Config) -> None:
    """Say on every page which edition it belongs to."""
    path = Path(app.srcdir, CITATION)
    if not path.exists():
        return
    cff = yaml.safe_load(path.read_text(encoding="utf-8"))
    config.release = config.version = cff["version"]
    config.html_theme_options["extra_footer"] = f"Version {cff['version']}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("bibtex", BibTeX)
    app.connect("config-inited", show_version)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
