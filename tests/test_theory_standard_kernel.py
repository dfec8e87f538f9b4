"""The tangent kernel of nets as PyTorch begins them, against nets, and what it says of their speed."""

import math

import numpy as np
import pytest
import torch

from cleanprio_lib import models, theory

GENERATOR = np.random.default_rng(5)
DIMENSIONS = 30
# Four inputs with something in common, and one that is opposite to the first.
POINTS = GENERATOR.normal(size=(4, DIMENSIONS)) + GENERATOR.normal(size=DIMENSIONS)
POINTS = np.vstack([POINTS, -POINTS[:1]])


def net_kernel(net, x):
    """Inner products of the derivatives of a net with one output, by autograd, one input at a time."""
    rows = []
    for one in torch.as_tensor(x, dtype=torch.float64):
        found = torch.autograd.grad(net(one[None]).sum(), list(net.parameters()))
        rows.append(torch.cat([gradient.flatten() for gradient in found]))
    stacked = torch.stack(rows)
    return (stacked @ stacked.T).numpy()


def drawn(width, depth, seeds):
    nets = (
        models.fully_connected(DIMENSIONS, width, depth=depth, seed=seed).double() for seed in range(seeds)
    )
    return np.stack([net_kernel(net, POINTS) for net in nets])


def lengths(kernel):
    return np.sqrt(np.outer(kernel.diagonal(), kernel.diagonal()))


@pytest.mark.parametrize(("width", "depth"), [(2, 2), (3, 3), (12, 3), (6, 4)])
def test_the_diagonal_is_the_mean_over_nets_however_narrow(width, depth):
    found = drawn(width, depth, 500)[:, range(5), range(5)]
    wanted = theory.standard_kernel(POINTS, POINTS, width=width, depth=depth).diagonal()
    error = found.std(axis=0) / math.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - wanted) < 4 * error).all()
    assert (4 * error < 0.2 * wanted).all()


@pytest.mark.parametrize(("width", "depth", "seeds"), [(4, 2, 500), (128, 3, 80), (128, 4, 80)])
def test_the_other_entries_are_the_mean_up_to_a_few_parts_in_the_width(width, depth, seeds):
    found = drawn(width, depth, seeds)
    wanted = theory.standard_kernel(POINTS, POINTS, width=width, depth=depth)
    # One hidden layer is a mean of independent units; those above see a Gram matrix that is off by 1/√m. And
    # a sum of 30 uniform weights is not quite Gaussian: excess kurtosis −1.2/30, of which 1/24 counts.
    bias = (0.002 + (depth > 2) * 4 / width) * lengths(wanted)
    error = found.std(axis=0) / math.sqrt(seeds)
    assert (np.abs(found.mean(axis=0) - wanted) < 4 * error + bias).all()
    assert (4 * error + bias < 0.15 * lengths(wanted)).all()


@pytest.mark.parametrize("width", [1, 32, 2048])
def test_the_length_at_three_layers_is_the_sum_that_the_docstring_has(width):
    square = (POINTS**2).sum(axis=1) + 1
    q = square / (3 * DIMENSIONS)
    by_hand = square / 36 + (width * q / 2 + 1) / 6 + width * q / 12 + 7 / 6
    found = theory.standard_kernel(POINTS, POINTS, width=width, depth=3).diagonal()
    np.testing.assert_allclose(found, by_hand, rtol=1e-7)


def test_the_first_layers_part_alone_does_not_grow_with_the_width():
    narrow, middle, wide = (
        theory.standard_kernel(POINTS, POINTS, width=width, depth=3)
        for width in (1_000_000, 2_000_000, 4_000_000)
    )
    np.testing.assert_allclose((wide - middle) / (middle - narrow), 2, rtol=1e-5)


def test_two_sets_of_inputs_give_a_block_of_the_whole():
    whole = theory.standard_kernel(POINTS, POINTS, width=7, depth=3)
    np.testing.assert_allclose(
        theory.standard_kernel(POINTS[:2], POINTS[1:], width=7, depth=3), whole[:2, 1:], rtol=1e-7
    )


def test_class_speed_is_how_fast_a_small_step_parts_two_classes():
    labels = np.array([0, 1, 1, 0, 1])
    x, signs = torch.from_numpy(POINTS).double(), torch.from_numpy(2 * labels - 1).double()
    net = models.Centred(lambda: models.fully_connected(DIMENSIONS, 20, depth=3, seed=3)).double()
    # Its output is exactly zero, so that f = 1/2; the kernel is that of one net.
    kernel = net_kernel(models.fully_connected(DIMENSIONS, 20, depth=3, seed=3).double(), x)
    step = 1e-5
    loss = torch.nn.functional.softplus(-signs * net(x)[:, 0]).mean()
    for parameter, gradient in zip(
        net.parameters(), torch.autograd.grad(loss, list(net.parameters())), strict=True
    ):
        parameter.data -= step * gradient
    gained = float((signs * net(x)[:, 0]).mean().detach())
    # Of five samples, each also moves itself.
    wanted = (4 * theory.class_speed(kernel, labels) + kernel.trace() / 5) / 5
    assert gained / step == pytest.approx(wanted / 2, rel=1e-3)


def test_class_speed_is_the_mean_of_signed_entries_off_the_diagonal():
    kernel = GENERATOR.normal(size=(3, 3))
    signs = [1, -1, 1]
    by_hand = sum(signs[i] * signs[j] * kernel[i, j] for i in range(3) for j in range(3) if i != j) / 6
    assert theory.class_speed(kernel, [1, 0, 1]) == pytest.approx(by_hand)


def test_sums_cosine_is_that_of_sums_of_alike_samples():
    """Derivatives with one part in common and one, at a right angle to all others, of each sample."""
    clean, noisy, shared, own = 5, 3, 2.0, 0.7
    count = clean + noisy
    derivatives = np.hstack([np.full((count, 1), np.sqrt(shared)), np.sqrt(own) * np.eye(count)])
    g_clean, g_noise = -derivatives[:clean].sum(axis=0), derivatives[clean:].sum(axis=0)
    by_hand = g_clean @ g_noise / np.linalg.norm(g_clean) / np.linalg.norm(g_noise)
    assert theory.sums_cosine(derivatives @ derivatives.T, clean, noisy) == pytest.approx(by_hand, rel=1e-12)
    some = derivatives[:4] @ derivatives[:4].T
    assert theory.sums_cosine(some, clean, noisy) == pytest.approx(by_hand, rel=1e-12)


def test_sums_cosine_of_a_net_at_one_half_is_near_what_its_own_derivatives_give():
    """Inputs of one class that differ by chance: two sums of 40 and 20, over many ways to choose them."""
    x = GENERATOR.normal(size=(60, DIMENSIONS)) + 2 * GENERATOR.normal(size=DIMENSIONS)
    kernel = net_kernel(models.fully_connected(DIMENSIONS, 16, depth=3, seed=1).double(), x)
    cosines = []
    for seed in range(200):
        chosen = np.random.default_rng(seed).permutation(60) < 40
        weights = np.stack([-1.0 * chosen, 1.0 * ~chosen])
        gram = weights @ kernel @ weights.T
        cosines.append(gram[0, 1] / np.sqrt(gram[0, 0] * gram[1, 1]))
    predicted = theory.sums_cosine(kernel, 40, 20)
    # Sixty samples of a finite set, divided: not two independent draws, so that the cosine is a little lower.
    assert 1 + predicted == pytest.approx(1 + np.mean(cosines), rel=0.25)
    assert np.std(cosines) / math.sqrt(200) < 0.05 * (1 + predicted)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.standard_kernel(np.ones(3), np.ones((1, 3)), width=2), "x must be"),
        (lambda: theory.standard_kernel(np.ones((1, 2)), np.ones((1, 3)), width=2), "rows of one length"),
        (
            lambda: theory.standard_kernel(np.ones((1, 3)), np.ones((1, 3)), width=0),
            "width must be at least 1",
        ),
        (lambda: theory.standard_kernel(np.ones((1, 3)), np.ones((1, 3)), width=2, depth=1), "depth must be"),
        (lambda: theory.class_speed(np.eye(3), [0, 1]), "kernel must be"),
        (lambda: theory.sums_cosine(np.ones((1, 1)), 1, 1), "kernel must be"),
        (lambda: theory.sums_cosine(np.eye(2) + 1, 0, 1), "clean must be at least 1"),
        (lambda: theory.sums_cosine(np.eye(2) + 1, 1, 0), "noisy must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
