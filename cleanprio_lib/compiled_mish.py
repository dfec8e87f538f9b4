"""Mish and its derivative, each compiled to one loop, which shortens a narrow ResNet-9's steps on a CPU.

PyTorch's own takes two fifths of such a step, in a logarithm, a hyperbolic tangent and two exponentials where
one will do. A C++ compiler must be at hand, and compiling takes its time: it is for recordings.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

LARGEST = 20.0  # whose exponential's square is still a number, while mish(x) is x to the last place


@contextmanager
def compiled_mish(model: nn.Module) -> Iterator[None]:
    """Within the block the model's `nn.Mish` layers run compiled: the same function, up to rounding.

    They have a first derivative alone, in reverse mode: for training steps, not for measurements.

    Raises:
        RuntimeError: there is no C++ compiler, when a layer first runs.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Mish)]
    for layer in layers:
        layer.forward = _CompiledMish.apply  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def mish(x: Tensor) -> Tensor:
    r"""$x \tanh(\ln(1 + e^x)) = x\,(u + u^2/2)/(1 + u + u^2/2)$ with $u = e^x$: one exponential."""
    return mish_of(x, x.clamp(max=LARGEST).exp())


def mish_of(x: Tensor, u: Tensor) -> Tensor:
    """The same, given the exponential of what is at most `LARGEST` of x."""
    t = u + u * u / 2
    return x * (t / (1 + t))


def mish_backward(x: Tensor, grad: Tensor) -> Tensor:
    r"""`grad` times $\tanh + x \tanh'$ where $\tanh' = (u + u^2)/(1 + u + u^2/2)^2$."""
    x = x.clamp(max=LARGEST)
    return mish_backward_of(x, x.exp(), grad)


def mish_backward_of(x: Tensor, u: Tensor, grad: Tensor) -> Tensor:
    """The same, given the exponential of an x of at most `LARGEST`."""
    t = u + u * u / 2
    r = 1 / (1 + t)
    return grad * (r * (t + x * ((u + u * u) * r)))


class _CompiledMish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _compiled(mish)(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _compiled(mish_backward)(*ctx.saved_tensors, grad)


@cache
def _compiled(function: Any) -> Any:
    return torch.compile(function, dynamic=True)
