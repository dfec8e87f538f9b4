r"""Claims on the early stage of training with two classes: section 4.1 and its figures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from cleanprio_lib import early_stopping
from cleanprio_lib.claims.judging import Claim, Measured, above, below, within
from cleanprio_lib.measurements.dynamics_statistics import (
    STRICT_TREND,
    TREND,
    largest_step,
    last,
    rank_correlation,
    until_half_learnt,
    until_stop,
    with_both_classes,
)
from cleanprio_lib.runs import Recorded

OPPOSITE_COSINE = -0.99
SAME_ALPHA = 0.05
FORMULA = 0.02  # relative error up to which a formula counts as what is measured
SAME_DIRECTION = 0.9  # cosine
FITTING = 0.9  # share of steps that must lower the loss on true labels
LARGE_BATCH = 256


def _per_seed(frame: pd.DataFrame, columns: list[str], how: str) -> pd.Series:
    """One number for each seed: the extreme of several columns over all rows."""
    return frame.groupby("seed")[columns].agg(how).agg(how, axis=1)


def _early(run: Recorded) -> pd.DataFrame:
    return with_both_classes(until_stop(run.frame), level=run.settings["level"])


def _off(frame: pd.DataFrame, value: str, prediction: str | float) -> pd.Series:
    """Largest relative distance of both classes' values from their predictions, for each seed."""
    columns = {}
    for c in (0, 1):
        predicted = frame[f"{prediction}_{c}"] if isinstance(prediction, str) else prediction
        columns[f"off_{c}"] = (frame[f"{value}_{c}"] / predicted - 1).abs()
    return _per_seed(frame.assign(**columns), list(columns), "max")


def _falls(what: str, frame: pd.DataFrame, column: str, trend: float) -> Measured:
    quantity = f"rank correlation of the {what} with time, up to the stop"
    return below(quantity, rank_correlation(frame, column), -trend, f"below −{trend:g}")


def _rises(what: str, frame: pd.DataFrame, column: str, trend: float) -> Measured:
    quantity = f"rank correlation of the {what} with time, up to the stop"
    return above(quantity, rank_correlation(frame, column), trend, f"above {trend:g}")


def _ass_4_1(run: Recorded) -> tuple[Measured, ...]:
    early = _early(run)
    early = early.assign(gap=(early.alpha_0 - early.alpha_1).abs())
    return (
        below(
            "largest cos(g_noise, g_clean) up to the stop, both classes",
            _per_seed(early, ["cosine_0", "cosine_1"], "max"),
            OPPOSITE_COSINE,
            f"−1 (below {OPPOSITE_COSINE:g})",
        ),
        below(
            "largest α_t up to the stop, both classes",
            _per_seed(early, ["alpha_0", "alpha_1"], "max"),
            1,
            "below 1",
        ),
        below(
            "largest difference of the two α_t up to the stop",
            early.groupby("seed").gap.max(),
            SAME_ALPHA,
            f"0 (below {SAME_ALPHA:g})",
        ),
    )


def _eq_10(run: Recorded) -> tuple[Measured, ...]:
    early = _early(run)
    return tuple(
        below(
            f"relative error of 1/(1 + α_t) for g_clean on ĝ, {when}",
            _off(rows, "clean_part", "clean_part_paper"),
            FORMULA,
            f"0 (below {FORMULA:g})",
        )
        for when, rows in (("at t = 0", early[early.epoch == 0]), ("up to the stop", early))
    )


def _eq_10_exact(run: Recorded) -> tuple[Measured, ...]:
    early = _early(run)
    return (
        below(
            "relative error of 1 − δ for g_clean on ĝ, up to the stop",
            _off(early, "clean_part", 1 - run.settings["level"]),
            FORMULA,
            f"0 (below {FORMULA:g})",
        ),
    )


def _prop_4_2(run: Recorded) -> tuple[Measured, ...]:
    early = _early(run)
    words = f"1 (above {SAME_DIRECTION:g})"
    start = early[early.epoch == 0].set_index("seed")
    return (
        above("cos(∇L(D), ∇L(D̂)) at t = 0", start.true_cosine, SAME_DIRECTION, words),
        above(
            "its smallest value up to the stop",
            early.groupby("seed").true_cosine.min(),
            SAME_DIRECTION,
            words,
        ),
        above(
            "smallest part of ĝ in a class's step up to the stop",
            _per_seed(early, ["step_0", "step_1"], "min"),
            0,
            "above 0",
        ),
        below(
            "relative error of (1 − α_t)/(1 + α_t) for that part, up to the stop",
            _off(early, "step", "step_paper"),
            FORMULA,
            f"0 (below {FORMULA:g})",
        ),
    )


def _prop_4_2_exact(run: Recorded) -> tuple[Measured, ...]:
    return (
        below(
            "relative error of (1 − δ)(1 − α_t) for a class's part of ĝ, up to the stop",
            _off(_early(run), "step", "step_exact"),
            FORMULA,
            f"0 (below {FORMULA:g})",
        ),
    )


def _smoothed(run: Recorded) -> tuple[Measured, ...]:
    early = until_stop(run.frame)
    start = early[early.epoch == 0].set_index("seed")
    words = f"1 (above {SAME_DIRECTION:g})"
    return (
        above(
            "cosine of ∇L(D) with the gradient of smoothed labels, at t = 0",
            start.smoothed_cosine,
            SAME_DIRECTION,
            words,
        ),
        above(
            "its smallest value up to the stop",
            early.groupby("seed").smoothed_cosine.min(),
            SAME_DIRECTION,
            words,
        ),
    )


def _rem_4_3(batches: Recorded, run: Recorded) -> tuple[Measured, ...]:
    """At the recorded epochs that are early in every seed of the `run` of figure 5."""
    frame, first_stop = batches.frame, early_stopping.oracle(run.frame).epoch.min()
    words = f"above {FITTING:g}"
    return tuple(
        above(
            f"share of batches of {size} whose step lowers the loss on true labels, "
            + ("at t = 0" if epoch == 0 else f"after epoch {epoch:g}"),
            frame[(frame.batch == size) & (frame.epoch == epoch)].set_index("seed").forward,
            FITTING,
            words,
        )
        for epoch in sorted(frame.epoch.unique())
        for size in sorted(frame.batch.unique())
        if size >= LARGE_BATCH and epoch < first_stop
    )


def _thm_4_4(run: Recorded) -> tuple[Measured, ...]:
    early = until_stop(run.frame)
    rise = largest_step(early, "clean_loss")
    fall = largest_step(early.assign(noisy_fall=-early.noisy_loss), "noisy_fall")
    return (
        below("largest rise of the clean loss between records up to the stop", rise, 0, "below 0"),
        below("largest fall of the noisy loss between records up to the stop", fall, 0, "below 0"),
    )


def _thm_4_4_accuracy(run: Recorded) -> tuple[Measured, ...]:
    early = until_stop(run.frame)
    rise = largest_step(early, "clean_error")
    fall = largest_step(early.assign(noisy_fall=-early.noisy_error), "noisy_fall")
    return (
        _falls("clean error", early, "clean_error", TREND),
        _rises("noisy error", early, "noisy_error", TREND),
        within("largest rise of the clean error between records up to the stop", rise, -1, 0, "at most 0"),
        within("largest fall of the noisy error between records up to the stop", fall, -1, 0, "at most 0"),
    )


def _sec_4_1_residuals(run: Recorded) -> tuple[Measured, ...]:
    early = until_stop(run.frame)
    return (
        _falls("clean residual", early, "clean_residual", STRICT_TREND),
        _rises("noisy residual", early, "noisy_residual", STRICT_TREND),
    )


def _sec_4_1_test(run: Recorded) -> tuple[Measured, ...]:
    stops, level = early_stopping.oracle(run.frame), run.settings["level"]
    start = run.frame[run.frame.epoch == 0].set_index("seed")
    return (
        below("test loss at the stop − at the start", stops.test_loss - start.test_loss, 0, "below 0"),
        below("test error at the stop", stops.test_error, level, f"below δ = {level:g}"),
    )


def _fig_5_left(run: Recorded) -> tuple[Measured, ...]:
    stops = early_stopping.oracle(run.frame)
    early = until_stop(run.frame)
    return (
        above("highest noisy error", run.frame.groupby("seed").noisy_error.max(), 0.88, "above 0.88"),
        below("clean error at the stop", stops.clean_error, 0.1, "below 0.1"),
        _rises("noisy error", early, "noisy_error", TREND),
        below("noisy error at the end − its highest", _fallen(run.frame, "noisy_error"), -0.1, "below −0.1"),
    )


def _fig_5_middle(run: Recorded) -> tuple[Measured, ...]:
    early = until_stop(run.frame)
    highest = run.frame.groupby("seed").noisy_residual.max()
    fallen = _fallen(run.frame, "noisy_residual")
    return (
        _falls("clean residual", early, "clean_residual", TREND),
        _rises("noisy residual", early, "noisy_residual", STRICT_TREND),
        above("highest noisy residual", highest, 0.55, "above 0.55"),
        below("noisy residual at the end − its highest", fallen, -0.05, "below −0.05"),
    )


def _fig_5_right(run: Recorded) -> tuple[Measured, ...]:
    stops, level = early_stopping.oracle(run.frame), run.settings["level"]
    return (
        below("lowest test error", stops.test_error, 0.1, "below 0.1"),
        above("test error at the end − lowest", stops.final_test_error - stops.test_error, 0.1, "above 0.1"),
        below("training error at the end", last(run.frame, "train_error"), level, f"below δ = {level:g}"),
    )


def _fig_11_left(run: Recorded) -> tuple[Measured, ...]:
    highest = until_half_learnt(run.frame).groupby("seed").noisy_loss.max()
    start = run.frame[run.frame.epoch == 0].set_index("seed").noisy_loss
    fallen = last(run.frame, "noisy_loss") - highest
    ceiling = float(-np.log(run.settings["level"]))
    what = "highest noisy loss until half of the wrong labels are learnt"
    return (
        within(what, highest, 0.8, 1.0, f"0.8 to 1, beside −log δ = {ceiling:.3f}"),
        above("that − noisy loss at the start", highest - start, 0.1, "above 0.1"),
        below("noisy loss at the end − that", fallen, -0.1, "below −0.1"),
    )


def _fallen(frame: pd.DataFrame, column: str) -> pd.Series:
    """How far a column is below its highest value at the end, as a negative number."""
    return last(frame, column) - frame.groupby("seed")[column].max()


def _claim(
    id: str, statement: str, where: str, experiment: str, measure: Callable[[Recorded], tuple[Measured, ...]]
) -> Claim:
    return Claim(id, statement, where, (experiment,), early_stopping.ORACLE, measure)


_RUN = "fig-05-mnist-7v9"
CLAIMS = (
    _claim(
        "ass-4.1",
        "Up to a time T, g_noise = −α_t g_clean in both classes, with one α_t in (0, 1).",
        "Assumption 4.1",
        _RUN,
        _ass_4_1,
    ),
    _claim("eq-10", "g_clean = ĝ/(1 + α_t).", "Equation 10", _RUN, _eq_10),
    _claim(
        "eq-10-exact",
        "g_clean = (1 − δ)ĝ for as long as no single label has been learnt.",
        "this book, in place of equation 10",
        _RUN,
        _eq_10_exact,
    ),
    _claim(
        "prop-4.2",
        "A step on noisy labels is a step on true labels with learning rate η(1 − α_t)/(1 + α_t) > 0.",
        "Proposition 4.2",
        _RUN,
        _prop_4_2,
    ),
    _claim(
        "prop-4.2-exact",
        "A class's step on noisy labels goes (1 − δ)(1 − α_t) times as far along ĝ as one on true labels.",
        "this book, in place of equation 12",
        _RUN,
        _prop_4_2_exact,
    ),
    _claim(
        "smoothed-direction",
        "In the early stage a step on noisy labels has the direction of one on smoothed true labels.",
        "this book, in place of proposition 4.2",
        _RUN,
        _smoothed,
    ),
    Claim(
        "rem-4.3",
        "In the early stage, what holds for gradient descent holds for mini-batches that are not too small.",
        "Remark 4.3",
        ("rem-4.3-batch-sizes", _RUN),
        early_stopping.ORACLE,
        _rem_4_3,
    ),
    _claim(
        "thm-4.4",
        "Gradient descent with small steps: in every step the clean loss falls and the noisy loss rises.",
        "Theorem 4.4",
        "thm-4.4-full-batch",
        _thm_4_4,
    ),
    _claim(
        "thm-4.4-acc",
        "Accordingly, in every step accuracy on the clean subset rises and on the noisy subset falls.",
        "below Theorem 4.4",
        "thm-4.4-full-batch",
        _thm_4_4_accuracy,
    ),
    _claim(
        "sec4.1-res",
        "In the early stage the mean clean residual falls and the noisy one rises.",
        "Section 4.1",
        _RUN,
        _sec_4_1_residuals,
    ),
    _claim(
        "sec4.1-test",
        "In the early stage the test loss falls, and with it the test error, below the noise level.",
        "Section 4.1",
        _RUN,
        _sec_4_1_test,
    ),
    _claim(
        "fig-5-left",
        "Before the stop the clean error falls and the noisy error rises towards 1; then it falls.",
        "Figure 5, left",
        _RUN,
        _fig_5_left,
    ),
    _claim(
        "fig-5-middle",
        "Up to the stop the clean residual falls and the noisy one rises monotonically; then it falls.",
        "Figure 5, middle",
        _RUN,
        _fig_5_middle,
    ),
    _claim(
        "fig-5-right",
        "Test error is U-shaped, with its minimum far below the noise level.",
        "Figure 5, right",
        _RUN,
        _fig_5_right,
    ),
    _claim(
        "fig-11-left",
        "The loss on the noisy subset rises in the early stage and falls later.",
        "Figure 11, left",
        _RUN,
        _fig_11_left,
    ),
)
