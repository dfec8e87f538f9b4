"""Margins of noise matrices, and nested clocks against the flow of a kernel that has them."""

import math

import numpy as np
import pytest

from cleanprio_lib import noise, theory


def test_margins_are_leads_over_the_best_other_label():
    matrix = np.array([[0.5, 0.3, 0.2], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(theory.margins(matrix), [0.2, -0.05, 0.7])


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_uniform_noise_leaves_a_margin_up_to_its_edge(classes):
    edge = (classes - 1) / classes
    for level in (0.0, 0.5 * edge, edge, 1.0):
        matrix = noise.transition_matrix(level, num_classes=classes)
        np.testing.assert_allclose(theory.margins(matrix), 1 - level - level / (classes - 1), atol=1e-12)
    assert theory.margins(noise.transition_matrix(edge, num_classes=classes)) == pytest.approx(0, abs=1e-12)


def test_bad_matrices_are_named():
    with pytest.raises(ValueError, match=r"row 1 sums to 0\.9"):
        theory.margins([[1, 0], [0.4, 0.5]])


def _flow(part_rate, class_rate, own_rate, share, time, *, size=20, level=0.3):
    """Outputs of a kernel with these eigenvalues: two classes, two parts each, `share` wrong in the first."""
    part = np.repeat(np.arange(4), size)
    true = np.where(part < 2, 1, -1)
    one = (part[:, None] == part) / size
    other = true[:, None] * true / (4 * size)
    kernel = own_rate * np.eye(4 * size) + (part_rate - own_rate) * one + (class_rate - part_rate) * other
    wrong = np.zeros(4 * size, dtype=bool)
    for p in range(4):
        number = round(share * size) if p % 2 == 0 else round((2 * level - share) * size)
        wrong[np.flatnonzero(part == p)[:number]] = True
    values, vectors = np.linalg.eigh(kernel)
    labels = true * np.where(wrong, -1, 1)
    outputs = vectors @ ((1 - np.exp(-values * time)) * (vectors.T @ labels))
    return true * outputs, wrong, part


@pytest.mark.parametrize("share", [0.1, 0.5, 0.6])
@pytest.mark.parametrize("time", [0.1, 1.0, 20.0])
def test_outputs_are_those_of_a_kernel_with_these_rates(share, time):
    outputs, wrong, part = _flow(0.7, 3.0, 0.05, share, time)
    model = theory.NestedScales(0.3, share, class_rate=3.0, part_rate=0.7, own_rate=0.05)
    for own, wanted in ((~wrong, model.clean_output(time)), (wrong, model.noisy_output(time))):
        np.testing.assert_allclose(outputs[(part % 2 == 0) & own], wanted, atol=1e-9)


def test_a_part_like_its_class_never_deviates():
    model = theory.NestedScales(0.2, 0.2, class_rate=1.0, part_rate=0.3)
    t = np.linspace(0, 40, 9)
    np.testing.assert_allclose(model.new_output(t), 0.6 * (1 - np.exp(-t)))


def test_single_labels_are_learnt_last_and_all_of_them():
    model = theory.NestedScales(0.3, 0.9, class_rate=1.0, part_rate=0.1, own_rate=0.001)
    assert model.clean_output(1e5) == pytest.approx(1)
    assert model.noisy_output(1e5) == pytest.approx(-1)


def test_a_part_goes_over_before_single_labels_do_if_most_of_it_is_wrong():
    model = theory.NestedScales(0.3, 0.8, class_rate=1e6, part_rate=0.1)
    time = model.reversal_time
    assert model.new_output(0.99 * time) > 0 > model.new_output(1.01 * time)
    assert math.isinf(theory.NestedScales(0.3, 0.5, 1.0, 0.1).reversal_time)
    assert math.isinf(theory.NestedScales(0.3, 0.9, 1.0, 0.0).reversal_time)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"level": 0.5}, r"level must lie in \(0, 1/2\), got 0.5"),
        ({"part_level": 1.1}, r"part_level must be a fraction in \[0, 1\], got 1.1"),
        ({"part_rate": 2.0}, "in the order own, part, class, got 0.0, 2.0 and 1.0"),
        ({"own_rate": -1.0}, "not negative"),
        ({"class_rate": math.inf}, "finite"),
    ],
)
def test_arguments_outside_are_named(changed, words):
    arguments = {"level": 0.3, "part_level": 0.5, "class_rate": 1.0, "part_rate": 0.5, "own_rate": 0.0}
    with pytest.raises(ValueError, match=words):
        theory.NestedScales(**(arguments | changed))
