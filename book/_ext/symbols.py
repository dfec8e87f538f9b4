r"""The role `{symbol}`: a symbol in the table that explains it, so that links and the search find it.

``{symbol}`\theta_h <θ_h, theta_h>` `` draws the formula; the names, of which the last must be plain ASCII
and makes the anchor, `symbol-theta_h`, go into the index and are found by the search, which reads neither
formulas nor words of one letter.
"""

from __future__ import annotations

import re

from docutils import nodes
from docutils.nodes import Node, system_message
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import ReferenceRole

PLAIN = re.compile(r"[A-Za-z]\w*", re.ASCII)


def anchor(names: list[str]) -> str:
    """Where a symbol with these names is explained.

    Raises:
        ValueError: the last name cannot be typed on every keyboard.
    """
    if not PLAIN.fullmatch(names[-1]):
        raise ValueError(f"the last name of a symbol must be plain ASCII, got {names[-1]!r}")
    return f"symbol-{names[-1]}"


class Symbol(ReferenceRole):
    """The formula of a symbol, with its names in the index."""

    def run(self) -> tuple[list[Node], list[system_message]]:
        """Target, index entries and formula, or an error if the names are missing or not as they must be."""
        names = [name.strip() for name in self.target.split(",")]
        try:
            here = anchor(names)
        except ValueError as error:
            problem = self.inliner.reporter.error(str(error), line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, problem)], [problem]
        entries = [("single", name, here, "main", None) for name in names]
        target = nodes.target("", "", ids=[here])
        self.inliner.document.note_explicit_target(target)
        return [addnodes.index(entries=entries), target, nodes.math(self.title, self.title)], []


def write_all(app: Sphinx, env: BuildEnvironment, read: list[str]) -> None:
    """Write every page when any is read: of those that are not written, Sphinx's search forgets the index."""
    if read:
        app.connect("env-updated", lambda app, env: sorted(env.found_docs))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_role("symbol", Symbol())
    app.connect("env-before-read-docs", write_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
