"""The built pages in a real browser: from disk, with no network, on phone and screen, light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import nbformat
import pytest
from browsing import Seen, violations, windows

import cleanprio_lib
from tools.book import Book

pytestmark = pytest.mark.browser

BOOK = Book()
PAGE_BYTES = 1_500_000  # beyond what all pages share
# Red, green and blue, from 0 to 255, as the browser computed them.
BACKGROUND = "element => getComputedStyle(element).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
# The theme hides what overflows: the article's own parts are measured.
FIND_WIDE = """
width => [...document.querySelectorAll('.bd-article > section *')]
  .filter(part => part.getBoundingClientRect().right > width + 1)
  .filter(part => !part.closest('pre, mjx-container, div.cell_output, .headerlink'))
  .map(part => part.outerHTML.slice(0, 100))
"""

PROSE = """
() => {
  const article = document.querySelector('article').cloneNode(true);
  article.querySelectorAll('pre, code, script, style, .math, mjx-container').forEach(part => part.remove());
  return article.textContent;
}
"""
FADED = """
part => new Promise(requestAnimationFrame).then(() => getComputedStyle(part).getPropertyValue('--faded'))
"""
FOLLOWED = "scheme => document.documentElement.dataset.theme === scheme"

OpenPage = Callable[..., Seen]


@pytest.fixture(scope="module", params=BOOK.pages)
def name(request: pytest.FixtureRequest) -> str:
    """Each page in turn; all tests of one page run before those of the next."""
    return str(request.param)


@pytest.fixture(scope="module")
def open_page(browser: Any, name: str) -> Iterator[OpenPage]:
    """Open the page, once, and give it a width, a colour scheme, which it follows, and a medium."""
    with windows(browser) as window:
        seen = Seen(window(has_touch=True))
        seen.page.goto((BOOK.html / f"{name}.html").as_uri())
        seen.page.evaluate("window.MathJax?.startup?.promise")  # formulas are drawn

        def shown(width: int = 1440, scheme: str = "light", media: str = "screen") -> Seen:
            seen.page.set_viewport_size({"width": width, "height": 900})
            seen.page.emulate_media(media=media, color_scheme=scheme)
            seen.page.wait_for_function(FOLLOWED, arg=scheme)
            return seen

        yield shown
        assert seen.complaints == seen.remote == [], "in some width, scheme or medium, or while it was used"


def test_it_opens_from_disk_without_complaint_and_without_a_network(open_page: OpenPage) -> None:
    seen = open_page()
    assert seen.page.locator("article h1").count() == 1
    assert seen.complaints == seen.remote == []


def test_formulas_are_drawn(open_page: OpenPage) -> None:
    page = open_page().page
    assert page.locator("mjx-container").count() >= page.locator(".math.notranslate").count()
    assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
    assert not re.search(r"\\\(|\\\[|\\tag|\$\$", page.locator("article").inner_text())


def test_no_value_was_left_out_of_its_sentence(open_page: OpenPage) -> None:
    assert "{" not in open_page().page.evaluate(PROSE), "the f of an f-string is missing, perhaps"


def test_figures_are_there_and_described(open_page: OpenPage) -> None:
    for image in open_page().page.locator("article img").all():
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        assert len(image.get_attribute("alt") or "") > 10, "say what is to be seen"


def test_it_offers_colab_if_and_only_if_there_is_a_pair(open_page: OpenPage, name: str) -> None:
    links = open_page().page.locator(".dropdown-launch-buttons a[href*='colab.research.google.com']").all()
    found = {str(link.get_attribute("href")).rpartition(f"/blob/{BOOK.branch}/")[2] for link in links}
    assert found == ({f"{name}.ipynb"} if name in BOOK.chapters else set())
    assert all((BOOK.root / path).is_file() for path in found)


def test_what_it_hands_out_is_its_pair_and_its_source(open_page: OpenPage, name: str) -> None:
    page = open_page().page
    buttons = {
        kind: [str(link.get_attribute("href")) for link in page.locator(f"a.btn-{kind}-button").all()]
        for kind in ("download-notebook", "source-file", "source-issues")
    }
    if name in BOOK.chapters:
        (download,) = buttons["download-notebook"]
        file = (BOOK.html / name).parent / download
        assert file.resolve().read_bytes() == BOOK.pair(name).read_bytes()
    else:
        assert buttons["download-notebook"] == []
    assert buttons["source-file"] == [f"{BOOK.repository}/blob/{BOOK.branch}/{name}.md?plain=1"]
    (report,) = buttons["source-issues"]
    assert report.startswith(f"{BOOK.repository}/issues/new?template=number.yml")


def test_it_says_which_edition_it_belongs_to(open_page: OpenPage) -> None:
    footer = open_page().page.locator("footer.bd-footer-content").inner_text()
    assert f"Version {cleanprio_lib.__version__}" in footer


def test_its_pair_shows_the_same_numbers(open_page: OpenPage, name: str) -> None:
    if name not in BOOK.chapters:
        return
    page = open_page().page
    pair = nbformat.reads(BOOK.pair(name).read_text(encoding="utf-8"), as_version=4)
    text = "\n".join(cell.source for cell in pair.cells if cell.cell_type == "markdown")
    shown = {
        r"\\tag\{([\d, ]+)\}": page.locator("article .equation-number, .eqno").all_inner_texts(),
        r"\*\*Fig\. (\d+)\*\*": page.locator("figcaption .caption-number").all_inner_texts(),
        r"\*\*Exercise (\d+)": page.locator(
            "div.exercise > .admonition-title .caption-number"
        ).all_inner_texts(),
    }
    for pattern, numbers in shown.items():
        wanted = re.findall(r"\d+", " ".join(re.findall(pattern, text)))
        assert wanted == re.findall(r"\d+", " ".join(numbers))


def test_it_is_light(name: str) -> None:
    assert (BOOK.html / f"{name}.html").stat().st_size < PAGE_BYTES


# The views follow each other in this order, and what needs no view of its own comes before or after them: to
# give a page another width takes as long as to test it.
@pytest.mark.parametrize(
    ("width", "scheme", "contrast"), [(1440, "light", True), (768, "light", False), (390, "dark", True)]
)
def test_it_fits_the_screen_and_is_accessible(
    open_page: OpenPage, width: int, scheme: str, contrast: bool
) -> None:
    """Every rule at every width, and contrast in both schemes."""
    page = open_page(width, scheme).page
    assert (max(page.locator("body").evaluate(BACKGROUND)) < 60) == (scheme == "dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(FIND_WIDE, width) == []
    assert violations(page, contrast=contrast) == []


def test_each_of_its_explorers_moves_by_keyboard_and_by_touch(open_page: OpenPage) -> None:
    page = open_page(390, "dark").page
    for explorer in page.locator("article .explorer").all():
        picture = explorer.locator(".explorer-panels")
        for slider in explorer.locator("input[type=range]").all():
            slider.focus()
            page.keyboard.press("Home")
            first = picture.inner_html()
            page.keyboard.press("End")
            last = picture.inner_html()
            assert first != last, "the keyboard changes nothing"
            slider.tap(position={"x": 2, "y": slider.bounding_box()["height"] / 2})
            assert picture.inner_html() == first, "a finger at its left end must do what Home does"
        # At one end of the sliders a choice may make no difference.
        for choice in explorer.locator("fieldset").all():
            labels, seen = choice.locator("label"), set()
            card = explorer.locator(".explorer-card")  # on some data a choice changes no picture, but words
            for key in ("Home", "End"):
                for slider in explorer.locator("input[type=range]").all():
                    slider.press(key)
                labels.first.tap()
                first, told = picture.inner_html(), card.inner_text()
                for _ in range(labels.count() - 1):
                    page.keyboard.press("ArrowRight")
                    seen.add((key, picture.inner_html(), card.inner_text()))
                seen.discard((key, first, told))
                labels.first.tap()
                assert picture.inner_html() == first, "a finger chooses nothing"
            assert seen, "the keyboard chooses nothing"


def test_on_paper_there_is_the_text_and_nothing_folded(open_page: OpenPage) -> None:
    page = open_page(media="print").page
    folded = page.locator("article details:not([open])").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    # The code that only draws stays away; all else is open.
    drawing = page.locator("article details:not([open])")
    assert drawing.count() == page.locator("article details.above-input").count()
    assert not any(part.is_visible() for part in drawing.all())
    for part in (".bd-header", ".bd-sidebar-primary", ".bd-sidebar-secondary", ".prev-next-footer"):
        assert not any(found.is_visible() for found in page.locator(part).all()), part
    # The theme prints the title, and the contents, above the article.
    assert [heading.is_visible() for heading in page.locator("h1").all()].count(True) == 1
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("article details:not([open])").count() == folded


def test_what_is_wider_than_the_screen_fades_out_until_its_end_is_reached(browser: Any) -> None:
    with windows(browser) as window:
        page = window(viewport={"width": 390, "height": 900})
        page.goto((BOOK.html / "book" / "08-cifar10.html").as_uri())
        tables = page.locator("div.cell_output .text_html:has(table)").all()
        wide = [table.evaluate("part => part.scrollWidth > part.clientWidth") for table in tables]
        assert {True, False} <= set(wide)
        for table, is_wide in zip(tables, wide, strict=True):
            assert table.evaluate(FADED) == ("32px" if is_wide else "0px")
            table.evaluate("part => part.scrollTo(part.scrollWidth, 0)")
            assert table.evaluate(FADED) == "0px"


def test_a_page_opened_in_the_dark_is_dark_at_once(browser: Any) -> None:
    with windows(browser) as window:
        seen = Seen(window(color_scheme="dark"))
        seen.page.goto((BOOK.html / "book" / "index.html").as_uri())
        assert max(seen.page.locator("body").evaluate(BACKGROUND)) < 60
    assert seen.complaints == []
