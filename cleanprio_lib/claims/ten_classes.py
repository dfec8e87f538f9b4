r"""Claims on ten classes in training: section 5, figures 7 and 8, and the losses of figure 11."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from cleanprio_lib import early_stopping, theory
from cleanprio_lib.claims.judging import Claim, Measured, above, below, within
from cleanprio_lib.measurements.dynamics_statistics import (
    STRICT_TREND,
    TREND,
    last,
    rank_correlation,
    until_stop,
)
from cleanprio_lib.runs import Recorded

CLASSES = 10
AT_START = 0.05  # relative distance of the first ratio and the first loss from what an even output gives
FITTED = 0.5  # noisy error at which half of the wrong labels are fitted


def _start(frame: pd.DataFrame, column: str) -> pd.Series:
    return frame[frame.epoch == 0].set_index("seed")[column]


def _highest(frame: pd.DataFrame, column: str) -> pd.Series:
    return frame.groupby("seed")[column].max()


def _trend(what: str, early: pd.DataFrame, column: str, sign: int, bound: float = TREND) -> Measured:
    quantity = f"rank correlation of the {what} with time, up to the stop"
    values = rank_correlation(early, column)
    if sign > 0:
        return above(quantity, values, bound, f"above {bound:g}")
    return below(quantity, values, -bound, f"below −{bound:g}")


def _fig_7(
    lowest: Callable[[float], float], at_stop: float | None = None
) -> Callable[[Recorded], tuple[Measured, ...]]:
    """Figure 7 for one data set.

    Args:
        lowest: from the noise level to what the lowest test error must be below.
        at_stop: what the noisy error must exceed at the stop, if more than its first value.
    """

    def measure(run: Recorded) -> tuple[Measured, ...]:
        frame, level = run.frame, run.settings["level"]
        early, stops = until_stop(frame), early_stopping.oracle(frame)
        bound = lowest(level)
        final_noisy = last(frame, "noisy_error")
        residual_height = _highest(frame, "noisy_residual")
        near_one = (
            ()
            if at_stop is None
            else (above("noisy error at the stop", stops.noisy_error, at_stop, f"above {at_stop:g}"),)
        )
        return (
            _trend("clean error", early, "clean_error", -1),
            _trend("noisy error", early, "noisy_error", +1),
            above(
                "noisy error at the stop, less that at the start",
                stops.noisy_error - _start(frame, "noisy_error"),
                0,
                "above 0",
            ),
            *near_one,
            below("noisy error at the end", final_noisy, FITTED, f"below {FITTED:g}"),
            _trend("mean residual of the clean subset", early, "clean_residual", -1),
            _trend("mean residual of the noisy subset", early, "noisy_residual", +1, STRICT_TREND),
            above(
                "mean residual of the noisy subset at the stop, less that at the start",
                stops.noisy_residual - _start(frame, "noisy_residual"),
                0,
                "above 0",
            ),
            above(
                "its largest value less that at the end",
                residual_height - last(frame, "noisy_residual"),
                0,
                "above 0",
            ),
            below("lowest test error", stops.test_error, bound, f"below {bound:g}"),
            above(
                "test error at the end less the lowest",
                stops.final_test_error - stops.test_error,
                0,
                "above 0",
            ),
        )

    return measure


def _fig_8(at_stop: float | None) -> Callable[[Recorded], tuple[Measured, ...]]:
    """Figure 8 for one data set; `at_stop` is what the ratio must be below at the stop, if anything."""

    def measure(run: Recorded) -> tuple[Measured, ...]:
        frame, wanted = run.frame, float(theory.gradient_ratio(run.settings["level"], CLASSES))
        early, stops = until_stop(frame), early_stopping.oracle(frame)
        low, high = wanted * (1 - AT_START), wanted * (1 + AT_START)
        rows = [
            within(
                "ratio at t = 0, geometric mean over logits",
                _start(frame, "ratio"),
                low,
                high,
                f"{wanted:g} ± {AT_START:.0%}",
            ),
            _trend("ratio", early, "ratio", -1, STRICT_TREND),
        ]
        if at_stop is not None:
            rows.append(below("ratio at the stop", stops.ratio, at_stop, f"below {at_stop:g}"))
        return tuple(rows)

    return measure


def _fig_11(run: Recorded) -> tuple[Measured, ...]:
    frame = run.frame
    early, stops = until_stop(frame), early_stopping.oracle(frame)
    start = _start(frame, "noisy_loss")
    even = float(np.log(CLASSES))
    return (
        within(
            "noisy loss at t = 0",
            start,
            even * (1 - AT_START),
            even * (1 + AT_START),
            f"log\u00a010 = {even:.3f} ± {AT_START:.0%}",
        ),
        _trend("noisy loss", early, "noisy_loss", +1),
        above("noisy loss at the stop less that at the start", stops.noisy_loss - start, 0, "above 0"),
        _trend("clean loss", early, "clean_loss", -1),
        above(
            "largest noisy loss less that at the end",
            _highest(frame, "noisy_loss") - last(frame, "noisy_loss"),
            0,
            "above 0",
        ),
    )


MNIST, CIFAR, SMALL_STEPS = "fig-07-mnist", "fig-07-cifar10", "fig-08-small-steps"

CLAIMS = (
    Claim(
        id="fig-7-top",
        statement="MNIST: until the stop the clean subset's error and residual fall and the noisy one's "
        "rise, its residual monotonically; then the noisy subset is fitted. Test error is U-shaped, its "
        "minimum far below δ.",
        where="Figure 7, top",
        experiments=(MNIST,),
        rule=early_stopping.ORACLE,
        measure=_fig_7(lambda level: level / 3, 0.95),
    ),
    Claim(
        id="fig-8-left",
        statement="MNIST: the ratio of a logit's clean to its noisy gradient falls monotonically until "
        "the stop.",
        where="Figure 8, left",
        experiments=(MNIST,),
        rule=early_stopping.ORACLE,
        measure=_fig_8(3.0),
    ),
    Claim(
        id="fig-8-small-steps",
        statement="MNIST, with steps of 0.04 in place of 0.1: the ratio of a logit's clean to its noisy "
        "gradient falls monotonically until the stop.",
        where="this book, figure 8, left, with smaller steps",
        experiments=(SMALL_STEPS,),
        rule=early_stopping.ORACLE,
        measure=_fig_8(3.0),
    ),
    Claim(
        id="fig-11-middle",
        statement="MNIST: the noisy subset's loss rises in the early stage and falls in the later.",
        where="Figure 11, middle",
        experiments=(MNIST,),
        rule=early_stopping.ORACLE,
        measure=_fig_11,
    ),
    Claim(
        id="fig-7-bot",
        statement="CIFAR-10: until the stop the clean subset's error and residual fall and the noisy one's "
        "rise, its residual monotonically; then the noisy subset is fitted. Test error is U-shaped, its "
        "minimum below δ.",
        where="Figure 7, bottom",
        experiments=(CIFAR,),
        rule=early_stopping.ORACLE,
        measure=_fig_7(lambda level: level),
    ),
    Claim(
        id="fig-8-right",
        statement="CIFAR-10: the ratio of a logit's clean to its noisy gradient falls monotonically until "
        "the stop.",
        where="Figure 8, right",
        experiments=(CIFAR,),
        rule=early_stopping.ORACLE,
        measure=_fig_8(None),
    ),
    Claim(
        id="fig-11-right",
        statement="CIFAR-10: the noisy subset's loss rises in the early stage and falls in the later.",
        where="Figure 11, right",
        experiments=(CIFAR,),
        rule=early_stopping.ORACLE,
        measure=_fig_11,
    ),
)
