"""What a check of a student's function is, how it is run, and what it is worth.

A check is data and two pure functions: `inputs` makes keyword arguments from a seed, `judge` says in words
what is wrong with what came back. Nothing else passes between the two, and all of it is plain values (see
`values`), so the student's function may run in another process, which then never holds a right answer:

    calls = check.inputs(seed)                # here: one dict of keyword arguments for each call
    outcome = run(function, calls)            # anywhere: calls a student's function, never raises
    reason = judged(check, calls, outcome)    # here: None if all is right
    points = score(question, {check.name: reason, ...})

Most checks make one call. Some need two: that the same seed gives the same result and another seed another
one cannot be seen from a single call.
"""

from __future__ import annotations

import hashlib
import random
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from cleanprio_lib.checks.values import Inputs, Net, Value, arguments, as_value, same, words, words_of_inputs

__all__ = [
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
    "run",
    "score",
    "seed_of",
    "with_hidden",
]

NOT_WRITTEN = "not written yet"
GLOBAL_RANDOMNESS = "global random state"
LONGEST_MESSAGE = 300  # characters of an error in a sentence


@dataclass(frozen=True)
class Check:
    """One thing that a student's function must get right.

    Attributes:
        name: what is checked, in a few words, unique within its question.
        function: name of the student's function.
        inputs: seed -> keyword arguments of each call. Any seed must do: graders draw their own.
        judge: (inputs of each call, output of each call) -> what is wrong, naming the input; None if right.
        untouched: inputs that the function must leave as they were, and perhaps `GLOBAL_RANDOMNESS`.
    """

    name: str
    function: str
    inputs: Callable[[int], tuple[Inputs, ...]]
    judge: Callable[[tuple[Inputs, ...], tuple[Value, ...]], str | None]
    untouched: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """One question of an assignment.

    Attributes:
        id: "1.2": assignment and number.
        title: in a few words.
        points: for all of it.
        function: name of the student's function. None: answered in words or a figure, and judged by hand.
        rubric: for people: what earns the points.
        public: checks that students have.
        hidden: checks that only graders have.
    """

    id: str
    title: str
    points: int
    function: str | None = None
    rubric: str = ""
    public: tuple[Check, ...] = ()
    hidden: tuple[Check, ...] = ()

    @property
    def checks(self) -> tuple[Check, ...]:
        """All checks, public ones first."""
        return self.public + self.hidden

    @property
    def marker(self) -> str:
        """Words in the first line of the cells that answer the question, whatever happens to metadata."""
        return f"Answer to {self.id}"


@dataclass(frozen=True)
class Assignment:
    """An assignment.

    Attributes:
        number: from 1.
        title: in a few words.
        minutes: what a student needs for it.
        questions: in their order.
        library: parts of the library that its notebook uses, but for the checks themselves.
    """

    number: int
    title: str
    minutes: int
    questions: tuple[Question, ...]
    library: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        """Of all questions together."""
        return sum(question.points for question in self.questions)


@dataclass(frozen=True)
class Outcome:
    """What became of the calls of one check; plain values only.

    Attributes:
        outputs: what each call returned.
        error: what stopped it, in words; None if nothing did.
        changed: names of inputs that a call has changed, and `GLOBAL_RANDOMNESS` if it has drawn from or
            seeded a generator that is shared by all.
    """

    outputs: tuple[Value, ...] = ()
    error: str | None = None
    changed: tuple[str, ...] = ()


def run(function: Callable[..., Any], calls: Sequence[Inputs]) -> Outcome:
    """Call a student's function on copies of each dict of keyword arguments; raises nothing."""
    outputs, changed = [], []
    for inputs in calls:
        before, after, randomness = arguments(inputs), arguments(inputs), _global_randomness()
        try:
            outputs.append(as_value(function(**after)))
            changed += [name for name in inputs if not same(before[name], after[name])]
        except (Exception, SystemExit) as error:
            return Outcome(error=_words_of_error(error, inputs))
        changed += [] if same(randomness, _global_randomness()) else [GLOBAL_RANDOMNESS]
    return Outcome(outputs=tuple(outputs), changed=tuple(dict.fromkeys(changed)))


def judged(check: Check, calls: tuple[Inputs, ...], outcome: Outcome) -> str | None:
    """What is wrong with an outcome, in words; None if nothing is. Raises nothing, whatever came out."""
    if outcome.error is not None:
        return outcome.error
    try:
        reason = check.judge(calls, outcome.outputs)
    except Exception as error:  # outputs are what a student's function made of them
        returned = ", ".join(words(output) for output in outcome.outputs)
        return f"returned {returned}, which cannot be compared with the right answer ({error})"
    touched = [name for name in check.untouched if name in outcome.changed]
    return reason or (_words_of_change(touched) if touched else None)


def check(question: Question, function: Callable[..., Any], *, seed: int = 0) -> None:
    """Run a question's public checks on a function and print a line for each: ✓, or ✗ and why."""
    print(f"{question.id} {question.title}")
    for one in question.public:
        calls = one.inputs(seed)
        reason = judged(one, calls, run(function, calls))
        line = f"✓ {one.name}" if reason is None else f"✗ {one.name}: {reason}"
        print(textwrap.fill(line, 88, initial_indent="  ", subsequent_indent="      "))
        if reason == NOT_WRITTEN:
            return


def score(question: Question, reasons: Mapping[str, str | None]) -> float:
    """Points of a question with a function, shared equally among its checks, public and hidden.

    Args:
        question: with its hidden checks (see `with_hidden`).
        reasons: by name of the check, None where it was passed. A check that is not in it was not passed.

    Raises:
        ValueError: the question has no checks.
    """
    if not question.checks:
        raise ValueError(f"question {question.id} is judged by hand and has no checks")
    passed = sum(one.name in reasons and reasons[one.name] is None for one in question.checks)
    return question.points * passed / len(question.checks)


def with_hidden(assignment: Assignment, hidden: Mapping[str, tuple[Check, ...]]) -> Assignment:
    """The assignment with its hidden checks, by question id.

    Raises:
        ValueError: hidden checks of a question that there is not, or a name that is taken.
    """
    unknown = set(hidden) - {question.id for question in assignment.questions}
    if unknown:
        raise ValueError(f"assignment {assignment.number} has no question {', '.join(sorted(unknown))}")
    questions = tuple(replace(one, hidden=tuple(hidden.get(one.id, ()))) for one in assignment.questions)
    for question in questions:
        names = [one.name for one in question.checks]
        if len(set(names)) < len(names):
            raise ValueError(f"two checks of question {question.id} have the same name: {names}")
    return replace(assignment, questions=questions)


def seed_of(student: str) -> int:
    """A seed in [0, 2³¹) for the data that a student looks at: one for each name, however it is spaced."""
    digest = hashlib.sha256(" ".join(student.split()).casefold().encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _words_of_error(error: BaseException, inputs: Inputs) -> str:
    if isinstance(error, NotImplementedError) and not error.args:
        return NOT_WRITTEN
    try:
        message = str(error)[:LONGEST_MESSAGE]
    except Exception:  # an error of a class of the student's
        message = "…"
    if isinstance(error, TypeError) and message.startswith("returned a "):
        return f"for {words_of_inputs(inputs)}: {message}"
    frames = traceback.extract_tb(error.__traceback__)[1:]
    place = f", in the line `{frames[0].line}`" if frames and frames[0].line else ""
    return f"for {words_of_inputs(inputs)} it stopped with {type(error).__name__}: {message}{place}"


def _words_of_change(names: Sequence[str]) -> str:
    if GLOBAL_RANDOMNESS in names:
        return (
            "it uses or seeds the random generator that all code shares; make one of your own with "
            "np.random.default_rng(seed)"
        )
    return (
        f"it changes its input {' and '.join(names)}: what was handed in must be as before, so work on a copy"
    )


def _global_randomness() -> list[Any]:
    name, *state = np.random.get_state()  # noqa: NPY002 (whether others use it is the question)
    return [name, *state, torch.get_rng_state(), repr(random.getstate())]
