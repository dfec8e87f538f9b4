"""Grading a hundred notebooks: by the fork server, and with a fresh Python for each.

    python benchmarks/grading.py [--submissions N] [--fresh N] [--workers K] [--out FILE.csv|FILE.json]

The claim: 100 submissions of assignment 1 are graded on 2 cores in under 10 minutes. Every submission is the
worked solution, figure included, so that all cells run and all checks, public and hidden, are passed; a class
does less. Each has a comment of its own, so that no two files are the same.

- *fork server*: what `grade` does where the system has namespaces. A process imports torch and the library
  once and forks for each notebook.
- *fresh process*: the same, but a new Python imports everything for each notebook, as with `--isolation
  bubblewrap` or `none`, and as graders do that run each notebook in a kernel or container of its own. On
  fewer notebooks, and counted up.

Times are wall-clock seconds, all workers together; the time until the first fork server is ready is part of
them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from cleanprio_lib import checks, grading
from cleanprio_lib.grading.sandbox import BUBBLEWRAP, NAMESPACES, NONE
from tools import assignments
from tools.book import Book

ASSIGNMENT = 1
MOST_SECONDS = 600.0
CLAIMED = 100  # submissions


def write_submissions(folder: Path, count: int) -> None:
    """Write the worked solution so many times, each with a comment of its own."""
    notebook = assignments.solution_notebook(assignments.sources(Book())[ASSIGNMENT])
    folder.mkdir(parents=True)
    for number in range(count):
        comment = nbformat.v4.new_code_cell(f"# submission {number}", id=f"own-{number}")
        whole = nbformat.v4.new_notebook(cells=[*notebook.cells, comment], metadata=notebook.metadata)
        nbformat.write(whole, folder / f"student{number}_{number}_{1000 + number}_work.ipynb")


def graded(count: int, *, isolation: str | None, workers: int) -> tuple[float, grading.Report]:
    """Seconds that grading so many submissions takes, and what came of it.

    Raises:
        UnavailableError: the system does not have this isolation.
        RuntimeError: a worked solution did not get all points.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_submissions(folder / "submissions", count)
        begun = time.perf_counter()
        report = grading.grade(
            folder / "submissions", ASSIGNMENT, folder / "grades.csv", isolation=isolation, workers=workers
        )
        seconds = time.perf_counter() - begun
    wanted = sum(question.points for question in checks.ASSIGNMENTS[ASSIGNMENT].questions if question.checks)
    short = [one for one in report.graded if one.points != wanted]
    if short:
        raise RuntimeError(f"{len(short)} of {count} worked solutions lack points: {short[0].examined}")
    return seconds, report


def benchmark(submissions: int, fresh: int, workers: int) -> pd.DataFrame:
    """Measure every way that this machine has; a row for each.

    Args:
        submissions: for the fork server.
        fresh: for a fresh process each.
        workers: notebooks at once.
    """
    rows = []
    for name, isolation, count in (
        ("fork server", NAMESPACES, submissions),
        ("fresh process, bubblewrap", BUBBLEWRAP, fresh),
        ("fresh process, not isolated", NONE, fresh),
    ):
        try:
            seconds, _ = graded(count, isolation=isolation, workers=workers)
        except grading.UnavailableError as error:
            print(f"{name}: not on this machine: {error}")
            continue
        rows.append(_row(name, count, workers, seconds))
    return pd.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and say whether the claim holds."""
    parser = argparse.ArgumentParser(
        description="Grading a hundred notebooks, with a fork server and without."
    )
    parser.add_argument(
        "--submissions", type=int, default=CLAIMED, help="for the fork server (default: %(default)s)"
    )
    parser.add_argument(
        "--fresh", type=int, default=8, help="for a fresh process each (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=2, help="notebooks at once (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="also write the rows to this .csv or .json")
    chosen = parser.parse_args(arguments)
    if chosen.out and chosen.out.suffix not in (".csv", ".json"):
        parser.error(f"--out must end in .csv or .json, got {chosen.out.name}")
    print(machine(), flush=True)
    rows = benchmark(chosen.submissions, chosen.fresh, chosen.workers)
    print(rows.to_string(index=False, float_format="{:.1f}".format))
    ours = rows[rows.way == "fork server"]
    if ours.empty:
        print("The claim is about systems with namespaces, and this is none.")
    else:
        needed = float(ours["s for 100"].iloc[0])
        verdict = "The claim holds here" if needed < MOST_SECONDS else "FALLS SHORT here"
        print(f"{verdict}: {CLAIMED} submissions in {needed:.0f} s, must be < {MOST_SECONDS:.0f} s.")
    if chosen.out:
        text = rows.to_csv(index=False) if chosen.out.suffix == ".csv" else _json(rows)
        chosen.out.write_text(text, "utf8")


def machine() -> str:
    """The machine in a line, and whether other work disturbs it."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = f"\nThe load is {load:.1f} before it begins: what follows is disturbed." if load > 0.5 else ""
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}{busy}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )


def _row(way: str, count: int, workers: int, seconds: float) -> dict[str, Any]:
    return {
        "way": way,
        "submissions": count,
        "at once": workers,
        "seconds": seconds,
        "s for 100": seconds * CLAIMED / count,
    }


def _json(rows: pd.DataFrame) -> str:
    return json.dumps({"machine": machine(), "rows": rows.to_dict("records")}, indent=1) + "\n"


if __name__ == "__main__":
    main()
