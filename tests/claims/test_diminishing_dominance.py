"""Claims on how dominance ends: each holds in a run made for it, and each of its numbers can break it."""

import numpy as np
import pytest

from cleanprio_lib.claims import diminishing_dominance
from cleanprio_lib.early_stopping import ORACLE
from tests.claims.binary_runs import (
    EPOCHS,
    STOP,
    TURN,
    as_the_paper_says,
    broken,
    changed,
    quantities,
    swapped,
    verdict,
)

EARLY, LATE = EPOCHS[: STOP + 1], EPOCHS[STOP + 1 :]
ALPHA = 0.6 + 0.02 * EPOCHS
PLATEAU = 1.15 + 0.001 * np.arange(STOP)
BOTH_FALL, ONE_FALLS, ALPHA_AT_TURN = (
    "largest fall of α_t, geometric mean, until the noisy loss turns",
    "largest fall of a class's α_t until the noisy loss turns",
    "α_t where the noisy loss turns, geometric mean",
)
START, TREND, RISE, SINGLE_RISE, AT_STOP = (
    "ratio at t = 0, geometric mean of the classes",
    "its rank correlation with time up to the stop",
    "its largest rise between records",
    "the same of a class's ratio",
    "ratio at the stop, geometric mean",
)
NEAR = "share of records after the stop with a ratio nearer to 1 than to (1 − δ)/δ, {}"
MEAN, BOTH = NEAR.format("geometric mean of the classes"), NEAR.format("both classes")
LEARNT, ALL_LEARNT = "noisy error at the end − at the stop", "noisy error at the end"
LATE_TREND, LATE_FALL = "rank correlation of the {} with time, after the stop", "{} at the end − at the stop"


def _ratios(both):
    """Columns of two classes with this geometric mean."""
    return {"ratio_0": 1.2 * np.asarray(both), "ratio_1": np.asarray(both) / 1.2}


def _alphas(both, *, apart=1.0):
    """Columns of two classes with this geometric mean."""
    return {"alpha_0": both / apart, "alpha_1": both * apart}


# Claim; epochs; columns with values that still agree; the same with values that do not; what then disagrees.
CASES = [
    ("thm-4.5", 5, _alphas(0.68 + 1e-9), _alphas(0.68 - 1e-9), [BOTH_FALL, ONE_FALLS]),
    ("thm-4.5", 5, {"alpha_0": 0.68 + 1e-9}, {"alpha_0": 0.68 - 1e-9}, [ONE_FALLS]),
    ("thm-4.5", 10, {"alpha_1": 0.78 + 1e-9}, {"alpha_1": 0.78 - 1e-9}, [ONE_FALLS]),
    ("thm-4.5", 10, _alphas(0.99, apart=1.1), _alphas(1.01, apart=1.1), [ALPHA_AT_TURN]),
    ("fig-6", 0, _ratios(1.5 * 1.049), _ratios(1.5 * 1.051), [START]),
    ("fig-6", 0, _ratios(1.5 * 0.951), _ratios(1.5 * 0.949), [START]),
    # A fall at first and then so slow a rise, or fall, that ranks alone tell.
    ("fig-6", EARLY[1:], _ratios(PLATEAU[::-1]), _ratios(PLATEAU), [TREND]),
    ("fig-6", 5, _ratios(1.28 + 0.016), _ratios(1.28 + 0.021), [RISE, SINGLE_RISE]),
    ("fig-6", 5, {"ratio_0": 1.2 * 1.28 + 0.019}, {"ratio_0": 1.2 * 1.28 + 0.021}, [SINGLE_RISE]),
    ("fig-6", 5, {"ratio_1": 1.28 / 1.2 + 0.019}, {"ratio_1": 1.28 / 1.2 + 0.021}, [SINGLE_RISE]),
    ("fig-6", EARLY[5:], _ratios([1.24, 1.23, 1.22, 1.199]), _ratios([1.24, 1.23, 1.22, 1.201]), [AT_STOP]),
    ("fig-6", 8, _ratios(0.951), _ratios(0.949), [AT_STOP]),
    # One of twelve records may be farther from 1 than the root of 1.5, two may not.
    ("sec4.2-late", [12, 13], _ratios([1.23, 1.0]), _ratios([1.23, 1.23]), [MEAN, BOTH]),
    ("sec4.2-late", [12, 13], _ratios([0.81, 1.0]), _ratios([0.81, 0.81]), [MEAN, BOTH]),
    ("sec4.2-late", [9, 20], {"ratio_0": [1.23, 1.22]}, {"ratio_0": [1.23, 1.23]}, [BOTH]),
    ("sec4.2-late", [9, 20], {"ratio_1": [0.81, 0.82]}, {"ratio_1": [0.81, 0.81]}, [BOTH]),
    ("sec4.2-late", 8, {"noisy_error": 0.331}, {"noisy_error": 0.329}, [LEARNT]),
    ("sec4.2-late", 20, {"noisy_error": 0.049}, {"noisy_error": 0.051}, [ALL_LEARNT]),
    ("sec4.2-clean", STOP, {"clean_error": 0.0361}, {"clean_error": 0.0359},
     [LATE_FALL.format("clean error")]),
    ("sec4.2-clean", STOP, {"clean_loss": 0.291}, {"clean_loss": 0.289}, [LATE_FALL.format("clean loss")]),
    ("sec4.2-clean", STOP, {"clean_residual": 0.301}, {"clean_residual": 0.299},
     [LATE_FALL.format("clean residual")]),
    # Of twelve places, exchanging two that are k apart takes 2k²/286 off a rank correlation of 1.
    *(("sec4.2-clean", LATE, {column: swapped(values, (1, 7))}, {column: swapped(values, (1, 8))},
       [LATE_TREND.format(column.replace("_", " "))])
      for column, values in (("clean_error", 0.06 - 0.002 * (LATE - STOP)),
                             ("clean_loss", 0.69 - 0.02 * LATE),
                             ("clean_residual", 0.5 - 0.01 * LATE))),
]  # fmt: skip
NO_MATTER = {
    "thm-4.5": (EPOCHS[TURN + 1 :], {"alpha_0": 2.0 - 0.1 * EPOCHS[TURN + 1 :], "alpha_1": 0.1}),
    "fig-6": (EPOCHS[STOP + 1 :], {"ratio_0": 5.0, "ratio_1": 0.5 * EPOCHS[STOP + 1 :]}),
    "sec4.2-late": (EARLY, {"ratio_0": 9.0, "ratio_1": 9.0}),
    "sec4.2-clean": (EPOCHS[:STOP], {"clean_error": 0.0, "clean_loss": 0.0, "clean_residual": 0.0}),
}
CLAIMS = [claim.id for claim in diminishing_dominance.CLAIMS]


@pytest.fixture(scope="module")
def paper():
    frame = as_the_paper_says()
    last = frame.epoch == EPOCHS[-1]
    frame.loc[last, "noisy_error"] = 0.03
    alpha = ALPHA[frame.epoch]
    return frame.assign(alpha_0=alpha, alpha_1=alpha)


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_claim_holds_where_all_is_as_the_paper_says(paper, claim):
    assert verdict(claim, paper) == ("holds", [])
    assert verdict(claim, paper.sample(frac=1, random_state=1)) == ("holds", [])


@pytest.mark.parametrize(("claim", "epochs", "agreeing", "disagreeing", "failing"), CASES)
def test_one_seed_breaks_a_claim_by_the_number_it_is_about(
    paper, claim, epochs, agreeing, disagreeing, failing
):
    assert verdict(claim, changed(paper, epochs, agreeing)) == ("holds", [])
    assert verdict(claim, changed(paper, epochs, disagreeing)) == broken(claim, paper, failing)


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_number_of_a_claim_is_broken_once(paper, claim):
    broken = {quantity for case in CASES if case[0] == claim for quantity in case[-1]}
    assert broken == set(quantities(claim, paper))


@pytest.mark.parametrize("claim", CLAIMS)
def test_epochs_that_a_claim_is_not_about_decide_nothing(paper, claim):
    epochs, columns = NO_MATTER[claim]
    for seed in (0, 1, 2):
        paper = changed(paper, epochs, columns, seed=seed)
    assert verdict(claim, paper) == ("holds", [])


def test_seeds_may_turn_at_different_epochs(paper):
    frame = changed(paper, 3, {"noisy_loss": 0.95}, seed=2)
    frame = changed(frame, EPOCHS[4:], {"alpha_0": 0.1}, seed=2)
    assert verdict("thm-4.5", frame) == ("holds", [])


def test_experiments_and_stopping_rules_are_those_of_the_claims():
    known = {claim.id: (claim.experiments, claim.rule) for claim in diminishing_dominance.CLAIMS}
    assert known.pop("thm-4.5") == (("thm-4.5-wide",), None)
    assert set(known.values()) == {(("fig-05-mnist-7v9",), ORACLE)}
