r"""Claims on the angle between derivatives: theorem 3.1, corollary 3.2, remark 3.3, figures 2 and 3."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from cleanprio_lib import early_stopping, theory
from cleanprio_lib.claims.judging import Claim, Measured, above, below, within
from cleanprio_lib.measurements.angle_statistics import (
    DEGREES,
    against_theory,
    by_net,
    critical_t,
    deviations,
    stopped,
)
from cleanprio_lib.runs import Recorded

LARGEST_OFF = {2: 6.5, 3: 8.5, 5: 10.0}  # degrees, over the circle at width 512
LINEAR_OFF, RELU_RMS, MEAN_OFF = 5.0, 3.0, 1.0
LINE_WIDTH = 1.5  # degrees: 2 of the 240 points of an axis from 0 to 180
NAMES = {"relu": "ReLU", "linear": "linear"}


def _thm_3_1_lin(run: Recorded) -> tuple[Measured, ...]:
    own = _net(run.frame, "linear", 2)
    return (_largest_off(own, LINEAR_OFF, "linear, L = 2"), *_mean_off(own))


def _thm_3_1_relu(run: Recorded) -> tuple[Measured, ...]:
    own = _net(run.frame, "relu", 2)
    rms = deviations(own).groupby("seed").off.agg(lambda off: float(np.sqrt((off**2).mean())))
    return (
        _largest_off(own, LARGEST_OFF[2], "ReLU, L = 2"),
        below("root mean square |θ_h − theory| (°)", rms, RELU_RMS, f"below {RELU_RMS:g}"),
        *_mean_off(own),
    )


def _cor_3_2_1(run: Recorded) -> tuple[Measured, ...]:
    tiny = pd.Series([DEGREES * theory.derivative_angle(1e-6 / DEGREES)])
    angles = _angles(_net(run.frame, "relu", 2))
    one, ten = (float(theory.derivative_angle(degrees / DEGREES)) for degrees in (1, 10))
    exact = one / ten
    return (
        below("θ_h at θ_d = 10⁻⁶ degree, formula (°)", tiny, 0.01, "below 0.01"),
        _mean_near("θ_h at 1° / θ_h at 10°, measured", angles[1] / angles[10], exact),
    )


def _cor_3_2_2(run: Recorded) -> tuple[Measured, ...]:
    relu, linear = (_up_to_right_angle(run.frame, kind, 2) for kind in ("relu", "linear"))
    return (
        _smallest_step(relu, "ReLU, L = 2"),
        _smallest_step(linear, "linear, L = 2"),
        below("largest θ_h up to θ_d = 90°, ReLU (°)", relu.max(axis=1), 90, "at most 90"),
        _mean_near("θ_h at θ_d = 90°, linear (°)", linear[90], 90),
    )


def _fig_2(run: Recorded) -> tuple[Measured, ...]:
    frame, rows = run.frame, []
    for activation, depth, own in by_net(frame):
        rows.append(_largest_off(own, LARGEST_OFF[depth], f"{NAMES[activation]}, L = {depth}"))
    for depth in (3, 5):
        rows.append(_smallest_step(_up_to_right_angle(frame, "relu", depth), f"ReLU, L = {depth}"))
    linear = deviations(frame[frame.activation == "linear"]).groupby(["seed", "degrees"]).angle
    gap = (linear.max() - linear.min()).groupby("seed").max()
    words = f"below {LINE_WIDTH:g}, a line's width"
    return (
        *rows,
        *_mean_off(frame),
        below("largest gap between linear nets (°)", gap, LINE_WIDTH, words),
    )


def _fig_3_left(run: Recorded) -> tuple[Measured, ...]:
    return (_separation(run.frame, "inputs", "θ_d"),)


def _fig_3_right(run: Recorded) -> tuple[Measured, ...]:
    net = run.frame[run.frame.source == "net"]
    means = DEGREES * net.pivot(index="seed", columns="pairs", values="mean")
    expected = DEGREES * run.frame[run.frame.source == "theory"].groupby("pairs")["mean"].mean()
    return (
        _separation(run.frame, "net", "θ_h"),
        above("probability that a pair within is closer", net.auc, 0.999, "above 0.999"),
        _mean_near("mean θ_h within (°)", means["within"], expected["within"]),
        _mean_near("mean θ_h between (°)", means["between"], expected["between"]),
    )


def _sec_1_a(run: Recorded) -> tuple[Measured, ...]:
    frame = run.frame
    rows = []
    for inputs, own in frame.groupby("inputs", sort=False):
        further = DEGREES * (own.between - own.within)
        rows.append(above(f"mean θ_h between − within, {inputs} (°)", further, 0, "above 0"))
    clusters = frame[frame.inputs == "two clusters"].auc
    words = "probability that a pair within is closer, two clusters"
    return (*rows, above(words, clusters, 0.999, "above 0.999"))


def _rem_3_3(run: Recorded) -> tuple[Measured, ...]:
    stops = stopped(run.frame)
    cosine = stops.pivot(index="seed", columns="width", values="cosine")
    moved = DEGREES * stops.pivot(index="seed", columns="width", values="angle_moved")
    rows = []
    for narrow, wide in zip(cosine.columns[:-1], cosine.columns[1:], strict=True):
        step = f"from m = {narrow} to {wide}"
        rows += [
            above(f"rise of cos(∇h_t, ∇h_0) {step}", cosine[wide] - cosine[narrow], 0, "above 0"),
            below(f"change of θ_h's movement {step} (°)", moved[wide] - moved[narrow], 0, "below 0"),
        ]
    return tuple(rows)


def _lem_a_2(run: Recorded) -> tuple[Measured, ...]:
    rows = []
    for column, times in (("off", 1), ("diagonal", 2)):
        for width, own in run.frame.groupby("width"):
            # Four standard errors of the mean over seeds; a sample variance has √(2/draws), relatively.
            room = 4 * math.sqrt(2 / (run.settings["draws"] * own.seed.nunique()))
            ratio = own[column] * own.width / times
            rows.append(_mean_within(f"variance / ({times}/m), {column}, m = {width}", ratio, 1, room))
    return tuple(rows)


def _net(frame: pd.DataFrame, activation: str, depth: int) -> pd.DataFrame:
    return frame[(frame.activation == activation) & (frame.depth == depth)]


def _angles(own: pd.DataFrame) -> pd.DataFrame:
    """One net's θ_h in degrees: a row for each seed, a column for each angle between the inputs."""
    return DEGREES * own.pivot(index="seed", columns="degrees", values="theta_h")


def _up_to_right_angle(frame: pd.DataFrame, activation: str, depth: int) -> pd.DataFrame:
    angles = _angles(_net(frame, activation, depth))
    return angles[list(range(0, 91, 5))]


def _largest_off(own: pd.DataFrame, bound: float, name: str) -> Measured:
    largest = deviations(own).groupby("seed").off.agg(lambda off: off.abs().max())
    return below(f"largest |θ_h − theory|, {name} (°)", largest, bound, f"below {bound:g}")


def _mean_off(frame: pd.DataFrame) -> tuple[Measured, ...]:
    """By how much the mean over seeds differs from theory at any angle of any net, and whether by chance."""
    table = against_theory(frame)
    off = (table["mean"] - table.theory).abs()
    size = "|mean over seeds − theory| (°, range over angles)"
    critical = critical_t(frame.seed.nunique(), len(table))
    words = f"below {critical:.2f} (chance, for {len(table)} comparisons)"
    quantity = "|mean over seeds − theory| in standard errors (range over angles)"
    return (
        below(size, off, MEAN_OFF, f"below {MEAN_OFF:g}"),
        below(quantity, table.t.abs(), critical, words),
    )


def _smallest_step(angles: pd.DataFrame, name: str) -> Measured:
    steps = angles.diff(axis=1).iloc[:, 1:].min(axis=1)
    return above(f"smallest step of θ_h over 5° up to 90°, {name} (°)", steps, 0, "above 0")


def _separation(frame: pd.DataFrame, source: str, symbol: str) -> Measured:
    own = frame[frame.source == source].pivot(index="seed", columns="pairs", values=["q05", "q95"])
    gap = DEGREES * (own["q05", "between"] - own["q95", "within"])
    return above(f"5% quantile of {symbol} between − 95% quantile within (°)", gap, 0, "above 0")


def _mean_near(quantity: str, values: pd.Series, centre: float) -> Measured:
    """Whether a mean over seeds is within four of its standard errors."""
    return _mean_within(quantity, values, centre, 4 * float(values.std()) / math.sqrt(len(values)))


def _mean_within(quantity: str, values: pd.Series, centre: float, room: float) -> Measured:
    agrees = within(quantity, pd.Series([values.mean()]), centre - room, centre + room, "").agrees
    words = f"mean over seeds {centre:.3g} ± {room:.2g}"
    return Measured(quantity, values.mean(), values.min(), values.max(), words, agrees)


CLAIMS = (
    Claim(
        id="sec1-a",
        statement="Derivatives ∇h of samples of one true class are on average closer in direction than those "
        "of two classes; of two clusters, pair by pair.",
        where="Section 1, of the part of a gradient that the label does not decide",
        experiments=("sec-1-class-angles",),
        rule=None,
        measure=_sec_1_a,
    ),
    Claim(
        id="thm-3.1-lin",
        statement="In an infinitely wide two-layer linear net θ_h = θ_d.",
        where="Theorem 3.1",
        experiments=("fig-02-derivative-angles",),
        rule=None,
        measure=_thm_3_1_lin,
    ),
    Claim(
        id="thm-3.1-relu",
        statement="In an infinitely wide two-layer ReLU net cos θ_h = (π − θ_d)/π · cos θ_d + sin θ_d / 2π.",
        where="Theorem 3.1",
        experiments=("fig-02-derivative-angles",),
        rule=None,
        measure=_thm_3_1_relu,
    ),
    Claim(
        id="cor-3.2-1",
        statement="If θ_d ≪ 1 then θ_h ≪ 1.",
        where="Corollary 3.2, in the appendix only",
        experiments=("fig-02-derivative-angles",),
        rule=None,
        measure=_cor_3_2_1,
    ),
    Claim(
        id="cor-3.2-2",
        statement="Up to θ_d = π/2, θ_h grows with θ_d and stays in [0, π/2].",
        where="Corollary 3.2",
        experiments=("fig-02-derivative-angles",),
        rule=None,
        measure=_cor_3_2_2,
    ),
    Claim(
        id="rem-3.3",
        statement="∇h is constant in training at infinite width: the wider the net, the less it moves.",
        where="Remark 3.3",
        experiments=("rem-3.3-derivatives-in-training",),
        rule=early_stopping.ORACLE,
        measure=_rem_3_3,
    ),
    Claim(
        id="lem-a.2",
        statement="AᵀA/m tends to the identity: its entries have variance 1/m, on the diagonal 2/m.",
        where="Lemma A.2",
        experiments=("lem-a.2-gram",),
        rule=None,
        measure=_lem_a_2,
    ),
    Claim(
        id="fig-2",
        statement="Nets 512 wide of 2, 3 and 5 layers follow theory; linear ones of any depth draw one line.",
        where="Figure 2",
        experiments=("fig-02-derivative-angles",),
        rule=None,
        measure=_fig_2,
    ),
    Claim(
        id="fig-3-left",
        statement="The data, as this book places them, are two separated clusters in the plane.",
        where="Figure 3, left",
        experiments=("fig-03-clusters",),
        rule=None,
        measure=_fig_3_left,
    ),
    Claim(
        id="fig-3-right",
        statement="Pairs of one cluster have smaller θ_h than pairs of two clusters.",
        where="Figure 3, right",
        experiments=("fig-03-clusters",),
        rule=None,
        measure=_fig_3_right,
    ),
)
