"""Build the pages from their text and their cached results, then say what to open.

    python -m tools.build        build `_build/html`
    python -m tools.build --say  the last line of `make book`

Sphinx builds only what has changed, as far as it can see. It cannot see new results of an unchanged page, a
page that was taken out, or a warning given in an earlier, failed build: then everything is built anew.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree

from tools.book import Book, read_json
from tools.execute import file_digest
from tools.publish import publish


def main(arguments: Sequence[str] = ()) -> int:
    """Build, or say how the book was built; 0 if all is well."""
    if "--say" in arguments:
        print(last_line(Book()))
        return 0
    return build(Book())


def build(book: Book) -> int:
    """Build the pages of `book`, any warning being an error; jupyter-book's exit status."""
    stamp, wanted = book.build / ".built-with", digest(book)
    if not stamp.exists() or stamp.read_text() != wanted:
        rmtree(book.html, ignore_errors=True)
        rmtree(book.build / ".doctrees", ignore_errors=True)
    # There only after a build that ended well, so that one that failed or was killed is never built upon.
    stamp.unlink(missing_ok=True)
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [str(jupyter_book), "build", "-W", "-n", "--keep-going", "-q", str(book.root)]
    status = subprocess.run(command, cwd=book.root, check=False).returncode
    if status == 0:
        publish(book)
        stamp.write_text(wanted)
    return status


def digest(book: Book) -> str:
    """sha256 of what decides all pages at once: settings, order, looks, results, packages."""
    files = [
        book.root / "_config.yml",
        book.root / "_toc.yml",
        book.root / "requirements.txt",
        book.executed_with,
        *sorted(path for path in book.root.glob("book/_*/**/*") if path.suffix in {".py", ".css", ".js"}),
        *sorted(book.root.glob("book/*.bib")),
    ]
    lines = [f"{file.relative_to(book.root)} {file_digest(file)}" for file in files if file.exists()]
    # A page gains or loses its launch button with its pair.
    lines += [page for page in book.pages if book.pair(page).exists()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def last_line(book: Book) -> str:
    """What to open, and how the data was had."""
    data = read_json(book.provenance).get("data", {})
    sentences = " ".join(facts["sentence"] for facts in data.values())
    return f"Open {book.html.relative_to(book.root)}/index.html. {sentences}".strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
