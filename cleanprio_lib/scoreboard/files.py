"""The scoreboard for machines: JSON after a schema, a tidy table, and one claim in full as text."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from textwrap import fill
from typing import Any

import pandas as pd

from cleanprio_lib import runs
from cleanprio_lib.claims import Measured
from cleanprio_lib.pages import describe, number_text, with_powers
from cleanprio_lib.recordings import Recorded, paths
from cleanprio_lib.scoreboard.evidence import EVIDENCE, PARTS, Row, judge_all, parted, source_of, totals

SCHEMA = "claims.schema.json"
DIGITS = 6  # of measured numbers: the last bits depend on the machine
OF_RUNS = ("scale", "source", "n", "seeds", "csv", "csv_sha256")


def schema() -> dict[str, Any]:
    """JSON Schema of `document`, which describes every field."""
    text = resources.files("cleanprio_lib.scoreboard").joinpath(SCHEMA).read_text(encoding="utf-8")
    return dict(json.loads(text))


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """All claims and their totals, as plain values after `schema`.

    Addresses are seen from the folder of the chapters' pages, in which the published file lies.
    """
    return {
        "totals": {part: totals(parted(rows, part)) for part in PARTS},
        "claims": [_claim(row) for row in rows],
    }


def as_json(content: Any) -> str:
    """The text of a JSON file."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """A row for each measured number, and one for a claim that is not tested, whose number is missing.

    Columns are the fields of `schema`: those of a claim, of the number, and of the claim's runs, several of
    which stand in one cell with semicolons between them.
    """
    tidy = []
    for claim in document(rows)["claims"]:
        measured, recorded = claim.pop("measured"), claim.pop("runs")
        claim |= {"errata": "; ".join(claim["errata"])}
        for name in ("name", *OF_RUNS):
            claim[f"run_{name}"] = "; ".join(_cell(run[name]) for run in recorded)
        tidy += [{**claim, **number} for number in measured or [{}]]
    return pd.DataFrame(tidy)


def in_short(rows: Sequence[Row]) -> str:
    """All claims as text, a line each: verdict, how many numbers agree, scale, place; then totals."""
    table = pd.DataFrame(
        [
            {
                "claim": row.listed.id,
                "verdict": row.judged.verdict,
                "agree": f"{row.agreeing} of {len(row.judged.measured)}",
                "scale": row.scale,
                "chapter": row.listed.chapter,
                "place": row.judged.claim.where,
            }
            for row in rows
        ]
    )
    told = {part: totals(parted(rows, part)) for part in PARTS}
    lines = [
        f"{PARTS[part]}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        for part, counts in told.items()
    ]
    return "\n".join([table.to_string(index=False), "", *lines])


def in_full(row: Row) -> str:
    """One claim as text: what it says, what it needs, what was measured, the verdict and the evidence."""
    claim, judged = row.judged.claim, row.judged
    lines = [
        f"{claim.id} ({claim.where}; chapter {row.listed.chapter})",
        fill(claim.statement, 100),
        "",
        judged.verdict.upper() + (f": {judged.reason}" if judged.reason else ""),
    ]
    for number in judged.measured:
        span = f"{number_text(number.mean)} [{number_text(number.low)}, {number_text(number.high)}]"
        lines.append(
            f"  {'+' if number.agrees else '-'} {number.quantity}: {span}; "
            f"needed: {with_powers(number.needed)}"
        )
    lines += ["", *([f"Early stopping: {claim.rule}."] if claim.rule else [])]
    lines += [f"{describe(run)} Seeds {runs.ranges(run.seeds)}." for run in judged.runs]
    lines += [f"python -m cleanprio_lib verify {run.name} --scale {run.scale}" for run in judged.runs]
    lines += [f"Judged by cleanprio_lib/claims/{source_of(claim.id).name}."]
    return "\n".join(lines)


def publish(folder: Path, *, recorded: Path | None = None) -> None:
    """Write what the scoreboard's page links to: claims.json, claims.csv, their schema and the evidence.

    Args:
        folder: of the chapters' built pages.
        recorded: folder of the recorded runs; None for `runs.recorded_folder()`.
    """
    recorded = recorded or runs.recorded_folder()
    rows = judge_all(folder=recorded)
    texts = {
        "claims.json": as_json(document(rows)),
        "claims.csv": frame(rows).to_csv(index=False, lineterminator="\n"),
        SCHEMA: as_json(schema()),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    shutil.rmtree(folder / EVIDENCE, ignore_errors=True)
    (folder / EVIDENCE).mkdir()
    for file in {file for row in rows for file in _evidence_of(row, recorded)}:
        shutil.copy(file, folder / EVIDENCE)


def _evidence_of(row: Row, recorded: Path) -> list[Path]:
    files = [file for run in row.judged.runs for file in paths(run.name, run.scale, recorded)]
    return [*files, source_of(row.listed.id)]


def _claim(row: Row) -> dict[str, Any]:
    claim, judged = row.judged.claim, row.judged
    return {
        "id": claim.id,
        "part": row.part,
        "statement": claim.statement,
        "place": claim.where,
        "chapter": row.listed.chapter,
        "verdict": judged.verdict,
        "reason": judged.reason or None,
        "scale": row.scale,
        "rule": claim.rule,
        "measured": [_number(number) for number in judged.measured],
        "runs": [_run(run) for run in judged.runs],
        "card": row.card,
        "figure": row.figure,
        "code": row.code,
        "errata": list(row.errata.values()),
    }


def _number(number: Measured) -> dict[str, Any]:
    values = {name: _rounded(getattr(number, name)) for name in ("mean", "low", "high")}
    return {
        "quantity": number.quantity,
        "needed": number.needed,
        **values,
        "agrees": number.agrees,
        "premise": number.premise,
    }


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _run(run: Recorded) -> dict[str, Any]:
    return {
        "name": run.name,
        "scale": run.scale,
        "source": run.source,
        "n": run.settings.get("train_samples", run.settings.get("samples")),
        "seeds": list(run.seeds),
        "csv": f"{EVIDENCE}/{run.name}-{run.scale}.csv",
        "csv_sha256": run.provenance.get("csv_sha256"),
    }


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return runs.ranges(value)
    return "" if value is None else str(value)
