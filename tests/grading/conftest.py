"""Hidden checks, sandboxes and temporary files of the grading's tests."""

import tempfile

import pytest

from cleanprio_lib.grading import sandbox
from tests.grading.toy import HIDDEN, LIMITS


@pytest.fixture(scope="session")
def hidden(tmp_path_factory):
    """Folder with the toy assignment's hidden check."""
    folder = tmp_path_factory.mktemp("solutions")
    (folder / "hidden_9.py").write_text(HIDDEN)
    return folder


@pytest.fixture(scope="session")
def best():
    """The best kind of sandbox that this system has."""
    chosen, _ = sandbox.choose(None, limits=LIMITS)
    with chosen:
        return chosen.kind


@pytest.fixture
def own_temporary(tmp_path, monkeypatch):
    """A folder for all temporary files, whose name is then in the environment of all that is started."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
