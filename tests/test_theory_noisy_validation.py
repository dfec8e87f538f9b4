"""Noisy validation against every way in which labels can fall, with their probabilities."""

import itertools

import numpy as np
import pytest

from cleanprio_lib import noise, theory


def _laws(true, transition):
    """Every labelling of some samples and its probability, each label drawn by itself."""
    classes = range(len(transition))
    for given in itertools.product(classes, repeat=len(true)):
        yield np.array(given), np.prod([transition[c][k] for c, k in zip(true, given, strict=True)])


def _moments(true, transition, value):
    """Mean and variance of a function of the given labels."""
    found = np.array([(probability, value(given)) for given, probability in _laws(true, transition)])
    mean = found[:, 0] @ found[:, 1]
    return mean, found[:, 0] @ found[:, 1] ** 2 - mean**2


@pytest.mark.parametrize(("classes", "level"), [(2, 0.4), (2, 0.7), (3, 0.3), (4, 0.5)])
def test_the_expected_noisy_error_is_affine_in_the_error(classes, level):
    true = np.array([0, 1, classes - 1, 0, 1])
    transition = noise.transition_matrix(level, num_classes=classes)
    for wrong in range(len(true) + 1):
        predicted = true.copy()
        predicted[:wrong] = (true[:wrong] + 1) % classes
        mean, _ = _moments(true, transition, lambda given: (predicted != given).mean())  # noqa: B023
        assert theory.noisy_error(wrong / len(true), level, classes) == pytest.approx(mean)


def test_by_any_matrix_it_is_what_the_confusion_says():
    generator = np.random.default_rng(0)
    transition = generator.dirichlet(np.ones(3), size=3)
    true, predicted = np.array([0, 1, 2, 1, 0]), np.array([0, 2, 2, 1, 1])
    confusion = np.zeros((3, 3))
    np.add.at(confusion, (true, predicted), 1 / len(true))
    mean, _ = _moments(true, transition, lambda given: (predicted != given).mean())
    assert theory.noisy_error_of(confusion, transition) == pytest.approx(mean)


@pytest.mark.parametrize("level", [0.1, 0.4])
def test_the_two_agree_on_uniform_noise_and_pair_flips_weigh_errors_unevenly(level):
    generator = np.random.default_rng(1)
    confusion = generator.dirichlet(np.ones(16)).reshape(4, 4)
    error = 1 - np.trace(confusion)
    uniform = noise.transition_matrix(level, num_classes=4)
    assert theory.noisy_error_of(confusion, uniform) == pytest.approx(theory.noisy_error(error, level, 4))
    pairs = noise.transition_matrix(level, num_classes=4, concentration=1.0)
    into_pair = sum(confusion[c, (c + 1) % 4] for c in range(4))
    assert theory.noisy_error_of(confusion, pairs) == pytest.approx(
        level + (1 - level) * error - level * into_pair
    )


@pytest.mark.parametrize(("classes", "level"), [(2, 0.4), (3, 0.3), (4, 0.5)])
def test_the_spread_of_a_comparison_is_that_of_all_labellings(classes, level):
    true = np.array([0, 0, 1, 1, classes - 1])
    one, other = true.copy(), true.copy()
    other[1] = (true[1] + 1) % classes  # only the first is right
    one[2] = (true[2] + 1) % classes  # only the second is
    one[3] = other[3] = (true[3] + 1) % classes  # both are wrong, alike
    both = 0
    if classes > 2:
        one[4], other[4], both = (true[4] + 1) % classes, (true[4] + 2) % classes, 1
    transition = noise.transition_matrix(level, num_classes=classes)
    _, variance = _moments(true, transition, lambda given: (other != given).mean() - (one != given).mean())
    kept = 1 - level * classes / (classes - 1)
    spread = theory.comparison_spread(2 / 5, 5, level, num_classes=classes, both_wrong=both / 5)
    assert spread == pytest.approx(np.sqrt(variance) / kept)


def test_more_samples_help_as_a_square_root_and_more_noise_hurts():
    spreads = theory.comparison_spread(0.1, np.array([100, 400]), 0.4)
    assert spreads[0] / spreads[1] == pytest.approx(2)
    assert theory.comparison_spread(0.1, 100, 0.45) > theory.comparison_spread(0.1, 100, 0.4)
    assert theory.comparison_spread(0.0, 100, 0.4) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.noisy_error(1.2, 0.4), r"error must be a fraction in \[0, 1\], got 1.2"),
        (lambda: theory.noisy_error(0.2, 1.4), r"level must be a fraction in \[0, 1\], got 1.4"),
        (lambda: theory.noisy_error_of(np.eye(2), np.eye(2)), "shares that sum to 1"),
        (lambda: theory.comparison_spread(0.1, 0, 0.4), "samples must be at least 1, got 0"),
        (lambda: theory.comparison_spread(0.1, 10, 0.5), r"level must be below \(C - 1\)/C, got 0.5"),
        (lambda: theory.comparison_spread(-0.1, 10, 0.4), r"one_right must be a fraction in \[0, 1\]"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
