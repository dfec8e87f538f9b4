r"""A ResNet-9's passes, forward and backward, that read its activations as seldom as they can.

A block is a convolution, batch normalisation with the batch's statistics, Mish and perhaps max-pooling. On a
GPU all but the convolution waits for memory, so whatever can be one loop is one here, a function of
channels-last activations and of channels' numbers that is compiled by itself:

1. `statistics`, the channels' variance and mean, and `normalisation`, what follows from them;
2. `activation` or `pooled`, the block's output;
3. `sums`, backward, over each channel, and `coefficients`, what follows from them;
4. `derivative` or, after `slope_of_largest`, `spread`: the derivative by the convolution's output.

What follows from sums is apart from them because Triton (3.6) fails to compile the two together. It is the
same function up to rounding. A convolution's bias, which normalisation takes away, is added to the running
mean alone and gets no gradient: its derivative is exactly zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, wraps
from itertools import zip_longest
from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cleanprio_lib.compiled_mish import LARGEST, mish_backward_of, mish_of
from cleanprio_lib.models import ConvBlock, Residual

# A convolution of no more products than these is one of patches of so many channels, at single places: with
# the three channels of an image, tensor cores idle.
COLUMNS = 32
POSITIONS = (0, 1, 2)  # dimensions of (n, h, w, c) that a channel's numbers are sums over
SHAPES = 256  # of activations that one loop may be compiled for in a process
# A pair is one tensor for two readers, whose gradients come apart.
Activations = Tensor | tuple[Tensor, Tensor]


class FusedNet:
    """A net whose blocks pass as this module has them, in training mode and without their hooks.

    Args:
        model: as `models.resnet9` makes it; what is not made of blocks, one after the other or in a
            `models.Residual`, runs as it is, and must not work in place on what a block gives it.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.blocks = list(_blocks(model))
        self.weights: dict[nn.Module, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """(n, C) logits of (n, ...) inputs, in the precision of an autocast around the call."""
        layers = [block.convolution for block in self.blocks]
        weights: tuple[Tensor, ...] = tuple(layer.weight for layer in layers)
        if weights:
            counts = (block.norm.num_batches_tracked for block in self.blocks)
            torch._foreach_add_([count for count in counts if count is not None], 1)
            if (dtype := _autocast(x)) != x.dtype:
                weights = _Cast.apply(dtype, *weights)
        self.weights = dict(zip(layers, weights, strict=True))
        try:
            out = self._pass(self.model, x)
        finally:
            self.weights = {}
        assert isinstance(out, Tensor)
        return out

    def _pass(self, module: nn.Module, x: Activations, *, twice: bool = False) -> Activations:
        if isinstance(module, ConvBlock):
            assert isinstance(x, Tensor)
            return self._block(module, x, twice=twice)
        if (branch := _branch(module)) is not None:
            branched, kept = x if isinstance(x, tuple) else (x, x)
            *first, last = branch
            inner = self._pass(nn.Sequential(*first), branched)
            assert isinstance(inner, Tensor)
            return self._block(last, inner, residual=kept)
        if type(module) is nn.Sequential:
            for child, following in zip_longest(module, list(module)[1:]):
                x = self._pass(child, x, twice=_branch(following) is not None)
            return x
        return module(x)

    def _block(
        self, block: ConvBlock, x: Tensor, *, residual: Tensor | None = None, twice: bool = False
    ) -> Activations:
        layer, norm = block.convolution, block.norm
        y = _convolved(x, self.weights[layer])
        windows = block.pools and y.shape[2] % 2 == y.shape[3] % 2 == 0
        out, again = _NormMish.apply(y, norm.weight, norm.bias, residual, norm, layer.bias, windows)
        if block.pools and not windows:  # some places are in no window
            out = again = F.max_pool2d(out, 2)
        return (out, again) if twice else out


def _branch(module: nn.Module | None) -> list[ConvBlock] | None:
    """The blocks of a residual's branch, if it is made of such and ends in one without pooling; else None."""
    if not isinstance(module, Residual) or type(module.branch) is not nn.Sequential:
        return None
    blocks = [child for child in module.branch if isinstance(child, ConvBlock)]
    fits = 0 < len(blocks) == len(module.branch) and not blocks[-1].pools
    return blocks if fits else None


def _blocks(module: nn.Module) -> Iterator[ConvBlock]:
    """Those that `FusedNet` passes by itself."""
    if isinstance(module, ConvBlock):
        yield module
    elif (branch := _branch(module)) is not None:
        yield from branch
    elif type(module) is nn.Sequential:
        for child in module:
            yield from _blocks(child)


def statistics(y: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and mean of each channel of (n, h, w, c)."""
    return torch.var_mean(_wide(y), POSITIONS, correction=0)


def normalisation(
    mean: Tensor,
    variance: Tensor,
    norm: tuple[Tensor, Tensor, Tensor, Tensor],
    bias: Tensor,
    eps: float,
    momentum: float,
    count: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Inverse standard deviation, and the scale and shift that normalise; moves the running statistics.

    Args:
        mean: (c,) of what is convolved without a bias.
        variance: (c,) of the same.
        norm: (c,) weight, bias, running mean and running variance.
        bias: (c,) of the convolution.
        eps: added to the variance.
        momentum: of the running statistics.
        count: of the numbers that each statistic is of.
    """
    weight, offset, running_mean, running_variance = norm
    rate = (variance + eps).rsqrt()
    scale = weight * rate
    running_mean.lerp_(mean + bias, momentum)
    running_variance.lerp_(variance * (count / (count - 1)), momentum)
    return rate, scale, offset - mean * scale


def activation(y: Tensor, scale: Tensor, shift: Tensor, residual: Tensor | None) -> Tensor:
    """Mish of normalised (n, h, w, c), added to what it may be the residual of."""
    out = _mish(_wide(y) * scale + shift)
    return (out if residual is None else out + _wide(residual)).to(y.dtype)


def pooled(y: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each window of 2 x 2 the largest Mish, its place in the window and its y, (n, h/2, w/2, c) each.

    Mish falls and then rises, so that it is largest where its argument is largest or smallest.
    """
    windows = _windows(y)
    largest = smallest = windows[:, :, 0, :, 0]
    high = low = torch.zeros_like(largest, dtype=torch.int8)
    for place in range(1, 4):
        own = windows[:, :, place // 2, :, place % 2]
        up, down = own > largest, own < smallest
        largest, smallest = torch.where(up, own, largest), torch.where(down, own, smallest)
        high, low = torch.where(up, place, high), torch.where(down, place, low)
    at_largest, at_smallest = (_mish(_wide(end) * scale + shift) for end in (largest, smallest))
    lower = at_smallest > at_largest
    out = torch.where(lower, at_smallest, at_largest).to(y.dtype)
    return out, torch.where(lower, low, high).to(torch.int8), torch.where(lower, smallest, largest)


def sums(y: Tensor, grad: Tensor, mean: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """(c,) sums of the derivative by what is normalised, and of its products with y less its mean."""
    return sums_of(y, _slope(y, grad, scale, shift), mean)


def sums_of(y: Tensor, slope: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """The same of the derivative itself, (n, h, w, c)."""
    return _wide(slope).sum(POSITIONS), (_wide(slope) * (_wide(y) - mean)).sum(POSITIONS)


def coefficients(
    total: Tensor, products: Tensor, mean: Tensor, rate: Tensor, scale: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    r"""(c,) derivative by the normalisation's weight, and the $a$ and $b$ of `derivative`, from its sums."""
    weight = products * rate
    b = scale * rate * weight / count
    return weight, scale * total / count - b * mean, b


def derivative(y: Tensor, grad: Tensor, scale: Tensor, shift: Tensor, a: Tensor, b: Tensor) -> Tensor:
    r"""(n, h, w, c) derivative by $y$: that by what is normalised times the scale, less $a + b\,y$."""
    return (scale * _slope(y, grad, scale, shift) - (a + b * _wide(y))).to(y.dtype)


def slope_of_largest(at: Tensor, grad: Tensor, other: Tensor | None, scale: Tensor, shift: Tensor) -> Tensor:
    """(n, h/2, w/2, c) derivative by what is normalised at the windows' largest, of one or two readers."""
    both = _wide(grad) if other is None else _wide(grad) + _wide(other)
    return _slope(at, both, scale, shift).to(at.dtype)


def spread(y: Tensor, slope: Tensor, place: Tensor, scale: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """As `derivative`, with pooling: slope (n, h/2, w/2, c) is what the places that were largest get."""
    places = torch.arange(4, dtype=torch.int8, device=y.device).view(1, 1, 2, 1, 2, 1)
    own = place[:, :, None, :, None] == places
    got = torch.where(own, (scale * _wide(slope))[:, :, None, :, None], 0.0)
    return (got - (a + b * _wide(_windows(y)))).to(y.dtype).flatten(3, 4).flatten(1, 2)


def patches(x: Tensor, dtype: torch.dtype) -> Tensor:
    """(n, h, w, COLUMNS) what a kernel of 3 x 3 sees of (n, c, h, w), channel by channel, and zeros."""
    seen = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).unfold(1, 3, 1).unfold(2, 3, 1).flatten(3)
    return F.pad(seen, (0, COLUMNS - seen.shape[3])).to(dtype)


def _convolved(x: Tensor, weight: Tensor) -> Tensor:
    """The convolution of 3 x 3, padded by 1, without its bias."""
    products = weight[0].numel()
    if products > COLUMNS or x.shape[1] != weight.shape[1]:  # which is an error, and PyTorch says so
        return F.conv2d(x, weight, padding=1)
    seen = _compiled(patches)(x, weight.dtype).permute(0, 3, 1, 2)
    return F.conv2d(seen, F.pad(weight.flatten(1), (0, COLUMNS - products))[:, :, None, None])


class _NormMish(torch.autograd.Function):
    """Batch normalisation, Mish and pooling or a residual of (n, c, h, w); the output twice."""

    @staticmethod
    def forward(
        ctx: Any,
        y: Tensor,
        weight: Tensor,
        offset: Tensor,
        residual: Tensor | None,
        norm: nn.BatchNorm2d,
        bias: Tensor,
        pool: bool,
    ) -> tuple[Tensor, Tensor]:
        y = _channels_last(y)
        variance, mean = _compiled(statistics)(y)
        parameters = (weight, offset, norm.running_mean, norm.running_var)
        rate, scale, shift = _compiled(normalisation)(
            mean, variance, parameters, bias, norm.eps, norm.momentum, y.numel() // len(mean)
        )
        chosen: list[Tensor] = []
        if pool:
            out, *chosen = _compiled(pooled)(y, scale, shift)
        else:
            added = None if residual is None else _channels_last(residual)
            out = _compiled(activation)(y, scale, shift, added)
        ctx.save_for_backward(y, mean, rate, scale, shift, *chosen)
        ctx.set_materialize_grads(False)
        ctx.has_residual = residual is not None
        out = out.permute(0, 3, 1, 2)
        return out, out.detach()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        y, mean, rate, scale, shift, *chosen = ctx.saved_tensors
        first, *others = [_channels_last(grad) for grad in grads if grad is not None]
        if chosen:
            place, at = chosen
            slope = _compiled(slope_of_largest)(at, first, others[0] if others else None, scale, shift)
            offset, products = _compiled(sums_of)(at, slope, mean)
        else:
            first = sum(others, start=first)
            offset, products = _compiled(sums)(y, first, mean, scale, shift)
        weight, a, b = _compiled(coefficients)(offset, products, mean, rate, scale, y.numel() // len(mean))
        if chosen:
            of_y = _compiled(spread)(y, slope, place, scale, a, b)
        else:
            of_y = _compiled(derivative)(y, first, scale, shift, a, b)
        of_residual = first.permute(0, 3, 1, 2) if ctx.has_residual else None
        return of_y.permute(0, 3, 1, 2), weight, offset, of_residual, None, None, None


class _Cast(torch.autograd.Function):
    """Many tensors in another precision, and their gradients in their own, with few kernels."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *values: Tensor) -> tuple[Tensor, ...]:
        ctx.dtype = values[0].dtype
        return _cast(values, dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_cast(grads, ctx.dtype)


def _cast(values: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    cast = tuple(torch.empty_like(value, dtype=dtype) for value in values)
    torch._foreach_copy_(cast, values)
    return cast


def _autocast(x: Tensor) -> torch.dtype:
    """Of weights, in the autocast there is."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _slope(y: Tensor, grad: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """The derivative by what is normalised, where grad is that by its Mish."""
    x = (_wide(y) * scale + shift).clamp(max=LARGEST)
    return mish_backward_of(x, _exp(x), _wide(grad))


def _mish(x: Tensor) -> Tensor:
    return mish_of(x, _exp(x.clamp(max=LARGEST)))


def _exp(x: Tensor) -> Tensor:
    """By a power of two, which a GPU has an instruction for."""
    return torch.exp2(x * (1 / log(2)))


def _channels_last(values: Tensor) -> Tensor:
    """(n, h, w, c) of (n, c, h, w), which is in this order already wherever a convolution made it."""
    return values.permute(0, 2, 3, 1).contiguous()


def _windows(y: Tensor) -> Tensor:
    """(n, h/2, 2, w/2, 2, c) of (n, h, w, c)."""
    return y.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))


def _wide(values: Tensor) -> Tensor:
    """In float32 if it is less."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


@cache
def _compiled(function: Any) -> Any:
    compiled = torch.compile(function, dynamic=False, fullgraph=True)

    @wraps(function)
    def called(*arguments: Any) -> Any:
        with torch._dynamo.config.patch(recompile_limit=SHAPES):  # in whatever thread calls, also backward
            return compiled(*arguments)

    return called
