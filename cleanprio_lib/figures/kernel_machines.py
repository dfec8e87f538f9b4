"""Pictures of kernel machines: their errors, solved and measured, and their eigenspaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cleanprio_lib.figures.style import BAND, HAIRLINE, ROLES, WIDTH, End, label_ends, level_line

ERRORS = ("test_error", "clean_error", "noisy_error")
TOTALS = ("train_error", "test_error")
SUBSETS = ("clean_error", "noisy_error")


def errors_by_kernel(panels: Mapping[str, pd.DataFrame], *, level: float) -> Figure:
    r"""Total errors above and errors of the subsets below, over time, for several kernels side by side.

    Args:
        panels: title of each column, and a row for each (seed, epoch) with `time` and the errors. Lines: mean
            over seeds; bands: their range.
        level: $\delta$, a thin line in the upper panels.

    Source: Figure 9 of the paper has the upper row.
    """
    figure, axes = plt.subplots(
        2, len(panels), figsize=(WIDTH, 4.8), sharex="col", sharey="row", squeeze=False
    )
    for column, (title, frame) in enumerate(panels.items()):
        later = frame[frame.epoch > 0]
        for ax, names in zip(axes[:, column], (TOTALS, SUBSETS), strict=True):
            _over_time(ax, later, names)
        axes[0, column].set_title(title, fontsize=12)
        noise_level = level_line(axes[0, column], "δ", level)
        axes[1, column].set_xlabel("time t")
    axes[0, 0].set(ylabel="error (fraction)", ylim=(0, max(0.55, 1.25 * level)))
    axes[1, 0].set(ylabel="error (fraction)", ylim=(0, 1.02))
    last = list(panels.values())[-1]
    for ax, ends in ((axes[0, -1], [*_ends(last, TOTALS), noise_level]), (axes[1, -1], _ends(last, SUBSETS))):
        label_ends(ax, ends, height=2.4)
    return figure


def solved_errors(frame: pd.DataFrame, *, turn: float, level: float) -> Figure:
    r"""Errors in the mean over all placements of the noise, and of draws of it.

    Args:
        frame: a row for each `time` with, for each error, its exact mean, `drawn_*`, `low_*` and `high_*`.
        turn: the time of the lowest mean test error.
        level: $\delta$, a thin line.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.9))
    for name in ERRORS:
        role = ROLES[name]
        ax.fill_between(
            frame.time, frame[f"low_{name}"], frame[f"high_{name}"], color=role.color, alpha=BAND, linewidth=0
        )
        ax.plot(frame.time, frame[name], color=role.color, linestyle=role.linestyle)
        ax.plot(frame.time, frame[f"drawn_{name}"], "o", color=role.color, markersize=3.5)
    noise_level = level_line(ax, "δ", level)
    ax.axvline(turn, color=HAIRLINE, linewidth=1, linestyle=":")
    ax.set(xscale="log", xlim=(frame.time.min(), frame.time.max()), ylim=(0, 1), xlabel="time t")
    ax.set_ylabel("error (fraction)")
    label_ends(ax, [*_ends(frame, ERRORS), noise_level])
    return figure


def net_and_kernel(frame: pd.DataFrame, *, widths: Sequence[int], seed: int) -> Figure:
    """A wide net's errors on those of its kernel machine: over time for one seed, and all against each other.

    Args:
        frame: rows (seed, width, epoch) of `kernel_wide_net.wide_nets`.
        widths: one or two of them; the last is drawn as discs over time, and against the prediction.
        seed: whose curves are drawn over time.
    """
    figure, (upper, lower) = plt.subplots(2, figsize=(WIDTH, 8.4), height_ratios=(1, 1.15))
    own = frame[(frame.seed == seed) & (frame.width == widths[-1])]
    for name in ERRORS:
        role = ROLES[name]
        low, high = own[f"low_{name}"], own[f"high_{name}"]
        upper.fill_between(own.time, low, high, color=role.color, alpha=BAND / 2, linewidth=0)
        upper.plot(
            own.time, own[f"predicted_{name}"], color=role.color, linestyle=role.linestyle, linewidth=1.6
        )
        upper.plot(own.time, own[name], "o", color=role.color, markersize=5)
    upper.set(xscale="log", xlim=(own.time.min() * 0.9, own.time.max() * 1.1), ylim=(0, 1))
    upper.set(xlabel="time t", ylabel="error (fraction)")
    label_ends(upper, _ends(own, ERRORS, prefix="predicted_"))
    lower.plot([0, 1], [0, 1], color=HAIRLINE, linewidth=1)
    for width, marker in zip(widths, "x." if len(widths) > 1 else ".", strict=True):
        for name in ERRORS:
            of = frame[frame.width == width]
            style = {"alpha": 0.9, "markersize": 8} if marker == "." else {"alpha": 0.45, "markersize": 4.5}
            lower.plot(
                of[f"predicted_{name}"], of[name], marker, color=ROLES[name].color, markeredgewidth=1, **style
            )
    lower.set(xlim=(-0.01, 0.95), ylim=(-0.01, 0.95), aspect="equal")
    lower.set(xlabel="error of the kernel machine", ylabel="error of the net")
    if len(widths) > 1:
        text = f"discs: width {widths[-1]:,}\ncrosses: width {widths[0]:,}"
        lower.annotate(text, (0.04, 0.96), xycoords="axes fraction", va="top", color=HAIRLINE, fontsize=11)
    return figure


def two_accounts(spaces: pd.DataFrame, predicted: pd.Series, *, turn: float) -> Figure:
    r"""What labels and noise have in each eigenspace, and there the cosine of the two gradients.

    Args:
        spaces: of `kernel_eigenspaces.eigenspaces`.
        predicted: the cosine that `strength` alone predicts, for each row.
        turn: the time of the lowest mean test error.
    """
    figure, (upper, lower) = plt.subplots(2, figsize=(WIDTH, 5.6), sharex=True)
    upper.axhline(1, color=HAIRLINE, linewidth=1)
    for column, role in (("strength", ROLES["true"]), ("noise", ROLES["noisy"])):
        upper.plot(
            spaces.time, spaces[column], color=role.color, linestyle=role.linestyle, marker="o", markersize=4
        )
    upper.set(yscale="log", ylabel="part in an eigenspace,\nover an even share")
    lower.axhline(0, color=HAIRLINE, linewidth=1)
    color = ROLES["test_error"].color
    lower.plot(spaces.time, predicted, color=color, linewidth=1.5)
    lower.plot(spaces.time, spaces.cosine, "o", color=color, markersize=5)
    lower.set(ylim=(-1.06, 1.06), ylabel="cosine of clean and\nnoisy gradient there")
    lower.set(xscale="log", xlabel="time 1/λ at which the eigenspace is learnt")
    for ax in (upper, lower):
        ax.axvline(turn, color=HAIRLINE, linewidth=1, linestyle=":")
    label_ends(
        upper,
        [
            End("true labels", ROLES["true"].color, float(spaces.strength.iloc[-1])),
            End("noise", ROLES["noisy"].color, float(spaces.noise.iloc[-1])),
        ],
        height=2.8,
    )
    return figure


def words_errors(frame: pd.DataFrame, *, prefix: str = "") -> str:
    """Alt text: the three errors at first, where the test error is lowest, and last; means over seeds."""
    by_time = frame.groupby("epoch" if "epoch" in frame else "time").mean(numeric_only=True)
    place = int(by_time[f"{prefix}test_error"].to_numpy().argmin())
    lowest = float(by_time.reset_index().time.iloc[place])
    sentences = []
    for name in ERRORS:
        curve = by_time[f"{prefix}{name}"]
        moments = f"{curve.iloc[0]:.2f} at first, {curve.iloc[place]:.2f} at time {lowest:.2g}"
        sentences.append(
            f"{name.split('_')[0].capitalize()} error: {moments}, {curve.iloc[-1]:.2f} at the end."
        )
    return " ".join(sentences)


def words_two_accounts(spaces: pd.DataFrame) -> str:
    """Alt text for `two_accounts`: the first eigenspaces and the last."""
    top, end = spaces.iloc[int(spaces.strength.to_numpy().argmax())], spaces.iloc[-1]
    return (
        f"The labels' part is {top.strength:.0f} times an even share in eigenvectors {top['first']:.0f} to "
        f"{top['last']:.0f}, where the cosine is {top.cosine:.2f}, and {end.strength:.2f} times in the last "
        f"ones, where it is {end.cosine:.2f}. The noise's part is near one share everywhere."
    ).replace("-", "−")


def _over_time(ax: Axes, frame: pd.DataFrame, names: Sequence[str]) -> None:
    by_epoch = frame.groupby("epoch")
    time = by_epoch.time.mean()
    for name in names:
        role = ROLES[name]
        mean, low, high = (by_epoch[name].agg(statistic) for statistic in ("mean", "min", "max"))
        ax.plot(time, mean, color=role.color, linestyle=role.linestyle)
        ax.fill_between(time, low, high, color=role.color, alpha=BAND, linewidth=0)
    ax.set(xscale="log", xlim=(time.min(), time.max()))


def _ends(frame: pd.DataFrame, names: Sequence[str], *, prefix: str = "") -> list[End]:
    moment = "epoch" if "epoch" in frame else "time"
    last = frame[frame[moment] == frame[moment].max()]
    short = {"train_error": "training", "clean_error": "clean", "noisy_error": "noisy"}
    return [
        End(short.get(name, ROLES[name].label), ROLES[name].color, float(last[f"{prefix}{name}"].mean()))
        for name in names
    ]
