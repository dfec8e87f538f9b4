"""What the README promises first: one command, and a figure of one's own."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cleanprio_lib import experiments
from tools import first_figure
from tools.book import ROOT


def test_it_trains_draws_and_says_what_is_to_be_seen(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEANPRIO_ORIGIN", "mnist=stand-in")
    monkeypatch.setattr(first_figure, "NAME", tiny)
    path = tmp_path / "made" / "figure.svg"
    said = first_figure.draw(path)
    assert ElementTree.parse(path).getroot().tag.endswith("svg")
    frame = experiments.run(tiny, "quick", seed=first_figure.SEED)
    assert f"to {frame.test_error.min():.2f} around epoch" in said
    assert "stand-in" in said


def test_the_readme_and_the_makefile_name_the_same_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    asked = set(re.findall(r"^make (\w+)", readme, re.MULTILINE)) | set(re.findall(r"`make (\w+)`", readme))
    assert {"figure", "book", "test"} <= asked
    assert asked <= set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    assert first_figure.NAME in experiments.EXPERIMENTS
