"""Curves over epochs: any measured quantities in panels one above the other, mean over seeds and range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cleanprio_lib.figures.style import (
    BAND,
    HAIRLINE,
    ROLES,
    SIZE,
    WIDTH,
    End,
    Role,
    label_ends,
    level_line,
    logarithmic,
)

QUANTITIES = ("_error", "_loss", "_residual")


DOTS: tuple[tuple[int, tuple[float, ...]], ...] = ((0, (1, 1.5)), (0, (1, 4)))


@dataclass(frozen=True)
class Panel:
    """One panel: which columns over epochs, and what to hold them against.

    Attributes:
        columns: of the frame, each drawn in its role's colour and line style.
        y_label: of the axis.
        y_limits: of the axis; None for what the curves need.
        labels: what to call a column's curve, where it is not its role's name.
        roles: of `ROLES`, for columns whose name does not say it.
        levels: heights of thin horizontal lines, by what to call them.
        curves: predictions over epochs, by what to call them; thin dotted lines.
        log: whether the axis is logarithmic, for ratios of positive quantities.
    """

    columns: Sequence[str]
    y_label: str
    y_limits: tuple[float, float] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, pd.Series] = field(default_factory=dict)
    log: bool = False

    def role(self, column: str) -> Role:
        """How a column is drawn; of `clean_residual` it is the role `clean`."""
        name = self.roles.get(column, column)
        for quantity in QUANTITIES:
            name = name if name in ROLES else name.removesuffix(quantity)
        if name not in ROLES:
            raise ValueError(f"roles must name the role of {column!r}, one of {sorted(ROLES)}")
        role = ROLES[name]
        return replace(role, label=self.labels[column]) if column in self.labels else role


def over_epochs(
    frame: pd.DataFrame,
    panels: Sequence[Panel],
    *,
    log: bool = False,
    stops: pd.DataFrame | None = None,
    x_label: str = "epoch",
) -> Figure:
    """Panels one above the other with one axis of epochs: mean over seeds as a line, range as a band.

    Args:
        frame: a row for each (seed, epoch) with every panel's columns.
        panels: from top to bottom.
        log: epochs on a logarithmic axis, without epoch 0.
        stops: of `early_stopping.oracle`, marked in all panels and named above the first; None marks nothing.
        x_label: of the axis below the last panel.
    """
    frame = of_every_seed(frame[frame.epoch > 0] if log else frame)
    height = SIZE[1] if len(panels) == 1 else 0.9 + 2.1 * len(panels)
    figure, axes = plt.subplots(len(panels), sharex=True, squeeze=False, figsize=(WIDTH, height))
    for ax, panel in zip(axes[:, 0], panels, strict=True):
        ends = lines(ax, frame, panel.columns, [panel.role(column) for column in panel.columns])
        ends += _against(ax, panel, frame.epoch.max())
        logarithmic(ax, "y" if panel.log else "")
        ax.set(ylabel=panel.y_label, ylim=panel.y_limits, xlabel="")
        label_ends(ax, ends, height=height / len(panels))
    axes[-1, 0].set_xlabel(x_label)
    axes[-1, 0].xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    if log:
        axes[-1, 0].set(xscale="log", xlim=(frame.epoch.min(), frame.epoch.max()))
    if stops is not None:
        for ax in axes[:, 0]:
            mark_stops(ax, stops)
        name_stops(axes[0, 0], stops, unit=x_label)
    return figure


def words_over_epochs(frame: pd.DataFrame, panels: Sequence[Panel], *, stops: pd.DataFrame | None) -> str:
    """Alt text for `over_epochs`: every curve at its start, at the early stopping point and where it ends."""
    by_epoch = of_every_seed(frame).groupby("epoch")
    sentences = []
    for panel in panels:
        for column in panel.columns:
            mean = by_epoch[column].mean().dropna()
            label = panel.role(column).label.replace("\n", " ")
            moments = [f"{_short(mean.iloc[0])} at the start"]
            if stops is not None:
                moments.append(f"{_short(stops[column].mean())} at the early stopping point")
            moments.append(f"{_short(mean.iloc[-1])} where it ends")
            sentences.append(f"{panel.y_label}, {label}: {', '.join(moments)}.")
    return " ".join(sentences)


def of_every_seed(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of epochs that every seed has."""
    return frame[frame.groupby("epoch").seed.transform("nunique") == frame.seed.nunique()]


def lines(ax: Axes, frame: pd.DataFrame, columns: Sequence[str], roles: Sequence[Role]) -> list[End]:
    """Mean over seeds as a line, their full range as a band; returns where the lines end.

    They end where the first seed ends: a mean over those that are left is another curve.
    """
    frame = of_every_seed(frame)
    by_epoch = frame.groupby("epoch")
    ends = []
    for column, role in zip(columns, roles, strict=True):
        mean, low, high = (by_epoch[column].agg(statistic) for statistic in ("mean", "min", "max"))
        ax.plot(mean.index, mean, color=role.color, linestyle=role.linestyle)
        ax.fill_between(mean.index, low, high, color=role.color, alpha=BAND, linewidth=0)
        ends.append(End(role.label, role.color, float(mean.dropna().iloc[-1])))
    ax.set(xlabel="epoch", xlim=(0, frame.epoch.max()))
    return ends


def mark_stops(ax: Axes, stops: pd.DataFrame) -> None:
    """A dotted line at the median early stopping epoch, and a strip over all seeds'."""
    first, last = stops.epoch.min(), stops.epoch.max()
    if last > first:
        ax.axvspan(first, last, color=HAIRLINE, alpha=0.08, linewidth=0)
    ax.axvline(float(stops.epoch.median()), color=HAIRLINE, linewidth=1, linestyle=":")


def name_stops(ax: Axes, stops: pd.DataFrame, *, unit: str = "epoch") -> None:
    """Say above a panel, its limits and scale as they will be, what is marked in it and where."""
    first, last, middle = int(stops.epoch.min()), int(stops.epoch.max()), float(stops.epoch.median())
    place = ax.transAxes.inverted().transform(ax.transData.transform((middle, ax.get_ylim()[0])))[0]
    when = f"{unit} {first}" if first == last else f"{unit}s {first} to {last}"
    ax.annotate(
        f"lowest test error: {when}",
        (place, 1.0), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points", va="bottom",
        ha="left" if place < 0.35 else "right" if place > 0.65 else "center", color=HAIRLINE, fontsize=11,
    )  # fmt: skip


def _against(ax: Axes, panel: Panel, last: float) -> list[End]:
    ends = []
    for label, level in panel.levels.items():
        ends.append(level_line(ax, label, level))
    for number, (label, curve) in enumerate(panel.curves.items()):
        shown = curve[curve.index <= last]
        ax.plot(shown.index, shown, color=HAIRLINE, linewidth=1.5, linestyle=DOTS[number % len(DOTS)])
        ends.append(End(label, HAIRLINE, float(shown.dropna().iloc[-1])))
    return ends


def _short(value: float) -> str:
    return "not defined" if np.isnan(value) else f"{value:.2f}".replace("-", "−")
