"""What a picture is made of: lines, bands, points, bars, arrows, labels; and what is wrong with bad ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.colors import is_color_like, to_hex
from numpy.typing import ArrayLike, NDArray

from cleanprio_lib.figures import BAND, ROLES

Array = NDArray[np.float64]
ANCHORS = ("start", "middle", "end")
PATTERNS: dict[str, list[float]] = {
    "-": [],
    "--": mpl.rcParamsDefault["lines.dashed_pattern"],
    "-.": mpl.rcParamsDefault["lines.dashdot_pattern"],
    ":": mpl.rcParamsDefault["lines.dotted_pattern"],
}
# What of a mark may move; all else must stay as it is in every state.
DATA = {"x", "y", "low", "high", "edges", "heights", "x0", "y0", "x1", "y1", "text", "dx", "dy"}


@dataclass(frozen=True, eq=False)
class Line:
    """A line through the points (x, y); none is drawn where there are fewer than two.

    Args:
        x: (n,) in the unit of the x axis.
        y: (n,) in the unit of the y axis.
        role: a key of `figures.ROLES`, which gives colour and line style; or give the colour.
        color: any colour of matplotlib.
        panel: which of the panels it is drawn in.
        linestyle: "-", "--", "-.", ":" or (offset, (on, off, …)); by default the role's.
        width: in pixels.
        opacity: from 0 to 1.
    """

    x: ArrayLike
    y: ArrayLike
    _: KW_ONLY
    role: str | None = None
    color: str | None = None
    panel: int = 0
    linestyle: str | tuple[int, tuple[int, ...]] | None = None
    width: float = 2
    opacity: float = 1


@dataclass(frozen=True, eq=False)
class Band:
    """The area between `low` and `high` over `x`, each (n,)."""

    x: ArrayLike
    low: ArrayLike
    high: ArrayLike
    _: KW_ONLY
    role: str | None = None
    color: str | None = None
    panel: int = 0
    opacity: float = BAND


@dataclass(frozen=True, eq=False)
class Points:
    """A disc at each point (x, y), `size` pixels wide; those outside the axes are left out."""

    x: ArrayLike
    y: ArrayLike
    _: KW_ONLY
    role: str | None = None
    color: str | None = None
    panel: int = 0
    size: float = 7
    opacity: float = 1


@dataclass(frozen=True, eq=False)
class Bars:
    """Bars from 0 to `heights` (n,) between neighbouring `edges` (n + 1,)."""

    edges: ArrayLike
    heights: ArrayLike
    _: KW_ONLY
    role: str | None = None
    color: str | None = None
    panel: int = 0
    opacity: float = 0.6


@dataclass(frozen=True, eq=False)
class Arrow:
    """An arrow from (x0, y0), its tip at (x1, y1); nothing where the two are one point."""

    x0: float
    y0: float
    x1: float
    y1: float
    _: KW_ONLY
    role: str | None = None
    color: str | None = None
    panel: int = 0
    linestyle: str | tuple[int, tuple[int, ...]] | None = None
    width: float = 2
    opacity: float = 1


@dataclass(frozen=True, eq=False)
class Label:
    """Text at (x, y), moved just so far that it stays inside the picture; `θ_d` gets its subscript.

    Args:
        x: in the unit of the x axis.
        y: in the unit of the y axis.
        text: one line; empty hides the label.
        role: as for a line; a light colour is darkened until it can be read.
        color: as for a line.
        panel: which of the panels it is written in.
        anchor: which part of the text is at x: "start", "middle" or "end".
        dx: pixels to the right.
        dy: pixels down.
    """

    x: float
    y: float
    text: str
    _: KW_ONLY
    role: str | None = None
    color: str | None = None
    panel: int = 0
    anchor: str = "start"
    dx: float = 0
    dy: float = 0


Mark: TypeAlias = Line | Band | Points | Bars | Arrow | Label
KINDS = (Line, Band, Points, Bars, Arrow, Label)


@dataclass(frozen=True, eq=False)
class Picture:
    """One state of an explorer.

    Args:
        marks: what is drawn, from back to front, labels above all; in every state the same kinds in the same
            order.
        words: one sentence with this state's numbers; read aloud when a slider moves.
    """

    marks: Sequence[Mark]
    words: str


def numbers(mark: Mark) -> dict[str, Array]:
    """A mark's numbers by the name of their argument, each as an array of float64."""
    found = {}
    for name in (field.name for field in fields(mark) if field.name in DATA - {"text"}):
        try:
            found[name] = np.atleast_1d(np.asarray(getattr(mark, name), dtype=np.float64))
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be numbers, got {getattr(mark, name)!r}") from None
    return found


def style(mark: Mark) -> dict[str, Any]:
    """What of a mark must be the same in every state."""
    kept = {field.name: getattr(mark, field.name) for field in fields(mark) if field.name not in DATA}
    return {"kind": type(mark).__name__, **kept}


def color(mark: Mark) -> str:
    """A mark's colour as #rrggbb."""
    return to_hex(ROLES[mark.role].color if mark.role else str(mark.color))


def dashes(mark: Line | Arrow) -> list[float]:
    """Lengths of a line's dashes and gaps in pixels; empty for a solid line."""
    linestyle = mark.linestyle or (ROLES[mark.role].linestyle if mark.role else "-")
    pattern = linestyle[1] if isinstance(linestyle, tuple) else PATTERNS[linestyle]
    return [mark.width * length for length in pattern]


def check(mark: Mark, *, panels: int) -> None:
    """Raise a ValueError that says what is wrong with a mark, if anything is."""
    if not isinstance(mark, KINDS):
        names = ", ".join(kind.__name__ for kind in KINDS)
        raise ValueError(f"a mark must be one of {names}, got {type(mark).__name__}")
    if (mark.role is None) == (mark.color is None):
        raise ValueError(f"give either role or color, got role={mark.role!r} and color={mark.color!r}")
    if mark.role is not None and mark.role not in ROLES:
        raise ValueError(f"role must be one of {', '.join(ROLES)}, got {mark.role!r}")
    if mark.color is not None and not is_color_like(mark.color):
        raise ValueError(f"color must be a colour of matplotlib, got {mark.color!r}")
    if mark.panel not in range(panels):
        raise ValueError(f"panel must be a whole number below the {panels} given, got {mark.panel!r}")
    if isinstance(mark, Label) and not (isinstance(mark.text, str) and "\n" not in mark.text):
        raise ValueError(f"text must be one line of text, got {mark.text!r}")
    if isinstance(mark, Label) and mark.anchor not in ANCHORS:
        raise ValueError(f"anchor must be one of {ANCHORS}, got {mark.anchor!r}")
    if isinstance(mark, Line | Arrow) and not _is_linestyle(mark.linestyle):
        raise ValueError(
            f"linestyle must be '-', '--', '-.', ':' or (offset, lengths), got {mark.linestyle!r}"
        )
    _check_numbers(mark)


def _is_linestyle(linestyle: Any) -> bool:
    if isinstance(linestyle, tuple):
        return len(linestyle) == 2 and all(length > 0 for length in linestyle[1])
    return linestyle is None or linestyle in PATTERNS


def _check_numbers(mark: Mark) -> None:
    found = numbers(mark)
    for name, array in found.items():
        if array.ndim > 1:
            raise ValueError(f"{name} must have one dimension, got shape {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    lengths = {name: len(array) - (name == "edges") for name, array in found.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{len(array)} {name}" for name, array in found.items())
        needed = "one more edge than heights" if isinstance(mark, Bars) else "equally many of each"
        raise ValueError(f"there must be {needed}, got {told}")
