"""Pictures of derivative angles draw the numbers they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cleanprio_lib import data, figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def table():
    rows = []
    for activation, depth in (("relu", 2), ("linear", 2)):
        for degrees in range(0, 181, 10):
            wide = degrees / depth if activation == "relu" else float(degrees)
            rows.append((activation, depth, degrees, wide, wide + 1, wide - 2, wide + 3, 0.5))
    columns = ["activation", "depth", "degrees", "theory", "mean", "low", "high", "error"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def clusters():
    rows = []
    for seed in (0, 1):
        for source in ("inputs", "net", "theory"):
            for pairs, low in (("within", 0), ("between", 60)):
                share = {"net": 0.2 + 0.1 * seed, "theory": 0.25, "inputs": 0.9}[source]
                bins = {f"bin_{edge}": share * (edge == low) for edge in range(0, 180, 3)}
                rows.append(
                    {"seed": seed, "source": source, "pairs": pairs, "mean": np.radians(low + 5), **bins}
                )
    return pd.DataFrame(rows)


def test_the_circle_has_theory_marks_and_range_of_each_net(table):
    (ax,) = figures.derivative_angles(table).axes
    for name, own in table.groupby("activation"):
        color = figures.ROLES[f"{name}_2"].color
        line, marks = [line for line in ax.lines if line.get_color() == color]
        np.testing.assert_allclose(line.get_ydata(), own.theory)
        shown = own.set_index("degrees")["mean"]
        np.testing.assert_allclose(marks.get_ydata(), shown[marks.get_xdata()])
        assert len(marks.get_xdata()) > 4
    bands = [band.get_paths()[0].vertices[:, 1] for band in ax.collections]
    assert [(low.min(), low.max()) for low in bands] == [(-2, 93), (-2, 183)]


def test_every_linear_net_is_drawn(table):
    nets = [table.assign(activation="linear", depth=depth) for depth in (2, 3, 5)]
    (ax,) = figures.derivative_angles(pd.concat(nets)).axes
    marks = [line for line in ax.lines if line.get_marker() in "os^"]
    assert {line.get_marker() for line in marks} == set("os^")
    assert len({tuple(line.get_xdata()) for line in marks}) == 3
    assert {figures.ROLES[f"linear_{depth}"].label for depth in (2, 3, 5)} == {
        text.get_text()[2:] for text in ax.texts
    }


def test_deviations_are_from_theory_with_room_for_chance(table):
    axes = figures.angle_deviations(table, critical=4).axes
    assert [ax.get_title() for ax in axes] == ["ReLU, L = 2", "linear, L = 2"]
    for ax in axes:
        heights = sorted({tuple(set(line.get_ydata())) for line in ax.lines})
        assert heights == [(-2,), (1,), (2,)]
        assert sorted(set(ax.collections[0].get_paths()[0].vertices[:, 1])) == [-2, 3]


def test_finite_width_shows_points_errors_and_the_fitted_power():
    pooled = pd.DataFrame(
        {"activation": "relu", "depth": 3, "width": [64, 256], "rms": [4.0, 2.0], "error": [0.5, 0.1]}
    )
    law = pd.DataFrame({"activation": ["relu"], "depth": [3], "exponent": [-0.5]})
    (ax,) = figures.finite_width(pooled, law).axes
    fitted = [line for line in ax.lines if line.get_linestyle() != "None"]
    np.testing.assert_allclose(fitted[0].get_ydata(), [4, 2])
    (bars,) = [collection for collection in ax.collections if len(collection.get_paths()) == 2]
    np.testing.assert_allclose([np.ptp(path.vertices[:, 1]) for path in bars.get_paths()], [2, 0.4])
    assert "$m^{-0.50}$" in ax.texts[0].get_text()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_clusters_show_points_bars_whiskers_and_prediction(clusters):
    x, y = data.two_clusters(5, seed=0)
    left, right = figures.clusters(x, y, clusters).axes
    points = np.concatenate([np.stack(line.get_data(), axis=1) for line in left.lines])
    np.testing.assert_allclose(points, x)
    bars = {(bar.get_x(), round(bar.get_height(), 9)) for bar in right.patches if hasattr(bar, "get_x")}
    assert {(0, 0.25), (60, 0.25)} <= bars
    assert {height for _, height in bars} == {0, 0.25}
    whiskers = [path.vertices[:, 1] for group in right.collections for path in group.get_paths()]
    assert len(whiskers) == 2
    np.testing.assert_allclose(whiskers, [[0.2, 0.3]] * 2)


def test_prediction_is_drawn_and_not_the_net(clusters):
    clusters.loc[clusters.source == "theory", "bin_0"] = 0.31
    _, right = figures.clusters(*data.two_clusters(5, seed=0), clusters).axes
    steps = [patch for patch in right.patches if not hasattr(patch, "get_x")]
    assert max(steps[0].get_data().values) == 0.31


def test_movement_is_drawn_over_the_width():
    stops = pd.DataFrame(
        {"seed": [0, 1, 0, 1], "width": [8, 8, 32, 32], "cosine": [0.8, 0.6, 0.9, 0.9], "angle_moved": 0.1}
    )
    left, right = figures.derivatives_in_training(stops).axes
    np.testing.assert_allclose(left.lines[1].get_ydata(), [0.3, 0.1])
    np.testing.assert_allclose(right.lines[0].get_ydata(), np.degrees(0.1))


def test_labels_can_be_read_on_a_phone(table, clusters):
    figures.set_style()
    widths = pd.DataFrame({"activation": "relu", "depth": 3, "width": [64, 256], "rms": [4, 2], "error": 0.1})
    law = pd.DataFrame({"activation": ["relu"], "depth": [3], "exponent": [-0.5]})
    stops = pd.DataFrame({"width": [8, 32], "cosine": [0.8, 0.9], "angle_moved": 0.1})
    drawn = [
        figures.derivative_angles(table),
        figures.angle_deviations(table, critical=4),
        figures.finite_width(widths, law),
        figures.clusters(*data.two_clusters(5, seed=0), clusters),
        figures.derivatives_in_training(stops),
    ]
    for figure in drawn:
        # A screen of 390 pixels leaves 358 for a figure of 96 pixels an inch; a point is 96/72 pixels.
        shrunk = min(1, 358 / (96 * figure.get_figwidth()))
        texts = [text for text in figure.findobj(plt.Text) if text.get_text()]
        assert min(text.get_fontsize() for text in texts) * 96 / 72 * shrunk > 10


def test_words_say_the_numbers(table, clusters):
    assert "ReLU, L = 2 reaches 91 degrees at 180" in figures.words_derivative_angles(table)
    assert "mean at most 1.0 degrees from zero, single seeds 3.0" in figures.words_angle_deviations(table)
    assert "within clusters around 5 degrees, between them around 65" in figures.words_clusters(clusters)
    stops = pd.DataFrame({"width": [8], "cosine": [0.75], "angle_moved": [np.radians(2)]})
    assert "width 8: 1 − cos 0.250, angles moved 2.00" in figures.words_derivatives_in_training(stops)
    pooled = pd.DataFrame({"activation": "relu", "depth": 3, "width": [64, 256], "rms": [4.0, 2.0]})
    law = pd.DataFrame({"activation": ["relu"], "depth": [3], "exponent": [-0.5]})
    assert "from 4.0 to 2.0 degrees, power -0.50" in figures.words_finite_width(pooled, law)
