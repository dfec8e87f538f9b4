"""Explorers on a built page: moved by the keyboard, with no network, on phone and screen, light and dark."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import yaml
from browsing import Seen, violations, windows
from small_book import code_cell, copy_looks, notebook_page

from cleanprio_lib import explorers, theory
from cleanprio_lib.explorers import showing
from tools import build, check_site, execute
from tools.book import Book

pytestmark = [pytest.mark.browser, pytest.mark.slow]

THETAS, DEPTHS, SHIFTS = list(range(0, 181, 20)), [2, 3, 10], [-1.0, 0.0, 2.0]
# How Colab, classic Jupyter and JupyterLab bring an output's HTML into the page and run its scripts.
INSERTIONS = {
    "frame of its own": """html => {
        const frame = document.createElement("iframe");
        frame.srcdoc = html;
        document.body.append(frame);
    }""",
    "fragment with scripts": """html => {
        document.body.append(document.createRange().createContextualFragment(html));
    }""",
    "scripts made anew": """html => {
        const output = document.createElement("div");
        output.innerHTML = html;
        document.body.append(output);
        for (const old of output.querySelectorAll("script")) {
            const script = document.createElement("script");
            [...old.attributes].forEach(({ name, value }) => script.setAttribute(name, value));
            script.textContent = old.textContent;
            old.replaceWith(script);
        }
    }""",
}
FIRST, SECOND = "#explore-depth", "#explore-shift"


def degrees(theta: Any, depth: int) -> Any:
    """The derivative angle in degrees."""
    return np.degrees(theory.derivative_angle(np.radians(theta), depth=depth))


def depth_picture(theta: int, depth: int) -> explorers.Picture:
    """A point on a curve, and the two directions."""
    grid, here, turned = np.linspace(0, 180, 61), float(degrees(theta, depth)), np.radians(theta)
    return explorers.Picture(
        [
            explorers.Line(grid, degrees(grid, depth), role="clean"),
            explorers.Points(theta, here, role="clean"),
            explorers.Label(theta, here, f"θ_h = {here:.1f}°", role="clean", dx=8, dy=14),
            explorers.Arrow(0, 0, np.cos(turned), np.sin(turned), role="other", panel=1),
        ],
        words=f"At θ_d = {theta}° and depth {depth} the derivatives are {here:.1f}° apart.",
    )


def shift_picture(shift: float) -> explorers.Picture:
    """A moved parabola and bars."""
    x = np.linspace(-2, 2, 41)
    return explorers.Picture(
        [
            explorers.Bars([-2, 0, 2], [1, 2 + shift], role="noisy"),
            explorers.Line(x, x**2 + shift, role="noisy"),
            explorers.Points(0, shift, role="noisy"),
        ],
        words=f"Moved by {shift:g}.",
    )


def show_both() -> None:
    """Two explorers on one page."""
    explorers.show(
        depth_picture,
        sliders=[
            explorers.Slider("theta", "input angle θ_d", THETAS, start=60, unit="°"),
            explorers.Slider("depth", "depth L", DEPTHS, kind="choice", start=3),
        ],
        panels=[
            explorers.Axes(
                x_label="θ_d (degrees)", y_label="θ_h (degrees)", x_limits=(0, 180), y_limits=(0, 120)
            ),
            explorers.Axes(x_limits=(-1.1, 1.1), y_limits=(-0.1, 1.1), x_ticks=(), y_ticks=(), equal=True),
        ],
        name="explore-depth",
        caption="The derivative angle against the input angle.",
        alt="A curve rises and bends, with a dot on it; beside it an arrow.",
    )
    explorers.show(
        shift_picture,
        sliders=[explorers.Slider("shift", "shift s", SHIFTS, start=0.0)],
        panels=[explorers.Axes(x_label="x", y_label="y", x_limits=(-2, 2), y_limits=(-1, 6))],
        name="explore-shift",
        caption="A parabola.",
        alt="A parabola over two bars.",
    )


def page_code() -> str:
    """The code of this module that draws, as a cell."""
    imports = "from typing import Any\nimport numpy as np\nfrom cleanprio_lib import explorers, theory\n"
    values = f"THETAS, DEPTHS, SHIFTS = {THETAS}, {DEPTHS}, {SHIFTS}\n"
    functions = (degrees, depth_picture, shift_picture, show_both)
    return "\n".join([imports + values, *map(inspect.getsource, functions), "show_both()"])


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """A book of one page with the two explorers, executed and built as the real one is."""
    root = tmp_path_factory.mktemp("explorers")
    copy_looks(root)
    (root / "_toc.yml").write_text(yaml.safe_dump({"format": "jb-book", "root": "book/index"}))
    cell = code_cell(page_code(), ":tags: [hide-input]\n\n")
    page = notebook_page(f"# Explorers\n\nTwo of them.\n\n{cell}")
    (root / "book" / "index.md").write_text(page)
    made = Book(root)
    assert execute.execute(made) == 0
    assert build.build(made) == 0
    return made


class Explorers(Seen):
    """The page, open in the browser, and its explorers."""

    def path(self, explorer: str, mark: int) -> str:
        """The path of a moving mark."""
        return str(self.page.locator(f"{explorer} [data-mark='{mark}']").get_attribute("d"))

    def words(self, explorer: str) -> str:
        """What the explorer says."""
        return str(self.page.locator(f"{explorer} .explorer-words").inner_text())

    def everything(self, explorer: str) -> str:
        """All of an explorer's picture and its words."""
        return str(
            self.page.locator(explorer).evaluate(
                "box => box.querySelector('.explorer-panels').innerHTML"
                "  + box.querySelector('.explorer-words').innerHTML"
            )
        )

    def point(self, explorer: str, mark: int) -> np.ndarray[Any, Any]:
        """Where a single disc lies, in numbers of the axes, read from the ticks' labels around it."""
        x, y, ticks = self.page.locator(explorer).evaluate(
            """(box, mark) => {
                const middle = (part) => {
                    const place = part.getBoundingClientRect();
                    return [place.x + place.width / 2, place.y + place.height / 2];
                };
                const disc = box.querySelector(`[data-mark="${mark}"]`);
                const at = disc.getPointAtLength(0).matrixTransform(disc.getScreenCTM());
                const texts = [...disc.ownerSVGElement.querySelectorAll("text[font-size='12']")];
                return [at.x, at.y, texts.map((text) =>
                    [text.textContent.replace("−", "-"), ...middle(text), text.getAttribute("text-anchor")])];
            }""",
            mark,
        )
        return np.array([_along(ticks, "middle", 1, x), _along(ticks, "end", 2, y)])


def _along(ticks: list[Any], anchor: str, place: int, at: float) -> float:
    """A number on an axis by two of its labels."""
    labels = [(float(tick[0]), tick[place]) for tick in ticks if tick[3] == anchor]
    (low, start), (high, end) = labels[0], labels[-1]
    return low + (high - low) * (at - start) / (end - start)


OpenPage = Callable[..., Explorers]


@pytest.fixture
def open_page(browser: Any, book: Book) -> Iterator[OpenPage]:
    """Open the page at a width, in a colour scheme, with or without scripts."""
    with windows(browser) as window:

        @cache
        def opened(width: int = 1440, scheme: str = "light", scripts: bool = True) -> Explorers:
            size = {"width": width, "height": 900}
            seen = Explorers(window(viewport=size, color_scheme=scheme, java_script_enabled=scripts))
            seen.page.goto((book.html / "book" / "index.html").as_uri())
            return seen

        yield opened


def test_the_page_is_without_fault_and_says_nothing_to_the_console(book: Book, open_page: OpenPage) -> None:
    assert check_site.check(book) == []
    assert open_page().complaints == []


def test_the_keyboard_reaches_every_state_and_each_is_the_right_one(open_page: OpenPage) -> None:
    seen = open_page()
    slider, other = seen.page.locator("#explore-depth-theta"), seen.everything(SECOND)
    curves = set()
    for column, depth in enumerate(DEPTHS):
        chosen = seen.page.locator(f"{FIRST} input:checked")
        chosen.focus()
        for _ in range(column - int(chosen.get_attribute("value"))):
            seen.page.keyboard.press("ArrowRight")
        if column == 0:
            seen.page.keyboard.press("ArrowLeft")
        slider.focus()
        seen.page.keyboard.press("Home")
        for theta in THETAS:
            here = float(degrees(theta, depth))
            assert slider.get_attribute("aria-valuetext") == f"{theta}°"
            assert seen.page.locator(f"{FIRST} output").inner_text() == f"{theta}°"
            said = f"At θd = {theta}° and depth {depth} the derivatives are {here:.1f}° apart."
            assert seen.words(FIRST).replace("\n", "") == said
            # Labels are centred on their ticks to about a pixel; a degree is two pixels.
            assert np.allclose(seen.point(FIRST, 1), [theta, here], atol=1)
            assert seen.page.locator(f"{FIRST} .explorer-label").text_content() == f"θh = {here:.1f}°"
            seen.page.keyboard.press("ArrowRight")
        curves.add(seen.path(FIRST, 0))
    assert len(curves) == len(DEPTHS)
    assert seen.everything(SECOND) == other, "one explorer moved the other"
    assert seen.complaints == []


def test_the_second_explorer_moves_by_itself(open_page: OpenPage) -> None:
    seen = open_page()
    slider, other = seen.page.locator("#explore-shift-shift"), seen.everything(FIRST)
    before = seen.everything(SECOND)
    slider.focus()
    seen.page.keyboard.press("Home")
    for shift, text in zip(SHIFTS, ("−1", "0", "2"), strict=True):
        assert slider.get_attribute("aria-valuetext") == text
        assert seen.words(SECOND) == f"Moved by {shift:g}."
        assert np.allclose(seen.point(SECOND, 2), [0, shift], atol=0.05)
        seen.page.keyboard.press("ArrowRight")
    seen.page.keyboard.press("ArrowLeft")
    assert seen.everything(SECOND) == before, "back at the start it must look as it did"
    assert seen.everything(FIRST) == other


def test_tab_goes_through_the_controls_and_shows_where_it_is(open_page: OpenPage) -> None:
    page = open_page().page
    page.locator("#explore-depth-theta").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "explore-depth-depth"
    outline = "getComputedStyle(document.activeElement.nextElementSibling).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "explore-shift-shift"


def test_a_finger_moves_it_too(open_page: OpenPage) -> None:
    seen = open_page(390)
    box = seen.page.locator("#explore-depth-theta").bounding_box()
    assert box["height"] >= 24
    seen.page.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    assert "θd = 180°" in seen.words(FIRST).replace("\n", "")
    button = seen.page.locator(f"{FIRST} fieldset label").last
    assert button.bounding_box()["height"] >= 24
    button.click()
    assert "depth 10" in seen.words(FIRST)


@pytest.mark.parametrize("how", INSERTIONS)
def test_it_moves_in_the_outputs_of_notebooks(
    browser: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    outputs: list[Any] = []
    monkeypatch.setattr(showing, "display", outputs.append)
    show_both()
    with windows(browser) as window:
        seen = Seen(window())
        page = seen.page
        for output in (outputs[0].data, outputs[1].data, outputs[1].data):
            page.evaluate(INSERTIONS[how], output)
        place = page.frame_locator("iframe").nth(2) if how == "frame of its own" else page
        # The same cell run twice: the later output moves as well, its twin stays.
        figure = place.locator(SECOND).last
        slider = figure.locator("input")
        slider.wait_for()
        page.evaluate("addEventListener('keydown', (event) => { window.leaked = event.key; })")
        slider.focus()
        page.keyboard.press("End")
        assert page.evaluate("window.leaked") is None, "the notebook would act on the key"
        assert figure.locator(".explorer-words").inner_text() == "Moved by 2."
        assert slider.get_attribute("aria-valuetext") == "2"
    assert seen.complaints == seen.remote == []


def test_without_scripts_the_start_state_is_there_and_the_page_says_so(open_page: OpenPage) -> None:
    still, moving = open_page(scripts=False), open_page()
    for explorer in (FIRST, SECOND):
        assert still.everything(explorer) == moving.everything(explorer)
        assert not still.page.locator(f"{explorer} .explorer-controls").is_visible()
        assert still.page.locator(f"{explorer} .explorer-still").is_visible()
        assert moving.page.locator(f"{explorer} .explorer-controls").is_visible()
        assert not moving.page.locator(f"{explorer} .explorer-still").is_visible()
    assert np.allclose(still.point(FIRST, 1), [60, degrees(60, 3)], atol=1)


@pytest.mark.parametrize(("width", "scheme"), list(product((390, 768, 1440), ("light", "dark"))))
def test_it_fits_and_can_be_read(open_page: OpenPage, width: int, scheme: str) -> None:
    page = open_page(width, scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    scrolling = "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth + 1).length"
    assert page.locator("div.cell_output, .explorer, .explorer-card").evaluate_all(scrolling) == 0
    sizes = page.locator(".explorer svg :is(text, tspan)").evaluate_all(
        "texts => texts.map((text) =>"
        "  parseFloat(getComputedStyle(text).fontSize) * text.ownerSVGElement.getScreenCTM().a)"
    )
    assert min(sizes) >= 11
    assert len(sizes) > 30
    wide = page.locator(".explorer svg :is(text, path)").evaluate_all(
        "(parts, width) => parts.filter(part => part.getBoundingClientRect().right > width + 1).length", width
    )
    assert wide == 0
    card = page.locator(".explorer-card").first
    colors = "card => [getComputedStyle(card).backgroundColor, getComputedStyle(card).color]"
    assert card.evaluate(colors) == ["rgb(255, 255, 255)", "rgb(26, 26, 26)"], "white, in the dark too"


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_it_is_accessible(open_page: OpenPage, width: int, scheme: str) -> None:
    page = open_page(width, scheme).page
    assert violations(page) == []
    assert page.get_by_role("slider", name="input angle").count() == 1
    assert page.get_by_role("group", name="depth L").get_by_role("radio").count() == len(DEPTHS)
    assert page.get_by_role("img", name="A parabola over two bars.").count() == 1
