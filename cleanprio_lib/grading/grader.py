"""A folder of submissions graded: each in its sandbox, several at once, going on after a kill."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tqdm.auto import tqdm

from cleanprio_lib import checks
from cleanprio_lib.checkpoints import atomic_path, threads
from cleanprio_lib.checks.checking import Assignment, Check, with_hidden
from cleanprio_lib.grading import canvas, feedback, grades, sandbox
from cleanprio_lib.grading.grades import Files, Graded
from cleanprio_lib.grading.hosts import UnavailableError
from cleanprio_lib.grading.judging import examine, nothing
from cleanprio_lib.grading.limits import Limits
from cleanprio_lib.grading.places import PACKAGE
from cleanprio_lib.grading.sandbox import Sandbox
from cleanprio_lib.grading.submissions import Submission, find

RESUME = "what is graded is kept; the same command goes on with the rest"


@dataclass(frozen=True)
class Report:
    """What became of a folder.

    Attributes:
        graded: a submission each, in order of the students' names.
        table: the CSV.
        isolation: the kind of sandbox; the weakest, where submissions graded before ran in another.
        why_not_better: for each better kind, why it cannot be had here.
        kept: how many were graded by an earlier run.
        hidden: there were hidden checks.
    """

    graded: tuple[Graded, ...]
    table: Path
    isolation: str
    why_not_better: tuple[str, ...]
    kept: int
    hidden: bool


def grade(
    folder: Path,
    assignment: Assignment | int,
    out: Path,
    *,
    hidden: Path | None = None,
    seed: int = 1,
    limits: Limits | None = None,
    workers: int | None = None,
    isolation: str | None = None,
    gradebook: Path | None = None,
    progress: bool = True,
) -> Report:
    """Grade a folder of submitted notebooks.

    Writes `out`, a row a student, and beside it a folder with each student's feedback. What the teacher has
    filled into an earlier table stays, and is added up.

    Args:
        folder: of the submissions.
        assignment: or its number.
        out: the CSV.
        hidden: folder with the hidden checks, `hidden_2.py` for assignment 2; None for the checkout's own.
        seed: of the inputs; a teacher's secret. The public checks in the notebooks use 0.
        limits: of each submission.
        workers: submissions at once; None for one a core.
        isolation: one of `sandbox.KINDS`; None for the best that the system has.
        gradebook: exported by Canvas: `out` with `-canvas` in its name is then made for its import.
        progress: show a bar.

    Raises:
        ValueError: there is no such folder or assignment, hidden checks that do not fit, a negative seed, or
            points filled in that cannot be.
        OSError: a file cannot be written.
        UnavailableError: the wanted isolation cannot be had.
    """
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    limits = limits or Limits()
    hidden_file = hidden_checks_file(hidden, assignment if isinstance(assignment, int) else assignment.number)
    whole = _assignment(assignment, hidden_file)
    found, files = find(folder), Files(out)
    checks_hash = grades.identity_of_checks([hidden_file] if hidden_file else [])
    wanted = {one.key: grades.identity(one, checks=checks_hash, seed=seed, limits=limits) for one in found}
    done = {one.key: grades.read_record(one, wanted[one.key], files) for one in found}
    by_hand = grades.read_by_hand([Graded(one, None, "", "") for one in found], whole, files)  # type: ignore[arg-type]
    for made in (files.folder, files.records):
        made.mkdir(parents=True, exist_ok=True)
    kept_away = [
        folder,
        files.table,
        files.folder,
        files.records,
        *([hidden_file.parent] if hidden_file else []),
    ]
    waiting = [one for one in found if done[one.key] is None]
    why: list[str] = []
    if waiting:
        first, why = sandbox.choose(isolation, limits=limits, hidden=kept_away)
        new = partial(Sandbox, first.kind, limits=limits, hidden=kept_away)
        job = partial(_grade_one, whole, seed, wanted)
        for one in _all(waiting, first, new, job, workers or os.cpu_count() or 1, progress):
            done[one.submission.key] = one
            grades.write_record(one, files)
    graded = tuple(one for one in (done[submission.key] for submission in found) if one)
    write(graded, whole, files, by_hand)
    if gradebook is not None:
        canvas.export(gradebook, graded, whole, by_hand, out.with_name(f"{out.stem}-canvas.csv"))
    return Report(
        graded,
        out,
        max((one.isolation for one in graded), key=sandbox.KINDS.index),
        tuple(why),
        len(found) - len(waiting),
        hidden_file is not None,
    )


def in_short(report: Report) -> str:
    """What to say when all is graded."""
    count, files = len(report.graded), Files(report.table)
    lines = [f"{count} graded, {report.kept} of them before; {report.table}, and feedback in {files.folder}"]
    unread = sum(one.submission.problem is not None for one in report.graded)
    stopped = sum(one.examined.ended is not None for one in report.graded) - unread
    if unread or stopped:
        lines.append(f"{unread} could not be read as notebooks, {stopped} were given up: the table says why")
    if not report.hidden:
        lines.append("NO HIDDEN CHECKS were found: only those that students have were run (--hidden FOLDER)")
    return "\n".join([*lines, sandbox.IN_WORDS[report.isolation], *report.why_not_better])


def write(
    graded: Sequence[Graded], assignment: Assignment, files: Files, by_hand: dict[str, dict[str, str]]
) -> None:
    """Write the table and every student's feedback."""
    grades.write_table(graded, assignment, files, by_hand)
    for one in graded:
        with atomic_path(files.folder / f"{one.stem}.html") as temporary:
            text = feedback.page(one, assignment, by_hand.get(one.submission.key, {}))
            temporary.write_text(text, "utf8", errors="replace")
            temporary.chmod(0o644)


def hidden_checks_file(folder: Path | None, number: int) -> Path | None:
    """The file with an assignment's hidden checks; None if no folder was named and the checkout has none.

    Raises:
        ValueError: the folder that was named has no such file.
    """
    name = f"hidden_{number}.py"
    path = (folder or PACKAGE.parent / "book" / "assignments" / "solutions") / name
    if path.is_file():
        return path.resolve()
    if folder is not None:
        raise ValueError(f"{folder} must hold {name}, the hidden checks of assignment {number}")
    return None


def hidden_checks(path: Path) -> dict[str, tuple[Check, ...]]:
    """The hidden checks that a file holds, as `HIDDEN`, by question id.

    Raises:
        ValueError: it holds none.
    """
    name = f"cleanprio_hidden_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if not isinstance(getattr(module, "HIDDEN", None), dict):
        raise ValueError(f"{path} must hold a dict HIDDEN, from question id to a tuple of checks")
    return dict(module.HIDDEN)


def _assignment(assignment: Assignment | int, hidden_file: Path | None) -> Assignment:
    if isinstance(assignment, int):
        if assignment not in checks.ASSIGNMENTS:
            raise ValueError(f"assignment must be one of {sorted(checks.ASSIGNMENTS)}, got {assignment}")
        assignment = checks.ASSIGNMENTS[assignment]
    return with_hidden(assignment, hidden_checks(hidden_file)) if hidden_file else assignment


def _grade_one(
    assignment: Assignment, seed: int, wanted: dict[str, str], submission: Submission, where: Sandbox
) -> Graded:
    try:
        examined, identity = examine(submission, assignment, where, seed=seed), wanted[submission.key]
    except UnavailableError as error:  # others may do better, and this one another time
        examined, identity = nothing(assignment, f"it could not be run: {error}"), ""
    return Graded(submission, examined, where.kind, identity)


def _all(
    submissions: Sequence[Submission], first: Sandbox, new: Any, job: Any, workers: int, progress: bool
) -> Iterator[Graded]:
    """Graded submissions as they are done, each in the sandbox of a worker that has nothing to do."""
    workers = min(workers, len(submissions))
    free: SimpleQueue[Sandbox] = SimpleQueue()

    def run(submission: Submission) -> Graded:
        where = free.get()
        try:
            return job(submission, where)
        finally:
            free.put(where)

    with ExitStack() as stack, threads(1):
        sandboxes = [stack.enter_context(first)]
        sandboxes += [stack.enter_context(new()) for _ in range(workers - 1)]
        for one in sandboxes:
            free.put(one)
        pool = ThreadPoolExecutor(workers)
        bar = stack.enter_context(
            tqdm(total=len(submissions), desc="grading", unit="notebook", disable=not progress)
        )
        pending: set[Future[Graded]] = {pool.submit(run, submission) for submission in submissions}
        try:
            while pending:
                ended, pending = wait(pending, return_when=FIRST_COMPLETED)
                # What ended well is kept before an error, or an interruption, ends it all.
                for future in sorted(ended, key=lambda one: one.exception() is not None):
                    yield future.result()
                    bar.update()
        finally:
            for one in sandboxes if pending else []:
                one.stop()
            pool.shutdown(cancel_futures=True)
