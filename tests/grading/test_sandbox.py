"""What a submission sees from inside, kind by kind, and how its limits and its end are told."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cleanprio_lib.grading import hosts, limits, namespaces, places, sandbox, temporary
from cleanprio_lib.grading.limits import Limits
from cleanprio_lib.grading.sandbox import BUBBLEWRAP, KINDS, NAMESPACES, NONE, EndedError, Sandbox
from tests.grading.toy import LIMITS, SECRET, processes_with, skipped_where_unavailable

LOOK = """
import os, socket

def read(path):
    return _words(lambda: open(path).read())

def listed(path):
    return _words(lambda: sorted(os.listdir(path)))

def write(path):
    return _words(lambda: open(path, "a").close())

def connect(port):
    return _words(lambda: socket.create_connection(("127.0.0.1", port), timeout=3).close())

def result(text):
    return _words(lambda: eval(text))

def _words(act):
    try:
        return act()
    except Exception as error:
        return f"{type(error).__name__}"
"""


REFUSED = ("OSError", "PermissionError", "FileNotFoundError")


class Inside:
    """Calls functions in a session."""

    def __init__(self, session):
        self.session = session
        assert self.cell(LOOK)["error"] is None

    def cell(self, source, *, seconds=10.0, pictures=False, number=1):
        question = {"do": "cell", "number": number, "source": source, "pictures": pictures}
        return self.session.ask({**question, "seconds": seconds}, seconds=seconds)

    def call(self, function, **inputs):
        question = {"do": "call", "function": function, "inputs": inputs, "seed": 1, "seconds": 10.0}
        answer = self.session.ask(question, seconds=10.0)
        assert answer["error"] is None, answer["error"]
        return answer["outputs"][0]


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def inside(kind, hidden, tmp_path_factory):
    with skipped_where_unavailable(kind):
        box, _ = sandbox.choose(kind, limits=LIMITS, hidden=[hidden])
    with box, box.open() as session:
        yield Inside(session)


def test_hidden_files_cannot_be_read(inside, hidden):
    found = inside.call("read", path=str(hidden / "hidden_9.py"))
    assert found in ("FileNotFoundError", "PermissionError")
    assert SECRET not in str(inside.call("listed", path=str(hidden)))


def test_home_is_empty_and_can_be_written_to(inside, kind):
    home = inside.call("result", text="os.path.expanduser('~')")
    assert home == inside.call("result", text="os.getcwd()")
    # The list of fonts is bound there by bubblewrap.
    assert [name for name in inside.call("listed", path=home) if not name.startswith("fontlist")] == []
    assert inside.call("write", path=f"{home}/mine") is None


def test_nothing_else_can_be_written_to(inside, tmp_path):
    for path in (tmp_path / "x", Path(sandbox.__file__), Path(sys.prefix) / "x", Path("/x"), Path("/usr/x")):
        assert inside.call("write", path=str(path)) in REFUSED, path


def test_there_is_no_network(inside):
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert "Error" in str(inside.call("connect", port=server.getsockname()[1]))


def test_nothing_of_the_environment_comes_along(inside):
    names = set(inside.call("result", text="list(os.environ)"))
    assert not names & {"USER", "LOGNAME", "SSH_AUTH_SOCK", "PYTEST_CURRENT_TEST"}


def test_other_processes_and_privileges_are_out_of_reach(inside, kind):
    if kind == NONE:
        assert inside.call("result", text="os.kill(os.getppid(), 0)") == "PermissionError"
        return
    processes = [name for name in inside.call("listed", path="/proc") if name.isdigit()]
    assert str(os.getpid()) not in processes or len(processes) < 8
    status = dict(line.split(":\t", 1) for line in inside.call("read", path="/proc/self/status").splitlines())
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert inside.call("write", path="/proc/sys/kernel/core_pattern") in ("OSError", "PermissionError")
    assert inside.call("listed", path="/home") in ("FileNotFoundError", [])


def test_python_the_library_and_their_modules_are_there(inside):
    source = "import colorsys, sklearn.utils, cleanprio_lib.theory, cleanprio_lib.figures"
    assert inside.cell(source)["error"] is None


def test_a_users_own_namespace_serves_where_root_is_not_needed(hidden, monkeypatch):
    """Root here takes another way than an ordinary user does: the ordinary one is tested as well."""
    monkeypatch.setattr(sandbox.os, "geteuid", lambda: 1000)
    with skipped_where_unavailable(NAMESPACES):
        box, _ = sandbox.choose(NAMESPACES, limits=LIMITS, hidden=[hidden])
    with box, box.open() as session:
        look = Inside(session)
        test_hidden_files_cannot_be_read(look, hidden)
        test_nothing_else_can_be_written_to(look, hidden)
        test_there_is_no_network(look)
        test_other_processes_and_privileges_are_out_of_reach(look, NAMESPACES)


def test_hidden_folders_are_hidden_even_in_folders_that_are_shown(monkeypatch, tmp_path):
    (tmp_path / "shown" / "solutions").mkdir(parents=True)
    (tmp_path / "shown" / "solutions" / "hidden_9.py").write_text(SECRET)
    (tmp_path / "shown" / "grades.csv").write_text(SECRET)
    (tmp_path / "shown" / "library.py").write_text("right")
    tmp_path.chmod(0o755)
    shown = places.shown
    monkeypatch.setattr(places, "shown", lambda: [*shown(), str(tmp_path / "shown")])
    kept = [tmp_path / "shown" / "solutions", tmp_path / "shown" / "grades.csv"]
    for kind in (NAMESPACES, BUBBLEWRAP):
        with skipped_where_unavailable(kind):
            box, _ = sandbox.choose(kind, limits=LIMITS, hidden=kept)
        with box, box.open() as session:
            look = Inside(session)
            assert look.call("read", path=str(tmp_path / "shown" / "library.py")) == "right"
            assert look.call("listed", path=str(kept[0])) == []
            assert look.call("read", path=str(kept[1])) in ("", "PermissionError")


def test_what_is_hidden_must_not_hold_python_or_the_library():
    with pytest.raises(ValueError, match="keep them apart"):
        Sandbox(NONE, limits=LIMITS, hidden=[places.PACKAGE.parent])


@pytest.fixture(scope="module")
def box():
    with skipped_where_unavailable(NAMESPACES):
        box, _ = sandbox.choose(NAMESPACES, limits=LIMITS)
    with box:
        yield box


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("os._exit(3)", "exit code 3"),
        ("os.kill(os.getpid(), 9)", "was killed"),
        ("os.kill(os.getpid(), 11)", "Segmentation fault"),
    ],
)
def test_how_a_process_ended_is_told(box, act, words):
    with box.open() as session, pytest.raises(EndedError, match=words):
        Inside(session).cell(act)


def test_a_cell_has_its_seconds(box):
    with box.open() as session:
        answer = Inside(session).cell("while True: pass", seconds=0.5)
    assert "took too long: after 0 seconds" in answer["error"] or "took too long" in answer["error"]


def test_what_is_not_run_is_noted_and_code_below_it_runs(box):
    source = """
%matplotlib inline
!pip install something
files = !ls
from google.colab import drive, files as colab
import google.colab.data_table
drive.mount("/content/drive")
uploaded = colab.upload()
name = input("Your name? ")
display(1)
%time x = 1
if x:
    %cd ..
    y = list(uploaded), name, files
"""
    with box.open() as session:
        look = Inside(session)
        first = look.cell(source)
        second = look.cell("%%capture out\nz = x + 1\n%timeit z")
        third = look.cell("%%bash\nrm -rf /")
        assert look.call("result", text="__import__('sys').modules['__main__'].y") == ([], "", [])
        assert look.call("result", text="__import__('sys').modules['__main__'].z") == 2
    assert [first["error"], second["error"], third["error"]] == [None, None, None]
    notes = " ".join(first["notes"] + second["notes"] + third["notes"])
    wanted = (
        "%matplotlib inline",
        "!pip install",
        "!ls",
        "drive.mount()",
        "upload()",
        "input()",
        "%cd",
        "%%bash",
    )
    for noted in wanted:
        assert noted in notes, noted


def test_errors_name_their_line(box):
    with box.open() as session:
        look = Inside(session)
        assert look.cell("x = 1\n1 / 0")["error"] == "ZeroDivisionError: division by zero (line 2)"
        assert "SyntaxError" in look.cell("def f(:\n  pass")["error"]
        rude = look.cell("class Rude(Exception):\n    def __str__(self): raise SystemExit\nraise Rude")
        assert "Rude" in rude["error"]
        assert len(look.cell("raise ValueError('x' * 10**6)")["error"]) < 1000


def test_figures_come_out_as_png(box):
    with box.open() as session:
        look = Inside(session)
        source = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
        (picture,) = look.cell(source, pictures=True)["pictures"]
        assert picture.tobytes().startswith(b"\x89PNG")
        assert look.cell("1", pictures=True)["pictures"] == []


def test_a_fork_server_that_died_is_replaced(box):
    with box.open():
        pass
    box._host._process.send_signal(signal.SIGKILL)
    box._host._process.wait()
    with box.open() as session:
        Inside(session)


BUSY = """
import os, tempfile, time
tempfile.tempdir = {folder!r}
from cleanprio_lib.grading import sandbox, transport
from cleanprio_lib.grading.limits import Limits
box, _ = sandbox.choose(None, limits=Limits())
with box.open() as session:
    source = "import os, time; os.fork(); open('busy', 'w'); time.sleep(600)"
    cell = {{"do": "cell", "number": 1, "source": source, "seconds": 600.0, "pictures": False}}
    transport.send(session._channel, cell)
    time.sleep(2)
    os.kill(os.getpid(), 9)
"""


def test_all_ends_with_the_grader(own_temporary):
    """Nothing outlives a grader that is killed, not even a notebook that is busy: the leash is let go of."""
    script = BUSY.format(folder=str(own_temporary))
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    for _ in range(100):
        if not processes_with(str(own_temporary)):
            return
        time.sleep(0.1)
    pytest.fail(f"still running: {processes_with(str(own_temporary))}")


def test_the_next_grader_removes_what_a_killed_one_left(own_temporary):
    script = BUSY.format(folder=str(own_temporary))
    subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    (left,) = own_temporary.iterdir()
    with Sandbox(NONE, limits=LIMITS) as first, Sandbox(NONE, limits=LIMITS) as second:
        # Not those of graders that are at work.
        assert {*own_temporary.iterdir()} == {first._folder, second._folder}
        assert left not in (first._folder, second._folder)
    assert [*own_temporary.iterdir()] == []


def test_another_programs_folder_stays(own_temporary):
    (own_temporary / f"{temporary.PREFIX}mine").mkdir()
    (own_temporary / "other").mkdir()
    temporary.sweep()
    assert len([*own_temporary.iterdir()]) == 2


def test_the_place_of_temporary_folders_keeps_its_permissions(own_temporary):
    elsewhere = own_temporary.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / temporary.LOCK).touch()
    (own_temporary / f"{temporary.PREFIX}planted").symlink_to(elsewhere)
    own_temporary.chmod(0o1777)
    temporary.sweep()
    temporary.remove(str(own_temporary / "gone"))
    temporary.remove(str(own_temporary / f"{temporary.PREFIX}planted"))
    assert own_temporary.stat().st_mode & 0o7777 == 0o1777
    assert (elsewhere / temporary.LOCK).exists()


def test_an_interruption_while_it_is_tried_leaves_nothing(own_temporary, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sandbox, "_try", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sandbox.choose(None, limits=LIMITS)
    assert [*own_temporary.iterdir()] == []


def test_kinds_are_tried_in_order_and_said_why(monkeypatch):
    def refuse(*_, **__):
        raise hosts.UnavailableError("not here")

    monkeypatch.setattr(sandbox, "_try", lambda box: refuse() if box.kind != NONE else None)
    chosen, why = sandbox.choose(None, limits=LIMITS)
    with chosen:
        assert chosen.kind == NONE
    assert why == ["namespaces: not here", "bubblewrap: not here"]
    with pytest.raises(hosts.UnavailableError, match="bubblewrap: not here"):
        sandbox.choose("bubblewrap", limits=LIMITS)
    with pytest.raises(ValueError, match="isolation must be one of"):
        sandbox.choose("chroot", limits=LIMITS)


def test_a_status_in_words():
    for status, words in ((0, "exit code 0"), (3 << 8, "exit code 3"), (signal.SIGABRT, "Aborted")):
        assert words in sandbox.in_words(status, Limits(seconds=5))
    assert "10 seconds of computing" in sandbox.in_words(signal.SIGXCPU, Limits(seconds=5))


def test_processes_below_are_children_and_theirs():
    process = os.fork()
    if process == 0:
        grandchild = os.fork()
        signal.pause() if grandchild == 0 else os.waitpid(grandchild, 0)
        os._exit(0)
    try:
        for _ in range(200):
            below = limits.processes_below(process)
            if below:
                break
        assert len(below) == 1
        assert process in limits.processes_below(os.getpid())
    finally:
        for one in [*limits.processes_below(process), process]:
            os.kill(one, signal.SIGKILL)
        os.waitpid(process, 0)


def test_paths_that_lie_in_others_are_left_out(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    paths = [str(tmp_path / name) for name in ("ab", "a/b", "a", "none")]
    assert places.outermost(paths) == [str(tmp_path / "a"), str(tmp_path / "ab")]


def test_what_lies_below_a_link_is_shown_where_it_is(tmp_path):
    """As with a `.venv` that is a link: a folder below it could not be made in a root that has the link."""
    (tmp_path / "venv" / "lib").mkdir(parents=True)
    (tmp_path / "checkout").mkdir()
    link = tmp_path / "checkout" / ".venv"
    link.symlink_to(tmp_path / "venv")
    paths = [str(link), str(link / "lib"), str(link / "none")]
    assert places.outermost(paths) == [str(link), str(tmp_path / "venv" / "lib")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("         0          0 4294967295\n", True),  # a system without user namespaces
        ("0 100000 65536", False),  # a container that an ordinary user has started
        ("0 1000 1\n1 100000 65536", False),
        ("0 1000 1\n1 100000 4000000000", True),
        ("", False),
    ],
)
def test_root_becomes_a_stranger_where_there_are_strangers(text, wanted):
    assert namespaces._maps_strangers(text) is wanted


def test_an_ordinary_user_becomes_nobody_else(monkeypatch):
    monkeypatch.setattr(namespaces.os, "geteuid", lambda: 1000)
    assert namespaces.stranger() is None


def test_why_there_are_no_namespaces_is_said_in_words(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "unshare: No space left on device")

    monkeypatch.setattr(namespaces, "_call", refuse)
    with pytest.raises(OSError, match="no new namespaces: the system allows no more of them"):
        namespaces.separate(user=None)


def test_unreadable_paths_are_named(tmp_path):
    assert namespaces.unreadable([str(tmp_path), str(tmp_path / "none")]) == [str(tmp_path / "none")]
