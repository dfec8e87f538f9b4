"""A panel's axes: where numbers lie in pixels, nice ticks, and the spines drawn as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from cleanprio_lib.figures import HAIRLINE
from cleanprio_lib.lettering import in_svg, tick_texts, width

# A panel is as wide as a phone leaves room for, so that its text is never scaled below 11 pixels.
WIDTH, HEIGHT, TALLEST = 320, 200, 290
TEXT, TICK_TEXT, TICK = 13, 12, 5
INK = "#1a1a1a"
# Far outside every panel; coordinates stop there, so that no number is too long.
FAR = 99_999

Ticks: TypeAlias = Sequence[float] | Mapping[float, str] | None


@dataclass(frozen=True, kw_only=True)
class Axes:
    """One panel of an explorer.

    Args:
        x_label: name, symbol and unit of the x axis; `θ_d` gets its subscript.
        y_label: the same for the y axis, written above it.
        x_limits: first and last number of the x axis.
        y_limits: the same for the y axis.
        x_ticks: numbers, or number → text; None for nice ones. An axis without ticks and label is not drawn.
        y_ticks: the same for the y axis.
        equal: whether one unit is as long on both axes.
        title: what the panel shows; empty where there is only one.

    Raises:
        ValueError: if the limits are not two finite numbers in rising order, or a tick lies outside.
    """

    x_label: str = ""
    y_label: str = ""
    x_limits: tuple[float, float] = (0, 1)
    y_limits: tuple[float, float] = (0, 1)
    x_ticks: Ticks = None
    y_ticks: Ticks = None
    equal: bool = False
    title: str = ""

    def __post_init__(self) -> None:
        for axis, limits, given in (("x", self.x_limits, self.x_ticks), ("y", self.y_limits, self.y_ticks)):
            if len(limits) != 2 or not all(map(math.isfinite, limits)) or not limits[0] < limits[1]:
                raise ValueError(f"{axis}_limits must be two finite numbers, the lower first, got {limits}")
            outside = [] if given is None else [tick for tick in given if not _within(limits, tick)]
            if outside:
                raise ValueError(f"{axis}_ticks must lie within {limits}, got {outside[0]}")


@dataclass(frozen=True)
class Frame:
    """Where a panel's axes lie, in pixels from the top left corner of its picture."""

    axes: Axes
    left: float
    top: float
    width: float
    height: float
    total: float

    def tenths(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.int64]:
        """The points (n, 2) as whole tenths of a pixel: right from the left edge, down from the top edge."""
        axes = self.axes
        right = (np.asarray(x) - axes.x_limits[0]) / (axes.x_limits[1] - axes.x_limits[0]) * self.width
        down = (axes.y_limits[1] - np.asarray(y)) / (axes.y_limits[1] - axes.y_limits[0]) * self.height
        return np.rint(np.clip(10 * np.stack([right, down], -1), -FAR, FAR)).astype(np.int64)


def frame(axes: Axes) -> Frame:
    """Lay out a panel: as wide as its picture allows, and as high as usual or as equal units ask for."""
    y_texts = [text for _, text in ticks(axes.y_limits, axes.y_ticks)]
    x_texts = [text for _, text in ticks(axes.x_limits, axes.x_ticks)]
    left = 12 + (TICK + 4 + max(width(text, size=TICK_TEXT) for text in y_texts) if y_texts else 0)
    right = 8 + (width(x_texts[-1], size=TICK_TEXT) / 2 if x_texts else 0)
    top = 12 + (20 if axes.title else 0) + (20 if axes.y_label else 0)
    bottom = 8 + (TICK + 16 if x_texts else 0) + (20 if axes.x_label else 0)
    wide, high = WIDTH - left - right, float(HEIGHT)
    if axes.equal:
        shape = (axes.y_limits[1] - axes.y_limits[0]) / (axes.x_limits[1] - axes.x_limits[0])
        high = min(wide * shape, TALLEST)
        left, wide = left + (wide - high / shape) / 2, high / shape
    return Frame(axes, round(left, 1), top, round(wide, 1), round(high, 1), round(top + high + bottom, 1))


def ticks(limits: tuple[float, float], given: Ticks) -> list[tuple[float, str]]:
    """Where ticks are and what is written there."""
    if isinstance(given, Mapping):
        return [(float(tick), text) for tick, text in given.items()]
    places = _nice(limits) if given is None else [float(tick) for tick in given]
    return list(zip(places, tick_texts(places), strict=True))


def _nice(limits: tuple[float, float]) -> list[float]:
    found = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(*limits)
    return [float(tick) for tick in found if _within(limits, tick)]


def _within(limits: tuple[float, float], tick: float) -> bool:
    """Inside the limits, but for rounding."""
    slack = 1e-9 * (limits[1] - limits[0])
    return limits[0] - slack <= tick <= limits[1] + slack


def spines(frame: Frame) -> str:
    """A panel's axes with ticks, numbers and labels, as SVG."""
    axes = frame.axes
    bottom, right = round(frame.top + frame.height, 1), round(frame.left + frame.width, 1)
    strokes, texts = "", ""
    x_ticks, y_ticks = ticks(axes.x_limits, axes.x_ticks), ticks(axes.y_limits, axes.y_ticks)
    if x_ticks or axes.x_label:
        strokes += f"M{frame.left:g} {bottom:g}H{right:g}"
    if y_ticks or axes.y_label:
        strokes += f"M{frame.left:g} {frame.top:g}V{bottom:g}"
    for tick, text in x_ticks:
        x = frame.left + frame.tenths(tick, axes.y_limits[0])[0] / 10
        strokes += f"M{x:.1f} {bottom:g}v{TICK}"
        texts += _text(text, x, bottom + TICK + 13, anchor="middle", size=TICK_TEXT)
    for tick, text in y_ticks:
        y = frame.top + frame.tenths(axes.x_limits[0], tick)[1] / 10
        strokes += f"M{frame.left:g} {y:.1f}h-{TICK}"
        texts += _text(text, frame.left - TICK - 4, y + 4, anchor="end", size=TICK_TEXT)
    texts += _text(axes.x_label, (frame.left + right) / 2, frame.total - 9, anchor="middle")
    texts += _text(axes.y_label, 4, frame.top - 14)
    texts += _text(axes.title, 4, 16, weight=' font-weight="600"')
    return f'<path d="{strokes}" fill="none" stroke="{HAIRLINE}"/>{texts}'


def _text(text: str, x: float, y: float, *, anchor: str = "start", size: int = TEXT, weight: str = "") -> str:
    if not text:
        return ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{INK}"{weight}>'
        f"{in_svg(text)}</text>"
    )
