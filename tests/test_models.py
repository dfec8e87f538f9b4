"""The networks: shapes, parametrisations, seeds."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from cleanprio_lib import gradients, models


def _parameters(model):
    return nn.utils.parameters_to_vector(model.parameters())


@pytest.mark.parametrize("parametrization", models.PARAMETRIZATIONS)
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_fully_connected_has_depth_weight_layers(parametrization, depth):
    net = models.fully_connected(6, 8, depth=depth, num_outputs=3, parametrization=parametrization, seed=0)
    linear = [module for module in net if isinstance(module, nn.Linear)]
    assert [layer.weight.shape for layer in linear] == [(8, 6), *[(8, 8)] * (depth - 2), (3, 8)]
    assert all((layer.bias is None) == (parametrization == "ntk") for layer in linear)
    assert net(torch.zeros(5, 2, 3)).shape == (5, 3)


def test_ntk_net_is_the_papers_equation_7():
    width = 16
    net = models.fully_connected(3, width, parametrization="ntk", seed=1)
    first, last = (layer.weight for layer in net if isinstance(layer, nn.Linear))
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    by_hand = torch.relu(x @ first.T) @ last.T / math.sqrt(width)
    torch.testing.assert_close(net(x), by_hand)


def test_ntk_weights_are_standard_normal():
    net = models.fully_connected(100, 300, parametrization="ntk", seed=2)
    weights = _parameters(net)
    # Standard errors of mean and variance of k standard normal numbers: 1/sqrt(k) and sqrt(2/k).
    assert abs(weights.mean()) < 4 / math.sqrt(len(weights))
    assert abs(weights.var() - 1) < 4 * math.sqrt(2 / len(weights))


def test_linear_net_is_linear():
    net = models.fully_connected(3, 8, depth=3, activation=nn.Identity, parametrization="ntk", seed=0)
    x, z = torch.eye(3)[:1], torch.eye(3)[1:2]
    torch.testing.assert_close(net(x + 2 * z), net(x) + 2 * net(z))


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: models.mnist_cnn(seed=seed),
        lambda seed: models.fully_connected(4, 4, seed=seed),
        lambda seed: models.resnet9(width=4, seed=seed),
    ],
)
def test_seed_decides_the_weights_and_nothing_else_is_touched(make):
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first, again, other = (_parameters(make(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_mnist_cnn_is_the_papers():
    net = models.mnist_cnn(seed=0)
    assert [tuple(p.shape) for p in net.parameters()] == [
        (32, 1, 3, 3), (32,), (64, 32, 3, 3), (64,), (64, 9216), (64,), (10, 64), (10,),
    ]  # fmt: skip
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    conv_1, conv_2, linear_1, linear_2 = (layer for layer in net if isinstance(layer, nn.Conv2d | nn.Linear))
    pooled = nn.functional.max_pool2d(torch.relu(conv_2(torch.relu(conv_1(x)))), 2)
    by_hand = linear_2(torch.relu(linear_1(pooled.flatten(1))))
    assert torch.equal(net(x), by_hand)


@pytest.mark.parametrize("width", [4, 64])
def test_resnet9_is_the_papers(width):
    net = models.resnet9(width=width, seed=0).eval()
    convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    factors = [(3 / width, 1), (1, 2), (2, 2), (2, 2), (2, 4), (4, 4), (4, 4), (4, 4)]
    assert [layer.weight.shape for layer in convolutions] == [
        (out * width, round(into * width), 3, 3) for into, out in factors
    ]
    assert net[-1].weight.shape == (10, 16 * width)
    if width == 64:
        assert sum(map(torch.numel, net.parameters())) == 2_449_418
    assert not any(getattr(layer, "inplace", False) for layer in net.modules())


def test_resnet9_is_its_blocks_in_order():
    net = models.resnet9(num_classes=3, width=4, seed=0).eval()
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    block = [
        lambda h, conv=conv, norm=norm: nn.functional.mish(norm(conv(h)))
        for conv, norm in zip(layers[::2], layers[1::2], strict=True)
    ]
    pool = nn.MaxPool2d(2)
    h = pool(block[1](block[0](x)))
    h = h + block[3](block[2](h))
    h = pool(block[5](pool(block[4](h))))
    h = h + block[7](block[6](h))
    torch.testing.assert_close(net(x), net[-1](pool(h).flatten(1)))


def test_resnet9_names_a_bad_width():
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        models.resnet9(width=0, seed=0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"depth": 1}, "depth must be at least 2, got 1"),
        ({"num_inputs": 0}, "num_inputs must be at least 1, got 0"),
        ({"parametrization": "mup"}, "parametrization must be one of .*, got 'mup'"),
    ],
)
def test_bad_arguments_are_named(wrong, words):
    arguments = {"num_inputs": 4, "width": 4, **wrong}
    with pytest.raises(ValueError, match=words):
        models.fully_connected(arguments.pop("num_inputs"), arguments.pop("width"), seed=0, **arguments)


def _centred_and_one(depth=2, parametrization="ntk"):
    """A centred net and the net it is made of, float64."""

    def make():
        return models.fully_connected(3, 16, depth=depth, parametrization=parametrization, seed=4).double()

    return models.Centred(make), make()


def _inputs(n=6):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _jacobian(net, x):
    """(n, p) derivatives of the output, nothing but autograd."""
    rows = [torch.autograd.grad(h, list(net.parameters()), retain_graph=True) for h in net(x)[:, 0].split(1)]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_centred_net_begins_at_exactly_zero(dtype):
    net = models.Centred(lambda: models.fully_connected(3, 16, depth=3, seed=4)).to(dtype)
    x = 10 * _inputs(40).to(dtype)
    assert torch.equal(net(x), torch.zeros(40, 1, dtype=dtype))
    assert net.added(x).abs().min() > 0


@pytest.mark.parametrize(("depth", "parametrization"), [(2, "ntk"), (3, "ntk"), (3, "standard")])
def test_a_centred_net_has_the_kernel_of_one_net(depth, parametrization):
    net, one = _centred_and_one(depth, parametrization)
    x = _inputs()
    rows, single = _jacobian(net, x), _jacobian(one, x)
    assert rows.shape[1] == 2 * single.shape[1]
    torch.testing.assert_close(rows @ rows.T, single @ single.T, rtol=1e-12, atol=1e-12)
    angles, wanted = (gradients.derivative_angles(net, x, dtype=torch.float64) for net in (net, one))
    # Beside the diagonal, where an angle of 0 is resolved to 1.4e-7 only.
    aside = ~torch.eye(len(x), dtype=torch.bool)
    torch.testing.assert_close(angles[aside], wanted[aside], rtol=0, atol=1e-10)


def test_a_small_step_moves_a_centred_net_by_the_kernel_of_one():
    net, one = _centred_and_one(depth=3)
    x, y = _inputs(), torch.tensor([0, 1, 1, 0, 1, 0], dtype=torch.float64)
    optimizer, rate = torch.optim.SGD(net.parameters(), lr=1e-5), 1e-5
    nn.functional.binary_cross_entropy_with_logits(net(x)[:, 0], y).backward()
    optimizer.step()
    single = _jacobian(one, x)
    # At f = 1/2, and as even orders of the step cancel between the two nets, up to its third order.
    wanted = -rate * single @ single.T @ (0.5 - y) / len(x)
    torch.testing.assert_close(net(x)[:, 0], wanted, rtol=1e-6, atol=1e-14)


def test_a_centred_net_learns():
    net, _ = _centred_and_one()
    x = _inputs(30)
    y = (x[:, 0] > 0).double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(net(x)[:, 0], y)
        losses.append(float(loss.detach()))
        loss.backward()
        optimizer.step()
    assert losses[0] == pytest.approx(math.log(2), rel=1e-15)
    assert max(np.diff(losses)) < 0
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.fully_connected(6, 5, num_outputs=2, seed=1),
        lambda: models.mnist_cnn(seed=1),
        lambda: models.resnet9(width=2, seed=1),
    ],
)
def test_a_nudge_changes_every_weight_by_one_or_two_units_in_the_last_place_either_way(make):
    plain = nn.utils.parameters_to_vector(make().parameters()).double()
    with models.nudged(3):
        nudged, second = (nn.utils.parameters_to_vector(make().parameters()).double() for _ in range(2))
    with models.nudged(3):
        again = nn.utils.parameters_to_vector(make().parameters()).double()
    change = ((nudged - plain) / plain)[plain != 0]
    # Rounded to one such unit, of 1/m times 2^-23 of a number 1 <= m < 1.5, or to two, where 1.5 <= m < 2.
    assert (change.abs() / models.ULP).min() > 0.66
    assert (change.abs() / models.ULP).max() < 1.34
    ups, count = int((change > 0).sum()), len(change)
    assert abs(ups - count / 2) < 4 * (count / 4) ** 0.5
    assert torch.equal(again, nudged)
    assert not torch.equal(second, nudged)
    assert torch.equal(nn.utils.parameters_to_vector(make().parameters()).double(), plain)
