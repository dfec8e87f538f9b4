"""Every wrong implementation fails the checks that it names and loses points; right ones pass all."""

import copy
import random

import numpy as np
import pytest
import torch

from cleanprio_lib import checks
from cleanprio_lib.checks.checking import Outcome, judged, run, score, with_hidden
from cleanprio_lib.grading.grader import hidden_checks
from tests.checks import gallery_1, gallery_2, gallery_3, gallery_4  # noqa: F401 (they fill the gallery)
from tests.checks.gallery import RIGHT, WRONG
from tools import assignments
from tools.book import Book

SEEDS = (0, 20_261)
SOLUTIONS = Book().root / assignments.FOLDER / "solutions"
WHOLE = {
    number: with_hidden(assignment, hidden_checks(SOLUTIONS / f"hidden_{number}.py"))
    for number, assignment in checks.ASSIGNMENTS.items()
}
QUESTIONS = {one.id: one for whole in WHOLE.values() for one in whole.questions}
GRADED = [one.id for one in QUESTIONS.values() if one.function]


def reasons(question, function, seed):
    """What each check of a question says of a function."""
    found = {}
    for one in question.checks:
        calls = one.inputs(seed)
        found[one.name] = judged(one, calls, run(function, calls))
    return found


def name(one):
    return f"{one.question}-{one.function.__name__}"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("one", RIGHT, ids=name)
def test_a_right_one_passes_all(one, seed):
    question = QUESTIONS[one.question]
    found = reasons(question, one.function, seed)
    assert found == dict.fromkeys(found)
    assert score(question, found) == question.points


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("one", WRONG, ids=name)
def test_a_wrong_one_fails_the_checks_that_are_named(one, seed):
    question = QUESTIONS[one.question]
    found = reasons(question, one.function, seed)
    failed = {check: reason for check, reason in found.items() if reason is not None}
    assert one.fails
    assert set(one.fails) <= set(failed)
    assert any(one.words in reason for reason in failed.values()), failed
    assert score(question, found) < question.points


@pytest.mark.parametrize("question", GRADED)
def test_enough_of_both_hang_in_the_gallery(question):
    assert sum(one.question == question for one in RIGHT) >= 2
    assert sum(one.question == question for one in WRONG) >= 3


@pytest.mark.parametrize("question", GRADED)
def test_no_check_is_idle(question):
    """Each check is failed by some wrong implementation that is named for it."""
    named = {check for one in WRONG if one.question == question for check in one.fails}
    assert named == {one.name for one in QUESTIONS[question].checks}


def on_copies(function):
    """The function, honestly kept from changing its inputs and the generators that all code shares."""

    def keeping(**inputs):
        before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        try:
            return function(**copy.deepcopy(inputs))
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
            torch.set_rng_state(before[2])

    return keeping


@pytest.mark.parametrize("one", WRONG, ids=name)
def test_a_lie_about_changed_inputs_earns_no_more_than_a_copy(one):
    """What a call changes is seen in the student's process, which may lie: it gains what a copy gains."""
    for check in QUESTIONS[one.question].checks:
        calls = check.inputs(0)
        outcome, honest = run(one.function, calls), run(on_copies(one.function), calls)
        lie = Outcome(outputs=outcome.outputs, error=outcome.error)
        assert honest.changed == ()
        assert (judged(check, calls, lie) is None) == (judged(check, calls, honest) is None)
