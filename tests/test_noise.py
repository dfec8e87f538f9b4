"""Label noise against its definition: exact counts, uniform targets, true labels untouched."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanprio_lib import noise


def _labels(sizes):
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=2, max_size=10),
    level=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
def test_every_class_loses_exactly_its_share_of_right_labels(sizes, level, seed):
    labels = _labels(sizes)
    noisy = noise.uniform(labels, level, num_classes=len(sizes), seed=seed)
    assert np.array_equal(noisy.true, labels)
    assert np.array_equal(noisy.is_noisy, noisy.given != noisy.true)
    for label, size in enumerate(sizes):
        wrong = noisy.is_noisy[labels == label].sum()
        assert wrong == round(round(level * size, 9))


@pytest.mark.parametrize(
    ("level", "size", "wrong"), [(0.3, 15, 4), (0.29, 50, 14), (0.1, 35, 4), (0.4, 5, 2)]
)
def test_halves_are_rounded_to_even_without_float_dust(level, size, wrong):
    labels = _labels([size] * 3)
    matrix = np.full((3, 3), level / 2) + (1 - 1.5 * level) * np.eye(3)
    assert noise.uniform(labels, level, num_classes=3, seed=0).is_noisy.sum() == 3 * wrong
    assert noise.asymmetric(labels, matrix, seed=0).is_noisy.sum() == 3 * wrong


def test_wrong_labels_are_uniform_over_the_other_classes():
    classes, size = 10, 9000
    noisy = noise.uniform(_labels([size] * classes), 0.3, num_classes=classes, seed=1)
    counts = np.zeros((classes, classes))
    np.add.at(counts, (noisy.true, noisy.given), 1)
    wrong = counts[~np.eye(classes, dtype=bool)]
    expected = 0.3 * size / (classes - 1)
    # Pearson's statistic has 10 * 8 degrees of freedom; its mean is 80 and its standard deviation sqrt(160).
    statistic = ((wrong - expected) ** 2 / expected).sum()
    assert abs(statistic - 80) < 4 * np.sqrt(160)
    assert np.array_equal(np.diag(counts), [0.7 * size] * classes)


def test_seed_decides_everything():
    labels = _labels([50] * 4)
    first, again, other = (noise.uniform(labels, 0.4, num_classes=4, seed=seed).given for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_labels_passed_in_are_not_changed():
    labels = _labels([20, 20])
    before = labels.copy()
    noise.uniform(labels, 0.5, num_classes=2, seed=0)
    assert np.array_equal(labels, before)


def test_asymmetric_follows_its_matrix():
    transition = np.array([[0.6, 0.4, 0.0], [0.0, 1.0, 0.0], [0.1, 0.2, 0.7]])
    size = 10_000
    noisy = noise.asymmetric(_labels([size] * 3), transition, seed=5)
    rates = np.array([[(noisy.given[noisy.true == c] == k).mean() for k in range(3)] for c in range(3)])
    assert np.array_equal(np.diag(rates), [0.6, 1.0, 0.7])
    assert rates[0, 2] == 0
    # Class 2: 3000 wrong labels, each 1 with probability 2/3.
    deviation = np.sqrt(3000 * 2 / 9) / size
    assert abs(rates[2, 1] - 0.2) < 4 * deviation


@pytest.mark.parametrize("level", [-0.1, 1.2, 30, float("nan")])
def test_bad_levels_are_named(level):
    with pytest.raises(ValueError, match=r"level must be a fraction in \[0, 1\], got"):
        noise.uniform([0, 1], level, num_classes=2, seed=0)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, 3], r"labels must lie in \[0, 3\) for 3 classes, got values from 0 to 3"),
        ([-1, 1], "got values from -1 to 1"),
        ([0.0, 1.0], "labels must be a .n,. array of integers, got float64"),
        ([[0, 1]], "of shape"),
    ],
)
def test_bad_labels_are_named(labels, words):
    with pytest.raises(ValueError, match=words):
        noise.uniform(labels, 0.3, num_classes=3, seed=0)


@pytest.mark.parametrize(
    ("transition", "words"),
    [
        ([[0.5, 0.4], [0, 1]], "row 0 sums to 0.9"),
        ([[1, 0, 0], [0, 1, 0]], "square"),
        ([[1.5, -0.5], [0, 1]], "probabilities"),
        ([[np.nan, 1], [0, 1]], "probabilities"),
    ],
)
def test_bad_matrices_are_named(transition, words):
    with pytest.raises(ValueError, match=words):
        noise.asymmetric([0, 1], transition, seed=0)


def test_num_classes_must_leave_another_class():
    with pytest.raises(ValueError, match="num_classes must be at least 2, got 1"):
        noise.uniform([0, 0], 0.1, num_classes=1, seed=0)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("concentration", [0.0, 0.4, 1.0])
def test_matrices_between_uniform_noise_and_pair_flips(classes, concentration):
    matrix = noise.transition_matrix(0.3, num_classes=classes, concentration=concentration)
    for c, row in enumerate(matrix):
        assert row[c] == pytest.approx(0.7)
        assert row.sum() == pytest.approx(1)
        others = np.delete(row, [c, (c + 1) % classes])
        np.testing.assert_allclose(others, 0.3 * (1 - concentration) / (classes - 1))
        assert row[(c + 1) % classes] == pytest.approx(
            0.3 * (concentration + (1 - concentration) / (classes - 1))
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"level": 1.2}, r"level must be a fraction in \[0, 1\], got 1.2"),
        ({"concentration": -0.1}, r"concentration must be a fraction in \[0, 1\], got -0.1"),
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
    ],
)
def test_bad_arguments_of_a_matrix_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        noise.transition_matrix(**({"level": 0.3, "num_classes": 3} | arguments))


def test_every_group_follows_its_own_matrix():
    labels = _labels([600] * 3)
    groups = np.random.default_rng(1).integers(0, 2, len(labels))
    matrices = [noise.transition_matrix(level, num_classes=3, concentration=1) for level in (0.1, 0.8)]
    noisy = noise.by_group(labels, groups, matrices, seed=3)
    for group, level in enumerate((0.1, 0.8)):
        for label in range(3):
            own = (groups == group) & (labels == label)
            assert noisy.is_noisy[own].sum() == round(level * own.sum())
    wrong = noisy.is_noisy
    assert np.array_equal(noisy.given[wrong], (noisy.true[wrong] + 1) % 3)
    assert np.array_equal(noisy.given, noise.by_group(labels, groups, matrices, seed=3).given)
    assert not np.array_equal(noisy.given, noise.by_group(labels, groups, matrices, seed=4).given)


def test_groups_choose_their_noisy_samples_apart():
    labels = np.zeros(400, dtype=int)
    matrices = [noise.transition_matrix(0.5, num_classes=2)] * 2
    noisy = noise.by_group(labels, np.repeat([0, 1], 200), matrices, seed=0).is_noisy
    assert not np.array_equal(noisy[:200], noisy[200:])


@pytest.mark.parametrize("groups", [[0, 2], [0], [[0, 1]]])
def test_bad_groups_are_named(groups):
    matrices = [np.eye(2)] * 2
    with pytest.raises(ValueError, match=r"groups must be \(2,\) integers in \[0, 2\)"):
        noise.by_group([0, 1], groups, matrices, seed=0)
