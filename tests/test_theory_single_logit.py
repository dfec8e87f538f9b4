"""Subsets of one logit, against a count of every sample."""

import itertools

import numpy as np
import pytest

from cleanprio_lib import theory


def _counted(wrong, right, classes, logit):
    """Sums of residuals over each subset, sample by sample; `wrong` samples go into each wrong class."""
    sums = dict.fromkeys(("clean", "noisy", "other", "into", "elsewhere"), 0.0)
    for true, given in itertools.product(range(classes), repeat=2):
        samples = right if true == given else wrong
        residual = 1 / classes - (given == logit)
        if true == logit:
            name = "clean" if true == given else "noisy"
        elif true == given:
            name = "other"
        else:
            name = "into" if given == logit else "elsewhere"
        sums[name] += samples * residual
    return {name: value / sums["clean"] for name, value in sums.items()}


@pytest.mark.parametrize(("classes", "wrong", "right"), [(3, 1, 2), (4, 5, 7), (10, 3, 63), (10, 20, 20)])
def test_lengths_are_those_of_a_count(classes, wrong, right):
    level = (classes - 1) * wrong / ((classes - 1) * wrong + right)
    predicted = theory.single_logit_sizes(level, classes)
    for logit in range(classes):
        counted = _counted(wrong, right, classes, logit)
        assert list(predicted) == list(counted)
        for name, value in counted.items():
            assert predicted[name] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("level", [0.05, 0.3, 0.9, 0.97])
@pytest.mark.parametrize("classes", [3, 10])
def test_both_sides_keep_the_share_of_label_smoothing(level, classes):
    sizes = theory.single_logit_sizes(level, classes)
    kept = (1 - theory.smoothing(level, classes)) / (1 - level)
    assert sizes["clean"] + sizes["noisy"] == pytest.approx(kept)
    assert sizes["other"] + sizes["into"] + sizes["elsewhere"] == pytest.approx(-kept)
    assert -sizes["clean"] / sizes["noisy"] == pytest.approx(theory.gradient_ratio(level, classes))


@pytest.mark.parametrize("level", [0, 1, -0.1, np.nan])
def test_levels_outside_are_errors(level):
    with pytest.raises(ValueError, match=r"level must be a fraction in \(0, 1\)"):
        theory.single_logit_sizes(level, 10)


def test_two_classes_have_no_third():
    with pytest.raises(ValueError, match="num_classes must be at least 3, got 2"):
        theory.single_logit_sizes(0.3, 2)
