"""Assignment 1: angles between inputs, and between the derivatives of a net at them."""

from __future__ import annotations

import numpy as np

from cleanprio_lib.checks.checking import Assignment, Check, Inputs, Question
from cleanprio_lib.checks.inputs import Make, net_and_inputs
from cleanprio_lib.checks.judges.angles import judge_angle, judge_arrows, judge_derivative_angle
from cleanprio_lib.checks.judging import each


def between_check(name: str, inputs: Make) -> Check:
    """A check of `angle_between`."""
    return Check(name, "angle_between", inputs, each(judge_angle), untouched=("u", "v"))


def derivative_check(name: str, inputs: Make) -> Check:
    """A check of `derivative_angle`."""
    return Check(name, "derivative_angle", inputs, each(judge_derivative_angle), untouched=("theta",))


def arrows_check(name: str, inputs: Make) -> Check:
    """A check of `arrows`."""
    return Check(name, "arrows", inputs, each(judge_arrows), untouched=("net", "x"))


def in_the_plane(seed: int) -> tuple[Inputs, ...]:
    """Inputs of three calls of `angle_between`: an arrow to the right and another, of different lengths."""
    generator = np.random.default_rng(seed)
    turns, lengths = generator.uniform(0.2, 2.9, 3), generator.uniform(0.5, 5, (3, 2))
    return tuple(
        {"u": np.array([a, 0.0]), "v": b * np.array([np.cos(turn), np.sin(turn)])}
        for turn, (a, b) in zip(np.round(turns, 2), np.round(lengths, 2), strict=True)
    )


def same_direction(seed: int) -> tuple[Inputs, ...]:
    """Inputs of forty calls: of so many, rounding makes some cosines larger than 1 by any formula."""
    arrows = np.random.default_rng(seed).standard_normal((40, 3))
    return tuple({"u": arrow, "v": 3 * arrow} for arrow in arrows)


def angles_at(depth: int) -> Make:
    """Inputs of one call of `derivative_angle`, not close to 0 or π, which have a check of their own."""

    def inputs(seed: int) -> tuple[Inputs, ...]:
        theta = np.sort(np.random.default_rng([seed, depth]).uniform(0.1, 3.0, 5))
        return ({"theta": np.round(theta, 2), "depth": depth},)

    return inputs


def right_angle(seed: int) -> tuple[Inputs, ...]:
    """Inputs of one call: the angle for which students know the answer."""
    return ({"theta": np.array([np.pi / 2]), "depth": 2},)


def samples_of(samples: int) -> Make:
    """Inputs of one call of `arrows`."""
    return lambda seed: (net_and_inputs(seed, samples=samples),)


ASSIGNMENT = Assignment(
    number=1,
    title="Angles",
    minutes=75,
    library=("figures", "models"),
    questions=(
        Question(
            id="1.1",
            title="An angle between two arrows",
            points=2,
            function="angle_between",
            public=(
                between_check("arrows in the plane", in_the_plane),
                between_check("an arrow and a longer one in the same direction", same_direction),
            ),
        ),
        Question(
            id="1.2",
            title="The formula for any depth",
            points=5,
            function="derivative_angle",
            public=(
                derivative_check("inputs at a right angle, two layers", right_angle),
                derivative_check("several angles, two layers", angles_at(2)),
                derivative_check("several angles, three layers", angles_at(3)),
            ),
        ),
        Question(
            id="1.3",
            title="The arrows of a real net",
            points=4,
            function="arrows",
            public=(
                arrows_check("one input", samples_of(1)),
                arrows_check("each of four inputs by itself", samples_of(4)),
            ),
        ),
        Question(
            id="1.4",
            title="Why so steep?",
            points=3,
            rubric=(
                "1 point for naming what in the net makes two very similar inputs differ; 1 for how often"
                " that happens, as a function of the angle; 1 for what it does to the angle between the "
                "arrows."
            ),
        ),
        Question(
            id="1.5",
            title="Straight nets",
            points=2,
            rubric="1 point for the angle that you predict, 1 for the reason.",
        ),
        Question(
            id="1.6",
            title="How wide is wide?",
            points=4,
            rubric=(
                "1 point for several widths and several nets of each; 1 for showing how much the nets "
                "differ and not only their mean; 1 for axes with names and units, and a sentence that "
                "says what is to be seen; 1 for a conclusion that the figure supports, with a number in "
                "it."
            ),
        ),
    ),
)
