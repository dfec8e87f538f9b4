"""Explain the book's terms where they are met: each page's first use of a term links to the glossary.

The link carries the definition, which is shown beside the word while it is pointed at or has the keyboard's
focus. Nothing is written in the chapters' sources for it, so that their Colab pairs stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx

GLOSSARY = "book/appendix/glossary"
WORDS = 30  # of a definition that are shown beside the word
# Where a link would not be read as running text.
APART = (
    nodes.citation,
    nodes.reference,
    nodes.title,
    nodes.caption,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.raw,
    nodes.term,
)


def definitions(glossary: nodes.document) -> dict[str, tuple[str, str]]:
    """Term → (anchor, the first words of its definition), from the glossary's page."""
    found = {}
    for item in glossary.findall(nodes.definition_list_item):
        definition = next(item.findall(nodes.definition))
        words = definition[0].astext().split()
        text = " ".join(words[:WORDS]) + ("…" if len(words) > WORDS else "")
        for term in item.findall(nodes.term):
            if term["ids"]:
                found[term.astext()] = (term["ids"][0], text)
    return found


def pattern_of(terms: Iterator[str] | list[str]) -> re.Pattern[str]:
    """Matches any of the terms as whole words, longer ones first, capital or not, with a plural's s."""
    longest_first = sorted(terms, key=len, reverse=True)
    alternatives = "|".join(re.escape(term).replace(r"\ ", r"\s+") for term in longest_first)
    return re.compile(rf"(?<![\w-])({alternatives})(s?)(?![\w-])", re.IGNORECASE)


def link_first_uses(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Link the first use of each term in a page's paragraphs."""
    if docname == GLOSSARY or GLOSSARY not in app.env.found_docs or app.builder.format != "html":
        return
    known = definitions(app.env.get_doctree(GLOSSARY))
    if not known:
        return
    canonical = {normal(term): term for term in known}
    pattern, seen = pattern_of(list(known)), set[str]()
    page = app.builder.get_relative_uri(docname, GLOSSARY)
    for text in list(running_text(doctree)):
        pieces: list[nodes.Node] = []
        end = 0
        for match in pattern.finditer(text.astext()):
            term = canonical[normal(match[1])]
            if term in seen:
                continue
            seen.add(term)
            anchor, definition = known[term]
            link = nodes.reference("", match[0], internal=True, refuri=f"{page}#{anchor}", classes=["term"])
            link["reftitle"] = definition
            pieces += [nodes.Text(text.astext()[end : match.start()]), link]
            end = match.end()
        if pieces:
            text.parent.replace(text, [*pieces, nodes.Text(text.astext()[end:])])


def normal(term: str) -> str:
    """A term as it is looked up: whatever its case and the line break in it."""
    return " ".join(term.lower().split())


def running_text(doctree: nodes.document) -> Iterator[nodes.Text]:
    """Text in paragraphs, outside of links, titles, code and formulas."""
    for paragraph in doctree.findall(nodes.paragraph):
        for text in paragraph.findall(nodes.Text):
            if not inside(text, APART):
                yield text


def inside(node: nodes.Node, kinds: tuple[type[nodes.Node], ...]) -> bool:
    """Whether something around a node is of one of the kinds."""
    parent = node.parent
    while parent is not None:
        if isinstance(parent, kinds):
            return True
        parent = parent.parent
    return False


def glossary_changed(
    app: Sphinx, env: object, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Every page anew when the glossary is."""
    return sorted(app.env.found_docs) if GLOSSARY in added | changed else []


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", link_first_uses, priority=900)
    app.connect("env-get-outdated", glossary_changed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
