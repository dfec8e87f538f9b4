"""What a submission is worth: it runs in a sandbox, its functions are called there, and judged here.

Inputs go in, one call at a time; what comes out is compared, in this process, with what this process makes of
its own copy of the inputs. So no right answer and no judge is ever where a student's code runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cleanprio_lib.checks.checking import Assignment, Check, Inputs, Outcome, Question, judged, score
from cleanprio_lib.grading.sandbox import EndedError, Sandbox, Session
from cleanprio_lib.grading.submissions import Cell, Submission

ATTEMPTS = 6  # times that a notebook is run: again without the cell, or the function, that ended it
LONGEST_REASON = 1000
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Result:
    """What became of one question.

    Attributes:
        points: of a question that checks decide; None where a person does.
        reasons: by check; None where it was passed.
    """

    points: float | None
    reasons: dict[str, str | None] = field(default_factory=dict)


@dataclass
class Examined:
    """What became of a submission, as it is found out.

    Attributes:
        results: by question id.
        failed: number of a cell → why it failed.
        notes: what was not run: magics, shell lines, Colab.
        pictures: number of a cell → the figures that it drew, as PNG.
        ended: why the submission was given up; None if it was not.
    """

    results: dict[str, Result] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    pictures: dict[int, list[bytes]] = field(default_factory=dict)
    ended: str | None = None


def examine(submission: Submission, assignment: Assignment, sandbox: Sandbox, *, seed: int) -> Examined:
    """Run a submission and judge what it makes of every check's inputs.

    A cell that fails is noted, and the others run. One that ends the process is left out when the notebook is
    run again; a function that does so gets no second try, and the others do.

    Args:
        submission: what a student handed in.
        assignment: with its hidden checks.
        sandbox: in which it runs.
        seed: of the inputs.
    """
    if submission.problem is not None:
        return nothing(assignment, submission.problem)
    work = _Work(submission, Examined(), {}, _checks_of(assignment), seed, sandbox)
    work.run()
    return _with_results(work.examined, assignment, work.reasons)


def nothing(assignment: Assignment, why: str) -> Examined:
    """What becomes of a submission that cannot be run."""
    return _with_results(Examined(ended=why), assignment, {})


def _with_results(
    examined: Examined, assignment: Assignment, reasons: dict[tuple[str, str], str | None]
) -> Examined:
    for question in assignment.questions:
        own = {
            check.name: reasons.get((question.id, check.name), examined.ended or "it was not run")
            for check in question.checks
        }
        examined.results[question.id] = Result(score(question, own) if own else None, own)
    return examined


def answer_cells(submission: Submission, assignment: Assignment) -> dict[str, list[Cell]]:
    """Cells that answer each question, by its id.

    An answer begins with a cell that is marked as one in its first line, and goes on up to the next heading
    or mark. Where a mark is lost, it is what stands below the question's heading.
    """
    marked: dict[str, list[Cell]] = {question.id: [] for question in assignment.questions}
    below: dict[str, list[Cell]] = {question.id: [] for question in assignment.questions}
    marks = {
        question.id: re.compile(rf"\b{re.escape(question.marker)}\b(?![.\d])")
        for question in assignment.questions
    }
    answering = heading = None
    for cell in submission.cells:
        first = cell.source.strip().partition("\n")[0]
        mark = next((name for name, pattern in marks.items() if pattern.search(first)), None)
        is_heading = cell.kind == "markdown" and first.startswith("#")
        if is_heading:
            found = re.match(r"#+\s*(?:question\s*)?(\d+\.\d+)\b", first, re.IGNORECASE)
            answering, heading = None, found[1] if found else None
        elif mark:
            answering = heading = mark
        if answering:
            marked[answering].append(cell)
        elif heading in below and not is_heading:
            below[heading].append(cell)
    return {name: marked[name] or below[name] for name in marked}


@dataclass
class _Work:
    submission: Submission
    examined: Examined
    reasons: dict[tuple[str, str], str | None]
    pending: list[tuple[Question, Check]]
    seed: int
    sandbox: Sandbox

    def __post_init__(self) -> None:
        self.left = self.sandbox.limits.seconds  # not counting those in which Python starts
        self.left_out: dict[int, str] = {}

    def run(self) -> None:
        """Run the notebook as often as it takes."""
        for _ in range(ATTEMPTS):
            with self.sandbox.open() as session:
                if self._cells(session) and self._calls(session):
                    return
            if self.left <= 0:
                break
        else:
            self.examined.ended = f"it was run {ATTEMPTS} times and ended each time"
            return
        self.examined.ended = f"the notebook has used up its {self.sandbox.limits.seconds:.0f} seconds"

    def _cells(self, session: Session) -> bool:
        self.examined.notes, self.examined.pictures = [], {}
        self.examined.failed = dict(self.left_out)
        for cell in self.submission.cells:
            if cell.kind != "code" or not cell.source.strip() or cell.number in self.left_out:
                continue
            if self.left <= 0:
                return False
            question = {"do": "cell", "number": cell.number, "source": cell.source, "pictures": True}
            try:
                answer = self._ask(session, question, self.sandbox.limits.cell_seconds)
            except EndedError as ended:
                self.left_out[cell.number] = self.examined.failed[cell.number] = str(ended)
                return False
            if isinstance(error := answer.get("error"), str):
                self.examined.failed[cell.number] = error[:LONGEST_REASON]
            self.examined.notes += [f"cell {cell.number}: {note}" for note in _texts(answer.get("notes"))]
            if pictures := list(_pictures(answer.get("pictures"))):
                self.examined.pictures[cell.number] = pictures
        return True

    def _calls(self, session: Session) -> bool:
        while self.pending:
            if self.left <= 0:
                return False
            question, check = self.pending[0]
            calls = check.inputs(self.seed)
            try:
                outcome, stopped = self._outcome(session, check, calls), False
            except EndedError as ended:
                outcome, stopped = Outcome(error=f"the function {ended}"), True
            reason = judged(check, calls, outcome)
            self.reasons[question.id, check.name] = reason and self._blame(check, reason)[:LONGEST_REASON]
            slow = outcome.error is not None and outcome.error.startswith("took too long")
            self.pending.pop(0)
            if stopped or slow:
                self._give_up(question, check)
            if stopped:
                return not self.pending
        return True

    def _outcome(self, session: Session, check: Check, calls: Sequence[Inputs]) -> Outcome:
        """What becomes of a check's calls, one at a time, as `checking.run` has it."""
        outputs: list[Any] = []
        changed: list[str] = []
        for inputs in calls:
            question = {"do": "call", "function": check.function, "inputs": inputs, "seed": self.seed}
            answer = self._ask(session, question, self.sandbox.limits.call_seconds)
            if isinstance(error := answer.get("error"), str):
                return Outcome(error=error)
            output = answer.get("outputs")
            if not isinstance(output, tuple) or len(output) != 1:
                raise EndedError("sent something that is no answer")
            outputs += output
            changed += _texts(answer.get("changed"))
        return Outcome(outputs=tuple(outputs), changed=tuple(dict.fromkeys(changed)))

    def _give_up(self, question: Question, after: Check) -> None:
        for other, check in self.pending:
            if other is question and check.function == after.function:
                self.reasons[question.id, check.name] = f"not tried after “{after.name}”"
        self.pending = [
            (other, check) for other, check in self.pending if (other.id, check.name) not in self.reasons
        ]

    def _blame(self, check: Check, reason: str) -> str:
        """A reason, and the cell that failed where it should have defined the function."""
        if "is not defined" in reason:
            for cell in self.submission.cells:
                if cell.number in self.examined.failed and f"def {check.function}" in cell.source:
                    return f"{reason}: cell {cell.number} failed ({self.examined.failed[cell.number]})"
        return reason

    def _ask(self, session: Session, question: dict[str, Any], at_most: float) -> dict[str, Any]:
        seconds = max(0.1, min(at_most, self.left))
        begun = time.monotonic()
        try:
            return session.ask({**question, "seconds": seconds}, seconds=seconds)
        finally:
            self.left -= time.monotonic() - begun


def _checks_of(assignment: Assignment) -> list[tuple[Question, Check]]:
    return [(question, check) for question in assignment.questions for check in question.checks]


def _texts(items: Any) -> list[str]:
    return [item[:200] for item in items if isinstance(item, str)] if isinstance(items, list | tuple) else []


def _pictures(items: Any) -> Iterator[bytes]:
    for item in items if isinstance(items, list) else []:
        if isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.tobytes().startswith(PNG):
            yield item.tobytes()
