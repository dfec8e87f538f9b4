"""The formulas against tables, 120-digit arithmetic, symbolic proofs, real gradients and random draws."""

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cleanprio_lib import models, noise, theory

DEGREES = (10, 20, 30, 45, 60, 75, 90, 120, 150, 180)
ANGLES = {
    2: (16.7178, 27.1624, 36.7489, 49.9939, 61.8900, 72.2593, 80.8422, 91.6523, 93.7131, 90.0000),
    3: (21.2013, 32.2436, 41.5759, 53.4758, 63.2247, 70.9597, 76.7871, 83.4182, 85.0208, 83.9093),
    5: (27.6347, 39.4316, 48.2186, 58.0605, 65.0756, 70.0079, 73.3767, 76.9310, 77.9401, 77.7559),
}
COSINES = {
    2: {10: 0.957733, 30: 0.801265, 60: 0.471166, 90: 0.159155, 120: -0.028834, 180: 0},
    3: {10: 0.932315, 30: 0.748077, 60: 0.450493, 90: 0.228570, 120: 0.114621, 180: 0.106103},
    5: {10: 0.885923, 30: 0.666290, 60: 0.421423, 90: 0.286078, 120: 0.226124, 180: 0.212078},
}
angle = sp.Symbol("theta", positive=True)
turn = sp.Symbol("phi", real=True)
SECOND_LAYER = (sp.pi - angle) / sp.pi * sp.cos(angle) + sp.sin(angle) / (2 * sp.pi)


def _exact(theta, depth):
    """The angle by arc-cosine kernels in 120 digits, where inverting a cosine does no harm."""
    with mpmath.workdps(120):
        kernel = derivative = mpmath.cos(mpmath.mpf(float(theta)))
        for _ in range(depth - 1):
            away = mpmath.pi - mpmath.acos(kernel)
            step = away / mpmath.pi
            kernel = (mpmath.sqrt(1 - kernel**2) + away * kernel) / mpmath.pi
            derivative = kernel + derivative * step
        return mpmath.acos(derivative / depth)


@pytest.mark.parametrize("depth", ANGLES)
def test_angles_of_figure_2(depth):
    computed = np.degrees(theory.derivative_angle(np.radians(DEGREES), depth=depth))
    np.testing.assert_allclose(computed, ANGLES[depth], rtol=0, atol=1e-4)
    for degrees, cosine in COSINES[depth].items():
        assert abs(np.cos(theory.derivative_angle(np.radians(degrees), depth=depth)) - cosine) < 1e-6


@settings(max_examples=150, deadline=None)
@given(theta=st.floats(0, np.pi), depth=st.integers(2, 12))
@example(theta=1e-18, depth=5)
@example(theta=1e-8, depth=2)
@example(theta=1e-5, depth=3)
@example(theta=0.9999, depth=2)
@example(theta=np.pi - 1e-8, depth=2)
@example(theta=np.pi - 1e-12, depth=5)
@example(theta=np.pi, depth=3)
def test_angles_are_right_to_their_last_places(theta, depth):
    exact = _exact(theta, depth)
    error = abs(float(theory.derivative_angle(theta, depth=depth) - exact))
    assert error < 1e-12
    # Below 1e-50 the reference loses its own digits.
    if theta > 1e-50:
        assert error < 1e-14 * exact


def test_theorem_3_1_is_the_case_of_two_layers():
    grid = np.linspace(0, np.pi, 721)
    written = (np.pi - grid) / np.pi * np.cos(grid) + np.sin(grid) / (2 * np.pi)
    np.testing.assert_allclose(np.cos(theory.derivative_angle(grid)), written, rtol=0, atol=1e-15)


@pytest.mark.parametrize("depth", [2, 3, 7])
def test_a_linear_net_keeps_the_angle(depth):
    grid = np.linspace(0, np.pi, 50)
    assert np.array_equal(theory.derivative_angle(grid, depth=depth, activation="linear"), grid)


@pytest.mark.parametrize("depth", [2, 3, 5, 40])
def test_equal_inputs_have_equal_derivatives(depth):
    assert theory.derivative_angle(0.0, depth=depth) == 0
    assert theory.small_angle_law(0.0, depth=depth) == 0


@settings(max_examples=100, deadline=None)
@given(
    low=st.floats(0, np.pi / 2),
    high=st.floats(0, np.pi / 2),
    depth=st.integers(2, 12),
    activation=st.sampled_from(["relu", "linear"]),
)
def test_corollary_3_2(low, high, depth, activation):
    pair = np.sort([low, high])
    near, far = theory.derivative_angle(pair, depth=depth, activation=activation)
    assert 0 <= near <= far * (1 + 1e-15)
    assert far <= np.pi / 2


def test_corollary_3_2_does_not_reach_the_opposite_input():
    grid = np.linspace(0, np.pi, 20_001)
    for depth, (place, height) in {2: (142.57, 93.92), 3: (148.25, 85.03), 5: (156.16, 77.96)}.items():
        where, largest = theory.largest_derivative_angle(depth)
        assert abs(np.degrees(where) - place) < 5e-3
        assert abs(np.degrees(largest) - height) < 5e-3
        angles = theory.derivative_angle(grid, depth=depth)
        assert abs(grid[angles.argmax()] - where) < 2 * grid[1]
        assert angles.max() <= largest < angles.max() + grid[1] ** 2
        assert angles[-1] < largest - 1e-3


@pytest.mark.parametrize("depth", [2, 3, 5, 10])
def test_places_found_by_an_independent_root_finder(depth):
    where, _ = theory.largest_derivative_angle(depth)
    with mpmath.workdps(40):
        slope = mpmath.findroot(lambda t: mpmath.diff(lambda s: _exact_free(s, depth), t), where)
        crossing = mpmath.findroot(lambda t: _exact_free(t, depth) - mpmath.cos(t), 1.17)
    assert abs(where - slope) < 1e-12
    assert abs(theory.crossing_angle(depth) - crossing) < 1e-12


def _exact_free(theta, depth):
    """cos θ_h at the precision in force, for a number of mpmath's."""
    kernel = derivative = mpmath.cos(theta)
    for _ in range(depth - 1):
        away = mpmath.pi - mpmath.acos(kernel)
        kernel = (mpmath.sqrt(1 - kernel**2) + away * kernel) / mpmath.pi
        derivative = kernel + derivative * away / mpmath.pi
    return derivative / depth


def test_two_layers_cross_and_turn_where_tangents_say():
    crossing = theory.crossing_angle(2)
    assert abs(np.tan(crossing) - 2 * crossing) < 1e-13
    rest = np.pi - theory.largest_derivative_angle(2)[0]
    assert abs(rest * np.tan(rest) - 0.5) < 1e-14


@pytest.mark.parametrize(("depth", "degrees"), [(2, 66.782), (3, 67.165), (5, 67.895)])
def test_close_inputs_are_spread_and_far_ones_drawn_together(depth, degrees):
    crossing = theory.crossing_angle(depth)
    assert abs(np.degrees(crossing) - degrees) < 1e-3
    near, far = np.linspace(0, crossing, 200)[1:-1], np.linspace(crossing, np.pi, 200)[1:]
    assert (theory.derivative_angle(near, depth=depth) > near).all()
    assert (theory.derivative_angle(far, depth=depth) < far).all()


@pytest.mark.parametrize(("depth", "slope"), [(2, 0.15920), (3, 0.31835), (5, 0.63663)])
def test_small_angles_grow_as_a_square_root(depth, slope):
    at = theory.derivative_angle(1e-4, depth=depth)
    assert abs((1 - np.cos(at)) / 1e-4 - slope) < 1e-5
    tiny = np.logspace(-14, -2, 25)
    ratio = theory.derivative_angle(tiny, depth=depth) / theory.small_angle_law(tiny, depth=depth)
    # The next term of the series is of relative order sqrt(theta) times a power of the depth.
    assert (np.abs(ratio - 1) < depth**2 * np.sqrt(tiny)).all()
    assert abs(np.degrees(theory.small_angle_law(np.radians(1))) - 4.27) < 0.01


def test_shapes_and_types():
    assert isinstance(theory.derivative_angle(0.5), np.float64)
    assert isinstance(theory.derivative_angle(1, activation="linear"), np.float64)
    table = theory.derivative_angle([[0, 1], [2, 3]], depth=3)
    assert table.shape == (2, 2)
    assert table.dtype == np.float64
    assert table[1, 0] == theory.derivative_angle(2.0, depth=3)
    given_angles = np.array([0.1, 0.2])
    theory.derivative_angle(given_angles, activation="linear")[0] = 9
    assert given_angles[0] == 0.1


@pytest.mark.parametrize("theta", [-1e-9, 3.2, 90, float("nan"), [0.1, -0.1]])
def test_bad_angles_are_named(theta):
    with pytest.raises(ValueError, match=r"theta must be an angle in \[0, π\] radians, got"):
        theory.derivative_angle(theta)
    with pytest.raises(ValueError, match="theta must be"):
        theory.small_angle_law(theta)


@pytest.mark.parametrize("depth", [1, 0, 2.5, True, "3"])
def test_bad_depths_are_named(depth):
    for call in (
        lambda: theory.derivative_angle(0.1, depth=depth),
        lambda: theory.small_angle_law(0.1, depth=depth),
        lambda: theory.largest_derivative_angle(depth),
        lambda: theory.crossing_angle(depth),
    ):
        with pytest.raises(ValueError, match="depth must be an integer of at least 2, got"):
            call()


def test_bad_activations_are_named():
    with pytest.raises(ValueError, match=r"activation must be one of .*'relu', 'linear'.*, got 'tanh'"):
        theory.derivative_angle(0.1, activation="tanh")


@pytest.mark.parametrize(("activation", "layer"), [("relu", torch.nn.ReLU), ("linear", torch.nn.Identity)])
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_real_wide_nets_have_these_angles(depth, activation, layer):
    inputs = np.radians([0, 30, 60, 120])
    x = torch.tensor(np.stack([np.cos(inputs), np.sin(inputs)], axis=1), dtype=torch.float32)
    angles = np.array([_measured_angles(x, depth, layer, seed) for seed in range(12)])
    expected = np.degrees(theory.derivative_angle(inputs[1:], depth=depth, activation=activation))
    # The mean of 12 nets, four standard errors, and the bias of width 512 (below 0.3 degrees for ReLU).
    bound = 4 * angles.std(axis=0, ddof=1) / np.sqrt(len(angles)) + 0.3
    assert (np.abs(angles.mean(axis=0) - expected) < bound).all()
    assert (bound < 5).all()


def _measured_angles(x, depth, layer, seed):
    net = models.fully_connected(2, 512, depth=depth, activation=layer, parametrization="ntk", seed=seed)
    gradients = []
    for sample in x:
        parts = torch.autograd.grad(net(sample[None]).sum(), list(net.parameters()))
        gradients.append(torch.cat([part.flatten() for part in parts]))
    first, *others = (gradient / gradient.norm() for gradient in gradients)
    return [np.degrees(float(torch.arccos(first @ other))) for other in others]


# What the paper's appendix A proves


def test_the_two_integrals_of_theorem_3_1():
    length = sp.Symbol("r", positive=True)
    # A two-dimensional Gaussian in polar coordinates: direction uniform, squared length 2 on average.
    mean_square = sp.integrate(length**2 * length * sp.exp(-(length**2) / 2), (length, 0, sp.oo))
    both_on = (turn, angle - sp.pi / 2, sp.pi / 2)
    first = mean_square / (2 * sp.pi) * sp.integrate(sp.cos(turn) * sp.cos(angle - turn), both_on)
    second = sp.integrate(sp.cos(angle), both_on) / (2 * sp.pi)
    assert mean_square == 2
    assert sp.simplify(first - ((sp.pi - angle) * sp.cos(angle) + sp.sin(angle)) / (2 * sp.pi)) == 0
    assert sp.simplify(second - (sp.pi - angle) / (2 * sp.pi) * sp.cos(angle)) == 0
    same = sp.limit(first + second, angle, 0)
    assert sp.simplify((first + second) / same - SECOND_LAYER) == 0
    at = np.linspace(0.01, np.pi, 60)
    cosine = sp.lambdify(angle, (first + second) / same)(at)
    np.testing.assert_allclose(np.cos(theory.derivative_angle(at)), cosine, rtol=0, atol=1e-14)


def test_the_two_integrals_by_drawing():
    theta, draws = 1.0, 400_000
    a = np.random.default_rng(0).standard_normal((draws, 2))
    x, z = a[:, 0], a @ [np.cos(theta), np.sin(theta)]
    on = (x >= 0) & (z >= 0)
    inner = (x * z * on).mean() + (on * np.cos(theta)).mean()
    # Four standard errors; the squares are bounded by E[x² z²] = 1 + 2 cos² and by cos².
    deviation = np.sqrt(1 + 2 * np.cos(theta) ** 2) + np.cos(theta)
    assert abs(inner - np.cos(theory.derivative_angle(theta))) < 4 * deviation / np.sqrt(draws)


def test_the_derivative_in_corollary_3_2_is_never_positive():
    written = -sp.cos(angle) / (2 * sp.pi) - (1 - angle / sp.pi) * sp.sin(angle)
    assert sp.simplify(sp.diff(SECOND_LAYER, angle) - written) == 0
    at = np.linspace(1e-3, np.pi - 1e-3, 400)
    slope = sp.lambdify(angle, written)(at)
    assert (slope[at <= np.pi / 2] < 0).all()
    assert (slope[at > theory.largest_derivative_angle()[0]] > 0).all()
    step = 1e-6
    ends = (np.cos(theory.derivative_angle(at + sign * step)) for sign in (1, -1))
    difference = (next(ends) - next(ends)) / (2 * step)
    np.testing.assert_allclose(difference, slope, rtol=0, atol=1e-8)


def test_the_expansion_at_small_angles():
    series = sp.series(SECOND_LAYER, angle, 0, 4).removeO()
    written = 1 - angle / (2 * sp.pi) - angle**2 / 2
    assert sp.simplify(series - written - 5 * angle**3 / (12 * sp.pi)) == 0
    exact = np.cos(theory.derivative_angle(0.3))
    assert np.allclose(
        [exact, written.subs(angle, 0.3), series.subs(angle, 0.3)], [0.91114, 0.90725, 0.91083], atol=1e-5
    )


def test_where_the_two_layer_curve_turns_and_crosses():
    u = sp.Symbol("u", positive=True)
    turning = sp.diff(SECOND_LAYER, angle).subs(angle, sp.pi - u)
    # Multiplied by -π/cos u, which has no zero.
    assert sp.simplify(turning * sp.pi - (sp.cos(u) / 2 - u * sp.sin(u))) == 0
    assert (
        sp.simplify((SECOND_LAYER - sp.cos(angle)) * 2 * sp.pi - (sp.sin(angle) - 2 * angle * sp.cos(angle)))
        == 0
    )


def test_moments_of_lemma_a_2():
    a = sp.Symbol("a", real=True)
    density = sp.exp(-(a**2) / 2) / sp.sqrt(2 * sp.pi)
    second, fourth = (sp.integrate(a**k * density, (a, -sp.oo, sp.oo)) for k in (2, 4))
    assert (second, fourth - second**2) == (1, 2)
    width, draws = 64, 4000
    A = np.random.default_rng(1).standard_normal((draws, width, 2))
    entries = np.einsum("nki,nkj->nij", A, A) / width
    for i, j, mean, variance in ((0, 0, 1, 2 / width), (0, 1, 0, 1 / width)):
        sample = entries[:, i, j]
        assert abs(sample.mean() - mean) < 4 * np.sqrt(variance / draws)
        # A sample variance has relative variance (2 + excess kurtosis)/draws; the excess is at most 12/width.
        assert abs(sample.var() / variance - 1) < 4 * np.sqrt((2 + 12 / width) / draws)
        for epsilon in (0.25, 0.5):
            outside = np.mean(np.abs(sample - mean) >= epsilon)
            assert outside <= variance / epsilon**2


# Subset gradients


def _uniform(level, classes=10):
    return np.full((classes, classes), level / (classes - 1)) * (1 - np.eye(classes)) + (1 - level) * np.eye(
        classes
    )


def _pair_flip(level, classes=10):
    return (1 - level) * np.eye(classes) + level * np.roll(np.eye(classes), 1, axis=1)


def test_ratios_of_the_paper():
    assert theory.gradient_ratio(0.4) == pytest.approx(1.5, rel=1e-14)
    assert theory.gradient_ratio(0.3, 10) == pytest.approx(21, rel=1e-14)
    np.testing.assert_allclose(
        theory.gradient_ratio([0.4, 0.6, 0.9, 0.95], 10), [13.5, 6, 1, 9 / 19], rtol=1e-14
    )
    assert theory.gradient_ratio(0) == np.inf
    assert theory.gradient_ratio(1.0, 10) == 0
    assert isinstance(theory.gradient_ratio(0.4), np.float64)
    np.testing.assert_allclose(theory.gradient_ratio(0.4, output=[0.6, 0.4]), [1.0, 2.25], rtol=1e-14)


@settings(max_examples=50, deadline=None)
@given(level=st.floats(0.01, 0.99), logit=st.floats(-30, 30))
def test_ratios_of_both_classes_multiply_to_what_the_paper_says(level, logit):
    zero, one = theory.binary_gradient_ratios(level, logit)
    assert np.sqrt(zero * one) == pytest.approx(theory.gradient_ratio(level), rel=1e-12)
    if abs(logit) < 5:
        output = 1 / (1 + np.exp(-logit))
        assert one == pytest.approx(theory.gradient_ratio(level, output=output), rel=1e-11)
        assert zero == pytest.approx(theory.gradient_ratio(level, output=1 - output), rel=1e-11)


def test_binary_ratios_broadcast():
    table = theory.binary_gradient_ratios([[0.3], [0.4]], [0.0, 1.0, 2.0])
    assert table.shape == (2, 3, 2)
    np.testing.assert_allclose(table[1, 1], [1.5 * np.e, 1.5 / np.e], rtol=1e-14)


@pytest.mark.parametrize(
    ("transition", "own", "full", "cosine", "shrink", "direction"),
    [
        (_uniform(0.3), 21, 21, -1, 0.66667, 1),
        (_uniform(0.4), 13.5, 13.5, -1, 0.55556, 1),
        (_uniform(0.6), 6, 6, -1, 0.33333, 1),
        (_uniform(0.9), 1, 1, -1, 0, np.nan),
        (_uniform(0.95), 0.47368, 0.47368, -1, -0.05556, -1),
        (_pair_flip(0.3), 21, 2.33333, -0.11111, 0.66667, 0.91287),
        (_pair_flip(0.4), 13.5, 1.5, -0.11111, 0.55556, 0.81325),
        (_pair_flip(0.6), 6, 0.66667, -0.11111, 0.33333, 0.48795),
    ],
)
def test_table_of_ten_classes_behind_softmax(transition, own, full, cosine, shrink, direction):
    _check(transition, theory.label_residuals(np.full(10, 0.1)), own, full, cosine, shrink, direction)
    assert theory.gradient_ratio(1 - transition[0, 0], 10) == pytest.approx(own, abs=1e-5)


@pytest.mark.parametrize(
    ("transition", "targets", "own", "full", "cosine", "shrink", "direction"),
    [
        (_uniform(0.3), None, np.inf, 7, 0, 0.7, 0.98995),
        (_pair_flip(0.3), None, np.inf, 2.33333, 0, 0.7, 0.91915),
        (_uniform(0.3), np.eye(10) - 0.1, 21, 21, -1, 0.66667, 1),
        (_pair_flip(0.3), np.eye(10) - 0.1, 21, 2.33333, -0.11111, 0.66667, 0.91287),
    ],
)
def test_table_of_ten_classes_with_squared_loss(transition, targets, own, full, cosine, shrink, direction):
    residuals = theory.label_residuals(np.zeros(10), loss="squared_linear", targets=targets)
    _check(transition, residuals, own, full, cosine, shrink, direction)


def _check(transition, residuals, own, full, cosine, shrink, direction):
    got = theory.initial_gradients(transition, residuals)
    expected = {
        "own_ratio": own,
        "full_ratio": full,
        "cosine": cosine,
        "shrink": shrink,
        "direction": direction,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(got, name), np.full(10, value), rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("residuals", "ratios"),
    [
        (theory.label_residuals(0.5), [1.5, 1.5]),
        (theory.label_residuals(0.6), [2.25, 1.0]),
        (theory.label_residuals([0.4, 0.6]), [2.25, 1.0]),
        (theory.label_residuals(0.6, loss="squared"), [2.25, 1.0]),
        (theory.label_residuals(0.0, loss="squared_linear", targets=[[-1], [1]]), [1.5, 1.5]),
        (theory.label_residuals(0.0, loss="squared_linear"), [0, np.inf]),
    ],
)
def test_binary_ratios_for_each_loss(residuals, ratios):
    got = theory.initial_gradients(_uniform(0.4, 2), residuals)
    np.testing.assert_allclose(got.own_ratio, ratios, rtol=1e-12)
    np.testing.assert_allclose(got.full_ratio, ratios, rtol=1e-12)


def test_levels_of_two_classes_may_differ():
    got = theory.initial_gradients([[0.8, 0.2], [0.4, 0.6]], theory.label_residuals(0.5))
    np.testing.assert_allclose(got.own_ratio, [4, 1.5], rtol=1e-12)


def test_without_noise_the_step_is_that_of_the_true_labels():
    got = theory.initial_gradients(np.eye(3), theory.label_residuals([0.2, 0.3, 0.5]))
    assert np.isinf(got.own_ratio).all()
    assert np.isinf(got.full_ratio).all()
    np.testing.assert_allclose([got.shrink, got.direction], np.ones((2, 3)), rtol=1e-12)


def _loss(name, logits, labels, targets):
    if name == "cross_entropy":
        if logits.shape[1] == 1:
            return F.binary_cross_entropy_with_logits(logits[:, 0], labels.double(), reduction="sum")
        return F.cross_entropy(logits, labels, reduction="sum")
    outputs = (
        logits if name == "squared_linear" else logits.softmax(1) if logits.shape[1] > 1 else logits.sigmoid()
    )
    return ((outputs - targets[labels]) ** 2).sum() / 2


@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "squared_linear"])
@pytest.mark.parametrize(("classes", "logits"), [(2, 1), (2, 2), (3, 3), (5, 5)])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_against_real_gradients_of_a_linear_head(loss, classes, logits, seed):
    """One sample for each of the labels that the matrix prescribes, one feature for each class, autograd."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 40, (classes, classes))
    start = torch.tensor(rng.normal(size=logits))
    targets = torch.tensor(rng.normal(size=(classes, logits)))
    true, given_labels = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    features = F.one_hot(torch.tensor(true), classes).double()

    def gradient(chosen, labels):
        head = start.repeat(classes, 1).requires_grad_()
        value = _loss(loss, features[chosen] @ head, torch.tensor(labels[chosen]), targets)
        return torch.autograd.grad(value, head)[0].numpy()

    output = start if loss == "squared_linear" else start.softmax(0) if logits > 1 else start.sigmoid()
    residuals = theory.label_residuals(
        output.numpy(), loss=loss, targets=None if loss == "cross_entropy" else targets.numpy()
    )
    got = theory.initial_gradients(counts / counts.sum(axis=1, keepdims=True), residuals)
    for label in range(classes):
        clean = gradient((true == label) & (given_labels == label), given_labels)
        noisy = gradient((true == label) & (given_labels != label), given_labels)
        wanted = gradient(true == label, true)
        own = label if logits > 1 else 0
        step, size = clean + noisy, np.linalg.norm
        expected = {
            "own_ratio": size(clean[:, own]) / size(noisy[:, own]),
            "full_ratio": size(clean) / size(noisy),
            "cosine": (clean * noisy).sum() / (size(clean) * size(noisy)),
            "shrink": (step * wanted).sum() / size(wanted) ** 2,
            "direction": (step * wanted).sum() / (size(step) * size(wanted)),
        }
        for name, value in expected.items():
            assert getattr(got, name)[label] == pytest.approx(value, rel=1e-9, abs=1e-12), name
        if loss == "cross_entropy":
            level = np.mean(given_labels[true == label] != label)
            probability = output[label] if logits > 1 else output[0] if label else 1 - output[0]
            ratio = theory.gradient_ratio(level, classes, output=float(probability))
            assert ratio == pytest.approx(expected["own_ratio"], rel=1e-9)


def test_few_draws_of_wrong_labels_lengthen_the_noisy_gradient():
    residuals = theory.label_residuals(np.full(10, 0.1))
    for count, ratio in ((1800, 20.55), (120, 16.27)):
        got = theory.initial_gradients(_uniform(0.3), residuals, num_noisy=count)
        np.testing.assert_allclose(got.full_ratio, ratio, atol=5e-3)
        np.testing.assert_allclose(got.own_ratio, 21, rtol=1e-12)
    each = theory.initial_gradients(_uniform(0.3), residuals, num_noisy=np.arange(1, 11) * 100)
    assert (np.diff(each.full_ratio) > 0).all()


@pytest.mark.parametrize(
    "transition", [_uniform(0.3), _pair_flip(0.3), 0.5 * (_uniform(0.4) + _pair_flip(0.2))]
)
@pytest.mark.parametrize("output", [np.full(10, 0.1), np.arange(1, 11) / 55])
def test_few_draws_against_drawing(transition, output):
    size, draws = 400, 300
    residuals = theory.label_residuals(output)
    true = np.zeros(size, dtype=int)
    squares = {"noisy": [], "step": []}
    for seed in range(draws):
        labels = noise.asymmetric(true, transition, seed=seed)
        squares["noisy"].append((residuals[labels.given[labels.is_noisy]].sum(axis=0) ** 2).sum())
        squares["step"].append((residuals[labels.given].sum(axis=0) ** 2).sum())
    num_noisy = round(size * (1 - transition[0, 0]))
    got = theory.initial_gradients(transition, residuals, num_noisy=num_noisy)
    clean = (size - num_noisy) * np.linalg.norm(residuals[0])
    along = got.shrink[0] * size * np.linalg.norm(residuals[0])
    expected = {"noisy": (clean / got.full_ratio[0]) ** 2, "step": (along / got.direction[0]) ** 2}
    for name, values in squares.items():
        error = np.std(values, ddof=1) / np.sqrt(draws)
        assert abs(np.mean(values) - expected[name]) < 4 * error + 1e-9 * expected[name], name
    mean = theory.initial_gradients(transition, residuals)
    assert got.cosine[0] * mean.full_ratio[0] == pytest.approx(mean.cosine[0] * got.full_ratio[0], rel=1e-12)


@pytest.mark.parametrize("level", [-0.1, 1.2, float("nan"), [0.1, 30]])
def test_bad_levels_are_named(level):
    with pytest.raises(ValueError, match=r"level must be a fraction in \[0, 1\], got"):
        theory.gradient_ratio(level)
    with pytest.raises(ValueError, match="level must be"):
        theory.binary_gradient_ratios(level, 0.0)


@pytest.mark.parametrize("num_classes", [1, 2.5, True])
def test_bad_numbers_of_classes_are_named(num_classes):
    with pytest.raises(ValueError, match="num_classes must be an integer of at least 2, got"):
        theory.gradient_ratio(0.3, num_classes)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: theory.gradient_ratio(0.3, output=1.0),
            r"output must be a probability in \(0, 1\), got 1.0",
        ),
        (lambda: theory.binary_gradient_ratios(0.3, np.inf), "logit must be finite, got inf"),
        (lambda: theory.label_residuals(0.5, loss="hinge"), "loss must be one of .* got 'hinge'"),
        (lambda: theory.label_residuals([0.5, 0.6]), "output must hold probabilities"),
        (lambda: theory.label_residuals([1.0, 0.0], loss="squared"), "output must hold probabilities"),
        (lambda: theory.label_residuals([[0.5], [0.5]]), "output must be one number or"),
        (lambda: theory.label_residuals(0.5, targets=[0, 1]), r"shape \(2, 1\), got shape \(2,\)"),
        (lambda: theory.initial_gradients(np.eye(3), np.ones((2, 1))), r"shape \(3, 3\), got shape \(2, 1\)"),
        (lambda: theory.initial_gradients(np.eye(2), np.full((2, 2), np.nan)), "residuals must be finite"),
        (lambda: theory.initial_gradients([[0.5, 0.4], [0, 1]], np.eye(2)), "row 0 sums to 0.9"),
        (
            lambda: theory.initial_gradients(np.eye(2), np.eye(2), num_noisy=0),
            "num_noisy must be a number or",
        ),
        (lambda: theory.initial_gradients(np.eye(2), np.eye(2), num_noisy=[1, 2, 3]), "num_noisy must be"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
