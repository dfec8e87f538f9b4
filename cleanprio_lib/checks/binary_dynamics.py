"""Assignment 3: training with wrong labels, two classes: what each subset sees, and when to stop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from cleanprio_lib.checks.checking import Assignment, Check, Inputs, Question
from cleanprio_lib.checks.inputs import Make, net_and_inputs
from cleanprio_lib.checks.judges.gradients import judge_dominance
from cleanprio_lib.checks.judges.subsets import judge_subset_errors
from cleanprio_lib.checks.judges.training import judge_epoch, judge_stop, rise, stop
from cleanprio_lib.checks.judging import each


def subset_errors_check(name: str, inputs: Make) -> Check:
    """A check of `subset_errors`."""
    untouched = ("f", "given", "true")
    return Check(name, "subset_errors", inputs, each(judge_subset_errors), untouched)


def epoch_check(name: str, inputs: Make) -> Check:
    """A check of `train_epoch`."""
    return Check(name, "train_epoch", inputs, each(judge_epoch), untouched=("x", "y", "order"))


def dominance_check(name: str, inputs: Make) -> Check:
    """A check of `dominance`."""
    return Check(name, "dominance", inputs, each(judge_dominance), untouched=("clean", "noisy"))


def stop_check(name: str, inputs: Make) -> Check:
    """A check of `stopping_epoch`."""
    return Check(name, "stopping_epoch", inputs, each(judge_stop), untouched=("curves",))


def outputs_and_labels(clean: int, noisy: int, *, low: float = 0.0, high: float = 1.0) -> Make:
    """Inputs of one call of `subset_errors`: clean and noisy samples, outputs between `low` and `high`."""

    def inputs(seed: int) -> tuple[Inputs, ...]:
        generator = np.random.default_rng([seed, clean, noisy])
        count = clean + noisy
        true = generator.integers(2, size=count)
        given = true.copy()
        given[generator.permutation(count)[:noisy]] ^= 1
        f = torch.from_numpy(generator.uniform(low, high, count))
        return ({"f": f, "given": torch.from_numpy(given), "true": torch.from_numpy(true)},)

    return inputs


def epoch_of(samples: int, batch_size: int, *, depth: int = 2, learning_rate: float = 0.5) -> Make:
    """Inputs of one call of `train_epoch`."""

    def inputs(seed: int) -> tuple[Inputs, ...]:
        own = net_and_inputs(seed, samples=samples, width=8, depth=depth, parametrization="standard")
        generator = np.random.default_rng([seed, samples, batch_size])
        y = torch.from_numpy(generator.integers(2, size=samples))
        order = torch.from_numpy(generator.permutation(samples))
        return ({**own, "y": y, "order": order, "learning_rate": learning_rate, "batch_size": batch_size},)

    return inputs


def two_gradients(count: int, *, angle: float, ratio: float) -> Make:
    """Inputs of one call of `dominance`: arrows at an angle, the clean one `ratio` times as long."""

    def inputs(seed: int) -> tuple[Inputs, ...]:
        pair = np.random.default_rng([seed, count]).standard_normal((2, count))
        clean, other = torch.from_numpy(pair[0]), torch.from_numpy(pair[1])
        along = clean / clean.norm()
        across = other - (other @ along) * along
        noisy = (np.cos(angle) * along + np.sin(angle) * across / across.norm()) * clean.norm() / ratio
        return ({"clean": clean, "noisy": noisy},)

    return inputs


def curves(validation: Sequence[float], *, patience: int) -> Make:
    """Inputs of one call of `stopping_epoch`: this validation error, and test error that turns elsewhere.

    The seed lifts the validation error a little, which must not matter, and decides where test error turns.
    """

    def inputs(seed: int) -> tuple[Inputs, ...]:
        generator = np.random.default_rng(seed)
        epochs, curve = len(validation), np.asarray(validation)
        best, end = stop(curve, patience)
        # Where no other rule would go back to, so that a reason names the right mistake.
        lowest = np.flatnonzero(curve == curve[best])
        taken = {best, end, rise(curve), int(curve.argmin()), *lowest.tolist()}
        turn = int(generator.choice(sorted({*range(epochs - patience)} - taken)))
        every: Inputs = {
            "train_error": 0.5 * 0.9 ** np.arange(epochs),
            "validation_error": curve + round(float(generator.uniform(0, 0.05)), 3),
            "test_error": 0.1 + 0.02 * np.abs(np.arange(epochs) - turn),
        }
        return ({"curves": every, "patience": patience},)

    return inputs


ASSIGNMENT = Assignment(
    number=3,
    title="Binary dynamics",
    minutes=90,
    library=("data", "figures", "models", "noise", "pages"),
    questions=(
        Question(
            id="3.1",
            title="Two subsets, two errors",
            points=3,
            function="subset_errors",
            public=(
                # No half of these numbers is a whole one, so an error and one minus it differ.
                subset_errors_check("fifty samples, nineteen of them noisy", outputs_and_labels(31, 19)),
                subset_errors_check(
                    "outputs that all lie below one half", outputs_and_labels(13, 9, high=0.49)
                ),
            ),
        ),
        Question(
            id="3.2",
            title="One epoch",
            points=5,
            function="train_epoch",
            public=(
                epoch_check("all samples in one batch", epoch_of(12, 12)),
                epoch_check("three batches, in the given order", epoch_of(12, 4)),
            ),
        ),
        Question(
            id="3.3",
            title="Who dominates?",
            points=2,
            function="dominance",
            public=(
                dominance_check("opposite arrows", two_gradients(4, angle=np.pi, ratio=2.0)),
                dominance_check("arrows at an obtuse angle", two_gradients(4, angle=2.2, ratio=1.5)),
            ),
        ),
        Question(
            id="3.4",
            title="When to stop, without clean labels",
            points=3,
            function="stopping_epoch",
            public=(
                stop_check(
                    "down and up again",
                    curves(
                        [0.50, 0.42, 0.38, 0.35, 0.36, 0.39, 0.41, 0.43, 0.44, 0.45, 0.46, 0.46], patience=3
                    ),
                ),
                stop_check(
                    "a bump shorter than the patience",
                    curves(
                        [0.50, 0.44, 0.45, 0.46, 0.40, 0.36, 0.37, 0.39, 0.41, 0.42, 0.44, 0.45], patience=3
                    ),
                ),
            ),
        ),
        Question(
            id="3.5",
            title="Unlearning",
            points=2,
            rubric=(
                "1 point for which samples decide the direction of a step, and why; 1 for what that step "
                "does to the output on a noisy sample."
            ),
        ),
        Question(
            id="3.6",
            title="Where it comes to rest",
            points=2,
            rubric=(
                "1 point for the output f, derived; 1 for both residuals, and for what they say of the "
                "two gradients."
            ),
        ),
        Question(
            id="3.7",
            title="Two stops",
            points=3,
            rubric=(
                "1 point for both subsets and the test error over epochs, with named axes; 1 for both "
                "stops marked and named with their rules; 1 for two sentences: what the rule without "
                "clean labels costs, and what the noisy error does between the two stops."
            ),
        ),
    ),
)
