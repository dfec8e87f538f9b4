"""What is added to the pages once they are built: the status table, the picture that links show, the zip."""

from __future__ import annotations

import hashlib
import html
import re
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

from tools.book import Book, read_json
from tools.execute import file_digest

STATUS = "book/appendix/status"
STATUS_TABLE = re.compile(r'(<div id="execution-status"[^>]*>).*?(</div>)', re.DOTALL)
SCOREBOARD = "book/12-scoreboard"
CARD = Path("_static") / "social-card.png"
CARD_INCHES, CARD_DPI = (6.0, 3.15), 200  # 1,200 by 630 dots, as social networks want it
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same files then make the same zip


def publish(book: Book) -> None:
    """Add all of it to a finished build, unless that is done and nothing has changed since.

    What does not belong to this book is left out.
    """
    stamp = book.build / ".published-with"
    if stamp.exists() and stamp.read_text() == state_of(book):
        return
    if SCOREBOARD in book.pages:
        publish_claims(book)
    if STATUS in book.pages:
        publish_status(book)
        publish_card(book)
    publish_zip(book)
    stamp.write_text(state_of(book))


def state_of(book: Book) -> str:
    """sha256 of the built files, contents and not times, and of what they were computed with."""
    files = sorted(file for file in book.html.rglob("*") if file.is_file())
    lines = [f"{file} {file_digest(file)}" for file in files]
    lines.append(status_table(book, read_json(book.provenance)))
    lines += [book.executed_with.read_text()] if book.executed_with.exists() else []
    lines += [file_digest(Path(__file__).with_name(name)) for name in ("picture.py", "publish.py")]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def publish_claims(book: Book) -> None:
    """Write the scoreboard's files and the evidence it links to beside its page."""
    from cleanprio_lib import scoreboard

    scoreboard.publish((book.html / SCOREBOARD).parent, recorded=book.root / "book" / "recorded")


def publish_status(book: Book) -> None:
    """Fill the status page: when each page ran, how long, on what."""
    page = book.html / f"{STATUS}.html"
    table = status_table(book, read_json(book.provenance))
    before = page.read_text(encoding="utf-8")
    after, filled = STATUS_TABLE.subn(lambda match: match[1] + table + match[2], before)
    if filled != 1:
        raise ValueError(f"{page} must have one element with the id execution-status, got {filled}")
    if after != before:
        page.write_text(after, encoding="utf-8")


def status_table(book: Book, provenance: dict[str, Any]) -> str:
    """HTML: a sentence on the data, one on the versions, and a row for each page that has code."""
    rows = "".join(
        f"<tr><th scope='row'><a href='{relative(page)}'>{html.escape(book.title(page))}</a></th>"
        f"<td>{day(facts['finished'])}</td><td>{facts['seconds']:.0f}</td></tr>"
        for page in book.pages
        if (facts := provenance.get("pages", {}).get(page))
    )
    data = " ".join(facts["sentence"] for facts in provenance.get("data", {}).values())
    versions = ", ".join(f"{name} {version}" for name, version in provenance.get("versions", {}).items())
    return (
        f"<p>{html.escape(data)} Run on a {html.escape(provenance.get('machine', 'machine not noted'))} with "
        f"{html.escape(versions)}.</p>"
        "<table><thead><tr><th scope='col'>page</th><th scope='col'>ran (UTC)</th>"
        f"<th scope='col'>seconds</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def relative(page: str) -> str:
    """Address of a page, seen from the status page."""
    return f"../../{page}.html"


def day(moment: str) -> str:
    """A time stamp as date and minute."""
    return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M")


def publish_card(book: Book) -> None:
    """Draw the picture that a link to the book is shown with."""
    from tools.picture import figure

    drawn = figure()
    drawn.set_size_inches(*CARD_INCHES)
    drawn.savefig(book.html / CARD, dpi=CARD_DPI, facecolor="white")


def publish_zip(book: Book) -> None:
    """Offer the built folder as one file, to be read where there is no network."""
    path = book.html / book.zip_name
    files = sorted(file for file in book.html.rglob("*") if file.is_file() and file != path)
    part = path.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            if not wanted(file.relative_to(book.html)):
                continue
            name = str(Path(path.stem) / file.relative_to(book.html))
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    part.replace(path)


def wanted(file: Path) -> bool:
    """Not what only Sphinx reads."""
    return file.name not in {".buildinfo", "objects.inv"} and ".part" not in file.suffixes
