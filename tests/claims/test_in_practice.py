"""Claims on label noise in practice: each holds in runs made for it, and each of its numbers can break it."""

import numpy as np
import pandas as pd
import pytest

from cleanprio_lib import early_stopping
from cleanprio_lib.claims import CLAIMS, in_practice, judge
from cleanprio_lib.runs import Recorded

RUNS = {
    "practice-7v9": (0.4, {"classes": [7, 9]}),
    "practice-mnist-20": (0.2, {}),
    "practice-mnist-40": (0.4, {}),
    "practice-mnist-pairs": (0.4, {}),
}
KEPT = {"practice-7v9": 0.2, "practice-mnist-20": 1 - 0.2 * 10 / 9, "practice-mnist-40": 1 - 0.4 * 10 / 9}


def _recorded(name, frame, settings):
    facts = {"data": {"source": "MNIST"}, "settings": settings, "seeds": {}}
    return Recorded(name, "laptop", frame, facts, True)


def _stopping(name):
    """Three seeds, thirty epochs: a U whose floor, at epoch 10, every rule finds."""
    level, more = RUNS[name]
    epoch = np.arange(31)
    error = 0.1 + 0.01 * np.abs(epoch - 10)
    noisy = level + KEPT.get(name, 0.5) * error
    entropy = {0.4: 0.673 if more else 1.552, 0.2: 0.940}[level]
    columns = {
        "epoch": epoch,
        "test_error": error,
        "validation_true_error": error,
        "validation_error": noisy,
        "changes": 0.1 + 0.01 * np.abs(epoch - 9),
        "estimated_ratio": 1.2 + 0.01 * np.abs(epoch - 9),
        "train_error": np.linspace(0.6, 0.1, 31),
        "train_loss": entropy + 0.01 * (10 - epoch),
    }
    frame = pd.concat([pd.DataFrame(columns).assign(seed=seed) for seed in (0, 1, 2)], ignore_index=True)
    return _recorded(name, frame, {"level": level, "validation_samples": 1_000, **more})


def _methods():
    """Plain training has its floor on the way, the others end on it."""
    rows = []
    for seed in (0, 1, 2):
        for method in ("plain", "label smoothing", "ELR", "small loss", "Co-teaching", "AUM"):
            ends = 0.4 if method in ("plain", "label smoothing") else 0.1
            errors = [0.9, 0.1, ends]
            rows += [
                {"seed": seed, "method": method, "epoch": e, "test_error": x} for e, x in enumerate(errors)
            ]
    return _recorded("practice-methods", pd.DataFrame(rows), {})


def _ranked():
    precision = {
        "residual at the stop": 0.95,
        "residual at the end": 0.7,
        "area under the margin": 0.96,
        "cross-validated confidence": 0.94,
    }
    rows = [
        {"seed": seed, "ranking": name, "share": share, "precision": value if share == 0.4 else 1.0}
        for seed in (0, 1, 2)
        for name, value in precision.items()
        for share in (0.1, 0.4)
    ]
    return _recorded("practice-wrong-labels", pd.DataFrame(rows), {"problem": {"level": 0.4}})


MADE = {**{name: lambda name=name: _stopping(name) for name in RUNS}, "practice-methods": _methods,
        "practice-wrong-labels": _ranked}  # fmt: skip


def judged(claim, change=lambda run: None):
    runs = [MADE[name]() for name in CLAIMS[claim].experiments]
    for run in runs:
        change(run)
    found = judge(CLAIMS[claim], *runs)
    return found.verdict, [number.quantity for number in found.measured if not number.agrees]


def _put(run, column, value, **where):
    frame, chosen = run.frame, pd.Series(True, index=run.frame.index)
    for name, wanted in where.items():
        chosen &= frame[name] == wanted
    frame.loc[chosen, column] = value


@pytest.mark.parametrize("claim", [claim.id for claim in in_practice.CLAIMS])
def test_every_claim_holds_where_all_is_as_it_says(claim):
    assert judged(claim) == ("holds", [])
    assert judged(claim, lambda run: run.frame.__init__(run.frame.sample(frac=1, random_state=0))) == (
        "holds",
        [],
    )


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize(
    ("deviations", "agrees"), [(2.95, True), (-2.95, True), (3.05, False), (-3.05, False)]
)
def test_a_start_that_is_too_far_off_breaks_the_law(name, deviations, agrees):
    """At epoch 0 the true error is .2, at the best .1: one is right on at most 300 of 1,000 samples."""
    classes, level = (2 if name == "practice-7v9" else 10), RUNS[name][0]
    square = 1 - level + level / (classes - 1) - KEPT[name] ** 2
    spread = np.sqrt(0.3 * square / 1_000)  # of the difference of noisy errors

    def change(run):
        if run.name == name:
            start = (run.frame.seed == 1) & (run.frame.epoch == 0)
            run.frame.loc[start, "validation_error"] += deviations * spread

    broken = [] if agrees else [f"distance from theory in standard deviations, {in_practice.WORDS[name]}"]
    assert judged("practice-affine", change)[1] == broken


@pytest.mark.parametrize(
    ("claim", "column", "words"),
    [
        ("practice-validation", "validation_error", "noisy validation error"),
        ("practice-pairs", "validation_error", "noisy validation error"),
        ("practice-label-free", "changes", "Label Wave with patience"),
        ("practice-label-free", "estimated_ratio", "estimated ratio"),
        ("practice-entropy", "train_loss", "loss at the noise's entropy"),
    ],
)
def test_a_seed_in_which_a_rule_is_late_breaks_it(claim, column, words):
    name = CLAIMS[claim].experiments[-1]

    def late(run):
        if run.name == name:
            own = run.frame.seed == 1
            run.frame.loc[own, column] = run.frame.loc[own, column].shift(4).bfill()

    assert judged(claim, late)[1] == [f"regret, {words}, {in_practice.WORDS[name]}"]


def test_a_run_that_does_not_get_worse_breaks_what_never_stopping_costs():
    def flat(run):
        run.frame["test_error"] = run.frame.test_error.clip(upper=0.19)

    verdict, broken = judged("practice-validation", flat)
    assert verdict == "holds in part"
    assert broken == [f"regret, never stopping, {in_practice.WORDS[name]}" for name in KEPT]


@pytest.mark.parametrize("method", ["ELR", "small loss", "Co-teaching", "AUM"])
def test_a_method_that_ends_high_in_one_seed_breaks_it(method):
    for value, failing in ((0.119, 0), (0.121, 1)):

        def change(run, value=value):
            _put(run, "test_error", value, method=method, seed=1, epoch=2)

        broken = judged("practice-methods", change)[1]
        wanted = [
            f"test error of {method} at the end − lowest of {whose}" for whose in ("plain training", method)
        ]
        assert broken == wanted * failing


@pytest.mark.parametrize("method", ["ELR", "small loss", "Co-teaching", "AUM"])
def test_a_method_that_was_better_on_its_way_breaks_it(method):
    for value, failing in ((0.081, 0), (0.079, 1)):

        def change(run, value=value):
            _put(run, "test_error", value, method=method, seed=1, epoch=1)

        broken = judged("practice-methods", change)[1]
        assert broken == [f"test error of {method} at the end − lowest of {method}"] * failing


@pytest.mark.parametrize(
    ("ranking", "near", "far", "broken"),
    [
        ("residual at the stop", 0.941, 0.939, "the same − the better of margins and cross-validation"),
        ("residual at the end", 0.949, 0.951, "the same − that at the end of training"),
        ("area under the margin", 0.969, 0.971, "the same − the better of margins and cross-validation"),
        ("cross-validated confidence", 0.969, 0.971, "the same − the better of margins and cross-validation"),
    ],
)
def test_a_ranking_breaks_it(ranking, near, far, broken):
    for value, wanted in ((near, []), (far, [broken])):

        def change(run, value=value):
            _put(run, "precision", value, ranking=ranking, seed=2, share=0.4)

        assert judged("practice-wrong-labels", change)[1] == wanted


def test_low_precision_breaks_it():
    def worse(run):
        run.frame["precision"] -= 0.06

    assert judged("practice-wrong-labels", worse)[1] == ["precision among the first δn, residual at the stop"]


def test_claims_are_the_books_own_and_name_their_rule():
    for claim in in_practice.CLAIMS:
        assert claim.id.startswith("practice-")
        assert claim.where.startswith("this book's own")
        assert set(claim.experiments) <= set(MADE)
    assert early_stopping.ORACLE in CLAIMS["practice-validation"].rule
