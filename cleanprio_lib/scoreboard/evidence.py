"""All claims judged by what is recorded, and where on the pages their evidence lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cleanprio_lib import experiments, runs
from cleanprio_lib.claims import BOOK, CLAIMS, MODULES, PAPER, VERDICTS, Judged, Listed, judge
from cleanprio_lib.recordings import Recorded

EVIDENCE = "evidence"  # folder, beside the pages, of recorded runs and of the code that judges
COMPUTED, NOTHING = "computed on the spot", "not recorded"
PARTS = {"paper": "the paper", "book": "this book"}


@dataclass(frozen=True)
class Row:
    """One line of the scoreboard.

    Attributes:
        listed: the claim's entry in the list.
        judged: the claim with verdict and evidence.
        part: whose claim it is, a key of `PARTS`.
    """

    listed: Listed
    judged: Judged
    part: str

    @property
    def scale(self) -> str:
        """The smallest scale among its runs; `COMPUTED` without any, `NOTHING` where one is missing."""
        scales = {run.scale for run in self.judged.runs}
        if len(self.judged.runs) < len(self.judged.claim.experiments):
            return NOTHING
        if not scales:
            return COMPUTED if self.judged.measured else NOTHING
        return min(scales, key=experiments.SCALES.index)

    @property
    def agreeing(self) -> int:
        """How many of its numbers agree."""
        return sum(number.agrees for number in self.judged.measured)

    @property
    def card(self) -> str:
        """Where its card is, seen from a chapter."""
        return f"{self.listed.page}.html#claim-{self.listed.id}"

    @property
    def figure(self) -> str | None:
        """Where its figure is, seen from a chapter; None if there is none."""
        return f"{self.listed.page}.html#{self.listed.figure}" if self.listed.figure else None

    @property
    def errata(self) -> dict[int, str]:
        """Where the errata are that bear on it, by number, seen from a chapter."""
        return {number: f"appendix/errata.html#erratum-{number}" for number in self.listed.errata}

    @property
    def code(self) -> str:
        """Where the code that judges it is, seen from a chapter."""
        return f"{EVIDENCE}/{source_of(self.listed.id).name}"

    @property
    def data(self) -> tuple[str, ...]:
        """Where its recorded runs are, seen from a chapter."""
        return tuple(f"{EVIDENCE}/{run.name}-{run.scale}.csv" for run in self.judged.runs)


def judge_all(*, folder: Path | None = None) -> tuple[Row, ...]:
    """Every listed claim judged by the largest recorded scale of its runs: the paper's, then this book's.

    Args:
        folder: of the recorded runs; None for `runs.recorded_folder()`.

    Raises:
        KeyError: a listed claim that no module has.
    """

    @cache
    def load(name: str) -> Recorded | None:
        try:
            return runs.load(name, folder=folder)
        except FileNotFoundError:
            return None

    def row(listed: Listed, part: str) -> Row:
        claim = CLAIMS[listed.id]
        recorded = [run for run in map(load, claim.experiments) if run is not None]
        return Row(listed, judge(claim, *recorded), part)

    return (*(row(listed, "paper") for listed in PAPER), *(row(listed, "book") for listed in BOOK))


def parted(rows: Sequence[Row], part: str) -> tuple[Row, ...]:
    """The paper's claims, or this book's."""
    return tuple(row for row in rows if row.part == part)


def totals(rows: Sequence[Row]) -> dict[str, int]:
    """How many claims have each verdict, in the order of `VERDICTS`."""
    return {verdict: sum(row.judged.verdict == verdict for row in rows) for verdict in VERDICTS}


def said(rows: Sequence[Row]) -> str:
    """The totals of the paper's claims as a sentence in Markdown."""
    of_paper = parted(rows, "paper")
    holds, in_part, fails, untested = totals(of_paper).values()
    return (
        f"Of the paper's {len(of_paper)} claims **{holds}** hold, **{in_part}** hold in part, **{fails}** "
        f"{'does' if fails == 1 else 'do'} not hold, and **{untested}** {'is' if untested == 1 else 'are'} "
        "not tested at a scale that counts."
    )


def source_of(claim: str) -> Path:
    """File of the module that has the claim.

    Raises:
        StopIteration: no module has it.
    """
    module = next(module for module in MODULES if any(own.id == claim for own in module.CLAIMS))
    return Path(str(module.__file__))
