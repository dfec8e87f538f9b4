r"""Displayed formulas can be linked to, and those of the paper carry its numbers.

`\tag{14}` at the end of a formula says that it is the paper's equation 14. Notebooks show it as it is;
here it becomes a link to the formula, at `#equation-14`. Formulas that are the book's own have no number,
so that none is mistaken for the paper's; the link to one appears where headings have theirs, at
`#formula-1`, …, in the order of the page.

Within a line, what touches a formula stays on its line.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

BEFORE = re.compile(r"[(\[“‘]{0,2}$")
AFTER = re.compile(r"^(?:[^\s\w]{1,3}(?=\s|$)|[-–’]\w{1,3}\b)")
TAG = re.compile(r"\s*\\tag\{(\d+(?:, \d+)*)\}")


def numbers_of(formula: str) -> list[int]:
    """The numbers that a formula has in the paper; mostly none."""
    found = TAG.search(formula)
    return [int(number) for number in found[1].split(", ")] if found else []


def anchor(number: int) -> str:
    """Where the page that shows an equation of the paper has it."""
    return f"equation-{number}"


def pages_by_number(env: BuildEnvironment) -> dict[int, list[str]]:
    """Equation of the paper → names of the pages that show it."""
    found: dict[int, list[str]] = {}
    for page in sorted(env.found_docs):
        # A notebook writes each backslash twice.
        text = Path(env.doc2path(page)).read_text(encoding="utf-8").replace("\\\\tag", "\\tag")
        for number in sorted({number for tag in TAG.finditer(text) for number in numbers_of(tag[0])}):
            found.setdefault(number, []).append(page)
    return found


def link_formulas(app: Sphinx, doctree: nodes.document) -> None:
    """Wrap each displayed formula with the link to it."""
    own = 0
    for formula in list(doctree.findall(nodes.math_block)):
        numbers = numbers_of(formula.astext())
        own += not numbers
        ids = [anchor(number) for number in numbers] or [f"formula-{own}"]
        told = f"({', '.join(map(str, numbers))})" if numbers else "#"
        bare = TAG.sub("", formula.astext())
        formula.rawsource, formula.children = bare, [nodes.Text(bare)]
        link = (
            f'<a class="headerlink{" equation-number" if numbers else ""}" href="#{ids[0]}" '
            f'title="Link to this {"equation" if numbers else "formula"}">{told}</a>'
        )
        wrapped = nodes.container("", ids=ids, classes=["formula"])
        formula.replace_self(wrapped)
        wrapped += [formula, nodes.raw("", link, format="html")]


def keep_together(doctree: nodes.document) -> None:
    """Keep what touches a formula within a line, a comma or a bracket, on the line of the formula."""
    for formula in list(doctree.findall(nodes.math)):
        together = nodes.inline("", "", classes=["unbroken"])
        before, after = _neighbour(formula, -1), _neighbour(formula, 1)
        head = _found(BEFORE, before)
        tail = _found(AFTER, after)
        if not head and not tail:
            continue
        formula.replace_self(together)
        together += [*map(nodes.Text, filter(None, [head])), formula, *map(nodes.Text, filter(None, [tail]))]
        if before is not None and head:
            _replace(before, before.astext()[: -len(head)])
        if after is not None and tail:
            _replace(after, after.astext()[len(tail) :])


def _found(pattern: re.Pattern[str], text: nodes.Text | None) -> str:
    found = pattern.search(text.astext()) if text is not None else None
    return found[0] if found else ""


def _neighbour(node: nodes.Node, step: int) -> nodes.Text | None:
    """The text that stands directly before (-1) or after (1) a node."""
    siblings = node.parent.children
    place = siblings.index(node) + step
    found = siblings[place] if 0 <= place < len(siblings) else None
    return found if isinstance(found, nodes.Text) else None


def _replace(old: nodes.Text, text: str) -> None:
    """Another text in the place of this very node: docutils' own takes the first that reads the same."""
    siblings = old.parent.children
    place = next(number for number, node in enumerate(siblings) if node is old)
    old.parent[place] = nodes.Text(text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-read", link_formulas)
    app.connect("doctree-read", lambda _, doctree: keep_together(doctree))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
