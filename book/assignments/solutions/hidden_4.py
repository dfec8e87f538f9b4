"""Hidden checks of assignment 4."""

from __future__ import annotations

from cleanprio_lib.checks.inputs import logits_and_labels
from cleanprio_lib.checks.ten_classes import (
    cross_entropy_check,
    logit_ratio_check,
    logits_and_noise,
    losses_and_labels,
    noisy_task,
    subset_metrics_check,
    suspects_check,
)

HIDDEN = {
    "4.1": (
        cross_entropy_check("one sample, ten classes", logits_and_labels(1, 10)),
        cross_entropy_check("logits far below zero", logits_and_labels(6, 3, size=5.0, shift=-900.0)),
    ),
    "4.2": (
        subset_metrics_check("ten classes, half of the labels wrong", logits_and_noise(8, 10, 0.5)),
        subset_metrics_check("no wrong label", logits_and_noise(6, 3, 0.0)),
        subset_metrics_check("nothing but wrong labels", logits_and_noise(5, 4, 1.0)),
    ),
    "4.3": (
        logit_ratio_check("six classes, half of the labels wrong", noisy_task(8, 6, 0.5, logits=(5, 2))),
        logit_ratio_check("three layers", noisy_task(10, 4, 0.2, logits=(1,), depth=3)),
    ),
    "4.4": (
        suspects_check(
            "classes of different sizes", losses_and_labels([17, 33, 11], 0.3, scales=[1.0, 5.0, 0.2])
        ),
        suspects_check("nobody is suspected", losses_and_labels([10, 10], 0.0, scales=[1.0, 1.0])),
        suspects_check("a class with a single sample", losses_and_labels([12, 1], 0.6, scales=[1.0, 3.0])),
    ),
}
