"""Measured angles against derivatives written out, closed forms and counting."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from cleanprio_lib import data, experiments, models
from cleanprio_lib.measurements import derivative_angles as measured

SMALL = measured.CircleSettings(degrees=(0, 20, 90, 180), width=16)
MEASUREMENTS = (
    (measured.on_circle, SMALL),
    (measured.over_widths, measured.WidthSettings(widths=(8, 16))),
    (measured.in_clusters, measured.ClusterSettings(per_cluster=5, width=8)),
    (measured.gram_variances, measured.GramSettings(draws=10)),
)


def _autograd_angle(net, x, z):
    one, two = (
        torch.cat([part.flatten() for part in torch.autograd.grad(net(point[None]).sum(), net.parameters())])
        for point in (x, z)
    )
    return math.acos(min(1.0, max(-1.0, float(one @ two / (one.norm() * two.norm())))))


def _point(degrees):
    return torch.tensor(
        [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], dtype=torch.float64
    )


@pytest.mark.parametrize(("measure", "settings"), MEASUREMENTS)
def test_the_seed_decides_and_the_frame_is_tidy(measure, settings):
    first, again, other = (measure(settings, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first.equals(other)
    assert "seed" not in first
    assert set(first.dtypes.map(lambda dtype: dtype.kind)) <= {"i", "f", "O", "U"}


@pytest.mark.parametrize(("activation", "make"), [("relu", nn.ReLU), ("linear", nn.Identity)])
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_angles_on_the_circle_are_those_of_an_ordinary_backward_pass(activation, make, depth):
    frame = measured.on_circle(SMALL, seed=4)
    own = frame[(frame.activation == activation) & (frame.depth == depth)]
    net = models.fully_connected(2, 16, depth=depth, activation=make, parametrization="ntk", seed=4).double()
    assert own.degrees.tolist() == list(SMALL.degrees)
    # Cosines, as close to 0 and π rounding is spread out by the arc cosine; half a unit of the last decimal.
    for degrees, angle in zip(own.degrees, own.theta_h, strict=True):
        assert abs(math.cos(angle) - math.cos(_autograd_angle(net, _point(0), _point(degrees)))) < 1e-9


def test_opposite_inputs_are_at_a_right_angle_in_every_two_layer_relu_net():
    frame = measured.on_circle(replace(SMALL, nets=(("relu", 2), ("linear", 2)), degrees=(180,)), seed=0)
    np.testing.assert_allclose(frame.theta_h, [math.pi / 2, math.pi], atol=1e-7)


def test_deviation_is_measured_from_theorem_3_1():
    settings = measured.WidthSettings(nets=(("relu", 2),), degrees=(10, 60), widths=(16,))
    circle = measured.on_circle(replace(SMALL, nets=settings.nets, degrees=(10, 60)), seed=3)
    t = np.radians([10, 60])
    off = circle.theta_h - np.arccos((np.pi - t) / np.pi * np.cos(t) + np.sin(t) / (2 * np.pi))
    frame = measured.over_widths(settings, seed=3)
    assert frame.rms.item() == pytest.approx(math.sqrt((off**2).mean()), abs=2e-9)
    assert frame["mean"].item() == pytest.approx(off.mean(), abs=2e-9)


def test_pairs_are_counted_once_and_sorted_by_class():
    angles = np.arange(16.0).reshape(4, 4)
    within, between = measured.pairs_of(angles, np.array([0, 1, 0, 1]))
    assert (sorted(within), sorted(between)) == ([2, 7], [1, 3, 6, 11])


def test_closer_within_counts_pairs_of_pairs():
    generator = np.random.default_rng(0)
    within, between = generator.integers(0, 5, 30).astype(float), generator.integers(1, 7, 40).astype(float)
    won = [(a < b) + (a == b) / 2 for a, b in itertools.product(within, between)]
    assert measured.closer_within(within, between) == pytest.approx(np.mean(won), abs=1e-9)
    assert measured.closer_within(np.array([1.0]), np.array([2.0])) == 1


def test_input_angles():
    x = np.array([[2.0, 0], [0, 3], [-1, 0], [1, 1]])
    expected = np.radians([[0, 90, 180, 45], [90, 0, 90, 45], [180, 90, 0, 135], [45, 45, 135, 0]])
    np.testing.assert_allclose(measured.input_angles(x), expected, atol=3e-8)


def test_clusters_are_summarised_pair_by_pair():
    settings = measured.ClusterSettings(per_cluster=4, width=8)
    frame = measured.in_clusters(settings, seed=2).set_index(["source", "pairs"])
    x, _ = data.two_clusters(4, seed=2)
    net = models.fully_connected(2, 8, depth=3, parametrization="ntk", seed=2).double()
    angles = [_autograd_angle(net, a, b) for a, b in itertools.product(*torch.from_numpy(x).split(4))]
    own = frame.loc["net", "between"]
    assert own["mean"] == pytest.approx(np.mean(angles), abs=1e-7)
    assert (own.q05, own.q95) == pytest.approx(tuple(np.quantile(angles, [0.05, 0.95])), abs=1e-7)
    bins = own.filter(like="bin_")
    counted = pd.Series(np.floor(np.degrees(angles) / 3) * 3).value_counts(normalize=True)
    for low, share in counted.items():
        assert bins[f"bin_{low:.0f}"] == pytest.approx(share)
    assert frame.filter(like="bin_").sum(axis=1).to_numpy() == pytest.approx(1)


def test_prediction_for_clusters_is_made_from_the_angles_of_their_points():
    """The formula for three layers, written out."""
    frame = measured.in_clusters(measured.ClusterSettings(per_cluster=2, width=8), seed=0)
    own = frame[frame.pairs == "between"].set_index("source")["mean"]
    x, _ = data.two_clusters(2, seed=0)
    directions = np.arctan2(x[:, 1], x[:, 0])
    theta = np.abs(directions[2:, None] - directions[None, :2])
    inner = np.arccos((np.sin(theta) + (np.pi - theta) * np.cos(theta)) / np.pi)
    outer = (np.sin(inner) + (np.pi - inner) * np.cos(inner)) / np.pi
    second = np.cos(inner) + (1 - theta / np.pi) * np.cos(theta)
    predicted = np.arccos((outer + (1 - inner / np.pi) * second) / 3)
    assert (own["inputs"], own["theory"]) == pytest.approx((theta.mean(), predicted.mean()), abs=1e-8)


def test_gram_variances_are_those_of_the_lemma():
    frame = measured.gram_variances(measured.GramSettings(widths=(50,), draws=20_000), seed=0)
    # Four relative standard errors of a sample variance of nearly normal numbers, √(2/draws).
    room = 4 * math.sqrt(2 / 20_000)
    assert frame.off.item() * 50 == pytest.approx(1, abs=room)
    assert frame.diagonal.item() * 25 == pytest.approx(1, abs=room)


def test_classes_are_drawn_from_the_digits_named(stand_in):
    settings = measured.ClassSettings(pairs=((0, 1),), per_class=6, width=8)
    frame = measured.in_classes(settings, seed=0, split=stand_in).set_index("inputs")
    assert list(frame.index) == ["two clusters", "digits 0 and 1"]
    x, y = measured._digits(stand_in, (3, 1), 6, seed=0)
    for image, label in zip(x, y, strict=True):
        found = (stand_in.x_train.reshape(len(stand_in.x_train), -1) == np.round(image * 255)).all(axis=1)
        assert (3, 1)[label] in stand_in.y_train[found]
    assert x.max() <= 1


@pytest.mark.parametrize("measure", [measured.on_circle, measured.over_widths, measured.in_clusters])
def test_the_recorded_settings_are_the_papers(measure):
    (found,) = [known for known in experiments.EXPERIMENTS.values() if known.measure is measure]
    paper = found.scales["paper"]
    if measure is measured.on_circle:
        assert paper.width == 512
        assert set(paper.nets) == set(itertools.product(("relu", "linear"), (2, 3, 5)))
    if measure is measured.in_clusters:
        assert (paper.depth, paper.width) == (3, 512)
