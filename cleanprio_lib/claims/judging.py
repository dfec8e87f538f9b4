"""What a claim is, and how recorded runs and formulas judge it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from cleanprio_lib.runs import EVIDENCE, Recorded

HOLDS, IN_PART, FAILS, UNTESTED = VERDICTS = (
    "holds",
    "holds in part",
    "does not hold",
    "not tested at this scale",
)


@dataclass(frozen=True)
class Measured:
    """One number behind a verdict: what it is, its range over seeds, and what the claim needs of it.

    Attributes:
        quantity: what was measured.
        mean: over seeds.
        low: lowest of all seeds.
        high: highest.
        needed: what the claim needs.
        agrees: whether every seed has it.
        premise: whether it only shows that the claim was put to the test; alone, it bears out nothing.
    """

    quantity: str
    mean: float
    low: float
    high: float
    needed: str
    agrees: bool
    premise: bool = False


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, or of this book, and how it is tested.

    Attributes:
        id: as in the book's list of claims.
        statement: what is claimed, made precise.
        where: its place in the paper.
        experiments: names of the recorded runs it rests on; none where formulas and small nets, computed on
            the spot, decide.
        rule: how the early stopping epoch was chosen; None where nothing is stopped.
        measure: from these runs, in their order, to the numbers that decide; None for a hypothesis that
            nothing here tests.
    """

    id: str
    statement: str
    where: str
    experiments: tuple[str, ...]
    rule: str | None
    measure: Callable[..., tuple[Measured, ...]] | None


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict and its evidence.

    Attributes:
        claim: what was judged.
        verdict: of `VERDICTS`.
        measured: the numbers that decided; none where nothing was tested.
        runs: those that are recorded of the claim's experiments.
        reason: why nothing was tested; empty where something was.
    """

    claim: Claim
    verdict: str
    measured: tuple[Measured, ...]
    runs: tuple[Recorded, ...]
    reason: str = ""


def judge(claim: Claim, *runs: Recorded) -> Judged:
    """Judge a claim by its recorded runs.

    Tests nothing: a run that is missing, one at quick scale, on a stand-in for the data or of fewer than
    `EVIDENCE` seeds, and one whose CSV was changed since it was recorded.

    Args:
        claim: to be judged.
        runs: of its experiments, in their order; fewer than these where some are not recorded.

    Raises:
        ValueError: more runs than the claim has experiments.
    """
    if len(runs) > len(claim.experiments):
        raise ValueError(
            f"runs must be those of {', '.join(claim.experiments) or 'no experiment'}, got {len(runs)}"
        )
    reason = _why_untested(claim, runs)
    if claim.measure is None or reason:
        return Judged(claim, UNTESTED, (), runs, reason)
    measured = claim.measure(*runs)
    return Judged(claim, verdict(measured), measured, runs)


def verdict(measured: Sequence[Measured]) -> str:
    """That of numbers: "holds" if each agrees in every seed, "holds in part" if some do, premises aside."""
    if all(number.agrees for number in measured):
        return HOLDS
    return IN_PART if any(number.agrees and not number.premise for number in measured) else FAILS


def _why_untested(claim: Claim, runs: Sequence[Recorded]) -> str:
    """The first thing that keeps the runs from being evidence; empty if nothing does."""
    if claim.measure is None:
        return "a hypothesis, for which neither the paper nor this book has a test"
    reasons = [_why_no_evidence(run) for run in runs]
    if len(runs) < len(claim.experiments):
        reasons.append("no run recorded yet")
    return next(filter(None, reasons), "")


def _why_no_evidence(run: Recorded) -> str:
    if not run.intact:
        return f"{run.name}-{run.scale}.csv no longer has the checksum it was recorded with"
    if run.on_stand_in:
        return "recorded on stand-in data only"
    if run.scale == "quick":
        return f"{run.name} is recorded at quick scale only"
    seeds = run.frame.seed.nunique()
    return f"{seeds} of at least {EVIDENCE} seeds recorded so far" if seeds < EVIDENCE else ""


def below(quantity: str, values: pd.Series, bound: float, words: str) -> Measured:
    return _measured(quantity, values, values < bound, words)


def above(quantity: str, values: pd.Series, bound: float, words: str) -> Measured:
    return _measured(quantity, values, values > bound, words)


def within(quantity: str, values: pd.Series, low: float, high: float, words: str) -> Measured:
    return _measured(quantity, values, values.between(low, high), words)


def premise(number: Measured) -> Measured:
    """The same number as one that only shows that the claim was put to the test."""
    return replace(number, premise=True)


def _measured(quantity: str, values: pd.Series, agreeing: pd.Series, words: str) -> Measured:
    """What was measured nowhere agrees with nothing."""
    agrees = bool(len(values) and agreeing.all())
    return Measured(quantity, values.mean(), values.min(), values.max(), words, agrees)
