"""What a later assignment needs of an earlier one's answers: given here, so that its notebook holds none."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["arrows"]


def arrows(net: nn.Module, x: Tensor) -> Tensor:
    """(n, p) derivatives of a net's one output at n inputs by its p parameters, in their order.

    PyTorch takes the derivative at all inputs at once.

    Args:
        net: maps (n, d) inputs to (n, 1) outputs; it stays as it is.
        x: (n, d) inputs.
    """

    def output(weights: dict[str, Tensor], one: Tensor) -> Tensor:
        return cast(Tensor, torch.func.functional_call(net, weights, (one[None],))[0, 0])

    weights = {name: parameter.detach() for name, parameter in net.named_parameters()}
    derivatives = torch.func.vmap(torch.func.grad(output), in_dims=(None, 0))(weights, x)
    return torch.cat([part.flatten(1) for part in derivatives.values()], dim=1)
