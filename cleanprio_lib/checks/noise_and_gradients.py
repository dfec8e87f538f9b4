"""Assignment 2: placing label noise, and what it does to the gradients of samples, subsets and logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from cleanprio_lib.checks.checking import GLOBAL_RANDOMNESS, Assignment, Check, Inputs, Question, Value
from cleanprio_lib.checks.inputs import Make, labels_of, logits_and_labels, net_and_inputs
from cleanprio_lib.checks.judges.gradients import (
    judge_residuals,
    judge_row_sums,
    judge_sample_gradients,
    judge_subset_sums,
)
from cleanprio_lib.checks.judges.placing import judge_placement, judge_seeds
from cleanprio_lib.checks.judging import each, tensor

Judge = Callable[[Inputs, Value], str | None]


def placement_check(
    name: str, inputs: Make, judge: Judge = judge_placement, untouched: tuple[str, ...] = ()
) -> Check:
    """A check of `place_noise`."""
    return Check(name, "place_noise", inputs, each(judge), untouched)


def sample_gradients_check(name: str, inputs: Make) -> Check:
    """A check of `sample_gradients`."""
    return Check(name, "sample_gradients", inputs, each(judge_sample_gradients), untouched=("net", "x", "y"))


def subset_sums_check(name: str, inputs: Make) -> Check:
    """A check of `subset_sums`."""
    untouched = ("gradients", "true", "given")
    return Check(name, "subset_sums", inputs, each(judge_subset_sums), untouched)


def residuals_check(name: str, inputs: Make, judge: Judge = judge_residuals) -> Check:
    """A check of `residuals`."""
    return Check(name, "residuals", inputs, each(judge), untouched=("logits", "labels"))


def placement(sizes: Sequence[int], *levels: float) -> Make:
    """Inputs of a call of `place_noise` at each level, for classes of these sizes."""

    def inputs(seed: int) -> tuple[Inputs, ...]:
        shared: Inputs = {
            "labels": labels_of(sizes, seed),
            "num_classes": len(sizes),
            "seed": _small(seed + 1),
        }
        return tuple({**shared, "level": level} for level in levels)

    return inputs


def three_seeds(seed: int) -> tuple[Inputs, ...]:
    """Inputs of three calls of `place_noise`: with a seed, the same again, and another."""
    shared: Inputs = {"labels": labels_of([40, 40, 40], seed), "level": 0.3, "num_classes": 3}
    return tuple({**shared, "seed": _small(seed + more)} for more in (1, 1, 2))


def _small(seed: int) -> int:
    """A seed that every kind of generator takes."""
    return seed % 2**31


def samples_with(labels: Sequence[float], **of_the_net: int | str | float) -> Make:
    """Inputs of one call of `sample_gradients`: a net, and as many inputs as there are labels."""

    def inputs(seed: int) -> tuple[Inputs, ...]:
        own = net_and_inputs(seed, samples=len(labels), **of_the_net)  # type: ignore[arg-type]
        return ({**own, "y": torch.tensor(labels)},)

    return inputs


def both_labels(seed: int) -> tuple[Inputs, ...]:
    """Inputs of one call of `sample_gradients`: one input twice, once with each label."""
    own = net_and_inputs(seed, samples=1)
    return ({**own, "x": tensor(own, "x").expand(2, -1).clone(), "y": torch.tensor([0, 1])},)


def subsets(num_classes: int, *, clean_class: int | None = None) -> Make:
    """Inputs of a call of `subset_sums` for each class, a third of the labels wrong; or for one with none."""

    def inputs(seed: int) -> tuple[Inputs, ...]:
        generator = np.random.default_rng(seed)
        true = labels_of([6] * num_classes, seed)
        spoilt = [c for c in range(num_classes) if c != clean_class]
        chosen = np.concatenate([np.flatnonzero(true == c)[:2] for c in spoilt])
        given = true.copy()
        given[chosen] = (true[chosen] + generator.integers(1, num_classes, len(chosen))) % num_classes
        shared: Inputs = {
            "gradients": torch.from_numpy(generator.standard_normal((len(true), 4))),
            "true": torch.from_numpy(true),
            "given": torch.from_numpy(given),
        }
        classes = range(num_classes) if clean_class is None else [clean_class]
        return tuple({**shared, "c": c} for c in classes)

    return inputs


ASSIGNMENT = Assignment(
    number=2,
    title="Noise and gradients",
    minutes=90,
    library=("checks.given", "data", "figures", "models", "pages"),
    questions=(
        Question(
            id="2.1",
            title="Placing the noise",
            points=4,
            function="place_noise",
            public=(
                placement_check(
                    "so many wrong labels in each class", placement([100, 60, 40, 30, 20, 10, 10], 0.3)
                ),
                Check(
                    "a seed, the same again, and another",
                    "place_noise",
                    three_seeds,
                    judge_seeds,
                    untouched=(GLOBAL_RANDOMNESS,),
                ),
                placement_check(
                    "the true labels are still there", placement([50, 50], 0.2), untouched=("labels",)
                ),
            ),
        ),
        Question(
            id="2.2",
            title="The gradient of one sample",
            points=4,
            function="sample_gradients",
            public=(
                sample_gradients_check(
                    "five samples",
                    samples_with([0, 1, 1, 0, 1]),
                ),
                sample_gradients_check("one input with both labels", both_labels),
            ),
        ),
        Question(
            id="2.3",
            title="Three subsets",
            points=3,
            function="subset_sums",
            public=(subset_sums_check("two classes", subsets(2)),),
        ),
        Question(
            id="2.4",
            title="More than two classes",
            points=2,
            function="residuals",
            public=(
                residuals_check("four samples, three classes", logits_and_labels(4, 3)),
                residuals_check("rows that add up to zero", logits_and_labels(6, 5), judge_row_sums),
            ),
        ),
        Question(
            id="2.5",
            title="One sample and many",
            points=2,
            rubric=(
                "1 point for what samples of a class have in common and what they do not; 1 for what "
                "adding does to each of the two."
            ),
        ),
        Question(
            id="2.6",
            title="Noisy for whom?",
            points=2,
            rubric=(
                "1 point for the logits at which the sample is noisy, with the reason; 1 for the two "
                "residuals, as numbers, and which of the two pulls harder."
            ),
        ),
        Question(
            id="2.7",
            title="Counting heads",
            points=3,
            rubric=(
                "1 point for at least five noise levels and at least three nets at each; 1 for prediction"
                " and measurement in one figure with named axes; 1 for a sentence that says where the two"
                " part and why that may be."
            ),
        ),
    ),
)
