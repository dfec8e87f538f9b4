"""Pictures of label noise in practice: what rules cost, how methods fare, how well suspects are found."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cleanprio_lib.figures.style import BAND, HAIRLINE, WIDTH, End, Role, label_ends, level_line

PROBLEMS = (Role("", "#0072B2"), Role("", "#009E73"), Role("", "#D55E00"), Role("", "#8C6BB1"))
MARKERS = "os^D"
METHODS = {
    "plain": Role("plain", "#1a1a1a"),
    "label smoothing": Role("label\nsmoothing", "#0072B2", (0, (5, 1.5))),
    "ELR": Role("ELR", "#009E73"),
    "small loss": Role("small loss", "#D55E00", "--"),
    "Co-teaching": Role("Co-teaching", "#8C6BB1", "-."),
    "AUM": Role("AUM", "#7A7A1F", (0, (3, 1, 1, 1))),
}
RANKINGS = {
    "residual at the stop": Role("residual\nat the stop", "#1a1a1a"),
    "residual at the end": Role("residual\nat the end", "#808080", (0, (6, 1))),
    "area under the margin": Role("area under\nthe margin", "#D55E00", "--"),
    "cross-validated confidence": Role("cross-validated\nconfidence", "#0072B2", ":"),
}
FIRST, OTHERS = "residual at the stop", ("area under the margin", "cross-validated confidence")
SETS = {"confident joint": "D", "prune by noise rate": "s"}
ROW = 0.62
TICKS = (0, 0.01, 0.03, 0.1, 0.2, 0.3)


def regrets(table: pd.DataFrame, *, rules: Mapping[str, str], problems: Mapping[str, str]) -> Figure:
    """What every stopping rule costs in test error, a mark for each problem and seed, a bar at their mean.

    The axis is that of square roots.

    Args:
        table: rows of `stopping_rules.apply` with `problem`.
        rules: what to call each rule, from top to bottom.
        problems: what to call each problem, at most four.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 1.1 + ROW * len(rules)))
    offsets = np.linspace(0.08, -0.24, len(problems))
    for row, rule in enumerate(rules):
        for problem, role, marker, offset in zip(problems, PROBLEMS, MARKERS, offsets, strict=False):
            own = table[(table.rule == rule) & (table.problem == problem)].regret
            height = len(rules) - 1 - row + offset
            ax.plot(
                own,
                np.full(len(own), height),
                marker,
                color=role.color,
                markersize=4.5,
                alpha=0.75,
                clip_on=False,
                linewidth=0,
            )
            ax.plot([own.mean()] * 2, [height - 0.09, height + 0.09], color=role.color, linewidth=2)
        ax.axhline(len(rules) - 1 - row + 0.52, color=HAIRLINE, linewidth=0.4)
        ax.annotate(
            rules[rule], (0, len(rules) - 1 - row + 0.34), xycoords=("axes fraction", "data"),
            xytext=(3, 0), textcoords="offset points", va="center", fontsize=11,
        )  # fmt: skip
    largest = max(0.05, 1.08 * float(table.regret.max()))
    # A square-root axis: what tells good rules apart is near 0.
    ax.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    ax.set(ylim=(-0.45, len(rules) - 0.45), yticks=[], xlim=(0, largest))
    ax.set_xticks(
        [tick for tick in TICKS if tick <= largest], [f"{tick:g}" for tick in TICKS if tick <= largest]
    )
    ax.set_xlabel("test error at the rule's epoch − lowest of the run")
    ax.spines["left"].set_visible(False)
    for name, role, marker in zip(problems.values(), PROBLEMS, MARKERS, strict=False):
        ax.plot([], [], marker, color=role.color, label=name)
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=10.5, handletextpad=0.2
    )
    return figure


def words_regrets(table: pd.DataFrame, *, rules: Mapping[str, str], problems: Mapping[str, str]) -> str:
    """Alt text for `regrets`: the mean of each rule on each problem."""
    means = table.groupby(["rule", "problem"]).regret.mean()
    sentences = [
        f"{words}: {', '.join(f'{means[rule, problem]:.3f} ({name})' for problem, name in problems.items())}."
        for rule, words in rules.items()
    ]
    return "Mean regret. " + " ".join(sentences)


def methods_over_epochs(frame: pd.DataFrame, *, level: float) -> Figure:
    r"""Test error over epochs for each method: mean over seeds as a line, their range as a band.

    Args:
        frame: a row for each (seed, method, epoch) with `test_error`.
        level: $\delta$, a thin line.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.9))
    ends = []
    for method, role in METHODS.items():
        own = frame[(frame.method == method) & (frame.epoch > 0)]
        if len(own):
            ends.append(_band(ax, own, "epoch", "test_error", role))
    ends.append(level_line(ax, "δ", level))
    ax.set(xlabel="epoch", ylabel="test error (fraction)", xlim=(0, frame.epoch.max()))
    ax.set_ylim(0, 1.25 * max([level, *(end.height for end in ends)]))
    label_ends(ax, ends)
    return figure


def words_methods(frame: pd.DataFrame) -> str:
    """Alt text for `methods_over_epochs`: each method's lowest and last mean test error."""
    means = frame.groupby(["method", "epoch"]).test_error.mean()
    sentences = []
    for method in dict.fromkeys(frame.method):
        curve = means[method]
        lowest = f"lowest {curve.min():.3f} at epoch {curve.idxmin():.0f}"
        sentences.append(f"{method}: {lowest}, {curve.iloc[-1]:.3f} at the end.")
    return "Test error. " + " ".join(sentences)


def suspects(frame: pd.DataFrame, *, level: float) -> Figure:
    r"""Precision among the first samples of each ranking, and by how much two differ from the first.

    Args:
        frame: rows of `wrong_label_rankings.rankings` with `seed`.
        level: $\delta$, a thin vertical line: as many samples as are wrong.
    """
    figure, (upper, lower) = plt.subplots(2, figsize=(WIDTH, 5.9), height_ratios=(1.3, 1))
    _precisions(upper, frame)
    _gaps(lower, frame)
    for ax in (upper, lower):
        ax.axvline(level, color=HAIRLINE, linewidth=1)
    upper.annotate("δ", (level, 1.0), xytext=(4, 0), textcoords="offset points", color=HAIRLINE, va="top")
    return figure


def _precisions(ax: Axes, frame: pd.DataFrame) -> None:
    for name, role in RANKINGS.items():
        _band(ax, frame[frame.ranking == name], "share", "precision", role)
        ax.plot([], [], color=role.color, linestyle=role.linestyle, label=name)
    for name, marker in SETS.items():
        own = frame[frame.ranking == name]
        ax.plot(
            own.share,
            own.precision,
            marker,
            color="#0072B2",
            markersize=5,
            markerfacecolor="none",
            label=name,
        )
    ax.legend(loc="lower left", fontsize=10, labelspacing=0.25, edgecolor="none", framealpha=1)
    ax.set(ylabel="precision", ylim=(0, 1.03), xlim=(0, 1))


def _gaps(ax: Axes, frame: pd.DataFrame) -> None:
    wide = frame[~frame.ranking.isin(list(SETS))].pivot_table(
        index=["seed", "share"], columns="ranking", values="precision"
    )
    ends = []
    for name in OTHERS:
        gaps = wide.assign(gap=wide[name] - wide[FIRST]).reset_index()
        ends.append(_band(ax, gaps, "share", "gap", RANKINGS[name]))
    ax.axhline(0, color=HAIRLINE, linewidth=1)
    reach = 1.1 * max(0.005, *(abs(limit) for limit in ax.get_ylim()))
    ax.set(ylabel="precision − that of the\nresidual at the stop", xlim=(0, 1), ylim=(-reach, reach))
    ax.set_xlabel("samples looked at (fraction)")
    label_ends(ax, ends, height=2.6)


def words_suspects(frame: pd.DataFrame, *, level: float) -> str:
    """Alt text for `suspects`: precision where as many are looked at as are wrong, and what the sets hold."""
    means = frame.groupby(["ranking", "share"]).precision.mean()
    at_level = [f"{name} {means[name][level]:.2f}" for name in RANKINGS]
    sets = frame[frame.ranking.isin(list(SETS))].groupby("ranking")[["share", "precision", "recall"]].mean()
    found = [
        f"{name} has {row.share:.2f} of the samples, precision {row.precision:.2f}, recall {row.recall:.2f}"
        for name, row in sets.iterrows()
    ]
    return f"Precision among the first {level:g} of the samples: {', '.join(at_level)}. {'; '.join(found)}."


def _band(ax: Axes, frame: pd.DataFrame, x: str, column: str, role: Role) -> End:
    by_x = frame.groupby(x)[column]
    mean = by_x.mean()
    ax.plot(mean.index, mean, color=role.color, linestyle=role.linestyle)
    ax.fill_between(mean.index, by_x.min(), by_x.max(), color=role.color, alpha=BAND, linewidth=0)
    return End(role.label, role.color, float(mean.iloc[-1]))
