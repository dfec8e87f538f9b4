r"""Claims on how the dominance of the clean samples ends: section 4.2 and its figure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleanprio_lib import early_stopping, theory
from cleanprio_lib.claims.judging import Claim, Measured, above, below, within
from cleanprio_lib.measurements.dynamics_statistics import (
    STRICT_TREND,
    TREND,
    after_stop,
    largest_step,
    last,
    rank_correlation,
    until_noisy_loss_turns,
    until_stop,
    with_both_classes,
)
from cleanprio_lib.runs import Recorded

AT_START = 0.05  # relative distance from (1 − δ)/δ
AT_STOP = (0.95, 1.2)
MOST = 0.9  # share of records
LARGEST_RISE = 0.02


def _thm_4_5(run: Recorded) -> tuple[Measured, ...]:
    both = with_both_classes(run.frame, level=run.settings["level"])
    rising = until_noisy_loss_turns(both)
    falls = rising.assign(fall=-rising.alpha, fall_0=-rising.alpha_0, fall_1=-rising.alpha_1)
    singles = pd.concat([largest_step(falls, f"fall_{c}") for c in (0, 1)], axis=1).max(axis=1)
    both_fall = largest_step(falls, "fall")
    return (
        below("largest fall of α_t, geometric mean, until the noisy loss turns", both_fall, 0, "below 0"),
        below("largest fall of a class's α_t until the noisy loss turns", singles, 0, "below 0"),
        below("α_t where the noisy loss turns, geometric mean", last(rising, "alpha"), 1, "below 1"),
    )


def _fig_6(run: Recorded) -> tuple[Measured, ...]:
    level = run.settings["level"]
    both = with_both_classes(run.frame, level=level)
    early = until_stop(both)
    start = both[both.epoch == 0].set_index("seed").ratio
    stop = early.loc[early.groupby("seed").epoch.idxmax()].set_index("seed").ratio
    expected = float(theory.gradient_ratio(level))
    around = (expected * (1 - AT_START), expected * (1 + AT_START))
    trend, rise = rank_correlation(early, "ratio"), largest_step(early, "ratio")
    singles = pd.concat([largest_step(early, f"ratio_{c}") for c in (0, 1)], axis=1).max(axis=1)
    at_start = f"{expected:.3g} ± {AT_START:.0%}"
    at_stop = "1, within {:g} to {:g}".format(*AT_STOP)
    return (
        within("ratio at t = 0, geometric mean of the classes", start, *around, at_start),
        below(
            "its rank correlation with time up to the stop", trend, -STRICT_TREND, f"below −{STRICT_TREND:g}"
        ),
        below("its largest rise between records", rise, LARGEST_RISE, f"0 (below {LARGEST_RISE:g})"),
        below("the same of a class's ratio", singles, LARGEST_RISE, f"0 (below {LARGEST_RISE:g})"),
        within("ratio at the stop, geometric mean", stop, *AT_STOP, at_stop),
    )


def _sec_4_2_late(run: Recorded) -> tuple[Measured, ...]:
    level = run.settings["level"]
    both = with_both_classes(run.frame, level=level)
    stops = early_stopping.oracle(both)
    late = after_stop(both)
    # Nearer to 1, in logarithms, than to where it began.
    near = late[["ratio", "ratio_0", "ratio_1"]].map(np.log).abs() < np.log(theory.gradient_ratio(level)) / 2
    shares = {
        "geometric mean of the classes": near.ratio,
        "both classes": near.ratio_0 & near.ratio_1,
    }
    noisy = last(late, "noisy_error")
    return (
        *(
            above(
                f"share of records after the stop with a ratio nearer to 1 than to (1 − δ)/δ, {whose}",
                rows.groupby(late.seed).mean(),
                MOST,
                f"above {MOST:g}",
            )
            for whose, rows in shares.items()
        ),
        below("noisy error at the end − at the stop", noisy - stops.noisy_error, -0.3, "below −0.3"),
        below("noisy error at the end", noisy, 0.05, "0 (below 0.05)"),
    )


def _sec_4_2_clean(run: Recorded) -> tuple[Measured, ...]:
    stops, late = early_stopping.oracle(run.frame), after_stop(run.frame)
    rows = []
    for what in ("clean error", "clean loss", "clean residual"):
        column = what.replace(" ", "_")
        trend, change = rank_correlation(late, column), last(late, column) - stops[column]
        with_time = f"rank correlation of the {what} with time, after the stop"
        rows.append(below(with_time, trend, -TREND, f"below −{TREND:g}"))
        rows.append(below(f"{what} at the end − at the stop", change, 0, "below 0"))
    return tuple(rows)


_RUN = "fig-05-mnist-7v9"
CLAIMS = (
    Claim(
        "thm-4.5",
        "On an infinitely wide net with small steps α_t grows in every step of the early stage.",
        "Theorem 4.5",
        ("thm-4.5-wide",),
        None,
        _thm_4_5,
    ),
    Claim(
        "fig-6",
        "‖g_clean‖/‖g_noise‖ starts near (1 − δ)/δ and falls monotonically to about 1 at or before the stop.",
        "Figure 6",
        (_RUN,),
        early_stopping.ORACLE,
        _fig_6,
    ),
    Claim(
        "sec4.2-late",
        "After the stop the two gradients of a class are similarly long and the noisy samples are learnt, to "
        "the last.",
        "Section 4.2",
        (_RUN,),
        early_stopping.ORACLE,
        _sec_4_2_late,
    ),
    Claim(
        "sec4.2-clean",
        "In the later stage loss and error on the clean subset keep decreasing.",
        "Section 4.2",
        (_RUN,),
        early_stopping.ORACLE,
        _sec_4_2_clean,
    ),
)
