"""The paper's claims, each judged by a pure function of a recorded run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from cleanprio_lib import early_stopping
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
        rule: how the early stopping epoch was chosen.
        measure: from the run to the numbers that decide.
    """

    id: str
    statement: str
    where: str
    experiment: str
    rule: str
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

    A run on a stand-in for the data, or one whose CSV was changed since it was recorded, tests nothing.
    """
    if run.on_stand_in or not run.intact:
        return Judged(claim, "not tested at this scale", (), run)
    measured = claim.measure(run)
    agreeing = sum(number.agrees for number in measured)
    verdict = "holds" if agreeing == len(measured) else "holds in part" if agreeing else "does not hold"
    return Judged(claim, verdict, measured, run)


def _below(quantity: str, values: pd.Series, bound: float, words: str) -> Measured:
    return Measured(quantity, values.mean(), values.min(), values.max(), words, bool((values < bound).all()))


def _above(quantity: str, values: pd.Series, bound: float, words: str) -> Measured:
    return Measured(quantity, values.mean(), values.min(), values.max(), words, bool((values > bound).all()))


def _fig_1(run: Recorded) -> tuple[Measured, ...]:
    stops, level = early_stopping.oracle(run.frame), run.settings["level"]
    rise = stops.final_test_error / stops.test_error
    return (
        _below("lowest test error", stops.test_error, level / 2, f"below δ/2 = {level / 2:g}"),
        _above("final / lowest test error", rise, 1.5, "above 1.5"),
    )


CLAIMS: MappingProxyType[str, Claim] = MappingProxyType(
    {
        claim.id: claim
        for claim in (
            Claim(
                id="fig-1",
                statement="Test error is U-shaped in time, and its minimum lies far below the noise level.",
                where="Figure 1",
                experiment="fig-01-mnist-cnn",
                rule=early_stopping.ORACLE,
                measure=_fig_1,
            ),
        )
    }
)
