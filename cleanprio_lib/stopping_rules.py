r"""When to stop without clean labels: each rule a pure function of one run's recorded curves.

A rule sees what a practitioner has: quantities of the training set and of held-out samples with noisy labels
or with none, at every recorded epoch, and for some rules the noise level. It never sees a true label. What it
is worth is its regret, the test error at its epoch less the lowest of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cleanprio_lib import early_stopping, theory

Array = NDArray[np.float64]
WINDOW = 3
PATIENCE = 10
RISES = 5


@dataclass(frozen=True)
class Rule:
    """A way to choose one of a run's recorded epochs.

    Attributes:
        label: in words.
        needs: columns of the frame that it reads, beside `epoch`.
        knows: what has to be known beside them: "nothing", or "the noise level".
        choose: from the rows of one seed, in order of epochs, the noise level and the number of classes to
            the place of the chosen row.
    """

    label: str
    needs: tuple[str, ...]
    knows: str
    choose: Callable[[pd.DataFrame, float, int], int]


def moving_average(values: ArrayLike, window: int = WINDOW) -> Array:
    """(n,) mean of each value and the `window - 1` before it; NaN where there are not so many.

    Raises:
        ValueError: window is not at least 1.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    series = pd.Series(np.asarray(values, dtype=np.float64))
    return series.rolling(window).mean().to_numpy(dtype=np.float64)


def first_minimum(values: ArrayLike, *, patience: int = 1, start: int = 0) -> int:
    """Place of the first value, from `start` on, that none of the next `patience` values is below.

    NaN counts as above everything. If the values fall to the end, the last place of the lowest.

    Args:
        values: (n,).
        patience: how many later values have to be no lower; fewer remain at the end, and they suffice.
        start: the first place that may be chosen.

    Raises:
        ValueError: patience is not at least 1, or there is no number from `start` on.
    """
    if patience < 1:
        raise ValueError(f"patience must be at least 1, got {patience}")
    heights = np.where(np.isnan(np.asarray(values, dtype=np.float64)), np.inf, values)[start:]
    if not np.isfinite(heights).any():
        raise ValueError(f"values must have a number from place {start} on")
    places = (
        place
        for place, height in enumerate(heights)
        if np.isfinite(height) and not (heights[place + 1 : place + 1 + patience] < height).any()
    )
    return start + next(places)


def nth_rise(values: ArrayLike, *, count: int = RISES, consecutive: bool = False) -> int:
    """Place of the value that is the `count`-th to exceed the one before it; the last if so many do not.

    Args:
        values: (n,) numbers.
        count: of rises.
        consecutive: whether they have to follow each other.

    Raises:
        ValueError: count is not at least 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    seen = 0
    rises = np.diff(np.asarray(values, dtype=np.float64)) > 0
    for place, rise in enumerate(rises, start=1):
        seen = seen + 1 if rise else 0 if consecutive else seen
        if seen == count:
            return place
    return len(rises)


def susceptibility(steps: ArrayLike) -> Array:
    r"""(n,) running means $\zeta(t) = \frac1t \sum_{\tau \le t} \Delta_\tau$ of one-step falls of a loss.

    Args:
        steps: (n,) by how much one step on randomly labelled samples lowers the loss on them, by epoch.

    Source: Forouzesh, Sedghi and Thiran, ICLR 2023, and the code that goes with it.
    """
    falls = np.asarray(steps, dtype=np.float64)
    return np.cumsum(falls) / np.arange(1, len(falls) + 1)


def noise_entropy(level: float, num_classes: int = 2) -> float:
    r"""The loss that nobody gets below on labels that are not memorised, with uniform noise, in nats.

    $-(1 - \delta)\log(1 - \delta) - \delta\log\frac{\delta}{C - 1}$, which a net reaches that predicts every
    true class with certainty $1 - \delta$.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}")
    rest = theory.plateau(level, num_classes)
    return float((1 - level) * rest.clean_loss + level * rest.noisy_loss)


def _lowest(column: str) -> Callable[[pd.DataFrame, float, int], int]:
    return lambda own, level, num_classes: int(own[column].to_numpy().argmin())


def label_wave(own: pd.DataFrame, *, window: int = WINDOW, patience: int = 1) -> int:
    """Place of the first local minimum of the smoothed number of prediction changes.

    Args:
        own: rows of one seed, in order of epochs, with `changes`.
        window: epochs of the moving average.
        patience: epochs that have to bring no lower value.

    Source: Yuan, Feng and Liu, ICLR 2024.
    """
    return first_minimum(moving_average(own.changes, window), patience=patience)


def ratio_at_rest(own: pd.DataFrame, *, window: int = WINDOW, patience: int = PATIENCE) -> int:
    """Place of the first local minimum of the smoothed `estimated_ratio` after its first local maximum.

    Args:
        own: rows of one seed, in order of epochs, with `estimated_ratio`.
        window: epochs of the moving average.
        patience: epochs that have to bring no higher value at the maximum, and no lower one at the minimum.

    Source: beyond the paper; what its Figure 6 becomes without true labels.
    """
    smooth = moving_average(own.estimated_ratio, window)
    top = first_minimum(-smooth, patience=patience)
    return first_minimum(smooth, patience=patience, start=top)


def resistant_and_trained(own: pd.DataFrame) -> int:
    r"""Place of the highest training accuracy among epochs that are trained and resistant.

    That is with a training error below its mean over the run and $\zeta$ below its own; if there is none, the
    place of the lowest training error among those with $\zeta$ below its mean.

    Args:
        own: rows of one seed, in order of epochs, with `susceptibility_step` and `train_error`.

    Source: the regions of Forouzesh, Sedghi and Thiran, ICLR 2023, who choose among models with them; that
    the models are the epochs of one run is ours.
    """
    zeta, error = susceptibility(own.susceptibility_step), own.train_error.to_numpy()
    resistant, trained = zeta <= zeta.mean(), error <= error.mean()
    allowed = resistant & trained if (resistant & trained).any() else resistant
    return int(np.where(allowed, error, np.inf).argmin())


def _first_at_or_below(values: pd.Series, bound: float) -> int:
    """Place of the first value at or below a bound; the last place of all where none is."""
    reached = np.flatnonzero(values.to_numpy() <= bound)
    return int(reached[0]) if len(reached) else len(values) - 1


RULES: MappingProxyType[str, Rule] = MappingProxyType(
    {
        "validation": Rule(
            "lowest error on noisy validation set",
            ("validation_error",),
            "nothing",
            _lowest("validation_error"),
        ),
        "validation_loss": Rule(
            "lowest loss on noisy validation set", ("validation_loss",), "nothing", _lowest("validation_loss")
        ),
        "label_wave": Rule(
            "Label Wave: changes, mean of 3, first minimum",
            ("changes",),
            "nothing",
            lambda own, level, num_classes: label_wave(own),
        ),
        "label_wave_patient": Rule(
            "Label Wave, the same with a patience of 10",
            ("changes",),
            "nothing",
            lambda own, level, num_classes: label_wave(own, patience=PATIENCE),
        ),
        "disparity": Rule(
            "gradient disparity, fifth rise",
            ("scaled_disparity",),
            "nothing",
            lambda own, level, num_classes: nth_rise(own.scaled_disparity),
        ),
        "disparity_run": Rule(
            "gradient disparity, five rises in a row",
            ("scaled_disparity",),
            "nothing",
            lambda own, level, num_classes: nth_rise(own.scaled_disparity, consecutive=True),
        ),
        "susceptibility": Rule(
            "susceptibility below its mean, best fit",
            ("susceptibility_step", "train_error"),
            "nothing",
            lambda own, level, num_classes: resistant_and_trained(own),
        ),
        "ratio": Rule(
            "estimated gradient ratio at rest",
            ("estimated_ratio",),
            "nothing",
            lambda own, level, num_classes: ratio_at_rest(own),
        ),
        "error_plateau": Rule(
            "training error falls to δ",
            ("train_error",),
            "the noise level",
            lambda own, level, num_classes: _first_at_or_below(own.train_error, level),
        ),
        "loss_plateau": Rule(
            "training loss falls to the noise's entropy",
            ("train_loss",),
            "the noise level",
            lambda own, level, num_classes: _first_at_or_below(
                own.train_loss, noise_entropy(level, num_classes)
            ),
        ),
        "end": Rule("never", (), "nothing", lambda own, level, num_classes: len(own) - 1),
    }
)


def apply(frame: pd.DataFrame, *, level: float, num_classes: int) -> pd.DataFrame:
    r"""Every rule on every seed of a run, as far as the run has what it needs.

    Args:
        frame: a row for each (seed, epoch) with what rules need, and with `test_error` and `train_error`
            where they are known.
        level: $\delta$.
        num_classes: $C$.

    Returns:
        A row for each `rule` and `seed`: `epoch` at which it stops, `test_error` there, the `lowest` test
        error of the seed, the `regret`, their difference, and `train_error` at that epoch, which is the noise
        level that one would estimate there. Without clean labels, or without the training error, there are no
        such columns.

    Raises:
        ValueError: the frame lacks `seed` or `epoch`.
    """
    if missing := {"seed", "epoch"} - set(frame):
        raise ValueError(f"frame must have columns seed and epoch, lacks {', '.join(sorted(missing))}")
    lowest = early_stopping.oracle(frame).test_error if "test_error" in frame else None
    rows = []
    for seed, own in frame.sort_values(["seed", "epoch"]).groupby("seed"):
        for name, rule in RULES.items():
            if not set(rule.needs) <= set(own):
                continue
            chosen = own.iloc[rule.choose(own, level, num_classes)]
            row = {"rule": name, "seed": seed, "epoch": chosen.epoch}
            if lowest is not None:
                error, least = chosen.test_error, lowest[seed]
                row |= {"test_error": error, "lowest": least, "regret": error - least}
            if "train_error" in own:
                row["train_error"] = chosen.train_error
            rows.append(row)
    return pd.DataFrame(rows)
