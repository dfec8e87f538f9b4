"""The table, the records behind it, going on after a kill, points by hand, and what Canvas imports."""

import csv
from contextlib import nullcontext
from dataclasses import replace

import pytest

from cleanprio_lib.checks.checking import with_hidden
from cleanprio_lib.grading import canvas, grade, grader, grades, judging
from cleanprio_lib.grading.hosts import UnavailableError
from cleanprio_lib.grading.limits import Limits
from tests.grading.toy import DOUBLE, HONEST, TOY, WORDS, notebook, table

BY_HAND = "9.3 (by hand, of 2)"


class Box(nullcontext):
    """A sandbox in which nothing runs."""

    kind = "none"

    def __enter__(self):
        return self

    def stop(self):
        self.stopped = True


@pytest.fixture
def graded(monkeypatch):
    """Names of submissions in the order they are examined: all are right but those that write no `total`."""
    seen = []

    def examine(submission, assignment, sandbox, *, seed):
        seen.append(submission.student)
        if submission.problem:
            return judging.nothing(assignment, submission.problem)
        text = "".join(cell.source for cell in submission.cells)
        if "interrupt" in text:
            raise KeyboardInterrupt
        if "unavailable" in text:
            raise UnavailableError("no memory")
        pictures = {1: [judging.PNG + b"..."]}
        examined = judging.Examined(notes=["cell 1: !ls"], pictures=pictures, failed={1: "=1+1"})
        for question in assignment.questions:
            wrong = {check.name: f"def {check.function}" not in text for check in question.checks}
            why = {name: "=not there" if one else None for name, one in wrong.items()}
            points = judging.score(question, why) if why else None
            examined.results[question.id] = judging.Result(points, why)
        return examined

    monkeypatch.setattr(grader, "examine", examine)
    monkeypatch.setattr(grader.sandbox, "choose", lambda *_, **__: (Box(), ["namespaces: not here"]))
    monkeypatch.setattr(grader, "Sandbox", lambda *_, **__: Box())
    return seen


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "submissions"
    folder.mkdir()
    hand_in(folder, "ada_1_10_a.ipynb", HONEST)
    hand_in(folder, "bea_2_11_b.ipynb", [DOUBLE])
    return folder


def damage(folder):
    for path in folder.iterdir():
        path.write_text("{")


def hand_in(folder, name, cells):
    (folder / name).write_text(notebook(*cells))


def run(folder, hidden, **options):
    return grade(
        folder, TOY, folder.parent / "grades.csv", hidden=hidden, progress=False, workers=1, **options
    )


def test_a_row_a_student(folder, hidden, graded):
    (folder / "cid_3_12_c.ipynb").write_text("{")
    report = run(folder, hidden)
    rows = table(report.table)
    assert list(rows) == ["ada", "bea", "cid"]
    assert rows["ada"]["9.1 (of 2)"] == "2"
    assert (rows["ada"]["points"], rows["bea"]["points"], rows["cid"]["points"]) == ("3", "2", "0")
    assert all(row[BY_HAND] == row["total (of 5)"] == "" for row in rows.values())
    assert rows["bea"]["reasons"] == "9.2 a few: =not there"
    assert "damaged" in rows["cid"]["reasons"]
    assert all((report.table.parent / row["feedback"]).is_file() for row in rows.values())
    assert report.why_not_better == ("namespaces: not here",)
    assert "3 graded, 0 of them before" in grader.in_short(report)
    assert "1 could not be read" in grader.in_short(report)


def test_the_weakest_isolation_is_told_whenever_it_was(folder, hidden, graded, monkeypatch):
    assert run(folder, hidden).isolation == "none"
    better = Box()
    better.kind = "namespaces"
    monkeypatch.setattr(grader.sandbox, "choose", lambda *_, **__: (better, []))
    monkeypatch.setattr(grader, "Sandbox", lambda *_, **__: better)
    assert run(folder, hidden, isolation="namespaces").isolation == "none"  # nothing is graded again
    hand_in(folder, "cid_3_12_c.ipynb", HONEST)
    report = run(folder, hidden, isolation="namespaces")
    assert [one.isolation for one in report.graded] == ["none", "none", "namespaces"]
    assert report.isolation == "none"
    for path in folder.parent.glob("grades-records/*"):
        path.unlink()
    assert run(folder, hidden).isolation == "namespaces"


def test_hidden_checks_are_part_of_the_points(folder, hidden, graded):
    hidden_checks = grader.hidden_checks(hidden / "hidden_9.py")
    whole = with_hidden(TOY, hidden_checks)
    assert [check.name for check in whole.questions[0].checks] == ["a number", "large numbers"]
    report = run(folder, hidden)
    assert set(report.graded[0].examined.results["9.1"].reasons) == {"a number", "large numbers"}


def test_seed_and_limits_must_make_sense(folder, hidden):
    with pytest.raises(ValueError, match="seed must not be negative, got -1"):
        run(folder, hidden, seed=-1)
    for name in ("seconds", "memory"):
        with pytest.raises(ValueError, match=f"{name} must be positive, got 0"):
            Limits(**{name: 0})


def test_where_hidden_checks_are(tmp_path, hidden):
    assert grader.hidden_checks_file(hidden, 9) == hidden.resolve() / "hidden_9.py"
    assert grader.hidden_checks_file(None, 99) is None
    with pytest.raises(ValueError, match=r"must hold hidden_9\.py"):
        grader.hidden_checks_file(tmp_path, 9)
    (tmp_path / "hidden_9.py").write_text("HIDDEN = 3")
    with pytest.raises(ValueError, match="must hold a dict HIDDEN"):
        grader.hidden_checks(tmp_path / "hidden_9.py")
    with pytest.raises(ValueError, match="assignment must be one of"):
        grade(tmp_path, 99, tmp_path / "grades.csv")


def test_without_hidden_checks_it_says_so(folder, graded, tmp_path):
    report = grade(folder, TOY, tmp_path / "grades.csv", progress=False)
    assert "NO HIDDEN CHECKS" in grader.in_short(report)


def test_the_same_command_grades_nothing_again(folder, hidden, graded):
    first = run(folder, hidden)
    text = first.table.read_bytes()
    again = run(folder, hidden)
    assert graded == ["ada", "bea"]
    assert again.kept == 2
    assert again.table.read_bytes() == text
    assert [one.examined for one in again.graded] == [one.examined for one in first.graded]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder, _: hand_in(folder, "bea_2_11_b.ipynb", HONEST), ["bea"]),
        (lambda folder, _: hand_in(folder, "bea_2_12_b-1.ipynb", HONEST), ["bea"]),
        (lambda folder, _: hand_in(folder, "dan_4_13_d.ipynb", HONEST), ["dan"]),
        (lambda _, options: options.update(seed=2), ["ada", "bea"]),
        (lambda _, options: options.update(limits=Limits(seconds=1)), ["ada", "bea"]),
        (lambda folder, _: damage(folder.parent / "grades-records"), ["ada", "bea"]),
    ],
)
def test_what_has_changed_is_graded_again(folder, hidden, graded, change, expected):
    run(folder, hidden)
    graded.clear()
    options = {}
    change(folder, options)
    run(folder, hidden, **options)
    assert graded == expected


def test_other_hidden_checks_grade_all_again(folder, tmp_path, hidden, graded):
    run(folder, hidden)
    other = tmp_path / "other"
    other.mkdir()
    (other / "hidden_9.py").write_text((hidden / "hidden_9.py").read_text() + "\n")
    graded.clear()
    run(folder, other)
    assert graded == ["ada", "bea"]


def test_a_killed_run_goes_on_where_it_was(folder, hidden, graded):
    hand_in(folder, "caz_3_12_c.ipynb", ["interrupt"])
    hand_in(folder, "dan_4_13_d.ipynb", HONEST)
    with pytest.raises(KeyboardInterrupt):
        run(folder, hidden)
    assert graded[:3] == ["ada", "bea", "caz"]
    assert not (folder.parent / "grades.csv").exists()
    hand_in(folder, "caz_3_12_c.ipynb", HONEST)
    graded.clear()
    assert run(folder, hidden).kept >= 2
    assert "caz" in graded
    assert not {"ada", "bea"} & set(graded)


def test_what_could_not_be_run_is_run_another_time(folder, hidden, graded):
    hand_in(folder, "caz_3_12_c.ipynb", ["unavailable"])
    report = run(folder, hidden)
    assert table(report.table)["caz"]["reasons"].startswith("9.1 a number: it could not be run: no memory")
    graded.clear()
    assert run(folder, hidden).kept == 2
    assert graded == ["caz"]


def fill_in(path, points, *, encoding="utf-8", delimiter=","):
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row[BY_HAND] = points.get(row["student"], "")
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def test_points_by_hand_stay_and_are_added(folder, hidden, graded):
    path = run(folder, hidden).table
    fill_in(path, {"ada": "1,5"})
    hand_in(folder, "zoe_9_99_z.ipynb", HONEST)
    rows = table(run(folder, hidden).table)
    assert (rows["ada"][BY_HAND], rows["ada"]["total (of 5)"]) == ("1.5", "4.5")
    assert rows["bea"]["total (of 5)"] == rows["zoe"]["total (of 5)"] == ""
    assert "4.5" in (path.parent / rows["ada"]["feedback"]).read_text("utf8")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_points_by_hand_come_from_any_spreadsheet(folder, hidden, graded, encoding, delimiter):
    hand_in(folder, "Zoë_9_99_z.ipynb", HONEST)
    path = run(folder, hidden).table
    fill_in(path, {"ada": "1,5", "Zoë": "2"}, encoding=encoding, delimiter=delimiter)
    for _ in range(2):  # the second time from the table as it was written
        rows = table(run(folder, hidden).table)
        assert (rows["ada"][BY_HAND], rows["Zoë"][BY_HAND], rows["bea"][BY_HAND]) == ("1.5", "2", "")


@pytest.mark.parametrize(
    ("content", "lacks"),
    [
        ("student,user,feedback\nada,,f/ada.html\n", "'9.3 (by hand, of 2)'"),
        ('student,"1.3 (by hand, of 2)",feedback\nada,2,f/ada.html\n', "'9.3 (by hand, of 2)'"),
        ("my notes\n", "'9.3 (by hand, of 2)', 'feedback'"),
        ("", "'9.3 (by hand, of 2)', 'feedback'"),
    ],
)
def test_what_is_no_table_of_the_assignment_is_not_overwritten(folder, hidden, graded, content, lacks):
    path = folder.parent / "grades.csv"
    path.write_text(content, "utf8")
    with pytest.raises(ValueError, match=r"grades\.csv must be a table of assignment 9") as raised:
        run(folder, hidden)
    assert f"it lacks {lacks}:" in str(raised.value)
    assert path.read_text("utf8") == content


def test_points_by_hand_of_someone_who_is_gone_are_not_overwritten(folder, hidden, graded):
    path = run(folder, hidden).table
    fill_in(path, {"ada": "1"})
    before = path.read_bytes()
    (folder / "ada_1_10_a.ipynb").unlink()
    with pytest.raises(ValueError, match="points by hand of 'ada', who is not in the folder"):
        run(folder, hidden)
    assert path.read_bytes() == before
    fill_in(path, {})
    assert list(table(run(folder, hidden).table)) == ["bea"]


@pytest.mark.parametrize("points", ["3", "-1", "good", "nan"])
def test_points_by_hand_must_be_possible(folder, hidden, graded, points):
    path = run(folder, hidden).table
    fill_in(path, {"ada": points})
    with pytest.raises(ValueError, match=r"ada, 9\.3 .*must be a number from 0 to 2"):
        run(folder, hidden)


def test_no_cell_is_a_formula(folder, hidden, graded):
    hand_in(folder, "=HYPERLINK(1)_5_14_e.ipynb", [WORDS])
    hand_in(folder, "-2+3_6_15_e.ipynb", [WORDS])
    rows = run(folder, hidden).table.read_text("utf-8-sig")
    for cell in csv.reader(rows.splitlines()):
        assert not any(text.startswith(("=", "+", "-", "@")) for text in cell)


def test_remarks_say_what_looks_odd(folder, hidden, graded):
    hand_in(folder, "ada_1_9_early.ipynb", [DOUBLE])
    hand_in(folder, "eve_5_14_e.ipynb", HONEST)
    hand_in(folder, "flo_6_15_f.ipynb", ['student = "Gus"', DOUBLE])
    hand_in(folder, "gus_7_16_g.ipynb", ['student = "Gus"', TOTAL_AND_MORE])
    rows = table(run(folder, hidden).table)
    assert "not counted: ada_1_9_early.ipynb" in rows["ada"]["remarks"]
    assert "the same file as ada" in rows["eve"]["remarks"]
    assert rows["flo"]["remarks"] == "gives the same name, 'Gus', as gus_7_16_g.ipynb"
    assert rows["bea"]["remarks"] == "gives no name in the notebook"


def test_a_remark_names_parts_of_the_library_that_the_notebook_does_not_use(folder, hidden, graded):
    own = 'student = "Hal"\nfrom cleanprio_lib import checks, data'
    hand_in(folder, "hal_8_17_h.ipynb", [own, "from cleanprio_lib.theory import derivative_angle", DOUBLE])
    report = grade(
        folder,
        replace(TOY, library=("data",)),
        folder.parent / "library.csv",
        hidden=hidden,
        progress=False,
    )
    rows = table(report.table)
    assert rows["hal"]["remarks"] == "names parts of the library that the notebook does not use: theory"


TOTAL_AND_MORE = "def total(values):\n    return sum(values)\nmore = 1"


def test_names_of_files_are_safe_and_each_students_own(folder, hidden, graded):
    for number, name in enumerate(["a⁄..⁄b", "Ada", "ADA "]):
        hand_in(folder, f"{name}_{100 + number}_1_x.ipynb", HONEST)
    stems = [one.stem for one in run(folder, hidden).graded]
    assert len(set(stems)) == len(stems)
    assert not any("." in stem or "/" in stem for stem in stems)


def test_canvas_gets_what_it_imports(folder, hidden, graded, tmp_path):
    gradebook = tmp_path / "gradebook.csv"
    gradebook.write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section,Assignment 9: Sums (77),Other (78)\n"
        "    Points Possible,,,,,5,10\n"
        '"Ada, Lovelace",1,u1,l1,S,,9\n'
        '"Bea, B",2,u2,l2,S,1,9\n'
        '"Zoe, Z",3,u3,l3,S,2,9\n'
    )
    fill_in(run(folder, hidden).table, {"ada": "2"})
    run(folder, hidden, gradebook=gradebook)
    text = (tmp_path / "grades-canvas.csv").read_text("utf8").splitlines()
    assert text == [
        "Student,ID,SIS User ID,SIS Login ID,Section,Assignment 9: Sums (77)",
        "    Points Possible,,,,,5",
        '"Ada, Lovelace",1,u1,l1,S,5',
        '"Bea, B",2,u2,l2,S,1',
        '"Zoe, Z",3,u3,l3,S,2',
    ]
    gradebook.write_text("Student,ID\n    Points Possible,\nAda,1\n")
    report = run(folder, hidden, gradebook=gradebook)
    text = (tmp_path / "grades-canvas.csv").read_text("utf8").splitlines()
    assert text == ["Student,ID,Assignment 9: Sums", "    Points Possible,,5", "Ada,1,5"]
    gradebook.write_text("Name,Points\n")
    with pytest.raises(ValueError, match="must have the columns Student and ID"):
        canvas.export(gradebook, report.graded, TOY, {}, tmp_path / "x.csv")


def test_points_have_no_tail_of_zeros():
    assert [grades.number(value) for value in (3.0, 0.0, 2 / 3, 10.0, 1.5)] == ["3", "0", "0.67", "10", "1.5"]
