"""Grades as a table that Canvas imports, made from the gradebook that Canvas exports."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from cleanprio_lib.checkpoints import atomic_path
from cleanprio_lib.checks.checking import Assignment
from cleanprio_lib.grading.grades import Graded, number, total

# Canvas finds students by these, and leaves alone all columns that are not in the file.
IDENTITY = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


def export(
    gradebook: Path,
    graded: Sequence[Graded],
    assignment: Assignment,
    by_hand: Mapping[str, Mapping[str, str]],
    out: Path,
) -> int:
    """Write the gradebook's students with their totals; returns how many have one.

    A student whose questions judged by hand are not filled in yet keeps what Canvas has. A column that the
    gradebook does not have gets the assignment's points in Canvas's row for them.

    Args:
        gradebook: exported by Canvas.
        graded: submissions; their file names hold Canvas's ids.
        assignment: one column, that of the gradebook if there is one with its title, else a new one.
        by_hand: see `grades.read_by_hand`.
        out: the file to import.

    Raises:
        ValueError: it is no gradebook.
        OSError: it cannot be read.
    """
    with gradebook.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        heads, rows = list(reader.fieldnames or ()), list(reader)
    if not {"Student", "ID"} <= set(heads):
        raise ValueError(
            f"{gradebook} must have the columns Student and ID, as Canvas exports them; got {heads[:6]}"
        )
    title = f"Assignment {assignment.number}: {assignment.title}"
    column = next((head for head in heads if title.casefold() in head.casefold()), title)
    totals = {
        one.submission.user: total(one, assignment, by_hand.get(one.submission.key, {})) for one in graded
    }
    kept = [head for head in IDENTITY if head in heads]
    found = 0
    with atomic_path(out) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*kept, column])
            writer.writeheader()
            for row in rows:
                points = totals.get(row["ID"].strip()) if row["ID"] else None
                found += points is not None
                text = row.get(column, _possible(row, assignment)) if points is None else number(points)
                writer.writerow({**{head: row[head] for head in kept}, column: text})
        temporary.chmod(0o644)
    return found


def _possible(row: Mapping[str, str], assignment: Assignment) -> str:
    return str(assignment.points) if row["Student"].strip() == "Points Possible" else ""
