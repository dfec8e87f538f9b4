"""Marks as SVG: what of them moves (their data, as short text), and the element that carries it."""

from __future__ import annotations

from typing import TypeAlias, cast

import numpy as np
from matplotlib.colors import to_hex, to_rgb
from numpy.typing import NDArray

from cleanprio_lib.explorers.axes import TEXT, WIDTH, Frame
from cleanprio_lib.explorers.marks import Arrow, Band, Bars, Label, Line, Mark, Points, color, dashes, numbers
from cleanprio_lib.lettering import in_svg, width

# A path's commands in tenths of a pixel, or a label's place in pixels and its content.
Place: TypeAlias = tuple[float, float, str]
Data: TypeAlias = str | Place
HEAD = 9  # Length of an arrow's head in pixels.
ON_WHITE = 4.5  # The contrast that WCAG 2 asks of text.


def data_of(mark: Mark, frame: Frame) -> Data:
    """What changes of a mark from state to state, rounded to a tenth of a pixel.

    Args:
        mark: checked.
        frame: of its panel.
    """
    if isinstance(mark, Label):
        return _place(mark, frame)
    found = numbers(mark)
    if isinstance(mark, Line):
        return _polyline(frame.tenths(found["x"], found["y"]))
    if isinstance(mark, Band):
        high, low = frame.tenths(found["x"], found["high"]), frame.tenths(found["x"], found["low"])
        return _closed(np.concatenate([high, low[::-1]]))
    if isinstance(mark, Points):
        return _discs(frame.tenths(found["x"], found["y"]), frame)
    if isinstance(mark, Bars):
        return _bars(found["edges"], found["heights"], frame)
    return _shaft(*frame.tenths([*found["x0"], *found["x1"]], [*found["y0"], *found["y1"]]))


def element(mark: Mark, data: Data, frame: Frame, *, name: str, moving: str) -> str:
    """A mark as SVG, drawn with `data`.

    Args:
        mark: gives the style.
        data: of the state to draw.
        frame: of its panel.
        name: of this mark alone on the page, for what it refers to.
        moving: attribute by which the script finds it; empty if it never moves.
    """
    ink = color(mark)
    if isinstance(mark, Label):
        x, y, content = cast(Place, data)
        return (
            f'<text{moving} x="{x:g}" y="{y:g}" font-size="{TEXT}" text-anchor="{mark.anchor}" '
            f'fill="{legible(ink)}" class="explorer-label">{content}</text>'
        )
    return (
        f'<path{moving} d="{data}" transform="translate({frame.left:g} {frame.top:g}) scale(.1)" '
        f"{_paint(mark, ink, name)}/>"
    )


def definitions(mark: Mark, *, name: str) -> str:
    """What a mark refers to: an arrow's head."""
    if not isinstance(mark, Arrow):
        return ""
    tip, half = 10 * HEAD, 4 * HEAD
    return (
        f'<marker id="{name}" orient="auto" markerUnits="userSpaceOnUse" markerWidth="{tip}" '
        f'markerHeight="{2 * half}" refY="{half}"><path d="M0 0L{tip} {half}L0 {2 * half}z" '
        f'fill="{color(mark)}"/></marker>'
    )


def is_clipped(mark: Mark) -> bool:
    """Whether a mark ends where its axes end; discs, arrows and labels are shown whole."""
    return isinstance(mark, Line | Band | Bars)


def legible(ink: str) -> str:
    """The colour, darkened just so far that text in it can be read on white."""
    rgb = np.array(to_rgb(ink))
    while 1.05 / (_luminance(rgb) + 0.05) < ON_WHITE:
        rgb = 0.97 * rgb
    return to_hex(rgb.tolist())


def _luminance(rgb: NDArray[np.float64]) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _paint(mark: Mark, ink: str, name: str) -> str:
    if isinstance(mark, Band | Bars):
        edge = "" if isinstance(mark, Band) else ' stroke="white" stroke-width="10"'
        return f'fill="{ink}" fill-opacity="{mark.opacity:g}"{edge}'
    assert isinstance(mark, Points | Line | Arrow)
    faint = f' opacity="{mark.opacity:g}"' if mark.opacity != 1 else ""
    if isinstance(mark, Points):
        return f'fill="none" stroke="{ink}" stroke-width="{10 * mark.size:g}" stroke-linecap="round"{faint}'
    lengths = " ".join(f"{10 * length:g}" for length in dashes(mark))
    dashed = f' stroke-dasharray="{lengths}"' if lengths else ""
    head = f' marker-end="url(#{name})"' if isinstance(mark, Arrow) else ""
    return (
        f'fill="none" stroke="{ink}" stroke-width="{10 * mark.width:g}" stroke-linejoin="round"'
        f"{dashed}{head}{faint}"
    )


def _polyline(points: NDArray[np.int64]) -> str:
    """One absolute point, then steps: short, and exact because they are whole numbers."""
    if len(points) < 2:
        return ""
    steps = np.diff(points, axis=0)
    steps = steps[steps.any(axis=1)]
    return f"M{_pair(*points[0])}" + ("l" + _run(steps) if len(steps) else "h0")


def _closed(points: NDArray[np.int64]) -> str:
    outline = _polyline(points)
    return outline and outline + "z"


def _discs(points: NDArray[np.int64], frame: Frame) -> str:
    """Strokes of no length: their round ends make discs."""
    inside = ((points >= 0) & (points <= np.rint([10 * frame.width, 10 * frame.height]))).all(axis=1)
    points = points[inside]
    if not len(points):
        return ""
    steps = np.diff(points, axis=0)
    return f"M{_pair(*points[0])}h0" + "".join(f"m{_pair(*step)}h0" for step in steps.tolist())


def _bars(edges: NDArray[np.float64], heights: NDArray[np.float64], frame: Frame) -> str:
    feet = frame.tenths(edges, np.zeros_like(edges))
    tops = frame.tenths(edges[:-1], heights)[:, 1]
    return "".join(
        f"M{_pair(x, foot)}V{top}H{end}V{foot}z"
        for (x, foot), end, top in zip(feet[:-1].tolist(), feet[1:, 0].tolist(), tops.tolist(), strict=True)
        if top != foot and x != end
    )


def _shaft(start: NDArray[np.int64], tip: NDArray[np.int64]) -> str:
    """From the start to where the head begins; a short arrow is all head."""
    length = float(np.hypot(*(tip - start)))
    if not length:
        return ""
    along = (tip - start) / length
    end = tip - 10 * HEAD * along
    begin = end - max(length - 10 * HEAD, 10) * along
    return "M{:g} {:g}L{:g} {:g}".format(*np.concatenate([begin, end]).round(1))


def _place(mark: Label, frame: Frame) -> Place:
    """Where a label's baseline is and what it says, kept inside the picture."""
    if not mark.text:
        return (0, 0, "")
    right, down = frame.tenths(mark.x, mark.y).tolist()
    room = width(mark.text, size=TEXT)
    before = {"start": 0.0, "middle": room / 2, "end": room}[mark.anchor]
    x = min(frame.left + right / 10 + mark.dx, WIDTH - 2 - room + before)
    y = min(max(frame.top + down / 10 + mark.dy + 4, TEXT), frame.total - 4)
    return (round(max(x, 2 + before), 1), round(y, 1), in_svg(mark.text))


def _pair(x: int, y: int) -> str:
    return f"{x} {y}" if y >= 0 else f"{x}{y}"


def _run(steps: NDArray[np.int64]) -> str:
    """Steps one after the other, with a space only where no minus sign parts two numbers."""
    return " ".join(map(str, steps.ravel().tolist())).replace(" -", "-")
