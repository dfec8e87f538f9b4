"""Hidden checks of assignment 3."""

from __future__ import annotations

from cleanprio_lib.checks.binary_dynamics import (
    curves,
    dominance_check,
    epoch_check,
    epoch_of,
    outputs_and_labels,
    stop_check,
    subset_errors_check,
    two_gradients,
)

SECOND_VALLEY = [0.50, 0.44, 0.40, 0.37, 0.39, 0.41, 0.42, 0.43, 0.36, 0.35, 0.33, 0.31, 0.30, 0.30]
TWICE_AS_LOW = [0.50, 0.43, 0.38, 0.35, 0.37, 0.35, 0.38, 0.40, 0.42, 0.43, 0.44, 0.45, 0.45, 0.46]
STILL_FALLING = [0.50, 0.48, 0.46, 0.45, 0.43, 0.42, 0.41, 0.40, 0.39, 0.38, 0.37, 0.36]

HIDDEN = {
    "3.1": (
        subset_errors_check("no noisy sample", outputs_and_labels(15, 0)),
        subset_errors_check("hardly a clean sample", outputs_and_labels(2, 31)),
        subset_errors_check("outputs that all lie above one half", outputs_and_labels(13, 9, low=0.51)),
    ),
    "3.2": (
        epoch_check("a last batch that is shorter", epoch_of(11, 4, learning_rate=0.8)),
        epoch_check("a batch for each sample, three layers", epoch_of(9, 1, depth=3, learning_rate=0.2)),
        epoch_check("batches larger than the training set", epoch_of(7, 50, learning_rate=1.0)),
    ),
    "3.3": (
        dominance_check(
            "many weights, at a right angle and a little more", two_gradients(5000, angle=1.7, ratio=3.0)
        ),
        dominance_check(
            "the noisy gradient longer, at an acute angle", two_gradients(7, angle=0.6, ratio=0.4)
        ),
    ),
    "3.4": (
        stop_check("a second valley after the stop", curves(SECOND_VALLEY, patience=4)),
        stop_check("the lowest error twice", curves(TWICE_AS_LOW, patience=5)),
        stop_check("an error that still falls at the end", curves(STILL_FALLING, patience=3)),
    ),
}
