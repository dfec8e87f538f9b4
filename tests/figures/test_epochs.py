"""Panels over epochs draw what they are given: means and ranges, levels, predictions, stops."""

import re
import warnings
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cleanprio_lib import early_stopping, figures
from cleanprio_lib.figures import ROLES, Panel, over_epochs, words_over_epochs
from cleanprio_lib.figures.epochs import lines, mark_stops, name_stops

STOPS = (4, 5, 8)
EPOCHS = np.arange(11)
RESIDUALS = Panel(["clean_residual", "noisy_residual"], "mean residual")
RATIOS = Panel(
    ["ratio_0", "ratio_1", "ratio"],
    "ratio",
    roles={"ratio_0": "class_0", "ratio_1": "class_1", "ratio": "both"},
)


@pytest.fixture
def frame():
    """Three seeds that stop at different epochs, none of whose means is a median."""
    rows = [
        pd.DataFrame(
            {
                "seed": seed,
                "epoch": EPOCHS,
                "test_error": 0.1 + 0.01 * (EPOCHS - stop) ** 2,
                "clean_residual": 0.5 - 0.03 * EPOCHS - 0.01 * stop,
                "noisy_residual": 0.5 + 0.01 * EPOCHS * stop,
                "ratio_0": 1.6 - 0.05 * EPOCHS + 0.01 * stop,
                "ratio_1": 1.4 - 0.03 * EPOCHS - 0.01 * stop,
                "ratio": 1.5 - 0.04 * EPOCHS,
            }
        )
        for seed, stop in enumerate(STOPS)
    ]
    yield pd.concat(rows, ignore_index=True).sample(frac=1, random_state=0)
    plt.close("all")


def _mean(frame, column):
    return np.array([frame[frame.epoch == epoch][column].mean() for epoch in sorted(frame.epoch.unique())])


def _curve(ax, color):
    (found,) = [line for line in ax.lines if line.get_color() == color and len(line.get_xdata()) > 2]
    return found


def test_every_column_is_its_mean_and_its_range(frame):
    axes = over_epochs(frame, [RESIDUALS, RATIOS]).axes
    assert [ax.get_ylabel() for ax in axes] == ["mean residual", "ratio"]
    for ax, panel in zip(axes, (RESIDUALS, RATIOS), strict=True):
        for column, band in zip(panel.columns, ax.collections, strict=True):
            color = panel.role(column).color
            curve = _curve(ax, color)
            np.testing.assert_array_equal(curve.get_xdata(), EPOCHS)
            np.testing.assert_allclose(curve.get_ydata(), _mean(frame, column))
            assert plt.matplotlib.colors.to_hex(band.get_facecolor()[0]) == color.lower()
            corners = band.get_paths()[0].vertices
            for epoch in EPOCHS:
                heights = corners[corners[:, 0] == epoch][:, 1]
                values = frame[frame.epoch == epoch][column]
                assert (heights.min(), heights.max()) == pytest.approx((values.min(), values.max()))


def test_the_last_panel_alone_names_the_axis_they_share(frame):
    top, bottom = over_epochs(frame, [RESIDUALS, RATIOS], x_label="step").axes
    assert (top.get_xlabel(), bottom.get_xlabel()) == ("", "step")
    assert top.get_xlim() == bottom.get_xlim() == (0, 10)


def test_lines_have_their_roles_dashes(frame, book_style):
    svg = figures.svg(over_epochs(frame, [RESIDUALS, RATIOS]), salt="x").decode()
    # SVG counts dashes in points: of "--" matplotlib's 3.7 and 1.6 line widths, else the role's own numbers.
    for role, dashes in {"noisy": (3.7, 1.6), "class_0": (4, 1.5), "class_1": (2, 1.2)}.items():
        color = ROLES[role].color.lower()
        (found,) = re.findall(rf"stroke-dasharray: ([\d.,]+);[^\"]*stroke: {color}", svg)
        assert [float(number) for number in found.split(",")] == pytest.approx([2 * dash for dash in dashes])
    for role in ("clean", "both"):
        (style,) = re.findall(rf'style="([^"]*stroke: {ROLES[role].color.lower()};[^"]*)"', svg)
        assert "dasharray" not in style


def test_a_column_finds_its_role_or_asks_for_it():
    panel = Panel(
        [], "y", roles={"test_residual": "test_error", "alpha_0": "class_0"}, labels={"alpha_0": "α"}
    )
    assert panel.role("clean_residual") == ROLES["clean"]
    assert panel.role("noisy_loss") == ROLES["noisy"]
    assert panel.role("noisy_error") == ROLES["noisy_error"]
    assert panel.role("test_residual") == ROLES["test_error"]
    named, role = panel.role("alpha_0"), ROLES["class_0"]
    assert (named.label, named.color, named.linestyle) == ("α", role.color, role.linestyle)
    assert role.label == "class 0"


@pytest.mark.parametrize("roles", [{}, {"alpha_0": "alpha"}])
def test_unknown_roles_are_an_error(frame, roles):
    panel = Panel(["alpha_0"], "α", roles=roles)
    with pytest.raises(ValueError, match=r"roles must name the role of 'alpha_0', one of \['between', "):
        over_epochs(frame.assign(alpha_0=0.5), [panel])


def test_labels_stand_at_the_ends_of_their_lines(frame):
    frame.loc[frame.epoch > 6, "ratio"] = np.nan
    panel = Panel(["ratio"], "ratio", (1.0, 2.0), {"ratio": "both"}, {"ratio": "both"})
    (ax,) = over_epochs(frame, [panel]).axes
    (text,) = ax.texts
    assert (text.get_text(), text.get_color()) == ("both", ROLES["both"].color)
    assert text.xy[1] == pytest.approx(1.5 - 0.04 * 6 - 1.0)  # the last value that is defined
    assert ax.get_ylim() == (1.0, 2.0)


@pytest.mark.parametrize("panels", [1, 2, 4])
@pytest.mark.parametrize("height", [0.0, 0.5, 1.0])
def test_labels_never_cover_each_other_in_panels_of_any_number(frame, book_style, panels, height):
    columns = ["a_error", "b_error", "c_error"]
    roles = dict(zip(columns, ("noisy_error", "train_error", "class_1"), strict=True))
    panel = Panel(columns, "error", (0, 1), roles=roles, levels={"δ": height})
    figure = over_epochs(frame.assign(**dict.fromkeys(columns, height)), [panel] * panels)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for ax in figure.axes for text in ax.texts]
    assert len(boxes) == 4 * panels
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_levels_and_predictions_are_drawn_and_named(frame):
    early, late = (pd.Series(slope * np.arange(0, 41, 2), np.arange(0, 41, 2)) for slope in (0.02, 0.03))
    late.loc[10:] = np.nan
    panel = Panel(["ratio"], "ratio", (0, 2), {}, {"ratio": "both"}, {"one": 1.0}, {"I": early, "II": late})
    (ax,) = over_epochs(frame, [panel]).axes
    (level,) = [line for line in ax.lines if list(line.get_ydata()) == [1.0, 1.0]]
    assert list(level.get_xdata()) == [0, 1]  # of the axis, from end to end
    first, second = [line for line in ax.lines if len(line.get_xdata()) == 6]
    for line, curve in ((first, early), (second, late)):
        np.testing.assert_array_equal(line.get_xdata(), [0, 2, 4, 6, 8, 10])  # no further than the frame
        np.testing.assert_array_equal(line.get_ydata(), curve.loc[:10])
        assert line.is_dashed()
    assert all(line.get_color() == figures.epochs.HAIRLINE for line in (level, first, second))
    places = {text.get_text(): text.xy[1] for text in ax.texts}
    assert places["one"] == pytest.approx(1.0 / 2, abs=0.005)  # at its line, before others at theirs
    assert (places["I"] + places["II"]) / 2 == pytest.approx((0.02 * 10 + 0.03 * 8) / 4)  # both moved as far
    assert places["II"] - places["I"] == pytest.approx(figures.LINE_HEIGHT)


def test_a_logarithmic_axis_has_no_epoch_0(frame):
    panel = Panel(
        ["ratio"], "ratio", roles={"ratio": "both"}, curves={"I": pd.Series([9.0, 1, 1], [0, 1, 2])}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes = over_epochs(frame, [RATIOS, RESIDUALS, panel], log=True).axes
    for ax in axes:
        assert ax.get_xscale() == "log"
        assert ax.get_xlim() == (1, 10)
        curve = max(ax.lines, key=lambda line: len(line.get_xdata()))
        np.testing.assert_array_equal(curve.get_xdata(), EPOCHS[1:])


def test_a_ratio_may_have_a_logarithmic_axis(frame):
    panel = Panel(
        ["ratio"], "ratio", (0.5, 50), roles={"ratio": "both"}, levels={"5": 5.0, "1": 1.0}, log=True
    )
    (ax,) = over_epochs(frame, [panel]).axes
    assert ax.get_yscale() == "log"
    ticks = dict(zip(ax.get_yticks(), (text.get_text() for text in ax.get_yticklabels()), strict=True))
    assert {1: "1", 10: "10"}.items() <= ticks.items()
    places = {text.get_text(): text.xy[1] for text in ax.texts}
    assert places["5"] == pytest.approx(1 / 2)  # half-way between .5 and 50
    assert places["1"] == pytest.approx(np.log10(2) / 2, abs=2 * figures.LINE_HEIGHT)  # beside the curve's


def test_a_logarithmic_axis_shows_all_of_its_curves(frame):
    falling = frame.assign(ratio=20.0 / (1 + frame.epoch) ** 2)
    (ax,) = over_epochs(falling, [Panel(["ratio"], "ratio", roles={"ratio": "both"}, log=True)]).axes
    low, high = ax.get_ylim()
    assert falling.ratio.min() / 3 < low < falling.ratio.min()
    assert falling.ratio.max() < high < falling.ratio.max() * 3
    (text,) = ax.texts
    assert 0 <= text.xy[1] < 0.2  # where the curve ends


@pytest.mark.parametrize(("log", "x_label"), [(False, "epoch"), (True, "epoch"), (False, "step")])
def test_stops_are_marked_in_every_panel_and_named_above_the_first(frame, log, x_label):
    stops = early_stopping.oracle(frame)
    panels = [RESIDUALS, RATIOS, RESIDUALS]
    axes = over_epochs(frame, panels, stops=stops, log=log, x_label=x_label).axes
    for ax in axes:
        (line,) = [line for line in ax.lines if len(set(line.get_xdata())) == 1]
        assert set(line.get_xdata()) == {5}  # the median
        assert line.get_linestyle() == ":"
        (strip,) = ax.patches
        corners = strip.get_extents().transformed(ax.transData.inverted())
        assert (corners.x0, corners.x1) == pytest.approx((4, 8))
    words = [[text for text in ax.texts if "lowest" in text.get_text()] for ax in axes]
    assert [len(found) for found in words] == [1, 0, 0]
    (text,) = words[0]
    assert text.get_text() == f"lowest test error: {x_label}s 4 to 8"
    first, last = axes[0].get_xlim()
    scale = np.log if log else float
    assert text.xy == pytest.approx(((scale(5) - scale(first)) / (scale(last) - scale(first)), 1))
    assert text.get_va() == "bottom"  # above the panel, where no curve is


def test_nothing_is_marked_without_stops_and_no_strip_for_one_epoch(frame):
    assert not any(len(line.get_xdata()) == 2 for line in over_epochs(frame, [RESIDUALS]).axes[0].lines)
    _, ax = plt.subplots()
    mark_stops(ax, pd.DataFrame({"epoch": [6, 6]}))
    assert not ax.patches


@pytest.mark.parametrize(("stop", "side"), [(1, "left"), (5, "center"), (9, "right")])
def test_the_name_of_a_stop_stays_above_its_panel(stop, side):
    _, ax = plt.subplots()
    ax.set_xlim(0, 10)
    name_stops(ax, pd.DataFrame({"epoch": [stop, stop]}))
    (text,) = ax.texts
    assert (text.get_text(), text.get_ha()) == (f"lowest test error: epoch {stop}", side)


def test_lines_end_where_the_first_seed_does(frame):
    cut = frame[(frame.seed == frame.seed.min()) | (frame.epoch <= 6)]
    (ax,) = over_epochs(cut, [RESIDUALS]).axes
    assert ax.get_xlim()[1] == 6
    assert {max(line.get_xdata()) for line in ax.lines} == {6}
    words = words_over_epochs(cut, [RESIDUALS], stops=None)
    assert words == words_over_epochs(frame[frame.epoch <= 6], [RESIDUALS], stops=None)


def test_lines_say_where_they_end(frame):
    _, ax = plt.subplots()
    (end,) = lines(ax, frame, ["noisy_residual"], [ROLES["noisy"]])
    assert (end.label, end.color) == ("noisy", ROLES["noisy"].color)
    assert end.height == pytest.approx(0.5 + 0.1 * np.mean(STOPS))


def test_words_are_the_numbers_of_every_curve(frame):
    frame["gain"] = -0.4 * frame.epoch
    gains = Panel(["gain"], "gain", labels={"gain": "noisy\ngain"}, roles={"gain": "noisy"})
    stops = early_stopping.oracle(frame)
    # Means over the seeds, each at its own stop: .5 − .04 · 17/3, .5 + .01 · (16 + 25 + 64)/3, −.4 · 17/3.
    assert words_over_epochs(frame, [RESIDUALS, gains], stops=stops) == (
        "mean residual, clean: 0.44 at the start, 0.27 at the early stopping point, 0.14 where it ends. "
        "mean residual, noisy: 0.50 at the start, 0.85 at the early stopping point, 1.07 where it ends. "
        "gain, noisy gain: 0.00 at the start, −2.27 at the early stopping point, −4.00 where it ends."
    )
    assert words_over_epochs(frame, [gains], stops=None) == (
        "gain, noisy gain: 0.00 at the start, −4.00 where it ends."
    )


def test_words_admit_what_is_not_defined(frame):
    frame.loc[frame.epoch == 0, "ratio"] = np.nan
    stops = early_stopping.oracle(frame).assign(ratio=np.nan)
    panel = Panel(["ratio"], "ratio", roles={"ratio": "both"})
    assert words_over_epochs(frame, [panel], stops=stops) == (
        "ratio, geometric mean: 1.46 at the start, not defined at the early stopping point, "
        "1.10 where it ends."
    )
