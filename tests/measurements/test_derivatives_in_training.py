"""Derivatives in training against the two-layer net's derivatives and one step written out."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from cleanprio_lib import models
from cleanprio_lib.measurements import derivatives_in_training as measured

TINY = measured.DescentSettings(
    widths=(6, 9), train_samples=20, test_samples=15, inputs=4, epochs=2, record_every=1, learning_rate=0.7
)


def _weights(net):
    first, last = (parameter.detach().numpy() for parameter in net.parameters())
    return first, last[0]


def _derivative(a, v, x):
    """Equation 21 of the paper."""
    active = a @ x > 0
    return np.concatenate([np.outer(v * active, x).ravel(), np.maximum(a @ x, 0)]) / np.sqrt(len(v))


def _cosine(one, two):
    return one @ two / np.sqrt(one @ one * (two @ two))


def test_cosines_are_those_of_the_derivative_written_out():
    one, two = (models.fully_connected(3, 5, parametrization="ntk", seed=s).double() for s in (0, 1))
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    expected = [_cosine(*(_derivative(*_weights(net), point) for net in (one, two))) for point in x.numpy()]
    np.testing.assert_allclose(measured.derivative_cosines(one, two, x), expected, rtol=1e-12)


def _stepped(a, v, x, y, rate):
    """Weights after a step of gradient descent on the mean logistic loss."""
    logits = np.maximum(x @ a.T, 0) @ v / np.sqrt(len(v))
    residual = 1 / (1 + np.exp(-logits)) - y
    step = rate / len(x) * sum(r * _derivative(a, v, point) for r, point in zip(residual, x, strict=True))
    return a - step[: a.size].reshape(a.shape), v - step[a.size :]


def _pair_angles(derivatives):
    return np.array([np.arccos(_cosine(p, q)) for p, q in itertools.combinations(derivatives, 2)])


def _error(a, v, x, y):
    return ((np.maximum(x @ a.T, 0) @ v > 0) != (y == 1)).mean()


def test_training_is_gradient_descent_on_the_mean_logistic_loss(stand_in):
    frame = measured.in_training(TINY, seed=3, split=stand_in)
    assert frame.width.tolist() == [6] * 3 + [9] * 3
    assert frame.epoch.tolist() == [0, 1, 2] * 2
    task = measured._task(TINY, stand_in, 3)
    x, y, x_test = task.x.numpy(), task.labels.given, task.x_test.numpy()
    for width, own in frame.groupby("width"):
        weights = _weights(models.fully_connected(784, width, parametrization="ntk", seed=3).double())
        start = [_derivative(*weights, point) for point in x_test[:4]]
        for row in own.itertuples():
            now = [_derivative(*weights, point) for point in x_test[:4]]
            cosines = [_cosine(one, two) for one, two in zip(start, now, strict=True)]
            moved = _pair_angles(now) - _pair_angles(start)
            assert row.cosine == pytest.approx(np.mean(cosines), rel=1e-12)
            assert row.angle_moved == pytest.approx(np.sqrt(np.mean(moved**2)), abs=1e-10)
            assert row.test_error == pytest.approx(_error(*weights, x_test, task.y_test.numpy()))
            assert row.train_error == pytest.approx(_error(*weights, x, y))
            weights = _stepped(*weights, x, y, 0.7)


def test_nothing_has_moved_at_the_start_and_the_seed_decides(stand_in):
    first, again, other = (measured.in_training(TINY, seed=seed, split=stand_in) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first.equals(other)
    start = first[first.epoch == 0]
    assert start.cosine.to_numpy() == pytest.approx(1)
    assert (start.angle_moved == 0).all()


def test_images_have_norm_one_and_the_noise_its_level(stand_in):
    task = measured._task(TINY, stand_in, 0)
    np.testing.assert_allclose(task.x.norm(dim=1), 1)
    assert task.x.dtype == torch.float64
    assert task.labels.is_noisy.sum() == pytest.approx(0.3 * 20, abs=1)  # rounded in each class
