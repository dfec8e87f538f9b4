"""Subset metrics against NumPy by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from cleanprio_lib import metrics
from cleanprio_lib.metrics import Task


class Fixed(nn.Module):
    """Gives back its input: the logits are the data."""

    def forward(self, x):
        return x


def _task(num_classes, *, n=60, n_test=20):
    rng = np.random.default_rng(num_classes)
    columns = 1 if num_classes == 2 else num_classes
    logits = [torch.tensor(rng.normal(size=(k, columns)) * 3, dtype=torch.float32) for k in (n, n_test)]
    true, given, y_test = (torch.from_numpy(rng.integers(num_classes, size=k)) for k in (n, n, n_test))
    return Task(logits[0], given, true, logits[1], y_test, num_classes)


def _by_hand(logits, labels):
    logits, labels = logits.numpy().astype(float), labels.numpy()
    if logits.shape[1] == 1:
        f = 1 / (1 + np.exp(-logits[:, 0]))
        loss = -labels * np.log(f) - (1 - labels) * np.log(1 - f)
        return {
            "error": ((f > 0.5) != labels).mean(),
            "loss": loss.mean(),
            "residual": abs(f - labels).mean(),
        }
    f = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    one_hot = np.eye(logits.shape[1])[labels]
    return {
        "error": (f.argmax(axis=1) != labels).mean(),
        "loss": -(one_hot * np.log(f)).sum(axis=1).mean(),
        "residual": np.sqrt(((f - one_hot) ** 2).sum(axis=1)).mean(),
    }


def test_predictions_are_in_full_precision_whatever_the_caller_has_switched_on():
    torch.manual_seed(0)
    net, x = nn.Linear(200, 3), torch.randn(50, 200)
    plain = metrics.predict(net, x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(net(x), plain)
        assert torch.equal(metrics.predict(net, x), plain)
    with torch.inference_mode():
        assert not metrics.predict(net, x).is_inference()
    assert not plain.requires_grad


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_each_subset_is_measured_as_by_hand(num_classes):
    task = _task(num_classes)
    noisy = task.given != task.true
    parts = {
        "clean": (task.x[~noisy], task.given[~noisy]),
        "noisy": (task.x[noisy], task.given[noisy]),
        "noisy_true": (task.x[noisy], task.true[noisy]),
        "train": (task.x, task.given),
        "test": (task.x_test, task.y_test),
    }
    measured = metrics.subset_metrics(Fixed(), task)
    wanted = {f"{part}_{name}": value for part, of in parts.items() for name, value in _by_hand(*of).items()}
    assert measured.keys() == wanted.keys()
    for name, value in wanted.items():
        assert measured[name] == pytest.approx(value, rel=1e-5), name


def test_binary_residual_keeps_its_digits_where_one_minus_f_has_none():
    logits, labels = torch.tensor([[20.0], [-20.0]]), torch.tensor([1, 0])
    wanted = 1 / (1 + math.exp(20))
    assert metrics.sample_residuals(logits, labels).tolist() == pytest.approx([wanted, wanted], rel=1e-5)


def test_without_noise_the_noisy_columns_are_nan_and_the_others_are_not():
    task = _task(3)
    clean = Task(task.x, task.true, task.true, task.x_test, task.y_test, 3)
    measured = metrics.subset_metrics(Fixed(), clean)
    assert {name for name, value in measured.items() if math.isnan(value)} == {
        f"{part}_{name}" for part in ("noisy", "noisy_true") for name in metrics.QUANTITIES
    }


def test_predict_streams_in_evaluation_mode_and_leaves_the_mode_as_it_was():
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).train()
    x = torch.randn(metrics.PLAIN_BATCH * 2 + 3, 3, generator=torch.Generator().manual_seed(0))
    streamed = metrics.predict(net, x)
    assert net.training
    with torch.no_grad():
        torch.testing.assert_close(streamed, net.eval()(x))


def test_images_are_measured_in_small_batches_on_a_cpu_alone():
    convolution, plain = nn.Conv2d(1, 2, 3), nn.Linear(3, 2)
    batches = [
        metrics.measuring_batch(net, torch.device(device))
        for net in (convolution, plain)
        for device in ("cpu", "cuda")
    ]
    assert batches == [metrics.CONVOLUTIONAL_BATCH] + 3 * [metrics.PLAIN_BATCH]


def test_measured_samples_keep_the_share_of_every_group():
    rng = np.random.default_rng(0)
    true = torch.from_numpy(rng.integers(10, size=5000))
    is_noisy = torch.from_numpy(rng.random(5000) < 0.3)
    chosen = metrics.measured_samples(true, is_noisy, 1000)
    assert len(np.unique(chosen)) == 1000
    groups = (2 * true + is_noisy).numpy()
    for group in np.unique(groups):
        assert abs((groups[chosen] == group).sum() - (groups == group).sum() / 5) <= 1
    assert np.array_equal(metrics.measured_samples(true, is_noisy, 5000), np.arange(5000))


@pytest.mark.parametrize("count", [0, 61])
def test_measured_samples_names_a_bad_count(count):
    task = _task(3)
    with pytest.raises(ValueError, match=rf"measured must lie in \[1, 60\] .* got {count}"):
        metrics.measured_samples(task.true, task.is_noisy, count)


def test_task_take_and_to_keep_everything_else():
    task = _task(3)
    part = task.take(torch.tensor([5, 1])).to("cpu")
    assert torch.equal(part.x, task.x[[5, 1]])
    assert torch.equal(part.is_noisy, task.is_noisy[[5, 1]])
    assert torch.equal(part.x_test, task.x_test)
    assert (task.num_outputs, _task(2).num_outputs) == (3, 1)
