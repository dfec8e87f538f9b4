r"""A ResNet-9's passes, forward and backward, with as few readings of its activations as a block of it allows.

A block is a convolution, batch normalisation with the batch's statistics, Mish and perhaps max-pooling. All but
the convolution waits for memory on a GPU, so each group of operations that can be one loop is one here, a function
of channels-last activations and channels' numbers that is compiled by itself:

1. `statistics`, the channels' mean and variance, and `normalisation`, what follows from them;
2. `activation` or `pooled`, the block's output;
3. `sums`, backward, over each channel, and `coefficients`, what follows from them;
4. `derivative` or `spread`, the derivative by the convolution's output.

What follows from sums is apart from them because Triton (3.6) fails to compile the two together. It is the same function up to rounding. The convolution's bias, which normalisation takes away again, is added to the
running mean alone and gets no gradient: its derivative is exactly zero.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cleanprio_lib.compiled_mish import mish, mish_backward
from cleanprio_lib.models import ConvBlock, Residual

# A convolution of no more products than these is one of patches of so many channels, at single places: with the
# three channels of an image, tensor cores idle.
COLUMNS = 32
POSITIONS = (0, 1, 2)  # dimensions of (n, h, w, c) that a channel's numbers are sums over


def forward(module: nn.Module, x: Tensor) -> Tensor:
    """What `module(x)` is in training mode, (n, ...), with its `ConvBlock`s as this module has them."""
    if isinstance(module, ConvBlock):
        return _block(module, x)
    if isinstance(module, Residual):
        return x + forward(module.branch, x)
    if isinstance(module, nn.Sequential):
        for child in module:
            x = forward(child, x)
        return x
    return module(x)


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


def activation(y: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Mish of normalised (n, h, w, c)."""
    return mish(_wide(y) * scale + shift).to(y.dtype)


def pooled(y: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each window of 2 x 2 the largest Mish, its place in the window and its y: (n, h/2, w/2, c) each.

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
    at_largest, at_smallest = (mish(_wide(end) * scale + shift) for end in (largest, smallest))
    lower = at_smallest > at_largest
    out = torch.where(lower, at_smallest, at_largest).to(y.dtype)
    return out, torch.where(lower, low, high).to(torch.int8), torch.where(lower, smallest, largest)


def sums(y: Tensor, grad: Tensor, mean: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """(c,) sums of the derivative by what is normalised, and of its products with y less its mean."""
    slope = mish_backward(_wide(y) * scale + shift, _wide(grad))
    return slope.sum(POSITIONS), (slope * (_wide(y) - mean)).sum(POSITIONS)


def derivative(y: Tensor, grad: Tensor, scale: Tensor, shift: Tensor, a: Tensor, b: Tensor) -> Tensor:
    r"""(n, h, w, c) derivative by $y$: that of Mish times the scale, less $a + b\,y$."""
    y_wide = _wide(y)
    return (scale * mish_backward(y_wide * scale + shift, _wide(grad)) - (a + b * y_wide)).to(y.dtype)


def coefficients(
    total: Tensor, products: Tensor, mean: Tensor, rate: Tensor, scale: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    r"""(c,) derivative by the normalisation's weight, and the $a$ and $b$ of `derivative`, from its sums."""
    weight = products * rate
    b = scale * rate * weight / count
    return weight, scale * total / count - b * mean, b


def spread(
    y: Tensor, grad: Tensor, place: Tensor, scale: Tensor, shift: Tensor, a: Tensor, b: Tensor
) -> Tensor:
    """As `derivative`, with pooling: grad (n, h/2, w/2, c) is what the places that were largest get."""
    places = torch.arange(4, dtype=torch.int8, device=y.device).view(1, 1, 2, 1, 2, 1)
    own = place[:, :, None, :, None] == places
    got = torch.where(own, grad[:, :, None, :, None], 0.0)
    return derivative(_windows(y), got, scale, shift, a, b).flatten(3, 4).flatten(1, 2)


def patches(x: Tensor, dtype: torch.dtype) -> Tensor:
    """(n, h, w, COLUMNS) what a kernel of 3 x 3 sees of (n, c, h, w), channel by channel, and zeros."""
    seen = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).unfold(1, 3, 1).unfold(2, 3, 1).flatten(3)
    return F.pad(seen, (0, COLUMNS - seen.shape[3])).to(dtype)


def _block(block: ConvBlock, x: Tensor) -> Tensor:
    layer, norm, pool = block[0], block[1], len(block) == 4
    assert isinstance(layer, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    norm.num_batches_tracked += 1
    return _NormMish.apply(_convolved(layer, x), norm.weight, norm.bias, norm, layer.bias, pool)


def _convolved(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """The convolution of 3 x 3, padded by 1, without its bias."""
    products = layer.weight[0].numel()
    if products > COLUMNS:
        return F.conv2d(x, layer.weight, padding=1)
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    weight = F.pad(layer.weight.flatten(1), (0, COLUMNS - products))
    return F.conv2d(_compiled(patches)(x, dtype).permute(0, 3, 1, 2), weight[:, :, None, None])


class _NormMish(torch.autograd.Function):
    """Batch normalisation, Mish and pooling of (n, c, h, w)."""

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, weight: Tensor, offset: Tensor, norm: nn.BatchNorm2d, bias: Tensor, pool: bool
    ) -> Tensor:
        y = _channels_last(y)
        parameters = (weight, offset, norm.running_mean, norm.running_var)
        variance, mean = _compiled(statistics)(y)
        count = y.numel() // y.shape[3]
        rate, scale, shift = _compiled(normalisation)(
            mean, variance, parameters, bias, norm.eps, norm.momentum, count
        )
        if pool:
            out, *chosen = _compiled(pooled)(y, scale, shift)
        else:
            out, chosen = _compiled(activation)(y, scale, shift), []
        ctx.save_for_backward(y, mean, rate, scale, shift, *chosen)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, mean, rate, scale, shift, *chosen = ctx.saved_tensors
        grad = _channels_last(grad)
        at = chosen[1] if chosen else y
        offset, products = _compiled(sums)(at, grad, mean, scale, shift)
        count = y.numel() // y.shape[3]
        weight, a, b = _compiled(coefficients)(offset, products, mean, rate, scale, count)
        if chosen:
            of_y = _compiled(spread)(y, grad, chosen[0], scale, shift, a, b)
        else:
            of_y = _compiled(derivative)(y, grad, scale, shift, a, b)
        return of_y.permute(0, 3, 1, 2), weight, offset, None, None, None


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
    return torch.compile(function, dynamic=False, fullgraph=True)
