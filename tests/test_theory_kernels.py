"""Kernel machines solved: against integrated flows, descent, every placement of the noise, wide nets."""

import math
from itertools import combinations, product

import numpy as np
import pytest
import torch
from scipy import integrate

from cleanprio_lib import models, noise, theory
from cleanprio_lib.measurements.kernel_wide_net import net_kernel

TIMES = (0.01, 0.3, 2.0, 20.0)


def _points(count, seed=0, shift=1.5):
    """(n, 3) points around two centres, labels 0 and 1 in turn."""
    labels = np.arange(count) % 2
    points = np.random.default_rng(seed).standard_normal((count, 3))
    points[:, 0] += shift * (2 * labels - 1)
    return points, labels


def _gaussian(x, z, scale=3.0):
    return np.exp(-((x[:, None] - z[None]) ** 2).sum(axis=2) / scale**2)


@pytest.fixture(scope="module")
def problem():
    """Kernel of 24 training points with themselves and of 7 others with them, and labels -1 and 1."""
    points, labels = _points(31)
    return _gaussian(points[:24], points[:24]), _gaussian(points[24:], points[:24]), 2.0 * labels[:24] - 1


@pytest.mark.parametrize("time", TIMES)
def test_closed_form_is_the_integrated_flow(problem, time):
    kernel, cross, labels = problem
    flow = theory.kernel_flow(kernel)
    integrated = integrate.solve_ivp(
        lambda _, a: labels - kernel @ a, (0, time), np.zeros(24), rtol=1e-10, atol=1e-11, method="DOP853"
    ).y[:, -1]
    np.testing.assert_allclose(flow.outputs(labels, time), kernel @ integrated, rtol=0, atol=1e-6)
    predicted = flow.predictions(flow.project(cross), labels, time)
    np.testing.assert_allclose(predicted, cross @ integrated, rtol=0, atol=1e-6)


def _descended(kernel, labels, rate, steps):
    """Coefficients after so many steps of gradient descent."""
    coefficients = np.zeros(len(labels))
    for _ in range(steps):
        coefficients += rate * (labels - kernel @ coefficients)
    return coefficients


def test_small_steps_of_gradient_descent_follow_the_flow(problem):
    kernel, cross, labels = problem
    flow, rate = theory.kernel_flow(kernel), 1e-3 / np.linalg.eigvalsh(kernel)[-1]
    coefficients = _descended(kernel, labels, rate, 20_000)
    np.testing.assert_allclose(flow.outputs(labels, 20_000 * rate), kernel @ coefficients, rtol=0, atol=1e-3)
    predicted = flow.predictions(flow.project(cross), labels, 20_000 * rate)
    np.testing.assert_allclose(predicted, cross @ coefficients, rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [0.3, 0.7, 1.8])
def test_steps_of_any_size_are_exact(problem, size):
    kernel, cross, labels = problem
    rate = size / np.linalg.eigvalsh(kernel)[-1]
    flow = theory.kernel_flow(kernel, step=rate)
    coefficients = _descended(kernel, labels, rate, 30)
    np.testing.assert_allclose(flow.outputs(labels, 30 * rate), kernel @ coefficients, rtol=0, atol=1e-12)
    predicted = flow.predictions(flow.project(cross), labels, 30 * rate)
    np.testing.assert_allclose(predicted, cross @ coefficients, rtol=0, atol=1e-12)
    smooth = theory.kernel_flow(kernel).outputs(labels, 30 * rate)
    assert np.abs(smooth - kernel @ coefficients).max() > 1e-3  # the flow is not it


def test_influence_is_what_each_label_does(problem):
    kernel, cross, labels = problem
    flow = theory.kernel_flow(kernel)
    projected, draws = flow.project(cross), np.stack([labels, -labels, np.roll(labels, 1)], axis=1)
    np.testing.assert_allclose(flow.influence(0.5) @ draws, flow.outputs(draws, 0.5), atol=1e-13)
    np.testing.assert_allclose(
        flow.influence_on(projected, 0.5) @ draws, flow.predictions(projected, draws, 0.5), atol=1e-13
    )
    np.testing.assert_array_equal(flow.influence(0.5, rows=[3, 1]), flow.influence(0.5)[[3, 1]])


def test_an_eigenvalue_of_zero_is_its_limit():
    kernel = np.array([[1.0, 1.0], [1.0, 1.0]])
    flow = theory.kernel_flow(kernel)
    predicted = flow.predictions(flow.project([[1.0, 1.0], [0.5, 0.2]]), [1.0, -0.5], 0.4)
    share = (1 - math.exp(-0.8)) / 2 * 0.25
    np.testing.assert_allclose(predicted, [2 * share, 0.7 * share + 0.4 * 0.15 * 1.5], rtol=1e-12)


def test_single_precision_stays_single(problem):
    kernel, cross, labels = problem
    flow, exact = theory.kernel_flow(kernel.astype(np.float32)), theory.kernel_flow(kernel)
    assert flow.vectors.dtype == flow.influence(1.0).dtype == np.float32
    np.testing.assert_allclose(flow.outputs(labels, 1.0), exact.outputs(labels, 1.0), atol=1e-5)
    error = theory.expected_test_error(flow, labels > 0, flow.project(cross), np.ones(7), 0.25, 1.0)
    wanted = theory.expected_test_error(exact, labels > 0, exact.project(cross), np.ones(7), 0.25, 1.0)
    assert error == pytest.approx(wanted, abs=1e-5)


TRUE = np.array([0, 1, 0, 1, 1, 0, 1, 1, 0])
LEVEL = 0.4  # two of the four, two of the five


def _placements():
    """(60, 9) masks: every way to place two wrong labels in each class."""
    masks = []
    for chosen in product(*(combinations(np.flatnonzero(c == TRUE), 2) for c in (0, 1))):
        mask = np.zeros(9, dtype=bool)
        mask[[j for part in chosen for j in part]] = True
        masks.append(mask)
    return np.array(masks)


def _all_flips():
    """(512, 9) masks and their probabilities."""
    masks = np.array(list(product((False, True), repeat=9)))
    return masks, np.prod(np.where(masks, LEVEL, 1 - LEVEL), axis=1)


@pytest.fixture(params=theory.PLACEMENTS)
def draws(request):
    """A placement, all its masks and their probabilities."""
    if request.param == "independent":
        return request.param, *_all_flips()
    return request.param, _placements(), np.full(60, 1 / 60)


def _moments(values, chances):
    mean = chances @ values
    return mean, chances @ (values - mean) ** 2


def test_the_noise_of_the_library_is_among_those_enumerated():
    masks = {tuple(mask) for mask in _placements()}
    found = {tuple(noise.uniform(TRUE, LEVEL, num_classes=2, seed=seed).is_noisy) for seed in range(600)}
    assert found == masks


def test_output_law_is_the_mean_over_all_placements(draws):
    placement, masks, chances = draws
    weights = np.random.default_rng(0).standard_normal((5, 9))
    given = (2 * TRUE - 1) * np.where(masks, -1, 1)
    law = theory.output_law(weights, TRUE, LEVEL, placement=placement)
    for row, mean, variance in zip(weights, law.mean, law.variance, strict=True):
        wanted = _moments(given @ row, chances)
        assert (mean, variance) == (pytest.approx(wanted[0], abs=1e-13), pytest.approx(wanted[1], abs=1e-13))


@pytest.mark.parametrize("wrong", [False, True])
def test_own_output_law_is_the_mean_over_placements_with_that_label(draws, wrong):
    placement, masks, chances = draws
    influence, rows = np.random.default_rng(1).standard_normal((9, 9)), [7, 0, 2, 3]
    law = theory.own_output_law(influence[rows], rows, TRUE, LEVEL, wrong=wrong, placement=placement)
    outputs = ((2 * TRUE - 1) * np.where(masks, -1, 1)) @ influence.T * (2 * TRUE - 1)
    for place, i in enumerate(rows):
        given = masks[:, i] == wrong
        mean, variance = _moments(outputs[given, i], chances[given] / chances[given].sum())
        assert law.mean[place] == pytest.approx(mean, abs=1e-13)
        assert law.variance[place] == pytest.approx(variance, abs=1e-13)


def test_chances_of_a_normal_law():
    law = theory.Law(np.array([1.0, -2.0, 0.0, 3.0]), np.array([4.0, 1.0, 0.0, 0.0]))
    wanted = [0.3085375387, 0.9772498681, 0.5, 0.0]
    np.testing.assert_allclose(law.chance_below_zero, wanted, atol=1e-10)


def test_mean_outputs_of_the_subsets_are_exact(draws):
    placement, masks, chances = draws
    points, _ = _points(11, seed=3)
    kernel, cross = _gaussian(points[:9], points[:9]), _gaussian(points[9:], points[:9])
    flow = theory.kernel_flow(kernel)
    found = theory.flow_errors(flow, TRUE, flow.project(cross), [0, 1], LEVEL, TIMES, placement=placement)
    for place, time in enumerate(TIMES):
        outputs = ((2 * TRUE - 1) * np.where(masks, -1, 1)) @ flow.influence(time).T * (2 * TRUE - 1)
        for name, subset in (("clean", ~masks), ("noisy", masks)):
            # Every sample counts with its chance to be in the subset, also where its size is not fixed.
            wanted = chances @ (outputs * subset).sum(axis=1) / (chances @ subset.sum(axis=1))
            assert getattr(found, f"{name}_output")[place] == pytest.approx(wanted, abs=1e-12)


def test_the_two_scale_model_is_a_kernel_machine():
    model = theory.TwoScales(samples=40, level=0.3, within=1.0, across=0.2, own=0.3)
    true = np.arange(40) % 2
    kernel = np.where(np.equal.outer(true, true), 1.0, 0.2) + 0.3 * np.eye(40)
    flow = theory.kernel_flow(kernel)
    found = theory.flow_errors(flow, true, flow.project(kernel[:2]), true[:2], 0.3, TIMES)
    np.testing.assert_allclose(found.clean_output, model.clean_output(TIMES), atol=1e-12)
    np.testing.assert_allclose(found.noisy_output, model.noisy_output(TIMES), atol=1e-12)


@pytest.fixture(scope="module")
def larger():
    """200 training and 100 test points whose classes overlap."""
    points, labels = _points(300, seed=5, shift=1.0)
    flow = theory.kernel_flow(_gaussian(points[:200], points[:200]))
    return flow, labels[:200], flow.project(_gaussian(points[200:], points[:200])), labels[200:]


def _berry_esseen(weights, level):
    """Most by which a sum of independent ±1 labels is off the normal law, for each row of weights."""
    third = (1 - level) * (2 * level) ** 3 + level * (2 * (1 - level)) ** 3
    spread = np.sqrt(4 * level * (1 - level) * (weights**2).sum(axis=1))
    return np.minimum(0.56 * third * (np.abs(weights) ** 3).sum(axis=1) / spread**3, 1)


@pytest.mark.parametrize("time", [0.02, 0.5, 10.0])
def test_errors_are_those_of_drawn_noise(larger, time):
    flow, true, projected, true_test = larger
    level, count = 0.3, 2_000
    wrong = np.random.default_rng(0).random((200, count)) < level
    labels = (2 * true - 1)[:, None] * np.where(wrong, -1, 1)
    found = theory.flow_errors(flow, true, projected, true_test, level, [time], placement="independent")
    mistaken = flow.outputs(labels, time) * labels < 0
    test = flow.predictions(projected, labels, time) * (2 * true_test - 1)[:, None] < 0
    own = np.delete(flow.influence(time).ravel(), slice(None, None, 201)).reshape(200, 199)
    checks = {
        "clean_error": ((mistaken & ~wrong).sum(axis=0) / (~wrong).sum(axis=0), own),
        "noisy_error": ((mistaken & wrong).sum(axis=0) / wrong.sum(axis=0), own),
        "test_error": (test.mean(axis=0), flow.influence_on(projected, time)),
    }
    for name, (drawn, weights) in checks.items():
        bound = _berry_esseen(weights, level).mean() + 5 * drawn.std() / math.sqrt(count)
        assert bound < 0.2
        assert getattr(found, name)[0] == pytest.approx(drawn.mean(), abs=bound)


def test_errors_with_noise_of_a_fixed_number_are_those_of_drawn_noise(larger):
    flow, true, projected, true_test = larger
    draws = [noise.uniform(true, 0.3, num_classes=2, seed=seed) for seed in range(600)]
    labels = np.stack([2 * draw.given - 1 for draw in draws], axis=1)
    wrong = np.stack([draw.is_noisy for draw in draws], axis=1)
    times = [0.02, 0.5]
    found = theory.flow_errors(flow, true, projected, true_test, 0.3, times)
    for place, time in enumerate(times):
        mistaken = flow.outputs(labels, time) * labels < 0
        test = flow.predictions(projected, labels, time) * (2 * true_test - 1)[:, None] < 0
        for name, drawn in (
            ("clean_error", mistaken[~wrong].reshape(140, -1).mean(axis=0)),
            ("noisy_error", mistaken[wrong].reshape(60, -1).mean(axis=0)),
            ("test_error", test.mean(axis=0)),
        ):
            # The issue is the law, not its tails: 0.02 is what independent flips agree to above.
            assert getattr(found, name)[place] == pytest.approx(drawn.mean(), abs=0.02)
        both = 0.7 * found.clean_error[place] + 0.3 * found.noisy_error[place]
        assert found.train_error[place] == pytest.approx(both, abs=1e-12)


def test_exact_placement_matters_early_and_not_late(larger):
    flow, true, projected, true_test = larger
    early, late = (
        [
            theory.expected_test_error(flow, true, projected, true_test, 0.4, time, placement=placement)
            for placement in theory.PLACEMENTS
        ]
        for time in (1e-4, 100.0)
    )
    assert early[1] - early[0] > 0.05
    assert abs(late[1] - late[0]) < 0.01


def test_rows_take_the_mean_over_those_samples(larger):
    flow, true, projected, true_test = larger
    whole = theory.flow_errors(flow, true, projected, true_test, 0.3, [0.3])
    halves = [
        theory.flow_errors(flow, true, projected, true_test, 0.3, [0.3], rows=np.arange(s, s + 100))
        for s in (0, 100)
    ]
    for name in ("clean_error", "noisy_output"):
        parts = [getattr(half, name)[0] for half in halves]
        assert np.mean(parts) == pytest.approx(getattr(whole, name)[0], abs=1e-12)
        assert abs(parts[0] - parts[1]) > 1e-4


def test_turning_time_is_where_the_test_error_is_lowest(larger):
    flow, true, projected, true_test = larger
    time, error = theory.turning_time(flow, true, projected, true_test, 0.3, between=(1e-3, 1e3))
    grid = np.geomspace(1e-3, 1e3, 400)
    errors = [theory.expected_test_error(flow, true, projected, true_test, 0.3, t) for t in grid]
    assert error <= min(errors) + 1e-6
    assert abs(math.log(time / grid[np.argmin(errors)])) < 2 * math.log(grid[1] / grid[0])
    assert error == theory.expected_test_error(flow, true, projected, true_test, 0.3, time)


def test_a_single_test_points_turning_time_does_not_know_the_level(larger):
    flow, true, projected, _ = larger
    laws = {
        level: [theory.output_law(flow.influence_on(projected, t), true, level) for t in (0.1, 0.4, 1.6)]
        for level in (0.1, 0.4)
    }
    ratios = {level: np.array([law.mean / np.sqrt(law.variance) for law in of]) for level, of in laws.items()}
    factor = 0.8 / math.sqrt(0.09) / (0.2 / math.sqrt(0.24))
    np.testing.assert_allclose(ratios[0.1], factor * ratios[0.4], rtol=1e-10)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.kernel_flow(np.ones((2, 3))), "kernel must be a square matrix, got shape"),
        (lambda: theory.kernel_flow(np.eye(2), step=2.0).learnt(1.0), "step must be below 2 here, got 2.0"),
        (lambda: theory.output_law(np.ones((1, 2)), [0, 1], 1.0), "level must lie in"),
        (lambda: theory.output_law(np.ones((1, 2)), [0, 0], 0.5), "labels 0 and 1, with samples of both"),
        (lambda: theory.output_law(np.ones((1, 2)), [0, 1], 0.5, placement="x"), "placement must be one of"),
        (lambda: theory.eigenspace_cosine(-1.0, 0.5), "strength must not be negative"),
        (lambda: theory.eigenspace_cosine(1.0, 0.0), "level must lie in"),
        (lambda: theory.tangent_kernel(np.ones(3), np.ones((1, 3))), "x must be"),
        (lambda: theory.tangent_kernel(np.zeros((1, 3)), np.ones((1, 3))), "x must not hold an input that"),
        (lambda: theory.tangent_kernel(np.ones((1, 3)), np.ones((1, 2))), "x and z must have rows of one"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def _recursion(x, z, depth):
    """The tangent kernel by Cho and Saul's arc-cosine kernels, layer by layer, with lengths kept."""
    covariance = x @ z.T
    own, other = (x**2).sum(axis=1), (z**2).sum(axis=1)
    kernel = covariance.copy()
    for _ in range(depth - 1):
        lengths = np.sqrt(np.outer(own, other))
        angle = np.arccos(np.clip(covariance / lengths, -1, 1))
        slopes = (np.pi - angle) / (2 * np.pi)
        covariance = lengths * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
        own, other = own / 2, other / 2
        kernel = covariance + kernel * slopes
    return kernel


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_tangent_kernel_is_the_recursion(depth):
    points, _ = _points(9)
    got = theory.tangent_kernel(points[:5], points, depth=depth)
    np.testing.assert_allclose(got, _recursion(points[:5], points, depth), rtol=0, atol=1e-6)
    apart = ~np.eye(5, 9, dtype=bool)
    np.testing.assert_allclose(
        got[apart], _recursion(points[:5], points, depth)[apart], rtol=1e-11, atol=1e-12
    )


@pytest.mark.parametrize(("depth", "width", "seeds"), [(2, 32, 400), (3, 256, 120)])
def test_tangent_kernel_is_that_of_wide_nets(depth, width, seeds):
    points = torch.from_numpy(_points(5)[0]).float()
    found = np.stack(
        [
            net_kernel(
                models.fully_connected(3, width, depth=depth, parametrization="ntk", seed=seed), points
            )
            for seed in range(seeds)
        ]
    )
    wanted = theory.tangent_kernel(points.numpy(), points.numpy(), depth=depth)
    # One hidden layer is a mean of independent units, so its mean is the infinite net's. The second layer
    # sees a Gram matrix that is off by 1/√m, which moves the mean by a few parts in m.
    bias = 0 if depth == 2 else 4 / width * np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)))
    assert (np.abs(found.mean(axis=0) - wanted) < 5 * found.std(axis=0) / math.sqrt(seeds) + bias).all()
    assert (5 * found.std(axis=0) / math.sqrt(seeds) < 0.25 * np.diag(wanted).max()).all()
