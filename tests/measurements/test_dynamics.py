"""Subset gradients during training, against gradients written out by an ordinary backward pass."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cleanprio_lib import models, training
from cleanprio_lib.measurements import dynamics
from cleanprio_lib.metrics import Task


def _task(n=40, *, classes=2, seed=0, level=0.3):
    rng = np.random.default_rng(seed)
    true = torch.from_numpy(rng.integers(classes, size=n))
    x = torch.from_numpy(rng.normal(size=(n, 5)).astype(np.float32)) + true[:, None]
    given = torch.where(torch.from_numpy(rng.random(n) < level), (true + 1) % classes, true)
    return Task(x, given, true, x, true, classes)


@pytest.fixture(scope="module")
def trained():
    """A task, and a net that has begun to learn it, so that no output is one half."""
    task = _task()
    model = models.fully_connected(5, 16, depth=3, seed=1)
    settings = training.TrainingSettings(epochs=4, batch_size=8, learning_rate=0.3, precision="float32")
    training.train(model, task, settings, seed=0, progress=False)
    return model, task


def _gradient(model, x, y):
    """(p,) float64 gradient of the summed loss, nothing but autograd."""
    double = models.fully_connected(5, 16, depth=3, seed=0).double()
    double.load_state_dict({name: value.double() for name, value in model.state_dict().items()})
    loss = F.binary_cross_entropy_with_logits(double(x.double())[:, 0], y.double(), reduction="sum")
    parts = torch.autograd.grad(loss, list(double.parameters()))
    return torch.cat([part.flatten() for part in parts])


def test_numbers_of_a_class_are_those_of_its_gradients(trained):
    model, task = trained
    numbers = dynamics.gradient_metrics(model, task)
    for c in (0, 1):
        clean, noisy = ((task.true == c) & rows for rows in (~task.is_noisy, task.is_noisy))
        g_clean = _gradient(model, task.x[clean], task.given[clean])
        g_noise = _gradient(model, task.x[noisy], task.given[noisy])
        g_true = g_clean + _gradient(model, task.x[noisy], task.true[noisy])
        along = g_clean @ g_true / (g_true @ g_true)
        wanted = {
            "clean_norm": g_clean.norm(),
            "noisy_norm": g_noise.norm(),
            "true_norm": g_true.norm(),
            "ratio": g_clean.norm() / g_noise.norm(),
            "cosine": torch.cosine_similarity(g_clean, g_noise, dim=0),
            "alpha": -(g_noise @ g_clean) / (g_clean @ g_clean),
            "clean_part": along,
            "noisy_part": g_noise @ g_true / (g_true @ g_true),
            "clean_rest": (g_clean - along * g_true).norm() / g_clean.norm(),
        }
        for name, value in wanted.items():
            # Float32 products: 1e-6 of a cosine, and of a rest that is a difference of two of them.
            assert numbers[f"{name}_{c}"] == pytest.approx(float(value), rel=1e-4, abs=1e-5), name


def test_numbers_of_all_samples_are_those_of_the_whole_gradient(trained):
    model, task = trained
    numbers = dynamics.gradient_metrics(model, task)
    level = float(task.is_noisy.double().mean())
    given, true = (_gradient(model, task.x, labels) for labels in (task.given, task.true))
    smoothed = _gradient(model, task.x, (1 - 2 * level) * task.true.double() + level)
    for name, other in (("true", true), ("smoothed", smoothed)):
        cosine = torch.cosine_similarity(given, other, dim=0)
        assert numbers[f"{name}_cosine"] == pytest.approx(float(cosine), abs=1e-5)
        assert numbers[f"{name}_size"] == pytest.approx(float(given.norm() / other.norm()), rel=1e-4)
    clean, noisy = (
        _gradient(model, task.x[rows], task.given[rows]) for rows in (~task.is_noisy, task.is_noisy)
    )
    assert numbers["total_alpha"] == pytest.approx(float(-(noisy @ clean) / (clean @ clean)), rel=1e-4)
    cosine = float(torch.cosine_similarity(clean, noisy, dim=0))
    assert numbers["total_cosine"] == pytest.approx(cosine, abs=1e-5)
    lowered = torch.tensor(
        [
            float(_gradient(model, task.x[i : i + 1], task.given[i : i + 1]) @ given) > 0
            for i in range(len(task.x))
        ]
    )
    assert 0 < lowered.double().mean() < 1
    assert numbers["clean_lowered"] == pytest.approx(float(lowered[~task.is_noisy].double().mean()))
    assert numbers["noisy_lowered"] == pytest.approx(float(lowered[task.is_noisy].double().mean()))


@pytest.mark.parametrize("learnt", [0, 4, 80, 150])
def test_the_noisy_loss_falls_along_a_small_step_once_alpha_exceeds_the_squared_cosine(learnt):
    """Step 4.5.15 of the proofs, by the slope of the loss itself."""
    task = _task()
    model = models.fully_connected(5, 16, depth=3, seed=1)
    settings = training.TrainingSettings(learnt + 1, 8, 0.3, precision="float32", record_every=learnt + 1)
    training.train(model, task, settings, seed=0, progress=False)
    numbers = dynamics.gradient_metrics(model, task)
    step = _gradient(model, task.x, task.given)
    slope = -float(_gradient(model, task.x[task.is_noisy], task.given[task.is_noisy]) @ step)
    assert (slope < 0) == (learnt >= 80) == (numbers["total_alpha"] > numbers["total_cosine"] ** 2)


def test_an_empty_noisy_subset_gives_nan_where_it_is_asked_for():
    task = _task(level=0.0)
    numbers = dynamics.gradient_metrics(models.fully_connected(5, 8, seed=0), task)
    assert math.isnan(numbers["cosine_0"])
    assert math.isnan(numbers["noisy_lowered"])
    assert numbers["clean_part_1"] == pytest.approx(1, abs=1e-6)
    assert numbers["true_cosine"] == pytest.approx(1, abs=1e-6)


def test_more_than_two_classes_are_an_error():
    with pytest.raises(ValueError, match="task must have 2 classes, got 3"):
        dynamics.gradient_metrics(models.fully_connected(5, 8, num_outputs=3, seed=0), _task(classes=3))


def _integer_task(x, given, true):
    given, true = torch.tensor(given), torch.tensor(true)
    x = torch.tensor(x, dtype=torch.float32)[:, None]
    return Task(x, given, true, x[:1], true[:1], 2)


def _won(noisy, clean):
    """Share of pairs in which the noisy sample's number is the larger, ties counted half."""
    pairs = [(one > other) + (one == other) / 2 for one in noisy for other in clean]
    return sum(pairs) / len(pairs)


def _identity():
    """A net whose logit is its input."""
    layer = torch.nn.Linear(1, 1)
    layer.load_state_dict({"weight": torch.ones(1, 1), "bias": torch.zeros(1)})
    return layer


def test_detection_is_the_share_of_pairs_that_residuals_order_rightly():
    rng = np.random.default_rng(5)
    logits, given, true = rng.integers(-2, 3, 64), rng.integers(0, 2, 64), rng.integers(0, 2, 64)
    numbers = dynamics.detection_metrics(_identity(), _integer_task(logits, given, true))
    # The residual grows with the logit where the given label is 0, and falls with it where it is 1.
    sizes, noisy = np.where(given == 0, logits, -logits), given != true
    groups = {"detection": true >= 0, "detection_0": true == 0, "detection_1": true == 1}
    assert set(numbers) == set(groups)
    for name, group in groups.items():
        wrong, right = sizes[group & noisy], sizes[group & ~noisy]
        assert set(wrong) & set(right)  # ties are there
        assert numbers[name] == pytest.approx(_won(wrong, right), abs=1e-12), name
    assert len(set(numbers.values())) == 3


def test_detection_of_more_classes_is_by_the_length_of_their_residuals():
    task = _task(classes=3, n=48)
    model = models.fully_connected(5, 8, num_outputs=3, seed=0)
    numbers = dynamics.detection_metrics(model, task)
    with torch.no_grad():
        output = model(task.x).double().softmax(dim=1)
    sizes = (output - F.one_hot(task.given, 3)).norm(dim=1)
    for name, group in (("detection", task.true >= 0), ("detection_2", task.true == 2)):
        wanted = _won(sizes[group & task.is_noisy].tolist(), sizes[group & ~task.is_noisy].tolist())
        assert numbers[name] == pytest.approx(wanted, abs=1e-12)


def test_detection_finds_all_none_or_flips_a_coin():
    given, true = [0, 1, 0, 1], [0, 1, 1, 0]  # the last two are noisy
    for logits, wanted in (([-1, 1, 1, -1], 1), ([1, -1, -1, 1], 0), ([0, 0, 0, 0], 0.5)):
        numbers = dynamics.detection_metrics(_identity(), _integer_task(logits, given, true))
        assert numbers == {"detection": wanted, "detection_0": wanted, "detection_1": wanted}


def test_detection_of_an_empty_subset_is_nan():
    clean = dynamics.detection_metrics(models.fully_connected(5, 8, seed=0), _task(level=0.0))
    assert all(math.isnan(value) for value in clean.values())
    # All of class 1 is noisy and nothing of class 0: together they can be told apart, by themselves not.
    numbers = dynamics.detection_metrics(
        _identity(), _integer_task([0, -1, 2, 1], [0, 0, 0, 0], [0, 0, 1, 1])
    )
    assert numbers["detection"] == 1
    assert math.isnan(numbers["detection_0"])
    assert math.isnan(numbers["detection_1"])
    # No sample of class 1 at all.
    numbers = dynamics.detection_metrics(_identity(), _integer_task([0, -1, 2], [0, 0, 1], [0, 0, 0]))
    assert numbers["detection"] == numbers["detection_0"] == 0
    assert math.isnan(numbers["detection_1"])
