"""From what was caught at a layer, its input and its output gradients, to the records of its parameters."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cleanprio_lib.gradients.records import Explicit, Outer, Patches, Record

# A convolution's gradients are written out if that takes at most so many times the memory of its input and
# output gradient: writing out costs less time than going without. For many outputs the memory is the cost.
WRITE_OUT_ONE, WRITE_OUT_MANY = 4.0, 1.5


def records_of(layer: nn.Module, inputs: Tensor, deltas: Tensor, *, written_out: bool) -> dict[str, Record]:
    """Records of a layer's parameters: one for both of a linear layer (named ""), else one for each.

    Args:
        layer: Linear, Conv2d or BatchNorm in evaluation mode.
        inputs: (n, ...).
        deltas: (n, S, ...) derivatives of S functions by the layer's output.
        written_out: whether the gradients of a convolution may be written out.
    """
    if isinstance(layer, nn.Linear):
        return {"": Outer(inputs, deltas, layer.bias is not None)}
    if isinstance(layer, nn.Conv2d):
        return _convolution(layer, inputs, deltas, written_out)
    assert isinstance(layer, _BatchNorm)
    return _batch_norm(layer, inputs, deltas)


def _convolution(layer: nn.Conv2d, inputs: Tensor, deltas: Tensor, written_out: bool) -> dict[str, Record]:
    weight = Patches(inputs, deltas, layer)
    limit = WRITE_OUT_ONE if deltas.shape[1] == 1 else WRITE_OUT_MANY
    floats = deltas.shape[3:].numel() * (layer.in_channels + layer.out_channels)
    small = layer.weight.numel() <= limit * floats
    records: dict[str, Record] = {"weight": weight.explicit() if small and written_out else weight}
    if layer.bias is not None:
        records["bias"] = Explicit(deltas.sum((-1, -2))[..., None])
    return records


def _batch_norm(layer: _BatchNorm, inputs: Tensor, deltas: Tensor) -> dict[str, Record]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    per_channel = (1, -1) + (1,) * (inputs.ndim - 2)
    mean, variance = (value.to(inputs.dtype) for value in (layer.running_mean, layer.running_var))
    scale = (variance + layer.eps).rsqrt()
    normalised = (inputs - mean.view(per_channel)) * scale.view(per_channel)
    products = deltas * normalised[:, None]
    if inputs.ndim > 2:
        products, deltas = products.flatten(3).sum(-1), deltas.flatten(3).sum(-1)
    records: dict[str, Record] = {"weight": Explicit(products[..., None])}
    return records | {"bias": Explicit(deltas[..., None])} if layer.bias is not None else records
