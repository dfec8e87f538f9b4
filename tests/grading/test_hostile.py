"""Notebooks that mean harm, beside honest ones: contained, with a reason, and the others get their points."""

import socket

import pytest

from cleanprio_lib.grading import grade, judging
from cleanprio_lib.grading.sandbox import BUBBLEWRAP, NAMESPACES, NONE
from tests.grading.hostile import ATTACKS, FULL, Attack
from tests.grading.toy import (
    HONEST,
    LIMITS,
    SECRET,
    TOY,
    notebook,
    processes_with,
    skipped_where_unavailable,
    table,
)

HONEST_STUDENTS = ("Ada", "Bea")
# Elsewhere Python starts anew for each notebook, which takes seconds: what lets a notebook live shares one.
FEW = ("fork-bomb", "leaves")
TOGETHER = ("deletes-everything", "reads-solutions", "calls-home", "leaves-a-daemon")


def aimed(cell, targets):
    """A cell with its targets filled in."""
    if isinstance(cell, str):
        for target, value in targets.items():
            cell = cell.replace(f"<{target}>", value)
    return cell


class Run:
    """A graded folder, and what could have gone wrong around it."""

    def __init__(self, folder, attacks, hidden, isolation):
        self.folder, self.submissions, self.out = folder, folder / "submissions", folder / "out"
        self.submissions.mkdir()
        self.out.mkdir()
        self.hidden = hidden
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            paths = {"submissions": self.submissions, "out": self.out, "solutions": hidden}
            targets = {"port": repr(port), **{name: repr(str(path)) for name, path in paths.items()}}
            self._write("Ada", HONEST)
            for name, attack in attacks.items():
                self._write(name, [aimed(cell, targets) for cell in attack.cells])
            self._write("Bea", HONEST)
            self.report = grade(
                self.submissions,
                TOY,
                self.out / "grades.csv",
                hidden=hidden,
                limits=LIMITS,
                workers=2,
                isolation=isolation,
                progress=False,
            )
            server.settimeout(0.1)
            try:
                server.accept()
                self.called = True
            except TimeoutError:
                self.called = False
        self.rows = table(self.out / "grades.csv")
        self.examined = {one.submission.student: one.examined for one in self.report.graded}

    def _write(self, name, cells):
        (self.submissions / f"{name}.ipynb").write_text(notebook(*cells))

    def said(self, name):
        """All that was found to say about a submission."""
        one = self.examined[name]
        return "\n".join([self.rows[name]["reasons"], *one.failed.values(), one.ended or ""])


@pytest.fixture(scope="module")
def run(tmp_path_factory, hidden, own_temporary_of_module):
    with skipped_where_unavailable(NAMESPACES):
        return Run(tmp_path_factory.mktemp("hostile"), ATTACKS, hidden, NAMESPACES)


@pytest.fixture(scope="module")
def own_temporary_of_module(tmp_path_factory):
    import tempfile

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("temporary")
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_contained_with_a_reason(run, name):
    attack = ATTACKS[name]
    assert attack.words in run.said(name)
    assert float(run.rows[name]["points"]) == pytest.approx(attack.points)
    assert (run.out / run.rows[name]["feedback"]).is_file()


def check_the_rest(run, temporary):
    for name in HONEST_STUDENTS:
        assert run.rows[name]["points"] == str(FULL)
        assert run.rows[name]["reasons"] == ""
    assert (run.hidden / "hidden_9.py").is_file()
    assert len(list(run.submissions.iterdir())) == len(run.rows)
    assert not run.called
    texts = [path.read_text("utf8") for path in run.out.rglob("*") if path.is_file()]
    assert not any(SECRET in text for text in texts)
    assert "hostile" not in run.rows
    assert processes_with(str(temporary)) == []
    assert list(temporary.iterdir()) == []


def test_nothing_else_was_touched_read_or_left_running(run, own_temporary_of_module):
    check_the_rest(run, own_temporary_of_module)


def test_a_notebook_that_only_ends_is_given_up(run):
    assert run.examined["leaves"].failed.keys() == {1}
    assert run.examined["leaves"].ended is None
    assert judging.ATTEMPTS > 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", [BUBBLEWRAP, NONE])
def test_other_kinds_contain_what_they_can(kind, tmp_path, hidden, own_temporary):
    attacks = {name: ATTACKS[name] for name in FEW}
    cells = tuple(ATTACKS[name].cells[0] for name in TOGETHER)
    attacks["together"] = Attack((*cells, *HONEST), FULL, "Error")
    with skipped_where_unavailable(kind):
        run = Run(tmp_path, attacks, hidden, kind)
    for number, name in enumerate(TOGETHER, start=1):
        assert ATTACKS[name].words in run.examined["together"].failed[number], name
    for name, attack in attacks.items():
        assert attack.words in run.said(name), name
        assert float(run.rows[name]["points"]) == attack.points, name
    check_the_rest(run, own_temporary)
