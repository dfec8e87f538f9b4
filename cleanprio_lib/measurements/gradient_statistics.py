r"""Recorded subset gradients compared with theory: both classes together, and over the initial logit."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cleanprio_lib import theory


def both_classes(frame: pd.DataFrame) -> pd.DataFrame:
    r"""What both classes' subset gradients are together: a row for each seed, `start` and `level`.

    Args:
        frame: rows (seed, start, level, class) of the experiment `eq-08-initial-ratio`.

    Returns:
        `ratio`, the geometric mean over the classes of $\lVert g_{clean}\rVert/\lVert g_{noise}\rVert$, and
        `off`, its distance from equation 8 as a fraction; `smallest` and `largest` of the two ratios; the
        larger `cosine`; the larger `alpha`, and `alpha_gap`, their difference; and `spread`, the mean over
        the classes of the logit's standard deviation.
    """
    grouped = frame.assign(log=np.log(frame.ratio)).groupby(["seed", "start", "level"], sort=False)
    table = pd.DataFrame(
        {
            "ratio": np.exp(grouped.log.mean()),
            "smallest": grouped.ratio.min(),
            "largest": grouped.ratio.max(),
            "cosine": grouped.cosine.max(),
            "alpha": grouped.alpha.max(),
            "alpha_gap": grouped.alpha.max() - grouped.alpha.min(),
            "spread": grouped.logit_sd.mean(),
        }
    ).reset_index()
    table["off"] = table.ratio / theory.gradient_ratio(table.level.to_numpy()) - 1
    return table


def predicted_ratios(level: float, logits: ArrayLike) -> pd.DataFrame:
    r"""What equation 8 becomes when all logits are $h_0$: rows (class, logit) with `ratio`.

    Args:
        level: $\delta$.
        logits: $h_0$, any number of them.
    """
    places = np.atleast_1d(np.asarray(logits, dtype=np.float64))
    ratios = theory.binary_gradient_ratios(level, places)
    columns = [pd.DataFrame({"class": c, "logit": places, "ratio": ratios[:, c]}) for c in (0, 1)]
    return pd.concat(columns, ignore_index=True)


def left_by_logit(frame: pd.DataFrame) -> pd.Series:
    r"""How far each ratio is from what its class's mean initial logit predicts, as a fraction.

    Args:
        frame: rows (level, class) with `ratio` and `logit`.
    """
    wanted = np.array(
        [
            theory.binary_gradient_ratios(level, logit)[c]
            for level, logit, c in zip(frame.level, frame.logit, frame["class"], strict=True)
        ]
    )
    return frame.ratio / wanted - 1
