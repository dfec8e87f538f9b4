"""Equations 5, 8 and 9 against derivatives written out, differences of losses and exact ratios."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from cleanprio_lib import data, experiments, models, noise, theory
from cleanprio_lib.measurements import initial_gradients as measured
from cleanprio_lib.measurements.sample_gradients import initial_net

FORMULA = measured.FormulaSettings(samples=20, num_inputs=5, width=20)
RATIOS = measured.RatioSettings(samples=40, width=8)
ROUNDED = 10.0**-measured.DECIMALS
EPS = {"float32": np.finfo(np.float32).eps, "float64": np.finfo(np.float64).eps}
# A derivative of a two-layer net passes at most four products on either side of the comparison, a residual
# a sigmoid or softmax (an exponential, a sum and a quotient, two units each) and a difference.
ROUNDINGS = 2 * (4 + 6 + 1)


def _net(num_outputs, seed=0, settings=FORMULA):
    return models.fully_connected(
        settings.num_inputs, settings.width, num_outputs=num_outputs, parametrization="ntk", seed=seed
    ).double()


def _derivatives(net, x):
    """(n, C, p) by equation 21 of the paper: the layer of neurons first, then that of the outputs."""
    a, v = (parameter.detach().numpy() for parameter in net.parameters())
    rows = np.zeros((len(x), len(v), a.size + v.size))
    for (i, point), c in itertools.product(enumerate(x.numpy()), range(len(v))):
        rows[i, c, : a.size] = np.outer(v[c] * (a @ point > 0), point).ravel()
        rows[i, c, a.size :].reshape(v.shape)[c] = np.maximum(a @ point, 0)
    return rows / math.sqrt(len(a))


def _inputs(samples=6, num_inputs=5, seed=0):
    return torch.randn(samples, num_inputs, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize(
    ("measure", "settings"), [(measured.formula, FORMULA), (measured.initial_ratios, RATIOS)]
)
def test_the_seed_decides_and_the_frame_is_tidy(measure, settings, stand_in):
    first, again, other = (measure(settings, seed=seed, split=stand_in) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not first.equals(other)
    assert "seed" not in first
    assert set(first.dtypes.map(lambda dtype: dtype.kind)) <= {"i", "f", "O", "U"}


@pytest.mark.parametrize("count", measured.LOSSES.values())
def test_both_sides_of_the_formula_are_written_out(count):
    net, x = _net(count), _inputs()
    y = torch.arange(6) % max(count, 2)
    of_loss, of_logits, residuals = measured._written_out(net, x, y)
    expected = _derivatives(net, x)
    np.testing.assert_allclose(of_logits, expected, atol=1e-13)
    logits = net(x).detach()
    if count == 1:
        f = 1 / (1 + (-logits).exp())
        target = y[:, None]
    else:
        f = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
        target = torch.eye(count)[y]
    torch.testing.assert_close(residuals, f - target, rtol=1e-12, atol=1e-15)
    by_hand = np.einsum("nc,ncp->np", (f - target).numpy(), expected)
    np.testing.assert_allclose(of_loss, by_hand, atol=1e-12)


@pytest.mark.parametrize("count", measured.LOSSES.values())
def test_the_gradient_of_the_loss_is_the_slope_of_the_loss(count):
    net, x = _net(count), _inputs(samples=4)
    y = torch.arange(4) % max(count, 2)
    of_loss, _, _ = measured._written_out(net, x, y)
    weights = torch.nn.utils.parameters_to_vector(net.parameters()).detach()
    direction = torch.randn(len(weights), generator=torch.Generator().manual_seed(1)).double()

    def losses(step):
        torch.nn.utils.vector_to_parameters(weights + step * direction, net.parameters())
        logits = net(x).detach()
        if count == 1:
            return F.softplus((1 - 2 * y) * logits[:, 0])
        return logits.logsumexp(dim=1) - logits[torch.arange(4), y]

    step = 1e-5  # the error is of the order of its square, or of rounding divided by it: 1e-10
    slopes = (losses(step) - losses(-step)) / (2 * step)
    np.testing.assert_allclose(of_loss @ direction, slopes, atol=1e-8)


def test_errors_of_the_formula_are_rounding():
    frame = measured.formula(FORMULA, seed=3)
    assert list(zip(frame.loss, frame.precision, strict=True)) == [
        *itertools.product(("logistic", "softmax"), ("float32", "float64"))
    ]
    for row in frame.itertuples():
        # Rounding of the residual, f - y, counts against the gradient as long as f is almost y.
        count = measured.LOSSES[row.loss]
        generator = torch.Generator().manual_seed(3)
        x = torch.randn(20, 5, dtype=torch.float64, generator=generator) / math.sqrt(5)
        labels = noise.uniform(np.arange(20) % max(count, 2), 0.3, num_classes=max(count, 2), seed=3)
        logits = _net(count, seed=3)(x).detach()
        f = logits.sigmoid() if count == 1 else logits.softmax(dim=1)
        given = torch.from_numpy(labels.given)
        target = given[:, None] if count == 1 else F.one_hot(given, count)
        smallest = (f - target).norm(dim=1).min().item()
        room = ROUNDINGS * EPS[row.precision] / 2 * math.sqrt(count) / min(smallest, 1)
        assert 0 < row.error < room, (row.loss, row.precision)
    assert frame.error[frame.precision == "float32"].min() > frame.error[frame.precision == "float64"].max()


def test_gaps_of_the_formula_are_rounding():
    frame = measured.formula(FORMULA, seed=3)
    gaps = frame.set_index("loss")[["clean_gap", "mirror_gap"]]
    assert gaps.loc["softmax"].isna().all(axis=None)
    own = frame[frame.loss == "logistic"]
    # Either gradient of a pair may be turned by its error; and an arc cosine makes √(2e) of the error e that
    # a sum of p products of unit vectors has, for θ_g and for θ_h.
    p = FORMULA.width * (FORMULA.num_inputs + 1)
    room = 2 * own.error + 2 * math.sqrt(2 * p * EPS["float64"] / 2) + ROUNDED
    assert (own.clean_gap <= room).all()
    assert (own.mirror_gap <= room).all()


def test_gaps_are_of_pairs_in_a_class():
    """On vectors that have nothing to do with each other."""
    of_loss, of_logit = torch.randn(2, 10, 4, generator=torch.Generator().manual_seed(0)).double()
    labels = noise.NoisyLabels(given=np.array([0, 1, 0, 0, 1, 1, 0, 1, 1, 0]), true=np.repeat([0, 1], 5))

    def angle(vectors, i, j):
        one, two = vectors[i], vectors[j]
        return math.acos(max(-1, min(1, float(one @ two / (one.norm() * two.norm())))))

    clean, mirror = [], []
    for i, j in itertools.permutations(range(10), 2):
        g, h = angle(of_loss, i, j), angle(of_logit, i, j)
        if labels.true[i] == labels.true[j] and not labels.is_noisy[i]:
            group, gap = (mirror, g + h - math.pi) if labels.is_noisy[j] else (clean, g - h)
            group.append(abs(gap))
    gaps = measured._gaps(of_loss, of_logit, labels)
    assert gaps == pytest.approx({"clean_gap": max(clean), "mirror_gap": max(mirror)}, abs=ROUNDED)


def _gradients(net, x, y):
    """(n, p) gradients of the logistic loss, an ordinary backward pass for each sample."""
    rows = []
    for sample, label in zip(x, torch.from_numpy(y), strict=True):
        loss = F.binary_cross_entropy_with_logits(net(sample[None])[0, 0], label.double())
        rows.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, net.parameters())]))
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("depth", [2, 3])
def test_ratios_are_those_of_gradients_written_out(depth, stand_in):
    settings = replace(RATIOS, depth=depth)
    frame = measured.initial_ratios(settings, seed=4, split=stand_in)
    keys = [*itertools.product(settings.starts, settings.levels, (0, 1))]
    assert list(frame[["start", "level", "class"]].itertuples(index=False, name=None)) == keys
    digits = np.isin(stand_in.y_train, (7, 9))
    images = stand_in.x_train[digits][:40].reshape(40, 784)
    true = (stand_in.y_train[digits][:40] == 9).astype(int)
    x = torch.from_numpy(images / 255.0)
    for (start, level, c), row in zip(keys, frame.itertuples(), strict=True):
        labels = noise.uniform(true, level, num_classes=2, seed=4)
        net = initial_net(784, start=start, depth=depth, width=8, seed=4)
        each, wrong, own = _gradients(net, x, labels.given), labels.given != true, true == c
        clean, noisy = each[own & ~wrong].sum(axis=0), each[own & wrong].sum(axis=0)
        lengths = np.linalg.norm(clean), np.linalg.norm(noisy)
        logits = net(x).detach().numpy()[own, 0]
        expected = (
            lengths[0] / lengths[1],
            clean @ noisy / (lengths[0] * lengths[1]),
            -(noisy @ clean) / lengths[0] ** 2,
            logits.mean(),
            logits.std(ddof=1),
            (1 / (1 + np.exp(-logits))).mean(),
        )
        found = (row.ratio, row.cosine, row.alpha, row.logit, row.logit_sd, row.output)
        np.testing.assert_allclose(found, expected, atol=ROUNDED)


def _copies(split, per_class, *, digits):
    """`per_class` copies of one image of each of two digits, in the places of sevens and nines."""
    images = [split.x_train[split.y_train == digit][0] for digit in digits]
    chosen = {"x_train": np.repeat(np.stack(images), per_class, axis=0)}
    return replace(split, **chosen, y_train=np.repeat([7, 9], per_class))


def test_with_one_image_for_all_the_ratios_are_exact(stand_in):
    """A constant output and a constant derivative: equation 8, and its form at any initial logit."""
    settings = replace(RATIOS, samples=None, levels=(0.3, 0.4))
    frame = measured.initial_ratios(settings, seed=0, split=_copies(stand_in, 20, digits=(3, 3)))
    for (start, level), own in frame.groupby(["start", "level"]):
        logit = own.logit.iloc[0]
        ratios = own.sort_values("class").ratio.to_numpy()
        # A ratio is rounded and feels the logit's rounding in proportion, a product each factor's rounding.
        expected = theory.binary_gradient_ratios(level, logit)
        np.testing.assert_allclose(ratios, expected, rtol=ROUNDED, atol=ROUNDED)
        off = ratios.prod() - theory.gradient_ratio(level) ** 2
        assert abs(off) < ROUNDED * ratios.sum()
        assert own.cosine.to_numpy() == pytest.approx(-1, abs=ROUNDED)
        assert ((own.alpha * own.ratio - 1).abs() < ROUNDED * (own.alpha + own.ratio)).all()
        assert own.logit_sd.to_numpy() == pytest.approx(0, abs=ROUNDED)
        assert own.output.to_numpy() == pytest.approx(1 / (1 + math.exp(-logit)), abs=2 * ROUNDED)
        assert (logit == 0) == (start == "ntk_centred")


def test_each_class_has_the_ratio_of_its_own_logit(stand_in):
    frame = measured.initial_ratios(
        replace(RATIOS, samples=None), seed=1, split=_copies(stand_in, 20, digits=(7, 9))
    )
    assert frame.groupby("class").logit.max().nunique() == 2
    for row in frame.to_dict("records"):
        predicted = theory.binary_gradient_ratios(row["level"], row["logit"])[row["class"]]
        assert abs(row["ratio"] - predicted) < ROUNDED * (1 + predicted)


def test_the_centred_net_starts_near_equation_8(stand_in):
    """With images of their own the ratio departs from (1 - δ)/δ only by how the noise was placed."""
    settings = replace(RATIOS, samples=1000, starts=("ntk_centred",), width=64)
    frame = measured.initial_ratios(settings, seed=0, split=stand_in)
    assert (frame.logit == 0).all()
    assert (frame.output == 0.5).all()
    of_class = np.bincount(data.binary(stand_in, (7, 9)).y_train[:1000])
    for row in frame.to_dict("records"):
        # A sum over N samples drawn at random is off by about 1/√N, if derivatives are as long as their mean.
        room = 4 / math.sqrt(of_class[row["class"]] * row["level"])
        assert row["ratio"] == pytest.approx(theory.gradient_ratio(row["level"]), rel=room)
        assert row["cosine"] < -1 + room**2


@pytest.mark.parametrize("samples", [0, -1, 10**6])
def test_as_many_images_as_there_are(samples, stand_in):
    most = int(np.isin(stand_in.y_train, (7, 9)).sum())
    with pytest.raises(ValueError, match=rf"samples must lie in \[1, {most}\] for this data, got {samples}"):
        measured.initial_ratios(replace(RATIOS, samples=samples), seed=0, split=stand_in)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (replace(RATIOS, classes=(7, 7)), "classes must be two different ones"),
        (replace(RATIOS, levels=(0.3, 1.5)), "level must be a fraction"),
        (replace(RATIOS, starts=("zero",)), "start must be one of"),
    ],
)
def test_wrong_settings_are_named(settings, message, stand_in):
    with pytest.raises(ValueError, match=message):
        measured.initial_ratios(settings, seed=0, split=stand_in)


def test_the_recorded_settings_are_the_papers():
    papers = {known.measure: known.scales["paper"] for known in experiments.EXPERIMENTS.values()}
    ratios = papers[measured.initial_ratios]
    assert (ratios.classes, ratios.width, ratios.samples) == ((7, 9), 512, None)
    assert 0.4 in ratios.levels
    assert papers[measured.formula] == measured.FormulaSettings()
