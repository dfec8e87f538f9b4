r"""What recorded runs say beyond the paper: a sweep's stops and ends, the ball, a second descent."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from cleanprio_lib import noise, theory
from cleanprio_lib.measurements.logit_dynamics import SAMPLES

HALF, FITTED = 0.5, 0.05  # noisy errors between which wrong labels are being learnt
PEAK = 9  # records, of which one alone may be a spike


def runs_by_value(frame: pd.DataFrame, swept: str) -> pd.DataFrame:
    """Each run of a sweep in a few numbers.

    Args:
        frame: a row for each (value, seed, epoch) with `test_error`, `noisy_error` and `clean_error`.
        swept: the column of the values.

    Returns:
        Indexed by value and seed: of the test error after epoch 0 the `lowest`, its epoch, `stop`, the
        `highest` and the `last`; of the noisy error its `noisy_start`, at epoch 0, `noisy_highest`,
        `noisy_lowest` and `noisy_last`; and `clean_last`.
    """
    rows = {}
    for key, own in frame.sort_values("epoch").groupby([swept, "seed"]):
        later = own[own.epoch > 0]
        lowest = later.iloc[int(later.test_error.to_numpy().argmin())]
        rows[key] = {
            "lowest": lowest.test_error,
            "stop": lowest.epoch,
            "highest": later.test_error.max(),
            "last": own.test_error.iloc[-1],
            "noisy_start": own.noisy_error.iloc[0],
            "noisy_highest": own.noisy_error.max(),
            "noisy_lowest": later.noisy_error.min(),
            "noisy_last": own.noisy_error.iloc[-1],
            "clean_last": own.clean_error.iloc[-1],
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(table.index, names=[swept, "seed"])
    return table


def at_start(frame: pd.DataFrame, swept: str) -> pd.DataFrame:
    """Rows of a sweep before the first step, indexed by value and seed."""
    return frame[frame.epoch == 0].set_index([swept, "seed"]).sort_index()


def with_rest(frame: pd.DataFrame) -> pd.DataFrame:
    r"""A run's records with `alpha` and `rest` of the sums over all classes.

    From `total_alpha` and `total_cosine`: the part of the noisy gradient across the clean one is
    $\lvert\alpha\rvert\sqrt{1/\cos^2 - 1}$.
    """
    cosine = frame.total_cosine
    rest = frame.total_alpha.abs() * np.sqrt(np.clip(1 / cosine**2 - 1, 0, None))
    return frame.assign(alpha=frame.total_alpha, rest=rest)


def in_the_ball(frame: pd.DataFrame) -> pd.Series:
    """Whether a small step raises the noisy loss, by `alpha` and `rest`."""
    return frame.rest < theory.largest_rest(frame.alpha)


def next_rises(frame: pd.DataFrame) -> pd.DataFrame:
    """Records whose next one is on the same side of the ball's edge, and whether the noisy loss rises.

    Between two records on the same side all steps should go the same way; the last record of a seed and those
    before the edge is crossed say nothing.

    Args:
        frame: a row for each (seed, epoch) with `noisy_loss`, and `alpha` and `rest` or what `with_rest`
            makes them of.

    Returns:
        These rows with `inside`, the side, and `rises`.
    """
    frame = frame if "rest" in frame else with_rest(frame)
    frame = frame.sort_values(["seed", "epoch"]).assign(inside=in_the_ball)
    by_seed = frame.groupby("seed")
    following = by_seed.inside.shift(-1)
    frame = frame.assign(rises=by_seed.noisy_loss.shift(-1) > frame.noisy_loss)
    return frame[following.notna() & (following == frame.inside)]


def until_noise_is_fitted(frame: pd.DataFrame) -> pd.DataFrame:
    r"""Test error while wrong labels are being learnt and when they have been, for each seed (the index).

    Returns:
        `during`, the median test error over the records from the first after the highest noisy error at which
        it is below 1/2 to the first at which it is below 0.05, or the last; `peak`, the highest median of
        `PEAK` records in a row after the highest noisy error; `last`, the median over the last tenth of the
        epochs; and `noisy_last`, the median of the noisy error there. NaN where there is none.
    """
    rows = {}
    for seed, own in frame.sort_values("epoch").groupby("seed"):
        after = own.iloc[int(own.noisy_error.to_numpy().argmax()) :]
        half = after.epoch[after.noisy_error < HALF].min()
        fitted = after.epoch[(after.noisy_error < FITTED) & (after.epoch > half)].min()
        during = after[after.epoch.between(half, fitted if np.isfinite(fitted) else own.epoch.max())]
        end = own[own.epoch >= 0.9 * own.epoch.max()]
        rows[seed] = {
            "during": during.test_error.median(),
            "peak": after.test_error.rolling(PEAK).median().max(),
            "last": end.test_error.median(),
            "noisy_last": end.noisy_error.median(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("seed")


def gathered_at_start(
    level: float,
    concentrations: Iterable[float],
    *,
    samples: int = SAMPLES,
    num_classes: int = 10,
    alike: float = 1.0,
) -> pd.DataFrame:
    r"""What an infinitely wide net has before the first step if wrong labels gather on the next class.

    Args:
        level: $\delta$.
        concentrations: $\gamma$ of `noise.transition_matrix`.
        samples: of all classes together, as many in each; how many wrong labels there are limits how well
            they cancel.
        num_classes: $C$.
        alike: mean cosine between the derivatives $\nabla h$ of two samples of a class; 1 if all inputs of a
            class count as one.

    Returns:
        A row for each concentration (the index): `ratio` at the class's own logit, `full_ratio` and
        `full_cosine` over all logits, named as in `logit_dynamics.logit_metrics`.

    Source: beyond the paper; steps T.2, T.3 and T.9 of the appendix.
    """
    values = list(concentrations)
    noisy = level * samples / num_classes
    residuals = theory.label_residuals(np.full(num_classes, 1 / num_classes))
    rows = {}
    for value in dict.fromkeys(values):
        matrix = noise.transition_matrix(level, num_classes=num_classes, concentration=value)
        found = theory.initial_gradients(matrix, residuals, num_noisy=1 + (noisy - 1) * alike)
        rows[value] = {
            "ratio": found.own_ratio[0],
            "full_ratio": found.full_ratio[0],
            "full_cosine": found.cosine[0],
        }
    return pd.DataFrame.from_dict(rows, orient="index").loc[values]
