"""Pages for a small book that a test may break."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

from tools.book import ROOT, Book

FRONT_MATTER = """\
---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
cleanprio: {minutes_cpu: 2, minutes_gpu: 1}
---
"""

MakeBook = Callable[..., Book]


def notebook_page(text: str) -> str:
    """A page that is a text notebook, with the front matter of a chapter."""
    return FRONT_MATTER + "\n" + text


def code_cell(code: str, options: str = "") -> str:
    """A code cell of a text notebook."""
    return f"```{{code-cell}} ipython3\n{options}{code}\n```\n"


def copy_looks(root: Path, *others: str) -> None:
    """This project's settings and looks, what its pages link to, and other folders of the book."""
    for name in ("_ext", "_static", *others):
        shutil.copytree(ROOT / "book" / name, root / "book" / name)
    shutil.copytree(ROOT / ".github", root / ".github")
    shutil.copy(ROOT / "book" / "references.bib", root / "book")
    for name in ("_config.yml", "CITATION.cff"):
        shutil.copy(ROOT / name, root)


def write_book(root: Path, pages: dict[str, str], index: str) -> Book:
    """A book of a few pages with this project's settings and looks."""
    copy_looks(root)
    folder = root / "book"
    for name, text in {"index": index, **pages}.items():
        (folder / f"{name}.md").parent.mkdir(exist_ok=True)
        (folder / f"{name}.md").write_text(text)
    toc = {"format": "jb-book", "root": "book/index"}
    chapters = [{"file": f"book/{name}"} for name in pages]
    (root / "_toc.yml").write_text(yaml.safe_dump(toc | ({"chapters": chapters} if chapters else {})))
    return Book(root)
