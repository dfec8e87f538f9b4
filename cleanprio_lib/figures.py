"""The one visual style, and one function for each kind of picture.

One role keeps one colour and one line style throughout the book: clean bluish green and solid, noisy
vermilion and dashed, test near-black, training grey. The palette is Okabe and Ito's, told apart with any
colour vision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cleanprio_lib import early_stopping

SIZE = (5.6, 3.7)
BAND = 0.2


@dataclass(frozen=True)
class Role:
    """How a quantity is drawn and what its line is called."""

    label: str
    color: str
    linestyle: str | tuple[int, tuple[int, ...]] = "-"


ROLES = {
    "test_error": Role("test", "#1a1a1a"),
    "train_error": Role("training (given labels)", "#808080", (0, (6, 1))),
    "clean_error": Role("clean subset", "#009E73"),
    "noisy_error": Role("noisy subset,\ngiven labels", "#D55E00", "--"),
    "noisy_true_error": Role("noisy subset,\ntrue labels", "#CC79A7", "-."),
}
HAIRLINE = "#666666"


def set_style() -> None:
    """Use the book's style for every figure made from here on."""
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


def total_errors(frame: pd.DataFrame, *, level: float) -> Figure:
    """Training and test error over epochs, with the noise level: the paper's Figure 1.

    Args:
        frame: a row for each (seed, epoch) with `train_error` and `test_error`.
        level: $\\delta$, drawn as a thin line.
    """
    figure, ax = plt.subplots()
    _lines(ax, frame, ["train_error", "test_error"])
    ax.axhline(level, color=HAIRLINE, linewidth=1)
    ax.annotate(
        f"noise level δ = {level:g}", (0.99, level), xycoords=("axes fraction", "data"), xytext=(0, 4),
        textcoords="offset points", ha="right", color=HAIRLINE, fontsize=11,
    )  # fmt: skip
    _mark_stop(ax, frame)
    ax.set(ylabel="classification error (fraction)", ylim=(0, max(0.5, 1.1 * _after_start(frame))))
    return figure


def subset_errors(frame: pd.DataFrame) -> Figure:
    """Errors on the clean and the noisy subset over epochs, the noisy one against given and true labels.

    Args:
        frame: a row for each (seed, epoch) with `clean_error`, `noisy_error` and `noisy_true_error`.
    """
    figure, ax = plt.subplots()
    _lines(ax, frame, ["clean_error", "noisy_error", "noisy_true_error"])
    _mark_stop(ax, frame)
    ax.set(ylabel="classification error (fraction)", ylim=(0, 1.04))
    return figure


def _lines(ax: Axes, frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Mean over seeds as a line, their full range as a band, the name at the line's end."""
    by_epoch = frame.groupby("epoch")
    ends = {}
    for column in columns:
        role = ROLES[column]
        mean, low, high = (by_epoch[column].agg(statistic) for statistic in ("mean", "min", "max"))
        ax.plot(mean.index, mean, color=role.color, linestyle=role.linestyle)
        ax.fill_between(mean.index, low, high, color=role.color, alpha=BAND, linewidth=0)
        ends[column] = float(mean.iloc[-1])
    ax.set(xlabel="epoch", xlim=(0, frame.epoch.max()))
    for column, height in _spread(ends).items():
        ax.annotate(
            ROLES[column].label, (1.015, height), xycoords=("axes fraction", "data"), va="center",
            color=ROLES[column].color, fontsize=11, linespacing=0.95, annotation_clip=False,
        )  # fmt: skip


def _spread(heights: dict[str, float], gap: float = 0.14) -> dict[str, float]:
    """Move labels apart, from the lowest up, so that none covers another."""
    placed: dict[str, float] = {}
    floor = 0.02
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        placed[name] = max(height, floor)
        floor = placed[name] + gap
    return placed


def _after_start(frame: pd.DataFrame) -> float:
    """Largest total error after the first epochs, when the net is no longer guessing."""
    later = frame[frame.epoch > 0.1 * frame.epoch.max()]
    return float(later[["train_error", "test_error"]].max().max())


def _mark_stop(ax: Axes, frame: pd.DataFrame) -> None:
    stops = early_stopping.oracle(frame).epoch
    first, last = int(stops.min()), int(stops.max())
    if last > first:
        ax.axvspan(first, last, color=HAIRLINE, alpha=0.08, linewidth=0)
    ax.axvline(float(stops.median()), color=HAIRLINE, linewidth=1, linestyle=":")
    words = f"epoch {first}" if first == last else f"epochs {first} to {last}"
    ax.annotate(
        f"lowest test error:\n{words}", (float(stops.median()), 0.98), xycoords=("data", "axes fraction"),
        xytext=(6, 0), textcoords="offset points", va="top", color=HAIRLINE, fontsize=11,
    )  # fmt: skip
