"""A made-up run of two classes that is as the paper describes it, and changes that are not."""

import numpy as np
import pandas as pd

from cleanprio_lib.claims import CLAIMS, judge
from cleanprio_lib.runs import Recorded

LEVEL = 0.4
STOP, TURN, END = 8, 10, 20
EPOCHS = np.arange(END + 1)
SEEDS = (0, 1, 2)


def as_the_paper_says():
    """A row for each of three seeds and 21 epochs.

    Test error is lowest at epoch 8, and the noisy samples' loss and residual are highest at epoch 10. There
    g_noise = −α g_clean with α = δ/(1 − δ) = 2/3 in both classes, at which the paper's formulas and the exact
    ones are the same: g_clean = .6 ĝ, and the step is .2 ĝ. The ratios fall from 1.8 and 1.25, whose
    geometric mean is (1 − δ)/δ; columns that no claim holds against each other need not fit together.
    """
    e = EPOCHS
    rising, late = e <= STOP, e > TURN
    ratio = np.where(e == 0, 1.5, 1.40 - 0.04 * (e - 1))
    ratio = np.where(rising, ratio, 1.0)
    columns = {
        "test_error": np.where(e == STOP, 0.05, 0.15 + 0.02 * np.abs(e - STOP)),
        "test_loss": 0.3 + 0.05 * np.abs(e - STOP),
        "clean_error": np.where(rising, 0.5 - 0.055 * e, 0.06 - 0.002 * (e - STOP)),
        "clean_loss": 0.69 - 0.02 * e,
        "clean_residual": 0.5 - 0.01 * e,
        "noisy_error": np.where(rising, 0.5 + 0.05 * e, 0.9 - 0.0725 * (e - STOP)),
        "noisy_loss": np.select([e == TURN, late], [0.9, 0.76 - 0.02 * (e - TURN - 1)], 0.68 + 0.01 * e),
        "noisy_residual": np.select([e == TURN, late], [0.6, 0.53 - 0.008 * (e - TURN)], 0.5 + 0.004 * e),
        "train_error": 0.5 - 0.02 * e,
        "ratio_0": 1.2 * ratio,
        "ratio_1": ratio / 1.2,
        "true_cosine": 0.98 - 0.001 * e,
        "smoothed_cosine": 0.99 - 0.001 * e,
    }
    for c in (0, 1):
        columns |= {f"cosine_{c}": -1.0, f"alpha_{c}": 2 / 3, f"clean_part_{c}": 0.6, f"noisy_part_{c}": -0.4}
    return pd.concat(
        [pd.DataFrame({"seed": seed, "epoch": e, **columns}) for seed in SEEDS], ignore_index=True
    )


def changed(frame, epochs, columns, *, seed=1):
    """The frame with new values of some columns at some epochs of one seed."""
    frame = frame.copy()
    for column, values in columns.items():
        frame.loc[(frame.seed == seed) & np.isin(frame.epoch, epochs), column] = values
    return frame


def verdict(claim, *frames):
    """What recorded runs with these frames would decide, and which quantities do not agree."""
    judged = judge(CLAIMS[claim], *map(_recorded, frames))
    return judged.verdict, [number.quantity for number in judged.measured if not number.agrees]


def quantities(claim, *frames):
    return [number.quantity for number in CLAIMS[claim].measure(*map(_recorded, frames))]


def _recorded(frame):
    facts = {"data": {"source": "MNIST"}, "settings": {"level": LEVEL}, "seeds": {}}
    return Recorded("made up", "paper", frame, facts, True)


def swapped(values, *pairs):
    """The values with some pairs of places exchanged."""
    values = np.array(values)
    for one, other in pairs:
        values[[one, other]] = values[[other, one]]
    return values


def broken(claim, frame, failing):
    """What is said of a claim in which just these numbers disagree."""
    return "does not hold" if len(failing) == len(quantities(claim, frame)) else "holds in part", failing
