"""Compiled Mish: the same function and derivative, in training steps and nowhere else."""

import shutil

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cleanprio_lib import compiled_mish as compiled
from cleanprio_lib import models
from cleanprio_lib.metrics import Task
from cleanprio_lib.training import TrainingSettings, train

EPS = torch.finfo(torch.float32).eps
ROUNDINGS = (
    8  # of half a unit in the last place each, in either formula; the exponential's own error is one more
)


@pytest.fixture
def interpreted(monkeypatch):
    """The formulas as they are written, since compiling takes seconds; a list of those asked for."""
    asked = []
    monkeypatch.setattr(compiled, "_compiled", lambda function: asked.append(function) or function)
    return asked


@pytest.fixture
def task():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12, 3, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(12) % 3
    return Task(x, labels, labels.flip(0), x[:3], labels[:3], 3)


def test_the_formulas_are_mish_and_its_derivative():
    x = torch.cat([torch.linspace(-80, 80, 20_001), torch.linspace(-2, 2, 20_001)])
    exact = x.double().requires_grad_()
    value = F.mish(exact)
    (slope,) = torch.autograd.grad(value.sum(), exact)
    # In both the exponential is of the same float32 number, and none underflows.
    torch.testing.assert_close(compiled.mish(x).double(), value.detach(), rtol=ROUNDINGS * EPS, atol=0)
    ones = torch.ones_like(x)
    # The derivative is at most 1.09, and a sum of two terms of which the second is at most 1 in size.
    torch.testing.assert_close(
        compiled.mish_backward(x, ones).double(), slope, rtol=0, atol=2 * ROUNDINGS * EPS
    )
    doubled = compiled.mish_backward(x, 2 * ones)
    assert torch.equal(doubled, 2 * compiled.mish_backward(x, ones))  # a factor of two rounds nothing


def test_no_input_is_too_large():
    x = torch.tensor([-1e30, -1000.0, 0.0, 1000.0, 1e30, float("nan")])
    torch.testing.assert_close(compiled.mish(x), F.mish(x), rtol=0, atol=0, equal_nan=True)
    slopes = compiled.mish_backward(x, torch.ones_like(x))
    assert slopes[:-1].tolist() == pytest.approx([0, 0, 0.6, 1, 1], abs=2 * EPS)
    assert slopes[-1].isnan()


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiled_net_has_the_gradient_of_the_net():
    net = models.resnet9(width=2, num_classes=3, seed=0)
    x = torch.rand(9, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def gradient(dtype):
        net.to(dtype).zero_grad()
        net(x.to(dtype)).square().sum().backward()
        return torch.cat([weights.grad.flatten().double() for weights in net.parameters()])

    plain = gradient(torch.float32)
    with compiled.compiled_mish(net):
        fast = gradient(torch.float32)
    exact = gradient(torch.float64)
    assert not torch.equal(fast, plain)  # else nothing was compiled
    assert (fast - exact).norm() < 3 * (plain - exact).norm()


def test_layers_are_as_before_after_the_block(interpreted):
    net = nn.Sequential(nn.Mish(), nn.Sequential(nn.Mish(), nn.ReLU()))
    x = torch.randn(4, requires_grad=True)
    with pytest.raises(KeyError), compiled.compiled_mish(net):
        net(x).sum().backward()
        assert interpreted == [compiled.mish] * 2 + [compiled.mish_backward] * 2
        raise KeyError
    net(x)
    assert len(interpreted) == 4
    assert all("forward" not in vars(layer) for layer in net.modules())


def test_steps_are_compiled_and_measurements_are_not(task, interpreted):
    settings = TrainingSettings(epochs=2, batch_size=8, learning_rate=0.1, precision="float32")

    def measure(model, task):
        before = len(interpreted)
        with torch.no_grad():
            model.eval()(task.x)
        assert len(interpreted) == before
        return {"steps": before}

    frames = {}
    for fast in (False, True):
        net = models.resnet9(width=1, num_classes=3, seed=0)
        frames[fast] = train(net, task, settings, seed=0, measures=[measure], compiled=fast, progress=False)
    # Eight layers, two steps an epoch, forward and backward.
    assert frames[False].steps.tolist() == [0, 0, 0]
    assert frames[True].steps.tolist() == [0, 32, 64]
    assert [frames[fast].attrs["compiled"] for fast in (False, True)] == [False, True]


def test_a_run_is_compiled_throughout_or_not_at_all(task, interpreted, tmp_path):
    settings = TrainingSettings(epochs=1, batch_size=8, learning_rate=0.1, precision="float32")
    arguments = {"seed": 0, "checkpoint": tmp_path / "run.pt", "progress": False}
    train(models.resnet9(width=1, num_classes=3, seed=0), task, settings, compiled=True, **arguments)
    with pytest.raises(ValueError, match=r"belongs to another run: compiled True \(now False\)"):
        train(models.resnet9(width=1, num_classes=3, seed=0), task, settings, **arguments)
