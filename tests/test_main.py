"""The command line, in process and as users call it."""

import argparse
import subprocess
import sys

import pytest

from cleanprio_lib import __main__ as cli
from cleanprio_lib import data, recordings, runs


@pytest.fixture
def here(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("CLEANPRIO_ORIGIN", "stand-in")
    monkeypatch.setenv("CLEANPRIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runs, "recorded_folder", lambda: tmp_path / "recorded")
    monkeypatch.setattr("cleanprio_lib.verification.recorded_folder", lambda: tmp_path / "recorded")
    return tmp_path


@pytest.mark.parametrize(("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("0,3,7", [0, 3, 7]), ("2", [2])])
def test_seed_lists(text, seeds):
    assert cli.seed_list(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "4-2", "1,,2"])
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


def test_record_missing_takes_every_experiment(here, capsys):
    assert cli.main(["record", "--missing", "--scale", "quick", "--seeds", "0", "--device", "cpu"]) == 0
    assert "tiny quick: seeds [0]" in capsys.readouterr().out


def test_errors_are_one_line_and_a_code(here, capsys):
    assert cli.main(["record", "--scale", "quick"]) == 1
    assert "error: record needs a NAME" in capsys.readouterr().err
    assert cli.main(["verify", "tiny"]) == 1
    assert "is not recorded" in capsys.readouterr().err


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
