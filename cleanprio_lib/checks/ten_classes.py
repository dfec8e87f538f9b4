"""Assignment 4: ten classes: the loss, what each subset sees, one logit's gradients, finding wrong labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from cleanprio_lib.checks.checking import Assignment, Check, Inputs, Net, Question
from cleanprio_lib.checks.inputs import Make, labels_of, logits_and_labels
from cleanprio_lib.checks.judges.gradients import judge_logit_ratio
from cleanprio_lib.checks.judges.subsets import judge_cross_entropy, judge_subset_metrics, judge_suspects
from cleanprio_lib.checks.judging import each
from cleanprio_lib.noise import uniform


def cross_entropy_check(name: str, inputs: Make) -> Check:
    """A check of `cross_entropy`."""
    return Check(name, "cross_entropy", inputs, each(judge_cross_entropy), untouched=("logits", "labels"))


def subset_metrics_check(name: str, inputs: Make) -> Check:
    """A check of `subset_metrics`."""
    untouched = ("logits", "given", "true")
    return Check(name, "subset_metrics", inputs, each(judge_subset_metrics), untouched)


def logit_ratio_check(name: str, inputs: Make) -> Check:
    """A check of `logit_ratio`."""
    untouched = ("net", "x", "given", "true")
    return Check(name, "logit_ratio", inputs, each(judge_logit_ratio), untouched)


def suspects_check(name: str, inputs: Make) -> Check:
    """A check of `suspects`."""
    return Check(name, "suspects", inputs, each(judge_suspects), untouched=("losses", "given"))


def logits_and_noise(per_class: int, num_classes: int, level: float, *, size: float = 1.5) -> Make:
    """Inputs of one call of `subset_metrics`: logits that lean towards the true class, labels with noise."""

    def inputs(seed: int) -> tuple[Inputs, ...]:
        shared, true = _noisy_labels(per_class, num_classes, level, seed)
        own = np.random.default_rng([seed, per_class]).standard_normal((len(true), num_classes))
        return ({"logits": torch.from_numpy(size * (own + 2 * np.eye(num_classes)[true])), **shared},)

    return inputs


def noisy_task(
    per_class: int, num_classes: int, level: float, *, logits: Sequence[int], depth: int = 2
) -> Make:
    """Inputs of a call of `logit_ratio` for each of these logits: inputs that cluster by class."""

    def inputs(seed: int) -> tuple[Inputs, ...]:
        shared, true = _noisy_labels(per_class, num_classes, level, seed)
        generator = np.random.default_rng([seed, per_class])
        centres, own = generator.standard_normal((num_classes, 4)), generator.standard_normal((len(true), 4))
        options: dict[str, int | str] = {
            "num_inputs": 4,
            "width": 8,
            "depth": depth,
            "num_outputs": num_classes,
        }
        net = Net("fully_connected", options, seed=seed, dtype="float64")
        x = torch.from_numpy(centres[true] + 0.5 * own)
        return tuple({"net": net, "x": x, **shared, "c": c} for c in logits)

    return inputs


def losses_and_labels(sizes: Sequence[int], level: float, *, scales: Sequence[float]) -> Make:
    """Inputs of one call of `suspects`: classes of these sizes, whose losses are as large as `scales` say."""

    def inputs(seed: int) -> tuple[Inputs, ...]:
        given = labels_of(sizes, seed)
        losses = np.asarray(scales)[given] * np.random.default_rng(seed).exponential(size=len(given))
        return ({"losses": losses, "given": given, "level": level},)

    return inputs


def _noisy_labels(per_class: int, num_classes: int, level: float, seed: int) -> tuple[Inputs, np.ndarray]:
    placed = uniform(labels_of([per_class] * num_classes, seed), level, num_classes=num_classes, seed=seed)
    return {"given": torch.from_numpy(placed.given), "true": torch.from_numpy(placed.true)}, placed.true


ASSIGNMENT = Assignment(
    number=4,
    title="Ten classes",
    minutes=90,
    library=("data", "figures", "metrics", "models", "noise", "pages", "training"),
    questions=(
        Question(
            id="4.1",
            title="The loss, from logits",
            points=2,
            function="cross_entropy",
            public=(
                cross_entropy_check("five samples, three classes", logits_and_labels(5, 3)),
                cross_entropy_check("logits in the hundreds", logits_and_labels(8, 10, size=800.0)),
            ),
        ),
        Question(
            id="4.2",
            title="Subsets of ten classes",
            points=4,
            function="subset_metrics",
            public=(
                subset_metrics_check("four classes, three labels in ten wrong", logits_and_noise(10, 4, 0.3)),
            ),
        ),
        Question(
            id="4.3",
            title="The ratio at one logit",
            points=4,
            function="logit_ratio",
            public=(logit_ratio_check("each of three logits", noisy_task(10, 3, 0.3, logits=(0, 1, 2))),),
        ),
        Question(
            id="4.4",
            title="Finding the wrong labels",
            points=3,
            function="suspects",
            public=(
                suspects_check("one class", losses_and_labels([20], 0.3, scales=[1.0])),
                suspects_check(
                    "two classes, one with larger losses",
                    losses_and_labels([20, 20], 0.3, scales=[1.0, 10.0]),
                ),
            ),
        ),
        Question(
            id="4.5",
            title="Twenty-one",
            points=2,
            rubric=(
                "1 point for where the number comes from; 1 for who pulls in the wrong direction at a "
                "logit and is not counted in it."
            ),
        ),
        Question(
            id="4.6",
            title="At the bottom of the U",
            points=2,
            rubric=(
                "1 point for what the net does with images whose label is wrong, with a number from your "
                "run; 1 for what it must not know yet, and what in your run shows that it does not."
            ),
        ),
        Question(
            id="4.7",
            title="Learning again",
            points=3,
            rubric=(
                "1 point for a fair comparison: the same net, the same test images, the test labels used "
                "for nothing but measuring; 1 for a figure with named axes that shows both runs; 1 for a "
                "sentence on how many wrong labels remain and what that explains."
            ),
        ),
    ),
)
