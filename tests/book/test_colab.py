"""A chapter as a student meets it: alone in a folder, the library installed by its set-up cell.

`make book` runs the code of every chapter in this way, but for the set-up cell, which all of them have in
common: one chapter is run from it here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest

from cleanprio_lib import __version__
from tools.book import Book, read_json
from tools.execute import left_behind, page_environment

BOOK = Book()
CHAPTER = "book/03-sample-gradients"
ADDRESS = f"git+{BOOK.repository}@v{__version__}"
# Asserted within the notebook: what ran was the installed copy, with the recorded runs that belong to it.
INSTALLED_COPY = """\
import sys
from pathlib import Path

import cleanprio_lib

home = Path(cleanprio_lib.__file__).parent
assert home.is_relative_to(sys.prefix), f"ran the library in {home}"
assert (home / "recorded").is_dir(), "the recorded runs were not installed"
"""


def pair(page: str) -> nbformat.NotebookNode:
    """The Colab pair of a chapter."""
    return nbformat.reads(BOOK.pair(page).read_text(encoding="utf-8"), as_version=4)


def code(notebook: nbformat.NotebookNode) -> list[str]:
    """The code of a notebook, cell by cell, without the titles under which Colab folds it."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return [re.sub(r"\A# @title .*\n", "", source) for source in cells]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that has all that this one has, except the library: much as in Colab."""
    folder = tmp_path_factory.mktemp("colab") / "environment"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.check_output([python, "-c", where], text=True).strip())
    # A folder named in a .pth file is searched for packages, but the .pth files in it are not read; it is by
    # one of them that the library is installed here.
    (packages / "as-in-colab.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def environment() -> dict[str, str]:
    """A student's variables; the data is had as the pages had it, so that no download is tried again."""
    variables = page_environment(read_json(BOOK.provenance).get("data", {}))
    variables.pop("PYTHONPATH", None)
    # Built with the pinned hatchling, not with one fetched for the occasion.
    return variables | {"PIP_NO_BUILD_ISOLATION": "0"}


def test_the_library_is_not_there_before(student: Path, tmp_path: Path) -> None:
    command = [student, "-c", "import torch, cleanprio_lib"]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert "No module named 'cleanprio_lib'" in result.stderr


@pytest.mark.parametrize("page", BOOK.chapters)
def test_a_pair_is_the_same_set_up_and_the_code_that_was_run(page: str) -> None:
    setup, *cells = code(pair(page))
    assert ADDRESS in setup
    assert setup == code(pair(CHAPTER))[0]
    assert cells == code(BOOK.read(page))


@pytest.mark.slow
def test_a_chapter_runs_alone(student: Path, tmp_path: Path) -> None:
    notebook = pair(CHAPTER)
    # The one change: the checkout in place of an address on the network.
    notebook.cells[1].source = notebook.cells[1].source.replace(ADDRESS, str(BOOK.root))
    notebook.cells.append(nbformat.v4.new_code_cell(INSTALLED_COPY))
    alone = tmp_path / "alone" / "chapter.ipynb"
    alone.parent.mkdir()
    nbformat.write(notebook, alone)
    settings = ["-c", os.devnull, "--rootdir=.", "-p", "no:cacheprovider", "--show-capture=no"]
    command = [student, "-m", "pytest", *settings, "--nbmake", "--nbmake-timeout=600", alone.name]
    result = subprocess.run(
        command, cwd=alone.parent, env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert left_behind(alone) == []
