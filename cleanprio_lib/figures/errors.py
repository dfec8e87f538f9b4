"""Errors over epochs: on the training and test sets, and on the clean and the noisy subset."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from cleanprio_lib import early_stopping
from cleanprio_lib.figures.epochs import lines, mark_stops, name_stops
from cleanprio_lib.figures.style import ROLES, WIDTH, label_ends, level_line


def total_errors(frame: pd.DataFrame, *, level: float) -> Figure:
    """Training and test error over epochs, with the noise level: the paper's Figure 1.

    Args:
        frame: a row for each (seed, epoch) with `train_error` and `test_error`.
        level: $\\delta$, drawn as a thin line.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.7))
    names = ["train_error", "test_error"]
    ends = lines(ax, frame, names, [ROLES[name] for name in names])
    ends.append(level_line(ax, f"noise level\nδ = {level:g}", level))
    ax.set(ylabel="classification error (fraction)", ylim=(0, max(0.5, 1.1 * _after_start(frame))))
    label_ends(ax, ends)
    stops = early_stopping.oracle(frame)
    mark_stops(ax, stops)
    name_stops(ax, stops)
    return figure


def subset_errors(frame: pd.DataFrame) -> Figure:
    """Errors on the clean and the noisy subset over epochs, the noisy one against given and true labels.

    Args:
        frame: a row for each (seed, epoch) with `clean_error`, `noisy_error` and `noisy_true_error`.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.7))
    names = ["clean_error", "noisy_error", "noisy_true_error"]
    ends = lines(ax, frame, names, [ROLES[name] for name in names])
    ax.set(ylabel="classification error (fraction)", ylim=(0, 1.04))
    label_ends(ax, ends)
    stops = early_stopping.oracle(frame)
    mark_stops(ax, stops)
    name_stops(ax, stops)
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


def _after_start(frame: pd.DataFrame) -> float:
    """Largest total error after the first epochs, when the net is no longer guessing."""
    later = frame[frame.epoch > 0.1 * frame.epoch.max()]
    return float(later[["train_error", "test_error"]].max().max())
