"""Claims on several runs: each holds in runs made for it, and each of its numbers can break it."""

import numpy as np
import pandas as pd
import pytest

from cleanprio_lib.claims import CLAIMS, judge, overall
from cleanprio_lib.early_stopping import ORACLE
from cleanprio_lib.runs import Recorded

STOP, END = 6, 12
E = np.arange(END + 1)
SEEDS = (0, 1, 2)


def _frame(**columns):
    return pd.concat(
        [pd.DataFrame({"seed": seed, "epoch": E, **columns}) for seed in SEEDS], ignore_index=True
    )


def noisy():
    """A training on which the noisy subset has hardly an impact, with the lowest test error at the stop."""
    test_error = np.where(E <= STOP, 0.5 - 0.08 * E, 0.02 + 0.04 * (E - STOP))
    return _frame(test_error=test_error, total_alpha=0.05, total_cosine=-0.98)


def ten_classes():
    early = E <= STOP
    return _frame(
        test_error=np.abs(E - STOP) / 20 + 0.05,
        clean_error=0.9 - 0.05 * E,
        clean_residual=0.95 - 0.05 * E,
        ratio=21.0 - E,
        noisy_error=np.where(early, 0.9 + 0.01 * E, 0.96 - 0.158 * (E - STOP)),
        noisy_residual=np.where(early, 0.95 + 0.02 * E, 1.07 - 0.05 * (E - STOP)),
    )


MADE = {
    "abstract-no-impact": lambda: [noisy(), noisy()],
    "sec5-dyn": lambda: [ten_classes(), ten_classes()],
    "sec6-tempered": lambda: [ten_classes(), ten_classes()],
}


def verdict(claim, frames):
    facts = {"data": {"source": "MNIST"}, "settings": {"level": 0.4}, "seeds": {}}
    judged = judge(CLAIMS[claim], *(Recorded("made up", "paper", frame, facts, True) for frame in frames))
    return judged.verdict, [number.quantity for number in judged.measured if not number.agrees]


def changed(frame, epochs, column, value, *, seeds=(1,)):
    frame = frame.copy()
    frame.loc[frame.seed.isin(seeds) & frame.epoch.isin(np.atleast_1d(epochs)), column] = value
    return frame


@pytest.mark.parametrize("claim", MADE)
def test_every_claim_holds_where_all_is_as_it_says(claim):
    frames = MADE[claim]()
    assert verdict(claim, frames) == ("holds", [])
    assert verdict(claim, [frame.sample(frac=1, random_state=3) for frame in frames]) == ("holds", [])


RANK = "rank correlation of the {} with time, up to the stop, {}"
UP = np.arange(STOP + 1)
EARLY = range(STOP + 1)
# Of seven places, exchanging two that are k apart takes 2k²/56 off a rank correlation of 1.
MOSTLY, NOT_MOSTLY = UP[[0, 6, 2, 3, 4, 5, 1]], UP[[0, 6, 5, 3, 4, 2, 1]]  # 0.11 and −0.21
NEARLY, HARDLY = UP[[0, 2, 1, 3, 4, 5, 6]], UP[[0, 3, 2, 1, 4, 5, 6]]  # 0.96 and 0.86
STAGES = [
    ("clean_error", EARLY, 0.9 - 0.05 * MOSTLY, 0.9 - 0.05 * NOT_MOSTLY, RANK.format("clean error", "{}")),
    (
        "clean_residual",
        EARLY,
        0.9 - 0.05 * MOSTLY,
        0.9 - 0.05 * NOT_MOSTLY,
        RANK.format("clean residual", "{}"),
    ),
    ("ratio", EARLY, 21.0 - NEARLY, 21.0 - HARDLY, RANK.format("ratio", "{}")),
    ("noisy_error", EARLY, 0.9 + 0.01 * MOSTLY, 0.9 + 0.01 * NOT_MOSTLY, RANK.format("noisy error", "{}")),
    (
        "noisy_residual",
        EARLY,
        0.9 + 0.01 * MOSTLY,
        0.9 + 0.01 * NOT_MOSTLY,
        RANK.format("noisy residual", "{}"),
    ),
    ("noisy_error", STOP, 0.9001, 0.8999, "noisy error at the stop − at the start, {}"),
    ("noisy_residual", STOP, 0.9501, 0.9499, "noisy residual at the stop − at the start, {}"),
    ("noisy_error", END, 0.9599, 0.9601, "noisy error at the end − at the stop, {}"),
]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(("column", "epochs", "good", "bad", "failing"), STAGES)
def test_a_number_of_either_run_breaks_the_stages(which, column, epochs, good, bad, failing):
    name = ("MNIST", "CIFAR-10")[which]
    for value, wanted in ((good, ("holds", [])), (bad, ("holds in part", [failing.format(name)]))):
        frames = MADE["sec5-dyn"]()
        frames[which] = changed(frames[which], epochs, column, value)
        assert verdict("sec5-dyn", frames) == wanted


@pytest.mark.parametrize(("which", "name", "chance"), [(0, "Figure 1", 0.9), (1, "Figure 5", 0.5)])
def test_a_number_of_either_run_breaks_tempered_overfitting(which, name, chance):
    cases = [
        (chance - 1e-6, []),
        (chance + 1e-6, [f"test error at the end, {name}"]),
        (0.06 + 1e-6, []),
        (0.06 - 1e-6, [f"test error at the end by the lowest, {name}"]),
    ]
    for value, failing in cases:
        frames = MADE["sec6-tempered"]()
        frames[which] = changed(frames[which], END, "test_error", value)
        assert verdict("sec6-tempered", frames)[1] == failing
    for value, failing in ((0.019, []), (0.021, [f"noisy error at the end, {name}"])):
        frames = MADE["sec6-tempered"]()
        frames[which] = changed(frames[which], END, "noisy_error", value)
        assert verdict("sec6-tempered", frames)[1] == failing


def test_gradients_with_and_without_noise_by_vectors():
    generator = np.random.default_rng(0)
    for _ in range(20):
        clean, noise = generator.normal(size=(2, 7))
        alpha = -noise @ clean / (clean @ clean)
        cosine = noise @ clean / np.linalg.norm(noise) / np.linalg.norm(clean)
        frame = pd.DataFrame({"total_alpha": [alpha], "total_cosine": [cosine]})
        both = overall.with_and_without_noise(frame).iloc[0]
        total = clean + noise
        assert both.length == pytest.approx(np.linalg.norm(total) / np.linalg.norm(clean))
        direction = total @ clean / np.linalg.norm(total) / np.linalg.norm(clean)
        assert both.direction == pytest.approx(direction)


def test_when_a_test_error_is_reached():
    frame = noisy()
    reached = overall.epochs_to(changed(frame, [0], "test_error", 0.1, seeds=(2,)), 0.1)
    assert reached[:2].to_numpy() == pytest.approx([5.0, 5.0])  # 0.5 − 0.08 · 5 = 0.1
    assert np.isnan(reached[2])  # it begins there
    assert overall.epochs_to(frame, 0.14)[0] == pytest.approx(4.5)
    assert overall.epochs_to(frame, 0.01).isna().all()


DIRECTION, LENGTH = "cos(∇L(D), ∇L(D_clean))", "‖g_clean + g_noise‖/‖g_clean‖, all samples"


def _with_rest(alpha, length_or_cosine, *, cosine):
    """α and cosine of a g_noise that gives the sum this length, or this cosine, with g_clean of length 1."""
    along = 1 - alpha
    across = (
        along * np.sqrt(1 / length_or_cosine**2 - 1) if cosine else np.sqrt(length_or_cosine**2 - along**2)
    )
    return alpha, -alpha / np.hypot(alpha, across)


@pytest.mark.parametrize(
    ("epochs", "sums", "failing"),
    [
        (0, _with_rest(0.05, 0.901, cosine=True), []),
        (0, _with_rest(0.05, 0.899, cosine=True),
         [f"{DIRECTION} at t = 0", f"{DIRECTION}, smallest up to the stop"]),
        (STOP, _with_rest(0.05, 0.901, cosine=True), []),
        (STOP, _with_rest(0.05, 0.899, cosine=True), [f"{DIRECTION}, smallest up to the stop"]),
        (0, _with_rest(0.15, 0.901, cosine=False), []),
        (0, _with_rest(0.15, 0.899, cosine=False),
         [f"{LENGTH}, at t = 0", f"{LENGTH}, smallest up to the stop"]),
        (STOP, _with_rest(0.15, 0.901, cosine=False), []),
        (STOP, _with_rest(0.15, 0.899, cosine=False), [f"{LENGTH}, smallest up to the stop"]),
        (range(STOP + 1, END + 1), (1.5, -0.5), []),
    ],
)  # fmt: skip
def test_direction_and_length_decide_on_no_impact(epochs, sums, failing):
    frame = noisy()
    for column, value in zip(("total_alpha", "total_cosine"), sums, strict=True):
        frame = changed(frame, epochs, column, value)
    assert verdict("abstract-no-impact", [frame, noisy()])[1] == failing


def test_speed_decides_on_no_impact():
    what = "epochs to a test error of 0.1, by those on true labels"
    for factor, failing in ((1.09, []), (1.11, [what])):
        slower = noisy()
        slower["epoch"] *= factor
        assert verdict("abstract-no-impact", [slower, noisy()])[1] == failing
    never = noisy()
    never["test_error"] = never.test_error.clip(lower=0.11)
    assert verdict("abstract-no-impact", [never, noisy()])[1] == [what]


def test_runs_and_rules_are_those_of_the_claims():
    known = {claim.id: (claim.experiments, claim.rule) for claim in overall.CLAIMS}
    assert known == {
        "abstract-no-impact": (("fig-05-mnist-7v9", "sec-4.1-true-labels"), ORACLE),
        "sec5-dyn": (("fig-07-mnist", "fig-07-cifar10"), ORACLE),
        "sec6-second": ((), None),
        "sec6-tempered": (("fig-01-mnist-cnn", "fig-05-mnist-7v9"), ORACLE),
    }
    assert CLAIMS["sec6-second"].measure is None
