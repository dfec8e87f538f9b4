"""A release is made only of what is committed and agrees, and its wheel works by itself."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tools import release
from tools.book import ROOT, Book


def commit(root: Path, message: str = "x") -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", *who, "commit", "-qm", message], cwd=root, check=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with all that names a version."""
    (tmp_path / "cleanprio_lib").mkdir()
    (tmp_path / "cleanprio_lib" / "__init__.py").write_text('"""Doc."""\n\n__version__ = "1.2.3"\n')
    (tmp_path / "CITATION.cff").write_text("version: 1.2.3\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n\n## 1.2.3\n\n## 1.2.2\n")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    commit(tmp_path)
    return tmp_path


def test_what_is_committed_and_agrees_is_released(tree: Path) -> None:
    assert release.check(tree) == "1.2.3"
    subprocess.run(["git", "tag", "v1.2.3"], cwd=tree, check=True)
    assert release.check(tree) == "1.2.3"


def test_what_is_not_committed_is_not_released(tree: Path) -> None:
    (tree / "new").write_text("")
    with pytest.raises(release.ReleaseError, match=r"not everything is committed:\n\?\? new"):
        release.check(tree)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("CITATION.cff", "version: 1.2.4\n", r"CITATION.cff says 1\.2\.4"),
        ("CHANGELOG.md", "# Changes\n\n## 1.2.2\n", r"CHANGELOG.md says 1\.2\.2"),
        ("cleanprio_lib/__init__.py", '__version__ = "1.2"\n', r"__init__.py says none"),
    ],
)
def test_versions_that_differ_are_not_released(tree: Path, name: str, text: str, says: str) -> None:
    (tree / name).write_text(text)
    commit(tree)
    with pytest.raises(release.ReleaseError, match=f"the versions differ.*{says}"):
        release.check(tree)


def test_a_version_is_released_once(tree: Path) -> None:
    subprocess.run(["git", "tag", "v1.2.3"], cwd=tree, check=True)
    (tree / "later").write_text("")
    commit(tree)
    with pytest.raises(release.ReleaseError, match=r"1\.2\.3 is tagged already"):
        release.check(tree)


def test_nothing_is_written_when_tests_fail(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "Makefile").write_text("test:\n\tfalse\n")
    commit(tree)
    monkeypatch.setattr(release, "Book", lambda: Book(tree))
    assert release.main() == 1
    assert "No release: Command '['make', 'test']'" in capsys.readouterr().err
    assert not (tree / "dist").exists()


def test_this_book_names_one_version() -> None:
    assert len(set(release.versions_of(ROOT).values())) == 1


def test_wheel_zip_and_checksums_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cleanprio_lib", "book", "pyproject.toml", "README.md", "LICENSE", "_config.yml"):
        (tmp_path / name).symlink_to(ROOT / name)
    book = Book(tmp_path)
    book.html.mkdir(parents=True)
    (book.html / book.zip_name).write_bytes(b"pages")
    made = release.write(book)
    assert [path.suffix for path in made] == [".whl", ".zip", ""]
    lines = made[2].read_text().splitlines()
    assert lines == [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in made[:2]]


def test_a_wheel_that_needs_the_checkout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "TRIED", "import a_module_of_the_checkout")
    monkeypatch.setattr(release.subprocess, "run", only_python(subprocess.run))
    with pytest.raises(release.ReleaseError, match=r"x\.whl does not work by itself"):
        release.try_wheel(Path("x.whl"))


def only_python(run):  # type: ignore[no-untyped-def]
    """Runs everything but pip, which has nothing to install here."""

    def instead(command, **options):  # type: ignore[no-untyped-def]
        return run(command, **options) if "pip" not in command else None

    return instead
