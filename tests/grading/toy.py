"""A toy assignment with a hidden check, and notebooks to hand in."""

import csv
import json
import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from cleanprio_lib.checks.checking import Assignment, Check, Question
from cleanprio_lib.grading.hosts import UnavailableError
from cleanprio_lib.grading.limits import Limits

LIMITS = Limits(seconds=24, memory=512 << 20, files=32 << 20, processes=20, printed=2 << 20, answer=4 << 20)
SECRET = "known-to-graders-only"
HIDDEN = f'''
"""{SECRET}"""
from cleanprio_lib.checks.checking import Check


def judge(calls, outputs):
    right = [2 * inputs["x"] for inputs in calls]
    return None if [*outputs] == right else f"large numbers come out as {{outputs[0]}}"


HIDDEN = {{"9.1": (Check("large numbers", "double", lambda seed: ({{"x": 1e6 + seed}}, {{"x": 2e6 + seed}}),
judge),)}}
'''
DOUBLE = "def double(x):\n    return 2 * x"
TOTAL = "def total(values):\n    return sum(values)"
WORDS = ("markdown", "**Answer to 9.3**\n\nBecause <b>addition</b> is & was associative.")
HONEST = (DOUBLE, TOTAL, WORDS)


def _judge_double(calls, outputs):
    return None if [*outputs] == [2 * inputs["x"] for inputs in calls] else f"double gives {outputs[0]}"


def _judge_total(calls, outputs):
    return None if [*outputs] == [sum(inputs["values"]) for inputs in calls] else f"total gives {outputs[0]}"


TOY = Assignment(
    number=9,
    title="Sums",
    minutes=1,
    questions=(
        Question(
            "9.1",
            "Twice as much",
            2,
            "double",
            public=(Check("a number", "double", lambda seed: ({"x": float(seed + 3)},), _judge_double),),
        ),
        Question(
            "9.2",
            "All together",
            1,
            "total",
            public=(Check("a few", "total", lambda seed: ({"values": [seed, 2, 3.5]},), _judge_total),),
        ),
        Question("9.3", "Why?", 2, rubric="1 point for a reason; 1 for the <right> one."),
    ),
)


def notebook(*cells, nbformat=4, outputs=()):
    """The text of an .ipynb file: a string makes a code cell, a pair names its kind."""
    parts = []
    for cell in cells:
        kind, source = cell if isinstance(cell, tuple) else ("code", cell)
        part = {"cell_type": kind, "metadata": {}, "source": source.splitlines(keepends=True)}
        if kind == "code":
            part |= {"outputs": list(outputs), "execution_count": None}
        parts.append(part)
    return json.dumps({"cells": parts, "metadata": {}, "nbformat": nbformat, "nbformat_minor": 5})


def table(path):
    """The rows of a CSV by student."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def processes_with(text):
    """Processes that have a text in their environment, as far as they can be looked into."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        try:
            if name.isdigit() and text.encode() in Path(f"/proc/{name}/environ").read_bytes():
                found.append(int(name))
        except OSError:
            continue
    return [process for process in found if process != os.getpid()]


@contextmanager
def skipped_where_unavailable(kind):
    """Skip, and say loudly why, where a kind of sandbox cannot be had."""
    try:
        yield
    except UnavailableError as error:
        pytest.skip(f"NOT TESTED HERE: isolation by {kind}. {error}")
