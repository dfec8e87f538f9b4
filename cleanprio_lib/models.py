"""The networks of the paper, each initialised from a seed of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec

import torch
from torch import Tensor, nn

PARAMETRIZATIONS = ("standard", "ntk")
ULP = 2.0**-23
Arguments = ParamSpec("Arguments")
_signs: ContextVar[torch.Generator | None] = ContextVar("signs", default=None)


@contextmanager
def nudged(nudge: int) -> Iterator[None]:
    """Within the block nets begin with each weight changed by `ULP` of its size, up or down by chance.

    What becomes of so small a change tells how much rounding matters to what a net learns.

    Args:
        nudge: seed of the chance.
    """
    token = _signs.set(torch.Generator().manual_seed(nudge))
    try:
        yield
    finally:
        _signs.reset(token)


def _may_be_nudged(make: Callable[Arguments, nn.Sequential]) -> Callable[Arguments, nn.Sequential]:
    """Make a function that returns a net at its beginning heed `nudged`."""

    @wraps(make)
    def made(*args: Arguments.args, **kwargs: Arguments.kwargs) -> nn.Sequential:
        net, signs = make(*args, **kwargs), _signs.get()
        if signs is not None:
            with torch.no_grad():
                for weights in net.parameters():
                    weights.mul_(1 + ULP * (2 * torch.randint(0, 2, weights.shape, generator=signs) - 1))
        return net

    return made


class Scale(nn.Module):
    """Multiply by a constant: the factor $m^{-1/2}$ of the NTK parametrisation."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x

    def extra_repr(self) -> str:
        return f"factor={self.factor:.6g}"


class Centred(nn.Module):
    r"""Two nets that begin alike, one minus the other: the output begins at exactly zero.

    With the factor $2^{-1/2}$ the inner products of derivatives are those of one net at initialisation.

    Args:
        make: returns the net, the same at every call.
    """

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.added, self.subtracted = make(), make()

    def forward(self, x: Tensor) -> Tensor:
        return (self.added(x) - self.subtracted(x)) / math.sqrt(2)


@_may_be_nudged
def fully_connected(
    num_inputs: int,
    width: int,
    *,
    depth: int = 2,
    num_outputs: int = 1,
    activation: Callable[[], nn.Module] = nn.ReLU,
    parametrization: str = "standard",
    seed: int,
) -> nn.Sequential:
    r"""Fully connected net with `depth` weight layers, so depth - 1 hidden layers of `width` units.

    Args:
        num_inputs: $d$; inputs of any shape (n, ...) are flattened to (n, d).
        width: $m$, units in each hidden layer.
        depth: $L \ge 2$, the number of weight layers.
        num_outputs: 1 for a binary logit $h$, $C$ for classes.
        activation: makes the non-linearity; `nn.Identity` for a linear net.
        parametrization: "standard" (PyTorch's default initialisation, with biases) or "ntk" (all entries
            $N(0, 1)$, a factor $m^{-1/2}$ after every hidden layer, no biases).
        seed: of the initial weights.

    Returns:
        A module that maps (n, ...) to (n, num_outputs).

    Source: equations 6 and 7 of the paper ("ntk"); how its experiments' nets begin is not stated there.
    """
    for name, value, least in (("num_inputs", num_inputs, 1), ("width", width, 1), ("depth", depth, 2)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if parametrization not in PARAMETRIZATIONS:
        raise ValueError(f"parametrization must be one of {PARAMETRIZATIONS}, got {parametrization!r}")
    make_linear = _ntk_linear if parametrization == "ntk" else nn.Linear
    with _seeded(seed):
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in in [num_inputs] + [width] * (depth - 2):
            layers += [make_linear(fan_in, width), activation()]
            if parametrization == "ntk":
                layers.append(Scale(1 / math.sqrt(width)))
        return nn.Sequential(*layers, make_linear(width, num_outputs))


@_may_be_nudged
def mnist_cnn(*, num_classes: int = 10, seed: int) -> nn.Sequential:
    """The paper's MNIST network: conv 32, conv 64 (3 x 3, no padding), max-pool 2, linear 64, linear C.

    Pooling comes before the second ReLU, which gives the same function (both are monotone) for a
    quarter of the ReLU's work. Maps (n, 1, 28, 28) to (n, num_classes).

    Source: appendix B of the paper; padding, pool size and activation are not given there.
    """
    with _seeded(seed):
        return nn.Sequential(
            nn.Conv2d(1, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 12 * 12, 64),
            nn.ReLU(),
            nn.Linear(64, num_classes),
        )


class Residual(nn.Module):
    """A branch added to its own input."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class ConvBlock(nn.Sequential):
    """A convolution of 3 x 3 padded by 1, batch normalisation, Mish, and perhaps max-pooling of 2 x 2.

    The convolution has a bias, and the normalisation weights, running statistics and a momentum.
    """

    @property
    def convolution(self) -> nn.Conv2d:
        layer = self[0]
        assert isinstance(layer, nn.Conv2d)
        return layer

    @property
    def norm(self) -> nn.BatchNorm2d:
        layer = self[1]
        assert isinstance(layer, nn.BatchNorm2d)
        return layer

    @property
    def pools(self) -> bool:
        return len(self) > 3


@_may_be_nudged
def resnet9(*, num_classes: int = 10, width: int = 64, seed: int) -> nn.Sequential:
    """The paper's CIFAR-10 network: eight convolutions with batch normalisation and Mish, and a linear layer.

    Maps (n, 3, 32, 32) to (n, num_classes).

    Args:
        num_classes: $C$.
        width: channels of the first convolution, 64 in the paper; the others have 2 and 4 times as many.
        seed: of the initial weights.

    Source: the notebook that appendix B of the paper cites for its ResNet-9; nothing works in place here.
    """
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    with _seeded(seed):
        return nn.Sequential(
            _conv_block(3, width),
            _conv_block(width, 2 * width, pool=True),
            Residual(nn.Sequential(_conv_block(2 * width, 2 * width), _conv_block(2 * width, 2 * width))),
            _conv_block(2 * width, 4 * width, pool=True),
            _conv_block(4 * width, 4 * width, pool=True),
            Residual(nn.Sequential(_conv_block(4 * width, 4 * width), _conv_block(4 * width, 4 * width))),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * width, num_classes),
        )


def _conv_block(fan_in: int, fan_out: int, *, pool: bool = False) -> ConvBlock:
    layers = [nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.BatchNorm2d(fan_out), nn.Mish()]
    return ConvBlock(*layers, *([nn.MaxPool2d(2)] if pool else []))


def _ntk_linear(fan_in: int, fan_out: int) -> nn.Linear:
    layer = nn.Linear(fan_in, fan_out, bias=False)
    nn.init.normal_(layer.weight)
    return layer


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from torch's global generator as if it had been seeded, and leave it as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
