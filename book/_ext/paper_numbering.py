"""The directive `{paper-numbering}`: where each numbered statement of the paper is in this book.

Its argument names one of the groups below. Its rows are made from the list of claims, so that none is
forgotten; a line of its content, ``Theorem 3.1: {ref}`proof-thm-3-1` ``, adds to the row of a number of the
paper, or makes one where nothing is claimed. Equations that a page shows with their number (see `equations`)
are linked there.

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
# Kinds as they are grouped, and other ways in which readers write them.
GROUPS = {
    "Statements": ("Theorem", "Corollary", "Remark", "Lemma", "Assumption", "Proposition"),
    "Equations": ("Equation",),
    "Figures": ("Figure",),
    "Sentences": ("Abstract", "Section"),
}
NUMBERED = re.compile(
    rf"({'|'.join(kind for kinds in GROUPS.values() for kind in kinds)})(?: ([A-Z]?[\d.]+))?", re.IGNORECASE
)
# In the paper whether or not anything is claimed of them.
UNCLAIMED = (*(f"Equation {number}" for number in range(1, 35)), "Theorem A.1", "Corollary A.3", "Section 2")
SHORT = {
    "Theorem": ("Thm", "Thm."),
    "Corollary": ("Cor", "Cor."),
    "Remark": ("Rem", "Rem."),
    "Lemma": ("Lem", "Lem."),
    "Assumption": ("Assump", "Assump."),
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


def kinds_of(group: str) -> tuple[str, ...]:
    """What belongs to a group.

    Raises:
        ValueError: there is no such group.
    """
    if group not in GROUPS:
        raise ValueError(f"the argument must be one of {', '.join(GROUPS)}, got {group!r}")
    return GROUPS[group]


def known(kinds: Sequence[str]) -> list[str]:
    """The paper's numbers of these kinds, in its order."""
    from cleanprio_lib.claims import PAPER

    numbers = {*UNCLAIMED, *(number_of(listed.place) for listed in PAPER)}
    return in_order(number for number in numbers if number.partition(" ")[0] in kinds)


def additions(lines: Iterable[str], kinds: Sequence[str]) -> dict[str, str]:
    """What the lines of a directive add to the rows of these kinds, by number.

    Raises:
        ValueError: a line is not "number: text", its number is none of these kinds, or has a line already.
    """
    found: dict[str, str] = {}
    for line in lines:
        if not line.strip():
            continue
        number, _, text = line.partition(": ")
        if not text.strip():
            raise ValueError(f"a line must be a number, a colon, a space and a text, got {line!r}")
        if number not in known(kinds):
            raise ValueError(f"a line must begin with one of {', '.join(known(kinds))}; got {number!r}")
        if number in found:
            raise ValueError(f"a number must have one line, got another of {number!r}")
        found[number] = text
    return found


class PaperNumbering(SphinxDirective):
    """The table of one of the groups."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        from cleanprio_lib.claims import PAPER

        try:
            kinds = kinds_of(self.arguments[0])
            extra = additions(self.content, kinds)
        except ValueError as error:
            raise self.error(str(error)) from error
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
            link(f"../{claim.page}.html#claim-{claim.id}", nodes.literal(claim.id, claim.id))
            for claim in claims
        ]
        errata = sorted({erratum for claim in claims for erratum in claim.errata})
        told = [extra] if extra else []
        told += [f"{{ref}}`E{erratum} <erratum-{erratum}>`" for erratum in errata]
        others = [*shown, *pictures(claims)]
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


def pictures(claims: Iterable[Listed]) -> list[nodes.Node]:
    """The links to claims' figures, one a figure; each says whose figure it is."""
    shared: dict[str, list[str]] = {}
    for claim in claims:
        if claim.figure:
            shared.setdefault(f"../{claim.page}.html#{claim.figure}", []).append(claim.id)
    return [link(address, nodes.Text(f"figure of {' and '.join(ids)}")) for address, ids in shared.items()]


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
        if f"book/{listed.page}" == docname:
            forms = [*spellings(number_of(listed.place)), listed.id]
            target = f"claim-{listed.id}"
            doctree += addnodes.index(entries=[("single", form, target, "main", None) for form in forms])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("paper-numbering", PaperNumbering)
    app.connect("doctree-resolved", index_cards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
