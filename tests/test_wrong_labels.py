"""Confident learning read word by word, its theorem, and rankings counted by hand."""

import numpy as np
import pytest

from cleanprio_lib import noise, wrong_labels


def _problem(seed, count=60, classes=3):
    generator = np.random.default_rng(seed)
    likely = generator.dirichlet(np.ones(classes), size=count)
    labels = generator.integers(classes, size=count)
    labels[:classes] = np.arange(classes)
    return labels, likely


def _definition(labels, likely):
    """Confident class of each sample, or None, and the counts: equations 1 and 2 of the paper, in loops."""
    count, classes = likely.shape
    thresholds = []
    for j in range(classes):
        own = [likely[i][j] for i in range(count) if labels[i] == j]
        thresholds.append(sum(own) / len(own))
    confident, joint = [], [[0] * classes for _ in range(classes)]
    for i in range(count):
        reached = [j for j in range(classes) if likely[i][j] >= thresholds[j]]
        best = max(reached, key=lambda j: likely[i][j]) if reached else None
        confident.append(best)
        if best is not None:
            joint[labels[i]][best] += 1
    return thresholds, confident, joint


@pytest.mark.parametrize("seed", range(8))
def test_the_confident_joint_is_as_defined(seed):
    labels, likely = _problem(seed)
    thresholds, confident, joint = _definition(labels, likely)
    np.testing.assert_allclose(wrong_labels.confident_thresholds(labels, likely), thresholds)
    np.testing.assert_array_equal(wrong_labels.confident_joint(labels, likely), joint)
    errors = [c is not None and c != label for c, label in zip(confident, labels, strict=True)]
    np.testing.assert_array_equal(wrong_labels.confident_errors(labels, likely), errors)


@pytest.mark.parametrize("seed", range(8))
def test_pruning_takes_as_many_as_the_joint_says(seed):
    labels, likely = _problem(seed)
    joint = np.array(_definition(labels, likely)[2], dtype=float)
    wanted = set()
    for i in range(3):
        own = [n for n in range(len(labels)) if labels[n] == i]
        for j in range(3):
            if j == i:
                continue
            count = round(joint[i, j] / joint[i].sum() * len(own))
            wanted |= set(sorted(own, key=lambda n: likely[n][i] - likely[n][j])[:count])
    np.testing.assert_array_equal(
        np.flatnonzero(wrong_labels.pruned_by_noise_rate(labels, likely)), sorted(wanted)
    )
    calibrated = wrong_labels.calibrated_joint(labels, likely)
    np.testing.assert_allclose(calibrated.sum(axis=1), np.bincount(labels, minlength=3))
    np.testing.assert_allclose(
        calibrated / calibrated.sum(axis=1, keepdims=True), joint / joint.sum(axis=1, keepdims=True)
    )


def test_a_sample_that_reaches_no_threshold_does_not_count():
    labels = np.array([0, 0, 1, 1])
    likely = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.95, 0.05]])
    # t = (.85, .225): the first counts for 0, the second for none, the third for 1 by .4, the fourth for 0.
    np.testing.assert_array_equal(wrong_labels.confident_joint(labels, likely), [[1, 0], [1, 1]])
    np.testing.assert_allclose(wrong_labels.calibrated_joint(labels, likely), [[2, 0], [1, 1]])


@pytest.mark.parametrize("level", [0.2, 0.4])
def test_with_ideal_probabilities_the_errors_are_found_exactly(level):
    """Theorem 1 of Northcutt et al.: probabilities are those of the given label, given the true one."""
    true = np.repeat(np.arange(5), 100)
    labels = noise.uniform(true, level, num_classes=5, seed=0)
    rows = noise.transition_matrix(level, num_classes=5)
    likely = rows[true]
    np.testing.assert_array_equal(wrong_labels.confident_errors(labels.given, likely), labels.is_noisy)
    joint = wrong_labels.confident_joint(labels.given, likely)
    for i in range(5):
        for j in range(5):
            assert joint[i, j] == ((labels.given == i) & (true == j)).sum()
    pruned = wrong_labels.pruned_by_noise_rate(labels.given, likely)
    np.testing.assert_array_equal(pruned, labels.is_noisy)


def test_to_reach_a_threshold_is_enough():
    """The only sample of a class is its threshold."""
    likely = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55]])
    assert wrong_labels.confident_joint([0, 0, 1], likely)[1].tolist() == [0, 1]


def test_self_confidence_is_the_given_labels_probability():
    labels, likely = _problem(0)
    wanted = [likely[i][label] for i, label in enumerate(labels)]
    np.testing.assert_array_equal(wrong_labels.self_confidence(labels, likely), wanted)


def test_rankings_are_counted():
    scores = np.array([0.9, 0.1, 0.8, 0.7, 0.2])
    noisy = np.array([True, False, False, True, True])
    found = wrong_labels.ranked(scores, noisy, [0.2, 0.4, 0.6, 0.8, 1.0])
    assert found.flagged.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(found.precision, [1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])
    np.testing.assert_allclose(found.recall, [1 / 3, 1 / 3, 2 / 3, 1, 1])
    assert wrong_labels.ranked(scores, noisy, [0.01]).flagged.tolist() == [1]


def test_sets_are_counted():
    noisy = np.array([True, False, False, True, True])
    facts = wrong_labels.flagged([True, True, False, False, True], noisy)
    assert facts == {
        "share": 0.6,
        "flagged": 3,
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
    }
    assert np.isnan(wrong_labels.flagged([False] * 5, noisy)["precision"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wrong_labels.confident_joint([0, 1], np.ones((3, 2))), r"likely must be \(n, C\)"),
        (
            lambda: wrong_labels.confident_joint([0, 0], np.ones((2, 2))),
            "must have every class, but none is 1",
        ),
        (lambda: wrong_labels.ranked([1.0], [True], [0.0]), r"shares must lie in \(0, 1\]"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
