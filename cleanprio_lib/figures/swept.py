"""Measured quantities over the values of a setting, in panels: mean over seeds, and range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cleanprio_lib.figures.epochs import Panel
from cleanprio_lib.figures.style import BAND, HAIRLINE, SIZE, WIDTH, End, label_ends, level_line


def over_values(
    frame: pd.DataFrame,
    panels: Sequence[Panel],
    *,
    x: str,
    x_label: str,
    marks: Mapping[str, float] | None = None,
    log: bool = False,
) -> Figure:
    """Panels one above the other with one axis of values: mean over seeds with its points, range as a band.

    Args:
        frame: a row for each (seed, value) with every panel's columns.
        panels: from top to bottom; their curves are indexed by the value.
        x: the column of the values.
        x_label: of the axis below the last panel.
        marks: values at which a dotted vertical line stands, by what to call it in the first panel.
        log: values on a logarithmic axis with a tick at each.
    """
    height = SIZE[1] if len(panels) == 1 else 0.9 + 2.1 * len(panels)
    figure, axes = plt.subplots(len(panels), sharex=True, squeeze=False, figsize=(WIDTH, height))
    for number, (ax, panel) in enumerate(zip(axes[:, 0], panels, strict=True)):
        ends = _columns(ax, frame, panel, x) + _against(ax, panel)
        ax.set(ylabel=panel.y_label, ylim=panel.y_limits)
        for name, value in (marks or {}).items():
            ax.axvline(value, color=HAIRLINE, linewidth=1, linestyle=":")
            if number == 0:
                ax.annotate(
                    name, (value, 1), xycoords=("data", "axes fraction"), xytext=(0, 4),
                    textcoords="offset points", ha="center", color=HAIRLINE, fontsize=11,
                )  # fmt: skip
        label_ends(ax, ends, height=height / len(panels))
    values = frame[x]
    room = 0.03 * (values.max() - values.min())
    axes[-1, 0].set(xlabel=x_label, xlim=(values.min() - room, values.max() + room))
    if log:
        axes[-1, 0].set(xscale="log", xlim=(values.min() / 1.1, 1.1 * values.max()))
        axes[-1, 0].set_xticks([], minor=True)
        axes[-1, 0].set_xticks(sorted(set(values)), [f"{value:,}" for value in sorted(set(values))])
    return figure


def words_over_values(frame: pd.DataFrame, panels: Sequence[Panel], *, x: str, x_label: str) -> str:
    """Alt text for `over_values`: every curve at every value, mean over seeds."""
    sentences = []
    for panel in panels:
        for column in panel.columns:
            mean = frame.groupby(x)[column].mean().dropna()
            label = panel.role(column).label.replace("\n", " ")
            parts = ", ".join(f"{_short(mean[value])} at {_short(value)}" for value in mean.index)
            sentences.append(f"{panel.y_label}, {label}, by {x_label}: {parts}.")
    return " ".join(sentences)


def _columns(ax: Axes, frame: pd.DataFrame, panel: Panel, x: str) -> list[End]:
    ends = []
    for column in panel.columns:
        role = panel.role(column)
        by_value = frame.dropna(subset=column).groupby(x)[column]
        mean, low, high = by_value.mean(), by_value.min(), by_value.max()
        ax.fill_between(mean.index, low, high, color=role.color, alpha=BAND, linewidth=0)
        ax.plot(mean.index, mean, color=role.color, linestyle=role.linestyle, marker="o", markersize=4.5)
        ends.append(End(role.label, role.color, float(mean.iloc[-1])))
    return ends


def _against(ax: Axes, panel: Panel) -> list[End]:
    ends = []
    for label, level in panel.levels.items():
        ends.append(level_line(ax, label, level))
    for label, curve in panel.curves.items():
        ax.plot(curve.index, curve, color=HAIRLINE, linewidth=1.5, linestyle=(0, (1, 1.5)), zorder=1)
        ends.append(End(label, HAIRLINE, float(curve.iloc[-1])))
    return ends


def _short(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")
