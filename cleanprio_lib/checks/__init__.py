"""What students' functions are checked with, assignment by assignment; the public half of it.

    from cleanprio_lib import checks
    checks.check("1.2", derivative_angle)

prints a line for each check, with what is wrong in words. Graders have hidden checks besides, which are no
part of the library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cleanprio_lib.checks import angles, binary_dynamics, checking, noise_and_gradients, ten_classes
from cleanprio_lib.checks.checking import (
    GLOBAL_RANDOMNESS,
    NOT_WRITTEN,
    Assignment,
    Check,
    Inputs,
    Net,
    Outcome,
    Question,
    Value,
    judged,
    run,
    score,
    seed_of,
    with_hidden,
)

__all__ = [
    "ASSIGNMENTS",
    "GLOBAL_RANDOMNESS",
    "NOT_WRITTEN",
    "Assignment",
    "Check",
    "Inputs",
    "Net",
    "Outcome",
    "Question",
    "Value",
    "check",
    "judged",
    "question",
    "run",
    "score",
    "seed_of",
    "with_hidden",
]

ASSIGNMENTS: dict[int, Assignment] = {
    module.ASSIGNMENT.number: module.ASSIGNMENT
    for module in (angles, noise_and_gradients, binary_dynamics, ten_classes)
}


def question(name: str) -> Question:
    """A question by its id, such as "1.2".

    Raises:
        KeyError: there is no such question.
    """
    known = {one.id: one for assignment in ASSIGNMENTS.values() for one in assignment.questions}
    if name not in known:
        raise KeyError(f"there is no question {name!r}; there are {', '.join(known)}")
    return known[name]


def check(name: str, function: Callable[..., Any]) -> None:
    """Run the public checks of a question on your function and print what is right and what is wrong.

    Args:
        name: of the question, such as "1.2".
        function: yours.
    """
    checking.check(question(name), function)
