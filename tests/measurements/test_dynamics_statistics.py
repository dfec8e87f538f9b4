"""Statistics of recorded training runs, against numbers worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from cleanprio_lib.measurements import dynamics_statistics as statistics

WHAT_IS_SAID = {"ratio", "alpha"} | {
    f"{name}_{c}"
    for name in ("step", "step_exact", "step_paper", "clean_part_paper", "angle")
    for c in (0, 1)
}


@pytest.fixture
def frame():
    """Two seeds at unevenly spaced epochs: one stops at 2, the other at 4 (where its error is tied)."""
    epochs = [0, 1, 2, 4, 8]
    columns = {
        "test_error": [[0.5, 0.2, 0.1, 0.3, 0.3], [0.5, 0.4, 0.3, 0.2, 0.2]],
        "noisy_error": [[0.5, 0.8, 0.9, 0.9, 0.4], [0.6, 0.7, 0.5, 0.8, 0.5]],
        "noisy_loss": [[0.7, 0.8, 0.9, 1.0, 0.6], [0.7, 0.9, 0.8, 0.7, 0.6]],
        "ratio_0": [[2.0, 1.8, 1.5, 1.2, 0.9], [1.6, 1.5, 1.4, 1.3, 1.2]],
        "ratio_1": [[1.2, 1.0, 1.0, 1.0, 1.0], [1.6, 1.5, 1.4, 1.3, 1.2]],
    }
    rows = [
        pd.DataFrame({"seed": seed, "epoch": epochs, **{name: both[seed] for name, both in columns.items()}})
        for seed in (0, 1)
    ]
    return pd.concat(rows, ignore_index=True).sample(frac=1, random_state=3)


@pytest.fixture
def classes():
    return pd.DataFrame(
        {
            "seed": [0, 0, 1],
            "epoch": [0, 1, 0],
            "ratio_0": [3.0, 1.0, 2.0],
            "ratio_1": [0.75, 1.21, 2.0],
            "alpha_0": [0.9, 1.5, 0.25],
            "alpha_1": [0.4, 1.5, 0.0],
            "clean_part_0": [0.6, 0.5, 0.7],
            "clean_part_1": [0.62, 0.5, 0.6],
            "noisy_part_0": [-0.4, -0.6, -0.1],
            "noisy_part_1": [-0.42, -0.5, 0.0],
            "cosine_0": [-1.0, -0.5, 0.0],
            "cosine_1": [-math.sqrt(0.75), 0.5, 1.0],
        }
    )


def test_unsteadiness_of_a_straight_line_is_nothing_and_of_a_zigzag_by_hand(frame):
    e = np.arange(6)
    zigzag = np.exp([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    made = pd.concat(
        [
            pd.DataFrame({"seed": 3, "epoch": e, "q": 7 * 0.8**e}),
            pd.DataFrame({"seed": 5, "epoch": 10 * e, "q": zigzag * 0.5**e}),
            pd.DataFrame({"seed": 6, "epoch": e[:2], "q": [1.0, 2.0]}),
        ]
    ).sample(frac=1, random_state=1)
    found = statistics.unsteadiness(made, "q")
    assert found[3] == pytest.approx(0, abs=1e-12)
    assert found[5] == pytest.approx(1 / math.sqrt(1.5))
    assert math.isnan(found[6])


def test_unsteadiness_is_the_deviation_around_a_trend():
    count, sigma = 40_000, 0.3
    e = np.arange(count)
    q = np.exp(1 - 1e-4 * e + sigma * np.random.default_rng(4).standard_normal(count))
    found = statistics.unsteadiness(pd.DataFrame({"seed": 0, "epoch": e, "q": q}), "q")[0]
    # Squares of neighbouring differences correlate: var of their mean is 2 s⁴ (1 + 2 (4/9 + 1/36)) / n.
    bound = 5 * math.sqrt(2 * (1 + 2 * (4 / 9 + 1 / 36)) / count) / 2
    assert found == pytest.approx(sigma, rel=bound)


def test_gradients_that_point_the_same_way_have_no_factor_in_the_paper(classes):
    """A mask that is not that of the noise makes α negative: a claim judges that and does not stumble."""
    turned = classes.assign(alpha_0=[-1.2, -0.5, 0.3], alpha_1=[-0.3, 0.2, 0.3])
    both = statistics.with_both_classes(turned, level=0.4)
    np.testing.assert_allclose(both.alpha, [np.nan, np.nan, 0.3])
    np.testing.assert_allclose(both.step_paper_0, [np.nan, 1.5 / 0.5, 0.7 / 1.3])
    np.testing.assert_allclose(both.step_exact_0, [0.6 * 2.2, 0.6 * 1.5, 0.6 * 0.7])


def test_a_run_without_noisy_samples_has_nothing_to_turn_and_nothing_at_its_end():
    frame = pd.DataFrame(
        {
            "seed": [0, 0, 1, 1],
            "epoch": [0, 1, 0, 1],
            "noisy_loss": [np.nan, np.nan, 0.7, 0.8],
            "noisy_error": [np.nan, np.nan, 0.5, 0.9],
        }
    )
    left = statistics.until_noisy_loss_turns(frame)
    assert list(zip(left.seed, left.epoch, strict=True)) == [(0, 0), (1, 0), (1, 1)]
    late = statistics.last(frame.assign(noisy_loss=[0.5, np.nan, 0.7, 0.8]), "noisy_loss")
    np.testing.assert_array_equal(late.to_numpy(), [np.nan, 0.8])


def test_both_classes_together_by_hand(classes):
    both = statistics.with_both_classes(classes, level=0.4)
    wanted = {
        "ratio": [1.5, 1.1, 2.0],
        "alpha": [0.6, 1.5, 0.0],
        "step_0": [0.2, -0.1, 0.6],
        "step_1": [0.2, 0.0, 0.6],
        "step_exact_0": [0.6 * 0.1, -0.6 * 0.5, 0.6 * 0.75],
        "step_exact_1": [0.6 * 0.6, -0.6 * 0.5, 0.6],
        "step_paper_0": [0.1 / 1.9, -0.5 / 2.5, 0.75 / 1.25],
        "step_paper_1": [0.6 / 1.4, -0.5 / 2.5, 1.0],
        "clean_part_paper_0": [1 / 1.9, 1 / 2.5, 1 / 1.25],
        "clean_part_paper_1": [1 / 1.4, 1 / 2.5, 1.0],
        "angle_0": [180.0, 120.0, 90.0],
        "angle_1": [150.0, 60.0, 0.0],
    }
    for name, values in wanted.items():
        np.testing.assert_allclose(both[name], values, rtol=1e-14, atol=1e-15, err_msg=name)
    assert set(both) == set(classes) | WHAT_IS_SAID
    pd.testing.assert_frame_equal(both[list(classes)], classes)


@pytest.mark.parametrize("level", [0.2, 0.4])
def test_both_formulas_on_gradients_that_obey_them(level):
    rng = np.random.default_rng(0)
    numbers = {}
    for c, alpha in ((0, 0.35), (1, 0.8)):
        true = rng.normal(size=7)
        clean = (1 - level) * true
        noisy = -alpha * clean
        numbers |= {
            f"ratio_{c}": np.linalg.norm(clean) / np.linalg.norm(noisy),
            f"alpha_{c}": -(noisy @ clean) / (clean @ clean),
            f"clean_part_{c}": clean @ true / (true @ true),
            f"noisy_part_{c}": noisy @ true / (true @ true),
            f"cosine_{c}": noisy @ clean / np.linalg.norm(noisy) / np.linalg.norm(clean),
        }
    (row,) = statistics.with_both_classes(pd.DataFrame([numbers]), level=level).itertuples()
    assert row.ratio == pytest.approx(1 / row.alpha)
    for step, exact, paper, alpha in (
        (row.step_0, row.step_exact_0, row.step_paper_0, row.alpha_0),
        (row.step_1, row.step_exact_1, row.step_paper_1, row.alpha_1),
    ):
        assert step == pytest.approx(exact)
        # Here g_clean = ĝ/(1 + α), which equation 10 needs, is not so: the paper's factor is off by this.
        assert paper == pytest.approx(step / ((1 - level) * (1 + alpha)))


def test_rounding_does_not_lose_an_angle_of_180_degrees(classes):
    classes[["cosine_0", "cosine_1"]] = np.nextafter(-1, -2), np.nextafter(1, 2)
    both = statistics.with_both_classes(classes, level=0.4)
    assert both.angle_0.tolist() == [180.0] * 3
    assert both.angle_1.tolist() == [0.0] * 3


@pytest.mark.parametrize(
    ("factor", "epochs"),
    [
        (1.0, {0: [0, 1, 2], 1: [0, 1, 2, 4]}),
        (0.5, {0: [0, 1], 1: [0, 1, 2]}),
        (2.0, {0: [0, 1, 2, 4], 1: [0, 1, 2, 4, 8]}),
        (0.0, {0: [0], 1: [0]}),
    ],
)
def test_rows_until_each_seeds_own_stop(frame, factor, epochs):
    rows = statistics.until_stop(frame, factor=factor)
    assert {seed: sorted(own.epoch) for seed, own in rows.groupby("seed")} == epochs
    assert set(rows) == set(frame)


def test_rank_correlation_by_hand(frame):
    found = statistics.rank_correlation(frame, "ratio_0")
    assert found.to_dict() == pytest.approx({0: -1, 1: -1})
    # Ranks 1 2 5 3 4 and 3 5 4 2 1 against 1 2 3 4 5: 1 − 6 Σd²/(5 · 24) with Σd² = 6 and 4 + 9 + 1 + 4 + 16.
    values = {0: [0.1, 0.2, 9.0, 0.3, 0.4], 1: [3.0, 50.0, 4.0, 2.0, -1.0]}
    column = [values[row.seed][[0, 1, 2, 4, 8].index(row.epoch)] for row in frame.itertuples()]
    found = statistics.rank_correlation(frame.assign(x=column), "x")
    assert found.to_dict() == pytest.approx({0: 0.7, 1: -0.7})


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_what_does_not_move_has_no_rank_correlation(frame):
    assert statistics.rank_correlation(frame.assign(x=1.0), "x").isna().all()


def test_after_the_stop_is_what_until_the_stop_is_not(frame):
    after = statistics.after_stop(frame)
    assert sorted(zip(after.seed, after.epoch, strict=True)) == [(0, 4), (0, 8), (1, 8)]
    assert len(after) + len(statistics.until_stop(frame)) == len(frame)
    both = statistics.from_stop(frame)
    assert sorted(zip(both.seed, both.epoch, strict=True)) == [(0, 2), (0, 4), (0, 8), (1, 4), (1, 8)]


def test_a_column_is_highest_first_at_an_epoch_of_each_seed(frame):
    assert statistics.at_highest(frame, "noisy_error").to_dict() == {0: 2, 1: 4}
    assert statistics.at_highest(frame, "noisy_loss").to_dict() == {0: 4, 1: 1}


def test_largest_step_is_the_largest_rise_within_a_seed(frame):
    assert statistics.largest_step(frame, "noisy_error").to_dict() == pytest.approx({0: 0.3, 1: 0.3})
    assert statistics.largest_step(frame, "noisy_loss").to_dict() == pytest.approx({0: 0.1, 1: 0.2})
    falling = statistics.largest_step(frame, "ratio_0")
    assert falling.to_dict() == pytest.approx({0: -0.2, 1: -0.1})
    assert math.isnan(statistics.largest_step(frame[frame.epoch == 0], "ratio_0")[0])


def test_turns_by_hand(frame):
    turns = statistics.turns(frame)
    assert turns.index.name == "seed"
    # Seed 0: √(1.2 · 1) = 1.095 at epoch 4; the highest noisy error comes twice, at 2 and 4.
    # Seed 1: the ratio stays above 1.1, and the noisy error is never below one half, only at it.
    wanted = {
        0: {"stop": 2, "noisy_loss": 4, "noisy_error": 2, "half": 8, "ratio": 4},
        1: {"stop": 4, "noisy_loss": 1, "noisy_error": 4, "half": math.nan, "ratio": math.nan},
    }
    for seed, row in wanted.items():
        assert turns.loc[seed].to_dict() == pytest.approx(row, nan_ok=True)


def test_a_noisy_error_below_one_half_before_its_peak_is_no_turn(frame):
    frame.loc[(frame.seed == 1) & (frame.epoch <= 1), "noisy_error"] = 0.45
    assert math.isnan(statistics.turns(frame).half[1])


def test_rows_until_the_noisy_loss_turns_and_values_at_the_end():
    rows = [(0, 0, 0.7), (0, 5, 0.9), (0, 9, 0.8), (1, 9, 1.0), (1, 0, 0.7), (1, 5, 0.6)]
    frame = pd.DataFrame(rows, columns=["seed", "epoch", "noisy_loss"]).assign(noisy_error=0.8)
    kept = statistics.until_noisy_loss_turns(frame)
    assert list(zip(kept.seed, kept.epoch, strict=True)) == [(0, 0), (0, 5), (1, 9), (1, 0), (1, 5)]
    assert statistics.last(frame, "noisy_loss").to_dict() == {0: 0.8, 1: 1.0}


def test_a_jump_of_the_loss_after_half_of_the_labels_are_learnt_is_no_turn():
    frame = pd.DataFrame(
        {
            "seed": 0,
            "epoch": [0, 1, 2, 3, 4, 5],
            "noisy_loss": [0.7, 0.8, 0.9, 0.85, 0.7, 1.3],
            "noisy_error": [0.4, 0.6, 0.9, 0.7, 0.49, 0.55],
        }
    )
    assert statistics.until_half_learnt(frame).epoch.tolist() == [0, 1, 2, 3, 4]
    assert statistics.until_noisy_loss_turns(frame).epoch.tolist() == [0, 1, 2]
    never = frame.assign(noisy_error=[0.4, 0.6, 0.9, 0.7, 0.5, 0.55])
    assert statistics.until_half_learnt(never).epoch.tolist() == [0, 1, 2, 3, 4, 5]
    assert statistics.until_noisy_loss_turns(never).epoch.tolist() == [0, 1, 2, 3, 4, 5]
