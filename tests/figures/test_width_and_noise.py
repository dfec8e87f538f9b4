"""Pictures of a sweep: what is drawn is what was given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cleanprio_lib import figures
from cleanprio_lib.figures import Panel, View
from cleanprio_lib.figures.style import HAIRLINE, ROLES
from cleanprio_lib.figures.width_and_noise import shades

EPOCHS = np.array([0, 1, 2, 4, 8])
NAMES = {16: "m = 16", 64: "m = 64"}
STOPS = {(16, 0): 2, (16, 1): 4, (64, 0): 2, (64, 1): 2}


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture
def frame():
    rows = [
        pd.DataFrame(
            {
                "width": width,
                "seed": seed,
                "epoch": EPOCHS,
                "clean_error": 0.5 - 0.01 * EPOCHS * (1 + seed),
                "noisy_error": 0.5 + 0.01 * EPOCHS * width / 16,
                "test_error": 0.4 - 0.02 * EPOCHS,
                "gone": 0.1 * np.array([0, 1, 3, 2, 4]) + 0.01 * seed,
            }
        )
        for width in NAMES
        for seed in (0, 1)
    ]
    return pd.concat(rows).sample(frac=1, random_state=2)


@pytest.fixture
def stops():
    index = pd.MultiIndex.from_tuples(STOPS, names=["width", "seed"])
    return pd.DataFrame({"stop": list(STOPS.values())}, index=index)


def panels(width):
    return [
        Panel(["clean_error", "noisy_error"], "error", (0, 1), labels={"clean_error": "clean"}),
        Panel(["test_error"], "test", (0, None), levels={"δ": width / 100}),
    ]


def colored(ax, color, *, least=3):
    return [line for line in ax.lines if line.get_color() == color and len(line.get_xdata()) >= least]


def test_each_value_has_its_row_with_its_own_means_and_bands(frame, stops):
    figure = figures.value_by_value(frame, panels, swept="width", names=NAMES, stops=stops)
    axes = np.array(figure.axes).reshape(2, 2)
    assert [row[0].get_ylabel() for row in axes] == ["m = 16", "m = 64"]
    for row, width in zip(axes, NAMES, strict=True):
        (noisy,) = colored(row[0], ROLES["noisy_error"].color)
        np.testing.assert_array_equal(noisy.get_xdata(), EPOCHS[1:])  # a logarithmic axis has no epoch 0
        np.testing.assert_allclose(noisy.get_ydata(), 0.5 + 0.01 * EPOCHS[1:] * width / 16)
        (clean,) = colored(row[0], ROLES["clean_error"].color)
        np.testing.assert_allclose(clean.get_ydata(), 0.5 - 0.015 * EPOCHS[1:])
        band = row[0].collections[0].get_paths()[0].vertices
        at_the_end = band[band[:, 0] == 8][:, 1]
        assert (at_the_end.min(), at_the_end.max()) == pytest.approx((0.34, 0.42))
        (level,) = [line for line in row[1].lines if list(line.get_ydata()) == [width / 100] * 2]
        assert level.get_color() == HAIRLINE
        assert row[0].get_xscale() == "log"
        assert row[0].get_ylim() == (0, 1)
    assert [ax.get_xlabel() for ax in axes[1]] == ["epoch", "epoch"]


def test_each_value_has_its_own_stops(frame, stops):
    figure = figures.value_by_value(frame, panels, swept="width", names=NAMES, stops=stops)
    for ax, middle, strip in zip(figure.axes, (3, 3, 2, 2), (True, True, False, False), strict=True):
        (line,) = [line for line in ax.lines if list(line.get_xdata()) == [middle] * 2]
        assert line.get_linestyle() == ":"
        assert bool(ax.patches) == strip


def test_curves_are_named_once_in_their_colours_above_the_first_row(frame, stops):
    figure = figures.value_by_value(frame, panels, swept="width", names=NAMES, stops=stops)
    texts = [[(text.get_text(), text.get_color()) for text in ax.texts] for ax in figure.axes]
    assert set(texts[0]) == {
        ("clean", ROLES["clean_error"].color),
        (ROLES["noisy_error"].label.replace("\n", " "), ROLES["noisy_error"].color),
    }
    assert texts[1] == [("test", ROLES["test_error"].color)]
    assert texts[2:] == [[], []]
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["error", "test", "", ""]


def test_words_are_each_curve_at_its_start_stop_and_end(frame, stops):
    words = figures.words_value_by_value(frame, panels, swept="width", names=NAMES, stops=stops)
    # Of width 16 the stops are 2 and 4: clean .5 − .02 and .5 − .08, noisy .5 + .02 and .5 + .04.
    assert words.startswith(
        "Each curve at the start, where test error is lowest, and at the end. m = 16, lowest test error at "
        "epoch 3; error, clean: 0.50, 0.45, 0.38; error, noisy subset, given labels: 0.50, 0.53, 0.58; "
        "test, test: 0.40, 0.34, 0.24. m = 64, lowest test error at epoch 2; "
    )
    assert "\n" not in words


def test_each_value_has_one_curve_from_light_to_dark_and_a_thin_one_for_each_seed(frame):
    views = [View("epoch", "clean_error", "epoch", "clean", log="x", levels={"floor": 0.1})]
    (ax,) = figures.all_values(frame, views, swept="width", names=NAMES).axes
    for color in shades(2):
        drawn = colored(ax, color)
        assert sorted(line.get_linewidth() for line in drawn)[:2] == [0.7, 0.7]
        heavy = max(drawn, key=lambda line: line.get_linewidth())
        np.testing.assert_array_equal(heavy.get_xdata(), EPOCHS[1:])
        np.testing.assert_allclose(heavy.get_ydata(), 0.5 - 0.015 * EPOCHS[1:])
    assert ax.get_xscale() == "log"
    assert {text.get_text() for text in ax.texts} == {"m = 16", "m = 64", "floor"}


def test_a_curve_waits_where_its_clock_runs_backwards(frame):
    views = [View("gone", "noisy_error", "gone", "noisy", curve=pd.Series([0.5, 0.6], [0, 0.4]))]
    (ax,) = figures.all_values(frame, views, swept="width", names={16: "m = 16"}).axes
    heavy = max(colored(ax, shades(1)[0]), key=lambda line: line.get_linewidth())
    np.testing.assert_allclose(heavy.get_xdata(), [0.005, 0.105, 0.305, 0.405])
    np.testing.assert_allclose(heavy.get_ydata(), 0.5 + 0.01 * np.array([0, 1, 2, 8]))
    (law,) = colored(ax, HAIRLINE, least=2)
    assert list(law.get_ydata()) == [0.5, 0.6]


def test_a_mean_ends_where_its_first_seed_does(frame):
    cut = frame[(frame.seed == frame.seed.min()) | (frame.epoch < 5)]
    views = [View("epoch", "noisy_error", "epoch", "noisy")]
    (ax,) = figures.all_values(cut, views, swept="width", names={16: "m = 16"}).axes
    heavy = max(colored(ax, shades(1)[0]), key=lambda line: line.get_linewidth())
    assert max(heavy.get_xdata()) == EPOCHS[EPOCHS < 5].max()


def test_many_values_are_named_in_their_order(frame):
    widths = [16, 32, 64, 128, 256]
    frame = pd.concat([frame[frame.width == 16].assign(width=width) for width in widths])
    views = [View("epoch", "noisy_error", "epoch", "noisy", levels={"floor": 0.2})]
    (ax,) = figures.all_values(frame, views, swept="width", names={m: f"m = {m}" for m in widths}).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [f"m = {m}" for m in widths]
    assert [text.get_text() for text in ax.texts] == ["floor"]


def test_labels_stand_where_lines_end_on_a_logarithmic_axis(frame):
    frame = frame.assign(ratio=np.where(frame.epoch == 8, 10.0, 1.0), width=16)
    views = [View("epoch", "ratio", "epoch", "ratio", y_limits=(1, 100), log="xy")]
    (ax,) = figures.all_values(frame, views, swept="width", names={16: "m = 16"}).axes
    (text,) = ax.texts
    assert text.xy[1] == pytest.approx(0.5, abs=1e-6)  # 10 is half-way from 1 to 100


def test_words_are_where_each_curve_begins_and_ends(frame):
    views = [View("gone", "noisy_error", "share\ngone", "noisy")]
    words = figures.words_all_values(frame, views, swept="width", names=NAMES)
    assert words == "noisy over share gone: m = 16 from 0.50 to 0.58, m = 64 from 0.50 to 0.82."


def test_shades_grow_darker_and_are_no_role(frame):
    colors = shades(7)
    lightness = [sum(int(color[k : k + 2], 16) for k in (1, 3, 5)) for color in colors]
    assert lightness == sorted(lightness, reverse=True)
    assert not {color.lower() for color in colors} & {role.color.lower() for role in ROLES.values()}
