r"""Pictures of angles between derivatives: over the circle, over widths, in clusters and in training."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator
from numpy.typing import NDArray

from cleanprio_lib.figures.style import BAND, HAIRLINE, ROLES, WIDTH, End, label_ends

MARKERS = {2: "o", 3: "s", 5: "^"}
INPUT_ANGLE = r"angle between inputs $\theta_d$ (degrees)"
DERIVATIVE_ANGLE = r"angle between $\nabla h$: $\theta_h$ (degrees)"
RIGHT_ANGLES = [0, 45, 90, 135, 180]


def derivative_angles(table: pd.DataFrame) -> Figure:
    r"""$\theta_h$ over $\theta_d$: theory as lines, means over seeds as marks, their range as bands.

    Args:
        table: rows (activation, depth, degrees) with `theory`, `mean`, `low` and `high` in degrees.

    Source: Figure 2 of the paper.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.9))
    ends = []
    for place, (name, own) in enumerate(_nets(table)):
        role = ROLES[name]
        ax.plot(own.degrees, own.theory, color=role.color, linewidth=1.2)
        ax.fill_between(own.degrees, own.low, own.high, color=role.color, alpha=BAND, linewidth=0)
        marked = own[own.degrees % 30 == 10 * (place % 3)]
        marker = MARKERS[int(own.depth.iloc[0])]
        hollow = "white" if name.startswith("linear") else role.color
        ax.plot(
            marked.degrees, marked["mean"], marker, color=role.color, markerfacecolor=hollow, markersize=5,
            clip_on=False,
        )  # fmt: skip
        ends.append(End(f"{_symbol(marker, hollow)} {role.label}", role.color, float(own["mean"].iloc[-1])))
    for line in (ax.axvline, ax.axhline):
        line(90, color=HAIRLINE, linewidth=0.7, linestyle=":")
    ax.set(xlabel=INPUT_ANGLE, ylabel=DERIVATIVE_ANGLE, xlim=(0, 180), ylim=(0, 180))
    ax.set(xticks=RIGHT_ANGLES, yticks=RIGHT_ANGLES)
    label_ends(ax, ends)
    return figure


def angle_deviations(table: pd.DataFrame, *, critical: float) -> Figure:
    r"""Distance of $\theta_h$ from theory, a panel for each net: mean, range of the seeds, room for chance.

    Args:
        table: as in `derivative_angles`, with the standard `error` of the mean.
        critical: standard errors that the mean may be off by chance; drawn as lines.
    """
    nets = _nets(table)
    kinds = list(dict.fromkeys(table.activation))
    rows = len(nets) // len(kinds)
    figure, axes = plt.subplots(
        rows, len(kinds), figsize=(WIDTH, 1.6 * rows), sharex=True, sharey=True, squeeze=False
    )
    for ax, (name, own) in zip(axes.T.flat, nets, strict=True):
        role, theory = ROLES[name], own.theory
        ax.fill_between(
            own.degrees, own.low - theory, own.high - theory, color=role.color, alpha=BAND, linewidth=0
        )
        ax.plot(own.degrees, own["mean"] - theory, color=role.color)
        for sign in (-1, 1):
            ax.plot(own.degrees, sign * critical * own.error, color=HAIRLINE, linewidth=0.8, linestyle="--")
        ax.set_title(role.label, fontsize=11, color=role.color, pad=3)
        ax.set(xlim=(0, 180), xticks=[0, 90, 180])
    figure.supxlabel(INPUT_ANGLE, fontsize=12)
    figure.supylabel(r"$\theta_h$ minus theory (degrees)", fontsize=12)
    return figure


def finite_width(pooled: pd.DataFrame, law: pd.DataFrame) -> Figure:
    r"""Deviation from the infinitely wide net over width, with the fitted power law, on logarithmic axes.

    Args:
        pooled: rows (activation, depth, width) with `rms` and `error` in degrees.
        law: a row for each net with `exponent`.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.6))
    ends = []
    exponents = {name: float(own.exponent.iloc[0]) for name, own in _nets(law)}
    for name, own in _nets(pooled):
        role, exponent = ROLES[name], exponents[name]
        widths = own.width.to_numpy(dtype=float)
        fitted = np.exp(np.log(own.rms).mean() + exponent * (np.log(widths) - np.log(widths).mean()))
        ax.plot(widths, fitted, color=role.color, linestyle=role.linestyle, linewidth=1.5)
        marker = MARKERS[int(own.depth.iloc[0])]
        ax.errorbar(widths, own.rms, 2 * own.error, fmt=marker, color=role.color, markersize=5, capsize=2)
        ends.append(End(f"{role.label}\n$m^{{{exponent:.2f}}}$", role.color, float(fitted[-1])))
    ax.set(xscale="log", yscale="log", xlabel="width $m$", ylabel=r"rms of $\theta_h$ minus theory (degrees)")
    ticks = sorted(pooled.width.unique())
    ax.set_xticks(ticks, [str(width) for width in ticks])
    ax.set_yticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
    ax.minorticks_off()
    label_ends(ax, ends)
    return figure


def clusters(x: NDArray[np.float64], y: NDArray[np.int64], frame: pd.DataFrame) -> Figure:
    r"""Two clusters of inputs, and histograms of $\theta_h$ within and between them: Figure 3.

    Args:
        x: (n, 2) inputs of one seed.
        y: (n,) their clusters.
        frame: rows (seed, source, pairs) with columns `bin_0`, `bin_3`, …: bars are means over seeds of
            source "net", whiskers their range, lines those of source "theory".
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.8), width_ratios=(1, 1.45))
    for cluster, marker in enumerate(("o", "^")):
        points = x[y == cluster]
        left.plot(*points.T, marker, color=("#1a1a1a", "#8c8c8c")[cluster], markersize=3.5)
    left.set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$", xlim=(-0.4, 1.4), ylim=(-0.4, 1.4))
    top = 0.4
    for name, place in (("within", (24, 0.17)), ("between", (68, 0.3))):
        role = ROLES[name]
        edges, shares = _histogram(frame, "net", name)
        mean = shares.mean(axis=0)
        width = edges[1] - edges[0]
        spread = np.abs(np.stack([shares.min(axis=0), shares.max(axis=0)]) - mean)
        right.bar(edges[:-1], mean, width, align="edge", color=role.color, alpha=0.45, linewidth=0)
        seen = mean > 0
        middles = (edges[:-1] + width / 2)[seen]
        right.errorbar(middles, mean[seen], spread[:, seen], fmt="none", color=role.color, linewidth=0.8)
        right.stairs(
            _histogram(frame, "theory", name)[1].mean(axis=0), edges, color=role.color, linewidth=1.6
        )
        right.text(
            *place, role.label, color=role.color, fontsize=11, ha="left" if name == "within" else "right"
        )
        top = max(top, 1.03 * float(shares.max()))
    right.set(xlabel=r"$\theta_h$ (degrees)", ylabel="fraction of pairs", xlim=(0, 93), ylim=(0, top))
    right.set_xticks([0, 30, 60, 90])
    return figure


def derivatives_in_training(stops: pd.DataFrame) -> Figure:
    r"""How far the derivatives have moved at the early stopping point, over width, on logarithmic axes.

    Args:
        stops: rows (seed, width) with `cosine` and `angle_moved` in radians.
    """
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.9))
    color = ROLES["test_error"].color
    moved = {
        r"$1-\cos(\nabla h(w_t),\nabla h(w_0))$": 1 - stops.cosine,
        r"rms change of $\theta_h$ (degrees)": np.degrees(stops.angle_moved),
    }
    for ax, (label, values) in zip(axes, moved.items(), strict=True):
        mean = values.groupby(stops.width).mean()
        ax.plot(stops.width, values, "o", color=HAIRLINE, markersize=4, alpha=0.6)
        ax.plot(mean.index, mean, color=color)
        ax.set(xscale="log", yscale="log", xlabel="width $m$", ylabel=label)
        ax.set_xticks(list(mean.index), [str(width) for width in mean.index])
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        ax.minorticks_off()
    return figure


def words_derivative_angles(table: pd.DataFrame) -> str:
    """Alt text for `derivative_angles`."""
    parts = []
    for name, own in _nets(table):
        top = own["mean"].to_numpy().argmax()
        parts.append(
            f"{ROLES[name].label} reaches {own['mean'].iloc[top]:.0f} degrees at {own.degrees.iloc[top]} "
            f"and ends at {own['mean'].iloc[-1]:.0f} degrees"
        )
    return f"Curves of the angle between derivatives over the angle between inputs: {'; '.join(parts)}."


def words_angle_deviations(table: pd.DataFrame) -> str:
    """Alt text for `angle_deviations`."""
    parts = []
    for name, own in _nets(table):
        mean = (own["mean"] - own.theory).abs().max()
        seed = np.maximum(own.high - own.theory, own.theory - own.low).max()
        parts.append(
            f"{ROLES[name].label}: mean at most {mean:.1f} degrees from zero, single seeds {seed:.1f}"
        )
    return f"Six panels of distances from theory. {'; '.join(parts)}."


def words_finite_width(pooled: pd.DataFrame, law: pd.DataFrame) -> str:
    """Alt text for `finite_width`."""
    exponents = {name: own.exponent.iloc[0] for name, own in _nets(law)}
    parts = [
        f"{ROLES[name].label} from {own.rms.iloc[0]:.1f} to {own.rms.iloc[-1]:.1f} degrees, "
        f"power {exponents[name]:.2f}"
        for name, own in _nets(pooled)
    ]
    span = f"from width {pooled.width.min()} to {pooled.width.max()}"
    return f"Straight falling lines on logarithmic axes {span}: {'; '.join(parts)}."


def words_clusters(frame: pd.DataFrame) -> str:
    """Alt text for `clusters`."""
    means = np.degrees(frame[frame.source == "net"].groupby("pairs")["mean"].mean())
    return (
        "Left: two clusters of points in the plane. Right: histograms of the angle between derivatives, with "
        f"the prediction as lines: within clusters around {means['within']:.0f} degrees, between them around "
        f"{means['between']:.0f}."
    )


def words_derivatives_in_training(stops: pd.DataFrame) -> str:
    """Alt text for `derivatives_in_training`."""
    mean = stops.groupby("width")[["cosine", "angle_moved"]].mean()
    parts = [
        f"width {width}: 1 − cos {1 - row.cosine:.3f}, angles moved {np.degrees(row.angle_moved):.2f} degrees"
        for width, row in mean.iterrows()
    ]
    return f"How far derivatives have moved, over the width. {'; '.join(parts)}."


def _nets(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Role and rows of each net, in the table's order."""
    return [
        (f"{own.activation.iloc[0]}_{own.depth.iloc[0]}", own)
        for _, own in table.groupby(["activation", "depth"], sort=False)
    ]


def _symbol(marker: str, face: str) -> str:
    filled, hollow = {"o": ("●", "○"), "s": ("■", "□"), "^": ("▲", "△")}[marker]
    return hollow if face == "white" else filled


def _histogram(
    frame: pd.DataFrame, source: str, pairs: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges of the bins, and (seeds, bins) fractions of pairs."""
    columns = [name for name in frame if str(name).startswith("bin_")]
    low = np.array([float(str(name).removeprefix("bin_")) for name in columns])
    chosen = frame[(frame.source == source) & (frame.pairs == pairs)]
    return np.append(low, 2 * low[-1] - low[-2]), chosen[columns].to_numpy(dtype=float)
