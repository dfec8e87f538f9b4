"""How far from assumption 4.1 subset gradients may be: inner products against the arrows themselves."""

import math

import numpy as np
import pytest

from cleanprio_lib import theory


def _gram(clean, noisy):
    arrows = np.concatenate([clean, noisy])
    return arrows @ arrows.T


@pytest.mark.parametrize("seed", range(5))
def test_numbers_are_those_of_the_arrows(seed):
    generator = np.random.default_rng(seed)
    g, q = generator.standard_normal((3, 8)), -0.5 * generator.standard_normal((3, 8))
    G, Q = g.sum(axis=0), q.sum(axis=0)
    size = np.linalg.norm(G)
    found = theory.departure(_gram(g, q))
    assert found.alpha == pytest.approx(-(Q @ G) / size**2)
    assert found.rest == pytest.approx(np.linalg.norm(Q + found.alpha * G) / size)
    assert found.clean_slope == pytest.approx(-(G @ (G + Q)) / size**2)
    assert found.noisy_slope == pytest.approx(-(Q @ (G + Q)) / size**2)
    alphas = [-(own @ g_c) / (g_c @ g_c) for own, g_c in zip(q, g, strict=True)]
    np.testing.assert_allclose(found.alphas, alphas)
    cosines = [
        -(own @ g_c) / np.linalg.norm(own) / np.linalg.norm(g_c) for own, g_c in zip(q, g, strict=True)
    ]
    np.testing.assert_allclose(np.cos(found.angles), cosines, rtol=1e-6)
    assert found.cancellation == pytest.approx(np.linalg.norm(g, axis=1).sum() / size)
    middle = (min(alphas) + max(alphas)) / 2
    assert found.middle == pytest.approx(middle)
    assert found.distance == pytest.approx(np.linalg.norm(Q + middle * G) / size)
    off = max(np.linalg.norm(own + middle * g_c) / np.linalg.norm(g_c) for own, g_c in zip(q, g, strict=True))
    assert found.bound == pytest.approx(found.cancellation * off)
    assert found.room == pytest.approx(min(middle, 1 - middle))


def test_assumption_4_1_is_no_departure():
    g = np.random.default_rng(0).standard_normal((4, 9))
    found = theory.departure(_gram(g, -0.7 * g))
    assert found.alpha == pytest.approx(0.7)
    for value in (found.rest, found.distance, found.bound, found.angles.max()):
        assert value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("spread", [0.0, 0.05])
@pytest.mark.parametrize("cancellation", [1.0, 1.6])
def test_the_largest_angle_uses_the_bound_up(alpha, spread, cancellation):
    angle = theory.largest_angle(alpha, spread, cancellation)
    used = cancellation * math.hypot(spread, (alpha + spread) * math.tan(angle))
    assert used == pytest.approx(min(alpha, 1 - alpha))


def test_a_spread_beyond_all_angles_has_none():
    assert math.isnan(theory.largest_angle(0.5, 0.3, 2.0))
    found = theory.largest_angle([0.2, 0.5], 0.25)
    assert np.isnan(found).tolist() == [True, False]


def test_beyond_zero_and_one_no_rest_is_borne():
    np.testing.assert_allclose(theory.largest_rest([-0.2, 0, 0.5, 1, 1.3]), [0, 0, 0.5, 0, 0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1.0,), "alpha is outside its range, got 1.0"),
        ((0.5, -0.1), "spread is outside its range, got -0.1"),
        ((0.5, 0.1, 0.9), "cancellation is outside its range, got 0.9"),
    ],
)
def test_arguments_outside_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        theory.largest_angle(*arguments)


@pytest.mark.parametrize(
    ("gram", "words"),
    [
        (np.eye(3), r"gram must be a \(2C, 2C\) matrix, got shape \(3, 3\)"),
        ([[1, 0.5], [0.1, 1]], "finite and symmetric"),
        ([[0, 0], [0, 1]], "not zero"),
        ([[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "whose sum is not"),
    ],
)
def test_bad_matrices_are_named(gram, words):
    with pytest.raises(ValueError, match=words):
        theory.departure(gram)
