"""Verdicts can come out either way, and not at all at quick scale, on stand-in or on edited data."""

from dataclasses import replace

import pandas as pd
import pytest

from cleanprio_lib.claims import CLAIMS, judge
from cleanprio_lib.claims.judging import below, premise, within
from cleanprio_lib.runs import Recorded

U = [0.9, 0.10, 0.20, 0.20]  # test error over time, far below the noise level at its lowest


def _run(curves, *, scale="laptop", source="MNIST", intact=True):
    rows = [
        {"seed": seed, "epoch": epoch, "test_error": error}
        for seed, curve in enumerate(curves)
        for epoch, error in enumerate(curve)
    ]
    facts = {"data": {"source": source}, "settings": {"level": 0.3}, "seeds": {}}
    return Recorded("fig-01-mnist-cnn", scale, pd.DataFrame(rows), facts, intact)


@pytest.mark.parametrize(
    ("last", "verdict"),
    [
        ([0.9, 0.05, 0.30], "holds"),
        ([0.9, 0.05, 0.06], "holds in part"),  # the last seed's error hardly rises
        ([0.9, 0.20, 0.80], "holds in part"),  # it rises, from above half the noise level
        ([0.9, 0.05, 0.9, 0.06, 0.06, 0.06, 0.06], "holds in part"),  # one spike is no right arm
        ([0.9, 0.05, 0.4, 0.3, 0.2, 0.1], "holds in part"),  # it jumps, and falls ever after
        ([0.1, 0.5, 0.09, 0.3, 0.4], "holds in part"),  # no left arm
        ([0.20, 0.21, 0.9, 0.19], "does not hold"),
    ],
)
def test_figure_1_is_judged_in_every_seed(last, verdict):
    assert judge(CLAIMS["fig-1"], _run([U, U, last])).verdict == verdict


def test_measured_numbers_are_mean_and_range_over_seeds():
    lowest, rise, *_ = judge(CLAIMS["fig-1"], _run([U, U, [0.9, 0.04, 0.32, 0.32]])).measured
    assert (lowest.mean, lowest.low, lowest.high) == pytest.approx((0.08, 0.04, 0.10))
    assert (rise.mean, rise.low, rise.high) == pytest.approx((4.0, 2.0, 8.0))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scale": "quick"}, "fig-01-mnist-cnn is recorded at quick scale only"),
        ({"source": "built-in stand-in for MNIST"}, "recorded on stand-in data only"),
        (
            {"intact": False},
            "fig-01-mnist-cnn-laptop.csv no longer has the checksum it was recorded with",
        ),
        ({"seeds": 2}, "2 of at least 3 seeds recorded so far"),
    ],
)
def test_quick_stand_in_edited_and_single_runs_test_nothing(change, reason):
    judged = judge(CLAIMS["fig-1"], _run([U] * change.pop("seeds", 3), **change))
    assert (judged.verdict, judged.measured, judged.reason) == ("not tested at this scale", (), reason)


def test_every_run_of_a_claim_must_be_there_and_be_evidence():
    def measure(one, other):
        assert one is not other
        lowest = pd.Series([one.frame.test_error.min()])
        return (within("lowest", lowest, 0, other.frame.test_error.max(), "x"),)

    claim = replace(CLAIMS["fig-1"], experiments=("one", "other"), measure=measure)
    good, quick = _run([U] * 3), _run([U] * 3, scale="quick")
    assert judge(claim, good, _run([U] * 3)).verdict == "holds"
    assert judge(claim, good).reason == "no run recorded yet"
    assert judge(claim).reason == "no run recorded yet"
    for both in ((good, quick), (quick, good)):
        assert judge(claim, *both).reason.endswith("recorded at quick scale only")
    with pytest.raises(ValueError, match="runs must be those of one, other, got 3"):
        judge(claim, good, good, good)


def test_formulas_need_no_run_and_hypotheses_have_no_verdict():
    numbers = (within("x", pd.Series([1.0]), 0, 2, "words"),)
    formula = replace(CLAIMS["fig-1"], experiments=(), measure=lambda: numbers)
    assert (judge(formula).verdict, judge(formula).measured) == ("holds", numbers)
    hypothesis = replace(formula, measure=None)
    assert judge(hypothesis).verdict == "not tested at this scale"
    assert "hypothesis" in judge(hypothesis).reason
    with pytest.raises(ValueError, match="runs must be those of no experiment, got 1"):
        judge(formula, _run([U] * 3))


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [("++", "holds"), ("+-", "holds in part"), ("--", "does not hold"), ("p-", "does not hold"),
     ("p+", "holds"), ("p+-", "holds in part"), ("P+", "holds in part"), ("P-", "does not hold")],
)  # fmt: skip
def test_premises_bear_out_nothing_alone(numbers, wanted):
    """A sign for each number: + agrees, - does not; p is a premise that agrees, P one that does not."""
    measured = []
    for sign in numbers:
        number = below("x", pd.Series([0.0 if sign in "+p" else 2.0]), 1, "below 1")
        measured.append(premise(number) if sign in "pP" else number)
    formula = replace(CLAIMS["fig-1"], experiments=(), measure=lambda: tuple(measured))
    assert judge(formula).verdict == wanted


def test_ids_are_their_keys():
    assert all(claim.id == key for key, claim in CLAIMS.items())
    assert replace(CLAIMS["fig-1"], id="x").id == "x"


@pytest.mark.parametrize(("low", "high", "agrees"), [(1, 3, True), (1.1, 3, False), (1, 2.9, False)])
def test_within_asks_every_seed(low, high, agrees):
    number = within("x", pd.Series([1.0, 3.0]), low, high, "words")
    assert (number.mean, number.low, number.high, number.agrees) == (2, 1, 3, agrees)
