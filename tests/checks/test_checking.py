"""Running a check: it tells in words what is wrong, and nothing that a function does gets past it."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from cleanprio_lib import checks
from cleanprio_lib.checks import checking, judging
from cleanprio_lib.checks.checking import (
    GLOBAL_RANDOMNESS,
    NOT_WRITTEN,
    Assignment,
    Check,
    Net,
    Outcome,
    Question,
    judged,
    run,
    score,
    seed_of,
    with_hidden,
)
from cleanprio_lib.checks.values import as_value, same, words
from cleanprio_lib.grading import transport
from cleanprio_lib.grading.grader import hidden_checks
from tools import assignments
from tools.book import Book

CALLS = ({"x": np.array([1.0, 2.0]), "k": 3},)
PUBLIC = [
    one
    for assignment in checks.ASSIGNMENTS.values()
    for question in assignment.questions
    for one in question.public
]
HIDDEN = [
    one
    for path in sorted((Book().root / assignments.FOLDER / "solutions").glob("hidden_*.py"))
    for several in hidden_checks(path).values()
    for one in several
]
SMALL = {"builder": "fully_connected", "options": {"num_inputs": 2, "width": 3}, "seed": 1}


def wrong_sum(inputs, output):
    return judging.wrong_numbers(output, inputs["x"].sum() * inputs["k"], inputs, slips={"a slip": -1.0})


def toy(*, untouched=()):
    return Check("sums", "total", lambda seed: CALLS, judging.each(wrong_sum), untouched)


def verdict(function, check=None):
    check = check or toy()
    calls = check.inputs(0)
    return judged(check, calls, run(function, calls))


@pytest.mark.parametrize("answer", [9.0, 9, np.float32(9), torch.tensor(9.0), np.array([9.0]), [9.0]])
def test_a_right_answer_in_any_dress(answer):
    assert verdict(lambda x, k: answer) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (8.0, "for x = [1., 2.], k = 3: is 8, and 9 is right"),
        (-1.0, "that is a slip"),
        (np.nan, "is nan, and 9 is right"),
        (None, "a `return` is missing"),
        ("9", "numbers are wanted"),
        ({"total": 9}, "numbers are wanted"),
        ([9.0, 9.0], "has shape (2,), and () is wanted"),
        ([[1], [2, 3]], "numbers are wanted"),
        (nn.Linear(1, 1), "returned a Linear; wanted is"),
        (np.array(["9"]), "returned a ndarray"),
        ({1: 9}, "returned a dict"),
    ],
)
def test_a_wrong_answer_is_put_into_words(answer, words):
    assert words in verdict(lambda x, k: answer)


def test_an_error_is_told_with_input_and_line():
    def total(x, k):
        return x[k]

    assert verdict(total) == (
        "for x = [1., 2.], k = 3 it stopped with IndexError: index 3 is out of bounds for axis 0 with size 2"
        ", in the line `return x[k]`"
    )


class SpeechlessError(Exception):
    def __str__(self):
        raise RuntimeError


def raising(error):
    def total(x, k):
        raise error

    return total


@pytest.mark.parametrize(
    "error", [SystemExit(0), SpeechlessError(), RecursionError(), NotImplementedError("complex")]
)
def test_no_error_gets_out(error):
    assert f"it stopped with {type(error).__name__}" in verdict(raising(error))


def test_an_unwritten_function_is_no_failure():
    assert verdict(raising(NotImplementedError())) == verdict(raising(NotImplementedError)) == NOT_WRITTEN


def test_a_changed_input_counts_where_it_must_stay():
    def total(x, k):
        x *= 1.0
        x += 1.0
        return 9.0

    assert verdict(total) is None
    assert "changes its input x" in verdict(total, toy(untouched=("x",)))
    assert CALLS[0]["x"].tolist() == [1.0, 2.0]


def reseed():
    np.random.seed(random.SystemRandom().randrange(2**32))  # noqa: NPY002


@pytest.mark.parametrize("draw", [np.random.rand, reseed, lambda: torch.rand(1), random.random])
def test_shared_random_generators_are_watched(draw):
    def total(x, k):
        draw()
        return 9.0

    outcome = run(total, CALLS)
    assert outcome.changed == (GLOBAL_RANDOMNESS,)
    watching = toy(untouched=(GLOBAL_RANDOMNESS,))
    assert "generator that all code shares" in judged(watching, CALLS, outcome)
    assert verdict(lambda x, k: float(np.random.default_rng(0).integers(9, 10)), watching) is None


def test_a_net_is_built_anew_for_every_call_and_its_changes_are_seen():
    seen = []

    def step(net):
        seen.append(next(net.parameters()).detach().clone())
        with torch.no_grad():
            next(net.parameters()).add_(1.0)
        return 0.0

    outcome = run(step, ({"net": Net(**SMALL)}, {"net": Net(**SMALL)}))
    assert outcome.changed == ("net",)
    assert torch.equal(*seen)
    assert next(Net(**SMALL, dtype="float64").build().parameters()).dtype == torch.float64


def test_an_answer_that_no_judge_can_read_is_no_crash():
    def judge(calls, outputs):
        return outputs[0]["missing"]

    check = Check("reads", "f", lambda seed: CALLS, judge)
    assert "cannot be compared" in judged(check, CALLS, Outcome(outputs=(1.0,)))


GARBAGE = [
    None,
    "words",
    {},
    [],
    float("nan"),
    10**30,
    True,
    np.zeros(0),
    np.zeros((2, 0, 3)),
    (1, [2, (3,)]),
]
GARBAGE += [torch.full((1, 1, 1, 1), 7.5), {"clean": "x", "noisy": None, "other": []}, [None, None]]
GARBAGE += [np.zeros((3, 3), dtype=bool)]


@pytest.mark.parametrize("check", [*PUBLIC, *HIDDEN], ids=lambda check: f"{check.function}: {check.name}")
def test_every_check_is_plain_values_the_same_for_a_seed_and_withstands_garbage(check):
    for seed in (0, 7, 2**31 - 1):
        calls = check.inputs(seed)
        assert same(dict(enumerate(calls)), dict(enumerate(check.inputs(seed))))
        assert same(list(calls), transport.unpack(transport.pack(list(calls))))
    for garbage in GARBAGE:
        reason = judged(check, calls, Outcome(outputs=(garbage,) * len(calls)))
        assert isinstance(reason, str)
        assert len(reason) < 500


@pytest.mark.parametrize("check", HIDDEN, ids=lambda check: f"{check.function}: {check.name}")
def test_hidden_inputs_are_not_those_that_students_see(check):
    seen = [inputs for one in PUBLIC if one.function == check.function for inputs in one.inputs(0)]
    assert not any(same(inputs, other) for inputs in check.inputs(1) for other in seen)


# Points

ONE = Question(id="9.1", title="One", points=3, function="total", public=(toy(),))
TASK = Assignment(9, "Toy", 10, (ONE, Question(id="9.2", title="Two", points=2, rubric="Think.")))
MORE = Check("more", "total", lambda seed: CALLS, judging.each(wrong_sum))


def test_points_are_shared_among_public_and_hidden_checks():
    question = with_hidden(TASK, {"9.1": (MORE,)}).questions[0]
    assert score(question, {"sums": None, "more": None}) == 3
    assert score(question, {"sums": None, "more": "wrong"}) == 1.5
    assert score(question, {"sums": None}) == 1.5
    assert score(question, {}) == 0
    assert TASK.points == 5
    with pytest.raises(ValueError, match=r"9.2 is judged by hand"):
        score(TASK.questions[1], {})


def test_hidden_checks_must_fit():
    with pytest.raises(ValueError, match=r"has no question 9.7"):
        with_hidden(TASK, {"9.7": (MORE,)})
    with pytest.raises(ValueError, match="same name"):
        with_hidden(TASK, {"9.1": (toy(),)})


# What students see


def test_what_a_student_sees(capsys):
    checking.check(Question(id="9.1", title="Sums", points=1, public=(toy(), MORE)), lambda x, k: k * x.sum())
    assert capsys.readouterr().out == "9.1 Sums\n  ✓ sums\n  ✓ more\n"
    checking.check(Question(id="9.1", title="Sums", points=1, public=(toy(),)), lambda x, k: 8)
    assert capsys.readouterr().out == "9.1 Sums\n  ✗ sums: for x = [1., 2.], k = 3: is 8, and 9 is right\n"
    checking.check(
        Question(id="9.1", title="Sums", points=1, public=(toy(), MORE)), raising(NotImplementedError)
    )
    assert capsys.readouterr().out == "9.1 Sums\n  ✗ sums: not written yet\n"


def test_a_check_by_name_returns_nothing(capsys):
    assert checks.check("1.1", raising(NotImplementedError)) is None
    assert "1.1" in capsys.readouterr().out
    with pytest.raises(KeyError, match=r"there is no question '7\.1'"):
        checks.check("7.1", sum)


def test_seeds_of_students():
    assert seed_of("Ada Lovelace") == seed_of(" ada  lovelace ")
    names = [f"student {number}" for number in range(2000)]
    seeds = {seed_of(name) for name in names}
    assert len(seeds) == len(names)
    assert all(0 <= seed < 2**31 for seed in seeds)


# Values


def test_values_keep_their_kind():
    assert as_value((np.int64(3), [np.bool_(True)], {"a": np.float32(0.5)})) == (3, [True], {"a": 0.5})
    tensor = torch.ones(2, requires_grad=True) * 2
    assert not as_value(tensor).requires_grad
    loop = []
    loop.append(loop)
    assert "RecursionError" in run(lambda x, k: loop, CALLS).error


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1 + 0.2, "0.3"),
        (np.array([1.0, np.pi]), "[1.    , 3.1416]"),
        (torch.zeros(3, 4), "a tensor of shape (3, 4)"),
        ({"a": 1}, "a dict with a"),
        ({}, "a dict with nothing in it"),
        (list(range(9)), "a list of 9"),
        ([1, None], "[1, None]"),
        ("x" * 500, "'" + "x" * 79 + "…"),
        (Net(**SMALL), "a fully_connected net (seed 1)"),
    ],
)
def test_words_for_values(value, text):
    assert words(value) == text
