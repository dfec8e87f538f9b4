"""Curves over the values of a setting: what is drawn is what was given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cleanprio_lib import figures
from cleanprio_lib.figures.style import ROLES

FRAME = pd.DataFrame(
    {
        "level": [0.2, 0.2, 0.6, 0.6],
        "seed": [0, 1, 0, 1],
        "test_error": [0.1, 0.3, 0.5, 0.7],
        "noisy_error": [0.9, 0.9, np.nan, np.nan],
    }
)
PANELS = [
    figures.Panel(
        ["test_error"],
        "error",
        (0, 1),
        levels={"chance": 0.5},
        curves={"law": pd.Series([0.2, 0.6], [0.2, 0.6])},
    ),
    figures.Panel(["noisy_error"], "noisy error", labels={"noisy_error": "noisy"}),
]


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_means_are_points_and_ranges_bands():
    upper, lower = figures.over_values(FRAME, PANELS, x="level", x_label="δ", marks={"edge": 0.4}).axes
    drawn = next(line for line in upper.lines if line.get_color() == ROLES["test_error"].color)
    np.testing.assert_allclose(drawn.get_xdata(), [0.2, 0.6])
    np.testing.assert_allclose(drawn.get_ydata(), [0.2, 0.6])
    assert drawn.get_marker() == "o"
    (band,) = upper.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.1, 0.7))
    for ax in (upper, lower):
        assert any(list(line.get_xdata()) == [0.4, 0.4] for line in ax.lines)
    texts = [text.get_text() for text in upper.texts]
    assert {"chance", "law", "edge", "test"} == set(texts)
    assert [text.get_text() for text in lower.texts] == ["noisy"]
    assert lower.get_xlabel() == "δ"


def test_values_that_were_not_measured_are_left_out():
    lower = figures.over_values(FRAME, PANELS, x="level", x_label="δ").axes[1]
    drawn = next(line for line in lower.lines if line.get_color() == ROLES["noisy_error"].color)
    assert list(drawn.get_xdata()) == [0.2]


def test_words_have_every_value():
    words = figures.words_over_values(FRAME, PANELS, x="level", x_label="δ")
    assert words == "error, test, by δ: 0.2 at 0.2, 0.6 at 0.6. noisy error, noisy, by δ: 0.9 at 0.2."


def test_values_on_a_logarithmic_axis_have_a_tick_each():
    frame = FRAME.assign(width=[32, 32, 2048, 2048])
    upper, lower = figures.over_values(frame, PANELS, x="width", x_label="m", log=True).axes
    assert upper.get_xscale() == lower.get_xscale() == "log"
    assert [text.get_text() for text in lower.get_xticklabels()] == ["32", "2,048"]
    assert lower.get_xlim()[0] < 32 < 2048 < lower.get_xlim()[1]
