"""Directions of sample gradients against gradients written out, closed forms and a step of descent."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from cleanprio_lib import data, experiments, models, noise
from cleanprio_lib.measurements import sample_gradients as measured

CLUSTERS = measured.AngleSettings(None, None, per_class=7, width=8)
DIGITS = measured.AngleSettings((7, 9), "mnist", per_class=7, width=8, depth=3)
NETS = measured.ProjectionSettings(
    pairs=((7, 9),), nets=((2, 0.3), (3, 0.4)), logits=(0.0, 0.5), per_class=10, width=8
)
HALF_A_DECIMAL = 0.5 * 10.0**-measured.DECIMALS
# What an arc cosine makes, at 0 and at π, of four units in the last place of a cosine.
AT_THE_ENDS = math.sqrt(8 * np.finfo(float).eps)
MEASUREMENTS = ((measured.angles, CLUSTERS), (measured.angles, DIGITS), (measured.projections, NETS))


def _samples(settings, split, seed):
    """Inputs and labels: the clusters made anew, the digits as the measurement draws them."""
    if settings.classes is None:
        x, y = data.two_clusters(settings.per_class, seed=seed)
        return x, noise.uniform(y, settings.level, num_classes=2, seed=seed)
    return measured._samples(settings.classes, settings.per_class, settings.level, seed, split)


def _gradients(net, x, y):
    """(n, p) gradients of the logistic loss, an ordinary backward pass for each sample."""
    rows = []
    for sample, label in zip(torch.from_numpy(x), torch.from_numpy(y), strict=True):
        loss = F.binary_cross_entropy_with_logits(net(sample[None])[0, 0], label.double())
        rows.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, net.parameters())]))
    return torch.stack(rows).numpy()


def _angle(u, v):
    """With all its digits at 0 and π: between the diagonals of the rhombus of two unit vectors."""
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    return 2 * math.atan2(np.linalg.norm(u - v), np.linalg.norm(u + v))


def _subset(labels, c, name):
    own = labels.true == c
    return {
        "clean": own & (labels.given == labels.true),
        "noisy": own & (labels.given != labels.true),
        "other": ~own & (labels.given == labels.true),
    }[name]


@pytest.mark.parametrize(("measure", "settings"), MEASUREMENTS)
def test_the_seed_decides_and_the_frame_is_tidy(measure, settings, stand_in):
    first, again, other = (measure(settings, seed=seed, split=stand_in) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first.equals(other)
    assert "seed" not in first
    assert set(first.dtypes.map(lambda dtype: dtype.kind)) <= {"i", "f", "O", "U"}


def test_subsets_are_by_the_true_class():
    labels = noise.NoisyLabels(given=np.array([0, 0, 1, 1, 0, 1]), true=np.array([0, 0, 0, 1, 1, 1]))
    expected = [
        [1, 1, 0, 0, 0, 0],  # clean, noisy and other of class 0
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 1],
        [0, 0, 0, 1, 0, 1],  # and of class 1
        [0, 0, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 0],
    ]
    assert measured.subset_masks(labels).int().tolist() == expected


@pytest.mark.parametrize("settings", [CLUSTERS, DIGITS])
@pytest.mark.parametrize("start", measured.STARTS)
def test_angles_are_those_of_gradients_written_out(settings, start, stand_in):
    frame = measured.angles(replace(settings, starts=(start,)), seed=3, split=stand_in)
    frame = frame.set_index(["source", "class", "subset"]).loc[start]
    x, labels = _samples(settings, stand_in, 3)
    net = measured.initial_net(x.shape[1], start=start, depth=settings.depth, width=8, seed=3)
    each, with_truth = _gradients(net, x, labels.given), _gradients(net, x, labels.true)
    assert list(frame.index) == list(itertools.product((0, 1), measured.SUBSETS))
    for (c, name), row in frame.iterrows():
        clean, own = (_subset(labels, c, which) for which in ("clean", name))
        total = each[clean].sum(axis=0)
        theta = np.array([_angle(gradient, total) for gradient in each[own]])
        found = row[["mean", "sd", "q05", "q95"]].astype(float)
        expected = [theta.mean(), theta.std(), *np.quantile(theta, [0.05, 0.95])]
        np.testing.assert_allclose(found, expected, atol=2 * HALF_A_DECIMAL)
        room = AT_THE_ENDS if name == "clean" else 2 * HALF_A_DECIMAL
        assert row.subset_angle == pytest.approx(_angle(each[own].sum(axis=0), total), abs=room)
        counted = pd.Series(np.degrees(theta) // 3 * 3).value_counts()
        bins = row.filter(like="bin_")
        assert {name[4:]: n for name, n in bins[bins > 0].items()} == {
            f"{low:.0f}": n for low, n in counted.items()
        }
        assert row["count"] == own.sum() == bins.sum()
        if name == "noisy":
            mirrored = [_angle(gradient, total) for gradient in with_truth[own]]
            assert np.abs(theta + mirrored - np.pi).max() < 1e-12
            assert row.mirror < AT_THE_ENDS
        else:
            assert np.isnan(row.mirror)


def test_a_row_summarises_its_own_samples():
    """By hand, on numbers that no net gives: the mirror's deviation too, which is always rounding there."""
    labels = noise.NoisyLabels(given=np.array([0, 1, 1, 1, 0]), true=np.array([0, 0, 0, 1, 1]))
    theta = torch.tensor([[0.0, 1.0, 3.0, 2.0, 9.0], [2.0, 9.0, 9.0, 0.0, math.pi]], dtype=torch.float64)
    mirror = torch.tensor([[8.0, 0.1, 0.2, 8.0, 8.0], [8.0, 8.0, 8.0, 8.0, 0.3]], dtype=torch.float64)
    of_subsets = torch.arange(36.0, dtype=torch.float64).reshape(6, 6)
    masks = measured.subset_masks(labels)
    frame = pd.DataFrame(measured._rows("hand", theta, of_subsets, masks, mirror))
    noisy = frame[frame.subset == "noisy"].set_index("class")
    assert noisy.mirror.to_dict() == {0: 0.2, 1: 0.3}
    assert noisy["mean"].to_dict() == {0: 2.0, 1: round(math.pi, measured.DECIMALS)}
    assert noisy.sd[0] == 1
    assert (noisy.bin_57[0], noisy.bin_171[0], noisy.bin_177[1]) == (1, 1, 1)
    assert frame.subset_angle.tolist() == [0, 1, 2, 21, 22, 23]


def _kernel(x, depth):
    """Inner products of ∇h of an infinitely wide ReLU net, up to a constant: the recursion in cosines."""
    kernel = np.empty((len(x), len(x)))
    for (i, one), (j, two) in itertools.product(enumerate(x), repeat=2):
        sizes = np.linalg.norm(one) * np.linalg.norm(two)
        rho = total = 1.0 if i == j else one @ two / sizes
        for _ in range(depth - 1):
            turned = 1 - math.acos(rho) / math.pi
            rho, before = math.sqrt(1 - rho**2) / math.pi + turned * rho, total
            rho = min(rho, 1.0)
            total = rho + before * turned
        kernel[i, j] = sizes * total / depth
    return kernel


@pytest.mark.parametrize("settings", [CLUSTERS, DIGITS])
def test_predicted_angles_are_those_of_the_infinitely_wide_kernel(settings, stand_in):
    frame = measured.angles(replace(settings, starts=()), seed=5, split=stand_in)
    assert set(frame.source) == {"theory"}
    x, labels = _samples(settings, stand_in, 5)
    kernel, residual = _kernel(x, settings.depth), 0.5 - labels.given
    products = np.outer(residual, residual) * kernel
    for row in frame.to_dict("records"):
        clean, own = (_subset(labels, row["class"], name) for name in ("clean", row["subset"]))
        size = math.sqrt(products[np.ix_(clean, clean)].sum())
        cosines = products[own][:, clean].sum(axis=1) / (np.sqrt(products.diagonal()[own]) * size)
        subset = math.sqrt(products[np.ix_(own, own)].sum())
        of_subset = min(1.0, products[np.ix_(own, clean)].sum() / (size * subset))
        found = [row[key] for key in ("mean", "q05", "q95")]
        theta = np.arccos(cosines)
        np.testing.assert_allclose(found, [theta.mean(), *np.quantile(theta, [0.05, 0.95])], atol=1e-8)
        assert row["subset_angle"] == pytest.approx(math.acos(of_subset), abs=AT_THE_ENDS)
        assert np.isnan(row["mirror"])


def test_a_very_wide_net_does_what_is_predicted():
    settings = replace(CLUSTERS, width=100_000, starts=("ntk_centred",))
    frame = measured.angles(settings, seed=0, split=None).set_index(["source", "class", "subset"])
    keys = ["mean", "q05", "q95", "subset_angle"]
    off = np.degrees(frame.loc["ntk_centred", keys] - frame.loc["theory", keys]).abs().to_numpy()
    # An angle's standard deviation over nets is about 42°/√m where it is largest; four of them.
    assert off.max() < 4 * 42 / math.sqrt(settings.width)


def test_clusters_are_at_the_angles_of_the_audit():
    """Mean angles, and the subsets', of 500 + 500 points that were drawn elsewhere, for one class each."""
    settings = measured.AngleSettings(None, None, per_class=500, starts=())
    frames = [measured.angles(settings, seed=seed, split=None).assign(seed=seed) for seed in range(8)]
    frame = pd.concat(frames)
    written = {"clean": (8.5, 0), "other": (99.7, 99.8), "noisy": (171, 179.4)}
    last_digits = {"clean": 0.1, "other": 0.1, "noisy": 1}  # of the means; subsets are written to 0.1
    for subset, (mean, whole) in written.items():
        own = np.degrees(frame.loc[frame.subset == subset, ["mean", "subset_angle"]])
        # One more draw beside the mean of ours, at four standard deviations; and the rounding on paper.
        spread = 4 * own.std() * math.sqrt(1 + 1 / len(own))
        room = spread + np.array([last_digits[subset], 0.1]) / 2
        assert (own.mean() - [mean, whole]).abs().le(room).all(), subset


def test_images_are_drawn_from_the_digits_named(stand_in):
    x, labels = measured._samples((3, 1), 10, 0.3, 0, stand_in)
    assert labels.true.tolist() == [0] * 10 + [1] * 10
    assert [int(labels.is_noisy[labels.true == c].sum()) for c in (0, 1)] == [3, 3]
    assert x.max() <= 1
    known = stand_in.x_train.reshape(len(stand_in.x_train), -1)
    places = [np.flatnonzero((known == np.round(image * 255)).all(axis=1)) for image in x]
    assert all(
        (stand_in.y_train[place] == (3, 1)[y]).all() for place, y in zip(places, labels.true, strict=True)
    )
    assert len({place[0] for place in places}) == 20
    again, _ = measured._samples((3, 1), 10, 0.3, 1, stand_in)
    assert not np.array_equal(x, again)


def test_no_image_is_drawn_twice_and_no_more_than_there_are(stand_in):
    places = [np.flatnonzero(stand_in.y_train == digit)[:most] for digit, most in ((7, 12), (9, 10))]
    few = np.concatenate(places)
    split = replace(stand_in, x_train=stand_in.x_train[few], y_train=stand_in.y_train[few])
    x, _ = measured._samples((7, 9), 10, 0.3, 0, split)
    assert len(np.unique(x, axis=0)) == 20
    with pytest.raises(ValueError, match="per_class must be at most 10 for this data, got 11"):
        measured.angles(replace(DIGITS, per_class=11), seed=0, split=split)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (replace(CLUSTERS, starts=("ntk", "zero")), "start must be one of .*, got 'zero'"),
        (replace(CLUSTERS, level=1.2), "level must be a fraction"),
        (replace(CLUSTERS, per_class=0), "n_per_class must be at least 1"),
        (replace(DIGITS, classes=(7, 12)), "classes must be two different ones"),
        (replace(CLUSTERS, depth=1), "depth must be"),
    ],
)
def test_wrong_settings_are_named(settings, message, stand_in):
    with pytest.raises(ValueError, match=message):
        measured.angles(settings, seed=0, split=stand_in)


def _parameter_gradients(net, x):
    return torch.autograd.grad(net(x).sum(), net.parameters())


def test_a_constant_output_keeps_the_derivatives_and_sets_the_logit():
    net = models.fully_connected(3, 5, depth=3, parametrization="ntk", seed=0).double()
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(1)).double()
    for constant, logit in ((measured.ConstantOutput(net), 0.0), (measured.ConstantOutput(net, 0.7), 0.7)):
        assert (constant(x) == logit).all()
        for own, kept in zip(*(_parameter_gradients(each, x) for each in (net, constant)), strict=True):
            assert torch.equal(own, kept)
            assert own.abs().max() > 0


def test_starts_are_what_they_are_called():
    shape = {"depth": 3, "width": 6, "seed": 2}
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(1)).double()
    kinds = {"ntk": "ntk", "standard": "standard", "ntk_centred": "ntk"}
    for start, kind in kinds.items():
        net = measured.initial_net(3, start=start, **shape)
        named = models.fully_connected(3, 6, depth=3, parametrization=kind, seed=2).double()
        for own, expected in zip(*(_parameter_gradients(each, x) for each in (net, named)), strict=True):
            torch.testing.assert_close(own, expected)
        wanted = torch.zeros(4, 1) if start == "ntk_centred" else named(x)
        torch.testing.assert_close(net(x), wanted.double())
        assert {parameter.dtype for parameter in net.parameters()} == {torch.float64}


def test_projections_are_those_of_gradients_written_out(stand_in):
    frame = measured.projections(NETS, seed=2, split=stand_in)
    written = []
    for (name, classes), (depth, level) in itertools.product(
        (("two clusters", None), ("digits 7 and 9", (7, 9))), NETS.nets
    ):
        settings = measured.AngleSettings(classes, None, per_class=10, level=level)
        x, labels = _samples(settings, stand_in, 2)
        ntk, standard = (
            models.fully_connected(x.shape[1], 8, depth=depth, parametrization=kind, seed=2).double()
            for kind in ("ntk", "standard")
        )
        nets = [("constant", ntk, 0.0), ("constant", ntk, 0.5), ("ntk", ntk, None)]
        for start, net, logit in [*nets, ("standard", standard, None)]:
            used = net if logit is None else measured.ConstantOutput(net, logit)
            each = _gradients(used, x, labels.given)
            along = each @ each.sum(axis=0)
            noisy = labels.given != labels.true
            logits = used(torch.from_numpy(x)).detach()
            shares = ((along[~noisy] > 0).mean(), (along[noisy] < 0).mean())
            written.append((name, depth, level, start, logits.mean().item(), *shares))
    words = ["inputs", "depth", "level", "start"]
    assert list(map(tuple, frame[words].to_numpy())) == [row[:4] for row in written]
    numbers = frame[["logit", "clean", "noisy"]].to_numpy()
    np.testing.assert_allclose(numbers, [row[4:] for row in written], atol=2 * HALF_A_DECIMAL)
    assert not set(frame.clean) <= {0.0, 1.0}


@pytest.mark.parametrize("start", ["ntk", "standard"])
def test_a_step_of_descent_lowers_the_loss_where_the_projection_is_positive(start, stand_in):
    """The sign convention: clean samples with a lower, noisy ones with a higher loss after the step."""
    settings = measured.ProjectionSettings(
        pairs=((7, 9),), nets=((2, 0.3),), logits=(), per_class=20, width=8
    )
    frame = measured.projections(settings, seed=1, split=stand_in).set_index(["inputs", "start"])
    own = frame.loc[("digits 7 and 9", start)]
    angle_settings = measured.AngleSettings((7, 9), "mnist", per_class=20)
    x, labels = _samples(angle_settings, stand_in, 1)
    inputs, given = torch.from_numpy(x), torch.from_numpy(labels.given).double()
    net = measured.initial_net(784, start=start, depth=2, width=8, seed=1)

    def losses():
        return F.binary_cross_entropy_with_logits(net(inputs)[:, 0], given, reduction="none")

    before = losses()
    before.sum().backward()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter -= 1e-9 * parameter.grad
        change = (losses() - before).numpy()
    noisy = labels.given != labels.true
    assert own.clean == pytest.approx((change[~noisy] < 0).mean(), abs=HALF_A_DECIMAL)
    assert own.noisy == pytest.approx((change[noisy] > 0).mean(), abs=HALF_A_DECIMAL)


def test_with_nothing_learnt_all_of_two_clusters_project_as_the_paper_says(stand_in):
    settings = measured.ProjectionSettings(pairs=(), nets=((2, 0.3), (3, 0.4)), logits=(0.0,), per_class=200)
    frame = measured.projections(settings, seed=0, split=stand_in)
    centred = frame[frame.start == "constant"]
    assert (centred[["logit", "clean", "noisy"]] == [0, 1, 1]).all(axis=None)


def test_the_recorded_settings_are_the_papers():
    papers = {
        name: known.scales["paper"]
        for name, known in experiments.EXPERIMENTS.items()
        if known.measure in (measured.angles, measured.projections)
    }
    assert {settings.width for settings in papers.values()} == {512}
    figure = {name: settings for name, settings in papers.items() if name.startswith("fig-04")}
    assert {settings.level for settings in figure.values()} == {0.3}
    given = {name: (settings.classes, settings.depth) for name, settings in figure.items()}
    assert given == {
        "fig-04-clusters": (None, 2),
        "fig-04-mnist-0v1": ((0, 1), 2),
        "fig-04-mnist-7v9": ((7, 9), 3),
    }
