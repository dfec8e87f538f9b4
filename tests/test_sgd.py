"""Steps of the library's SGD: those of torch's, bit for bit, and without what torch's would load."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from cleanprio_lib.sgd import SGD

KINDS = {"ours": SGD, "torch's": torch.optim.SGD}


def trained(kind, *, momentum, steps, optimizer=None, net=None):
    """A net of which a part has no gradient, after some steps, and its optimiser."""
    torch.manual_seed(0)
    net = net or nn.ModuleList([nn.Linear(20, 30), nn.BatchNorm1d(30), nn.Linear(30, 3), nn.Linear(2, 2)])
    optimizer = optimizer or KINDS[kind](net.parameters(), lr=0.37, momentum=momentum)
    generator = torch.Generator().manual_seed(steps)
    for _ in range(steps):
        x = torch.randn(16, 20, generator=generator)
        optimizer.zero_grad()
        net[2](net[1](net[0](x)).relu()).square().mean().backward()
        optimizer.step()
    return net, optimizer


def weights(net):
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_steps_are_those_of_torch(momentum):
    ours, _ = trained("ours", momentum=momentum, steps=7)
    torchs, _ = trained("torch's", momentum=momentum, steps=7)
    before, _ = trained("ours", momentum=momentum, steps=0)
    assert torch.equal(weights(ours), weights(torchs))
    assert not torch.equal(weights(ours), weights(before))
    assert torch.equal(weights(ours[3]), weights(before[3]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_goes_on_as_the_original(kind):
    """With momentum, and of a net whose last part has no gradient; torch's state does as well."""
    net, optimizer = trained(kind, momentum=0.9, steps=3)
    weights_then, state = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
    trained(kind, momentum=0.9, steps=4, net=net, optimizer=optimizer)
    again, _ = trained("ours", momentum=0.9, steps=0)
    again.load_state_dict(weights_then)
    other = SGD(again.parameters(), lr=0.37, momentum=0.9)
    other.load_state_dict(state)
    trained("ours", momentum=0.9, steps=4, net=again, optimizer=other)
    assert torch.equal(weights(again), weights(net))


def test_the_state_of_another_net_is_refused():
    state = SGD(nn.Linear(2, 2, bias=False).parameters(), lr=0.1).state_dict()
    with pytest.raises(ValueError, match="state must be that of 2 parameters, got one of 1"):
        SGD(nn.Linear(2, 2).parameters(), lr=0.1).load_state_dict(state)


def test_without_gradients_nothing_moves():
    net = nn.Linear(2, 2)
    before = weights(net).clone()
    SGD(net.parameters(), lr=0.1).step()
    assert torch.equal(weights(net), before)


def test_training_and_measuring_do_not_load_the_compiler():
    code = """
import sys, torch
from cleanprio_lib.measurements.dynamics import detection_metrics, gradient_metrics
from cleanprio_lib.metrics import Task
from cleanprio_lib.models import fully_connected
from cleanprio_lib.training import TrainingSettings, train
x, y = torch.randn(8, 4), torch.arange(8) % 2
task = Task(x, torch.arange(8) // 4, y, x, y, 2)
settings, measures = TrainingSettings(2, 4, 0.1), (gradient_metrics, detection_metrics)
train(fully_connected(4, 5, seed=0), task, settings, seed=0, measures=measures, progress=False)
assert not {"torch._dynamo", "sympy", "sklearn"} & sys.modules.keys()
torch.autograd.grad(x.requires_grad_() * 2, x, x)
assert "sympy" in sys.modules, "derivatives of tensors do not load it any more: take them"
torch.optim.SGD([x], lr=0.1)
assert "torch._dynamo" in sys.modules, "torch's own does not load it any more: take that"
"""
    subprocess.run([sys.executable, "-c", code], check=True)
