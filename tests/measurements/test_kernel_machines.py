"""Measurements on kernel machines and wide nets: against plain loops, direct sums, automatic derivatives."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cleanprio_lib import data, kernels, models, noise, theory
from cleanprio_lib.measurements import kernel_descent, kernel_eigenspaces, kernel_errors, kernel_wide_net
from cleanprio_lib.measurements.kernel_tasks import two_digits

DESCENT = kernel_descent.DescentSettings(
    "gaussian", epochs=5, batch_size=16, records=3, train_samples=60, test_samples=30
)
FLOW = kernel_errors.FlowSettings(
    kernels=("laplacian", "tangent"), levels=(0.2, 0.4), times=3, draws=30, train_samples=40, test_samples=20
)
WIDE = kernel_wide_net.WideNetSettings(
    widths=(16, 256), train_samples=30, test_samples=20, steps=20, records=4, draws=20
)


def test_two_digits_are_the_first_images_of_them(stand_in):
    task = two_digits(stand_in, (7, 9), 0.3, seed=3, train_samples=50, test_samples=20)
    pair = data.binary(stand_in, (7, 9))
    np.testing.assert_array_equal((task.x * 255).round().numpy(), pair.x_train[:50].reshape(50, -1))
    np.testing.assert_array_equal((task.x_test * 255).round().numpy(), pair.x_test[:20].reshape(20, -1))
    wanted = noise.uniform(pair.y_train[:50], 0.3, num_classes=2, seed=3)
    np.testing.assert_array_equal(task.given.numpy(), wanted.given)
    np.testing.assert_array_equal(task.true.numpy(), pair.y_train[:50])
    assert len(two_digits(stand_in, (7, 9), 0.3, seed=3).x) == len(pair.x_train)


def test_both_losses_are_trained_on_the_median_scale(stand_in):
    found = kernel_descent.kernel_descent(DESCENT, seed=1, split=stand_in)
    assert found.loss.value_counts().to_dict() == dict.fromkeys(kernels.LOSSES, 4)
    task = two_digits(stand_in, (7, 9), 0.4, seed=1, train_samples=60, test_samples=30)
    scale = kernels.median_distance(task.x)
    assert set(found.scale) == {scale}
    task = kernels.shuffled(task, seed=1)
    make = {"kernel": "gaussian", "scale": scale}
    matrix = kernels.KernelMatrix(task.x, task.x, **make)
    test = kernels.KernelMatrix(task.x_test, task.x, **make)
    top = float(torch.linalg.eigvalsh(matrix.values.double())[-1])
    assert found.top_eigenvalue.iloc[0] == pytest.approx(top, rel=1e-3)
    for loss, own in found.groupby("loss"):
        training = kernels.KernelTraining(5, loss, 16, 0.2, 3)
        wanted = kernels.train(
            matrix, test, task, training, top=found.top_eigenvalue.iloc[0], seed=1, progress=False
        )
        assert own.test_loss.tolist() == pytest.approx(wanted.test_loss.tolist(), abs=1e-6)


def test_mean_errors_are_the_theorys_and_drawn_ones_those_of_draws(stand_in):
    found = kernel_errors.kernel_errors(FLOW, seed=0, split=stand_in)
    assert len(found) == 2 * 2 * 3
    task = two_digits(stand_in, (7, 9), 0.2, seed=0, train_samples=40, test_samples=20)
    true, true_test = task.true.numpy(), task.y_test.numpy()
    for kernel, own in found.groupby("kernel"):
        flow, projected = kernel_errors.solved(task, kernel)
        np.testing.assert_allclose(own.top, flow.values[-1])
        np.testing.assert_allclose(own.time[own.level == 0.2], np.geomspace(0.1, 1e5, 3) / flow.values[-1])
        for level, rows in own.groupby("level"):
            wanted = theory.flow_errors(flow, true, projected, true_test, level, rows.time)
            np.testing.assert_allclose(rows.noisy_error, wanted.noisy_error)
            seeds = np.random.default_rng([0, 1]).integers(2**31, size=30)
            errors = []
            for seed in seeds:
                given = noise.uniform(true, level, num_classes=2, seed=int(seed)).given
                mistaken = (flow.outputs(2 * given - 1, rows.time.iloc[0]) > 0) != given
                errors.append(mistaken[given != true].mean())
            row = rows.iloc[0]
            assert np.std(errors) > 0.01
            assert row.drawn_noisy_error == pytest.approx(np.mean(errors))
            low, high = np.quantile(errors, [0.025, 0.975])
            assert (row.low_noisy_error, row.high_noisy_error) == pytest.approx((low, high))


def test_lines_and_draws_are_of_the_same_samples(stand_in):
    some = replace(FLOW, kernels=("laplacian",), levels=(0.4,), rows=25)
    found = kernel_errors.kernel_errors(some, seed=0, split=stand_in).iloc[1]
    task = two_digits(stand_in, (7, 9), 0.4, seed=0, train_samples=40, test_samples=20)
    true = task.true.numpy()
    flow, projected = kernel_errors.solved(task, "laplacian")
    wanted = theory.flow_errors(
        flow, true, projected, task.y_test.numpy(), 0.4, [found.time], rows=np.arange(25)
    )
    assert found.clean_error == pytest.approx(wanted.clean_error[0])
    errors = []
    for seed in np.random.default_rng([0, 1]).integers(2**31, size=30):
        given = noise.uniform(true, 0.4, num_classes=2, seed=int(seed)).given
        mistaken = (flow.outputs(2 * given - 1, found.time) > 0) != given
        errors.append(mistaken[:25][given[:25] == true[:25]].mean())
    assert found.drawn_clean_error == pytest.approx(np.mean(errors))


def test_kernels_that_are_solved(stand_in):
    task = two_digits(stand_in, (7, 9), 0.2, seed=0, train_samples=25, test_samples=10)
    x, x_test = task.x.double().numpy(), task.x_test.double().numpy()
    distance = np.linalg.norm(x[:, None] - x[None], axis=2)
    scale = np.median(distance[np.triu_indices(25, 1)])
    direct = {
        "laplacian": np.exp(-distance / scale),
        "gaussian": np.exp(-((distance / scale) ** 2)),
        "tangent": theory.tangent_kernel(x, x, depth=3),
    }
    for kernel, wanted in direct.items():
        flow, projected = kernel_errors.solved(task, kernel)
        np.testing.assert_allclose((flow.vectors * flow.values) @ flow.vectors.T, wanted, atol=1e-6)
    cross = theory.tangent_kernel(x_test, x, depth=3)
    np.testing.assert_allclose(projected @ flow.vectors.T, cross, atol=1e-9)


@pytest.mark.parametrize("depth", [2, 3])
def test_the_nets_kernel_is_that_of_its_derivatives(depth):
    net = models.fully_connected(5, 7, depth=depth, parametrization="ntk", seed=0)
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    rows = []
    for one in x:
        parts = torch.autograd.grad(net(one[None])[0, 0], list(net.parameters()))
        rows.append(torch.cat([part.flatten() for part in parts]))
    wanted = (torch.stack(rows) @ torch.stack(rows).T).numpy()
    np.testing.assert_allclose(kernel_wide_net.net_kernel(net, x), wanted, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def wide(stand_in):
    return kernel_wide_net.wide_nets(WIDE, seed=2, split=stand_in)


def _task(stand_in):
    return two_digits(stand_in, (7, 9), 0.3, seed=2, train_samples=30, test_samples=20)


def test_nets_are_trained_by_plain_gradient_descent_from_a_centred_output(wide, stand_in):
    task = _task(stand_in)
    step = 0.8 / np.linalg.eigvalsh(theory.tangent_kernel(task.x.numpy(), task.x.numpy(), depth=3))[-1]
    assert wide.epoch[wide.width == 16].tolist() == WIDE.recorded
    np.testing.assert_allclose(wide.time, wide.epoch * step, rtol=1e-5)
    for width, own in wide.groupby("width"):
        net = models.fully_connected(784, width, depth=3, parametrization="ntk", seed=2)
        start, start_test = net(task.x).detach(), net(task.x_test).detach()
        for number in range(1, 21):
            off = (net(task.x) - start)[:, 0] - (2.0 * task.given - 1)
            parts = torch.autograd.grad(off.square().sum() / 2, list(net.parameters()))
            with torch.no_grad():
                for weights, part in zip(net.parameters(), parts, strict=True):
                    weights -= step * part
            if number in WIDE.recorded:
                row = own[own.epoch == number].iloc[0]
                wrong = ((net(task.x) - start)[:, 0] > 0) != task.given.bool()
                test = ((net(task.x_test) - start_test)[:, 0] > 0) != task.y_test.bool()
                # A sample whose output is zero up to rounding may be counted either way.
                assert row.noisy_error == pytest.approx(float(wrong[task.is_noisy].float().mean()), abs=0.12)
                assert row.clean_error == pytest.approx(float(wrong[~task.is_noisy].float().mean()), abs=0.06)
                assert row.test_error == pytest.approx(float(test.float().mean()), abs=0.06)


@pytest.mark.parametrize("kind", ["predicted", "own"])
def test_predictions_are_linear_descent_with_that_kernel(wide, stand_in, kind):
    task = _task(stand_in)
    everything = torch.cat([task.x, task.x_test])
    limit = theory.tangent_kernel(everything.numpy(), task.x.numpy(), depth=3)
    step = 0.8 / np.linalg.eigvalsh(limit[:30])[-1]
    for width, own in wide.groupby("width"):
        kernel = limit
        if kind == "own":
            net = models.fully_connected(784, width, depth=3, parametrization="ntk", seed=2)
            kernel = kernel_wide_net.net_kernel(net, everything)[:, :30]
        labels, coefficients = 2 * task.given.numpy() - 1, np.zeros(30)
        for number in range(1, 21):
            coefficients += step * (labels - kernel[:30] @ coefficients)
            if number in WIDE.recorded:
                row = own[own.epoch == number].iloc[0]
                outputs = kernel @ coefficients
                wrong = outputs[:30] * labels <= 0
                test = (outputs[30:] > 0) != task.y_test.numpy()
                noisy = task.is_noisy.numpy()
                assert row[f"{kind}_noisy_error"] == pytest.approx(wrong[noisy].mean())
                assert row[f"{kind}_clean_error"] == pytest.approx(wrong[~noisy].mean())
                assert row[f"{kind}_test_error"] == pytest.approx(test.mean())


def test_a_wider_net_is_nearer_to_its_limit(wide, stand_in):
    start = wide[wide.epoch == 1].set_index("width").kernel_distance
    assert start[256] < start[16]
    for name in kernel_errors.ERRORS:
        assert (wide[f"low_{name}"] <= wide[f"high_{name}"]).all()
        # What does not depend on the width is the same for both.
        by_width = wide.pivot(index="epoch", columns="width", values=f"mean_{name}")
        assert by_width[16].equals(by_width[256])
    again = kernel_wide_net.wide_nets(replace(WIDE, widths=(256,)), seed=2, split=stand_in)
    pd.testing.assert_frame_equal(again, wide[wide.width == 256].reset_index(drop=True), rtol=1e-5)


def test_eigenspaces_against_sums_over_eigenvectors(stand_in):
    task = two_digits(stand_in, (7, 9), 0.25, seed=0, train_samples=24, test_samples=10)
    flow, _ = kernel_errors.solved(task, "gaussian")
    true, given = task.true.numpy(), task.given.numpy()
    level = float((true != given).mean())
    found = kernel_eigenspaces.eigenspaces(flow, true, given, level, spaces=6)
    assert found["first"].iloc[0] == 1
    assert found["last"].iloc[-1] == 24
    assert (found["first"].iloc[1:].to_numpy() == found["last"].iloc[:-1].to_numpy() + 1).all()
    signs, wrong = 2.0 * true - 1, true != given
    for row in found.itertuples():
        inner = clean = noisy = labels = noise_part = floor = 0.0
        for rank in range(row.first, row.last + 1):
            value, u = flow.values[24 - rank], flow.vectors[:, 24 - rank]
            for own in (true == 0, true == 1):
                size = own.sum()
                floor += value * u[own].var() * size * size / (size - 1)  # signs are the same within a class
            in_clean, in_noisy = -(u * signs)[~wrong].sum(), (u * signs)[wrong].sum()
            inner += value * in_clean * in_noisy
            clean, noisy = clean + value * in_clean**2, noisy + value * in_noisy**2
            labels += value * (u @ signs) ** 2
            noise_part += value * (u @ (signs * (wrong - level))) ** 2
        assert row.cosine == pytest.approx(inner / np.sqrt(clean * noisy))
        assert row.strength == pytest.approx(labels / floor)
        assert row.noise == pytest.approx(noise_part / (level * (1 - level) * floor))
        values = [flow.values[24 - rank] for rank in range(row.first, row.last + 1)]
        assert row.time == pytest.approx(1 / np.mean(values))


def test_several_draws_of_the_noise_are_averaged_before_lengths_are_taken(stand_in):
    task = two_digits(stand_in, (7, 9), 0.25, seed=0, train_samples=24, test_samples=10)
    flow, _ = kernel_errors.solved(task, "gaussian")
    true = task.true.numpy()
    given = np.stack([noise.uniform(true, 0.25, num_classes=2, seed=seed).given for seed in range(3)], axis=1)
    both = kernel_eigenspaces.eigenspaces(flow, true, given, 0.25, spaces=4)
    single = [kernel_eigenspaces.eigenspaces(flow, true, given[:, k], 0.25, spaces=4) for k in range(3)]
    np.testing.assert_allclose(both.noise, np.mean([one.noise for one in single], axis=0))
    np.testing.assert_allclose(both.strength, single[0].strength)
    values, part = flow.values[-1:], flow.vectors[:, -1:].T
    signs = (2 * true - 1)[:, None]
    clean, noisy = part @ -(signs * (given == true[:, None])), part @ (signs * (given != true[:, None]))
    inner, lengths = values * (clean * noisy).mean(), values * np.sqrt((clean**2).mean() * (noisy**2).mean())
    assert both["last"].iloc[0] == 1
    assert both.cosine.iloc[0] == pytest.approx((inner / lengths).item())
