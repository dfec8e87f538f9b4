"""Departures of real nets from assumption 4.1: gradients by autograd, losses at weights really moved."""

import numpy as np
import pytest
import torch
from torch import nn

from cleanprio_lib import models
from cleanprio_lib.measurements import departure
from cleanprio_lib.metrics import Task, sample_losses

FEW = departure.DepartureSettings(
    digits=((0, 1), ()), train_samples=120, test_samples=40, width=8, steps=6, record_every=3, dense=1
)


def _task(classes):
    generator = torch.Generator().manual_seed(1)
    true = torch.arange(30) % classes
    noisy = torch.arange(30) % 5 < 2
    given = torch.where(noisy, (true + 1) % classes, true)
    x = torch.randn(30, 6, generator=generator) + true[:, None]
    return Task(x, given, true, x[:5], true[:5], classes)


def _subset_gradient(net, task, chosen):
    loss = sample_losses(net(task.x), task.given)[chosen].sum()
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(net.parameters()))])


@pytest.mark.parametrize("classes", [2, 3])
def test_inner_products_are_those_of_autograd(classes):
    task = _task(classes)
    net = models.fully_connected(6, 5, num_outputs=task.num_outputs, seed=0)
    exact = models.fully_connected(6, 5, num_outputs=task.num_outputs, seed=0).double()
    double = Task(task.x.double(), task.given, task.true, task.x_test, task.y_test, classes)
    arrows = torch.stack(
        [
            _subset_gradient(exact, double, kind & (task.true == c))
            for kind in (~task.is_noisy, task.is_noisy)
            for c in range(classes)
        ]
    )
    torch.testing.assert_close(departure.class_gram(net, task), arrows @ arrows.t(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("classes", [2, 3])
def test_slopes_are_what_happens_along_a_small_step(classes):
    task = _task(classes)
    net = models.fully_connected(6, 5, num_outputs=task.num_outputs, seed=0)
    before = nn.utils.parameters_to_vector(net.parameters()).clone()
    found = departure.departure_metrics(net, task)
    assert torch.equal(before, nn.utils.parameters_to_vector(net.parameters()))
    for kind in ("clean", "noisy"):
        assert found[f"{kind}_slope"] == pytest.approx(found[f"{kind}_quotient"], rel=1e-5)
    full = sample_losses(net(task.x), task.given).mean()
    step = torch.autograd.grad(full, list(net.parameters()))
    subset = task.is_noisy
    start = sample_losses(net(task.x), task.given)[subset].mean().item()
    with torch.no_grad():
        for parameter, part in zip(net.parameters(), step, strict=True):
            parameter -= 1e-2 * part
    moved = sample_losses(net(task.x), task.given)[subset].mean().item()
    assert moved - start == pytest.approx(1e-2 * found["noisy_slope"], rel=0.1)


def test_every_set_of_digits_is_trained_and_measured(stand_in):
    frame = departure.departures(FEW, seed=2, split=stand_in)
    assert frame.groupby("digits").epoch.apply(list).to_dict() == {
        "0 and 1": [0, 1, 3, 6],
        "all": [0, 1, 3, 6],
    }
    assert (frame.distance <= frame.bound + 1e-9).all()
    slopes = frame[["clean_slope", "noisy_slope"]].to_numpy()
    np.testing.assert_allclose(slopes, frame[["clean_quotient", "noisy_quotient"]], rtol=1e-2, atol=1e-5)
    again = departure.departures(FEW, seed=2, split=stand_in)
    assert frame.equals(again)
    assert not frame.equals(departure.departures(FEW, seed=3, split=stand_in))


def test_noise_is_placed_in_every_class(stand_in):
    for digits, classes in (((0, 1), 2), ((), 10)):
        task = departure.digits_task(stand_in, digits, 0.4, FEW, seed=0)
        assert (task.num_classes, len(task.x)) == (classes, 120)
        for c in range(classes):
            own = task.true == c
            assert task.is_noisy[own].sum() == round(0.4 * int(own.sum()))
