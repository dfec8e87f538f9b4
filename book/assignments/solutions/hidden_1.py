"""Hidden checks of assignment 1."""

from __future__ import annotations

import numpy as np

from cleanprio_lib.checks.angles import angles_at, arrows_check, between_check, derivative_check
from cleanprio_lib.checks.checking import Inputs
from cleanprio_lib.checks.inputs import net_and_inputs


def opposite(seed: int) -> tuple[Inputs, ...]:
    """Opposite arrows: of so many, rounding makes some cosines smaller than -1."""
    arrows = np.random.default_rng([seed, 1]).standard_normal((40, 3))
    return tuple({"u": arrow, "v": -2 * arrow} for arrow in arrows)


def many_components(seed: int) -> tuple[Inputs, ...]:
    """Long arrows, at an obtuse and at an acute angle."""
    u, v = np.random.default_rng([seed, 2]).standard_normal((2, 1000))
    return ({"u": u, "v": v - u}, {"u": u, "v": v + u})


def ends(seed: int) -> tuple[Inputs, ...]:
    """Equal and opposite inputs, where rounding gives cosines beyond 1."""
    return tuple({"theta": np.array([0.0, np.pi]), "depth": depth} for depth in (2, 3, 4, 7))


def grid(seed: int) -> tuple[Inputs, ...]:
    """Angles in a rectangle."""
    theta = np.random.default_rng([seed, 3]).uniform(0.1, 3.0, (3, 4))
    return ({"theta": theta, "depth": 3},)


def deep(seed: int) -> tuple[Inputs, ...]:
    """Nets of more layers than the public checks have."""
    return angles_at(5)(seed) + angles_at(9)(seed)


def three_layers_with_biases(seed: int) -> tuple[Inputs, ...]:
    """PyTorch's own layers, whose parameters include biases."""
    return (net_and_inputs(seed, samples=3, num_inputs=4, depth=3, parametrization="standard"),)


def as_many_inputs_as_parameters(seed: int) -> tuple[Inputs, ...]:
    """A square result, which hides rows and columns that were exchanged from all who look at its shape."""
    return (net_and_inputs(seed, samples=12, num_inputs=3, width=3),)


HIDDEN = {
    "1.1": (
        between_check("opposite arrows", opposite),
        between_check("a thousand components", many_components),
    ),
    "1.2": (
        derivative_check("five and nine layers", deep),
        derivative_check("equal and opposite inputs", ends),
        derivative_check("angles in a rectangle", grid),
    ),
    "1.3": (
        arrows_check("three layers, with biases", three_layers_with_biases),
        arrows_check("as many inputs as parameters", as_many_inputs_as_parameters),
    ),
}
