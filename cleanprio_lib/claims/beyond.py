r"""Claims of this book on what the paper leaves open: departures, levels above 1/2, uneven noise."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleanprio_lib import early_stopping, noise, theory
from cleanprio_lib.claims.judging import Claim, Measured, above, below, premise
from cleanprio_lib.measurements.beyond_statistics import (
    PEAK,
    at_start,
    gathered_at_start,
    next_rises,
    runs_by_value,
    until_noise_is_fitted,
)
from cleanprio_lib.measurements.logit_dynamics import SAMPLES
from cleanprio_lib.runs import Recorded

WHERE = "beyond the paper"
SLOPE_ERROR = 1e-3  # of inner products in float64 against difference quotients
SIGNS = 0.95  # share of records whose sign is as predicted; near the edge a step is not small
MIRROR = 0.05
AT_START = 0.1  # relative distance of a ratio over ten logits from its formula
COSINE = 0.05
PART_RATIO = 0.2
CLOCK = 0.2  # a change of an error that is none of chance
HALF = MOST = 0.5
FITTED = 0.02
WORSE = 1.2  # ratio of test errors
FALL = 0.02


def _departure(run: Recorded) -> tuple[Measured, ...]:
    frame = run.frame
    frame = frame.assign(setting=frame.digits.astype(str) + " " + frame.level.astype(str))
    slopes = frame[["clean_slope", "noisy_slope"]].to_numpy()
    off = np.abs(slopes - frame[["clean_quotient", "noisy_quotient"]].to_numpy())
    size = frame.groupby(["setting", "seed"])[["clean_slope", "noisy_slope"]].transform(
        lambda own: own.abs().max()
    )
    frame = frame.assign(off=(off / size.to_numpy()).max(axis=1), vouched=frame.bound < frame.room)
    certified = frame[frame.vouched]
    stops = frame.loc[frame.groupby(["setting", "seed"]).test_error.idxmin()].set_index(["setting", "seed"])
    places = pd.MultiIndex.from_frame(frame[["setting", "seed"]])
    early = frame[frame.epoch.to_numpy() <= stops.epoch.loc[places].to_numpy()]
    identities = (
        below(
            "largest difference of a slope and its difference quotient, by the run's largest",
            frame.groupby("seed").off.max(),
            SLOPE_ERROR,
            f"0 (below {SLOPE_ERROR:g})",
        ),
        below(
            "largest distance from assumption 4.1 less its bound",
            (frame.distance - frame.bound).groupby(frame.seed).max(),
            1e-9,
            "at most 0",
        ),
    )
    borne = {
        "the noisy loss rises": certified.noisy_quotient > 0,
        "the clean loss falls": certified.clean_quotient < 0,
    }
    return (
        *map(premise, identities),
        *(
            above(
                f"share of records that the bound vouches for at which {what}",
                own.groupby(certified.seed).mean(),
                0.999,
                "1",
            )
            for what, own in borne.items()
        ),
        *(
            above(
                f"share of records up to the stop that the bound vouches for, {setting}",
                own.groupby("seed").vouched.mean(),
                MOST,
                f"above {MOST:g}",
            )
            for setting, own in early.groupby("digits")
        ),
    )


def _ball(run: Recorded) -> tuple[Measured, ...]:
    frame = next_rises(run.frame)
    rows = []
    for words, inside in (("inside", True), ("outside", False)):
        own = frame[frame.inside == inside]
        agreeing = (own.rises == inside).groupby(own.seed).mean()
        what = (
            f"share of records {words} the ball after which the noisy loss {'rises' if inside else 'falls'}"
        )
        rows.append(above(what, agreeing, SIGNS, f"above {SIGNS:g}"))
    return tuple(rows)


def _half_binary(run: Recorded) -> tuple[Measured, ...]:
    """Training at 1 − δ is training at δ with the two labels exchanged: right becomes wrong."""
    runs = runs_by_value(run.frame, "level")
    lowest, highest = (runs[name].unstack("level") for name in ("lowest", "highest"))
    rows = []
    levels = sorted(set(run.frame.level))
    for level in levels:
        partner = next((other for other in levels if level < HALF and abs(other + level - 1) < 1e-9), None)
        if partner is None:
            continue
        rows.append(below(f"lowest test error, δ = {level:g}", lowest[level], level, f"below {level:g}"))
        off = (highest[partner] + lowest[level] - 1).abs()
        what = f"highest test error at δ = {partner:g} and lowest at {level:g}, sum, distance from 1"
        rows.append(below(what, off, MIRROR, f"0 (below {MIRROR:g})"))
    return tuple(rows)


def _half_ten(run: Recorded) -> tuple[Measured, ...]:
    runs = runs_by_value(run.frame, "level")
    edge = 0.9
    rows = []
    for level in sorted(set(run.frame.level)):
        words = f"δ = {level:g}"
        if level < edge:
            lowest, rise = (
                _of(values, level) for values in (runs.lowest, runs.noisy_highest - runs.noisy_start)
            )
            rows.append(below(f"lowest test error, {words}", lowest, level, f"below {level:g}"))
            rows.append(above(f"rise of the noisy error, {words}", rise, 0, "above 0"))
        elif level > edge:
            lowest = _of(runs.lowest, level)
            rows.append(above(f"lowest test error, {words}", lowest, edge, f"above {edge:g}, chance"))
    return tuple(rows)


def _pair_flips(run: Recorded) -> tuple[Measured, ...]:
    runs = runs_by_value(run.frame, "level")
    start = at_start(run.frame, "level")
    wanted = theory.gradient_ratio(start.index.get_level_values("level").to_numpy(), 10)
    rows = [
        below(
            "own-logit ratio before the first step by (C − 1)(1 − δ)/δ, distance from 1",
            (start.ratio / wanted - 1).abs().groupby("seed").max(),
            AT_START,
            f"0 (below {AT_START:g})",
        )
    ]
    for level in sorted(set(run.frame.level)):
        if level != HALF:
            rows += _settled(_rows_of(runs, level), f"δ = {level:g}", right=level < HALF)
    return tuple(rows)


def _concentration(run: Recorded) -> tuple[Measured, ...]:
    runs, start = runs_by_value(run.frame, "concentration"), at_start(run.frame, "concentration")
    level = run.settings["level"]
    values = start.index.get_level_values("concentration")
    predicted = gathered_at_start(level, values, samples=min(SAMPLES, run.settings["train_samples"]))
    rows = [
        below(
            f"{words} before the first step against the formula, relative distance",
            (start[column] / predicted[column].to_numpy() - 1).abs().groupby("seed").max(),
            AT_START,
            f"0 (below {AT_START:g})",
        )
        for column, words in (("ratio", "own-logit ratio"), ("full_ratio", "ratio over all logits"))
    ]
    off = (start.full_cosine - predicted.full_cosine.to_numpy()).abs().groupby("seed").max()
    rows.append(
        below("cosine over all logits against the formula, distance", off, COSINE, f"0 (below {COSINE:g})")
    )
    for value in sorted(set(run.frame.concentration)):
        rows += _settled(_rows_of(runs, value), f"γ = {value:g}", right=_margin(level, value) > 0)
    return tuple(rows)


def _margin(level: float, concentration: float, classes: int = 10) -> float:
    matrix = noise.transition_matrix(level, num_classes=classes, concentration=concentration)
    return float(theory.margins(matrix)[0])


def _subclasses(run: Recorded) -> tuple[Measured, ...]:
    frame = run.frame
    stops = frame[frame.epoch > 0].loc[lambda own: own.groupby(["share", "seed"]).test_error.idxmin()]
    stops = stops.set_index(["share", "seed"])
    start = frame[frame.epoch == 0].set_index(["share", "seed"])
    level = run.settings["level"]
    off = (start.class_ratio / ((1 - level) / level) - 1).abs().groupby("seed").max()
    what = "ratio of whole classes by (1 − δ)/δ, distance from 1"
    rows = [premise(below(what, off, PART_RATIO, f"below {PART_RATIO:g}"))]
    for share in sorted(set(frame.share) - {HALF}):
        what = f"test error in the parts at the stop, p = {share:g}"
        found = _on_its_side(what, stops.part_test_error[share], right=share < HALF)
        rows.append(premise(found) if share < HALF else found)
    rest = stops.rest_test_error.groupby("seed").max()
    what = "test error outside the parts at the stop, largest over p"
    rows.append(premise(below(what, rest, level / 2, f"below δ/2 = {level / 2:g}")))
    return tuple(rows)


def _three_clocks(run: Recorded) -> tuple[Measured, ...]:
    """A part with a wrong majority is right at first, and goes over while no other wrong label is learnt."""
    frame = run.frame[run.frame.epoch > 0].sort_values("epoch")
    keys = ["share", "seed"]
    start = run.frame[run.frame.epoch == 0].set_index(keys)
    last = frame.groupby(keys)[["part_test_error", "part_noisy_error", "rest_noisy_error"]].last()
    lowest, highest = (
        getattr(frame.groupby(keys)[column], way)()
        for column, way in (("part_test_error", "min"), ("part_noisy_error", "max"))
    )
    rows = []
    for share in sorted(set(frame.share)):
        end, words = last.part_test_error[share], f"p = {share:g}"
        if share != HALF:
            what = f"test error in the parts at the end, {words}"
            rows.append(_on_its_side(what, end, right=share < HALF))
        if share > HALF:
            what = f"lowest test error in the parts, {words}"
            rows.append(below(what, lowest[share], HALF, f"below {HALF:g}"))
            unlearnt = highest[share] - start.part_noisy_error[share]
            what = f"rise of the noisy error in the parts to its height, {words}"
            rows.append(above(what, unlearnt, 0, "above 0"))
            rise = end - lowest[share]
            what = f"test error in the parts at the end less its lowest, {words}"
            rows.append(above(what, rise, CLOCK, f"above {CLOCK:g}"))
            fall = highest[share] - last.part_noisy_error[share]
            what = f"fall of the noisy error in the parts from its height, {words}"
            rows.append(above(what, fall, CLOCK, f"above {CLOCK:g}"))
            outside, right = last.rest_noisy_error[share], 1 - CLOCK
            rows.append(above(f"noisy error outside at the end, {words}", outside, right, f"above {right:g}"))
    return tuple(rows)


def _fitted(run: Recorded) -> tuple[Measured, ...]:
    runs = runs_by_value(run.frame, "level")
    levels = sorted(set(run.frame.level))
    rows = [
        below(
            "noisy error at the end, largest over δ",
            runs.noisy_last.groupby("seed").max(),
            FITTED,
            f"0 (below {FITTED:g})",
        )
    ]
    for level in levels:
        last, lowest = _of(runs["last"], level), _of(runs.lowest, level)
        what = f"test error at the end by the lowest, δ = {level:g}"
        rows.append(above(what, last / lowest, WORSE, f"above {WORSE:g}"))
        rows.append(below(f"test error at the end, δ = {level:g}", last, level, f"below {level:g}"))
    return tuple(rows)


def _second_descent(*runs: Recorded) -> tuple[Measured, ...]:
    """From the height of the ascent, as far as it lasts longer than a spike, and from its middle."""
    rows = []
    for words, run in zip(("ten digits", "7 and 9"), runs, strict=True):
        found = until_noise_is_fitted(run.frame)
        fitted = below(f"noisy error at the end, {words}", found.noisy_last, FITTED, f"0 (below {FITTED:g})")
        falls = {
            f"highest test error after the U (median of {PEAK} records)": found.peak,
            "median test error while the noise is fitted": found.during,
        }
        rows.append(premise(fitted))
        rows += [
            above(f"{what} less that at the end, {words}", high - found["last"], FALL, f"above {FALL:g}")
            for what, high in falls.items()
        ]
    return tuple(rows)


def _settled(runs: pd.DataFrame, where: str, *, right: bool) -> list[Measured]:
    """Whether the true label is learnt, or else a wrong one, as its being given more often says.

    Args:
        runs: a row for each seed, as of `runs_by_value`.
        where: value of the swept setting, in words.
        right: whether the true label is the commonest.
    """
    lowest = f"lowest test error, {where}"
    if right:
        return [below(lowest, runs.lowest, HALF, f"below {HALF:g}")]
    return [
        above(lowest, runs.lowest, HALF, f"above {HALF:g}"),
        below(f"noisy error at the end, {where}", runs.noisy_last, HALF, f"below {HALF:g}"),
    ]


def _on_its_side(what: str, errors: pd.Series, *, right: bool) -> Measured:
    if right:
        return below(what, errors, HALF, f"below {HALF:g}")
    return above(what, errors, HALF, f"above {HALF:g}")


def _rows_of(runs: pd.DataFrame, value: float) -> pd.DataFrame:
    """Of one value of the swept setting, by seed."""
    return runs[runs.index.get_level_values(0) == value].droplevel(0)


def _of(values: pd.Series, value: float) -> pd.Series:
    """Of one value of the swept setting, by seed."""
    return values.xs(value, level=0)


CLAIMS = (
    Claim(
        "beyond-departure",
        "Inner products of the classes' clean and noisy gradients say what a small step does to both losses; "
        "theorem 4.4 bears any departure from assumption 4.1 that is within the bound on spread and angle, "
        "as most are up to the stop.",
        WHERE,
        ("beyond-departure",),
        early_stopping.ORACLE,
        _departure,
    ),
    Claim(
        "beyond-ball",
        "In gradient descent the noisy loss rises while minus the noisy gradient is in the ball whose "
        "diameter is the clean one, and falls while it is outside.",
        WHERE,
        ("thm-4.4-full-batch",),
        None,
        _ball,
    ),
    Claim(
        "beyond-half-binary",
        "With two classes the roles swap at δ = 1/2: what is learnt first are the labels of the majority.",
        WHERE,
        ("beyond-half-binary",),
        early_stopping.ORACLE,
        _half_binary,
    ),
    Claim(
        "beyond-half-ten",
        "With ten classes and uniform noise clean labels are learnt first up to δ = 9/10, and not above.",
        WHERE,
        ("beyond-half-ten",),
        early_stopping.ORACLE,
        _half_ten,
    ),
    Claim(
        "beyond-pair-flips",
        "Pair flips leave the own-logit ratio what it is for uniform noise, far above 1, and are learnt from "
        "δ = 1/2 on.",
        WHERE,
        ("beyond-pair-flips",),
        early_stopping.ORACLE,
        _pair_flips,
    ),
    Claim(
        "beyond-concentration",
        "What is learnt is the commonest label of a class, while the own-logit ratio is the same for every "
        "noise matrix; over all logits ratio and angle follow from how wrong labels are distributed.",
        WHERE,
        ("beyond-concentration",),
        early_stopping.ORACLE,
        _concentration,
    ),
    Claim(
        "beyond-subclasses",
        "Wrong labels that are the majority of a part of a class are learnt there before test error is "
        "lowest, although the majority of the class is right.",
        WHERE,
        ("beyond-subclasses",),
        early_stopping.ORACLE,
        _subclasses,
    ),
    Claim(
        "beyond-three-clocks",
        "In a part of a class in which most labels are wrong the class's label is learnt first, and the "
        "wrong ones are unlearnt; then the wrong ones are learnt, while those outside are not.",
        WHERE,
        ("beyond-subclasses",),
        None,
        _three_clocks,
    ),
    Claim(
        "beyond-fitted",
        "When every wrong label has been learnt, test error is above its lowest and below δ.",
        WHERE,
        ("beyond-fitted",),
        early_stopping.ORACLE,
        _fitted,
    ),
    Claim(
        "beyond-second-descent",
        "After the U test error falls a second time, when every wrong label has been learnt.",
        WHERE,
        ("fig-01-mnist-cnn", "fig-05-mnist-7v9"),
        None,
        _second_descent,
    ),
)
