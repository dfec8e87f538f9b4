r"""Pictures of sample gradients before the first step: their directions, and their subsets' lengths."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cleanprio_lib.figures.style import BAND, HAIRLINE, ROLES, WIDTH

SUBSETS = ("clean", "other", "noisy")
START_NAMES = {
    "ntk": "eq. 7",
    "ntk_centred": "eq. 7,\ncentred",
    "standard": "PyTorch",
}
CLASS_MARKERS = {0: "o", 1: "^"}
SAMPLE_ANGLE = r"$\theta_g$ with $g_{clean}$ (degrees)"


def sample_gradient_angles(panels: Mapping[str, pd.DataFrame], *, columns: int = 2) -> Figure:
    r"""Histograms of $\theta_g$ of the clean, other and noisy samples; dashed lines: subset gradients.

    Args:
        panels: title of each panel, and its rows (seed, subset) of one source and class, with `subset_angle`
            in radians and `bin_0`, `bin_3`, …, samples in bins of 3 degrees. Bars are means over seeds,
            pale ones behind them the largest of the seeds.
        columns: panels side by side.

    Source: Figure 4 of the paper.
    """
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 2.9 * rows), squeeze=False)
    for ax, (title, frame) in zip(axes.flat, panels.items(), strict=False):
        for subset in SUBSETS:
            _histogram(ax, frame[frame.subset == subset], ROLES[subset].color)
        ax.set_title(title, fontsize=11, pad=18)
        ax.set(xlim=(0, 180), xticks=[0, 60, 120, 180], ylim=(0, None))
        _name_subsets(ax, frame)
    for ax in axes[-1]:
        ax.set_xlabel(SAMPLE_ANGLE, fontsize=11)
    for ax in axes[:, 0]:
        ax.set_ylabel("samples in a bin of 3°", fontsize=11)
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    return figure


def initial_ratios(frame: pd.DataFrame, predicted: pd.DataFrame) -> Figure:
    r"""Clean over noisy gradient before the first step: by start, and over the initial logit.

    Args:
        frame: rows (seed, start, class) of one level, with `ratio` and the class's mean `logit`.
        predicted: rows (class, logit) with `ratio`, among them one for the logit 0.

    Source: equation 8 of the paper, and what it becomes with an initial logit $h_0$.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.5), width_ratios=(1.3, 1))
    starts = [start for start in START_NAMES if start in set(frame.start)]
    for place, start in enumerate(starts):
        own = frame[frame.start == start].pivot(index="seed", columns="class", values="ratio")
        for c, offset in ((0, -0.22), (1, 0.0)):
            _dots(left, place + offset, own[c], c)
        mean = np.exp(np.log(own).mean(axis=1))
        left.plot(np.full(len(mean), place + 0.22), mean, "_", color=ROLES["test_error"].color, markersize=9)
    names = [START_NAMES[start] for start in starts]
    left.set_xticks(range(len(starts)), names, fontsize=11)
    left.set(
        yscale="log",
        ylabel=r"$\Vert g_{clean}\Vert\,/\,\Vert g_{noise}\Vert$",
        xlim=(-0.5, len(starts) - 0.5),
    )
    for c in (0, 1):
        color, curve = _class_color(c), predicted[predicted["class"] == c]
        right.plot(curve.logit, curve.ratio, color=color, linewidth=1.2)
        own = frame[(frame.start == "standard") & (frame["class"] == c)]
        right.plot(own.logit, own.ratio, CLASS_MARKERS[c], color=color, markersize=4.5)
        foot = curve.iloc[int(curve.ratio.to_numpy().argmin())]
        right.annotate(
            f"class {c}", (foot.logit, foot.ratio), xytext=(14 - 28 * c, -2), textcoords="offset points",
            ha="left" if c == 0 else "right", color=color, fontsize=11,
        )  # fmt: skip
    right.set(xlabel="mean initial logit $h_0$", xlim=(predicted.logit.min(), predicted.logit.max()))
    right.set_title("PyTorch's default", fontsize=11)
    wanted = float(predicted.ratio.to_numpy()[predicted.logit.abs().to_numpy().argmin()])
    for ax in (left, right):
        ax.axhline(wanted, color=HAIRLINE, linewidth=0.8, linestyle=":")
    left.axhline(1, color=HAIRLINE, linewidth=0.8)
    _name_marks(left)
    _plain_logarithmic(left)
    return figure


def projections(frame: pd.DataFrame) -> Figure:
    r"""Share of clean and noisy gradients on their side of the descent, over a constant initial logit.

    Args:
        frame: rows (seed, inputs) of one depth and level and the start "constant", with `logit`, `clean` and
            `noisy`; lines are means over seeds, bands their range.
    """
    names = list(dict.fromkeys(frame.inputs))
    figure, axes = plt.subplots(1, len(names), figsize=(WIDTH, 2.9), sharey=True, squeeze=False)
    for ax, name in zip(axes.flat, names, strict=True):
        own = frame[frame.inputs == name].groupby("logit")
        for subset in ("clean", "noisy"):
            role, values = ROLES[subset], own[subset]
            places = range(own.ngroups)
            ax.plot(
                places, values.mean(), color=role.color, linestyle=role.linestyle, marker="o", markersize=4
            )
            ax.fill_between(places, values.min(), values.max(), color=role.color, alpha=BAND, linewidth=0)
        ax.axhline(0.5, color=HAIRLINE, linewidth=0.8, linestyle=":")
        ax.set_xticks(range(own.ngroups), [f"{logit:g}" for logit in own.groups], rotation=90)
        ax.set_title(name, fontsize=11)
        ax.set(ylim=(0.4, 1.03))
    first = axes.flat[0]
    first.set_ylabel("fraction on its side")
    for subset, height in (("clean", 0.42), ("noisy", 0.3)):
        role = ROLES[subset]
        mark = "—" if subset == "clean" else "- -"
        first.text(0.06, height, f"{mark} {subset}", color=role.color, fontsize=11, transform=first.transAxes)
    figure.supxlabel("constant initial logit $h_0$", fontsize=12)
    return figure


def words_sample_gradient_angles(panels: Mapping[str, pd.DataFrame]) -> str:
    """Alt text for `sample_gradient_angles`."""
    parts = []
    for title, frame in panels.items():
        means = 180 / np.pi * frame.groupby("subset")[["mean", "subset_angle"]].mean()
        parts.append(
            f"{' '.join(title.split())}: clean samples around {means['mean']['clean']:.0f} degrees, other "
            f"around {means['mean']['other']:.0f} with their sum at {means.subset_angle['other']:.0f}, noisy "
            f"around {means['mean']['noisy']:.0f} with their sum at {means.subset_angle['noisy']:.0f}"
        )
    return f"Histograms of angles with the clean subset's gradient. {'; '.join(parts)}."


def words_initial_ratios(frame: pd.DataFrame) -> str:
    """Alt text for `initial_ratios`."""
    parts = []
    for start, name in START_NAMES.items():
        own = frame[frame.start == start]
        if len(own):
            words = name.replace("\n", " ")
            parts.append(f"{words}: single classes from {own.ratio.min():.2g} to {own.ratio.max():.2g}")
    small = frame[frame.start == "standard"].assign(log=lambda own: np.log(own.ratio))
    zero, one = (own.logit.corr(own.log) for _, own in small.groupby("class"))
    return (
        f"Left, ratios of clean to noisy gradient by start: {'; '.join(parts)}. Right, those of PyTorch's "
        f"default over the initial logit: correlation {zero:.2f} for class 0, {one:.2f} for class 1."
    )


def words_projections(frame: pd.DataFrame) -> str:
    """Alt text for `projections`."""
    parts = []
    for name, own in frame.groupby("inputs", sort=False):
        means = own.groupby("logit").clean.mean()
        parts.append(
            f"{name}: {means.iloc[0]:.2f} of the clean samples at logit {means.index[0]:g}, "
            f"{means.iloc[-1]:.2f} at {means.index[-1]:g}"
        )
    return f"Fraction of sample gradients on their side of the descent. {'; '.join(parts)}."


def _histogram(ax: Axes, own: pd.DataFrame, color: str) -> None:
    columns = [name for name in own if str(name).startswith("bin_")]
    edges = np.array([float(str(name).removeprefix("bin_")) for name in columns])
    counts: NDArray[np.float64] = own[columns].to_numpy(dtype=float)
    ends = np.append(edges, 2 * edges[-1] - edges[-2])
    ax.stairs(counts.max(axis=0), ends, fill=True, color=color, alpha=BAND, linewidth=0)
    ax.stairs(counts.mean(axis=0), ends, fill=True, color=color, alpha=0.6, linewidth=0)
    angles = np.degrees(own.subset_angle)
    if angles.max() > 0.1:
        ax.axvline(float(angles.mean()), color=color, linewidth=1.6, linestyle="--")


def _name_subsets(ax: Axes, frame: pd.DataFrame) -> None:
    """Names above the panel, over each subset's histogram, moved apart where two would touch."""
    means = np.degrees(frame.groupby("subset")["mean"].mean())
    other = float(np.clip(means["other"], 62, 108))
    for subset, place in (("clean", 22.0), ("other", other), ("noisy", 160.0)):
        ax.annotate(
            subset, (place, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3), ha="center",
            textcoords="offset points", color=ROLES[subset].color, fontsize=11,
        )  # fmt: skip


def _dots(ax: Axes, place: float, values: pd.Series, c: int) -> None:
    spread = np.linspace(-0.07, 0.07, len(values))
    ax.plot(
        place + spread, values.sort_values(), CLASS_MARKERS[c], color=_class_color(c), markersize=3.5,
        markerfacecolor="none", markeredgewidth=0.9,
    )  # fmt: skip


def _class_color(c: int) -> str:
    return ROLES[f"class_{c}"].color


def _name_marks(ax: Axes) -> None:
    """What the marks are, above the panel."""
    names = (
        ("○ class 0", _class_color(0)),
        ("△ class 1", _class_color(1)),
        ("– both", ROLES["test_error"].color),
    )
    for place, (name, color) in zip((0.0, 0.38, 0.76), names, strict=True):
        ax.annotate(
            name, (place, 1.0), xycoords="axes fraction", xytext=(0, 5), textcoords="offset points",
            color=color, fontsize=11,
        )  # fmt: skip


def _plain_logarithmic(ax: Axes) -> None:
    low, high = ax.get_ylim()
    ticks = [tick for tick in (0.01, 0.02, 0.1, 0.2, 0.5, 1, 2, 5, 10, 50, 100) if low <= tick <= high]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
