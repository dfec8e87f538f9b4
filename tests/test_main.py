"""The command line, in process and as users call it."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from cleanprio_lib import __main__ as cli
from cleanprio_lib import data, experiments, grading, recordings, runs


@pytest.fixture
def here(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("CLEANPRIO_ORIGIN", "stand-in")
    monkeypatch.setenv("CLEANPRIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runs, "recorded_folder", lambda: tmp_path / "recorded")
    monkeypatch.setattr("cleanprio_lib.verification.recorded_folder", lambda: tmp_path / "recorded")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0-4", [0, 1, 2, 3, 4]), ("0,3,7", [0, 3, 7]), ("2", [2]), ("0,0", [0]), ("1-2,2-3", [1, 2, 3])],
)
def test_seed_lists(text, seeds):
    assert cli.seed_list(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "4-2", "1,,2", "4-0,2"])
def test_bad_seed_lists_are_named(text):
    with pytest.raises(argparse.ArgumentTypeError, match="seeds must look like 0-4 or 0,3,7"):
        cli.seed_list(text)


def test_record_then_list_then_verify(here, capsys):
    assert cli.main(["record", "tiny", "--scale", "quick", "--seeds", "0,1", "--device", "cpu"]) == 0
    assert (here / "recorded" / "tiny-quick.csv").exists()
    assert cli.main(["runs"]) == 0
    assert "recorded" in capsys.readouterr().out
    assert cli.main(["verify", "tiny", "--epochs", "1"]) == 0
    assert "equal bit for bit" in capsys.readouterr().out


def test_verify_fails_loudly_on_other_numbers(here, capsys):
    cli.main(["record", "tiny", "--scale", "quick", "--seeds", "0", "--device", "cpu"])
    path = here / "recorded" / "tiny-quick.csv"
    frame = recordings.read_csv(path)
    frame["test_loss"] += 0.1
    frame.to_csv(path, index=False)
    assert cli.main(["verify", "tiny", "--epochs", "1"]) == 1
    assert "DOES NOT AGREE: test_loss" in capsys.readouterr().out


def test_record_missing_takes_every_experiment_that_lacks_seeds(here, capsys):
    """At this scale, and at others with the same settings: all three scales of `tiny` have one."""
    command = ["record", "--missing", "--seeds", "0", "--device", "cpu", "--scale"]
    assert cli.main([*command, "quick"]) == 0
    assert "tiny quick: seeds [0] are recorded" in capsys.readouterr().out
    for scale in ("quick", "laptop", "paper"):
        assert cli.main([*command, scale]) == 0
    assert capsys.readouterr().out == ""
    assert cli.main(["runs"]) == 0
    listed = [line.split()[2:4] for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in listed] == ["recorded", "as", "as"]
    assert {path.name for path in (here / "recorded").iterdir()} == {"tiny-quick.csv", "tiny-quick.json"}


def test_record_missing_goes_on_after_a_failure_and_tells(here, monkeypatch, capsys):
    known = experiments.EXPERIMENTS
    monkeypatch.setattr(experiments, "EXPERIMENTS", {**known, "a": known["tiny"], "z": known["tiny"]})
    real = runs.record

    def record(name, *given, **others):
        if name == "a":
            raise ValueError("holds runs that do not belong together")
        return real(name, *given, **others)

    monkeypatch.setattr(runs, "record", record)
    assert cli.main(["record", "--missing", "--scale", "quick", "--seeds", "0", "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert "tiny quick" in said.out
    assert "z quick" in said.out
    assert "error: a: holds runs" in said.err
    assert said.err.endswith("error: not recorded: a\n")


def test_what_is_recorded_is_said_to_be_and_may_be_recorded_elsewhere(here, capsys):
    command = ["record", "tiny", "--scale", "quick", "--seeds", "0", "--device", "cpu"]
    for said in ("are recorded", "were recorded already"):
        assert cli.main(command) == 0
        assert f"tiny quick: seeds [0] {said}, in {here / 'recorded'}" in capsys.readouterr().out
    assert cli.main([*command, "--folder", str(here / "elsewhere")]) == 0
    assert f"are recorded, in {here / 'elsewhere'}" in capsys.readouterr().out
    first, second = (
        recordings.read_csv(here / name / "tiny-quick.csv") for name in ("recorded", "elsewhere")
    )
    assert first.equals(second)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--device", "warp"),
        ("--device", "cuda:99"),
        ("--threads", "0"),
        ("--threads", "-1"),
        ("--workers", "x"),
    ],
)
def test_options_that_cannot_be_are_named(here, capsys, option, value):
    with pytest.raises(SystemExit) as ended:
        cli.main(["record", "tiny", option, value])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"argument {option}: must be" in said
    assert f"got {value!r}" in said


def test_errors_are_one_line_and_a_code(here, capsys):
    assert cli.main(["record", "--scale", "quick"]) == 1
    assert "error: record needs a NAME" in capsys.readouterr().err
    assert cli.main(["verify", "tiny"]) == 1
    assert "is not recorded" in capsys.readouterr().err
    assert cli.main(["record", "tiny", "--scale", "quick", "--seeds", "0,2", "--device", "cpu"]) == 0
    assert cli.main(["verify", "tiny", "--seed", "77"]) == 1
    assert (
        "seed and value must be of a recorded cell, got 77 and None; recorded: 0, 2"
        in capsys.readouterr().err
    )


def test_ctrl_c_says_how_to_go_on(here, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "record", interrupt)
    assert cli.main(["record", "tiny", "--scale", "quick"]) == 130
    assert "the same command goes on" in capsys.readouterr().out


def test_data_says_how_they_were_had(here, capsys):
    assert cli.main(["data"]) == 0
    assert capsys.readouterr().out.strip() == data.load("mnist", origin="stand-in").provenance


def test_the_module_runs():
    done = subprocess.run(
        [sys.executable, "-m", "cleanprio_lib", "runs"], capture_output=True, text=True, check=True
    )
    assert "fig-01-mnist-cnn" in done.stdout


def test_grade_hands_over_what_was_asked(tmp_path, monkeypatch, capsys):
    asked = {}

    def grade(folder, assignment, out, **options):
        asked.update(options, folder=folder, assignment=assignment, out=out)
        return "report"

    monkeypatch.setattr(grading, "grade", grade)
    monkeypatch.setattr(grading, "in_short", lambda report: f"all of {report}")
    command = ["grade", str(tmp_path), "--assignment", "2", "--out", "grades.csv", "--seed", "7"]
    assert (
        cli.main([*command, "--seconds", "9", "--memory", "100", "--workers", "3", "--canvas", "book.csv"])
        == 0
    )
    assert capsys.readouterr().out == "all of report\n"
    assert asked["limits"] == grading.Limits(seconds=9.0, memory=100 << 20)
    names = ("assignment", "seed", "workers", "hidden", "isolation")
    assert [asked[name] for name in names] == [2, 7, 3, None, None]
    assert [asked[name] for name in ("folder", "out", "gradebook")] == [
        tmp_path,
        Path("grades.csv"),
        Path("book.csv"),
    ]


def test_grade_says_what_is_wrong_and_how_to_go_on(tmp_path, monkeypatch, capsys):
    command = ["grade", str(tmp_path / "none"), "--assignment", "1", "--out", str(tmp_path / "grades.csv")]
    assert cli.main(command) == 1
    assert "error: FOLDER must be a folder of submitted notebooks" in capsys.readouterr().err

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(grading, "grade", interrupt)
    assert cli.main(command) == 130
    assert "the same command goes on with the rest" in capsys.readouterr().out
