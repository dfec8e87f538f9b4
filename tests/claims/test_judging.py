"""Verdicts can come out either way, and not at all at quick scale, on stand-in or on edited data."""

from dataclasses import replace

import pandas as pd
import pytest

from cleanprio_lib.claims import CLAIMS, judge
from cleanprio_lib.claims.judging import within
from cleanprio_lib.runs import Recorded


def _run(curves, *, scale="laptop", source="MNIST", intact=True):
    rows = [
        {"seed": seed, "epoch": epoch, "test_error": error}
        for seed, curve in enumerate(curves)
        for epoch, error in enumerate(curve)
    ]
    facts = {"data": {"source": source}, "settings": {"level": 0.3}, "seeds": {}}
    return Recorded("fig-01-mnist-cnn", scale, pd.DataFrame(rows), facts, intact)


@pytest.mark.parametrize(
    ("curves", "verdict"),
    [
        ([[0.9, 0.10, 0.20], [0.9, 0.05, 0.30]], "holds"),
        ([[0.9, 0.10, 0.20], [0.9, 0.05, 0.06]], "holds in part"),  # the second seed's error hardly rises
        ([[0.9, 0.20, 0.80]], "holds in part"),  # it rises, from above half the noise level
        ([[0.9, 0.20, 0.21]], "does not hold"),
    ],
)
def test_figure_1_is_judged_in_every_seed(curves, verdict):
    assert judge(CLAIMS["fig-1"], _run(curves)).verdict == verdict


def test_measured_numbers_are_mean_and_range_over_seeds():
    lowest, rise = judge(CLAIMS["fig-1"], _run([[0.9, 0.10, 0.20], [0.9, 0.05, 0.30]])).measured
    assert (lowest.mean, lowest.low, lowest.high) == pytest.approx((0.075, 0.05, 0.10))
    assert (rise.mean, rise.low, rise.high) == pytest.approx((4.0, 2.0, 6.0))


@pytest.mark.parametrize(
    "change", [{"scale": "quick"}, {"source": "built-in stand-in for MNIST"}, {"intact": False}]
)
def test_quick_stand_in_and_edited_runs_test_nothing(change):
    judged = judge(CLAIMS["fig-1"], _run([[0.9, 0.1, 0.3]], **change))
    assert (judged.verdict, judged.measured) == ("not tested at this scale", ())


def test_ids_are_their_keys():
    assert all(claim.id == key for key, claim in CLAIMS.items())
    assert replace(CLAIMS["fig-1"], id="x").id == "x"


@pytest.mark.parametrize(("low", "high", "agrees"), [(1, 3, True), (1.1, 3, False), (1, 2.9, False)])
def test_within_asks_every_seed(low, high, agrees):
    number = within("x", pd.Series([1.0, 3.0]), low, high, "words")
    assert (number.mean, number.low, number.high, number.agrees) == (2, 1, 3, agrees)
