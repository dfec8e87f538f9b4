"""The directive `{paper-numbering}`: where each numbered statement of the paper is in this book.

Its argument names one of the groups below. Its rows are made from the list of claims, so that none is
forgotten; a line of its content, ``Theorem 3.1: {ref}`proof-thm-3-1` ``, adds to a row, or makes one for what
is no claim. Equations that a page shows with their number (see `equations`) are linked there.

Wherever a claim has its card, the search finds the card by the paper's number: `Theorem 3.1`, `thm 3.1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import equations
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from cleanprio_lib.claims.ledger import Listed

PAGE = "book/appendix/numbering"
SCOREBOARD = "12-scoreboard"
NUMBERED = re.compile(
    r"(Abstract|Section|Definition|Theorem|Corollary|Remark|Lemma|Assumption|Proposition|Equation|Figure)"
    r"(?: ([A-Z]?[\d.]+))?",
    re.IGNORECASE,
)
# Kinds as they are grouped, and other ways in which readers write them.
GROUPS = {
    "Statements": ("Theorem", "Corollary", "Remark", "Lemma", "Assumption", "Proposition"),
    "Equations": ("Equation",),
    "Figures": ("Figure",),
    "Sentences": ("Abstract", "Section"),
}
SHORT = {
    "Theorem": ("Thm", "Thm."),
    "Corollary": ("Cor", "Cor."),
    "Remark": ("Rem", "Rem."),
    "Assumption": ("Ass", "Ass."),
    "Proposition": ("Prop", "Prop."),
    "Equation": ("Eq", "Eq."),
    "Figure": ("Fig", "Fig."),
    "Section": ("Sec", "Sec."),
}
HEAD = ("in the paper", "claims, judged", "see also")


def number_of(place: str) -> str:
    """The numbered thing that a place in the paper belongs to: "Figure 4" for "Figure 4, left".

    Raises:
        ValueError: there is none.
    """
    found = NUMBERED.search(place)
    if found is None:
        raise ValueError(f"no number of the paper in {place!r}")
    return f"{found[1].capitalize()} {found[2] or ''}".strip().rstrip(".")


def spellings(number: str) -> list[str]:
    """A number as readers may write it: "Theorem 3.1", "Thm 3.1", "Thm. 3.1"; equations in brackets too."""
    kind, _, rest = number.partition(" ")
    words = [kind, *SHORT.get(kind, ())]
    forms = [f"{word} {rest}".strip() for word in words]
    return forms + ([f"{word} ({rest})" for word in words] if kind == "Equation" else [])


def anchor(number: str) -> str:
    """Where a number has its row."""
    return f"paper-{number.lower().replace(' ', '-')}"


def in_order(numbers: Iterable[str]) -> list[str]:
    """As the paper counts: 4.10 after 4.9, the appendix after the text."""

    def parts(number: str) -> tuple[bool, list[int], str]:
        rest = number.partition(" ")[2]
        return "A." in rest, [int(part) for part in re.findall(r"\d+", rest)], number

    return sorted(numbers, key=parts)


class PaperNumbering(SphinxDirective):
    """The table of one of the groups."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        from cleanprio_lib.claims import PAPER

        kinds = GROUPS[self.arguments[0]]
        extra = dict(line.split(": ", 1) for line in self.content if line.strip())
        shown = equations.pages_by_number(self.env) if "Equation" in kinds else {}
        links = {f"Equation {n}": [showing(n, page) for page in pages] for n, pages in shown.items()}
        claims: dict[str, list[Listed]] = {number: [] for number in {**extra, **links}}
        for listed in PAPER:
            number = number_of(listed.place)
            if number.partition(" ")[0] in kinds:
                claims.setdefault(number, []).append(listed)
        rows = (
            self.row(number, claims[number], links.get(number, []), extra.get(number))
            for number in in_order(claims)
        )
        return [table(rows)]

    def row(
        self, number: str, claims: list[Listed], shown: Sequence[nodes.Node], extra: str | None
    ) -> nodes.row:
        """The row of one number: its claims' cards, where it is shown, and what there is besides."""
        here = anchor(number)
        index = addnodes.index(entries=[("single", form, here, "main", None) for form in spellings(number)])
        cards = [
            link(f"../{page_of(claim)}.html#claim-{claim.id}", nodes.literal(claim.id, claim.id))
            for claim in claims
        ]
        pictures = {f"../{claim.page}.html#{claim.figure}" for claim in claims if claim.figure}
        errata = sorted({erratum for claim in claims for erratum in claim.errata})
        told = [extra] if extra else []
        told += [f"{{ref}}`E{erratum} <erratum-{erratum}>`" for erratum in errata]
        others: list[nodes.Node] = list(shown)
        others += [link(address, nodes.Text("figure")) for address in sorted(pictures)]
        for text in told:
            parsed, messages = self.state.inline_text(text, self.lineno)
            others += [nodes.inline("", "", *parsed), *messages]
        cells = ([index, nodes.inline(number, number, ids=[here])], separated(cards), separated(others))
        return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells))


def showing(number: int, page: str) -> nodes.reference:
    """The link to an equation on a page that shows it."""
    name = page.removeprefix("book/")
    chapter = re.match(r"0?(\d+)-", name)
    told = f"chapter {chapter[1]}" if chapter else Path(name).name
    return link(f"../{name}.html#{equations.anchor(number)}", nodes.Text(told))


def page_of(listed: Listed) -> str:
    """The page with a claim's card: its chapter's, or while there is none the scoreboard's."""
    from cleanprio_lib.claims import PAGES

    return listed.page if listed.page in PAGES else SCOREBOARD


def table(rows: Iterable[nodes.Node]) -> nodes.table:
    """A table whose first column heads its rows."""
    group = nodes.tgroup(cols=len(HEAD))
    group += [nodes.colspec(colwidth=1, **({"stub": 1} if place == 0 else {})) for place in range(len(HEAD))]
    group += nodes.thead("", nodes.row("", *(nodes.entry("", nodes.paragraph(t, t)) for t in HEAD)))
    group += nodes.tbody("", *rows)
    return nodes.table("", group)


def link(address: str, text: nodes.Node) -> nodes.reference:
    """A link within the pages."""
    return nodes.reference("", "", text, refuri=address, internal=True)


def separated(parts: list[nodes.Node]) -> Iterator[nodes.Node]:
    """With commas between them."""
    for place, part in enumerate(parts):
        if place:
            yield nodes.Text(", ")
        yield part


def index_cards(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Let the search find a page's claim cards by the paper's number and by their ids."""
    if PAGE not in app.env.found_docs or not re.match(r"book/\d\d-", docname):
        return
    from cleanprio_lib.claims import PAPER

    for listed in PAPER:
        if f"book/{page_of(listed)}" == docname:
            forms = [*spellings(number_of(listed.place)), listed.id]
            target = f"claim-{listed.id}"
            doctree += addnodes.index(entries=[("single", form, target, "main", None) for form in forms])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("paper-numbering", PaperNumbering)
    app.connect("doctree-resolved", index_cards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
