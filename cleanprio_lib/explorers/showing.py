"""Evaluate an explorer's pictures, and show them as HTML that moves by itself."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import product
from typing import Any

from IPython.display import HTML, display

from cleanprio_lib.explorers import drawing, marks, tables
from cleanprio_lib.explorers.axes import WIDTH, Axes, Frame, frame, spines
from cleanprio_lib.explorers.marks import Label, Picture
from cleanprio_lib.explorers.sliders import Slider, control, start_of, texts
from cleanprio_lib.lettering import in_html, plain, unbroken

MOST_STATES = 3000
MOST_BYTES = 150_000
NAME = re.compile(r"[a-z][a-z0-9-]*")
FILES = resources.files("cleanprio_lib.explorers")


@dataclass(frozen=True)
class _Explorer:
    """What is shown: every state's picture, and around it what never changes."""

    sliders: Sequence[Slider]
    frames: Sequence[Frame]
    pictures: Sequence[Picture]
    name: str
    caption: str
    alt: str

    @property
    def sizes(self) -> list[int]:
        return [len(slider.values) for slider in self.sliders]

    @property
    def start(self) -> list[int]:
        return [start_of(slider) for slider in self.sliders]


def show(
    draw: Callable[..., Picture],
    *,
    sliders: Sequence[Slider],
    panels: Sequence[Axes],
    name: str,
    caption: str,
    alt: str,
) -> None:
    """Show a figure that the reader moves, without a kernel and without a network.

    `draw` is called once for every combination of the sliders' values, when the page is built; data that are
    equal in two states are stored once. Where no script runs, the figure stands still in its start state::

        def draw(theta, depth):
            grid = np.linspace(0, 180, 91)
            curve = np.degrees(theory.derivative_angle(np.radians(grid), depth=depth))
            here = np.degrees(theory.derivative_angle(np.radians(theta), depth=depth))
            return explorers.Picture(
                [explorers.Line(grid, curve, role="clean"), explorers.Points(theta, here, role="clean")],
                words=f"At θ_d = {theta}° and L = {depth}, θ_h = {here:.1f}°.",
            )

        explorers.show(
            draw,
            sliders=[
                explorers.Slider("theta", "input angle θ_d", range(0, 181, 5), start=60, unit="°"),
                explorers.Slider("depth", "depth L", [2, 3, 5], kind="choice"),
            ],
            panels=[explorers.Axes(x_label="θ_d", y_label="θ_h", x_limits=(0, 180), y_limits=(0, 120))],
            name="explore-depth",
            caption="The angle between derivatives against the angle between inputs, in degrees.",
            alt="A curve rises from 0, and a dot on it moves with the slider.",
        )

    Args:
        draw: from the sliders' values, by their names, to the picture; its marks are matched by position in
            the list, so each state has the same kinds in the same order. An empty mark is not seen.
        sliders: what the reader moves.
        panels: the axes, side by side where there is room.
        name: its anchor on the page, and the beginning of all its ids.
        caption: what it is and what to see, able to stand alone; HTML.
        alt: what is to be seen in the start state, for those who cannot see it.

    Raises:
        ValueError: if anything given or drawn is not as described, there are more than 3000 states, or the
            whole is larger than 150 kB.
    """
    _check(sliders, panels, name=name, caption=caption, alt=alt)
    frames = [frame(axes) for axes in panels]
    display(
        HTML(_page(_Explorer(sliders, frames, _evaluate(draw, sliders, len(panels)), name, caption, alt)))
    )


def _check(sliders: Sequence[Slider], panels: Sequence[Axes], *, name: str, caption: str, alt: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"name must be lower-case letters, digits and hyphens, a letter first, got {name!r}")
    if not (caption.strip() and alt.strip()):
        raise ValueError(f"caption and alt must not be empty, got {caption!r} and {alt!r}")
    if not sliders or not panels:
        raise ValueError(f"there must be a slider and a panel, got {len(sliders)} and {len(panels)}")
    names = [slider.name for slider in sliders]
    if len(set(names)) < len(names):
        raise ValueError(f"sliders must have different names, got {', '.join(names)}")
    states = math.prod(len(slider.values) for slider in sliders)
    if states > MOST_STATES:
        sizes = " × ".join(str(len(slider.values)) for slider in sliders)
        raise ValueError(f"sliders must have at most {MOST_STATES} states together, got {sizes} = {states}")


def _evaluate(draw: Callable[..., Picture], sliders: Sequence[Slider], panels: int) -> list[Picture]:
    """All states' pictures, the last slider changing fastest; each checked, and against the first."""
    pictures: list[Picture] = []
    for values in product(*(slider.values for slider in sliders)):
        state = {slider.name: value for slider, value in zip(sliders, values, strict=True)}
        picture = draw(**state)
        where = "draw(" + ", ".join(f"{name}={value!r}" for name, value in state.items()) + ")"
        _check_picture(picture, where=where, panels=panels)
        _check_alike(picture, pictures[0] if pictures else picture, where=where)
        pictures.append(picture)
    return pictures


def _check_picture(picture: Picture, *, where: str, panels: int) -> None:
    if not isinstance(picture, Picture):
        raise ValueError(f"{where} must return a Picture, got {type(picture).__name__}")
    if not (isinstance(picture.words, str) and picture.words.strip()):
        raise ValueError(f"{where}: words must be a sentence, got {picture.words!r}")
    for i, mark in enumerate(picture.marks):
        try:
            marks.check(mark, panels=panels)
        except ValueError as error:
            raise ValueError(f"{where}: mark {i} ({type(mark).__name__}): {error}") from None


def _check_alike(picture: Picture, first: Picture, *, where: str) -> None:
    if len(picture.marks) != len(first.marks):
        raise ValueError(
            f"{where} must draw as many marks as the first state, {len(first.marks)}, got "
            f"{len(picture.marks)}: draw an empty one where there is nothing to see"
        )
    for i, (mark, model) in enumerate(zip(picture.marks, first.marks, strict=True)):
        needed, got = marks.style(model), marks.style(mark)
        for what in needed:
            if got.get(what) != needed[what]:
                told = f"{what} {needed[what]!r}, got {got.get(what)!r}"
                raise ValueError(f"{where}: mark {i} must keep the first state's {told}")


def _page(explorer: _Explorer) -> str:
    columns = _columns(explorer)
    words = tables.sentence([picture.words for picture in explorer.pictures], explorer.sizes)
    moving = {str(i): column for i, column in enumerate(columns) if len(column["data"]) > 1}
    table = {"marks": moving, "words": words, "texts": [texts(slider) for slider in explorer.sliders]}
    name = explorer.name
    many = " explorer-many" if len(explorer.frames) > 1 else ""
    page = (
        f'<figure class="book-figure explorer" style="margin: 1em 0" id="{name}">'
        f'<style>{_file("explorer.css")}</style><div class="explorer-card{many}">'
        f'<div class="explorer-panels">{_panels(explorer, columns)}</div><div class="explorer-side">'
        f'<div class="explorer-controls" hidden>'
        f"{''.join(control(slider, prefix=name) for slider in explorer.sliders)}</div>"
        f'<p class="explorer-still">{_still(explorer.sliders)}</p>'
        f'<p class="explorer-words" aria-live="polite">{_said(words, explorer.start)}</p></div></div>'
        f'<script type="application/json">{_json(table)}</script>'
        f"<script>{_file('explorer.js').replace('@name@', name)}</script>"
        f"<figcaption>{unbroken(explorer.caption)}</figcaption></figure>"
    )
    _check_size(page, columns, words, explorer)
    return page


def _columns(explorer: _Explorer) -> list[dict[str, Any]]:
    """Each mark's data in all states."""
    by_mark = zip(*(picture.marks for picture in explorer.pictures), strict=True)
    return [
        tables.column([drawing.data_of(mark, explorer.frames[mark.panel]) for mark in states], explorer.sizes)
        for states in by_mark
    ]


def _panels(explorer: _Explorer, columns: Sequence[dict[str, Any]]) -> str:
    """The start state of every panel, as SVG."""
    count = len(explorer.frames)
    pictures = ""
    for panel, place in enumerate(explorer.frames):
        part = f" (panel {panel + 1} of {count}: {plain(_about(place.axes))})" if count > 1 else ""
        pictures += (
            f'<svg viewBox="0 0 {WIDTH} {place.total:g}" role="img" '
            f'aria-label="{html.escape(explorer.alt)}{part}">{_panel(explorer, columns, panel)}</svg>'
        )
    return pictures


def _panel(explorer: _Explorer, columns: Sequence[dict[str, Any]], panel: int) -> str:
    place, clip = explorer.frames[panel], f"{explorer.name}-clip-{panel}"
    defined = (
        f'<clipPath id="{clip}"><rect x="{place.left - 1:g}" y="{place.top - 1:g}" '
        f'width="{place.width + 2:g}" height="{place.height + 2:g}"/></clipPath>'
    )
    drawn, lettered = "", ""
    for i, (mark, column) in enumerate(zip(explorer.pictures[0].marks, columns, strict=True)):
        if mark.panel != panel:
            continue
        name = f"{explorer.name}-mark-{i}"
        moving = f' data-mark="{i}"' if len(column["data"]) > 1 else ""
        shape = drawing.element(mark, tables.at(column, explorer.start), place, name=name, moving=moving)
        if isinstance(mark, Label):
            lettered += shape
        else:
            drawn += f'<g clip-path="url(#{clip})">{shape}</g>' if drawing.is_clipped(mark) else shape
        defined += drawing.definitions(mark, name=name)
    return f"<defs>{defined}</defs>{drawn}{spines(place)}{lettered}"


def _about(axes: Axes) -> str:
    return axes.title or " against ".join(filter(None, (axes.y_label, axes.x_label))) or "a picture"


def _still(sliders: Sequence[Slider]) -> str:
    state = ", ".join(
        f"{in_html(slider.label)}: {html.escape(texts(slider)[start_of(slider)])}" for slider in sliders
    )
    return f"The figure stands still where scripts are not run. It shows {state}."


def _said(words: Sequence[Any], positions: Sequence[int]) -> str:
    return " ".join(part if isinstance(part, str) else tables.at(part, positions) for part in words)


def _json(table: Mapping[str, Any]) -> str:
    """JSON that cannot end its script element."""
    return json.dumps(table, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _file(name: str) -> str:
    return re.sub(r"\s*\n\s*", "\n", (FILES / name).read_text(encoding="utf-8")).strip()


def _check_size(
    page: str, columns: Sequence[dict[str, Any]], words: Sequence[Any], explorer: _Explorer
) -> None:
    size = len(page.encode())
    if size <= MOST_BYTES:
        return
    parts = {
        f"mark {i} ({type(mark).__name__})": column
        for i, (mark, column) in enumerate(zip(explorer.pictures[0].marks, columns, strict=True))
    }
    sizes = {part: len(_json({"": column}).encode()) for part, column in {**parts, "words": words}.items()}
    largest = sorted(sizes, key=lambda part: -sizes[part])[:3]
    told = ", ".join(f"{part} {sizes[part] / 1000:.0f} kB" for part in largest)
    raise ValueError(
        f"{explorer.name} must be at most {MOST_BYTES / 1000:.0f} kB, got {size / 1000:.0f} kB with "
        f"{len(explorer.pictures)} states; the largest parts are {told}: give sliders fewer values or lines "
        "fewer points"
    )
