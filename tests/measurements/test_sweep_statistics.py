"""What a sweep says: cells, turns and collapses of curves that are made so that the answer is known."""

import numpy as np
import pandas as pd
import pytest

from cleanprio_lib import theory
from cleanprio_lib.measurements.sweep_statistics import (
    clean_priority,
    spread,
    turning_points,
    with_clocks,
    with_ratio,
)
from cleanprio_lib.runs import Recorded

STOPS = {(16, 0): 4, (16, 1): 6, (64, 0): 2, (64, 1): 3}


def cell(width, seed, *, level=0.4, last=12):
    """Test error is lowest at the cell's stop; the noisy error is highest there and falls by .1 an epoch."""
    e, stop = np.arange(last + 1), STOPS[width, seed]
    return pd.DataFrame(
        {
            "width": width,
            "seed": seed,
            "epoch": e,
            "level": level,
            "test_error": 0.1 + 0.02 * np.abs(e - stop) + 0.001 * seed,
            "clean_error": 0.5 - 0.03 * e,
            "noisy_error": np.where(e <= stop, 0.5 + 0.08 * e, 0.5 + 0.08 * stop - 0.1 * (e - stop)),
            "clean_residual": 0.5 - 0.02 * e,
            "noisy_residual": np.where(e <= stop + 1, 0.5 + 0.01 * e, 0.5 - 0.01 * e),
            "test_residual": 0.5 - 0.01 * e,
            "ratio": 1.5 - 0.05 * e,
            "ratio_0": 1.5,
            "ratio_1": 1.5,
            "cosine": -1 + 0.001 * e,
            "true_cosine": 0.9 - 0.01 * e,
        }
    )


@pytest.fixture
def frame():
    return pd.concat([cell(*key) for key in STOPS]).sample(frac=1, random_state=1)


def test_every_cell_has_its_own_turn(frame):
    cells = turning_points(frame, "width")
    assert list(cells.index) == list(STOPS)
    assert cells.index.names == ["width", "seed"]
    for key, stop in STOPS.items():
        row = cells.loc[key]
        assert row.stop == stop
        assert row.test_error == pytest.approx(0.1 + 0.001 * key[1])
        assert row.final_test_error == pytest.approx(0.1 + 0.02 * (12 - stop) + 0.001 * key[1])
        assert row.highest_noisy == row.noisy_error == pytest.approx(0.5 + 0.08 * stop)
        # .08 stop down by .1 an epoch: below one half from the first epoch that takes more than it.
        assert row.half == stop + np.floor(0.8 * stop + 1e-9) + 1
        assert (row.peak, row.highest_residual) == (stop + 1, pytest.approx(0.5 + 0.01 * (stop + 1)))
        assert (row.start_ratio, row.ratio) == pytest.approx((1.5, 1.5 - 0.05 * stop))
        assert (row.start_cosine, row.cosine) == pytest.approx((-1, -1 + 0.001 * stop))
        assert row.last_noisy_error == pytest.approx(0.5 + 0.08 * stop - 0.1 * (12 - stop))
        assert row.speed == pytest.approx(0.01)
        assert row.halfway == pytest.approx(2.5)  # from .5 half-way to δ = .4, by .02 an epoch
        assert (row.clean_error_trend, row.clean_residual_trend) == pytest.approx((-1, -1))
        assert (row.noisy_error_trend, row.noisy_residual_trend) == pytest.approx((1, 1))
        assert (row.delta, row.start_noisy_error, row.start_noisy_residual) == (0.4, 0.5, 0.5)


def test_wrong_labels_that_are_never_half_learnt_have_no_such_epoch(frame):
    cells = turning_points(frame[frame.epoch <= 7], "width")
    assert cells.half.isna().tolist() == [key != (64, 0) and STOPS[key] > 3 for key in STOPS]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("clean_error_trend", -0.7, "the clean error falls"),
        ("clean_residual_trend", -0.7, "the clean residual falls"),
        ("noisy_error_trend", 0.7, "the noisy error rises"),
        ("noisy_residual_trend", 0.9, "the noisy residual rises monotonically"),
        ("test_error", 0.4, "the test error is below δ"),
        ("final_test_error", 0.1, "the test error is below where it ends"),
    ],
)
def test_clean_priority_is_lost_by_any_one_number_of_a_cell(frame, column, value, words):
    cells = turning_points(frame, "width")
    assert clean_priority(cells).all(axis=None)
    cells.loc[(16, 0), column] = value
    shown = clean_priority(cells)
    assert shown.all(axis=1).tolist() == [False, True, True, True]
    assert shown.columns[~shown.all()].tolist() == [words] + (
        ["the test error is below where it ends"] if column == "test_error" else []
    )


def recorded(frame, settings):
    facts = {"data": {"source": "MNIST"}, "settings": settings, "cells": []}
    return Recorded("made up", "paper", frame, facts, True)


def test_two_classes_get_a_ratio_and_ten_keep_theirs(frame):
    ten = frame.drop(columns="level").rename(columns={"width": "level"})
    assert with_ratio(recorded(ten, {"swept": "level"})) is ten
    two = frame.drop(columns=["ratio", "cosine", "level"]).assign(ratio_0=2.0, ratio_1=1.125)
    for c, cosine in ((0, -0.9), (1, -0.7)):
        two = two.assign(
            **{f"cosine_{c}": cosine, f"alpha_{c}": 0.6, f"clean_part_{c}": 0.6, f"noisy_part_{c}": -0.4}
        )
    found = with_ratio(recorded(two, {"swept": "width", "level": 0.3}))
    assert found.ratio.unique() == pytest.approx(1.5)
    assert found.cosine.unique() == pytest.approx(-0.8)
    assert found.level.unique() == 0.3


@pytest.mark.parametrize("classes", [2, 10])
def test_clocks_are_0_at_the_start_and_1_where_theory_says(classes):
    rest, start = theory.plateau(0.3, classes), np.sqrt(1 - 1 / classes) if classes > 2 else 0.5
    at = np.array([0, 0.5, 1.0, 1.2])
    frame = pd.DataFrame(
        {
            "width": 16,
            "seed": 3,
            "epoch": [0, 2, 4, 6],
            "level": 0.3,
            "clean_residual": start + at * (rest.clean_residual - start),
            "noisy_residual": start + 0.9 * at * (rest.noisy_residual - start),
            "test_error": [0.5, 0.15, 0.06, 0.3],
            "ratio": theory.gradient_ratio(0.3, classes) * np.array([1, 0.5, 0.25, 0.2]),
        }
    ).assign(**{f"ratio_{c}": 1.0 for c in range(classes)})
    found = with_clocks(frame, "width")
    np.testing.assert_allclose(found.progress, at, atol=1e-12)
    np.testing.assert_allclose(found.noisy_share, 0.9 * at, atol=1e-12)
    np.testing.assert_allclose(found.turns, [0, 0.5, 1, 1.5])
    np.testing.assert_allclose(found.test_share, [5 / 3, 0.5, 0.2, 1])
    np.testing.assert_allclose(found.log_odds, np.log([1, 0.5, 0.25, 0.2]))
    np.testing.assert_allclose(found.learnt, at * (1 - rest.clean_residual / start), atol=1e-12)


@pytest.mark.parametrize(("classes", "level"), [(2, 0.4), (10, 0.1), (10, 0.4)])
def test_one_output_for_a_class_puts_all_levels_on_one_curve(classes, level):
    """Residuals and ratio of f = p at the true class and an even rest, from their definitions."""
    p = np.linspace(1 / classes, 0.95, 9)
    output = np.column_stack([p, *[(1 - p) / (classes - 1)] * (classes - 1)])
    away = output - np.eye(classes)[0]
    clean = np.linalg.norm(away, axis=1) if classes > 2 else np.abs(away[:, 0])
    frame = pd.DataFrame({"width": 16, "seed": 0, "epoch": range(9), "level": level, "clean_residual": clean})
    ratio = (1 - level) * np.abs(away[:, 0]) / (level * output[:, 0])
    frame = frame.assign(noisy_residual=clean, test_error=0.1, ratio=ratio)
    found = with_clocks(frame.assign(**{f"ratio_{c}": 1.0 for c in range(classes)}), "width")
    np.testing.assert_allclose(found.law, found.log_odds, atol=1e-12)
    u = found.learnt
    np.testing.assert_allclose(np.exp(found.law), (1 - u) / (1 + (classes - 1) * u), rtol=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("rise", "defined"), [(1.1, True), (1.12, False)])
def test_a_clean_residual_far_above_its_start_belongs_to_no_output(rise, defined):
    """With ten classes no output has 1 + 9 u below 0: no residual is more than a ninth above its start."""
    frame = pd.DataFrame(
        {"width": 16, "seed": 0, "epoch": [0, 1], "level": 0.3, "clean_residual": [0.9, 0.9 * rise]}
    ).assign(noisy_residual=0.9, test_error=0.5, ratio=2.0, **{f"ratio_{c}": 1.0 for c in range(10)})
    assert with_clocks(frame, "width").law.notna().tolist() == [True, defined]


def test_every_cell_has_its_own_clocks_whatever_the_order_of_rows(frame):
    found = with_clocks(frame, "width")
    for (width, seed), stop in STOPS.items():
        own = found[(found.width == width) & (found.seed == seed)]
        np.testing.assert_allclose(own.turns, np.arange(13) / stop)
        np.testing.assert_allclose(own.learnt, 0.04 * np.arange(13), atol=1e-12)


def curves(shapes, *, epochs=range(1, 33)):
    """One curve for each (value, seed), y as a function of the epoch."""
    epochs = np.array(epochs)
    return pd.concat(
        [
            pd.DataFrame(
                {"level": value, "seed": seed, "epoch": epochs, "y": shape(epochs), "x": epochs * 1.0}
            )
            for (value, seed), shape in shapes.items()
        ]
    )


def test_parallel_curves_are_as_far_apart_as_they_are():
    frame = curves(
        {(value, seed): lambda e, v=value, s=seed: np.sin(e) + v + s for value in (0, 2) for seed in (0, 0.5)}
    )
    found = spread(frame, "level", "x", "y")
    assert (found.values, found.seeds) == pytest.approx((1, 0.25))
    assert (found.low, found.high) == (1, 32)


def test_curves_that_differ_in_speed_alone_become_one_on_their_own_clock():
    speeds = {1: 1.0, 2: 2.0, 4: 4.0}
    frame = curves({(value, 0): lambda e, v=value: np.log(speeds[v] * e) for value in speeds})
    frame["clock"] = frame.epoch * frame.level.map(speeds)
    apart, together = (
        spread(frame, "level", "x", "y", log=True),
        spread(frame, "level", "clock", "y", log=True),
    )
    assert apart.values == pytest.approx(np.std(np.log(list(speeds.values()))))
    assert together.values == pytest.approx(0, abs=1e-12)
    assert (together.low, together.high) == pytest.approx((4, 32))
    assert np.isnan(together.seeds)
    assert spread(frame, "level", "clock", "y", log=True, until=16).high == pytest.approx(16)


def test_where_an_axis_falls_back_the_curve_has_no_points():
    frame = curves({(value, 0): lambda e, v=value: v + 0.0 * e for value in (0, 1)}, epochs=range(6))
    frame["x"] = [0, 1, 3, 2, 2.5, 4] * 2
    frame.loc[frame.x.isin([2, 2.5]), "y"] += 100
    assert spread(frame, "level", "x", "y").values == pytest.approx(0.5)


def test_curves_with_nothing_in_common_are_refused():
    frame = curves({(0, 0): lambda e: e, (1, 0): lambda e: e})
    frame.loc[frame.level == 1, "x"] += 100
    with pytest.raises(ValueError, match="curves must share a part of x, got none from 101 to 32"):
        spread(frame, "level", "x", "y")
