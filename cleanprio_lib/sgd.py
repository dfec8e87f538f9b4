"""Stochastic gradient descent, as the paper's equation 4 has it, with momentum for those who want it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor


class Optimizer(Protocol):
    """What training asks of an optimiser: this module's, or one of `torch.optim`."""

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self) -> Any:
        """Move the parameters."""


class SGD:
    r"""Steps $w \leftarrow w - \eta v$ with $v \leftarrow \mu v + \nabla L$, $v = \nabla L$ in the first.

    Bit for bit those of `torch.optim.SGD`, whose first use in a process loads all of torch's compiler: two
    seconds, in each chapter and each worker of a sweep, for what nothing here makes use of.

    Args:
        parameters: of the net; those without a gradient rest.
        lr: $\eta$.
        momentum: $\mu$.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.0) -> None:
        self.parameters, self.lr, self.momentum = list(parameters), lr, momentum
        self.velocities: list[Tensor | None] = [None] * len(self.parameters)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        moving = [i for i, parameter in enumerate(self.parameters) if parameter.grad is not None]
        if not moving:
            return
        along = [self._velocity(i) for i in moving] if self.momentum else self._gradients(moving)
        torch._foreach_add_([self.parameters[i] for i in moving], along, alpha=-self.lr)

    def state_dict(self) -> dict[str, Any]:
        """What a run needs to go on: the velocities, where torch's has them."""
        found = {i: {"momentum_buffer": v} for i, v in enumerate(self.velocities) if v is not None}
        return {"state": found, "param_groups": [{"params": list(range(len(self.parameters)))}]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the velocities of another, or of torch's, of the same parameters."""
        (group,) = state["param_groups"]
        if len(group["params"]) != len(self.parameters):
            raise ValueError(
                f"state must be that of {len(self.parameters)} parameters, got one of {len(group['params'])}"
            )
        found = [state["state"].get(i, {}).get("momentum_buffer") for i in range(len(self.parameters))]
        self.velocities = [
            None if velocity is None else velocity.to(parameter.device)
            for parameter, velocity in zip(self.parameters, found, strict=True)
        ]

    def _gradients(self, moving: list[int]) -> list[Tensor]:
        return [grad for i in moving if (grad := self.parameters[i].grad) is not None]

    def _velocity(self, i: int) -> Tensor:
        (gradient,) = self._gradients([i])
        before = self.velocities[i]
        velocity = gradient.clone() if before is None else before.mul_(self.momentum).add_(gradient)
        self.velocities[i] = velocity
        return velocity
