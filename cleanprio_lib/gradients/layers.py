"""From what was caught at a layer, its input and its output gradients, to the records of its parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cleanprio_lib.gradients.records import Explicit, Outer, Patches, Record

# A convolution's gradients are written out if that takes at most so many times the memory of its input and
# output gradient: writing out costs less time than going without.
WRITE_OUT = 4.0


def records_of(
    layer: nn.Module, inputs: Tensor, deltas: Sequence[Tensor], *, written_out: bool
) -> dict[str, Record]:
    """Records of a layer's parameters: one for both of a linear layer (named ""), else one for each.

    Args:
        layer: Linear, Conv2d or BatchNorm in evaluation mode.
        inputs: (n, ...).
        deltas: for each of S functions its derivatives (n, ...) by the layer's output.
        written_out: whether the gradients of a convolution may be written out.
    """
    if isinstance(layer, nn.Linear):
        return {"": Outer(inputs, deltas, layer.bias is not None)}
    if isinstance(layer, nn.Conv2d):
        return _convolution(layer, inputs, deltas, written_out)
    assert isinstance(layer, _BatchNorm)
    return _batch_norm(layer, inputs, deltas)


def _convolution(
    layer: nn.Conv2d, inputs: Tensor, deltas: Sequence[Tensor], written_out: bool
) -> dict[str, Record]:
    weight = Patches(inputs, deltas, layer)
    floats = deltas[0].shape[2:].numel() * (layer.in_channels + layer.out_channels)
    small = layer.weight.numel() <= WRITE_OUT * floats
    records: dict[str, Record] = {"weight": weight.explicit() if small and written_out else weight}
    if layer.bias is not None:
        records["bias"] = _written_out([delta.sum((-1, -2)) for delta in deltas])
    return records


def _batch_norm(layer: _BatchNorm, inputs: Tensor, deltas: Sequence[Tensor]) -> dict[str, Record]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    per_channel = (1, -1) + (1,) * (inputs.ndim - 2)
    mean, variance = (value.to(inputs.dtype) for value in (layer.running_mean, layer.running_var))
    scale = (variance + layer.eps).rsqrt()
    normalised = (inputs - mean.view(per_channel)) * scale.view(per_channel)
    products = torch.empty_like(normalised)
    weight = [_over_positions(torch.mul(delta, normalised, out=products)) for delta in deltas]
    records: dict[str, Record] = {"weight": _written_out(weight)}
    if layer.bias is not None:
        records["bias"] = _written_out([_over_positions(delta) for delta in deltas])
    return records


def _over_positions(values: Tensor) -> Tensor:
    """(n, c) sums of (n, c, ...) values; a copy if there is nothing to sum."""
    return values.flatten(2).sum(-1) if values.ndim > 2 else values.clone()


def _written_out(vectors: list[Tensor]) -> Explicit:
    """A record of vectors (n, b) for each output."""
    return Explicit(torch.stack(vectors)[..., None])
