"""Steps of mini-batches, against gradients of an ordinary backward pass and the laws of drawing."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from cleanprio_lib import data, models, noise, steps, training
from cleanprio_lib.measurements import batch_steps

SETTINGS = batch_steps.BatchSettings(
    width=8,
    epochs=(0, 2),
    batch_sizes=(1, 4),
    draws=40,
    train_samples=50,
    training_batch=16,
    learning_rate=0.3,
)


@pytest.fixture(autouse=True)
def _in_float32(monkeypatch):
    """The same steps on every machine, with or without instructions for bfloat16."""
    monkeypatch.setattr(steps, "resolve_precision", lambda precision, device: "float32")


def _labels(split, seed):
    """(50, 784) float64 inputs of sevens and nines, their given labels and their true ones."""
    pair = data.binary(split, (7, 9))
    labels = noise.uniform(pair.y_train[:50], 0.4, num_classes=2, seed=seed)
    x = torch.from_numpy(pair.x_train[:50].reshape(50, -1) / 255.0)
    return x, torch.from_numpy(labels.given).double(), torch.from_numpy(labels.true).double()


def _double(seed):
    return models.fully_connected(784, 8, depth=3, seed=seed).double()


def _gradient(net, x, y):
    """(p,) float64 gradient of the mean loss, nothing but autograd."""
    loss = F.binary_cross_entropy_with_logits(net(x)[:, 0], y)
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(net.parameters()))])


def _cosine(one, other):
    return float(torch.cosine_similarity(one, other, dim=0))


def _train(net, x, y, epochs, seed):
    """Plain SGD by hand in batches of 16."""
    for epoch in range(1, epochs + 1):
        for batch in training.sample_order(50, epoch=epoch, seed=seed).split(16):
            loss = F.binary_cross_entropy_with_logits(net(x[batch])[:, 0], y[batch])
            gradients = torch.autograd.grad(loss, list(net.parameters()))
            with torch.no_grad():
                for weights, gradient in zip(net.parameters(), gradients, strict=True):
                    weights -= 0.3 * gradient


@pytest.fixture(scope="module")
def first_steps(stand_in):
    """Batches of one sample, very many, from an untrained net."""
    settings = replace(SETTINGS, epochs=(0,), batch_sizes=(1,), draws=1000)
    (row,) = batch_steps.by_size(settings, seed=0, split=stand_in).itertuples()
    x, given, true = _labels(stand_in, 0)
    net = _double(0)
    whole = _gradient(net, x, true)
    cosines = [_cosine(_gradient(net, x[i : i + 1], given[i : i + 1]), whole) for i in range(50)]
    return row, np.array(cosines), float((given != true).double().mean())


def test_the_whole_sets_cosine_is_that_of_its_gradients_at_every_epoch(stand_in):
    found = batch_steps.by_size(SETTINGS, seed=3, split=stand_in).drop_duplicates("epoch")
    x, given, true = _labels(stand_in, 3)
    net, trained = _double(3), []
    for epochs in SETTINGS.epochs:
        _train(net, x, given, epochs, 3)
        trained.append(_cosine(_gradient(net, x, given), _gradient(net, x, true)))
    # Sums of 50 float32 gradients and two epochs of float32 steps: 1e-6 of a cosine, and a few of them.
    np.testing.assert_allclose(found.whole, trained, rtol=0, atol=1e-5)
    assert abs(trained[0] - trained[1]) > 0.01  # the epochs between are really trained


def test_a_batch_of_all_samples_is_the_whole_set(stand_in):
    settings = replace(SETTINGS, batch_sizes=(50,), draws=3)
    for row in batch_steps.by_size(settings, seed=1, split=stand_in).itertuples():
        for value in (row.cosine, row.cosine_q05, row.cosine_q95):
            assert value == pytest.approx(row.whole, abs=1e-5)
        assert row.forward == float(row.whole > 0)
        assert row.majority == 0  # 40% are wrong


def test_mean_cosine_and_share_forward_are_those_of_the_samples(first_steps):
    row, cosines, _ = first_steps
    error = cosines.std() / math.sqrt(1000)
    assert 0 < error < 0.1
    assert abs(row.cosine - cosines.mean()) < 4 * error + 1e-5
    forward = (cosines > 0).mean()
    assert 0 < forward < 1
    assert abs(row.forward - forward) < 4 * math.sqrt(forward * (1 - forward) / 1000)


def test_quantiles_of_the_cosine_are_those_of_the_samples(first_steps):
    row, cosines, _ = first_steps
    # Dvoretzky, Kiefer, Wolfowitz: 1000 draws lie within .0616 of the distribution, but once in 1000 times.
    band = math.sqrt(math.log(2 / 0.001) / 2 / 1000)
    for quantile, value in ((0.05, row.cosine_q05), (0.95, row.cosine_q95)):
        low, high = ((cosines <= value + shift).mean() for shift in (-1e-4, 1e-4))
        assert low - 1 / 50 - band < quantile < high + 1 / 50 + band
    assert row.cosine_q05 < row.cosine < row.cosine_q95


def test_quantiles_between_two_draws_are_a_twentieth_from_either(stand_in, first_steps):
    settings = replace(SETTINGS, epochs=(0,), batch_sizes=(1,), draws=2)
    (row,) = batch_steps.by_size(settings, seed=0, split=stand_in).itertuples()
    half = (row.cosine_q95 - row.cosine_q05) / 0.9 / 2
    assert half > 1e-3
    for drawn in (row.cosine - half, row.cosine + half):
        assert np.abs(first_steps[1] - drawn).min() < 1e-5


def test_a_single_draw_steps_forward_where_its_cosine_is_positive(stand_in):
    settings = replace(SETTINGS, epochs=(0,), batch_sizes=(1,) * 100, draws=1)
    found = batch_steps.by_size(settings, seed=0, split=stand_in)
    assert (found.forward == (found.cosine > 0)).all()
    assert (found.cosine_q05 == found.cosine).all()
    assert (found.cosine_q95 == found.cosine).all()
    assert found.cosine.between(0, 0.1).any()  # forward, if only just
    assert found.cosine.between(-0.1, 0).any()
    assert set(found.majority) == {0, 1}


@pytest.mark.parametrize("size", [1, 4, 5])
def test_wrong_majorities_follow_the_law_of_drawing_without_replacement(stand_in, size):
    settings = replace(SETTINGS, epochs=(0,), batch_sizes=(size,), draws=1000)
    (row,) = batch_steps.by_size(settings, seed=2, split=stand_in).itertuples()
    _, given, true = _labels(stand_in, 2)
    wrong = int((given != true).sum())
    assert 0 < wrong < 25
    more = range(size // 2 + 1, size + 1)  # strictly more than half
    chance = sum(math.comb(wrong, k) * math.comb(50 - wrong, size - k) for k in more) / math.comb(50, size)
    assert abs(row.majority - chance) < 4 * math.sqrt(chance * (1 - chance) / 1000)
    half = math.comb(wrong, size // 2) * math.comb(50 - wrong, size - size // 2) / math.comb(50, size)
    # The bound would notice if a half counted as a majority.
    assert size % 2 or half > 8 * math.sqrt(chance * (1 - chance) / 1000)


def test_every_epoch_and_batch_size_has_a_row(stand_in):
    found = batch_steps.by_size(SETTINGS, seed=0, split=stand_in)
    assert list(zip(found.epoch, found.batch, strict=True)) == [(0, 1), (0, 4), (2, 1), (2, 4)]
    assert set(found) == {
        "epoch", "batch", "cosine", "cosine_q05", "cosine_q95", "forward", "majority", "whole"
    }  # fmt: skip
    assert (found.groupby("epoch").whole.nunique() == 1).all()


def test_the_seed_decides_everything_and_drawing_does_not_disturb_the_training(stand_in):
    first, again, other = (batch_steps.by_size(SETTINGS, seed=s, split=stand_in) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not set(first.cosine) & set(other.cosine)
    late = batch_steps.by_size(replace(SETTINGS, epochs=(2,)), seed=0, split=stand_in)
    assert late.epoch.tolist() == [2, 2]
    assert late.whole.iloc[0] == first.whole.iloc[-1]


def test_without_a_number_all_images_of_the_classes_are_taken(stand_in):
    pair = data.binary(stand_in, (7, 9))
    task = batch_steps._task(replace(SETTINGS, train_samples=None), stand_in, 0)
    np.testing.assert_array_equal(task.true.numpy(), pair.y_train)
    np.testing.assert_allclose(task.x.numpy() * 255, pair.x_train.reshape(-1, 784), atol=1e-4)
    assert task.is_noisy.double().mean() == pytest.approx(0.4, abs=1 / len(pair.y_train))
