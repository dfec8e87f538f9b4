"""Where everything of the book lies, read from `_config.yml` and `_toc.yml` and written down nowhere else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jupytext
import yaml
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
HEADING = re.compile(r"^# (.+)$", re.MULTILINE)
CHAPTER_NAME = re.compile(r"\d\d-[a-z0-9-]+")


@dataclass(frozen=True)
class Book:
    """A book in a folder: this project's own, or a small one made by a test."""

    root: Path = ROOT

    @cached_property
    def config(self) -> dict[str, Any]:
        """`_config.yml`."""
        return dict(yaml.safe_load((self.root / "_config.yml").read_text(encoding="utf-8")))

    @cached_property
    def pages(self) -> list[str]:
        """Names of all pages in reading order, as in `_toc.yml`: `book/index`, `book/01-clean-priority`, …"""
        toc = yaml.safe_load((self.root / "_toc.yml").read_text(encoding="utf-8"))
        return [toc["root"], *_files_below(toc)]

    @property
    def chapters(self) -> list[str]:
        """The pages that have a Colab pair: those named `NN-name`."""
        return [page for page in self.pages if CHAPTER_NAME.fullmatch(Path(page).name)]

    @property
    def repository(self) -> str:
        """Address of the project's repository, without a slash at its end."""
        return str(self.config["repository"]["url"]).rstrip("/")

    @property
    def branch(self) -> str:
        """The branch that launch buttons point to."""
        return str(self.config["repository"]["branch"])

    @property
    def owner_and_name(self) -> tuple[str, str]:
        """The last two parts of the repository's address."""
        owner, name = self.repository.rsplit("/", 2)[-2:]
        return owner, name

    @property
    def published(self) -> str:
        """Address of the published pages: GitHub Pages of the repository."""
        owner, name = self.owner_and_name
        return f"https://{owner}.github.io/{name}"

    @property
    def build(self) -> Path:
        """What is made and may be deleted."""
        return self.root / "_build"

    @property
    def stage(self) -> Path:
        """Where pages are run; it may be deleted."""
        return self.root / ".exec"

    @property
    def html(self) -> Path:
        """The built pages."""
        return self.build / "html"

    @property
    def provenance(self) -> Path:
        """How the data was had, how long each page took, with which torch."""
        return self.build / "provenance.json"

    @property
    def executed_with(self) -> Path:
        """Stamp of what the cached results were computed with."""
        return self.build / ".executed-with"

    @property
    def zip_name(self) -> str:
        """The built folder as one file, beside the pages."""
        return f"{self.owner_and_name[1]}.zip"

    def title(self, page: str) -> str:
        """A page's heading."""
        heading = HEADING.search(self.source(page).read_text(encoding="utf-8"))
        return heading[1] if heading else page

    def source(self, page: str) -> Path:
        """The text (notebook) of a page."""
        return self.root / f"{page}.md"

    def pair(self, page: str) -> Path:
        """The Colab pair of a chapter."""
        return self.root / f"{page}.ipynb"

    def read(self, page: str) -> NotebookNode:
        """A page as a notebook without outputs."""
        return jupytext.read(self.source(page), fmt="md:myst")


def _files_below(node: dict[str, Any]) -> list[str]:
    """All `file:` entries below a node of the table of contents, in order."""
    found = []
    for child in (*node.get("parts", ()), *node.get("chapters", ()), *node.get("sections", ())):
        found += [child["file"]] if "file" in child else []
        found += _files_below(child)
    return found


def is_notebook(notebook: NotebookNode) -> bool:
    """Whether a page names a kernel: the build then wants results for it, even if it has no code cell yet."""
    return "kernelspec" in notebook.metadata


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing if there is none, or only half of one."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write, readable for people too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
