"""Submitted files in every state: found, told apart, read."""

import json
import os

import pytest

from cleanprio_lib.grading.judging import answer_cells
from cleanprio_lib.grading.submissions import find, read
from tests.grading.toy import DOUBLE, HONEST, TOY, WORDS, notebook


def one(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path, folder=folder)


def test_cells_are_read_in_order(tmp_path):
    submission = one(tmp_path, "a.ipynb", notebook(*HONEST))
    assert submission.problem is None
    assert [cell.number for cell in submission.cells] == [1, 2, 3]
    assert [cell.kind for cell in submission.cells] == ["code", "code", "markdown"]
    assert submission.cells[0].source == DOUBLE


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("from cleanprio_lib import checks, data\nimport json, theory", {"data"}),
        ("from cleanprio_lib import (\n    checks,\n    theory as t,\n)", {"theory"}),
        ("from cleanprio_lib import (checks,  # of answers\n    theory)", {"theory"}),
        ("from cleanprio_lib import checks, \\\n    theory", {"theory"}),
        ("import cleanprio_lib.theory as t; x = 1", {"theory"}),
        ("from cleanprio_lib.metrics import Task, predict  # both", {"metrics"}),
        ("import cleanprio_lib\ncleanprio_lib.grading.worker.serve()", {"grading"}),
        ("from cleanprio_lib.checks import check, judging", {"checks.judging"}),
        ("from cleanprio_lib.checks.judges.angles import derivatives", {"checks.judges"}),
        ("checks.check('1.1', f)\nchecks.seed_of('me')\nchecks.checking.run = f", {"checks.checking"}),
        ("importlib.util.find_spec('cleanprio_lib') is None", set()),
    ],
)
def test_parts_of_the_library_that_code_names(tmp_path, source, parts):
    assert one(tmp_path, "a.ipynb", notebook(source)).library == parts


def test_nbformat_3_has_worksheets(tmp_path):
    cells = [{"cell_type": "code", "input": ["x = 1\n", "y = 2"], "outputs": [{"png": "QUJD"}]}]
    submission = one(tmp_path, "a.ipynb", json.dumps({"worksheets": [{"cells": cells}], "nbformat": 3}))
    assert submission.cells[0].source == "x = 1\ny = 2"
    assert submission.cells[0].pictures == ("QUJD",)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.ipynb", "", "is empty"),
        ("a.ipynb", "  \n", "is empty"),
        ("a.ipynb", notebook(*HONEST)[:-40], "damaged"),
        ("a.ipynb", b"\xff\xfe\x00\x01" * 20, "damaged"),
        ("a.ipynb", "[" * 100_000, "damaged"),
        ("a.ipynb", "[1, 2]", "not a notebook"),
        ("a.ipynb", '{"cells": 3}', "not a notebook"),
        ("report.pdf", b"%PDF-1.7 \xe2\xe3", "not a notebook"),
        ("a.py", DOUBLE, "not a notebook"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, name, content, words):
    submission = one(tmp_path, name, content)
    assert words in submission.problem
    assert name in submission.problem
    assert submission.cells == ()


@pytest.mark.parametrize(
    "cells",
    [
        [None, 3, "text", {"cell_type": "code", "source": "x = 1"}],
        [{"cell_type": "code", "source": ["x = 1", 7]}, {"source": None}],
        [{"cell_type": "code", "source": "x", "outputs": [{"data": 5}, {"data": {"image/png": {"a": 1}}}]}],
    ],
)
def test_odd_cells_do_not_stop_the_others(tmp_path, cells):
    submission = one(tmp_path, "a.ipynb", json.dumps({"cells": cells}))
    assert submission.problem is None
    assert submission.cells[0].source in ("x = 1", "x")


def test_a_link_to_another_file_is_not_followed(tmp_path):
    (tmp_path / "real.txt").write_text(notebook(*HONEST))
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.ipynb").symlink_to(tmp_path / "real.txt")
    assert "link to another file" in find(folder)[0].problem


def test_students_by_name_of_the_file(tmp_path):
    names = {
        "lovelaceada_123_456_1-angles.ipynb": ("lovelaceada", "123"),
        "hopper_LATE_124_457_my work-2.ipynb": ("hopper", "124"),
        "Noether Emmy_77_assignsubmission_file_/angles.ipynb": ("Noether Emmy", "77"),
        "Grace - 1-angles.ipynb": ("Grace - 1-angles", ""),
    }
    for name in names:
        one(tmp_path, name, notebook(*HONEST))
    assert {(found.student, found.user) for found in find(tmp_path)} == set(names.values())


def test_the_last_of_two_submissions_counts(tmp_path):
    one(tmp_path, "ada_12_99_a.ipynb", notebook(DOUBLE))
    one(tmp_path, "ada_LATE_12_100_a-1.ipynb", notebook(*HONEST))
    one(tmp_path, "ada_12_101_report.pdf", b"%PDF")
    (found,) = find(tmp_path)
    assert found.path.name == "ada_LATE_12_100_a-1.ipynb"
    assert set(found.replaced) == {"ada_12_99_a.ipynb", "ada_12_101_report.pdf"}


def test_a_platforms_number_tells_namesakes_apart_and_joins_what_they_sign(tmp_path):
    one(tmp_path, "lee_12_99_a.ipynb", notebook('student = "Lee"'))
    one(tmp_path, "lee_13_98_a.ipynb", notebook('student = "Lee"'))
    one(tmp_path, "lee_13_100_a.ipynb", notebook('student = "Kim"'))
    assert [(found.user, len(found.replaced)) for found in find(tmp_path)] == [("12", 0), ("13", 1)]


def test_copies_are_one_students_only_if_the_notebook_says_so(tmp_path):
    signed = notebook('student = "Ada"', DOUBLE)
    for age, name in enumerate(["1-angles.ipynb", "Copy of 1-angles (1).ipynb"]):
        one(tmp_path, name, signed)
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    one(tmp_path, "1-angles (2).ipynb", notebook('student = "Bea"', DOUBLE))
    one(tmp_path, "1-angles (3).ipynb", notebook('student = "your name or number, as your teacher knows it"'))
    one(tmp_path, "1-angles (4).ipynb", notebook(DOUBLE))
    found = {submission.student: submission for submission in find(tmp_path)}
    assert set(found) == {"Ada", "Bea", "1-angles (3)", "1-angles (4)"}
    assert found["Ada"].path.name == "Copy of 1-angles (1).ipynb"
    assert found["Ada"].replaced == ("1-angles.ipynb",)


def test_what_systems_leave_in_folders_is_passed_over(tmp_path):
    for name in (".ipynb_checkpoints/a-checkpoint.ipynb", "__MACOSX/a.ipynb", ".DS_Store"):
        one(tmp_path, name, notebook(DOUBLE))
    with pytest.raises(ValueError, match="holds no file"):
        find(tmp_path)
    with pytest.raises(ValueError, match="FOLDER must be a folder"):
        find(tmp_path / "none")


@pytest.mark.parametrize(
    ("cells", "answer"),
    [
        ([WORDS], [1]),
        ([WORDS, DOUBLE, ("markdown", "and more"), ("markdown", "## 9.4 Next"), DOUBLE], [1, 2, 3]),
        ([("markdown", "## 9.3 Why? (2 points)\n\nPrompt."), ("markdown", "Unmarked."), DOUBLE], [2, 3]),
        ([("markdown", "## 9.3 Why?"), "# a remark\nplot()", ("markdown", "## 9.4 Next"), "x = 1"], [2]),
        ([("markdown", "## 9.3 Why?"), WORDS, ("markdown", "# End"), ("markdown", "no")], [2]),
        (["# Answer to 9.3\nplot()", ("markdown", "**Answer to 9.3, in words**")], [1, 2]),
        ([("markdown", "**Answer to 9.31**"), ("markdown", "## 9.1 Other"), DOUBLE], []),
    ],
)
def test_answers_in_words_are_found(tmp_path, cells, answer):
    submission = one(tmp_path, "a.ipynb", notebook(*cells))
    assert [cell.number for cell in answer_cells(submission, TOY)["9.3"]] == answer
