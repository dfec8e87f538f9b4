r"""Claims on gradients of single samples and of subsets before the first step: sections 1 and 3.2."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleanprio_lib import theory
from cleanprio_lib.claims.judging import Claim, Measured, above, below, premise, within
from cleanprio_lib.measurements.angle_statistics import DEGREES
from cleanprio_lib.measurements.gradient_statistics import both_classes
from cleanprio_lib.runs import Recorded

STARTS = {
    "ntk": "equation 7 as it stands",
    "ntk_centred": "equation 7, output centred",
    "standard": "PyTorch's default",
}
RELATIVE_ERROR = {"float32": 1e-5, "float64": 1e-10}
SAME_ANGLE = 1e-4  # degrees
OPPOSITE = 175.0  # degrees
OPPOSITE_COSINE = float(np.cos(np.radians(OPPOSITE)))
ORTHOGONAL_PART = 0.3  # of the other subset's gradient: the sine of its angle
SAME_RATIO, SAME_ALPHA, SAME_VECTOR = 0.05, 0.05, 0.1  # relative distances, and a distance of two numbers
ALMOST_ALL = 0.9


def _eq_5(run: Recorded) -> tuple[Measured, ...]:
    rows = []
    for (loss, precision), own in run.frame.groupby(["loss", "precision"], sort=False):
        bound = RELATIVE_ERROR[str(precision)]
        words = f"below {bound:g}"
        rows.append(below(f"relative error of (f − y)∇h, {loss}, {precision}", own.error, bound, words))
    return tuple(rows)


def _sec_3_2_clean(run: Recorded) -> tuple[Measured, ...]:
    own = run.frame[(run.frame.loss == "logistic") & (run.frame.precision == "float64")]
    words = f"below {SAME_ANGLE:g}"
    mirror = "|θ_g + θ_h − 180°| between a clean and a noisy sample of a class (°)"
    return (
        below("|θ_g − θ_h| between clean samples of a class (°)", DEGREES * own.clean_gap, SAME_ANGLE, words),
        below(mirror, DEGREES * own.mirror_gap, SAME_ANGLE, words),
    )


def _sec_3_2_noise(samples: Recorded, sums: Recorded) -> tuple[Measured, ...]:
    """Single samples on few images; the sums, in which chance leaves less the more there are, on all."""
    whole = sums.frame.assign(
        subset="noisy", source=sums.frame.start, subset_angle=np.arccos(sums.frame.cosine)
    )
    return (*map(premise, _mirrored(samples.frame)), *_opposite(whole))


def _sec_3_2_other(run: Recorded) -> tuple[Measured, ...]:
    frame = run.frame
    return *_apart(frame, "clean", "other"), *_apart(frame, "other", "noisy"), *_across(frame)


def _across(frame: pd.DataFrame) -> tuple[Measured, ...]:
    other = frame[frame.subset == "other"]
    words = f"above {ORTHOGONAL_PART:g}"
    return tuple(
        above(
            f"sin of g_other's angle with g_clean, {name}", np.sin(own.subset_angle), ORTHOGONAL_PART, words
        )
        for name, own in _by_start(other)
    )


def _fig_4(run: Recorded) -> tuple[Measured, ...]:
    """Mirrors and the way from clean to other are premises: labels alone turn both of these round."""
    frame = run.frame
    premises = *_apart(frame, "clean", "other"), *_mirrored(frame)
    decisive = *_apart(frame, "other", "noisy"), *_across(frame), *_opposite(frame)
    return *map(premise, premises), *decisive


def _apart(frame: pd.DataFrame, near: str, far: str) -> tuple[Measured, ...]:
    """Whether two histograms of angles with g_clean do not overlap but for a twentieth of each."""
    rows = []
    for name, own in _by_start(frame):
        table = DEGREES * own.pivot(index=["seed", "class"], columns="subset", values=["q05", "q95"])
        gap = table["q05", far] - table["q95", near]
        rows.append(above(f"5% quantile of {far} − 95% quantile of {near}, {name} (°)", gap, 0, "above 0"))
    return tuple(rows)


def _eq_8(run: Recorded) -> tuple[Measured, ...]:
    rows = []
    for name, own in _by_start(run.frame, "start"):
        off = own.ratio / theory.gradient_ratio(own.level.to_numpy()) - 1
        both = both_classes(own).off
        rows += [
            _around_0(f"ratio / ((1 − δ)/δ) − 1, single classes, {name}", off, SAME_RATIO),
            _around_0(f"the same, geometric mean of the classes, {name}", both, SAME_RATIO),
        ]
    return tuple(rows)


def _eq_9(run: Recorded) -> tuple[Measured, ...]:
    rows = []
    for name, own in _by_start(run.frame, "start"):
        both = both_classes(own)
        words = f"below {OPPOSITE_COSINE:.4f}, {OPPOSITE:g}°".replace("-", "−")
        rows += [
            below(f"cos(g_noise, g_clean), {name}", own.cosine, OPPOSITE_COSINE, words),
            below(
                f"distance of g_noise from −δ/(1 − δ) g_clean, by its length, {name}",
                _rest(own),
                SAME_VECTOR,
                f"0 (below {SAME_VECTOR:g})",
            ),
            below(f"larger α₀ of the two classes, {name}", both.alpha, 1, "below 1"),
            below(
                f"difference of the two α₀, {name}", both.alpha_gap, SAME_ALPHA, f"0 (below {SAME_ALPHA:g})"
            ),
        ]
    return tuple(rows)


def _rest(frame: pd.DataFrame) -> pd.Series:
    r"""$\lVert g_{noise} + k g_{clean}\rVert / \lVert g_{noise}\rVert$ with $k = \delta/(1 - \delta)$."""
    scaled = frame.ratio * frame.level / (1 - frame.level)
    return np.sqrt((1 + scaled**2 + 2 * scaled * frame.cosine).clip(lower=0))


def _sec_1_b(run: Recorded) -> tuple[Measured, ...]:
    frame = run.frame
    starts = {
        STARTS["ntk"]: frame[frame.start == "ntk"],
        STARTS["ntk_centred"]: frame[(frame.start == "constant") & (frame.logit == 0)],
        STARTS["standard"]: frame[frame.start == "standard"],
    }
    rows = []
    for name, chosen in starts.items():
        for inputs, own in chosen.groupby("inputs", sort=False):
            fewer = own[["clean", "noisy"]].min(axis=1)
            words = f"above {ALMOST_ALL:g}"
            rows.append(above(f"smaller share on its side, {inputs}, {name}", fewer, ALMOST_ALL, words))
    return tuple(rows)


def _by_start(frame: pd.DataFrame, column: str = "source") -> list[tuple[str, pd.DataFrame]]:
    """Name and rows of each way to begin; rows of the infinitely wide net are left out."""
    return [(name, frame[frame[column] == start]) for start, name in STARTS.items()]


def _mirrored(frame: pd.DataFrame) -> tuple[Measured, ...]:
    """Whether the noisy histogram is the clean one turned round: means that add up to 180°.

    Up to sampling: four standard errors of the two means, the samples' angles taken as independent.
    """
    rows = []
    for name, own in _by_start(frame):
        table = own.pivot(index=["seed", "class"], columns="subset", values=["mean", "sd", "count"])
        off = DEGREES * (table["mean", "noisy"] + table["mean", "clean"]) - 180
        errors = [table["sd", subset] ** 2 / table["count", subset] for subset in ("clean", "noisy")]
        room = 4 * DEGREES * np.sqrt(errors[0] + errors[1])
        words = f"0 ± four standard errors ({room.min():.2g} to {room.max():.2g})"
        agrees = bool((off.abs() < room).all())
        quantity = f"mean θ_g, clean + noisy − 180°, {name} (°)"
        rows.append(Measured(quantity, off.mean(), off.min(), off.max(), words, agrees))
    return tuple(rows)


def _opposite(frame: pd.DataFrame) -> tuple[Measured, ...]:
    noisy = frame[frame.subset == "noisy"]
    words = f"above {OPPOSITE:g}"
    return tuple(
        above(f"angle of g_noise with g_clean, {name} (°)", DEGREES * own.subset_angle, OPPOSITE, words)
        for name, own in _by_start(noisy)
    )


def _around_0(quantity: str, values: pd.Series, room: float) -> Measured:
    return within(quantity, values, -room, room, f"within ±{room:g}")


CLAIMS = (
    Claim(
        id="sec1-b",
        statement="At the start almost every clean gradient has a positive, and almost every noisy gradient "
        "a negative projection on the descent gradient.",
        where="Section 1, before the first step",
        experiments=("sec-1-projections",),
        rule=None,
        measure=_sec_1_b,
    ),
    Claim(
        id="eq-5",
        statement="∇ℓ = (f − y)∇h for the logistic loss and for softmax cross-entropy.",
        where="Equation 5",
        experiments=("eq-05-formula",),
        rule=None,
        measure=_eq_5,
    ),
    Claim(
        id="sec3.2-clean",
        statement="Clean gradients of a class make the angles of their ∇h, a noisy one the mirrored angle.",
        where="Section 3.2",
        experiments=("eq-05-formula",),
        rule=None,
        measure=_sec_3_2_clean,
    ),
    Claim(
        id="sec3.2-noise",
        statement="Noisy gradients are turned round, and g_noise is sharply opposite to g_clean.",
        where="Section 3.2",
        experiments=("fig-04-mnist-0v1", "eq-08-initial-ratio"),
        rule=None,
        measure=_sec_3_2_noise,
    ),
    Claim(
        id="sec3.2-other",
        statement="Gradients of the other class align with neither subset, and g_other has a significant "
        "component orthogonal to g_clean.",
        where="Section 3.2",
        experiments=("fig-04-mnist-7v9",),
        rule=None,
        measure=_sec_3_2_other,
    ),
    Claim(
        id="fig-4-left",
        statement="Two clusters: clean gradients at small angles, noisy ones mirrored, others with neither.",
        where="Figure 4, left",
        experiments=("fig-04-clusters",),
        rule=None,
        measure=_fig_4,
    ),
    Claim(
        id="fig-4-right",
        statement="Zeros and ones: clean gradients at small angles, noisy mirrored, others with neither.",
        where="Figure 4, right, as in its caption",
        experiments=("fig-04-mnist-0v1",),
        rule=None,
        measure=_fig_4,
    ),
    Claim(
        id="eq-8",
        statement="At the start a class's clean gradient is (1 − δ)/δ times as long as its noisy one.",
        where="Equation 8",
        experiments=("eq-08-initial-ratio",),
        rule=None,
        measure=_eq_8,
    ),
    Claim(
        id="eq-9",
        statement="Before the first step g_noise = −α₀ g_clean with α₀ in (0, 1).",
        where="Equation 9, Assumption 4.1 at t = 0",
        experiments=("eq-08-initial-ratio",),
        rule=None,
        measure=_eq_9,
    ),
)
