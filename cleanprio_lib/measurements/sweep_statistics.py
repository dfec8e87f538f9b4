r"""What a recorded sweep says: the turn of each of its cells, and which axes make its curves one.

A sweep's frame has a row for each (value, seed, epoch), the swept setting as its own column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cleanprio_lib import early_stopping, theory
from cleanprio_lib.measurements.dynamics_statistics import (
    STRICT_TREND,
    TREND,
    rank_correlation,
    until_stop,
    with_both_classes,
)
from cleanprio_lib.runs import Recorded

FITTED = 0.5  # noisy error at which half of the wrong labels are learnt
TRENDS = ("clean_error", "noisy_error", "clean_residual", "noisy_residual")
AT_STOP = (
    "test_error",
    "final_test_error",
    "clean_error",
    "noisy_error",
    "clean_residual",
    "noisy_residual",
    "ratio",
    "cosine",
    "true_cosine",
)


def with_ratio(run: Recorded) -> pd.DataFrame:
    r"""The frame of a sweep with `level`, and with `ratio` and `cosine` whether it has two classes or ten.

    Returns:
        The frame and: `level`, $\delta$ of each row; of two classes `ratio`, the geometric mean of both, and
        `cosine`, their mean, as `logit_dynamics.logit_metrics` has them of all logits.
    """
    frame = run.frame if run.swept == "level" else run.frame.assign(level=run.settings["level"])
    if "ratio" in frame:
        return frame
    both = with_both_classes(frame, level=run.settings["level"])
    return both.assign(cosine=both[["cosine_0", "cosine_1"]].mean(axis=1))


def classes_of(frame: pd.DataFrame) -> int:
    """How many classes the nets of a frame tell apart, by its columns `ratio_0`, `ratio_1` and so on."""
    return sum(bool(re.fullmatch(r"ratio_\d+", str(name))) for name in frame)


def turning_points(frame: pd.DataFrame, swept: str) -> pd.DataFrame:
    r"""Each cell at its early stopping point by the oracle rule, before it and after it.

    Args:
        frame: of `with_ratio`.
        swept: name of the swept setting.

    Returns:
        A row for each (value, seed), the index: `delta`, its level; `stop`, the epoch of lowest test error;
        the columns of `AT_STOP` there; `start_ratio`, `start_cosine`, `start_noisy_error`,
        `start_noisy_residual`;
        `highest_noisy`, the largest noisy error; `highest_residual`, the largest noisy residual, and `peak`,
        its epoch; `half`, the first epoch after the largest noisy error at which half of the wrong labels are
        learnt, NaN if there is none; `last_noisy_error`; `speed`, by how much the test residual falls an
        epoch, up to the first record after the start; `halfway`, the epoch at which the clean residual has
        come half of the way to the plateau of a net that has learnt no single label, NaN if it has not; and
        of each of `TRENDS` the rank correlation with time up to the stop, such as `clean_error_trend`.
    """
    rows = {key: _turning_point(own) for key, own in _cells(frame, swept)}
    found = pd.DataFrame.from_dict(rows, orient="index")
    return found.set_axis(pd.MultiIndex.from_tuples(rows, names=[swept, "seed"]))


def _turning_point(own: pd.DataFrame) -> dict[str, float]:
    stop, first, last = early_stopping.oracle(own).iloc[0], own.iloc[0], own.iloc[-1]
    second, highest = own.iloc[1], own.iloc[int(own.noisy_error.argmax())]
    peak = own.iloc[int(own.noisy_residual.argmax())]
    learnt = own[(own.epoch > highest.epoch) & (own.noisy_error < FITTED)]
    return {
        "delta": first.level,
        "stop": stop.epoch,
        **{name: stop[name] for name in AT_STOP},
        "start_ratio": first.ratio,
        "start_cosine": first.cosine,
        "start_noisy_error": first.noisy_error,
        "start_noisy_residual": first.noisy_residual,
        "highest_noisy": highest.noisy_error,
        "highest_residual": peak.noisy_residual,
        "peak": peak.epoch,
        "half": learnt.epoch.min(),
        "last_noisy_error": last.noisy_error,
        "speed": (first.test_residual - second.test_residual) / second.epoch,
        "halfway": _halfway(own),
        **{f"{name}_trend": rank_correlation(until_stop(own), name).iloc[0] for name in TRENDS},
    }


def _halfway(own: pd.DataFrame) -> float:
    """The epoch, between records, with the clean residual half-way to the plateau; NaN if there is none."""
    first = own.iloc[0]
    rest = theory.plateau(float(first.level), classes_of(own)).clean_residual
    there = ((first.clean_residual - own.clean_residual) / (first.clean_residual - rest)).cummax()
    return float(np.interp(0.5, there, own.epoch)) if there.iloc[-1] >= 0.5 else np.nan


def clean_priority(cells: pd.DataFrame) -> pd.DataFrame:
    """What cells of `turning_points` show of clean priority, as the captions of figures 12 and 13 have it.

    Returns:
        In the same rows, whether up to the stop the clean error and residual fall and the noisy ones rise,
        the residual monotonically, as rank correlations with time beyond `TREND` and `STRICT_TREND` tell; and
        whether the test error at the stop is below the noise level and below where it ends.
    """
    return pd.DataFrame(
        {
            "the clean error falls": cells.clean_error_trend < -TREND,
            "the clean residual falls": cells.clean_residual_trend < -TREND,
            "the noisy error rises": cells.noisy_error_trend > TREND,
            "the noisy residual rises monotonically": cells.noisy_residual_trend > STRICT_TREND,
            "the test error is below δ": cells.test_error < cells.delta,
            "the test error is below where it ends": cells.final_test_error > cells.test_error,
        }
    )


def with_clocks(frame: pd.DataFrame, swept: str) -> pd.DataFrame:
    r"""The frame with times other than the epoch, and quantities over what theory says of their size.

    Args:
        frame: of `with_ratio`.
        swept: name of the swept setting.

    Returns:
        The frame and: `turns`, the epoch by that of the cell's lowest test error; `learnt`, the share $u$ of
        the clean residual that is gone since the start; `progress`, how far the clean residual has come from
        where it started (0) to the plateau of a net that has learnt no single label (1); `test_share`, test
        error by $\delta$; `noisy_share`, how far the noisy residual has come on its own way to the plateau;
        `log_odds`, the logarithm of the gradients' ratio by its first value in theory,
        $(C - 1)(1 - \delta)/\delta$; and `law`, $\log\frac{1 - u}{1 + (C - 1)u}$, which is the same at every
        $\delta$ for a net that gives all samples of a class one output, clean or noisy; NaN where no output
        has such a $u$.
    """
    count, frame = classes_of(frame), frame.sort_values([swept, "seed", "epoch"], ignore_index=True)
    rest = theory.plateau(frame.level.to_numpy(), count)
    own = frame.groupby([swept, "seed"])
    stop = frame.loc[own.test_error.idxmin()].set_index([swept, "seed"]).epoch
    keys = pd.MultiIndex.from_frame(frame[[swept, "seed"]])
    clean, noisy = (own[name].transform("first") for name in ("clean_residual", "noisy_residual"))
    learnt = 1 - frame.clean_residual / clean
    odds = (1 - learnt) / (1 + (count - 1) * learnt)
    return frame.assign(
        turns=frame.epoch / stop.loc[keys].to_numpy(),
        learnt=learnt,
        law=np.log(odds.where(odds > 0)),
        progress=(clean - frame.clean_residual) / (clean - rest.clean_residual),
        test_share=frame.test_error / frame.level,
        noisy_share=(frame.noisy_residual - noisy) / (rest.noisy_residual - noisy),
        log_odds=np.log(frame.ratio / theory.gradient_ratio(frame.level.to_numpy(), count)),
    )


@dataclass(frozen=True)
class Spread:
    """How far apart the curves of a sweep are, in the unit of what is drawn.

    Attributes:
        values: root mean square distance of each value's mean curve from the mean of all of them.
        seeds: the same of single seeds' curves from the mean curve of their value; NaN of one seed.
        low, high: ends of the axis that all curves share.
    """

    values: float
    seeds: float
    low: float
    high: float


def spread(
    frame: pd.DataFrame, swept: str, x: str, y: str, *, log: bool = False, until: float = np.inf
) -> Spread:
    """How far apart the curves of different values are over the part of an axis that all of them cover.

    Args:
        frame: a row for each (value, seed, epoch).
        swept: name of the swept setting.
        x: column of the axis; a curve's points are those at which it is larger than ever before.
        y: column that is drawn.
        log: whether the axis counts by its logarithm; rows where it is 0 are left out.
        until: end of the axis, where it is not the curves' own.

    Raises:
        ValueError: the curves share no part of the axis.
    """
    curves = {key: _curve(own, x, y, log=log) for key, own in _cells(frame, swept)}
    low = max(at[0] for at, _ in curves.values())
    high = min(min(at[-1] for at, _ in curves.values()), np.log(until) if log else until)
    if not low < high:
        raise ValueError(f"curves must share a part of {x}, got none from {low:g} to {high:g}")
    grid = np.linspace(low, high, 101)
    drawn = pd.DataFrame({key: np.interp(grid, *curve) for key, curve in curves.items()}).T
    means = drawn.groupby(level=0).mean()
    off = drawn - means.loc[drawn.index.get_level_values(0)].to_numpy()
    seeds = drawn.groupby(level=0).size().min()
    ends = np.exp([low, high]) if log else np.array([low, high])
    return Spread(
        values=float(np.sqrt(means.var(ddof=0).mean())),
        seeds=float(np.sqrt((off**2).to_numpy().mean())) if seeds > 1 else np.nan,
        low=float(ends[0]),
        high=float(ends[1]),
    )


def _curve(own: pd.DataFrame, x: str, y: str, *, log: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Points of a curve in rising order of x; where x falls back, none."""
    own = own[own[x] > 0] if log else own
    at = np.log(own[x].to_numpy()) if log else own[x].to_numpy(dtype=float)
    new = np.r_[True, at[1:] > np.maximum.accumulate(at)[:-1]]
    return at[new], own[y].to_numpy(dtype=float)[new]


def _cells(frame: pd.DataFrame, swept: str) -> Iterator[tuple[Any, pd.DataFrame]]:
    for key, own in frame.groupby([swept, "seed"]):
        yield key, own.sort_values("epoch")
