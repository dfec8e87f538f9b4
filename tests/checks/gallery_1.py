"""Assignment 1: angles."""

import numpy as np
import torch

from cleanprio_lib import theory
from tests.checks.gallery import right, wrong

PLANE, ALONG = "arrows in the plane", "an arrow and a longer one in the same direction"
OPPOSITE, LONG = "opposite arrows", "a thousand components"


@right("1.1")
def clipped(u, v):
    return np.arccos(np.clip(np.dot(u, v) / (np.linalg.norm(u) * np.linalg.norm(v)), -1.0, 1.0))


@right("1.1")
def two_lengths(u, v):
    u, v = u / np.sqrt((u**2).sum()), v / np.sqrt((v**2).sum())
    return float(2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v)))


@right("1.1")
def in_float32(u, v):
    u, v = torch.tensor(u, dtype=torch.float32), torch.tensor(v, dtype=torch.float32)
    return torch.cosine_similarity(u, v, dim=0).clamp(-1, 1).acos()


@wrong("1.1", PLANE, OPPOSITE, LONG, words="degrees")
def degrees(u, v):
    return np.degrees(clipped(u, v))


@wrong("1.1", PLANE, words="cosine")
def cosine_alone(u, v):
    return np.cos(clipped(u, v))


@wrong("1.1", ALONG, OPPOSITE, words="rounding")
def not_clipped(u, v):
    with np.errstate(invalid="ignore"):
        return np.arccos(u @ v / (np.linalg.norm(u) * np.linalg.norm(v)))


@wrong("1.1", OPPOSITE, LONG, words="lines")
def without_direction(u, v):
    return np.arccos(np.clip(np.abs(u @ v) / (np.linalg.norm(u) * np.linalg.norm(v)), -1, 1))


@wrong("1.1", PLANE, LONG)
def lengths_forgotten(u, v):
    return np.arccos(np.clip(u @ v, -1, 1))


@wrong("1.1", PLANE, words="work on a copy")
def in_place(u, v):
    u /= np.linalg.norm(u)
    v /= np.linalg.norm(v)
    return np.arccos(np.clip(u @ v, -1, 1))


RECTANGULAR, TWO, THREE = (
    "inputs at a right angle, two layers",
    "several angles, two layers",
    "several angles, three layers",
)
DEEP, ENDS, GRID = "five and nine layers", "equal and opposite inputs", "angles in a rectangle"


def recursion(theta, layers, *, share=lambda before, after: 1 - before / np.pi):
    """Θ_L and θ_L. No cosine comes out larger than 1 here."""
    collected = np.cos(theta)
    for _ in range(layers - 1):
        cosine = (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / np.pi
        after = np.arccos(cosine)
        collected, theta = cosine + share(theta, after) * collected, after
    return collected, theta


@right("1.2")
def by_recursion(theta, depth):
    return np.arccos(recursion(theta, depth)[0] / depth)


@right("1.2")
def by_itself(theta, depth):
    def collected(theta, layers):
        if layers == 1:
            return np.cos(theta), theta
        before, angle = collected(theta, layers - 1)
        cosine = np.minimum(1, (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi)
        return cosine + (1 - angle / np.pi) * before, np.arccos(cosine)

    return np.arccos(np.minimum(1, collected(theta, depth)[0] / depth))


@right("1.2")
def by_the_library(theta, depth):
    return theory.derivative_angle(theta, depth=depth)


@right("1.2")
def in_torch(theta, depth):
    theta = torch.tensor(theta)
    collected = theta.cos()
    for _ in range(depth - 1):
        cosine = ((theta.sin() + (torch.pi - theta) * theta.cos()) / torch.pi).clamp(-1, 1)
        collected = cosine + (1 - theta / torch.pi) * collected
        theta = cosine.acos()
    return (collected / depth).clamp(-1, 1).acos()


@wrong("1.2", TWO, THREE, words="degrees")
def answer_in_degrees(theta, depth):
    return np.degrees(by_recursion(theta, depth))


@wrong("1.2", RECTANGULAR, TWO)
def takes_degrees(theta, depth):
    return by_recursion(np.radians(theta), depth)


@wrong("1.2", RECTANGULAR, TWO, THREE, DEEP, words="one layer more")
def counts_hidden_layers(theta, depth):
    return by_recursion(theta, depth + 1)


@wrong("1.2", THREE, DEEP, words="one layer less")
def a_layer_short(theta, depth):
    return by_recursion(theta, max(depth - 1, 2))


@wrong("1.2", TWO, THREE, DEEP)
def not_divided_by_depth(theta, depth):
    return np.arccos(np.clip(recursion(theta, depth)[0], -1, 1))


@wrong("1.2", TWO, THREE, words="images")
def angle_of_images(theta, depth):
    return recursion(theta, depth)[1]


@wrong("1.2", TWO, THREE, words="cosine")
def cosine_of_it(theta, depth):
    return recursion(theta, depth)[0] / depth


@wrong("1.2", TWO, THREE)
def share_of_the_others(theta, depth):
    return np.arccos(
        np.clip(recursion(theta, depth, share=lambda before, after: before / np.pi)[0] / depth, -1, 1)
    )


@wrong("1.2", TWO, THREE)
def share_behind_the_layer(theta, depth):
    return np.arccos(
        np.clip(recursion(theta, depth, share=lambda before, after: 1 - after / np.pi)[0] / depth, -1, 1)
    )


@wrong("1.2", ENDS)
def divides_by_the_tangent(theta, depth):
    collected = np.cos(theta)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(depth - 1):
            cosine = np.sin(theta) * (1 + (np.pi - theta) / np.tan(theta)) / np.pi
            collected, theta = cosine + (1 - theta / np.pi) * collected, np.arccos(cosine)
        return np.arccos(collected / depth)


@wrong("1.2", THREE, words="work on a copy")
def overwrites_theta(theta, depth):
    answer = by_recursion(theta, depth)
    theta[...] = recursion(theta, depth)[1]
    return answer


@wrong("1.2", GRID, words="shape")
def flattens(theta, depth):
    return by_recursion(theta.ravel(), depth)


@wrong("1.2", THREE, DEEP)
def two_layers_only(theta, depth):
    return np.arccos((np.pi - theta) / np.pi * np.cos(theta) + np.sin(theta) / (2 * np.pi))


ONE, FOUR = "one input", "each of four inputs by itself"
BIASES, SQUARE = "three layers, with biases", "as many inputs as parameters"


def flat(parts):
    return torch.cat([part.flatten() for part in parts])


@right("1.3")
def by_grad(net, x):
    return torch.stack(
        [flat(torch.autograd.grad(net(row[None]).squeeze(), list(net.parameters()))) for row in x]
    )


@right("1.3")
def by_backward(net, x):
    rows = []
    for row in x:
        net.zero_grad()
        net(row[None]).backward()
        rows.append(flat([parameter.grad.clone() for parameter in net.parameters()]))
    return torch.stack(rows)


@right("1.3")
def all_at_once(net, x):
    names = [name for name, _ in net.named_parameters()]

    def output(values, row):
        return torch.func.functional_call(net, dict(zip(names, values, strict=True)), (row[None],))[0, 0]

    values = tuple(parameter.detach() for parameter in net.parameters())
    parts = torch.func.vmap(torch.func.grad(output), in_dims=(None, 0))(values, x)
    return torch.cat([part.flatten(1) for part in parts], dim=1)


@wrong("1.3", FOUR, SQUARE, words="cleared")
def never_cleared(net, x):
    rows = []
    for row in x:
        net(row[None]).backward()
        rows.append(flat([parameter.grad.clone() for parameter in net.parameters()]))
    return torch.stack(rows)


@wrong("1.3", FOUR, words="sum over all inputs")
def summed(net, x):
    return by_grad(net, x).sum(0).expand(len(x), -1)


@wrong("1.3", ONE, FOUR, BIASES, words="not by x")
def by_the_input(net, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(net(x).sum(), x)[0]


@wrong("1.3", ONE, FOUR, words="output f")
def of_the_output(net, x):
    f = net(x).detach().sigmoid()
    return f * (1 - f) * by_grad(net, x)


@wrong("1.3", BIASES, words="shape")
def without_biases(net, x):
    weights = [parameter for parameter in net.parameters() if parameter.ndim == 2]
    return torch.stack([flat(torch.autograd.grad(net(row[None]).squeeze(), weights)) for row in x])


@wrong("1.3", ONE, FOUR)
def last_layer_first(net, x):
    return torch.stack(
        [flat(torch.autograd.grad(net(row[None]).squeeze(), list(net.parameters())[::-1])) for row in x]
    )


@wrong("1.3", SQUARE)
def lying_down(net, x):
    return by_grad(net, x).T


@wrong("1.3", ONE, words="work on a copy")
def takes_a_step(net, x):
    rows = by_grad(net, x)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.01
    return rows
