r"""Where the noisy gradient of a net lies as seen from its clean one, and what its noisy loss does next."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cleanprio_lib import theory
from cleanprio_lib.figures.style import HAIRLINE, ROLES, WIDTH

LIMITS = {"x": (-0.15, 1.3), "y": (-0.02, 0.8)}


def in_the_ball(runs: Mapping[str, pd.DataFrame]) -> Figure:
    r"""Records of several runs in the plane of $\alpha$ and the rest; full discs: the noisy loss rises next.

    Args:
        runs: by name, a row for each (seed, epoch) with `alpha`, `rest` and `rises`, whether the noisy loss
            is higher at the next record; what lies outside the axes is not drawn.
    """
    rows, columns = -(-len(runs) // 2), min(len(runs), 2)
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, 0.6 + 1.75 * rows), sharex=True, sharey=True, squeeze=False
    )
    x = np.linspace(0, 1, 201)
    for ax, (name, frame) in zip(axes.flat, runs.items(), strict=False):
        ax.fill_between(x, theory.largest_rest(x), color=ROLES["noisy"].color, alpha=0.12, linewidth=0)
        ax.plot(x, theory.largest_rest(x), color=ROLES["noisy"].color, linewidth=1)
        ax.plot(x, np.minimum(x, 1 - x), color=HAIRLINE, linewidth=1, linestyle=":")
        for rises, face in ((False, "none"), (True, ROLES["noisy"].color)):
            own = frame[frame.rises == rises]
            ax.plot(
                own.alpha, own.rest, "o", markersize=3.5, markeredgewidth=0.7, alpha=0.8,
                color=ROLES["noisy"].color if rises else HAIRLINE, markerfacecolor=face, zorder=3 + rises,
            )  # fmt: skip
        ax.set_title(name, fontsize=11)
        ax.set_aspect("equal")
    axes[0, 0].set(xlim=LIMITS["x"], ylim=LIMITS["y"], xticks=[0, 0.5, 1], yticks=[0, 0.25, 0.5, 0.75])
    for ax in list(axes.flat)[len(runs) :]:
        ax.remove()
    figure.supxlabel(r"$\alpha$: length of the noisy gradient against the clean one", fontsize=12)
    figure.supylabel("rest: its length across", fontsize=12)
    return figure


def words_in_the_ball(runs: Mapping[str, pd.DataFrame]) -> str:
    """Alt text for `in_the_ball`: of each run, how often the loss rises inside and outside the half disc."""
    sentences = []
    for name, frame in runs.items():
        inside = frame.rest < theory.largest_rest(frame.alpha)
        parts = [
            f"the noisy loss rises next at {frame.rises[chosen].sum()} of {chosen.sum()} records {where}"
            for where, chosen in (("inside", inside), ("outside", ~inside))
        ]
        sentences.append(f"{name}: {' and '.join(parts)} the half disc.")
    return " ".join(sentences)
