"""Statistics of subset gradients, against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from cleanprio_lib.measurements import gradient_statistics


@pytest.fixture
def frame():
    rows = [
        (0, "ntk", 0.4, 0, 3.0, -0.99, 0.33, 1.0),
        (0, "ntk", 0.4, 1, 0.75, -0.95, 1.3, 2.0),
        (0, "ntk", 0.2, 0, 4.0, -1.0, 0.25, 0.0),
        (0, "ntk", 0.2, 1, 4.0, -1.0, 0.25, 0.0),
        (1, "ntk", 0.4, 0, 1.0, -0.9, 0.9, 0.5),
        (1, "ntk", 0.4, 1, 4.0, -0.8, 0.2, 0.5),
    ]
    columns = ["seed", "start", "level", "class", "ratio", "cosine", "alpha", "logit_sd"]
    return pd.DataFrame(rows, columns=columns)


def test_both_classes_are_joined_by_their_geometric_mean(frame):
    table = gradient_statistics.both_classes(frame).set_index(["seed", "level"])
    first, even, second = table.loc[(0, 0.4)], table.loc[(0, 0.2)], table.loc[(1, 0.4)]
    # √(3 · .75) = 1.5 = (1 − .4)/.4; √(1 · 4) = 2, a third too long; 4 = (1 − .2)/.2.
    assert (first.ratio, first.off) == pytest.approx((1.5, 0))
    assert (second.ratio, second.off) == pytest.approx((2, 1 / 3))
    assert (even.ratio, even.off) == pytest.approx((4, 0))
    assert (first.smallest, first.largest, first.cosine) == (0.75, 3.0, -0.95)
    assert (first.alpha, first.alpha_gap, first.spread) == pytest.approx((1.3, 0.97, 1.5))


def test_the_index_of_the_frame_plays_no_part(frame):
    shuffled = frame.sample(frac=1, random_state=0)
    shuffled.index = [0] * len(shuffled)
    one, other = (
        gradient_statistics.both_classes(own).sort_values(["seed", "level"]).reset_index(drop=True)
        for own in (frame, shuffled)
    )
    pd.testing.assert_frame_equal(one, other)


def test_predictions_are_equation_8_times_the_odds_of_the_output():
    table = gradient_statistics.predicted_ratios(0.3, [-0.5, 0.0, 0.5]).set_index(["class", "logit"]).ratio
    output = 1 / (1 + np.exp(-0.5))
    assert table[0, 0.0] == table[1, 0.0] == pytest.approx(7 / 3)
    # Class 0: clean samples weigh f, noisy ones 1 − f; class 1 the other way round.
    assert table[0, 0.5] == pytest.approx(7 / 3 * output / (1 - output))
    assert table[1, 0.5] == pytest.approx(7 / 3 * (1 - output) / output)
    assert table[0, 0.5] * table[1, 0.5] == pytest.approx((7 / 3) ** 2)


def test_what_the_logit_explains_is_taken_out():
    logits = np.array([0.3, 0.3, -1.0])
    exact = 1.5 * np.exp([0.3, -0.3, -1.0])
    frame = pd.DataFrame({"level": 0.4, "class": [0, 1, 0], "logit": logits, "ratio": exact * [1, 1.02, 0.9]})
    np.testing.assert_allclose(gradient_statistics.left_by_logit(frame), [0, 0.02, -0.1], atol=1e-12)
