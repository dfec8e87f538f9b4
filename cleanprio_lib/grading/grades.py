"""Grades as files: a record of each submission, so that a killed run goes on, and the table made from them.

A record is one JSON file in a folder beside the table. It holds what a submission's grade depends on, hashed:
the submitted file, the checks, hidden ones included, the seed and the limits. A record that no longer fits is
made anew.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cleanprio_lib.checkpoints import atomic_path
from cleanprio_lib.checks.checking import Assignment, Question
from cleanprio_lib.grading.judging import Examined, Result
from cleanprio_lib.grading.limits import Limits
from cleanprio_lib.grading.places import PACKAGE
from cleanprio_lib.grading.submissions import Submission

BY_HAND = "{id} (by hand, of {points})"
BY_CHECKS = "{id} (of {points})"
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Graded:
    """A submission and what became of it.

    Attributes:
        submission: what was handed in.
        examined: what came out.
        isolation: the kind of sandbox it ran in.
        identity: hash of what the grade depends on.
    """

    submission: Submission
    examined: Examined
    isolation: str
    identity: str

    @property
    def stem(self) -> str:
        """Name of the student's files: letters and digits of the name, and what makes it unique."""
        name = "".join(letter if letter.isalnum() else "-" for letter in self.submission.student.lower())[:40]
        return (
            f"{name.strip('-') or 'student'}-{hashlib.sha256(self.submission.key.encode()).hexdigest()[:8]}"
        )

    @property
    def points(self) -> float:
        """Of the questions that checks decide."""
        return sum(result.points or 0.0 for result in self.examined.results.values())


@dataclass(frozen=True)
class Files:
    """Where the grades of a run lie.

    Attributes:
        table: the CSV.
    """

    table: Path

    @property
    def folder(self) -> Path:
        """Feedback, as it is handed back."""
        return self.table.with_name(f"{self.table.stem}-feedback")

    @property
    def records(self) -> Path:
        """A JSON file for each submission, for the next run."""
        return self.table.with_name(f"{self.table.stem}-records")


def identity(submission: Submission, *, checks: str, seed: int, limits: Limits) -> str:
    """Hash of what a grade depends on.

    Args:
        checks: `identity_of_checks`.
        seed: of the inputs.
        limits: of the submission.
    """
    parts = [submission.sha256, submission.problem, checks, seed, dataclasses.asdict(limits)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def identity_of_checks(hidden: Sequence[Path]) -> str:
    """Hash of the files that checks are written in: the library's, and those with hidden ones."""
    digest = hashlib.sha256()
    for path in [*sorted((PACKAGE / "checks").rglob("*.py")), *hidden]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_record(graded: Graded, files: Files) -> None:
    """Write a submission's record, whole or not at all."""
    examined = graded.examined
    content = {
        "identity": graded.identity,
        "isolation": graded.isolation,
        "results": {name: dataclasses.asdict(result) for name, result in examined.results.items()},
        "failed": examined.failed,
        "notes": examined.notes,
        "pictures": {
            number: [base64.b64encode(picture).decode() for picture in pictures]
            for number, pictures in examined.pictures.items()
        },
        "ended": examined.ended,
    }
    files.records.mkdir(parents=True, exist_ok=True)
    with atomic_path(files.records / f"{graded.stem}.json") as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False), "utf8")


def read_record(submission: Submission, wanted: str, files: Files) -> Graded | None:
    """A submission's record, if there is one that still fits."""
    stem = Graded(submission, Examined(), "", "").stem
    try:
        content = json.loads((files.records / f"{stem}.json").read_text("utf8"))
        if content["identity"] != wanted:
            return None
        examined = Examined(
            results={name: Result(**result) for name, result in content["results"].items()},
            failed={int(number): reason for number, reason in content["failed"].items()},
            notes=content["notes"],
            pictures={
                int(number): [base64.b64decode(picture) for picture in pictures]
                for number, pictures in content["pictures"].items()
            },
            ended=content["ended"],
        )
        return Graded(submission, examined, content["isolation"], wanted)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def columns(assignment: Assignment) -> list[str]:
    """Of the table."""
    questions = [column(question) for question in assignment.questions]
    return [
        *("student", "user", "file"),
        *questions,
        *("points", f"total (of {assignment.points})", "reasons", "remarks", "feedback"),
    ]


def column(question: Question) -> str:
    """A question's column: filled in, or left for the teacher."""
    text = BY_CHECKS if question.checks else BY_HAND
    return text.format(id=question.id, points=question.points)


def write_table(
    graded: Sequence[Graded], assignment: Assignment, files: Files, by_hand: Mapping[str, Mapping[str, str]]
) -> None:
    """Write the CSV, whole or not at all.

    Args:
        by_hand: what the teacher has filled in, by student's key and column; it stays.
    """
    files.table.parent.mkdir(parents=True, exist_ok=True)
    remarks = _remarks(graded, assignment)
    with atomic_path(files.table) as temporary:
        # With the mark at the beginning that spreadsheets need to read it as UTF-8.
        with temporary.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, columns(assignment))
            writer.writeheader()
            for one in graded:
                row = _row(one, assignment, by_hand.get(one.submission.key, {}))
                row |= {
                    "remarks": remarks[one.submission.key],
                    "feedback": f"{files.folder.name}/{one.stem}.html",
                }
                writer.writerow({name: _no_formula(value) for name, value in row.items()})
        temporary.chmod(0o644)


def read_by_hand(graded: Sequence[Graded], assignment: Assignment, files: Files) -> dict[str, dict[str, str]]:
    """What the teacher has filled in so far, by student's key and column.

    Args:
        files: whose table may come from any spreadsheet: separated by commas, semicolons or tabs, in UTF-8
            or, as some write CSV, in Windows-1252, with points or commas in its numbers.

    Raises:
        ValueError: the table is not one of this assignment, holds points of a student who is not in the
            folder, or a number of points that cannot be; it would be overwritten.
    """
    if not files.table.exists():
        return {}
    by_hand = [question for question in assignment.questions if not question.checks]
    rows = _rows(files.table, [*map(column, by_hand), "feedback"], assignment)
    students = {f"{files.folder.name}/{one.stem}.html": one.submission for one in graded}
    filled: dict[str, dict[str, str]] = {}
    for row in rows:
        submission = students.get(row["feedback"] or "")
        for question in by_hand:
            text = (row[column(question)] or "").strip().replace(",", ".")
            if not text:
                continue
            if submission is None:
                raise ValueError(
                    f"{files.table} holds points by hand of {row.get('student')!r}, who is not in the folder "
                    f"of submissions: remove the row, or give another file"
                )
            _check_points(text, question, submission.student)
            filled.setdefault(submission.key, {})[column(question)] = text
    return filled


def _rows(table: Path, needed: Sequence[str], assignment: Assignment) -> list[dict[str, str | None]]:
    """Rows of a table as a spreadsheet may have saved it."""
    content = table.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")  # names alone can differ, by which nothing is found
    delimiter = re.match(r'"?student"?([,;\t])', text)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter[1] if delimiter else ",")
    missing = [name for name in needed if name not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(
            f"{table} must be a table of assignment {assignment.number}, to be written anew; it lacks "
            f"{', '.join(map(repr, missing))}: give another file, or move this one away"
        )
    return list(reader)


def total(one: Graded, assignment: Assignment, by_hand: Mapping[str, str]) -> float | None:
    """All points; None until the teacher has filled in theirs."""
    wanted = [column(question) for question in assignment.questions if not question.checks]
    if not all(name in by_hand for name in wanted):
        return None
    return one.points + sum(float(by_hand[name]) for name in wanted)


def number(value: float) -> str:
    """Points without a tail of zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _row(one: Graded, assignment: Assignment, by_hand: Mapping[str, str]) -> dict[str, str]:
    submission, results = one.submission, one.examined.results
    row = {"student": submission.student, "user": submission.user, "file": submission.path.name}
    for question in assignment.questions:
        points = results[question.id].points
        row[column(question)] = by_hand.get(column(question), "") if points is None else number(points)
    everything = total(one, assignment, by_hand)
    row["points"] = number(one.points)
    row[f"total (of {assignment.points})"] = "" if everything is None else number(everything)
    lost = [
        f"{name} {check}: {reason}"
        for name, result in results.items()
        for check, reason in result.reasons.items()
        if reason is not None
    ]
    row["reasons"] = submission.problem or "\n".join(lost)
    return row


def _remarks(graded: Sequence[Graded], assignment: Assignment) -> dict[str, str]:
    """What a teacher may want to know of a submission besides its points."""
    remarks: dict[str, str] = {}
    for one in graded:
        own, said = one.submission, []
        if own.replaced:
            said.append(f"handed in earlier, and not counted: {', '.join(own.replaced)}")
        same = [other.submission for other in graded if other is not one]
        alike = [other.student for other in same if own.sha256 and other.sha256 == own.sha256]
        namesakes = [other.path.name for other in same if own.declared and other.declared == own.declared]
        if alike:
            said.append(f"the same file as {', '.join(alike)}")
        elif namesakes:
            said.append(f"gives the same name, {own.declared!r}, as {', '.join(namesakes)}")
        if own.problem is None and not own.declared and own.cells:
            said.append("gives no name in the notebook")
        if more := own.library - {*assignment.library}:
            said.append(
                f"names parts of the library that the notebook does not use: {', '.join(sorted(more))}"
            )
        remarks[own.key] = "; ".join(said)
    return remarks


def _check_points(text: str, question: Question, student: str) -> None:
    try:
        right = 0 <= float(text) <= question.points
    except ValueError:
        right = False
    if not right:
        raise ValueError(
            f"{student}, {column(question)}: must be a number from 0 to {question.points}, got {text!r}"
        )


def _no_formula(text: str) -> str:
    """A text that no spreadsheet takes for a formula; students write part of it."""
    return (
        f"'{text}" if text.startswith(FORMULA) and not text.lstrip("-").replace(".", "").isdigit() else text
    )
