r"""Claims on sweeps: clean labels come first at every width (figure 12) and every level of noise (figure 13).

A number holds if it does in every cell, for each value of the swept setting and each seed; where it does not,
its name says at which values.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleanprio_lib import early_stopping, theory
from cleanprio_lib.claims.judging import Claim, Measured, above, below, within
from cleanprio_lib.measurements.dynamics_statistics import STRICT_TREND, TREND
from cleanprio_lib.measurements.sweep_statistics import (
    classes_of,
    turning_points,
    with_clocks,
    with_ratio,
)
from cleanprio_lib.runs import Recorded

LAW = 0.1  # relative distance of a ratio from what the clean residual says of it
AT_START = 0.1  # relative distance of the first ratio from what an even output gives
SYMBOLS = {"width": "m", "level": "δ"}


def _everywhere(
    run: Recorded, sign: int, quantity: str, values: pd.Series, bound: float, words: str
) -> Measured:
    """A number that must lie above (sign 1) or below (sign −1) a bound in every cell."""
    judge = above if sign > 0 else below
    return judge(quantity + _where_not(run, sign * values > sign * bound), values, bound, words)


def _where_not(run: Recorded, right: pd.Series) -> str:
    """Values of the swept setting at which a seed is not right, in words; empty where there is none."""
    assert run.swept is not None
    wrong = sorted(set(right.index[~right].get_level_values(run.swept)))
    told = ", ".join(f"{value:g}" for value in wrong)
    return f" (not at {SYMBOLS.get(run.swept, run.swept)} = {told})" if wrong else ""


def _clean_priority(run: Recorded) -> tuple[Measured, ...]:
    """Figures 12 and 13, as their captions have it."""
    assert run.swept is not None
    cells = turning_points(with_ratio(run), run.swept)
    every = f"every {run.swept} and seed"
    trends = (
        ("clean error", -1, TREND),
        ("noisy error", 1, TREND),
        ("clean residual", -1, TREND),
        ("noisy residual", 1, STRICT_TREND),
    )
    rows = [
        _everywhere(
            run,
            sign,
            f"rank correlation of the {what} with time up to the stop, {every}",
            cells[what.replace(" ", "_") + "_trend"],
            sign * bound,
            f"{'above ' if sign > 0 else 'below −'}{bound:g}",
        )
        for what, sign, bound in trends
    ]
    rises = {
        "noisy error at the stop, less that at the start": cells.noisy_error - cells.start_noisy_error,
        "noisy residual at the stop, less that at the start": cells.noisy_residual
        - cells.start_noisy_residual,
        "test error at the end, less the lowest": cells.final_test_error - cells.test_error,
    }
    rows += [_everywhere(run, 1, f"{what}, {every}", own, 0, "above 0") for what, own in rises.items()]
    share: pd.Series = cells.test_error / cells.delta
    return *rows, _everywhere(run, -1, f"lowest test error by δ, {every}", share, 1, "below 1")


def _initial_ratio(run: Recorded) -> tuple[Measured, ...]:
    assert run.swept is not None
    frame = with_ratio(run)
    cells = turning_points(frame, run.swept)
    measured = cells.start_ratio / theory.gradient_ratio(cells.delta.to_numpy(), classes_of(frame))
    low, high = 1 - AT_START, 1 + AT_START
    right = measured.between(low, high)
    quantity = "ratio at t = 0 by (C − 1)(1 − δ)/δ, every level and seed" + _where_not(run, right)
    return (within(quantity, measured, low, high, f"1 ± {AT_START:.0%}"),)


def _ratio_law(*runs: Recorded) -> tuple[Measured, ...]:
    return tuple(_ratio_of(run) for run in runs)


def _ratio_of(run: Recorded) -> Measured:
    """How far the ratio of a run is from what its clean residual says, up to the stop."""
    swept = run.swept or "level"
    frame = with_clocks(with_ratio(run), swept)
    early = frame[frame.turns <= 1]
    off = (early.log_odds - early.law).abs()
    largest = off.groupby([early[swept], early.seed]).max().map(np.expm1)
    where = f"every {run.swept} and seed" if run.swept else f"δ = {run.settings['level']:g}"
    quantity = f"largest relative distance of the ratio from the formula up to the stop, {where}"
    quantity += _where_not(run, largest < LAW) if run.swept else ""
    return below(quantity, largest, LAW, f"below {LAW:g}")


CLAIMS = (
    Claim(
        id="fig-12",
        statement="Sevens and nines, δ = 0.4, every width from 32 to 2,048: up to the stop the clean "
        "subset's error and residual fall and the noisy one's rise, its residual monotonically; test error "
        "is U-shaped, its minimum below δ.",
        where="Figure 12",
        experiments=("fig-12-width",),
        rule=early_stopping.ORACLE,
        measure=_clean_priority,
    ),
    Claim(
        id="fig-13",
        statement="MNIST, every level of noise from 0.1 to 0.4: up to the stop the clean subset's error and "
        "residual fall and the noisy one's rise, its residual monotonically; test error is U-shaped, its "
        "minimum below δ.",
        where="Figure 13",
        experiments=("fig-13-noise",),
        rule=early_stopping.ORACLE,
        measure=_clean_priority,
    ),
    Claim(
        id="ratio-by-level",
        statement="Before the first step a logit's clean gradient is, in the geometric mean over logits, "
        "(C − 1)(1 − δ)/δ times as long as its noisy one, at every δ.",
        where="equation 14, at the levels of figure 13",
        experiments=("fig-13-noise",),
        rule=None,
        measure=_initial_ratio,
    ),
    Claim(
        id="ratio-law",
        statement="Two classes: up to the stop the ratio of the gradients is (1 − δ)/δ · (1 − u)/(1 + u), "
        "with u the share of the clean residual that is gone, at every width and at both levels.",
        where="this book",
        experiments=("fig-05-mnist-7v9", "fig-05-mnist-7v9-30", "fig-12-width"),
        rule=early_stopping.ORACLE,
        measure=_ratio_law,
    ),
)
