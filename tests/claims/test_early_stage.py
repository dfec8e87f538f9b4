"""Claims on the early stage: each holds in a run made for it, and each of its numbers can break it."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from cleanprio_lib.claims import early_stage
from tests.claims.binary_runs import (
    EPOCHS,
    SEEDS,
    STOP,
    as_the_paper_says,
    broken,
    changed,
    quantities,
    swapped,
    verdict,
)

EARLY = EPOCHS[: STOP + 1]
CLEAN_ERROR, NOISY_ERROR = 0.5 - 0.055 * EARLY, 0.5 + 0.05 * EARLY
CLEAN_RESIDUAL, NOISY_RESIDUAL = 0.5 - 0.01 * EARLY, 0.5 + 0.004 * EARLY
# Spearman's ρ of n places is 1 − 6 Σd²/(n(n² − 1)), and exchanging two of them k apart adds 2k² to Σd².
# Of nine places ρ is above .7 for Σd² < 36 and above .9 for Σd² < 12.
NEARLY, NO_MORE = [(1, 5), (6, 7)], [(1, 5), (2, 3), (6, 7), (0, 4)]
STRICTLY, NOT_STRICTLY = [(2, 4), (5, 6)], [(2, 4), (5, 6), (0, 1), (7, 8)]

RANK = "rank correlation of the {} with time, {}"
UP_TO = "up to the stop"
COSINE, ALPHA, GAP = (
    "largest cos(g_noise, g_clean) up to the stop, both classes",
    "largest α_t up to the stop, both classes",
    "largest difference of the two α_t up to the stop",
)
AT_0, TO_STOP = (
    "relative error of 1/(1 + α_t) for g_clean on ĝ, at t = 0",
    "relative error of 1/(1 + α_t) for g_clean on ĝ, up to the stop",
)
EXACT = "relative error of 1 − δ for g_clean on ĝ, up to the stop"
DIRECTION_0, DIRECTION = "cos(∇L(D), ∇L(D̂)) at t = 0", "its smallest value up to the stop"
SMOOTHED_0 = "cosine of ∇L(D) with the gradient of smoothed labels, at t = 0"
PART, PAPER_PART = (
    "smallest part of ĝ in a class's step up to the stop",
    "relative error of (1 − α_t)/(1 + α_t) for that part, up to the stop",
)
EXACT_PART = "relative error of (1 − δ)(1 − α_t) for a class's part of ĝ, up to the stop"
CLEAN_RISE, NOISY_FALL = (
    "largest rise of the clean loss between records up to the stop",
    "largest fall of the noisy loss between records up to the stop",
)
ERROR_RISE, ERROR_FALL = (
    "largest rise of the clean error between records up to the stop",
    "largest fall of the noisy error between records up to the stop",
)

# Claim; epochs; columns with values that still agree; the same with values that do not; what then disagrees.
HEIGHT = "highest noisy loss until half of the wrong labels are learnt"
CASES = [
    ("ass-4.1", 8, {"cosine_1": -0.991}, {"cosine_1": -0.989}, [COSINE]),
    ("ass-4.1", 0, {"cosine_0": -0.991}, {"cosine_0": -0.989}, [COSINE]),
    ("ass-4.1", 5, {"alpha_0": 0.97, "alpha_1": 0.99}, {"alpha_0": 0.97, "alpha_1": 1.01}, [ALPHA]),
    ("ass-4.1", 5, {"alpha_0": 0.99, "alpha_1": 0.97}, {"alpha_0": 1.01, "alpha_1": 0.97}, [ALPHA]),
    ("ass-4.1", 3, {"alpha_0": 0.5, "alpha_1": 0.549}, {"alpha_0": 0.5, "alpha_1": 0.551}, [GAP]),
    ("ass-4.1", 3, {"alpha_0": 0.549, "alpha_1": 0.5}, {"alpha_0": 0.551, "alpha_1": 0.5}, [GAP]),
    ("eq-10", 0, {"clean_part_0": 0.6 * 1.019}, {"clean_part_0": 0.6 * 1.021}, [AT_0, TO_STOP]),
    ("eq-10", 0, {"clean_part_1": 0.6 * 0.981}, {"clean_part_1": 0.6 * 0.979}, [AT_0, TO_STOP]),
    ("eq-10", 8, {"clean_part_1": 0.6 * 1.019}, {"clean_part_1": 0.6 * 1.021}, [TO_STOP]),
    ("eq-10", 4, {"alpha_0": 1.019 / 0.6 - 1}, {"alpha_0": 1.021 / 0.6 - 1}, [TO_STOP]),
    ("eq-10-exact", 8, {"clean_part_1": 0.6 * 1.019}, {"clean_part_1": 0.6 * 1.021}, [EXACT]),
    ("eq-10-exact", 2, {"clean_part_0": 0.6 * 0.981}, {"clean_part_0": 0.6 * 0.979}, [EXACT]),
    ("prop-4.2", 0, {"true_cosine": 0.901}, {"true_cosine": 0.899}, [DIRECTION_0, DIRECTION]),
    ("prop-4.2", 5, {"true_cosine": 0.901}, {"true_cosine": 0.899}, [DIRECTION]),
    ("prop-4.2", 8, {"true_cosine": 0.901}, {"true_cosine": 0.899}, [DIRECTION]),
    ("prop-4.2", 6, {"clean_part_1": 0.6}, {"clean_part_1": 0.399}, [PART, PAPER_PART]),
    # The step is .2 ĝ, and the formula may be .2/1.02 to .2/.98.
    ("prop-4.2", 6, {"noisy_part_0": -0.3961}, {"noisy_part_0": -0.3959}, [PAPER_PART]),
    ("prop-4.2", 6, {"clean_part_1": 0.5961}, {"clean_part_1": 0.5959}, [PAPER_PART]),
    ("prop-4.2", 6, {"alpha_1": 0.6612}, {"alpha_1": 0.6608}, [PAPER_PART]),
    ("prop-4.2-exact", 6, {"noisy_part_0": -0.3961}, {"noisy_part_0": -0.3959}, [EXACT_PART]),
    ("prop-4.2-exact", 6, {"alpha_1": 0.66}, {"alpha_1": 0.6597}, [EXACT_PART]),
    ("prop-4.2-exact", 6, {"alpha_1": 0.6731}, {"alpha_1": 0.6733}, [EXACT_PART]),
    (
        "smoothed-direction", 0, {"smoothed_cosine": 0.901}, {"smoothed_cosine": 0.899},
        [SMOOTHED_0, DIRECTION],
    ),
    ("smoothed-direction", 8, {"smoothed_cosine": 0.901}, {"smoothed_cosine": 0.899}, [DIRECTION]),
    ("thm-4.4", 5, {"clean_loss": 0.61 - 1e-9}, {"clean_loss": 0.61 + 1e-9}, [CLEAN_RISE]),
    ("thm-4.4", 8, {"noisy_loss": 0.75 + 1e-9}, {"noisy_loss": 0.75 - 1e-9}, [NOISY_FALL]),
    (
        "thm-4.4-acc", EARLY, {"clean_error": CLEAN_ERROR}, {"clean_error": swapped(CLEAN_ERROR, *NO_MORE)},
        [RANK.format("clean error", UP_TO), ERROR_RISE],
    ),
    (
        "thm-4.4-acc", EARLY, {"noisy_error": NOISY_ERROR}, {"noisy_error": swapped(NOISY_ERROR, *NO_MORE)},
        [RANK.format("noisy error", UP_TO), ERROR_FALL],
    ),
    ("thm-4.4-acc", 5, {"clean_error": 0.28}, {"clean_error": 0.28 + 1e-9}, [ERROR_RISE]),
    ("thm-4.4-acc", 5, {"noisy_error": 0.7}, {"noisy_error": 0.7 - 1e-9}, [ERROR_FALL]),
    (
        "sec4.1-res", EARLY,
        {"clean_residual": swapped(CLEAN_RESIDUAL, *STRICTLY)},
        {"clean_residual": swapped(CLEAN_RESIDUAL, *NOT_STRICTLY)},
        [RANK.format("clean residual", UP_TO)],
    ),
    (
        "sec4.1-res", EARLY,
        {"noisy_residual": swapped(NOISY_RESIDUAL, *STRICTLY)},
        {"noisy_residual": swapped(NOISY_RESIDUAL, *NOT_STRICTLY)},
        [RANK.format("noisy residual", UP_TO)],
    ),
    ("sec4.1-test", 0, {"test_loss": 0.301}, {"test_loss": 0.299}, ["test loss at the stop − at the start"]),
    (
        "sec4.1-test", EPOCHS,
        {"test_error": np.where(EPOCHS == 6, 0.399, 0.45)},
        {"test_error": np.where(EPOCHS == 6, 0.401, 0.45)},
        ["test error at the stop"],
    ),
    ("fig-5-left", 8, {"noisy_error": 0.881}, {"noisy_error": 0.879}, ["highest noisy error"]),
    ("fig-5-left", 8, {"clean_error": 0.099}, {"clean_error": 0.101}, ["clean error at the stop"]),
    (
        "fig-5-left", EARLY,
        {"noisy_error": swapped(NOISY_ERROR, *NEARLY)}, {"noisy_error": swapped(NOISY_ERROR, *NO_MORE)},
        [RANK.format("noisy error", UP_TO)],
    ),
    (
        "fig-5-left", 20, {"noisy_error": 0.799}, {"noisy_error": 0.801},
        ["noisy error at the end − its highest"],
    ),
    (
        "fig-5-middle", EARLY,
        {"clean_residual": swapped(CLEAN_RESIDUAL, *NEARLY)},
        {"clean_residual": swapped(CLEAN_RESIDUAL, *NO_MORE)},
        [RANK.format("clean residual", UP_TO)],
    ),
    (
        "fig-5-middle", EARLY,
        {"noisy_residual": swapped(NOISY_RESIDUAL, *STRICTLY)},
        {"noisy_residual": swapped(NOISY_RESIDUAL, *NOT_STRICTLY)},
        [RANK.format("noisy residual", UP_TO)],
    ),
    ("fig-5-middle", 10, {"noisy_residual": 0.551}, {"noisy_residual": 0.549}, ["highest noisy residual"]),
    (
        "fig-5-middle", 20, {"noisy_residual": 0.549}, {"noisy_residual": 0.551},
        ["noisy residual at the end − its highest"],
    ),
    ("fig-5-right", 8, {"test_error": 0.099}, {"test_error": 0.101}, ["lowest test error"]),
    ("fig-5-right", 20, {"test_error": 0.151}, {"test_error": 0.149}, ["test error at the end − lowest"]),
    ("fig-5-right", 20, {"train_error": 0.399}, {"train_error": 0.401}, ["training error at the end"]),
    ("fig-11-left", 10, {"noisy_loss": 0.801}, {"noisy_loss": 0.799}, [HEIGHT]),
    ("fig-11-left", 10, {"noisy_loss": 0.999}, {"noisy_loss": 1.001}, [HEIGHT]),
    # Epoch 14 is the first with a noisy error below one half, and what comes later is no height.
    ("fig-11-left", [14, 15], {"noisy_loss": [0.7, 1.5]}, {"noisy_loss": [1.5, 0.7]}, [HEIGHT]),
    ("fig-11-left", 0, {"noisy_loss": 0.799}, {"noisy_loss": 0.801}, ["that − noisy loss at the start"]),
    ("fig-11-left", 20, {"noisy_loss": 0.799}, {"noisy_loss": 0.801}, ["noisy loss at the end − that"]),
]  # fmt: skip
LATE = {
    "ass-4.1": {"cosine_0": 0.5, "alpha_1": 1.5},
    "eq-10": {"clean_part_0": 0.3},
    "eq-10-exact": {"clean_part_1": 0.3},
    "prop-4.2": {"true_cosine": 0.0, "noisy_part_0": -0.9},
    "prop-4.2-exact": {"noisy_part_1": -0.9},
    "smoothed-direction": {"smoothed_cosine": 0.0},
    "thm-4.4": {"clean_loss": EPOCHS[STOP + 1 :], "noisy_loss": -1.0 * EPOCHS[STOP + 1 :]},
    "thm-4.4-acc": {"clean_error": 0.9, "noisy_error": 0.0},
    "sec4.1-res": {"clean_residual": 0.9, "noisy_residual": 0.0},
    "sec4.1-test": {"test_loss": 9.0, "test_error": 0.9},
}
CLAIMS = [claim.id for claim in early_stage.CLAIMS]


@pytest.fixture(scope="module")
def paper():
    return as_the_paper_says()


@pytest.fixture(scope="module")
def batches():
    """Batches of all sizes whose large ones always step forward, up to the stop."""
    places = product(SEEDS, (0, STOP - 1, STOP), (64, 256, 1024))
    frame = pd.DataFrame(places, columns=["seed", "epoch", "batch"])
    return frame.assign(forward=np.where((frame.epoch < STOP) & (frame.batch >= 256), 1.0, 0.6))


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim != "rem-4.3"])
def test_every_claim_holds_where_all_is_as_the_paper_says(paper, claim):
    assert verdict(claim, paper) == ("holds", [])
    shuffled = paper.sample(frac=1, random_state=1)
    assert verdict(claim, shuffled) == ("holds", [])


@pytest.mark.parametrize(("claim", "epochs", "agreeing", "disagreeing", "failing"), CASES)
def test_one_seed_breaks_a_claim_by_the_number_it_is_about(
    paper, claim, epochs, agreeing, disagreeing, failing
):
    assert verdict(claim, changed(paper, epochs, agreeing)) == ("holds", [])
    assert verdict(claim, changed(paper, epochs, disagreeing)) == broken(claim, paper, failing)


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim != "rem-4.3"])
def test_every_number_of_a_claim_is_broken_once(paper, claim):
    broken = {quantity for case in CASES if case[0] == claim for quantity in case[-1]}
    assert broken == set(quantities(claim, paper))


@pytest.mark.parametrize("claim", LATE)
def test_what_comes_after_the_stop_decides_nothing_on_the_early_stage(paper, claim):
    for seed in SEEDS:
        paper = changed(paper, EPOCHS[STOP + 1 :], LATE[claim], seed=seed)
    assert verdict(claim, paper) == ("holds", [])


def test_large_batches_before_the_first_stop_decide_remark_4_3(batches, paper):
    assert verdict("rem-4.3", batches, paper) == ("holds", [])
    words = "share of batches of {} whose step lowers the loss on true labels, {}"
    when = {0: "at t = 0", STOP - 1: f"after epoch {STOP - 1}"}
    expected = {(epoch, size): words.format(size, when[epoch]) for epoch in when for size in (256, 1024)}
    assert quantities("rem-4.3", batches, paper) == list(expected.values())
    for (epoch, size), what in expected.items():
        for share, failing in ((0.901, []), (0.899, [what])):
            frame = batches.copy()
            frame.loc[(frame.seed == 2) & (frame.epoch == epoch) & (frame.batch == size), "forward"] = share
            assert verdict("rem-4.3", frame, paper) == ("holds in part" if failing else "holds", failing)
    assert verdict("rem-4.3", batches.assign(forward=0.5), paper)[0] == "does not hold"
    sooner = changed(paper, STOP - 1, {"test_error": 0.01})
    assert quantities("rem-4.3", batches, sooner) == [expected[0, 256], expected[0, 1024]]


def test_seeds_may_stop_at_different_epochs(paper):
    frame = changed(paper, 3, {"test_error": 0.01}, seed=2)  # which now stops there
    frame = changed(frame, EPOCHS[4:], {"cosine_0": 0.0}, seed=2)
    assert verdict("ass-4.1", frame) == ("holds", [])
    assert verdict("ass-4.1", changed(frame, 4, {"cosine_0": 0.0}, seed=1)) == ("holds in part", [COSINE])


def test_what_is_not_defined_does_not_agree(paper):
    frame = changed(paper, EPOCHS, {"clean_residual": 0.3})  # nothing rises or falls
    with pytest.warns(match="constant"):
        assert verdict("fig-5-middle", frame)[1] == [RANK.format("clean residual", UP_TO)]
    frame = changed(paper, 0, {"test_error": 0.0})  # a seed that stops before the first step
    assert verdict("thm-4.4", frame) == ("does not hold", [CLEAN_RISE, NOISY_FALL])


def test_early_stopping_is_named_where_something_is_stopped():
    assert all(claim.rule for claim in early_stage.CLAIMS)
    experiments = {claim.id: claim.experiments for claim in early_stage.CLAIMS}
    assert {claim for claim, names in experiments.items() if names == ("thm-4.4-full-batch",)} == {
        "thm-4.4",
        "thm-4.4-acc",
    }
    names = {
        ("fig-05-mnist-7v9",),
        ("thm-4.4-full-batch",),
        ("rem-4.3-batch-sizes", "fig-05-mnist-7v9"),
    }
    assert set(experiments.values()) == names
