"""Judges of `place_noise`: how many labels are wrong in each class, which, and what they were turned into."""

from __future__ import annotations

import numpy as np

from cleanprio_lib.checks.judging import as_array, number, unlike_numbers
from cleanprio_lib.checks.values import Inputs, Value, words_of_inputs

SIGMAS = 6  # of a binomial count: what honest dice exceed twice in a billion throws


def judge_placement(inputs: Inputs, output: Value) -> str | None:
    """By how many labels of each class are wrong."""
    unfit = unfit_labels(inputs, output)
    if unfit:
        return unfit
    labels, classes = np.asarray(inputs["labels"]), range(int(number(inputs, "num_classes")))
    wrong, level = as_array(output) != labels, number(inputs, "level")
    wanted = np.array([round(level * int((labels == c).sum())) for c in classes])
    found = np.array([int(wrong[labels == c].sum()) for c in classes])
    if (found == wanted).all():
        return None
    c = int(np.flatnonzero(found != wanted)[0])
    reason = f"class {c} has {found[c]} wrong labels of {(labels == c).sum()}, and {wanted[c]} are wanted"
    if found.sum() == wanted.sum():
        reason += ": the number is right over all classes together, and must be right in each"
    elif (found <= wanted).all():
        reason += ": is a chosen sample ever given its own true label, or a count rounded down?"
    return f"for {words_of_inputs(inputs)}: {reason}"


def judge_spread(inputs: Inputs, output: Value) -> str | None:
    """By how often each wrong label is given."""
    unfit = unfit_labels(inputs, output)
    if unfit:
        return unfit
    labels, given = np.asarray(inputs["labels"]), as_array(output)
    classes = int(number(inputs, "num_classes"))
    share = 1 / (classes - 1)
    for c in range(classes):
        wrong = given[(labels == c) & (given != c)]
        allowed = SIGMAS * np.sqrt(len(wrong) * share * (1 - share))
        for other in set(range(classes)) - {c}:
            count = int((wrong == other).sum())
            if abs(count - share * len(wrong)) > allowed:
                return (
                    f"for {words_of_inputs(inputs)}: of {len(wrong)} wrong labels of class {c}, {count} are "
                    f"{other}; each of the {classes - 1} other classes should get about "
                    f"{share * len(wrong):.0f}"
                )
    return None


def judge_chosen(inputs: Inputs, output: Value) -> str | None:
    """By where in its class the chosen samples stand."""
    unfit = unfit_labels(inputs, output)
    if unfit:
        return unfit
    labels, given = np.asarray(inputs["labels"]), as_array(output)
    for c in range(int(number(inputs, "num_classes"))):
        wrong = (given != labels)[labels == c]
        chosen, first = int(wrong.sum()), int(wrong[: len(wrong) // 2].sum())
        if abs(first - chosen / 2) > SIGMAS * np.sqrt(chosen) / 2:
            return (
                f"for {words_of_inputs(inputs)}: of {chosen} samples chosen in class {c}, {first} are in the "
                "first half of the class: all samples must have the same chance"
            )
    return None


def judge_seeds(calls: tuple[Inputs, ...], outputs: tuple[Value, ...]) -> str | None:
    """By three calls: a seed, the same again, and another."""
    for inputs, output in zip(calls, outputs, strict=True):
        unfit = unfit_labels(inputs, output)
        if unfit:
            return unfit
    one, again, other = map(as_array, outputs)
    seeds = [inputs["seed"] for inputs in calls]
    if (one != again).any():
        return f"called twice with seed = {seeds[0]}, it gives different labels"
    if (one == other).all():
        return f"seed = {seeds[0]} and seed = {seeds[2]} give the same labels: is the seed used?"
    return None


def unfit_labels(inputs: Inputs, output: Value) -> str | None:
    """Why an output cannot be labels for these inputs; None if it can."""
    at, labels = words_of_inputs(inputs), np.asarray(inputs["labels"])
    problem = unlike_numbers(output)
    if problem:
        return f"for {at}: what is returned {problem}"
    given = as_array(output)
    if given.shape != labels.shape:
        return f"for {at}: what is returned has shape {given.shape}, and {labels.shape} is wanted"
    unknown = given[~np.isin(given, np.arange(number(inputs, "num_classes")))]
    return f"for {at}: there are labels that are no class, such as {unknown[0]:g}" if len(unknown) else None
