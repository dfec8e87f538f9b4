r"""Pictures of single-logit gradients before the first step: directions, all subsets' sums, and ratios.

Vermilion has a wrong label at the logit, green and blue have a right one.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cleanprio_lib.figures.sample_gradients import _histogram
from cleanprio_lib.figures.style import HAIRLINE, ROLES, WIDTH

SUBSETS = ("clean", "other", "noisy")
# Role and marker of each subset's sum; open where the paper has no name for the subset.
MARKS = {
    "clean": ("clean", "o", True),
    "noisy": ("noisy", "v", True),
    "other": ("other", "s", True),
    "into": ("noisy", "^", False),
    "elsewhere": ("other", "D", False),
}
NAMES = {
    "clean": "clean",
    "noisy": "noisy",
    "other": "other",
    "into": "labelled c",
    "elsewhere": "third class",
}


def single_logit_angles(frame: pd.DataFrame) -> Figure:
    r"""Histograms of $\theta_g$ at every logit: clean, other and noisy samples; dashed: subset gradients.

    Args:
        frame: rows (seed, class, subset) with `count`, `mean` and `subset_angle` in radians, and `bin_0`,
            `bin_3`, …. Bars are shares of the subset, means over seeds; pale ones the largest of the seeds.

    Source: Figure 10 of the paper.
    """
    logits = sorted(frame["class"].unique())
    rows = -(-len(logits) // 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(WIDTH, 0.7 + 1.5 * rows), sharex=True, sharey=True, squeeze=False
    )
    for ax, c in zip(axes.flat, logits, strict=False):
        own = frame[frame["class"] == c]
        for subset in SUBSETS:
            _histogram(ax, _shares(own[own.subset == subset]), ROLES[subset].color)
        ax.text(0.5, 0.9, f"logit {c}", transform=ax.transAxes, fontsize=11, va="top", ha="center")
        ax.set(xlim=(0, 180), xticks=[0, 60, 120, 180])
    axes[0, 0].set_ylim(0, None)
    for ax in axes.flat[len(logits) :]:
        ax.remove()
    for ax in axes[0]:
        _names_above(ax)
    figure.supxlabel(r"angle $\theta_g$ with $g_{clean}$ (degrees)", fontsize=12)
    figure.supylabel("share of the subset in a bin of 3°", fontsize=12)
    return figure


def subset_sums(frame: pd.DataFrame, predicted: dict[str, float]) -> Figure:
    r"""Length and direction of all subsets' sums at every logit: a mark for each logit, mean over seeds.

    Args:
        frame: rows (seed, class, subset) with `subset_angle` in radians and `size`, in lengths of g_clean.
        predicted: of `theory.single_logit_sizes`: thin lines at their lengths.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.6))
    means = frame.groupby(["subset", "class"])[["subset_angle", "size"]].mean()
    for subset, (role, marker, filled) in MARKS.items():
        own, color = means.loc[subset], ROLES[role].color
        face = color if filled else "none"
        ax.plot(
            np.degrees(own.subset_angle), own["size"], marker, color=color, markersize=5.5,
            markerfacecolor=face, label=NAMES[subset],
        )  # fmt: skip
        ax.axhline(abs(predicted[subset]), color=HAIRLINE, linewidth=0.8, linestyle=":", zorder=0)
    ax.set(yscale="log", xlim=(-6, 186), xticks=[0, 60, 120, 180])
    ax.set_xlabel(r"angle of the sum with $g_{clean}$ (degrees)")
    ax.set_ylabel(r"length, in lengths of $g_{clean}$")
    ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2) if _within(ax, tick)]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    figure.legend(
        loc="outside upper center", ncols=3, frameon=False, fontsize=11, handletextpad=0.2, columnspacing=1.2
    )
    return figure


def logit_ratios(frame: pd.DataFrame, *, wanted: float, counted: pd.DataFrame) -> Figure:
    r"""Clean over noisy gradient of each class before the first step: at its own logit, and over all.

    Args:
        frame: rows (seed, class) with `ratio` and `full_ratio`.
        wanted: the ratio below equation 14, a dotted line.
        counted: a row for each class with `full_ratio`, what theory makes of the number of noisy samples.
    """
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2), sharey=True)
    color = ROLES["clean"].color
    for ax, column, title in zip(
        axes, ("ratio", "full_ratio"), ("its own logit", "all logits together"), strict=True
    ):
        seeds = frame.seed.nunique()
        for place, (_, own) in enumerate(frame.groupby("seed")):
            shift = 0.5 * (place / max(seeds - 1, 1) - 0.5)
            ax.plot(own["class"] + shift, own[column], "o", color=color, markersize=3, markeredgewidth=0)
        ax.axhline(wanted, color=HAIRLINE, linewidth=1, linestyle=":")
        ax.set_title(title, fontsize=11)
        ax.set(xticks=[0, 2, 4, 6, 8], ylim=(0, None), xlabel="class c")
    axes[1].plot(
        counted["class"],
        counted.full_ratio,
        "_",
        color=ROLES["test_error"].color,
        markersize=9,
        label="counted",
    )
    axes[0].set_ylabel(r"$\Vert g_{clean}\Vert\,/\,\Vert g_{noise}\Vert$")
    return figure


def words_single_logit_angles(frame: pd.DataFrame) -> str:
    """Alt text for `single_logit_angles`."""
    means = 180 / np.pi * frame.groupby(["subset", "class"])[["mean", "subset_angle"]].mean()
    parts = []
    for subset in SUBSETS:
        own = means.loc[subset]
        low, high = own["mean"].min(), own["mean"].max()
        words = f"{subset} samples lie around {low:.0f} to {high:.0f} degrees"
        if subset != "clean":
            words += f", their sums at {own.subset_angle.min():.0f} to {own.subset_angle.max():.0f}"
        parts.append(words)
    count = frame["class"].nunique()
    return f"Histograms of angles with the clean subset's gradient at {count} logits. {'; '.join(parts)}."


def words_subset_sums(frame: pd.DataFrame) -> str:
    """Alt text for `subset_sums`."""
    means = frame.groupby("subset")[["subset_angle", "size"]].mean()
    parts = [
        f"{NAMES[subset]}: {np.degrees(means.subset_angle[subset]):.0f} degrees, "
        f"{means['size'][subset]:.2g} of the clean sum's length"
        for subset in MARKS
        if subset != "clean"
    ]
    return f"Sums of five subsets at every logit, means over logits. {'; '.join(parts)}."


def words_logit_ratios(frame: pd.DataFrame) -> str:
    """Alt text for `logit_ratios`."""
    own, full = frame.ratio, frame.full_ratio
    return (
        f"Ratios of clean to noisy gradient by class. At the class's own logit from {own.min():.1f} to "
        f"{own.max():.1f}, over all logits together from {full.min():.1f} to {full.max():.1f}."
    )


def _shares(own: pd.DataFrame) -> pd.DataFrame:
    columns = [name for name in own if str(name).startswith("bin_")]
    return own.assign(**own[columns].div(own["count"], axis=0))


def _names_above(ax: Axes) -> None:
    for subset, place in (("clean", 0.12), ("other", 0.5), ("noisy", 0.88)):
        ax.annotate(
            subset, (place, 1.0), xycoords="axes fraction", xytext=(0, 3), textcoords="offset points",
            ha="center", color=ROLES[subset].color, fontsize=11,
        )  # fmt: skip


def _within(ax: Axes, tick: float) -> bool:
    low, high = ax.get_ylim()
    return low <= tick <= high
