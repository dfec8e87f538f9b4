"""Ten classes in the wide net's kernel machine, against gradient descent with small steps."""

import dataclasses

import numpy as np
import pytest

from cleanprio_lib import data, noise, theory
from cleanprio_lib.measurements.kernel_by_level import by_level


@pytest.fixture(scope="module")
def split():
    stand_in = data.load("mnist", origin="stand-in")
    return dataclasses.replace(
        stand_in,
        x_train=stand_in.x_train[:80],
        y_train=stand_in.y_train[:80],
        x_test=stand_in.x_test[:60],
        y_test=stand_in.y_test[:60],
    )


def test_errors_are_those_of_gradient_descent(split):
    times = [0.5, 40.0, 400.0]
    frame = by_level(split, (0.3,), train_samples=80, test_samples=60, times=times, seeds=(2,))
    x, x_test = (images.reshape(len(images), -1) / 255 for images in (split.x_train, split.x_test))
    kernel, cross = (theory.tangent_kernel(one, x, depth=3) for one in (x, x_test))
    labels = noise.uniform(split.y_train, 0.3, num_classes=10, seed=2)
    wanted = np.eye(10)[labels.given]
    top = np.linalg.eigvalsh(kernel)[-1]
    f, f_test, step = np.full((80, 10), 0.1), np.full((60, 10), 0.1), 0.01 / top
    rows, wrong = [], labels.given != labels.true
    for number in range(1, 40_001):
        rest = f - wanted
        f, f_test = f - step * kernel @ rest, f_test - step * cross @ rest
        if number in [round(time / 0.01) for time in times]:
            missed = f.argmax(axis=1) != labels.given
            sizes = np.linalg.norm(f - wanted, axis=1)
            on_test = (f_test.argmax(axis=1) != split.y_test).mean()
            by_subset = [[values[~wrong].mean(), values[wrong].mean()] for values in (missed, sizes)]
            rows.append([*by_subset[0], on_test, *by_subset[1]])
    columns = ["clean_error", "noisy_error", "test_error", "clean_residual", "noisy_residual"]
    # A step of 1% of the top time constant: 0.5% off at the first time, less later.
    np.testing.assert_allclose(frame[columns], rows, atol=0.01)
    assert frame[["level", "seed", "epoch", "time"]].to_numpy().tolist() == [
        [0.3, 2, number, time] for number, time in enumerate(times)
    ]
    assert frame.noisy_error.iloc[0] > 0.8 > 0.5 > frame.noisy_error.iloc[-1]


def test_one_kernel_serves_all_levels_and_seeds(split):
    sizes = {"train_samples": 80, "test_samples": 60, "times": [10.0]}
    together = by_level(split, (0.1, 0.4), seeds=(0, 1), **sizes)
    alone = by_level(split, (0.4,), seeds=(1,), **sizes)
    np.testing.assert_allclose(together.iloc[3], alone.iloc[0], rtol=1e-12)
    assert len(together) == 4
