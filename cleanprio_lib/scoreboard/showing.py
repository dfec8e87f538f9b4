"""The scoreboard for people: HTML that can be filtered without a kernel, and read without a script."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata, resources

from IPython.display import HTML, display

from cleanprio_lib import runs
from cleanprio_lib.claims import VERDICTS, Measured
from cleanprio_lib.claims.judging import HOLDS
from cleanprio_lib.lettering import in_html, unbroken
from cleanprio_lib.pages import MARKS, number_text, typeset, with_powers
from cleanprio_lib.recordings import Recorded
from cleanprio_lib.scoreboard.evidence import COMPUTED, NOTHING, PARTS, Row, parted
from cleanprio_lib.scoreboard.files import schema

COLUMNS = ("claim", "verdict", "measured, against what is needed", "evidence", "check it")
SCALES = ("paper", "laptop", "quick", COMPUTED, NOTHING)
NAME = "claims"
FILES = resources.files("cleanprio_lib.scoreboard")


def show(rows: Sequence[Row]) -> None:
    """Show the table, one row a claim, with filters where scripts run.

    Args:
        rows: of `judge_all`.
    """
    head = "".join(f'<th role="columnheader" scope="col">{column}</th>' for column in COLUMNS)
    body = "".join(
        f'<tbody role="rowgroup">{"".join(_row(row) for row in parted(rows, part))}</tbody>' for part in PARTS
    )
    display(
        HTML(
            f'<section class="scoreboard" id="{NAME}" aria-label="Scoreboard">'
            f"<style>{_file('scoreboard.css')}</style>{_filters(rows)}"
            f'<p class="scoreboard-count" role="status">{len(rows)} claims.</p>'
            f'<table role="table"><caption>Every claim of the paper, then this book\'s own. '
            "Numbers: mean over seeds [their range].</caption>"
            f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>{body}</table>'
            f"<script>{_file('filter.js').replace('@name@', NAME)}</script></section>"
        )
    )


def show_reasons(rows: Sequence[Row], verdict: str) -> None:
    """Show, for each claim with this verdict, in one line what decided; claims that hold are folded.

    Args:
        rows: of `judge_all`.
        verdict: of `VERDICTS`.
    """
    chosen = [row for row in rows if row.judged.verdict == verdict]
    lines = "".join(f"<li>{_because(row)}</li>" for row in chosen)
    shown = f"<ul>{lines}</ul>" if chosen else "<p>None.</p>"
    if chosen and verdict == HOLDS:
        count = f"{len(chosen)} claim{'' if len(chosen) == 1 else 's'}"
        shown = f"<details><summary>{count}, and the number that decided each</summary>{shown}</details>"
    display(HTML(shown))


def show_fields() -> None:
    """Show what the fields of the published files mean, from their schema."""
    definitions = schema()["$defs"]
    names = {"claim": "a claim", "number": "a measured number", "run": "a recorded run"}
    rows = "".join(
        f'<tr><th scope="row"><code>{name}</code></th><td>{names[kind]}</td>'
        f"<td>{html.escape(field['description'])}</td></tr>"
        for kind in names
        for name, field in definitions[kind]["properties"].items()
    )
    head = "".join(f'<th scope="col">{word}</th>' for word in ("field", "of", "what it is"))
    display(HTML(f'<table class="dataframe"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'))


def show_files() -> None:
    """Show links to the published files."""
    told = {
        "claims.json": "claim by claim, with numbers and runs inside",
        "claims.csv": "one line for each measured number",
        "claims.schema.json": "what is in them, as JSON Schema",
    }
    lines = "".join(f"<li>{_link(name, name)}: {words}</li>" for name, words in told.items())
    display(HTML(f"<ul>{lines}</ul>"))


@cache
def home() -> str:
    """Where the chapters' pages lie, to be put before an address.

    Nowhere else on the pages themselves; published, where the library was installed from a repository, as
    in Colab.
    """
    try:
        installed = json.loads(metadata.distribution("cleanprio_lib").read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        return ""
    repository = re.fullmatch(r"https://[^/]+/([\w.-]+)/([\w-]+)(?:\.git)?", installed.get("url", ""))
    return f"https://{repository[1]}.github.io/{repository[2]}/book/" if repository else ""


def _filters(rows: Sequence[Row]) -> str:
    """Hidden until a script runs that obeys them."""
    verdicts = Counter(row.judged.verdict for row in rows)
    chapters = Counter(row.listed.chapter for row in rows)
    scales = Counter(row.scale for row in rows)
    selects = (
        _select("verdict", {_slug(one): f"{MARKS[one]} {one} ({verdicts[one]})" for one in VERDICTS}),
        _select("chapter", {str(one): f"chapter {one} ({chapters[one]})" for one in sorted(chapters)}),
        _select("scale", {_slug(one): f"{one} ({scales[one]})" for one in SCALES if scales[one]}),
        _select("part", {part: f"{name} ({len(parted(rows, part))})" for part, name in PARTS.items()}),
    )
    return (
        '<div class="scoreboard-filters" role="group" aria-label="Which claims are shown" hidden>'
        f'{"".join(selects)}<button type="button">Show all</button></div>'
    )


def _select(name: str, options: dict[str, str]) -> str:
    labels = {"part": "whose"}
    listed = "".join(f'<option value="{value}">{text}</option>' for value, text in options.items())
    return (
        f'<label>{labels.get(name, name)} <select data-filter="{name}"><option value="">all</option>'
        f"{listed}</select></label>"
    )


def _row(row: Row) -> str:
    claim, judged = row.judged.claim, row.judged
    chosen = {
        "verdict": _slug(judged.verdict),
        "chapter": row.listed.chapter,
        "scale": _slug(row.scale),
        "part": row.part,
    }
    data = "".join(f' data-{name}="{value}"' for name, value in chosen.items())
    cells = (
        f"<strong>{MARKS[judged.verdict]} {judged.verdict}</strong>",
        _measured(row),
        _evidence(row),
        _links(row),
    )
    labelled = "".join(
        f'<td role="cell" data-column="{column}"><div>{cell}</div></td>'
        for column, cell in zip(COLUMNS[1:], cells, strict=True)
    )
    return (
        f'<tr role="row" id="row-{claim.id}"{data}><th role="rowheader" scope="row">'
        f"{_link(row.card, f'<code>{claim.id}</code>')} {unbroken(in_html(claim.statement))} "
        f"<small>{html.escape(claim.where)}; chapter {row.listed.chapter}</small></th>{labelled}</tr>"
    )


def _measured(row: Row) -> str:
    judged = row.judged
    if not judged.measured:
        return html.escape(judged.reason)
    first = _deciding(judged.measured)
    if len(judged.measured) == 1:
        return _number(first)
    every = "".join(f"<li>{_number(number)}</li>" for number in judged.measured)
    return (
        f"{_number(first)}<details><summary>{row.agreeing} of {len(judged.measured)} numbers agree</summary>"
        f"<ul>{every}</ul></details>"
    )


def _deciding(measured: Sequence[Measured]) -> Measured:
    """The first number that does not agree; where all do, the first."""
    return next((number for number in measured if not number.agrees), measured[0])


def _number(number: Measured) -> str:
    mean, low, high = (unbroken(number_text(value)) for value in (number.mean, number.low, number.high))
    span = mean if mean == low == high else f"{mean} [{low}, {high}]"
    needed = typeset(with_powers(in_html(number.needed)))
    mark = "✓" if number.agrees else "✗"
    said = "agrees" if number.agrees else "does not agree"
    return (
        f"{unbroken(in_html(number.quantity))}: <b>{span}</b>; needed: {needed}"
        f'&nbsp;<span role="img" aria-label="{said}">{mark}</span>'
    )


def _evidence(row: Row) -> str:
    judged, claim = row.judged, row.judged.claim
    if not claim.experiments:
        return row.scale if judged.measured else ""
    lines = [_run(run) for run in judged.runs]
    if len(judged.runs) < len(claim.experiments):
        missing = set(claim.experiments) - {run.name for run in judged.runs}
        lines += [f"<code>{name}</code>: {NOTHING}" for name in claim.experiments if name in missing]
    stop = [f"stopped at {html.escape(claim.rule.split(',')[0])}"] if claim.rule else []
    return "<br>".join([*lines, *stop])


def _run(run: Recorded) -> str:
    n = run.settings.get("train_samples", run.settings.get("samples"))
    size = f", n = {n:,}" if n else ", all training images" if "training" in run.settings else ""
    seeds = f"{len(run.seeds)} seed{'s' if len(run.seeds) > 1 else ''} ({runs.ranges(run.seeds)})"
    return f"{run.scale} scale: {html.escape(run.source)}{size}, {seeds}"


def _links(row: Row) -> str:
    name = row.listed.id
    links = [_link(row.card, "card", f"card of {name}")]
    links += [_link(row.figure, "figure", f"figure of {name}")] if row.figure else []
    for address in row.data:
        links.append(_link(address, "data", f"data of {name}: {address.rpartition('/')[2]}"))
    links.append(_link(row.code, "code", f"code that judges {name}"))
    links += [_link(address, f"E{n}", f"E{n}, an erratum on {name}") for n, address in row.errata.items()]
    return " · ".join(links)


def _because(row: Row) -> str:
    """A line on a claim: which number decided, or why none did."""
    judged = row.judged
    told = _number(_deciding(judged.measured)) if judged.measured else html.escape(judged.reason)
    errata = ", ".join(_link(address, f"E{n}", f"E{n}, an erratum") for n, address in row.errata.items())
    return (
        f"{_link(row.card, f'<code>{row.listed.id}</code>')} ({html.escape(judged.claim.where)}): {told}"
        f"{f'. What is right: {errata}' if errata and judged.verdict in VERDICTS[1:3] else ''}"
    )


def _link(address: str, text: str, name: str = "") -> str:
    label = f' aria-label="{html.escape(name)}"' if name else ""
    return f'<a href="{home()}{address}"{label}>{text}</a>'


def _slug(text: str) -> str:
    return text.replace(" ", "-")


def _lines(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if line.strip())


def _file(name: str) -> str:
    return "\n".join(_lines((FILES / name).read_text(encoding="utf-8")))
