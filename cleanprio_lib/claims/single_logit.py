r"""Claims on single-logit gradients of ten classes before the first step: section 5 and appendix C.1."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleanprio_lib import theory
from cleanprio_lib.claims.judging import Claim, Measured, above, below, within
from cleanprio_lib.measurements.angle_statistics import DEGREES
from cleanprio_lib.runs import Recorded

RELATIVE_ERROR = {"float32": 1e-5, "float64": 1e-10}
CLASSES = 10
OPPOSITE, OPPOSITE_COSINE = 175.0, -0.99
# Relative distances from equation 14, of the noisy coefficient on average over logits.
CLEAN_PART, NOISY_PART = 0.03, 0.1
ALL_LOGITS, ONE_LOGIT = 0.05, 0.3  # of the ratio; the second also of the noisy coefficient
SINGLE = "single logits of all seeds"
ORTHOGONAL_PART = 0.3  # of the other subset's gradient: the sine of its angle


def _eq_13(run: Recorded) -> tuple[Measured, ...]:
    rows = []
    for precision, bound in RELATIVE_ERROR.items():
        own = run.frame[run.frame.precision == precision]
        what = f"relative error of the sum of the single-logit gradients, {precision}"
        rows.append(below(what, own.error, bound, f"below {bound:g}"))
    return tuple(rows)


def _sec_5_clean(run: Recorded) -> tuple[Measured, ...]:
    what = "logits at which a noisy sample's given label differs from its true one"
    return (
        within(f"{what}, fewest", run.frame.changed_low, 2, 2, "2"),
        within(f"{what}, most", run.frame.changed_high, 2, 2, "2"),
    )


def _eq_14(run: Recorded) -> tuple[Measured, ...]:
    level = run.settings["level"]
    off = run.frame.set_index("seed")[["clean_part", "noisy_part"]] / [1 - level, -level / (CLASSES - 1)] - 1
    clean, noisy = (
        "coefficient of g_clean on ĝ / (1 − δ) − 1",
        "coefficient of g_noise on ĝ / (−δ/(C − 1)) − 1",
    )
    return (
        _around_0(f"{clean}, {SINGLE}", off.clean_part, CLEAN_PART),
        _around_0(f"{noisy}, mean over logits", off.noisy_part.groupby("seed").mean(), NOISY_PART),
        _around_0(f"{noisy}, {SINGLE}", off.noisy_part, ONE_LOGIT),
        below(
            "largest cos(g_noise, g_clean) of a logit",
            run.frame.groupby("seed").cosine.max(),
            OPPOSITE_COSINE,
            f"−1 (below {OPPOSITE_COSINE:g})",
        ),
    )


def _eq_14_ratio(run: Recorded) -> tuple[Measured, ...]:
    wanted = float(theory.gradient_ratio(run.settings["level"], CLASSES))
    off = run.frame.assign(off=run.frame.ratio / wanted - 1).set_index("seed").off
    return (
        _around_0(
            f"‖g_clean‖/‖g_noise‖ / {wanted:g} − 1, mean over logits", off.groupby("seed").mean(), ALL_LOGITS
        ),
        _around_0(f"‖g_clean‖/‖g_noise‖ / {wanted:g} − 1, {SINGLE}", off, ONE_LOGIT),
    )


def _fig_10(run: Recorded) -> tuple[Measured, ...]:
    frame = run.frame
    table = DEGREES * frame.pivot(index=["seed", "class"], columns="subset", values=["q05", "q95"])
    sums = DEGREES * frame.pivot(index=["seed", "class"], columns="subset", values="subset_angle")
    return (
        _mirrored(frame),
        above(f"angle of g_noise with g_clean (°), {SINGLE}", sums.noisy, OPPOSITE, f"above {OPPOSITE:g}"),
        above(
            f"5% quantile of other − 95% quantile of clean (°), {SINGLE}",
            table["q05", "other"] - table["q95", "clean"],
            0,
            "above 0",
        ),
        above(
            f"5% quantile of noisy − 95% quantile of other (°), {SINGLE}",
            table["q05", "noisy"] - table["q95", "other"],
            0,
            "above 0",
        ),
        above(
            f"sin of g_other's angle with g_clean, {SINGLE}",
            np.sin(np.radians(sums.other)),
            ORTHOGONAL_PART,
            f"above {ORTHOGONAL_PART:g}",
        ),
    )


def _mirrored(frame: pd.DataFrame) -> Measured:
    """Whether noisy histograms are the clean ones turned round: means that add up to 180°, at every logit.

    Up to sampling: five standard errors of the two means, for fifty pairs of them at once.
    """
    table = frame.pivot(index=["seed", "class"], columns="subset", values=["mean", "sd", "count"])
    off = DEGREES * (table["mean", "noisy"] + table["mean", "clean"]) - 180
    errors = [table["sd", subset] ** 2 / table["count", subset] for subset in ("clean", "noisy")]
    room = 5 * DEGREES * np.sqrt(errors[0] + errors[1])
    words = f"0 ± five standard errors ({room.min():.2g} to {room.max():.2g})"
    return Measured(
        f"mean θ_g, clean + noisy − 180° (°), {SINGLE}",
        off.mean(),
        off.min(),
        off.max(),
        words,
        bool((off.abs() < room).all()),
    )


def _around_0(quantity: str, values: pd.Series, room: float) -> Measured:
    return within(quantity, values, -room, room, f"within ±{room:g}")


CLAIMS = (
    Claim(
        id="eq-13",
        statement="A sample's gradient is the sum over logits of (f_c − y_c)∇h_c.",
        where="Equation 13",
        experiments=("eq-13-decomposition",),
        rule=None,
        measure=_eq_13,
    ),
    Claim(
        id="sec5-clean",
        statement="A noisy sample is clean for the C − 2 logits of neither its true nor its given class.",
        where="Section 5",
        experiments=("eq-13-decomposition",),
        rule=None,
        measure=_sec_5_clean,
    ),
    Claim(
        id="eq-14",
        statement="Before the first step, at every logit, g_clean ≈ (1 − δ) ĝ and g_noise ≈ −δ ĝ/(C − 1).",
        where="Equation 14",
        experiments=("eq-14-initial-ratio",),
        rule=None,
        measure=_eq_14,
    ),
    Claim(
        id="eq-14-ratio",
        statement="Before the first step a logit's clean gradient is (C − 1)(1 − δ)/δ times as long as its "
        "noisy one.",
        where="Below equation 14, its second norm read as that of the noisy gradient",
        experiments=("eq-14-initial-ratio",),
        rule=None,
        measure=_eq_14_ratio,
    ),
    Claim(
        id="fig-10",
        statement="At every logit: clean gradients at small angles, noisy ones mirrored, their sum almost "
        "opposite, others clearly apart from both, with a part of their sum at a right angle.",
        where="Figure 10",
        experiments=("fig-10-single-logits",),
        rule=None,
        measure=_fig_10,
    ),
)
