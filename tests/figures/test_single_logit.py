"""Pictures of single-logit gradients draw the numbers they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from cleanprio_lib import figures, theory

PLACES = {"clean": 30, "noisy": 147, "other": 141, "into": 39, "elsewhere": 138}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def frame():
    rows = []
    for seed in (0, 1):
        for c in range(10):
            for number, (subset, low) in enumerate(PLACES.items()):
                bins = {f"bin_{edge}": (10 + c + 2 * seed) * (edge == low) for edge in range(0, 180, 3)}
                angle = 0.0 if subset == "clean" else np.radians(low + 2 * seed)
                rows.append(
                    {"seed": seed, "class": c, "subset": subset, "count": 40, "mean": np.radians(low),
                     "subset_angle": angle, "size": 1 / (number + 1) + 0.01 * c, **bins}
                )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def ratios():
    return pd.DataFrame(
        [
            {"seed": seed, "class": c, "ratio": 20.0 + c / 10 + seed, "full_ratio": 15.0 - c / 10 - seed}
            for seed in range(3)
            for c in range(10)
        ]
    )


def _color(subset):
    return to_hex(figures.ROLES[subset].color)


def test_every_logit_has_its_panel_with_three_subsets_and_two_dashed_sums(frame):
    axes = figures.single_logit_angles(frame).axes
    assert len(axes) == 10
    for c, ax in enumerate(axes):
        assert next(text.get_text() for text in ax.texts) == f"logit {c}"
        for subset in ("clean", "other", "noisy"):
            pale, full = (patch for patch in ax.patches if to_hex(patch.get_facecolor()) == _color(subset))
            for patch, height in ((pale, 12 + c), (full, 11 + c)):
                values, edges, _ = patch.get_data()
                assert values.max() == pytest.approx(height / 40)
                assert edges[values.argmax()] == PLACES[subset]
        dashed = {line.get_color(): line.get_xdata()[0] for line in ax.lines}
        assert dashed == pytest.approx(
            {figures.ROLES[name].color: PLACES[name] + 1 for name in ("other", "noisy")}
        )


def test_names_stand_above_the_first_row_alone(frame):
    axes = figures.single_logit_angles(frame).axes
    named = [{text.get_text() for text in ax.texts} >= {"clean", "other", "noisy"} for ax in axes]
    assert named == [True] * 2 + [False] * 8


def test_sums_have_a_mark_for_each_logit_and_lines_at_what_is_counted(frame):
    predicted = theory.single_logit_sizes(0.3, 10)
    (ax,) = figures.subset_sums(frame, predicted).axes
    marks = [line for line in ax.lines if len(line.get_xdata()) == 10]
    assert len(marks) == 5
    for number, (subset, line) in enumerate(zip(PLACES, marks, strict=True)):
        angle = 0 if subset == "clean" else PLACES[subset] + 1
        np.testing.assert_allclose(line.get_xdata(), angle)
        np.testing.assert_allclose(line.get_ydata(), 1 / (number + 1) + 0.01 * np.arange(10))
        kind = "noisy" if subset == "into" else "other" if subset == "elsewhere" else subset
        assert to_hex(line.get_color()) == _color(kind)
        assert (line.get_markerfacecolor() == "none") == (subset in ("into", "elsewhere"))
    levels = sorted(line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ":")
    np.testing.assert_allclose(levels, sorted(abs(value) for value in predicted.values()))


def test_ratios_are_dots_at_their_class_beside_what_is_wanted_and_counted(ratios):
    counted = pd.DataFrame({"class": range(10), "full_ratio": np.linspace(13, 14, 10)})
    left, right = figures.logit_ratios(ratios, wanted=21.0, counted=counted).axes
    for ax, column in ((left, "ratio"), (right, "full_ratio")):
        dots = [line for line in ax.lines if line.get_marker() == "o"]
        assert len(dots) == 3
        for seed, line in enumerate(dots):
            np.testing.assert_allclose(line.get_ydata(), ratios[ratios.seed == seed][column])
            np.testing.assert_array_equal(np.round(line.get_xdata(), 0), np.arange(10))
        assert [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ":"] == [21]
    (dashes,) = (line for line in right.lines if line.get_marker() == "_")
    np.testing.assert_allclose(dashes.get_ydata(), counted.full_ratio)


def test_words_say_what_is_to_be_seen(frame, ratios):
    words = figures.words_single_logit_angles(frame)
    assert "10 logits" in words
    assert "noisy samples lie around 147 to 147 degrees, their sums at 148 to 148" in words
    sums = figures.words_subset_sums(frame)
    assert "labelled c: 40 degrees, 0.3 of the clean sum's length" in sums
    assert "from 20.0 to 22.9" in figures.words_logit_ratios(ratios)
    assert "from 12.1 to 15.0" in figures.words_logit_ratios(ratios)
