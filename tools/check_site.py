"""Check the built pages without a network, and name page and line of every fault.

    python -m tools.check_site

A fault is: a link to a page, file or anchor that is not there; a launch button that leads to no notebook of
this tree, or a link into the repository that leads to no file of it; an image without alternative text; a
script, style sheet or image loaded from another host; an id that stands twice on a page; MyST mark-up that
was not understood and stands in the text; a traceback or a message on stderr.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tools.book import Book

RAW_MARKUP = re.compile(
    r"(?::{3}|`{3})\S*|\{[a-z]+(?:[:-][a-z]+)*\}`|^\([\w-]+\)=\s*$"
    r"|\{(?:cite|ref|numref|eq|doc|term|glue|math|note|figure|eval-rst|code-cell)(?::\w+)?\}"
    r"|\$",  # of a formula that a line's first sign, read as that of a list, has cut in two
    re.MULTILINE,
)
FORMULA = re.compile(r"\\\(.*?\\\)|\\\[.*?\\\]", re.DOTALL)
# Text in which mark-up is quoted rather than forgotten, or that nobody reads.
QUOTING = {"code", "pre", "script", "style", "textarea", "title"}
FAILURES = {"traceback": "a traceback", "stderr": "output on stderr"}
LOADING = {"script", "img", "iframe", "source", "video", "audio", "embed"}
LOADING_LINKS = {"stylesheet", "preload", "icon", "modulepreload"}


@dataclass(frozen=True, order=True)
class Fault:
    """Something wrong on a page."""

    page: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.what}"


class Page(HTMLParser):
    """What an HTML file says of itself: anchors, references with their lines, faults seen while reading."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__()
        self.path = path
        self.name = name
        self.ids: set[str] = set()
        self.anchors: set[str] = set()
        self.references: list[tuple[int, str]] = []
        self.faults: list[Fault] = []
        self.quoting: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def fault(self, what: str, lines_on: int = 0) -> None:
        """Note a fault where the reading is."""
        self.faults.append(Fault(self.name, self.getpos()[0] + lines_on, what))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for every opening tag."""
        attributes = {key: value or "" for key, value in attrs}
        if tag in QUOTING:
            self.quoting.append(tag)
        self.note_anchors(attributes)
        if tag == "img":
            self.check_image(attributes)
        self.check_output(attributes)
        self.note_references(tag, attributes)

    def handle_endtag(self, tag: str) -> None:
        """Called for every closing tag."""
        if self.quoting and self.quoting[-1] == tag:
            self.quoting.pop()

    def handle_data(self, data: str) -> None:
        """Called for the text between tags."""
        text = FORMULA.sub(lambda formula: "\n" * formula[0].count("\n"), data)
        for raw in () if self.quoting else RAW_MARKUP.finditer(text):
            self.fault(f"raw mark-up in the text: {raw[0].strip()}", text.count("\n", 0, raw.start()))

    def note_anchors(self, attributes: dict[str, str]) -> None:
        """Keep where links may lead; an id that was there before is a fault."""
        own = attributes.get("id", "")
        if own in self.ids:
            self.fault(f"an id for the second time: {own}")
        self.ids |= {own} - {""}
        self.anchors |= {own, attributes.get("name", "")} - {""}

    def check_image(self, attributes: dict[str, str]) -> None:
        """An image needs a description, unless it says that it is decoration."""
        decoration = attributes.get("role") in {"presentation", "none"} or "aria-hidden" in attributes
        if not decoration and not attributes.get("alt", "").strip():
            self.fault(f"image without alternative text: {attributes.get('src', '')[:60]}")

    def check_output(self, attributes: dict[str, str]) -> None:
        """A cell's output must be neither a traceback nor a message on stderr."""
        classes = set(attributes.get("class", "").split())
        for failure in FAILURES.keys() & classes if "output" in classes else ():
            self.fault(f"{FAILURES[failure]} on the page")

    def note_references(self, tag: str, attributes: dict[str, str]) -> None:
        """Keep what the page links to or loads; loading from another host is a fault at once."""
        loads = tag in LOADING or (tag == "link" and LOADING_LINKS & set(attributes.get("rel", "").split()))
        for reference in filter(None, (attributes.get("href"), attributes.get("src"))):
            if loads and urlsplit(reference).netloc:
                self.fault(f"loaded from another host: {reference}")
            self.references.append((self.getpos()[0], reference))


def check(book: Book) -> list[Fault]:
    """All faults of a built book, by page and line."""
    files = [file for file in book.html.rglob("*.html") if "_static" not in file.relative_to(book.html).parts]
    pages = {file.resolve(): Page(file, str(file.relative_to(book.root))) for file in files}
    faults = {fault for page in pages.values() for fault in page.faults}
    for page in pages.values():
        for line, reference in page.references:
            what = dead_reference(book, pages, page, reference)
            faults |= {Fault(page.name, line, what)} if what else set()
    return sorted(faults)


def dead_reference(book: Book, pages: dict[Path, Page], page: Page, reference: str) -> str | None:
    """What is wrong with a reference, or None."""
    url = urlsplit(reference)
    if url.scheme or url.netloc:
        return dead_launch_button(book, reference) or dead_source(book, reference)
    target = (page.path.parent / unquote(url.path)).resolve() if url.path else page.path.resolve()
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return f"dead link: {reference}"
    if url.fragment and target in pages and unquote(url.fragment) not in pages[target].anchors:
        return f"dead anchor: {reference}"
    return None


def dead_launch_button(book: Book, reference: str) -> str | None:
    """What is wrong with a link into Colab, or None: it must open a notebook of this tree."""
    colab = str(book.config.get("launch_buttons", {}).get("colab_url", "")).rstrip("/")
    if not colab or not reference.startswith(f"{colab}/"):
        return None
    owner, name = book.owner_and_name
    prefix = f"{colab}/github/{owner}/{name}/blob/{book.branch}/"
    notebook = unquote(reference.removeprefix(prefix))
    if reference.startswith(prefix) and notebook.endswith(".ipynb") and (book.root / notebook).is_file():
        return None
    return f"launch button leads to no notebook of this tree: {reference}"


def dead_source(book: Book, reference: str) -> str | None:
    """What is wrong with a link into the repository, or None: its file, or its form, must be in this tree."""
    if not reference.startswith(f"{book.repository}/"):
        return None
    url = urlsplit(reference.removeprefix(f"{book.repository}/"))
    kind, _, path = url.path.partition("/")
    if kind in {"blob", "tree", "edit", "raw"}:
        file = book.root / unquote(path).removeprefix(f"{book.branch}/")
        there = path.startswith(f"{book.branch}/") and file.exists()
    else:
        forms = parse_qs(url.query).get("template", [])
        there = all((book.root / ".github" / "ISSUE_TEMPLATE" / form).is_file() for form in forms)
    return None if there else f"link to nothing in this tree: {reference}"


def main() -> int:
    """Print all faults; 1 if there is one, or nothing to check."""
    book = Book()
    if not (book.html / "index.html").exists():
        print(f"Nothing to check: {book.html} holds no pages. Build them with `make book`.")
        return 1
    faults = check(book)
    for fault in faults:
        print(fault)
    print(f"Site check: {len(faults) or 'no'} fault{'s' if len(faults) > 1 else ''}.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
