"""Pictures of a sweep: its curves value by value, and those of all values on one axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from cleanprio_lib.figures.epochs import Panel, _short, lines, mark_stops, of_every_seed
from cleanprio_lib.figures.style import HAIRLINE, WIDTH, End, label_ends, level_line, logarithmic

# From light to dark, so that they are told apart with any colour vision; no role has one of these.
END_LABELS = 4  # values whose names find room at the ends of their curves
SHADES = ("#C08A00", "#A0522D", "#7B2D5B", "#2B1B5A")


@dataclass(frozen=True)
class View:
    """One panel with a curve for each value of a sweep.

    Attributes:
        x: column of the axis below.
        y: column that is drawn.
        x_label: of the axis.
        y_label: of the axis.
        x_limits: None for what the curves need.
        y_limits: the same.
        log: which axes count by their logarithm: "", "x", "y" or "xy".
        levels: heights of thin horizontal lines, by what to call them.
        curve: a prediction, y by x; a thin dotted line.
    """

    x: str
    y: str
    x_label: str
    y_label: str
    x_limits: tuple[float, float] | None = None
    y_limits: tuple[float, float] | None = None
    log: str = ""
    levels: Mapping[str, float] = field(default_factory=dict)
    curve: pd.Series | None = None


def value_by_value(
    frame: pd.DataFrame,
    panels: Callable[[Any], Sequence[Panel]],
    *,
    swept: str,
    names: Mapping[Any, str],
    stops: pd.DataFrame,
) -> Figure:
    """A row of panels for each value, over epochs on a logarithmic axis: mean over seeds and range.

    Args:
        frame: a row for each (value, seed, epoch).
        panels: from a value to its panels, from left to right; of all values the same columns.
        swept: name of the swept setting.
        names: of the values, in the order of the rows.
        stops: with index (value, seed) and `stop`, the early stopping epochs.
    """
    later = frame[frame.epoch > 0]
    columns = len(panels(next(iter(names))))
    figure, axes = plt.subplots(
        len(names),
        columns,
        figsize=(WIDTH, 1.1 + 1.05 * len(names)),
        sharex=True,
        sharey="col",
        squeeze=False,
    )
    for row, (value, name) in zip(axes, names.items(), strict=True):
        own, stopped = later[later[swept] == value], stops.loc[value].rename(columns={"stop": "epoch"})
        for ax, panel in zip(row, panels(value), strict=True):
            roles = [panel.role(column) for column in panel.columns]
            lines(ax, own, panel.columns, roles)
            for level in panel.levels.values():
                ax.axhline(level, color=HAIRLINE, linewidth=1)
            mark_stops(ax, stopped)
            ax.set(ylim=panel.y_limits, xlabel="", ylabel="")
        row[0].set_ylabel(name)
    for ax, panel in zip(axes[0], panels(next(iter(names))), strict=True):
        _head(ax, panel)
    axes[0, 0].set(xscale="log", xlim=(later.epoch.min(), later.epoch.max()))
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure


def words_value_by_value(
    frame: pd.DataFrame,
    panels: Callable[[Any], Sequence[Panel]],
    *,
    swept: str,
    names: Mapping[Any, str],
    stops: pd.DataFrame,
) -> str:
    """Alt text for `value_by_value`: each curve at the start, at the early stopping point and at the end."""
    sentences = []
    for value, name in names.items():
        own = frame[frame[swept] == value]
        stop = stops.loc[value].stop
        at_stop = own[own.epoch == own.seed.map(stop)].mean(numeric_only=True)
        first, last = (own[own.epoch == epoch].mean(numeric_only=True) for epoch in _ends(own.epoch))
        told = [
            f"{panel.y_label}, {panel.role(column).label}: "
            f"{_short(first[column])}, {_short(at_stop[column])}, {_short(last[column])}"
            for panel in panels(value)
            for column in panel.columns
        ]
        sentences.append(f"{name}, lowest test error at epoch {stop.median():.0f}; {'; '.join(told)}.")
    words = "Each curve at the start, where test error is lowest, and at the end. " + " ".join(sentences)
    return words.replace("\n", " ")


def all_values(frame: pd.DataFrame, views: Sequence[View], *, swept: str, names: Mapping[Any, str]) -> Figure:
    """Panels one above the other with a curve for each value, from light to dark; thin: each seed.

    A curve's points are those at which it is farther along the axis than ever before; a mean ends where the
    first of its seeds does.

    Args:
        frame: a row for each (value, seed, epoch).
        views: from top to bottom.
        swept: name of the swept setting.
        names: of the values, from light to dark.
    """
    figure, axes = plt.subplots(len(views), squeeze=False, figsize=(WIDTH, 0.6 + 2.7 * len(views)))
    for ax, view in zip(axes[:, 0], views, strict=True):
        ends = []
        for (value, name), color in zip(names.items(), shades(len(names)), strict=True):
            own = _drawn(frame[frame[swept] == value], view)
            for _, single in own.groupby("seed"):
                single = _onward(single, view.x)
                ax.plot(single[view.x], single[view.y], color=color, linewidth=0.7, alpha=0.4)
            mean = _onward(of_every_seed(own).groupby("epoch")[[view.x, view.y]].mean(), view.x)
            ax.plot(mean[view.x], mean[view.y], color=color, label=name)
            ends.append(End(name, color, float(mean[view.y].iloc[-1])))
        crowded = len(ends) > END_LABELS
        _finish(ax, view, [] if crowded else ends, height=2.7)
        if crowded:  # names in their order say more than names pushed apart
            ax.legend(
                loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, handlelength=1, fontsize=11
            )
    return figure


def words_all_values(
    frame: pd.DataFrame, views: Sequence[View], *, swept: str, names: Mapping[Any, str]
) -> str:
    """Alt text for `all_values`: where each curve begins and ends."""
    sentences = []
    for view in views:
        told = []
        for value, name in names.items():
            own = of_every_seed(_drawn(frame[frame[swept] == value], view))
            mean = _onward(own.groupby("epoch")[[view.x, view.y]].mean(), view.x)
            told.append(f"{name} from {_short(mean[view.y].iloc[0])} to {_short(mean[view.y].iloc[-1])}")
        sentences.append(f"{view.y_label} over {view.x_label}: {', '.join(told)}.")
    return " ".join(sentences).replace("\n", " ")


def shades(count: int) -> list[str]:
    """Colours of so many values, from light to dark."""
    import seaborn as sns

    return list(sns.blend_palette(SHADES, count).as_hex())


def _head(ax: Axes, panel: Panel) -> None:
    """What a column of panels shows, and its curves' names in their colours, above its first panel."""
    names = [panel.role(column) for column in panel.columns]
    for place, role in enumerate(reversed(names)):
        ax.annotate(
            role.label.replace("\n", " "), (0, 1), xycoords="axes fraction", xytext=(0, 4 + 13 * place),
            textcoords="offset points", color=role.color, fontsize=11,
        )  # fmt: skip
    ax.set_title(panel.y_label, loc="left", fontsize=12, pad=8 + 13 * len(names))


def _drawn(own: pd.DataFrame, view: View) -> pd.DataFrame:
    own = own.dropna(subset=[view.x, view.y]).sort_values(["seed", "epoch"])
    return own[own[view.x] > 0] if "x" in view.log else own


def _onward(curve: pd.DataFrame, x: str) -> pd.DataFrame:
    """Its points but for those at which x has fallen back."""
    at = curve[x].to_numpy()
    return curve[np.r_[True, at[1:] > np.maximum.accumulate(at)[:-1]]]


def _finish(ax: Axes, view: View, ends: list[End], *, height: float) -> None:
    logarithmic(ax, view.log)
    for label, level in view.levels.items():
        ends.append(level_line(ax, label, level))
    if view.curve is not None:
        ax.plot(view.curve.index, view.curve, color=HAIRLINE, linewidth=1.5, linestyle=(0, (1, 1.5)))
    ax.set(xlabel=view.x_label, ylabel=view.y_label, xlim=view.x_limits, ylim=view.y_limits)
    label_ends(ax, ends, height=height)


def _ends(epochs: pd.Series) -> tuple[int, int]:
    return int(epochs.min()), int(epochs.max())
