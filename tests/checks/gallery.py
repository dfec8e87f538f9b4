"""Right and wrong implementations of students' functions, written as students write them.

A wrong one names checks that it must fail and, where the mistake is a known one, words that a reason must
hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Right:
    """An implementation that must pass every check."""

    question: str
    function: Callable[..., Any]


@dataclass(frozen=True)
class Wrong:
    """An implementation that must fail the checks named, and may fail others.

    Attributes:
        question: "1.2".
        function: the implementation.
        fails: names of checks, public or hidden.
        words: what a reason must hold.
    """

    question: str
    function: Callable[..., Any]
    fails: tuple[str, ...]
    words: str = ""


RIGHT: list[Right] = []
WRONG: list[Wrong] = []


def right(question: str) -> Callable[..., Any]:
    """Hang a right implementation in the gallery."""

    def hang(function: Callable[..., Any]) -> Callable[..., Any]:
        RIGHT.append(Right(question, function))
        return function

    return hang


def wrong(question: str, *fails: str, words: str = "") -> Callable[..., Any]:
    """Hang a wrong implementation in the gallery."""

    def hang(function: Callable[..., Any]) -> Callable[..., Any]:
        WRONG.append(Wrong(question, function, fails, words))
        return function

    return hang
