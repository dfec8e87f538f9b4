"""Recorded angles compared with theory: means and their errors over seeds, and the law of finite width."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cleanprio_lib import early_stopping, theory

Array = NDArray[np.float64]
NETS = ["activation", "depth"]
DEGREES = 180 / np.pi
SIGNIFICANCE = 0.05
ROUNDING = 1e-5  # degrees: what the arc cosine leaves of an angle that is exactly 0 or 180


def against_theory(frame: pd.DataFrame) -> pd.DataFrame:
    r"""$\theta_h$ over seeds beside the infinitely wide net's: a row for each net and angle, all in degrees.

    Args:
        frame: rows (seed, activation, depth, degrees) with `theta_h` in radians.

    Returns:
        Columns `activation`, `depth`, `degrees`, `theory`; over seeds the `mean`, `low`, `high`, standard
        deviation `sd` and standard error `error` of the mean; and `t`, the mean's distance from theory in
        standard errors (0 where no seed differs from theory).
    """
    grouped = deviations(frame).groupby([*NETS, "degrees"], sort=False).angle
    table = grouped.agg(mean="mean", low="min", high="max", sd="std").reset_index()
    table["theory"] = _theory(table)
    table["error"] = table.sd / np.sqrt(frame.seed.nunique())
    off = table["mean"] - table.theory
    exact = (table.high - table.low < ROUNDING) & (off.abs() < ROUNDING)
    table["t"] = np.where(exact, 0.0, off / table.error.mask(exact, 1.0))
    return table


def by_net(frame: pd.DataFrame) -> list[tuple[str, int, pd.DataFrame]]:
    """Activation, depth and rows of each net, in the frame's order."""
    return [
        (str(own.activation.iloc[0]), int(own.depth.iloc[0]), own)
        for _, own in frame.groupby(NETS, sort=False)
    ]


def deviations(frame: pd.DataFrame) -> pd.DataFrame:
    r"""The frame with `angle`, $\theta_h$ in degrees, and `off`, its distance from theory in degrees."""
    angle = DEGREES * frame.theta_h
    return frame.assign(angle=angle, off=angle - _theory(frame))


def critical_t(seeds: int, comparisons: int) -> float:
    """What no |t| of so many comparisons exceeds, with probability 95% or more, if theory is right.

    Student's two-sided quantile at the level .05 / `comparisons` (Bonferroni).
    """
    from scipy import stats  # type: ignore[import-untyped]

    return float(stats.t.ppf(1 - SIGNIFICANCE / (2 * comparisons), seeds - 1))


def pooled_deviation(frame: pd.DataFrame) -> pd.DataFrame:
    """Root mean square deviation from theory over seeds and angles: a row for each net and width, in degrees.

    Args:
        frame: rows (seed, activation, depth, width) with `rms` in radians.

    Returns:
        `rms` and `error`, its standard error by leaving out one seed at a time.
    """
    tables = []
    for activation, depth, own in by_net(frame):
        squares = _squares(own)
        values = np.sqrt(_left_out(squares.to_numpy()))
        numbers = {"rms": np.sqrt(squares.mean().to_numpy()), "error": _jackknife(values)}
        net = {"activation": activation, "depth": depth}
        tables.append(pd.DataFrame({**net, "width": squares.columns, **numbers}))
    return pd.concat(tables, ignore_index=True)


def width_law(frame: pd.DataFrame) -> pd.DataFrame:
    r"""The power of the width with which the deviation falls: a row for each net.

    Args:
        frame: as in `pooled_deviation`.

    Returns:
        `exponent`, the least-squares slope of log deviation over log width; `error`, its standard error by
        leaving out one seed at a time; `constant`, deviation times $\sqrt m$ in degrees (geometric mean over
        the widths).
    """
    rows = []
    for activation, depth, own in by_net(frame):
        squares = _squares(own)
        widths = np.log(squares.columns.to_numpy(dtype=float))
        centred = widths - widths.mean()
        weights = centred / (centred**2).sum()
        logs = np.log(squares.mean().to_numpy()) / 2
        left_out = np.log(_left_out(squares.to_numpy())) / 2 @ weights
        rows.append(
            {
                "activation": activation,
                "depth": depth,
                "exponent": float(logs @ weights),
                "error": float(_jackknife(left_out)),
                "constant": float(np.exp((logs + widths / 2).mean())),
            }
        )
    return pd.DataFrame(rows)


def stopped(frame: pd.DataFrame) -> pd.DataFrame:
    """Each width's and seed's row at the early stopping point by the oracle rule.

    Args:
        frame: rows (seed, width, epoch) with `test_error`.
    """
    kept = [early_stopping.oracle(own).reset_index() for _, own in frame.groupby("width")]
    return pd.concat(kept, ignore_index=True)


def _theory(frame: pd.DataFrame) -> Array:
    values = np.empty(len(frame))
    for activation, depth, own in by_net(frame):
        rows = ((frame.activation == activation) & (frame.depth == depth)).to_numpy()
        inputs = np.radians(own.degrees.to_numpy())
        values[rows] = theory.derivative_angle(inputs, depth=depth, activation=activation)
    return DEGREES * values


def _squares(own: pd.DataFrame) -> pd.DataFrame:
    """One net's squared deviations in degrees: a row for each seed, a column for each width."""
    squared = own.assign(square=(DEGREES * own.rms) ** 2)
    return squared.pivot(index="seed", columns="width", values="square")


def _left_out(values: Array) -> Array:
    """(n, k) means over all rows but one."""
    return np.asarray((values.sum(axis=0) - values) / (len(values) - 1))


def _jackknife(values: Array) -> Array:
    """Standard error of an estimate from its n values with one sample left out."""
    return np.asarray(np.sqrt((len(values) - 1) * values.var(axis=0)))
