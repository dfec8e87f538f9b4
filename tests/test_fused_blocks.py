"""Fused blocks: the ResNet-9's function, gradients and running statistics, and what the compiler gets."""

import copy
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cleanprio_lib import fused_blocks, models
from cleanprio_lib.fused_blocks import FusedNet

# Sums of up to 9 x 4 x 8^2 float64 products in another order, eight layers deep.
CLOSE = 1e-12


@pytest.fixture(autouse=True)
def looped(monkeypatch):
    """The loops as they are written, since compiling takes minutes; a list of those asked for."""
    asked = []
    monkeypatch.setattr(fused_blocks, "_compiled", lambda function: asked.append(function) or function)
    return asked


def images(count=6, *, channels=3, side=32, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, channels, side, side, generator=generator, dtype=dtype)


def trained_a_little(net):
    """Weights of normalisation that are neither one nor all positive, and biases that are not zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.copy_(1.5 * torch.randn(layer.weight.shape, generator=generator))
                layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator))
    return net


def gradients(net, forward, x):
    net.zero_grad()
    out = forward(x)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    (out * weights).sum().backward()
    return out.detach(), {name: value.grad for name, value in net.named_parameters()}


def assert_same(net, x, *, close=CLOSE):
    """The same output, gradients of all but the convolutions' biases, and buffers."""
    fused = copy.deepcopy(net)
    (out, wanted), (fused_out, found) = gradients(net, net, x), gradients(fused, FusedNet(fused), x)
    torch.testing.assert_close(fused_out, out, rtol=close, atol=close)
    biases = {f"{name}.0.bias" for name, own in net.named_modules() if isinstance(own, models.ConvBlock)}
    largest = max(float(gradient.norm()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        if name in biases:
            assert found[name] is None
            assert gradient.norm() < 10 * close * largest  # it is rounding, nothing else
        else:
            assert (found[name] - gradient).norm() <= close * max(largest, float(gradient.norm())), name
    for (name, buffer), other in zip(net.named_buffers(), fused.buffers(), strict=True):
        torch.testing.assert_close(other, buffer, rtol=close, atol=close, msg=name)
    return fused


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_resnet_is_the_same_function_with_the_same_gradients(memory_format, looped):
    net = trained_a_little(models.resnet9(width=4, seed=0)).double().to(memory_format=memory_format)
    x = images().contiguous(memory_format=memory_format)
    fused = assert_same(net, x)
    assert_same(fused, images(4))  # running statistics that have been moved before
    blocks = 8
    assert looped.count(fused_blocks.statistics) == looped.count(fused_blocks.coefficients) == 2 * blocks
    assert looped.count(fused_blocks.patches) == 2  # of the images alone
    assert looped.count(fused_blocks.spread) == 2 * 3  # blocks that pool


@pytest.mark.parametrize(
    ("pool", "residual", "channels"), list(product((False, True), (False, True), (3, 5)))
)
def test_any_arrangement_of_blocks_is_the_same(pool, residual, channels):
    torch.manual_seed(0)
    layers = [models._conv_block(channels, 4, pool=pool)]
    if residual:
        layers.append(models.Residual(nn.Sequential(models._conv_block(4, 4), models._conv_block(4, 4))))
    layers += [models._conv_block(4, 6, pool=True), nn.Flatten(), nn.LazyLinear(2)]
    net = nn.Sequential(*layers)
    net(images(2, channels=channels, side=8, dtype=torch.float32))
    assert_same(trained_a_little(net).double(), images(5, channels=channels, side=8))


def test_two_residuals_in_a_row_and_one_that_is_last():
    torch.manual_seed(0)
    pairs = [
        models.Residual(nn.Sequential(models._conv_block(3, 3), models._conv_block(3, 3))) for _ in range(2)
    ]
    assert_same(nn.Sequential(*pairs).double(), images(4, side=8))


class Doubled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


class Sum(nn.Module):
    """Blocks that no sequence shows."""

    def __init__(self):
        super().__init__()
        self.one, self.other = models._conv_block(3, 3), models._conv_block(3, 3)

    def forward(self, x):
        return self.one(x) + self.other(x)


def block(*sizes, pool=False):
    return models._conv_block(*(sizes or (3, 3)), pool=pool)


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.mnist_cnn(seed=0)[:2],
        lambda: nn.Sequential(block(), Doubled(block(), nn.ReLU())),
        lambda: nn.Sequential(block(), Sum()),
        lambda: nn.Sequential(block(), models.Residual(block())),
        lambda: nn.Sequential(block(), models.Residual(nn.Conv2d(3, 3, 1))),
        lambda: nn.Sequential(block(), models.Residual(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()))),
        lambda: nn.Sequential(block(), models.Residual(nn.Sequential(nn.ReLU(), block()))),
        lambda: nn.Sequential(block(), models.Residual(nn.Sequential())),
        lambda: models.Residual(nn.Sequential(block())),
    ],
)
def test_what_is_not_made_of_blocks_runs_as_it_is(make):
    torch.manual_seed(0)
    net, fused = make().double(), make().double()
    fused.load_state_dict(net.state_dict())
    x = images(3, channels=next(net.parameters()).shape[1])
    torch.testing.assert_close(FusedNet(fused)(x), net(x), rtol=CLOSE, atol=CLOSE)
    for name, buffer in net.named_buffers():  # each batch is counted once
        torch.testing.assert_close(fused.state_dict()[name], buffer, rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize("side", [5, 6, 7])
def test_places_in_no_window_count_in_the_statistics_all_the_same(side):
    torch.manual_seed(0)
    pair = models.Residual(nn.Sequential(block(4, 4), block(4, 4)))
    net = nn.Sequential(block(3, 4, pool=True), pair, nn.Flatten())
    assert_same(trained_a_little(net).double(), images(4, side=side))


def test_of_equal_values_the_first_is_the_largest_as_in_max_pooling():
    y = torch.zeros(1, 2, 2, 3)
    y[0, 1, 0, 1] = y[0, 1, 1, 1] = 2.0  # twice the largest
    y[..., 2] = torch.tensor([[-9.0, -1.2], [-1.1, -9.0]])  # Mish is largest where it is nearly zero
    out, place, at = fused_blocks.pooled(y, torch.ones(3), torch.zeros(3))
    wanted, indices = F.max_pool2d(F.mish(y).permute(0, 3, 1, 2), 2, return_indices=True)
    torch.testing.assert_close(out, wanted.permute(0, 2, 3, 1), rtol=1e-6, atol=1e-7)
    assert place.flatten().tolist() == indices.flatten().tolist() == [0, 2, 0]
    assert at.flatten().tolist() == [0.0, 2.0, -9.0]


def test_in_bfloat16_it_is_as_near_to_the_exact_gradient_as_pytorch_is():
    """Both round each activation there and back, if not at the same places; gradients come in float32."""
    off = {"plain": 0.0, "fused": 0.0}
    for seed in (0, 1, 2):
        net = trained_a_little(models.resnet9(width=4, seed=seed))
        fused, double, x = copy.deepcopy(net), copy.deepcopy(net).double(), images(8, dtype=torch.float32)
        _, exact = gradients(double, double, x.double())
        kept = [name for name in exact if not name.endswith(".0.bias")]
        for which, own, forward in (("plain", net, net), ("fused", fused, FusedNet(fused))):
            with torch.autocast("cpu", torch.bfloat16):
                out = forward(x)
            assert out.dtype == torch.bfloat16
            (out.float() * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
            found = {name: value.grad for name, value in own.named_parameters() if value.grad is not None}
            assert {gradient.dtype for gradient in found.values()} == {torch.float32}
            off[which] += sum(float((found[name] - exact[name]).square().sum()) for name in kept)
    assert 0 < off["fused"] < 2**2 * off["plain"]  # squares of errors of the same order


def test_an_error_on_the_way_leaves_no_weights_behind():
    net = FusedNet(models.resnet9(width=1, seed=0))
    with pytest.raises(RuntimeError, match="to have 3 channels, but got 5"):
        net(images(2, channels=5, dtype=torch.float32))
    assert net.weights == {}


def test_every_loop_compiles_into_one_graph(monkeypatch):
    """Traced whole, as `fullgraph` asks for; what a compiler's back end makes of it is not under test."""
    compiled = {}

    def traced(function):
        return compiled.setdefault(
            function, torch.compile(function, dynamic=False, fullgraph=True, backend="aot_eager")
        )

    monkeypatch.setattr(fused_blocks, "_compiled", traced)
    pair = models.Residual(nn.Sequential(models._conv_block(4, 4), models._conv_block(4, 4)))
    net = nn.Sequential(models._conv_block(3, 4, pool=True), pair)
    assert_same(trained_a_little(net).double(), images(4, side=8))
    loops = {"statistics", "normalisation", "activation", "pooled", "sums", "sums_of", "coefficients"}
    loops |= {"derivative", "slope_of_largest", "spread", "patches"}
    assert {function.__name__ for function in compiled} == loops


def test_a_loop_may_be_compiled_for_many_shapes_in_any_thread(monkeypatch):
    """A backward pass runs in a thread of its own, on a GPU, where a limit set in this one may not hold."""
    monkeypatch.undo()
    real = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, **options: real(function, backend="eager", **options)
    )
    fused_blocks._compiled.cache_clear()
    torch._dynamo.reset()
    net = FusedNet(nn.Sequential(block()))
    try:
        with ThreadPoolExecutor(1) as other:
            for side in range(3, 13):  # more than Dynamo's own limit of eight
                out = net(images(2, side=side, dtype=torch.float32))
                other.submit(out.sum().backward).result()
    finally:
        fused_blocks._compiled.cache_clear()
