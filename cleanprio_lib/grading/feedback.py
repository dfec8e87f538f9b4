"""Feedback for a student: one HTML file without network and script, whatever the student wrote."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from cleanprio_lib.checks.checking import Assignment, Question
from cleanprio_lib.grading.grades import Graded, column, number, total
from cleanprio_lib.grading.judging import PNG, answer_cells
from cleanprio_lib.grading.sandbox import IN_WORDS
from cleanprio_lib.grading.submissions import LARGEST, Cell

# Nothing is loaded and nothing runs, even if a mark-up of a student's should slip through.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding-bottom: .25rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid
#8888; } td, li { overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border-left: 3px solid #888; padding: .2rem .8rem; }
img { max-width: 100%; background: #fff; }
"""


def page(one: Graded, assignment: Assignment, by_hand: Mapping[str, str]) -> str:
    """The feedback on a submission.

    Args:
        one: the submission, graded.
        assignment: with its hidden checks.
        by_hand: points that the teacher has filled in, by column of the table.
    """
    title = f"Assignment {assignment.number}: {assignment.title}"
    answers = answer_cells(one.submission, assignment)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(one.submission.student)} · <code>{escape(one.submission.path.name)}</code></p>",
        *_summary(one, assignment, by_hand),
    ]
    for question in assignment.questions:
        parts.append(f"<h2>{escape(question.id)} {escape(question.title)}</h2>")
        if question.checks:
            parts += _checks(one, question)
        else:
            parts += _by_hand(one, question, answers[question.id])
    parts += _cells_that_failed(one)
    parts += _what_was_not_run(one)
    parts += ["<h2>How it was graded</h2>", f"<p>{escape(IN_WORDS[one.isolation])}</p>"]
    return _document(f"{title}: {one.submission.student}", parts)


def _document(title: str, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _summary(one: Graded, assignment: Assignment, by_hand: Mapping[str, str]) -> Iterator[str]:
    if one.submission.problem:
        yield f"<p><strong>{escape(one.submission.problem)}.</strong> Nothing could be graded.</p>"
    elif one.examined.ended:
        yield f"<p><strong>The grading stopped: {escape(one.examined.ended)}.</strong></p>"
    rows = []
    for question in assignment.questions:
        points = one.examined.results[question.id].points
        text = (
            number(points) if points is not None else by_hand.get(column(question), "judged by your teacher")
        )
        rows.append((f"{question.id} {question.title}", text, str(question.points)))
    everything = total(one, assignment, by_hand)
    text = f"{number(one.points)} so far" if everything is None else number(everything)
    yield _table("Points", ("Question", "Points", "of"), [*rows, ("Together", text, str(assignment.points))])


def _checks(one: Graded, question: Question) -> Iterator[str]:
    result = one.examined.results[question.id]
    points = number(result.points or 0.0)
    yield f"<p>{points} of {question.points} points, shared equally among the checks.</p>"
    rows = [
        (
            check.name,
            *(
                ("✓ passed", "")
                if result.reasons[check.name] is None
                else ("✗ not passed", result.reasons[check.name] or "")
            ),
        )
        for check in question.checks
    ]
    yield _table(f"Checks of {question.function}", ("Check", "Result", "Why"), rows)


def _by_hand(one: Graded, question: Question, cells: Sequence[Cell]) -> Iterator[str]:
    yield f"<p>Judged by your teacher, of {question.points} points. {escape(question.rubric)}</p>"
    if not any(cell.source.strip() for cell in cells):
        yield "<p>No answer was found.</p>"
    for cell in cells:
        if cell.source.strip():
            yield f"<pre>{escape(cell.source.strip())}</pre>"
        yield from _figures(one, question, cell)


def _figures(one: Graded, question: Question, cell: Cell) -> Iterator[str]:
    drawn = one.examined.pictures.get(cell.number, [])
    origin = "as it was drawn at grading"
    if not drawn:
        drawn, origin = (
            list(_submitted(cell)),
            "as it stands in the submitted file; at grading it was not drawn",
        )
    for picture in drawn:
        text = base64.b64encode(picture).decode()
        name = f"Figure of cell {cell.number}, {question.id}"
        yield (
            f'<figure><img alt="{escape(name)}" src="data:image/png;base64,{text}">'
            f"<figcaption>{escape(name)}, {origin}.</figcaption></figure>"
        )


def _submitted(cell: Cell) -> Iterator[bytes]:
    for picture in cell.pictures:
        try:
            content = base64.b64decode("".join(picture.split()), validate=True)
        except (binascii.Error, ValueError):
            continue
        if content.startswith(PNG) and len(content) < LARGEST:
            yield content


def _cells_that_failed(one: Graded) -> Iterator[str]:
    if one.examined.failed:
        yield "<h2>Cells that failed</h2>"
        yield "<p>All cells were run from top to bottom. These stopped; the others went on.</p>"
        yield _list(f"Cell {cell}: {reason}" for cell, reason in sorted(one.examined.failed.items()))


def _what_was_not_run(one: Graded) -> Iterator[str]:
    if one.examined.notes:
        yield "<h2>What was not run</h2>"
        yield "<p>Magics, shell commands and what only Colab has are noted and passed over.</p>"
        yield _list(one.examined.notes)


def _list(items: Sequence[str] | Iterator[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{escape(item)}</li>" for item in items) + "\n</ul>"


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(text)}</td>" for text in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f"<table>\n<caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>"
    )
