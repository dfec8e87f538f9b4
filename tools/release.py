"""Make a release: check that all is committed and agrees, run everything, write what is handed out.

    python -m tools.release

Written to `dist/` are the library's wheel, the book as a zip, and SHA256SUMS. The wheel is installed alone,
far from the checkout, and must load a recorded run there. The tag is the maintainer's to set: the last line
says which.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import copyfile, rmtree

import yaml

from tools.book import Book

VERSION = re.compile(r'^__version__ = "(\d+\.\d+\.\d+)"$', re.MULTILINE)
CHANGES = re.compile(r"^## (\S+)", re.MULTILINE)
TRIED = """\
from pathlib import Path
import cleanprio_lib
from cleanprio_lib import runs
assert Path(cleanprio_lib.__file__).is_relative_to(Path.cwd()), cleanprio_lib.__file__
run = runs.load("fig-01-mnist-cnn")
assert run.intact, run.name
print(f"The wheel of version {cleanprio_lib.__version__} loads {run.name} at {run.scale} scale.")
"""


class ReleaseError(Exception):
    """Why there is no release, in words."""


def main() -> int:
    """Make the release; 0 if it is there."""
    book = Book()
    try:
        version = check(book.root)
        subprocess.run(["make", "test"], cwd=book.root, check=True)
        check(book.root)
        made = write(book)
    except (ReleaseError, subprocess.CalledProcessError) as error:
        print(f"No release: {error}", file=sys.stderr)
        return 1
    print("\n".join(f"dist/{path.name}" for path in made))
    print(f"Now tag this commit: git tag v{version} && git push --tags")
    return 0


def check(root: Path) -> str:
    """The version that all files agree on.

    Raises:
        ReleaseError: they do not, something is not committed, or the version is tagged already.
    """
    changed = git(root, "status", "--porcelain")
    if changed:
        raise ReleaseError(f"not everything is committed:\n{changed}")
    versions = versions_of(root)
    if len(set(versions.values())) != 1:
        found = ", ".join(f"{name} says {version}" for name, version in versions.items())
        raise ReleaseError(f"the versions differ: {found}")
    version = next(iter(versions.values()))
    if git(root, "tag", "--list", f"v{version}") and git(root, "tag", "--points-at", "HEAD") != f"v{version}":
        raise ReleaseError(f"version {version} is tagged already, at another commit: settle the next one")
    return version


def versions_of(root: Path) -> dict[str, str]:
    """What each file that names the version says; "none" if it names none."""
    package = (root / "cleanprio_lib" / "__init__.py").read_text(encoding="utf-8")
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    return {
        "cleanprio_lib/__init__.py": first(VERSION, package),
        "CITATION.cff": str(citation.get("version", "none")),
        "CHANGELOG.md": first(CHANGES, changes),
    }


def first(pattern: re.Pattern[str], text: str) -> str:
    """The first match's group, or "none"."""
    found = pattern.search(text)
    return found[1] if found else "none"


def git(root: Path, *arguments: str) -> str:
    """What git prints."""
    return subprocess.run(
        ["git", *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def write(book: Book) -> list[Path]:
    """Write wheel, zip and checksums into an emptied `dist/`; the wheel is tried first."""
    dist = book.root / "dist"
    rmtree(dist, ignore_errors=True)
    dist.mkdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)]
    subprocess.run(command, cwd=book.root, check=True)
    wheel = next(dist.glob("*.whl"))
    try_wheel(wheel)
    packed = dist / book.zip_name
    copyfile(book.html / book.zip_name, packed)
    sums = dist / "SHA256SUMS"
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in (wheel, packed)]
    sums.write_text("".join(lines), encoding="utf-8")
    return [wheel, packed, sums]


def try_wheel(wheel: Path) -> None:
    """Install a wheel by itself in an empty folder, and use it there.

    Raises:
        ReleaseError: it does not work without the checkout.
    """
    with tempfile.TemporaryDirectory() as folder:
        install = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            folder,
            str(wheel),
        ]
        subprocess.run(install, check=True)
        environment = {**os.environ, "PYTHONPATH": folder}
        tried = subprocess.run([sys.executable, "-c", TRIED], cwd=folder, env=environment, check=False)
    if tried.returncode != 0:
        raise ReleaseError(f"{wheel.name} does not work by itself")


if __name__ == "__main__":
    sys.exit(main())
