"""One step, tried and taken back: against steps by hand, and against the law of drawing."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cleanprio_lib import experiments, models, noise, steps, training
from cleanprio_lib.measurements import logit_dynamics, single_steps

SETTINGS = single_steps.StepSettings(
    epochs=1, batch_size=32, batch_sizes=(8, 96), draws=2, between=1, samples=96, train_samples=96
)


@pytest.fixture(autouse=True)
def _in_float32(monkeypatch):
    """The same steps on every machine, with or without instructions for bfloat16."""
    monkeypatch.setattr(steps, "resolve_precision", lambda precision, device: "float32")


def _by_hand(split, settings, seed):
    """Ratios before and after the steps, from gradients of single samples by autograd alone, in float64."""
    labels = noise.uniform(split.y_train[:96], settings.level, num_classes=10, seed=seed)
    given, true = torch.from_numpy(labels.given), torch.from_numpy(labels.true)
    x = torch.from_numpy(split.x_train[:96, None] / 255.0)
    net = models.mnist_cnn(seed=seed).double()

    def step(net, batch):
        found = torch.autograd.grad(F.cross_entropy(net(x[batch]), given[batch]), list(net.parameters()))
        with torch.no_grad():
            for weights, gradient in zip(net.parameters(), found, strict=True):
                weights -= settings.learning_rate * gradient

    def ratio(net):
        logs = []
        for c in range(10):
            sums = []
            for noisy in (False, True):
                own = (true == c) & (torch.from_numpy(labels.is_noisy) == noisy)
                logits = net(x[own])
                residuals = (logits.softmax(1)[:, c] - (given[own] == c).double()).detach()
                parts = torch.autograd.grad((residuals * logits[:, c]).sum(), list(net.parameters()))
                sums.append(torch.cat([part.flatten() for part in parts]).norm())
            logs.append((sums[0] / sums[1]).log())
        return float(torch.stack(logs).mean().exp())

    for batch in training.sample_order(96, epoch=1, seed=seed).split(32):
        step(net, batch)
    generator, rows = np.random.default_rng([seed, 1]), []
    for _ in range(settings.draws):
        step(net, torch.from_numpy(generator.choice(96, 32, replace=False)))
        before = ratio(net)
        for size in settings.batch_sizes:
            other = copy.deepcopy(net)
            step(other, torch.from_numpy(generator.choice(96, size, replace=False)))
            rows.append((before, ratio(other)))
    return np.array(rows)


def test_ratios_are_those_of_steps_by_hand(stand_in):
    found = single_steps.tried(SETTINGS, seed=2, split=stand_in)
    assert list(found.draw) == [0, 0, 1, 1]
    assert list(found.batch) == [8, 96, 8, 96]
    wanted = _by_hand(stand_in, SETTINGS, 2)
    np.testing.assert_allclose(found[["before", "after"]], wanted, rtol=1e-3)
    assert np.abs(np.diff(np.log(wanted), axis=1)).min() > 2e-3  # every step moves the ratio


def test_a_step_of_all_images_is_the_same_whenever_it_is_tried(stand_in):
    settings = replace(SETTINGS, batch_sizes=(96, 8, 96), draws=1)
    first, _, again = single_steps.tried(settings, seed=0, split=stand_in).after
    assert first == pytest.approx(again, rel=1e-5)


def test_a_step_of_more_images_than_there_are_is_an_error(stand_in):
    with pytest.raises(ValueError, match="batch sizes must be at most 96, the number of images, got 97"):
        single_steps.tried(replace(SETTINGS, batch_sizes=(97,)), seed=0, split=stand_in)


def test_the_steps_tried_are_those_of_the_recorded_runs():
    paper = experiments.settings_of("fig-08-last-batch", "paper")
    sizes = set()
    for scale, count in (
        ("paper", 60_000),
        ("laptop", experiments.settings_of("fig-07-mnist", "laptop").train_samples),
    ):
        run = experiments.settings_of("fig-07-mnist", scale)
        assert (run.level, run.training.learning_rate) == (paper.level, paper.learning_rate)
        assert run.training.batch_size == paper.batch_size
        sizes |= {run.training.batch_size, count % run.training.batch_size}
    assert set(paper.batch_sizes) == sizes
    assert paper.samples <= logit_dynamics.SAMPLES
