"""Hidden checks of assignment 2."""

from __future__ import annotations

from cleanprio_lib.checks.inputs import logits_and_labels
from cleanprio_lib.checks.judges.placing import judge_chosen, judge_spread
from cleanprio_lib.checks.noise_and_gradients import (
    placement,
    placement_check,
    residuals_check,
    sample_gradients_check,
    samples_with,
    subset_sums_check,
    subsets,
)

HIDDEN = {
    "2.1": (
        # Three tenths of these sizes are 5.1, 5.7 and 9.9: nowhere half-way between two whole numbers.
        placement_check("classes of which no whole number is three tenths", placement([17, 19, 33], 0.3)),
        placement_check("no noise, and nothing but noise", placement([30, 20, 10], 0.0, 1.0)),
        placement_check("each wrong label as often as another", placement([3000] * 4, 0.4), judge_spread),
        placement_check("samples chosen anywhere in their class", placement([2000] * 2, 0.3), judge_chosen),
    ),
    "2.2": (
        sample_gradients_check("outputs near 0 and 1", samples_with([0, 1, 1, 0], size=6.0)),
        sample_gradients_check(
            "three layers, labels as decimal numbers",
            samples_with([1.0, 0.0, 1.0], depth=3, parametrization="standard"),
        ),
        sample_gradients_check("a single sample", samples_with([1])),
    ),
    "2.3": (
        subset_sums_check("four classes", subsets(4)),
        subset_sums_check("a class without a wrong label", subsets(3, clean_class=1)),
    ),
    "2.4": (
        residuals_check("ten classes, one sample", logits_and_labels(1, 10)),
        residuals_check("logits in the hundreds", logits_and_labels(5, 4, size=300.0, shift=500.0)),
    ),
}
