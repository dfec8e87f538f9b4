"""Pictures of sample gradients draw the numbers they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from cleanprio_lib import figures

COUNTS = {"clean": (30, 50), "other": (20, 20), "noisy": (10, 14)}
PLACES = {"clean": 9, "other": 99, "noisy": 171}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def angles():
    rows = []
    for seed in (0, 1):
        for subset, low in PLACES.items():
            bins = {f"bin_{edge}": COUNTS[subset][seed] * (edge == low) for edge in range(0, 180, 3)}
            angle = 0 if subset == "clean" else np.radians(low + 2 * seed)
            rows.append(
                {"seed": seed, "subset": subset, "mean": np.radians(low), "subset_angle": angle, **bins}
            )
    return pd.DataFrame(rows)


@pytest.fixture
def ratios():
    rows = []
    for start, factor in (("ntk", 5.0), ("ntk_centred", 0.01), ("standard", 0.1)):
        for seed in range(4):
            logit = factor * (seed - 1.4)
            for c, sign in ((0, 1), (1, -1)):
                ratio = 1.5 * np.exp(sign * logit)
                rows.append(
                    {"seed": seed, "start": start, "level": 0.4, "class": c, "ratio": ratio, "logit": logit}
                )
    return pd.DataFrame(rows)


@pytest.fixture
def predicted():
    logits = np.linspace(-0.2, 0.2, 5)
    columns = [
        pd.DataFrame({"class": c, "logit": logits, "ratio": 1.5 * np.exp(sign * logits)})
        for c, sign in ((0, 1), (1, -1))
    ]
    return pd.concat(columns)


@pytest.fixture
def shares():
    rows = []
    for inputs, drop in (("two clusters", 0.1), ("digits 7 and 9", 0.9)):
        for seed in (0, 1):
            for logit in (0.0, 0.1, 0.5):
                clean = 1 - drop * logit - 0.1 * seed
                rows.append(
                    {"inputs": inputs, "seed": seed, "logit": logit, "clean": clean, "noisy": clean - 0.05}
                )
    return pd.DataFrame(rows)


def _color(subset):
    return to_hex(figures.ROLES[subset].color)


def test_histograms_are_means_over_seeds_before_their_largest(angles):
    (ax,) = figures.sample_gradient_angles({"only": angles}, columns=1).axes
    for subset, low in PLACES.items():
        pale, full = (patch for patch in ax.patches if to_hex(patch.get_facecolor()) == _color(subset))
        for patch, height in ((pale, max(COUNTS[subset])), (full, np.mean(COUNTS[subset]))):
            values, edges, _ = patch.get_data()
            assert values.sum() == values[low // 3] == height
            assert (edges[0], edges[-1]) == (0, 180)
    assert ax.get_xlim() == (0, 180)


def test_dashed_lines_stand_at_the_sums_but_not_at_the_clean_one(angles):
    (ax,) = figures.sample_gradient_angles({"only": angles}, columns=1).axes
    lines = {to_hex(line.get_color()): line.get_xdata()[0] for line in ax.lines}
    assert lines == pytest.approx({_color("other"): 100, _color("noisy"): 172})
    names = {text.get_text(): to_hex(text.get_color()) for text in ax.texts}
    assert names == {subset: _color(subset) for subset in PLACES}


def test_panels_that_are_not_needed_are_not_drawn(angles):
    figure = figures.sample_gradient_angles({"a": angles, "b": angles, "c": angles})
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c"]


def test_ratios_are_drawn_by_start_and_over_the_logit(ratios, predicted):
    left, right = figures.initial_ratios(ratios, predicted).axes
    drawn = np.concatenate([line.get_ydata() for line in left.lines if line.get_marker() in "o^"])
    np.testing.assert_allclose(np.sort(drawn), np.sort(ratios.ratio))
    means = np.concatenate([line.get_ydata() for line in left.lines if line.get_marker() == "_"])
    np.testing.assert_allclose(means, 1.5)
    assert len(means) == 12
    for c, marker in ((0, "o"), (1, "^")):
        own = ratios[(ratios.start == "standard") & (ratios["class"] == c)]
        (marks,) = [line for line in right.lines if line.get_marker() == marker]
        np.testing.assert_allclose(marks.get_xydata(), own[["logit", "ratio"]])
        curves = [line.get_ydata() for line in right.lines if line.get_marker() == "None"]
        wanted = predicted.ratio[predicted["class"] == c].tolist()
        assert any(len(curve) == 5 and np.allclose(curve, wanted) for curve in curves)
    for ax in (left, right):
        assert any(list(line.get_ydata()) == [1.5, 1.5] for line in ax.lines)


def test_shares_have_a_panel_for_each_kind_of_input(shares):
    first, second = figures.projections(shares).axes
    assert (first.get_title(), second.get_title()) == ("two clusters", "digits 7 and 9")
    means = shares.groupby(["inputs", "logit"])[["clean", "noisy"]].mean()
    for ax in (first, second):
        for line, subset in zip(ax.lines, ("clean", "noisy"), strict=False):
            assert to_hex(line.get_color()) == _color(subset)
            np.testing.assert_allclose(line.get_ydata(), means.loc[ax.get_title(), subset])
        assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "0.1", "0.5"]


def test_alt_texts_say_the_numbers(angles, ratios, shares):
    words = figures.words_sample_gradient_angles({"sevens\nand nines": angles})
    assert "sevens and nines: clean samples around 9 degrees" in words
    assert "other around 99 with their sum at 100, noisy around 171 with their sum at 172" in words
    words = figures.words_initial_ratios(ratios)
    for start, name in (("ntk", "eq. 7"), ("standard", "PyTorch")):
        own = ratios[ratios.start == start].ratio
        assert f"{name}: single classes from {own.min():.2g} to {own.max():.2g}" in words
    assert "correlation 1.00 for class 0, -1.00 for class 1" in words
    assert "digits 7 and 9: 0.95 of the clean samples at logit 0, 0.50 at 0.5" in figures.words_projections(
        shares
    )


def test_labels_can_be_read_on_a_phone(angles, ratios, predicted, shares):
    figures.set_style()
    drawn = [
        figures.sample_gradient_angles({"one": angles, "two": angles}),
        figures.initial_ratios(ratios, predicted),
        figures.projections(shares),
    ]
    for figure in drawn:
        # A screen of 390 pixels leaves 358 for a figure of 96 pixels an inch; a point is 96/72 pixels.
        shrunk = min(1, 358 / (96 * figure.get_figwidth()))
        texts = [text for text in figure.findobj(plt.Text) if text.get_text()]
        assert min(text.get_fontsize() for text in texts) * 96 / 72 * shrunk > 10
