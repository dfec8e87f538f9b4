"""Single-logit subset gradients, against gradients written out by an ordinary backward pass."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cleanprio_lib import models, theory, training
from cleanprio_lib.measurements import logit_dynamics
from cleanprio_lib.metrics import Task, measured_samples

CLASSES = 4


def _task(n=80, *, classes=CLASSES, seed=0, level=0.4):
    rng = np.random.default_rng(seed)
    true = torch.from_numpy(rng.integers(classes, size=n))
    x = torch.from_numpy(rng.normal(size=(n, 5)).astype(np.float32)) + true[:, None] / 2
    shift = torch.from_numpy(rng.integers(1, classes, size=n))
    given = torch.where(torch.from_numpy(rng.random(n) < level), (true + shift) % classes, true)
    return Task(x, given, true, x, true, classes)


@pytest.fixture(scope="module")
def trained():
    """A task, and a net that has begun to learn it, so that outputs are not 1/C."""
    task = _task()
    model = models.fully_connected(5, 16, depth=3, num_outputs=CLASSES, seed=1)
    settings = training.TrainingSettings(epochs=6, batch_size=8, learning_rate=0.3, precision="float32")
    training.train(model, task, settings, seed=0, progress=False)
    return model, task


def _gradient(model, x, y, logit=None):
    """(p,) float64 gradient of the summed loss, by autograd alone.

    At one logit: of the binary logistic loss with its output replaced by the softmax's, held fixed.
    """
    double = models.fully_connected(5, 16, depth=3, num_outputs=CLASSES, seed=0).double()
    double.load_state_dict({name: value.double() for name, value in model.state_dict().items()})
    logits = double(x.double())
    if logit is None:
        value = F.cross_entropy(logits, y, reduction="sum")
    else:
        residual = logits.softmax(1)[:, logit].detach() - (y == logit).double()
        value = (residual * logits[:, logit]).sum()
    parts = torch.autograd.grad(value, list(double.parameters()))
    return torch.cat([part.flatten() for part in parts])


def _cosine(one, other):
    return float(torch.cosine_similarity(one, other, dim=0))


def test_numbers_of_a_logit_are_those_of_its_gradients(trained):
    model, task = trained
    numbers = logit_dynamics.logit_metrics(model, task)
    noisy = task.is_noisy
    for c in range(CLASSES):
        own = task.true == c

        def sums(rows, labels=task.given, c=c):
            return _gradient(model, task.x[rows], labels[rows], logit=c)

        clean, noise = sums(own & ~noisy), sums(own & noisy)
        true = clean + sums(own & noisy, task.true)
        into = sums(~own & (task.given == c))
        wanted = {
            "clean_norm": clean.norm(),
            "ratio": clean.norm() / noise.norm(),
            "cosine": _cosine(clean, noise),
            "alpha": -(noise @ clean) / (clean @ clean),
            "clean_part": clean @ true / (true @ true),
            "noisy_part": noise @ true / (true @ true),
            "into_size": into.norm() / clean.norm(),
            "into_cosine": _cosine(clean, into),
        }
        for name, value in wanted.items():
            # Float32 products: 1e-6 of a cosine.
            assert numbers[f"{name}_{c}"] == pytest.approx(float(value), rel=1e-4, abs=1e-5), name


def test_other_counts_every_clean_sample_at_one_logit_that_is_not_its_own(trained):
    model, task = trained
    masks = logit_dynamics.logit_masks(task)
    other = masks[logit_dynamics.OTHER]
    assert torch.equal(other.sum(1), (~task.is_noisy).long())
    assert not other[torch.arange(len(task.x)), task.true].any()
    for c in range(CLASSES):  # one class's samples are spread evenly over the other logits
        counts = torch.bincount(logit_dynamics._another(task.true, CLASSES)[task.true == c], minlength=4)
        assert counts[c] == 0
        assert counts[torch.arange(4) != c].max() - counts[torch.arange(4) != c].min() <= 1
    numbers = logit_dynamics.logit_metrics(model, task)
    for c in range(CLASSES):
        clean = (task.true == c) & ~task.is_noisy
        g_clean = _gradient(model, task.x[clean], task.given[clean], logit=c)
        g_other = _gradient(model, task.x[other[:, c]], task.given[other[:, c]], logit=c)
        size = 3 * g_other.norm() / g_clean.norm()
        assert numbers[f"other_size_{c}"] == pytest.approx(float(size), rel=1e-4)
        assert numbers[f"other_cosine_{c}"] == pytest.approx(_cosine(g_clean, g_other), abs=1e-5)


def test_numbers_of_a_class_over_all_logits_are_those_of_the_loss_itself(trained):
    model, task = trained
    numbers = logit_dynamics.logit_metrics(model, task)
    for c in range(CLASSES):
        clean, noisy = ((task.true == c) & rows for rows in (~task.is_noisy, task.is_noisy))
        g_clean = _gradient(model, task.x[clean], task.given[clean])
        g_noise = _gradient(model, task.x[noisy], task.given[noisy])
        g_true = g_clean + _gradient(model, task.x[noisy], task.true[noisy])
        step = (g_clean + g_noise) @ g_true / (g_true @ g_true)
        assert numbers[f"full_ratio_{c}"] == pytest.approx(float(g_clean.norm() / g_noise.norm()), rel=1e-4)
        assert numbers[f"full_cosine_{c}"] == pytest.approx(_cosine(g_clean, g_noise), abs=1e-5)
        assert numbers[f"full_step_{c}"] == pytest.approx(float(step), rel=1e-4, abs=1e-5)


def test_numbers_of_all_samples_are_those_of_the_whole_gradient(trained):
    model, task = trained
    numbers = logit_dynamics.logit_metrics(model, task)
    given, true = (_gradient(model, task.x, labels) for labels in (task.given, task.true))
    clean, noisy = (
        _gradient(model, task.x[rows], task.given[rows]) for rows in (~task.is_noisy, task.is_noisy)
    )
    assert numbers["true_cosine"] == pytest.approx(_cosine(given, true), abs=1e-5)
    assert numbers["true_size"] == pytest.approx(float(given.norm() / true.norm()), rel=1e-4)
    alpha = float(-(noisy @ clean) / (clean @ clean))
    assert numbers["total_alpha"] == pytest.approx(alpha, rel=1e-4, abs=1e-5)
    assert numbers["total_cosine"] == pytest.approx(_cosine(clean, noisy), abs=1e-5)


def test_means_over_classes_are_geometric_for_ratios_and_arithmetic_for_cosines(trained):
    numbers = logit_dynamics.logit_metrics(*trained)
    for name, mean in (
        ("ratio", lambda v: np.prod(v) ** (1 / CLASSES)),
        ("full_ratio", lambda v: np.prod(v) ** (1 / CLASSES)),
        ("cosine", np.mean),
        ("clean_part", np.mean),
    ):
        assert numbers[name] == pytest.approx(mean([numbers[f"{name}_{c}"] for c in range(CLASSES)]))


class _Constant(nn.Module):
    """C linear logits of the same input, with zero weights: every output is 1/C, every derivative x."""

    def __init__(self, classes):
        super().__init__()
        self.layer = nn.Linear(1, classes, bias=False)
        nn.init.zeros_(self.layer.weight)

    def forward(self, x):
        return self.layer(x)


def test_equal_outputs_give_equation_14_by_counting_heads():
    """Ten classes of 90 equal inputs, 27 wrong labels in each, three into every other class."""
    classes, level = 10, 0.3
    true = torch.arange(classes).repeat_interleave(90)
    place = torch.arange(90).repeat(classes)
    given = torch.where(place < 27, (true + 1 + place % 9) % classes, true)
    x = torch.ones(900, 1)
    numbers = logit_dynamics.logit_metrics(_Constant(classes), Task(x, given, true, x, true, classes))
    wanted = {
        "clean_norm": 63 * 0.9,
        "ratio": theory.gradient_ratio(level, classes),
        "cosine": -1,
        "alpha": level / (9 * (1 - level)),
        "clean_part": 1 - level,
        "noisy_part": -level / 9,
        "into_size": level / (1 - level),  # 27 samples at 0.9, in the same direction
        "into_cosine": 1,
        "other_size": 1.0,  # 567 samples at 0.1
        "other_cosine": -1,
        # All logits: uniform noise leaves the noisy class 27 (1/10 - 3/27) at each wrong logit.
        "full_ratio": theory.gradient_ratio(level, classes),
        "full_cosine": -1,
        "full_step": 1 - level * classes / (classes - 1),
    }
    for name, value in wanted.items():
        assert numbers[name] == pytest.approx(value, rel=1e-5), name
        assert numbers[f"{name}_7"] == pytest.approx(value, rel=1e-5), name


def test_batch_normalisation_is_measured_in_evaluation_mode_and_modes_are_given_back():
    task = _task()
    net = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, CLASSES))
    with torch.no_grad():
        net(task.x)  # running statistics that are neither 0 nor 1
    net[1].eval()  # frozen, as some nets are
    modes = [module.training for module in net.modules()]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    numbers = logit_dynamics.logit_metrics(net, task)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert numbers == logit_dynamics.logit_metrics(net.eval(), task)


def test_a_stated_part_of_the_samples_is_measured(trained):
    model, task = trained
    chosen = torch.from_numpy(measured_samples(task.true, task.is_noisy, 50))
    assert logit_dynamics.logit_metrics(model, task, samples=50) == logit_dynamics.logit_metrics(
        model, task.take(chosen)
    )
    assert logit_dynamics.logit_metrics(model, task, samples=None) == logit_dynamics.logit_metrics(
        model, task
    )


def test_an_empty_noisy_subset_gives_nan_where_it_is_asked_for():
    task = _task(level=0.0)
    model = models.fully_connected(5, 8, num_outputs=CLASSES, seed=0)
    numbers = logit_dynamics.logit_metrics(model, task)
    assert math.isnan(numbers["cosine"])
    assert math.isnan(numbers["into_cosine_1"])
    assert numbers["clean_part_1"] == pytest.approx(1, abs=1e-6)
    assert numbers["true_cosine"] == pytest.approx(1, abs=1e-6)


def test_two_classes_are_an_error():
    with pytest.raises(ValueError, match="task must have 3 classes or more, got 2"):
        logit_dynamics.logit_metrics(models.fully_connected(5, 8, seed=0), _task(classes=2))
