"""Judges of assignment 1: an angle, the formula for any depth, the derivatives of a net."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cleanprio_lib.checks.judging import net_of, number, tensor, wrong_numbers
from cleanprio_lib.checks.values import Inputs, Value
from cleanprio_lib.theory import derivative_angle

Array = NDArray[np.float64]
ARCCOS = 1e-3  # radians: what the arccosine makes of a rounding error near 0 and π, in float32
DEGREES = "the angle in degrees, and radians are wanted"
COSINE = "the cosine of the angle, and the angle is wanted"


def judge_angle(inputs: Inputs, output: Value) -> str | None:
    """Judge `angle_between(u, v)`."""
    u, v = (np.asarray(inputs[name], dtype=np.float64) for name in "uv")
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    # Without an arccosine, whose rounding this function is judged on.
    angle = 2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))
    slips = {
        DEGREES: np.degrees(angle),
        COSINE: np.cos(angle),
        "the angle between two lines: opposite arrows are π apart": min(angle, np.pi - angle),
        "not a number: rounding has made a cosine a little larger than 1": np.nan,
    }
    return wrong_numbers(output, angle, inputs, slips=slips, margin=ARCCOS)


def judge_derivative_angle(inputs: Inputs, output: Value) -> str | None:
    """Judge `derivative_angle(theta, depth)`."""
    theta, depth = np.asarray(inputs["theta"], dtype=np.float64), int(number(inputs, "depth"))
    right, images = derivative_angle(theta, depth=depth), image_angle(theta, depth)
    deeper, flatter = (derivative_angle(theta, depth=max(depth + more, 2)) for more in (1, -1))
    counted = "depth counts the layers of weights, the last one included"
    slips = {
        DEGREES: np.degrees(right),
        COSINE: np.cos(right),
        "the angle between the images in the last hidden layer, and not of the derivatives": images,
        f"right for one layer more: {counted}": deeper,
        f"right for one layer less: {counted}": flatter,
    }
    return wrong_numbers(output, right, inputs, slips=slips, margin=ARCCOS)


def image_angle(theta: Array, depth: int) -> Array:
    """Angle between the images of two inputs in the last hidden layer of an infinitely wide net."""
    for _ in range(depth - 1):
        cosine = (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / np.pi
        theta = np.arccos(np.clip(cosine, -1, 1))
    return theta


def judge_arrows(inputs: Inputs, output: Value) -> str | None:
    """Judge `arrows(net, x)`."""
    net, x = net_of(inputs), tensor(inputs, "x")
    right, f = derivatives(net, x), net(x).detach().sigmoid()
    everywhere = right.sum(0).expand_as(right)
    slips = {
        "the sum over all inputs in every row: each row is the derivative at one input": everywhere,
        "each derivative added to those before it: PyTorch adds to `.grad` until it is cleared": right.cumsum(
            0
        ),
        "the derivative of the output f, and that of the logit h is wanted": f * (1 - f) * right,
    }
    columns = _columns(output)
    if columns is not None and columns == x.shape[1] != right.shape[1]:
        return f"the rows have {columns} numbers, as an input has: differentiate by the parameters, not by x"
    return wrong_numbers(output, right, inputs, slips=slips)


def derivatives(net: nn.Module, x: Tensor) -> Tensor:
    """(n, p) derivatives of a net's one output at n inputs by all its p parameters, in their order."""
    rows = []
    for h in net(x)[:, 0]:
        parts = torch.autograd.grad(h, list(net.parameters()), retain_graph=True)
        rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows)


def _columns(output: Value) -> int | None:
    return output.shape[1] if isinstance(output, torch.Tensor | np.ndarray) and output.ndim == 2 else None
