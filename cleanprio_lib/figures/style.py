"""The one visual style: what each role looks like, how lines are named, how a figure becomes SVG.

One role keeps one colour and one line style throughout the book: clean bluish green and solid, noisy
vermilion and dashed, other blue and dotted, test near-black, training grey. The palette is Okabe and Ito's,
told apart with any colour vision.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import scipy  # type: ignore[import-untyped]
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.typing import ColorType

from cleanprio_lib.lettering import in_mathtext

SIZE = (6.2, 3.9)
# Inches: narrow enough for a figure of several panels to be read on a phone, where it shrinks to the screen.
WIDTH = 5.2
BAND = 0.2
CONTRAST = 4.5
LINE_HEIGHT = 0.065


@dataclass(frozen=True)
class Role:
    """How a quantity is drawn and what its line is called."""

    label: str
    color: str
    linestyle: str | tuple[int, tuple[float, ...]] = "-"


ROLES = {
    "test_error": Role("test", "#1a1a1a"),
    "train_error": Role("training\n(given labels)", "#808080", (0, (6, 1))),
    "clean_error": Role("clean subset", "#009E73"),
    "noisy_error": Role("noisy subset,\ngiven labels", "#D55E00", "--"),
    "noisy_true_error": Role("noisy subset,\ntrue labels", "#CC79A7", "-."),
    "clean": Role("clean", "#009E73"),
    "noisy": Role("noisy", "#D55E00", "--"),
    "other": Role("other", "#0072B2", ":"),
    "class_0": Role("class 0", "#56B4E9", (0, (4, 1.5))),
    "class_1": Role("class 1", "#8C6BB1", (0, (2, 1.2))),
    "both": Role("geometric mean", "#1a1a1a"),
    "smoothed": Role("smoothed\ntrue labels", "#0072B2", (0, (5, 1.5))),
    "true": Role("true labels", "#CC79A7", (0, (3, 1, 1, 1))),
    "relu_2": Role("ReLU, L = 2", "#332288"),
    "relu_3": Role("ReLU, L = 3", "#882255", (0, (5, 1))),
    "relu_5": Role("ReLU, L = 5", "#7A7A1F", (0, (3, 1, 1, 1))),
    "linear_2": Role("linear, L = 2", "#595959", (0, (1, 1))),
    "linear_3": Role("linear, L = 3", "#595959", (0, (4, 2))),
    "linear_5": Role("linear, L = 5", "#595959", (0, (2, 2))),
    "within": Role("within", "#1F7A9E"),
    "between": Role("between", "#B35C00", (0, (5, 2))),
    "wide": Role("wide", "#44546A"),
    "narrow": Role("narrow", "#9A6A00", (0, (4, 1, 1, 1))),
}
HAIRLINE = "#666666"


def set_style() -> None:
    """Use the book's style for every figure made from here on."""
    import seaborn as sns  # loads scipy.stats, for which only what draws should wait

    sns.set_theme(
        context="notebook",
        style="ticks",
        rc={
            "figure.figsize": SIZE,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": HAIRLINE,
            "font.size": 12,
            "axes.labelsize": 12,
            "xtick.labelsize": 11,
            "ytick.labelsize": 11,
            "lines.linewidth": 2,
        },
    )


def svg(figure: Figure, *, salt: str) -> bytes:
    """The figure as SVG, its words legible and their subscripts such, the same bytes for the same figure.

    It is closed.

    Args:
        figure: drawn by one of the functions above.
        salt: keeps the ids of several figures on one page apart.
    """
    for text in figure.findobj(Text):
        text.set_text(in_mathtext(text.get_text()))
        text.set_color(readable(text.get_color()))
    content = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": salt}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    plt.close(figure)
    return content.getvalue()


@dataclass(frozen=True)
class End:
    """The right end of a line: what to write there, in which colour, at which height of the axis.

    The more firmly, the less does its name give way to others: a level's stands where its line is, of which
    it is the only sign, before a curve's, which has the colour of its curve.
    """

    label: str
    color: str
    height: float
    firmness: float = 1.0


def level_line(ax: Axes, label: str, height: float) -> End:
    """A thin horizontal line; returns its end."""
    ax.axhline(height, color=HAIRLINE, linewidth=1, zorder=0)
    return End(label, HAIRLINE, height, firmness=20.0)


def label_ends(ax: Axes, ends: Sequence[End], *, height: float = SIZE[1]) -> None:
    """Write each line's name at its end; where one would cover another, they move as little as they can.

    Args:
        ax: drawn on, its limits and its scale as they will be.
        ends: of the lines; those without a name take no room.
        height: of the panel, inches.
    """
    scale = ax.yaxis.get_transform().transform
    limits = ax.get_ylim()
    low, high = scale(limits)
    places = [(end, (float(scale(np.clip(end.height, *limits))) - low) / (high - low)) for end in ends]
    places = [(end, place) for end, place in places if end.label.strip()]
    for end, place in _spread(places, LINE_HEIGHT * SIZE[1] / height):
        ax.annotate(
            end.label, (1.015, place), xycoords="axes fraction", va="center", color=end.color, fontsize=11,
            linespacing=0.95, annotation_clip=False,
        )  # fmt: skip


def readable(color: ColorType) -> str:
    """The same hue, dark enough for text on white: a contrast of at least 4.5, as WCAG 2.2 AA asks."""
    shade = np.array(to_rgb(color))
    while 1.05 / (_luminance(shade) + 0.05) < CONTRAST:
        shade *= 0.97
    return to_hex(tuple(shade))


def _luminance(rgb: np.ndarray) -> float:
    """Relative luminance of an sRGB colour, after WCAG."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def logarithmic(ax: Axes, names: str) -> None:
    """Logarithmic axes with plain numbers: powers of ten or, where there would be one or two, 1, 2 and 5.

    Args:
        ax: drawn on.
        names: of the axes, such as "xy".
    """
    for name in names:
        getattr(ax, f"set_{name}scale")("log")
        low, high = getattr(ax, f"get_{name}lim")()
        axis = getattr(ax, f"{name}axis")
        axis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 50 else (1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
        axis.set_minor_formatter(NullFormatter())


def _spread(ends: Sequence[tuple[End, float]], line: float = LINE_HEIGHT) -> list[tuple[End, float]]:
    """Heights, in fractions of the axis, at which all have room and the sum of squared moves is least.

    Less the room that those below need, the heights of names in their order must not fall: what is looked for
    is an isotonic regression.
    """
    if not ends:
        return []
    placed = sorted(ends, key=lambda pair: pair[1])
    room = line * np.array([end.label.count("\n") + 1 for end, _ in placed])
    below = np.r_[0.0, np.cumsum((room[1:] + room[:-1]) / 2)]
    highest = 1.02 - room[-1] / 2 - below[-1]
    lowest = min(room[0] / 2, highest)  # clear of the axis below, if there is room
    moved = scipy.optimize.isotonic_regression(
        np.array([height for _, height in placed]) - below, weights=[end.firmness for end, _ in placed]
    ).x.clip(lowest, highest)
    return [(end, float(height)) for (end, _), height in zip(placed, moved + below, strict=True)]
