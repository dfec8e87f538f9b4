"""Chapter 8's recipe for a borrowed GPU, run here with a recorder that only counts epochs."""

import os
import re
import signal
import subprocess
import tarfile
import time
from functools import partial
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "book/08-cifar10.md"
NAME, EPOCHS = "fig-07-cifar10-paper", 12

# In place of `python`: an epoch takes a fifth of a second and is saved; the last one writes the recorded run.
RECORDER = f"""#!/bin/bash
recorded=${{@: -1}}
echo "$@" >> "$LOG"
[ -z "$FAULT" ] || exit 3
saved=$CLEANPRIO_CACHE/checkpoints/{NAME}-0.pt
[ ! -e "$recorded/{NAME}.csv" ] || exit 0
epoch=$(cat "$saved" 2>/dev/null || echo 0)
echo "from $epoch" >> "$LOG"
while [ $epoch -lt {EPOCHS} ]; do
  sleep 0.2
  epoch=$((epoch + 1))
  echo $epoch > "$saved"
done
rm "$saved"
echo done > "$recorded/{NAME}.csv"
echo done > "$recorded/{NAME}.json"
"""


@pytest.fixture
def recipe(tmp_path):
    """Starts the page's cell in a virtual machine of its own, of which nothing is left but the Drive."""
    (cell,) = re.findall(r"```sh\n%%shell\n(.*?)```", PAGE.read_text("utf8"), flags=re.DOTALL)
    assert cell.count("timeout 600") == 1
    drive, log = tmp_path / "drive", tmp_path / "log"
    cell = cell.replace("/content/drive/MyDrive", str(drive)).replace("timeout 600", "timeout 0.7")
    drive.mkdir()

    def start(machine, **environment):
        machine = tmp_path / machine
        (machine / "bin").mkdir(parents=True, exist_ok=True)
        (machine / "bin/python").write_text(RECORDER)
        (machine / "bin/python").chmod(0o755)
        return subprocess.Popen(
            ["bash", "-c", cell.replace("/content/", f"{machine}/")],
            start_new_session=True,
            # A shell that is started where interrupts are ignored, as in the background, cannot trap them.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            env={
                **os.environ,
                "PATH": f"{machine / 'bin'}:{os.environ['PATH']}",
                "LOG": str(log),
                **environment,
            },
        )

    return start, drive / "cleanprio", log


def _starts(log):
    return [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("from")]


def _kept(drive):
    with tarfile.open(drive / "kept.tar") as kept:
        return {Path(member.name).name for member in kept if member.isfile()}


def _lose(cell):
    """Kill it, and wait for the recorder, which `timeout` has put into a group of its own and ends soon."""
    os.killpg(cell.pid, signal.SIGKILL)
    cell.wait()
    time.sleep(1.5)


def _wait_for(condition, seconds=20):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_pieces_go_on_from_each_other_until_the_run_is_on_the_drive(recipe):
    start, drive, log = recipe
    assert start("vm").wait(60) == 0
    begun = _starts(log)
    assert begun == sorted(set(begun))
    assert begun[0] == 0
    assert len(begun) > 1
    assert {path.name for path in drive.iterdir()} == {"kept.tar", f"{NAME}.csv", f"{NAME}.json"}
    assert _kept(drive) == {f"{NAME}.csv", f"{NAME}.json"}
    assert "--device cuda --folder recorded" in log.read_text()


def test_a_new_machine_goes_on_from_what_is_on_the_drive(recipe):
    start, drive, log = recipe
    lost = start("first")
    _wait_for(lambda: (drive / "kept.tar").exists())
    _lose(lost)
    assert _kept(drive) == {f"{NAME}-0.pt"}
    before = len(_starts(log))
    assert start("second").wait(60) == 0
    assert _starts(log)[before] > 0
    assert (drive / f"{NAME}.csv").exists()


def test_what_is_finished_is_not_computed_again_on_another_machine(recipe):
    start, _drive, log = recipe
    assert start("first").wait(60) == 0
    before = _starts(log)
    assert start("second").wait(60) == 0
    assert _starts(log) == before


def test_the_same_machine_keeps_what_is_newer_than_the_drive(recipe, tmp_path):
    start, drive, log = recipe
    first = start("vm")
    _wait_for(lambda: (drive / "kept.tar").exists())
    _lose(first)
    saved = tmp_path / f"vm/cleanprio/checkpoints/{NAME}-0.pt"
    saved.write_text(f"{EPOCHS - 1}\n")
    before = len(_starts(log))
    assert start("vm").wait(60) == 0
    assert _starts(log)[before] == EPOCHS - 1


def test_an_error_ends_it_and_is_told(recipe):
    start, _, log = recipe
    assert start("vm", FAULT="yes").wait(60) == 3
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_cell_leaves_no_recorder_behind_and_keeps_its_epochs(recipe, sent, tmp_path):
    start, drive, log = recipe
    cell = start("vm")
    saved = tmp_path / f"vm/cleanprio/checkpoints/{NAME}-0.pt"
    _wait_for(saved.exists)
    cell.send_signal(sent)
    assert cell.wait(20) != 0
    epoch = saved.read_text()
    time.sleep(0.5)
    assert saved.read_text() == epoch
    before = len(_starts(log))
    assert start("vm").wait(60) == 0
    assert _starts(log)[before] >= 1
    assert (drive / f"{NAME}.csv").exists()
