"""Judges of functions about training: an epoch of it, and when to stop."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cleanprio_lib.checks.judging import net_of, number, tensor, wrong_numbers
from cleanprio_lib.checks.values import Inputs, Value

Array = NDArray[np.float64]


def judge_epoch(inputs: Inputs, output: Value) -> str | None:
    """Judge `train_epoch(net, x, y, order, learning_rate, batch_size)` by the outputs after it."""
    rate, samples = number(inputs, "learning_rate"), len(tensor(inputs, "order"))
    before, uphill = (outputs_after(inputs, learning_rate=other) for other in (0.0, -rate))
    summed, squashed = outputs_after(inputs, reduction="sum"), outputs_after(inputs, squashed=True)
    added, unordered = outputs_after(inputs, cleared=False), outputs_after(inputs, ordered=False)
    single, short = outputs_after(inputs, batch_size=samples), outputs_after(inputs, short=True)
    right = outputs_after(inputs)
    slips = {
        "what it was before the epoch: did the net move, and was f computed after the last step?": before,
        "what steps uphill give: the weights move against the gradient": uphill,
        "what steps on the sum of a batch's losses give: a batch's loss is their mean": summed,
        "what a loss gives that took f for the logit: one sigmoid too many": squashed,
        "what gradients give that are never cleared: PyTorch adds each to those before": added,
        "what the samples give in another order: take them batch by batch as `order` says": unordered,
        "what one step on all samples gives: an epoch has a step for each batch": single,
        "the logit h, and the output f = 1/(1 + exp(−h)) is wanted": right.logit(),
        "what an epoch gives that leaves out the last, shorter batch": short,
    }
    different = {slip: numbers for slip, numbers in slips.items() if (numbers - right).abs().max() > 1e-3}
    return wrong_numbers(output, right, inputs, slips=different)


def outputs_after(
    inputs: Inputs,
    *,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    reduction: str = "mean",
    squashed: bool = False,
    cleared: bool = True,
    ordered: bool = True,
    short: bool = False,
) -> Tensor:
    """(n,) outputs of the net after an epoch of plain SGD, or of one that makes a known mistake."""
    net, x, y = net_of(inputs), tensor(inputs, "x"), tensor(inputs, "y")
    order = tensor(inputs, "order") if ordered else torch.arange(len(y))
    rate = number(inputs, "learning_rate") if learning_rate is None else learning_rate
    size = batch_size or int(number(inputs, "batch_size"))
    parameters = list(net.parameters())
    gradients = [torch.zeros_like(parameter) for parameter in parameters]
    for batch in order.split(size):
        if short and len(batch) < size:
            break
        h = net(x[batch])[:, 0]
        h = h.sigmoid() if squashed else h
        loss = F.binary_cross_entropy_with_logits(h, y[batch].to(h.dtype), reduction=reduction)
        new = torch.autograd.grad(loss, parameters)
        gradients = list(new) if cleared else [old + own for old, own in zip(gradients, new, strict=True)]
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(rate * gradient)
    return net(x)[:, 0].detach().sigmoid()


def judge_stop(inputs: Inputs, output: Value) -> str | None:
    """Judge `stopping_epoch(curves, patience)`."""
    curves, patience = inputs["curves"], int(number(inputs, "patience"))
    assert isinstance(curves, dict)
    validation, test, train = (
        np.asarray(curves[f"{name}_error"]) for name in ("validation", "test", "train")
    )
    best, end = stop(validation, patience)
    lowest, latest = int(validation.argmin()), int(np.flatnonzero(validation == validation[best])[-1])
    clean = "the rule must do without clean labels"
    slips = {
        f"the epoch of lowest test error: {clean}": int(test.argmin()),
        f"where the test error has not been lower for so long: {clean}": stop(test, patience)[0],
        "the epoch of lowest training error, which falls for as long as one trains": int(train.argmin()),
        "where training stops; wanted is the epoch of the lowest validation error until then": end,
        "the epoch of the lowest error of all: after the stop nobody trains, so it is never seen": lowest,
        "the last of several epochs that are equally low, and the first is wanted": latest,
        "the last epoch before the error rises for the first time: a rule with patience waits": rise(
            validation
        ),
    }
    different = {slip: epoch for slip, epoch in slips.items() if epoch != best}
    return wrong_numbers(output, best, inputs, slips=different)


def stop(curve: Array, patience: int) -> tuple[int, int]:
    """The epoch of the lowest error seen, and the epoch at which training ends for want of a lower one."""
    best = 0
    for epoch, error in enumerate(curve):
        if error < curve[best]:
            best = epoch
        if epoch - best >= patience:
            return best, epoch
    return best, len(curve) - 1


def rise(curve: Array) -> int:
    """The last epoch before a curve rises for the first time."""
    rises = np.flatnonzero(np.diff(curve) > 0)
    return int(rises[0]) if len(rises) else len(curve) - 1
