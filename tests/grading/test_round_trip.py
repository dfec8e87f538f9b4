"""Generate, solve by the solution, grade: all points. An empty student notebook: none, and no crash."""

import csv
import shutil
import subprocess
import sys

import nbformat
import pytest

from cleanprio_lib import checks
from cleanprio_lib.grading import grade, grader
from tests.grading.toy import notebook, table
from tests.solutions import SOURCES, solution
from tools import assignments
from tools.book import Book

BOOK = Book()
NUMBERS = sorted(checks.ASSIGNMENTS)


def hand_in(folder, number):
    """The solution as a student would hand it in, and the student notebook as it was given out."""
    solved = solution(number)
    colab = "%matplotlib inline\n!pip install nothing\nfrom google.colab import drive"
    solved.cells.insert(0, nbformat.v4.new_code_cell(colab))
    nbformat.write(solved, folder / "solver_1_10_work.ipynb")
    given = assignments.student_file(BOOK, SOURCES[number])
    shutil.copy(given, folder / "empty_2_11_work.ipynb")
    (folder / "nothing_3_12_work.ipynb").write_text(notebook())


@pytest.fixture(scope="module", autouse=True)
def stand_in():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEANPRIO_ORIGIN", "stand-in")
        yield


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS)
def test_the_solution_gets_all_points_and_an_empty_notebook_none(number, tmp_path):
    folder = tmp_path / "submissions"
    folder.mkdir()
    hand_in(folder, number)
    report = grade(folder, number, tmp_path / "grades.csv", workers=1, progress=False)
    rows = table(report.table)
    by_checks = sum(question.points for question in checks.ASSIGNMENTS[number].questions if question.checks)
    assert rows["solver"]["reasons"] == ""
    assert float(rows["solver"]["points"]) == by_checks
    assert rows["empty"]["points"] == rows["nothing"]["points"] == "0"
    why = [line.rpartition(": ")[2] for line in rows["empty"]["reasons"].splitlines()]
    assert set(why) == {checks.NOT_WRITTEN}
    solver, empty = (
        next(one for one in report.graded if one.submission.name == name) for name in ("solver", "empty")
    )
    # A cell that uses what a cell before it would have made fails for want of it.
    assert all(
        reason.startswith(("NotImplementedError", "NameError")) for reason in empty.examined.failed.values()
    )
    assert empty.examined.ended is None
    assert solver.examined.failed == {}
    assert solver.examined.ended is None
    last = [cell.number for cell in solver.submission.cells if cell.kind == "code"][-1]
    assert last in solver.examined.pictures
    assert "No answer was found" not in (tmp_path / rows["solver"]["feedback"]).read_text("utf8")


@pytest.mark.slow
def test_the_command_grades_and_goes_on(tmp_path):
    folder = tmp_path / "submissions"
    folder.mkdir()
    shutil.copy(assignments.student_file(BOOK, SOURCES[1]), folder / "empty_2_11_work.ipynb")
    command = [sys.executable, "-m", "cleanprio_lib", "grade", str(folder), "--assignment", "1"]
    command += ["--out", str(tmp_path / "grades.csv"), "--workers", "1", "--memory", "1024"]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1 graded, 0 of them before" in first.stdout
    assert "grading: 100%" in first.stderr
    assert ("small system of its own" in first.stdout) != ("NOT ISOLATED" in first.stdout)
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1 graded, 1 of them before" in again.stdout
    with (tmp_path / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        assert len(list(csv.reader(file))) == 2


@pytest.mark.parametrize("number", NUMBERS)
def test_each_assignment_has_hidden_checks_beside_its_solution(number):
    path = grader.hidden_checks_file(SOURCES[number].parent, number)
    assert grader.hidden_checks(path)
