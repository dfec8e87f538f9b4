"""Errors over epochs: on the training and test sets, and on the clean and the noisy subset."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cleanprio_lib import early_stopping
from cleanprio_lib.figures.style import BAND, HAIRLINE, ROLES, End, label_ends


def total_errors(frame: pd.DataFrame, *, level: float) -> Figure:
    """Training and test error over epochs, with the noise level: the paper's Figure 1.

    Args:
        frame: a row for each (seed, epoch) with `train_error` and `test_error`.
        level: $\\delta$, drawn as a thin line.
    """
    figure, ax = plt.subplots()
    ends = _lines(ax, frame, ["train_error", "test_error"])
    ax.axhline(level, color=HAIRLINE, linewidth=1)
    ends.append(End(f"noise level\nδ = {level:g}", HAIRLINE, level))
    ax.set(ylabel="classification error (fraction)", ylim=(0, max(0.5, 1.1 * _after_start(frame))))
    label_ends(ax, ends)
    _mark_stop(ax, frame, height=0.98)
    return figure


def subset_errors(frame: pd.DataFrame) -> Figure:
    """Errors on the clean and the noisy subset over epochs, the noisy one against given and true labels.

    Args:
        frame: a row for each (seed, epoch) with `clean_error`, `noisy_error` and `noisy_true_error`.
    """
    figure, ax = plt.subplots()
    ends = _lines(ax, frame, ["clean_error", "noisy_error", "noisy_true_error"])
    ax.set(ylabel="classification error (fraction)", ylim=(0, 1.04))
    label_ends(ax, ends)
    _mark_stop(ax, frame, height=0.62)
    return figure


def words_total_errors(frame: pd.DataFrame) -> str:
    """Alt text for `total_errors`: what is to be seen, in numbers."""
    stop, end = _at_stop_and_end(frame)
    start = frame[frame.epoch == 0].mean()
    return (
        f"Test error falls from {start.test_error:.2f} to {stop.test_error:.2f} "
        f"around epoch {stop.epoch:.0f}, then climbs to {end.test_error:.2f} at epoch {end.epoch:.0f}. "
        f"Training error falls from {start.train_error:.2f} to {stop.train_error:.2f} "
        f"and on to {end.train_error:.2f}."
    )


def words_subset_errors(frame: pd.DataFrame) -> str:
    """Alt text for `subset_errors`."""
    stop, end = _at_stop_and_end(frame)
    return (
        f"Around epoch {stop.epoch:.0f}, where test error is lowest, the error on the clean subset is "
        f"{stop.clean_error:.2f} and on the noisy subset {stop.noisy_error:.2f} against the given labels but "
        f"{stop.noisy_true_error:.2f} against the true ones. At the last epoch, {end.epoch:.0f}, these three "
        f"are {end.clean_error:.2f}, {end.noisy_error:.2f} and {end.noisy_true_error:.2f}."
    )


def _at_stop_and_end(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    return early_stopping.oracle(frame).mean(), frame[frame.epoch == frame.epoch.max()].mean()


def _lines(ax: Axes, frame: pd.DataFrame, columns: Sequence[str]) -> list[End]:
    """Mean over seeds as a line, their full range as a band; returns where the lines end."""
    by_epoch = frame.groupby("epoch")
    ends = []
    for column in columns:
        role = ROLES[column]
        mean, low, high = (by_epoch[column].agg(statistic) for statistic in ("mean", "min", "max"))
        ax.plot(mean.index, mean, color=role.color, linestyle=role.linestyle)
        ax.fill_between(mean.index, low, high, color=role.color, alpha=BAND, linewidth=0)
        ends.append(End(role.label, role.color, float(mean.iloc[-1])))
    ax.set(xlabel="epoch", xlim=(0, frame.epoch.max()))
    return ends


def _after_start(frame: pd.DataFrame) -> float:
    """Largest total error after the first epochs, when the net is no longer guessing."""
    later = frame[frame.epoch > 0.1 * frame.epoch.max()]
    return float(later[["train_error", "test_error"]].max().max())


def _mark_stop(ax: Axes, frame: pd.DataFrame, *, height: float) -> None:
    stops = early_stopping.oracle(frame).epoch
    first, last = int(stops.min()), int(stops.max())
    if last > first:
        ax.axvspan(first, last, color=HAIRLINE, alpha=0.08, linewidth=0)
    ax.axvline(float(stops.median()), color=HAIRLINE, linewidth=1, linestyle=":")
    words = f"epoch {first}" if first == last else f"epochs {first} to {last}"
    ax.annotate(
        f"lowest test error:\n{words}", (float(stops.median()), height), xycoords=("data", "axes fraction"),
        xytext=(6, 0), textcoords="offset points", va="top", color=HAIRLINE, fontsize=11,
    )  # fmt: skip
