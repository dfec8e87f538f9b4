"""Claims of this book's own on label noise in practice: stopping, methods, and finding wrong labels."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cleanprio_lib import early_stopping, stopping_rules, theory
from cleanprio_lib.claims.judging import Claim, Measured, above, below, within
from cleanprio_lib.measurements.wrong_label_rankings import AT_END, AT_STOP, HELD_OUT, MARGINS
from cleanprio_lib.runs import Recorded

WHERE = "this book's own, beyond the paper"
DEVIATIONS = 3.0
REGRET = 0.03
NEVER = 0.1
NEAR_LOWEST = 0.02
PRECISION = 0.9
AS_GOOD = 0.02
UNIFORM = ("practice-7v9", "practice-mnist-20", "practice-mnist-40")
PAIRS = "practice-mnist-pairs"
WORDS = {
    "practice-7v9": "7 v 9, δ = 0.4",
    "practice-mnist-20": "ten digits, δ = 0.2",
    "practice-mnist-40": "ten digits, δ = 0.4",
    PAIRS: "pair flips, δ = 0.4",
}
RULE = "the rules named here, which see no true label; regret is against " + early_stopping.ORACLE


def classes_of(run: Recorded) -> int:
    """Number of classes $C$ of a run in practice."""
    return 2 if "classes" in run.settings else 10


def regret_of(run: Recorded, rule: str) -> pd.Series:
    """Regret of a rule for each seed."""
    found = stopping_rules.apply(run.frame, level=run.settings["level"], num_classes=classes_of(run))
    return found[found.rule == rule].set_index("seed").regret


def _affine(*runs: Recorded) -> tuple[Measured, ...]:
    return tuple(
        within(
            f"distance from theory in standard deviations, {WORDS[run.name]}",
            _distances(run),
            -DEVIATIONS,
            DEVIATIONS,
            f"0, within ±{DEVIATIONS:g}",
        )
        for run in runs
    )


def _distances(run: Recorded) -> pd.Series:
    r"""How far noisy validation is off when it compares the untrained net with the best, by its spread.

    Exactly one of the two is right on at most the samples that either is wrong on, a share of
    $\epsilon_1 + \epsilon_2$.
    """
    level, classes, count = run.settings["level"], classes_of(run), run.settings["validation_samples"]
    kept = 1 - float(theory.smoothing(level, classes))
    found = {}
    for seed, own in run.frame.groupby("seed"):
        ordered = own.sort_values("epoch")
        first, best = (
            ordered.sort_values(by, kind="stable").iloc[0] for by in ("epoch", "validation_true_error")
        )
        true = first.validation_true_error - best.validation_true_error
        noisy = (first.validation_error - best.validation_error) / kept
        differ = min(1.0, first.validation_true_error + best.validation_true_error)
        found[seed] = (noisy - true) / theory.comparison_spread(differ, count, level, num_classes=classes)
    return pd.Series(found)


def _at_most(runs: tuple[Recorded, ...], rules: dict[str, str]) -> tuple[Measured, ...]:
    return tuple(
        below(f"regret, {words}, {WORDS[run.name]}", regret_of(run, rule), REGRET, f"below {REGRET:g}")
        for rule, words in rules.items()
        for run in runs
    )


def _validation(*runs: Recorded) -> tuple[Measured, ...]:
    never = tuple(
        above(f"regret, never stopping, {WORDS[run.name]}", regret_of(run, "end"), NEVER, f"above {NEVER:g}")
        for run in runs
    )
    return _at_most(runs, {"validation": "noisy validation error"}) + never


def _label_free(*runs: Recorded) -> tuple[Measured, ...]:
    return _at_most(runs, {"label_wave_patient": "Label Wave with patience", "ratio": "estimated ratio"})


def _plateau(*runs: Recorded) -> tuple[Measured, ...]:
    return _at_most(runs, {"loss_plateau": "loss at the noise's entropy"})


def _methods(run: Recorded) -> tuple[Measured, ...]:
    stops = {method: early_stopping.oracle(own) for method, own in run.frame.groupby("method")}
    return tuple(
        below(
            f"test error of {method} at the end − lowest of {whose}",
            stops[method].final_test_error - stops[other].test_error,
            NEAR_LOWEST,
            f"below {NEAR_LOWEST:g}",
        )
        for method in ("ELR", "small loss", "Co-teaching", "AUM")
        for whose, other in (("plain training", "plain"), (method, method))
    )


def _wrong_labels(run: Recorded) -> tuple[Measured, ...]:
    level = run.settings["problem"]["level"]
    at_level = run.frame[np.isclose(run.frame.share, level)]
    precision = {name: own.set_index("seed").precision for name, own in at_level.groupby("ranking")}
    others = pd.concat([precision[HELD_OUT], precision[MARGINS]], axis=1).max(axis=1)
    return (
        above(
            "precision among the first δn, residual at the stop",
            precision[AT_STOP],
            PRECISION,
            f"above {PRECISION:g}",
        ),
        above(
            "the same − that at the end of training", precision[AT_STOP] - precision[AT_END], 0.0, "above 0"
        ),
        above(
            "the same − the better of margins and cross-validation",
            precision[AT_STOP] - others,
            -AS_GOOD,
            f"above −{AS_GOOD:g}",
        ),
    )


CLAIMS = (
    Claim(
        "practice-affine",
        "On held-out labels with uniform noise differences of error are 1 − κ times those on true labels, up "
        "to the chance of the draw that theory gives.",
        WHERE,
        UNIFORM,
        None,
        _affine,
    ),
    Claim(
        "practice-validation",
        "With uniform noise, stopping where the error on held-out noisy labels is lowest costs little test "
        "error, and never stopping costs much.",
        WHERE,
        UNIFORM,
        RULE,
        _validation,
    ),
    Claim(
        "practice-label-free",
        "Stopping by the training set alone costs little too: by prediction changes, or by the gradient "
        "ratio that the net's own predictions give.",
        WHERE,
        UNIFORM,
        RULE,
        _label_free,
    ),
    Claim(
        "practice-entropy",
        "With a known noise level, stopping where the training loss falls to the entropy of the noise costs "
        "little too.",
        WHERE,
        UNIFORM,
        RULE,
        _plateau,
    ),
    Claim(
        "practice-pairs",
        "With pair flips a noisy validation set still costs little.",
        WHERE,
        (PAIRS,),
        RULE,
        lambda run: _at_most((run,), {"validation": "noisy validation error"}),
    ),
    Claim(
        "practice-methods",
        "Methods built on the early phase need no stopping: at the end they are as good as plain training at "
        "its lowest, and as they are at their own.",
        WHERE,
        ("practice-methods",),
        early_stopping.ORACLE,
        _methods,
    ),
    Claim(
        "practice-wrong-labels",
        "At the stop, residuals of one net rank wrong labels first, as well as margins over the whole run "
        "or probabilities of cross-validation do.",
        WHERE,
        ("practice-wrong-labels",),
        "the epoch of lowest error on a noisy validation set",
        _wrong_labels,
    ),
)
