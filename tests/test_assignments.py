"""Student notebooks: made from the solutions, without a trace of them, and fit to be worked in."""

import ast
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from cleanprio_lib import checks, models
from cleanprio_lib.checks import checking, given
from cleanprio_lib.checks.checking import NOT_WRITTEN, Assignment, Check, Question, judged, run, score
from cleanprio_lib.grading.grader import hidden_checks
from cleanprio_lib.grading.submissions import Cell, Submission, read
from tests.solutions import SOURCES
from tools import assignments
from tools.book import Book
from tools.references import Index

BOOK = Book()
NUMBERS = sorted(SOURCES)
NOTHING = Index({}, {}, {})


def student(number):
    return nbformat.read(assignments.student_file(BOOK, SOURCES[number]), 4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def definitions(notebook):
    """What a notebook imports and defines, without running the rest."""
    namespace = {}
    for cell in code(notebook):
        if "%pip" in cell.source:
            continue
        kept = (ast.FunctionDef, ast.Import, ast.ImportFrom)
        body = [node for node in ast.parse(cell.source).body if isinstance(node, kept)]
        exec(compile(ast.Module(body, []), "notebook", "exec"), namespace)
    return namespace


def graded(number):
    return checking.with_hidden(
        checks.ASSIGNMENTS[number], hidden_checks(SOURCES[number].parent / f"hidden_{number}.py")
    )


# The four assignments


def test_there_are_four_and_none_is_stale():
    assert NUMBERS == sorted(checks.ASSIGNMENTS) == [1, 2, 3, 4]
    assert assignments.problems(BOOK, write=False) == []


@pytest.mark.parametrize("number", NUMBERS)
def test_no_line_of_a_solution_is_in_a_student_notebook(number):
    given, solved = split(SOURCES[number].read_text("utf8"))
    # A few lines, such as `plt.show()`, are in what is given as well.
    telling = solved - given
    assert len(telling) > 30
    assert len(solved & given) <= 5
    for other in NUMBERS:
        text = assignments.student_file(BOOK, SOURCES[other]).read_text("utf8")
        lines = {line.strip() for cell in student(other).cells for line in cell.source.split("\n")}
        assert telling & lines <= split(SOURCES[other].read_text("utf8"))[0]
        long = [line for line in telling if len(line) > 16]
        assert (
            other != number
            or [line for line in long if json.dumps(line, ensure_ascii=False)[1:-1] in text] == []
        )


def split(text):
    """The lines of a solution that hold a word: outside of the markers, and between them."""
    given, solved = set(), set()
    now = given
    for line in text.split("\n"):
        if "### BEGIN SOLUTION" in line:
            assert now is given
            now = solved
        elif "### END SOLUTION" in line:
            assert now is solved
            now = given
        elif re.search(r"\w", line):
            now.add(line.strip())
    assert now is given
    return given, solved


@pytest.mark.parametrize("number", NUMBERS)
def test_the_notebook_is_clean(number):
    notebook = student(number)
    nbformat.validate(notebook)
    assert [cell.id for cell in notebook.cells] == [f"cell-{k:03d}" for k in range(len(notebook.cells))]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code(notebook))
    allowed = [{}, *({"cleanprio": {"question": one.id}} for one in checks.ASSIGNMENTS[number].questions)]
    assert all(dict(cell.metadata) in allowed for cell in notebook.cells)
    assert set(notebook.metadata) == {"cleanprio", "colab", "kernelspec"}
    assert "SOLUTION" not in "".join(cell.source for cell in notebook.cells)


@pytest.mark.parametrize("number", NUMBERS)
def test_it_says_what_a_student_must_know_first(number):
    assignment, notebook = checks.ASSIGNMENTS[number], student(number)
    first, setup, opening = notebook.cells[:3]
    assert first.source.startswith(f"# Assignment {number}: {assignment.title}\n")
    assert f"{assignment.points} points · about {assignment.minutes} minutes" in first.source
    assert "%pip install -q --no-deps" in setup.source
    assert "**You learn**" in opening.source
    assert "**You need**" in opening.source
    text = "\n".join(cell.source for cell in notebook.cells)
    assert "**A guess before you begin.**" in text
    assert text.count("\nstudent = ") + text.count('student = "') >= 1
    assert 60 <= assignment.minutes <= 90
    for question in assignment.questions:
        assert f"## {question.id} {question.title} ({question.points} point" in text
        assert question.rubric in text
        assert question.marker in text
    kinds = [bool(question.function) for question in assignment.questions]
    assert 3 <= sum(kinds) <= 5
    assert 3 <= len(kinds) - sum(kinds) <= 4


@pytest.mark.parametrize("number", NUMBERS)
def test_what_a_notebook_uses_of_the_library_is_listed(number):
    """Graders remark on what students use beyond it."""
    path, listed = assignments.student_file(BOOK, SOURCES[number]), set(checks.ASSIGNMENTS[number].library)
    assert read(path, folder=path.parent).library == listed
    solved = Cell(
        1, "code", "\n".join(cell.source for cell in code(assignments.solution_notebook(SOURCES[number])))
    )
    assert Submission(path, "", "", (), "", (solved,)).library == listed


def test_no_notebook_answers_another_ones_question():
    """A function that one notebook asks for is defined in no other."""
    wanted = {question.function: number for number in NUMBERS for question in graded(number).questions}
    for number in NUMBERS:
        trees = [ast.parse(cell.source) for cell in code(student(number)) if "%pip" not in cell.source]
        defined = {
            node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
        }
        assert {name for name in defined if wanted.get(name, number) != number} == set()


def test_what_is_given_instead_is_right():
    net, x = models.fully_connected(3, 5, depth=3, seed=1).double(), torch.randn(4, 3, dtype=torch.float64)
    rows = given.arrows(net, x)
    for row, one in zip(rows, x, strict=True):
        net.zero_grad()
        net(one[None]).sum().backward()
        torch.testing.assert_close(row, torch.cat([part.grad.flatten() for part in net.parameters()]))


@pytest.mark.parametrize("has_gpu", [True, False])
def test_ten_classes_is_larger_where_there_is_a_gpu(has_gpu):
    """Device and sizes as the notebook chooses them, on a machine that is said to have a GPU or none."""
    cells = [cell.source for cell in code(student(4)) if "%pip" not in cell.source]
    choosing = re.compile(r"^(?:device|sizes|count, tests, epochs, batch_size) = .*$", re.MULTILINE)
    chosen = {"torch": SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: has_gpu))}
    exec("\n".join(line for source in cells for line in choosing.findall(source)), chosen)
    assert chosen["device"] == ("cuda" if has_gpu else "cpu")
    assert (chosen["count"], chosen["tests"], chosen["epochs"]) == chosen["sizes"][chosen["device"]][:3]
    larger, smaller = chosen["sizes"]["cuda"], chosen["sizes"]["cpu"]
    assert all(big > small for big, small in zip(larger, smaller, strict=True))
    for used in (
        "[:count]",
        "[:tests]",
        "TrainingSettings(epochs=epochs, batch_size=batch_size",
        ").to(device)",
    ):
        assert used in "\n".join(cells)


@pytest.mark.parametrize("number", NUMBERS)
def test_checks_say_not_written_yet(number):
    namespace = definitions(student(number))
    for question in graded(number).questions:
        for check in question.checks:
            calls = check.inputs(3)
            assert judged(check, calls, run(namespace[question.function], calls)) == NOT_WRITTEN


@pytest.mark.parametrize("number", NUMBERS)
def test_the_solution_gets_all_points(number):
    namespace = definitions(assignments.solution_notebook(SOURCES[number]))
    for question in graded(number).questions:
        found = {}
        for check in question.checks:
            calls = check.inputs(3)
            found[check.name] = judged(check, calls, run(namespace[question.function], calls))
        assert found == dict.fromkeys(found)
        assert not question.checks or score(question, found) == question.points


@pytest.mark.slow
def test_an_unsolved_notebook_stops_only_where_a_function_is_missing(tmp_path, monkeypatch):
    """In Jupyter, the first of them; grading runs them all."""
    monkeypatch.setenv("CLEANPRIO_ORIGIN", "stand-in")
    notebook = student(NUMBERS[0])
    run_all(notebook, tmp_path)
    errors = {
        output.ename for cell in code(notebook) for output in cell.outputs if output.output_type == "error"
    }
    # A cell that uses what a cell before it would have made fails for want of it.
    assert errors <= {"NotImplementedError", "NameError"}
    for cell in code(notebook):
        said = "".join(output.get("text", "") for output in cell.outputs)
        if "checks.check(" in cell.source:
            assert NOT_WRITTEN in said
            assert not any(output.output_type == "error" for output in cell.outputs)


def run_all(notebook, folder):
    client = NotebookClient(
        notebook, timeout=300, allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()


# The generator

SOURCE = '''\
---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
cleanprio: {minutes_cpu: 1, minutes_gpu: 1}
---

# Assignment 9: Toys

Play.

## 9.1

```{code-cell} ipython3
# Answer to 9.1
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    twice = x + x
    return twice
    ### END SOLUTION
```

```{code-cell} ipython3
### BEGIN SOLUTION
assert double(2) == 4
### END SOLUTION
```

## 9.2

Why?

+++

**Answer to 9.2**

### BEGIN SOLUTION
Because two is one and one.
### END SOLUTION

+++

## 9.3

```{code-cell} ipython3
# Answer to 9.3
import math
### BEGIN SOLUTION
print(math.pi)
### END SOLUTION
```
'''
TOY = Assignment(
    9,
    "Toys",
    60,
    (
        Question("9.1", "Twice", 2, "double", public=(Check("two", "double", lambda s: ({"x": 1},), print),)),
        Question("9.2", "Why", 1, rubric="1 point for the reason."),
        Question("9.3", "Look", 3, rubric="3 points for the figure."),
    ),
)


def generate(tmp_path, text, assignment=TOY):
    path = tmp_path / "9-toys.md"
    path.write_text(text, "utf8")
    return json.loads(assignments.student_text(BOOK, path, assignment, NOTHING))


def test_what_students_get(tmp_path):
    notebook = generate(tmp_path, SOURCE)
    sources = ["".join(cell["source"]) for cell in notebook["cells"]]
    assert sources[0].startswith(
        "# Assignment 9: Toys\n\n*6 points · about 60 minutes of your time; it runs in about 1"
    )
    assert sources[2] == "Play.\n\n## 9.1 Twice (2 points)"
    assert sources[3] == '# Answer to 9.1\ndef double(x):\n    """Twice x."""\n    raise NotImplementedError'
    # The cell of nothing but a solution is not there.
    assert sources[4] == "## 9.2 Why (1 point)\n\n*What earns the points: 1 point for the reason.*\n\nWhy?"
    assert sources[5] == "**Answer to 9.2**\n\n*Write here.*"
    assert sources[7] == "# Answer to 9.3\nimport math\n...  # your code"
    marked = [cell["metadata"].get("cleanprio", {}).get("question") for cell in notebook["cells"]]
    assert marked == [None, None, None, "9.1", None, "9.2", None, "9.3"]


def test_it_is_the_same_every_time(tmp_path):
    assert generate(tmp_path, SOURCE) == generate(tmp_path, SOURCE)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("    ### END SOLUTION\n", "", "without a solution|no twin"),
        ("    ### BEGIN SOLUTION\n", "", "without a solution|no twin"),
        ("## 9.2", "## 9.4", r"headings are \['9.1', '9.4', '9.3'\]"),
        ("**Answer to 9.2**", "**Answer to 9.1**", r"answers are to \['9.1', '9.1', '9.3'\]"),
        ("# Answer to 9.3\n", "", r"answers are to \['9.1', '9.2'\]"),
        ("print(math.pi)\n### END SOLUTION", "print(math.pi)", "without a solution|no twin"),
        ("Why?", "Why?\n\n### BEGIN SOLUTION\nSo.\n### END SOLUTION", "a solution without a first line"),
        ("Play.", "{unknown}`Play`", "no rule for the role"),
    ],
)
def test_what_no_student_notebook_can_be_made_of(tmp_path, old, new, problem):
    assert old in SOURCE
    with pytest.raises(assignments.AssignmentError, match=problem):
        generate(tmp_path, SOURCE.replace(old, new, 1))


def test_stale_missing_and_left_over_notebooks_are_found(tmp_path, monkeypatch, capsys):
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(BOOK.root / name, tmp_path / name)
    shutil.copytree(BOOK.root / "book/assignments", tmp_path / "book/assignments")
    monkeypatch.setattr(assignments, "index", lambda book: index_of_the_book())
    book = Book(tmp_path)
    assert assignments.problems(book, write=False) == []
    folder = tmp_path / "book/assignments"
    (folder / "1-angles.ipynb").unlink()
    source = folder / "solutions/2-noise-and-gradients.md"
    source.write_text(source.read_text("utf8").replace("Take a picture", "Take one picture"), "utf8")
    (folder / "7-old.ipynb").write_text("{}")
    found = assignments.problems(book, write=False)
    assert found == [
        "book/assignments/1-angles.ipynb is missing",
        "book/assignments/2-noise-and-gradients.ipynb is stale",
        "book/assignments/7-old.ipynb belongs to no solution",
    ]
    (folder / "7-old.ipynb").unlink()
    assert assignments.problems(book, write=True) == []
    assert "written: book/assignments/1-angles.ipynb" in capsys.readouterr().out
    assert assignments.problems(book, write=False) == []
    assert (folder / "1-angles.ipynb").read_bytes() == (
        BOOK.root / "book/assignments/1-angles.ipynb"
    ).read_bytes()


_index = assignments.index


def index_of_the_book():
    return _index(BOOK)


# What is published


def test_solutions_are_in_no_package_and_no_page():
    config = BOOK.config
    assert {"book/assignments/solutions", "book/assignments/*.ipynb"} <= set(config["exclude_patterns"])
    assert not any("solutions" in page for page in BOOK.pages)
    import tomllib

    targets = tomllib.loads((BOOK.root / "pyproject.toml").read_text("utf8"))["tool"]["hatch"]["build"][
        "targets"
    ]
    packed = [*targets["wheel"]["only-include"], *targets["sdist"]["include"]]
    assert not any(
        Path("book/assignments/solutions").is_relative_to(path) for path in packed if path != "README.md"
    )
    assert BOOK.build / "solutions" not in BOOK.html.parents
