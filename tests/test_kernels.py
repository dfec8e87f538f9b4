"""Kernel machines: values against scikit-learn, training against the solved descent and plain loops."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import Matern
from sklearn.metrics.pairwise import rbf_kernel

from cleanprio_lib import kernels, metrics, theory
from cleanprio_lib.kernels import KernelMatrix, KernelTraining
from cleanprio_lib.metrics import Task

UNIT = 2.0**-24  # relative rounding error of float32


def _task(count=90, tests=25, seed=0):
    """Two overlapping clusters in six dimensions, a quarter of the labels wrong."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count + tests) % 2
    x = torch.randn(count + tests, 6, generator=generator) + 1.0
    x[:, 0] += 2.0 * labels - 1
    wrong = torch.rand(count, generator=generator) < 0.25
    true = labels[:count]
    return Task(x[:count], torch.where(wrong, 1 - true, true), true, x[count:], labels[count:], 2)


TASK = _task()
SCALE = 3.0


def _matrices(kernel="gaussian", task=TASK, held=kernels.HELD):
    make = {"kernel": kernel, "scale": SCALE, "held": held}
    return KernelMatrix(task.x, task.x, **make), KernelMatrix(task.x_test, task.x, **make)


def _sklearn(kernel, x, z):
    if (
        kernel == "laplacian"
    ):  # what scikit-learn calls laplacian_kernel is of the sum of absolute differences
        return Matern(length_scale=SCALE, nu=0.5)(x, z)
    return rbf_kernel(x, z, gamma=1 / SCALE**2)


@pytest.mark.parametrize("kernel", kernels.KERNELS)
def test_values_are_scikit_learns(kernel):
    x, z = TASK.x.double(), TASK.x_test.double()
    wanted = _sklearn(kernel, x.numpy(), z.numpy())
    got = kernels.kernel_values(x, z, kernel=kernel, scale=SCALE)
    np.testing.assert_allclose(got.numpy(), wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kernel", kernels.KERNELS)
def test_float32_values_are_as_far_off_as_is_said(kernel):
    own, cross = _matrices(kernel)
    x, z = (TASK.x.double() - TASK.x.mean(dim=0)).numpy(), (TASK.x_test.double() - TASK.x.mean(dim=0)).numpy()
    for matrix, rows in ((own, x), (cross, z)):
        wanted = _sklearn(kernel, rows, x)
        squared = (rows**2).sum(axis=1)[:, None] + (x**2).sum(axis=1)
        # Inputs, their inner products of six terms, sums: some ten roundings of numbers up to twice that.
        uncertain = 20 * UNIT * squared
        slope = 1 / SCALE**2
        if kernel == "laplacian":
            distance = np.sqrt(np.maximum(((rows[:, None] - x[None]) ** 2).sum(axis=2), 1e-300))
            slope = 1 / (2 * SCALE * distance)
        off = np.abs(matrix.values.numpy() - wanted)
        different = ~np.eye(len(rows), len(x), dtype=bool) if matrix is own else np.ones_like(off, dtype=bool)
        assert (off <= slope * uncertain + 4 * UNIT)[different].all()
    assert (own.values.diagonal() == 1).all()
    error = kernels.entry_error(TASK.x, kernel=kernel, scale=SCALE)
    assert 0 < error < 1e-5
    assert kernels.entry_error(TASK.x, kernel=kernel, scale=SCALE, samples=2) <= error


def test_both_kernels_are_1_over_e_at_their_scale():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    for kernel in kernels.KERNELS:
        value = kernels.kernel_values(x[:1], x[1:], kernel=kernel, scale=5.0)
        assert value.item() == pytest.approx(1 / math.e, rel=1e-12)


def test_median_distance_is_over_pairs_of_the_first_samples():
    x = torch.tensor([[0.0], [1.0], [3.0], [7.0], [100.0]])
    assert kernels.median_distance(x, samples=4) == 3.5  # of 1, 2, 3, 4, 6, 7
    assert kernels.median_distance(x) == 6.5  # of these and 93, 97, 99, 100
    distances = [
        float(torch.linalg.norm(TASK.x[i].double() - TASK.x[j].double())) for i in range(90) for j in range(i)
    ]
    assert kernels.median_distance(TASK.x) == pytest.approx(np.median(distances), rel=1e-12)


@pytest.mark.parametrize("kernel", kernels.KERNELS)
def test_streamed_is_held(kernel, monkeypatch):
    monkeypatch.setattr(kernels, "ROWS", 32)
    coefficients = torch.linspace(-1, 1, 90)
    for held, streamed in zip(_matrices(kernel), _matrices(kernel, held=0), strict=True):
        assert held.values is not None
        assert streamed.values is None
        for rows in held.blocks(32):
            torch.testing.assert_close(streamed.rows(rows), held.rows(rows), rtol=0, atol=1e-6)
        torch.testing.assert_close(
            streamed.times(coefficients), held.times(coefficients), rtol=0, atol=90 * 1e-6
        )
    settings = KernelTraining(6, batch_size=20)
    frames = [
        kernels.train(*_matrices(kernel, held=held), TASK, settings, top=30.0, seed=0, progress=False)
        for held in (kernels.HELD, 0)
    ]
    np.testing.assert_allclose(frames[0].train_residual, frames[1].train_residual, atol=1e-4)


def test_what_is_held_fits_the_budget():
    assert _matrices(held=4 * 90 * 90)[0].values is not None
    assert _matrices(held=4 * 90 * 90 - 1)[0].values is None


@pytest.mark.parametrize("held", [kernels.HELD, 0])
def test_top_eigenvalue_is_that_of_the_matrix(held):
    matrix, _ = _matrices(held=held)
    values = torch.linalg.eigvalsh(_matrices()[0].values.double())
    assert matrix.top_eigenvalue() == pytest.approx(float(values[-1]), rel=1e-3)


def _solved(step=None):
    x, x_test = (part.double() - TASK.x.double().mean(dim=0) for part in (TASK.x, TASK.x_test))
    kernel = kernels.kernel_values(x, x, kernel="gaussian", scale=SCALE).fill_diagonal_(1).numpy()
    flow = theory.kernel_flow(kernel, step=step)
    cross = kernels.kernel_values(x_test, x, kernel="gaussian", scale=SCALE).numpy()
    return flow, flow.project(cross)


@pytest.mark.parametrize(("step", "exact"), [(0.9, True), (0.02, False)])
def test_gradient_descent_is_the_solved_one(step, exact):
    matrix, test = _matrices()
    top = matrix.top_eigenvalue()
    settings = KernelTraining(400, step=step, records=6)
    frame = kernels.train(matrix, test, TASK, settings, top=top, seed=0, progress=False)
    assert frame.epoch.tolist() == settings.recorded
    flow, projected = _solved(step / top if exact else None)
    given, truth = 2 * TASK.given.numpy() - 1, 2 * TASK.y_test.numpy() - 1
    for row in frame.itertuples():
        off = np.abs(flow.outputs(given, row.time) - given)
        # Float32 outputs of 90 terms; and a step's e^-x against 1 - x, x²/2 of it at most, 0.01 · 1/e.
        bound = 1e-4 if exact else 5e-3
        assert row.train_residual == pytest.approx(off.mean(), abs=bound)
        assert row.noisy_residual == pytest.approx(off[TASK.is_noisy.numpy()].mean(), abs=bound)
        assert row.train_loss == pytest.approx((off**2).mean() / 2, abs=2 * bound)
        test_off = np.abs(flow.predictions(projected, given, row.time) - truth)
        assert row.test_residual == pytest.approx(test_off.mean(), abs=bound)


@pytest.mark.parametrize("loss", kernels.LOSSES)
@pytest.mark.parametrize("batch_size", [None, 40])
def test_training_is_descent_in_the_kernels_space(loss, batch_size):
    matrix, test = _matrices("laplacian")
    settings = KernelTraining(3, loss, batch_size, step=0.5, records=3)
    frame = kernels.train(matrix, test, TASK, settings, top=30.0, seed=7, progress=False)
    features = torch.linalg.cholesky(matrix.values.double() + 1e-12 * torch.eye(90))
    weights = torch.zeros(90, dtype=torch.float64, requires_grad=True)
    curvature = 30.0 if batch_size is None else 1 + 39 * 30.0 / 90
    rate = 0.5 / curvature * (4 if loss == "logistic" else 1)
    parts = [np.arange(90)] if batch_size is None else [np.arange(s, min(s + 40, 90)) for s in (0, 40, 80)]
    for epoch in (1, 2, 3):
        for number in np.random.default_rng([7, epoch]).permutation(len(parts)):
            outputs, given = features[parts[number]] @ weights, TASK.given[parts[number]]
            if loss == "squared":
                losses = (outputs - (2 * given - 1)) ** 2 / 2
            else:
                losses = torch.nn.functional.binary_cross_entropy_with_logits(
                    outputs, given.double(), reduction="none"
                )
            (gradient,) = torch.autograd.grad(losses.sum(), weights)
            weights = (weights - rate * gradient).detach().requires_grad_()
    found = kernels.outputs_metrics(
        (features @ weights).detach(),
        test.values.double() @ torch.linalg.solve(features.T, weights).detach(),
        TASK,
        loss=loss,
    )
    assert frame.time.iloc[-1] == pytest.approx(3 * rate)
    for name, value in found.items():
        assert frame[name].iloc[-1] == pytest.approx(value, abs=1e-5)


class Lookup(torch.nn.Module):
    """The outputs that belong to inputs, which are places in a list."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return self.outputs[x[:, 0].long(), None]


def test_logistic_metrics_are_those_of_nets():
    outputs = torch.randn(115, generator=torch.Generator().manual_seed(1))
    places = torch.arange(115.0)[:, None]
    task = replace(TASK, x=places[:90], x_test=places[90:])
    wanted = metrics.subset_metrics(Lookup(outputs), task)
    assert kernels.outputs_metrics(outputs[:90], outputs[90:], task, loss="logistic") == pytest.approx(wanted)


def test_squared_metrics_by_hand():
    task = Task(
        torch.zeros(3, 1), torch.tensor([1, 1, 0]), torch.tensor([1, 0, 0]), torch.zeros(1, 1),
        torch.tensor([0]), 2,
    )  # fmt: skip
    found = kernels.outputs_metrics(
        torch.tensor([0.5, -0.25, -2.0]), torch.tensor([0.0]), task, loss="squared"
    )
    wanted = {
        "clean_error": 0, "clean_residual": 0.75, "clean_loss": (0.125 + 0.5) / 2, "noisy_error": 1,
        "noisy_residual": 1.25, "noisy_true_error": 0, "noisy_true_residual": 0.75, "train_error": 1 / 3,
        "test_error": 0, "test_residual": 1, "test_loss": 0.5,
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)


def test_the_seed_decides_the_order_of_samples_and_batches():
    first, again, other = (kernels.shuffled(TASK, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.x, other.x)
    assert torch.equal(first.x.sort(dim=0).values, TASK.x.sort(dim=0).values)
    matrix, test = _matrices()
    runs = [
        kernels.train(
            matrix, test, TASK, KernelTraining(4, batch_size=16), top=30.0, seed=seed, progress=False
        )
        for seed in (0, 0, 1)
    ]
    assert runs[0].equals(runs[1])
    assert not runs[0].train_loss.equals(runs[2].train_loss)


def test_records_are_even_in_the_logarithm_and_hold_the_last_epoch():
    assert KernelTraining(100, records=3).recorded == [0, 1, 10, 100]
    assert KernelTraining(7, records=1).recorded == [0, 7]
    assert KernelTraining(2, records=40).recorded == [0, 1, 2]


def test_a_step_that_is_too_long_is_said_to_diverge():
    with pytest.raises(FloatingPointError, match=r"diverged by epoch \d+; step was 1.9"):
        kernels.train(*_matrices(), TASK, KernelTraining(2_000, step=1.9), top=5.0, seed=0, progress=False)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: KernelTraining(0), "epochs must be at least 1, got 0"),
        (lambda: KernelTraining(1, "hinge"), "loss must be one of"),
        (lambda: KernelTraining(1, step=2.0), "step must lie in"),
        (lambda: KernelTraining(1, batch_size=0), "batch_size must be at least 1, got 0"),
        (lambda: kernels.kernel_values(TASK.x, TASK.x, kernel="cosine", scale=1.0), "kernel must be one of"),
        (lambda: kernels.kernel_values(TASK.x, TASK.x, kernel="gaussian", scale=0.0), "scale must be pos"),
        (
            lambda: kernels.train(
                *_matrices(), replace(TASK, num_classes=3), KernelTraining(1), top=1.0, seed=0
            ),
            "task must have 2 classes, got 3",
        ),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
