"""What a claim is, and how a recorded run judges it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from cleanprio_lib.runs import Recorded

VERDICTS = ("holds", "holds in part", "does not hold", "not tested at this scale")


@dataclass(frozen=True)
class Measured:
    """One number behind a verdict: what it is, its range over seeds, and what the claim needs of it."""

    quantity: str
    mean: float
    low: float
    high: float
    needed: str
    agrees: bool


@dataclass(frozen=True)
class Claim:
    """A statement of the paper and how it is tested.

    Attributes:
        id: as in the book's list of claims.
        statement: what the paper says, made precise.
        where: its place in the paper.
        experiment: the recorded run it rests on.
        rule: how the early stopping epoch was chosen; None where nothing is stopped.
        measure: from the run to the numbers that decide.
    """

    id: str
    statement: str
    where: str
    experiment: str
    rule: str | None
    measure: Callable[[Recorded], tuple[Measured, ...]]


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict and its evidence."""

    claim: Claim
    verdict: str
    measured: tuple[Measured, ...]
    run: Recorded


def judge(claim: Claim, run: Recorded) -> Judged:
    """Verdict: "holds" if every measured number agrees in every seed, "holds in part" if some do.

    A run at quick scale, one on a stand-in for the data, or one whose CSV was changed since it was recorded
    tests nothing.
    """
    if run.scale == "quick" or run.on_stand_in or not run.intact:
        return Judged(claim, "not tested at this scale", (), run)
    measured = claim.measure(run)
    agreeing = sum(number.agrees for number in measured)
    verdict = "holds" if agreeing == len(measured) else "holds in part" if agreeing else "does not hold"
    return Judged(claim, verdict, measured, run)


def below(quantity: str, values: pd.Series, bound: float, words: str) -> Measured:
    return Measured(quantity, values.mean(), values.min(), values.max(), words, bool((values < bound).all()))


def above(quantity: str, values: pd.Series, bound: float, words: str) -> Measured:
    return Measured(quantity, values.mean(), values.min(), values.max(), words, bool((values > bound).all()))


def within(quantity: str, values: pd.Series, low: float, high: float, words: str) -> Measured:
    agrees = bool(values.between(low, high).all())
    return Measured(quantity, values.mean(), values.min(), values.max(), words, agrees)
