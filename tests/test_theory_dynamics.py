"""Steps on wrong labels and the two-scale model against enumeration, explicit kernels and exact fractions."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import optimize, stats

from cleanprio_lib import theory

EPS = np.finfo(float).eps


def _all_draws(true, flips, num_classes):
    """Every way to give exactly `flips` samples of each class a wrong label: (draws, n) given labels."""
    options = []
    for label in range(num_classes):
        members = np.flatnonzero(true == label)
        others = [k for k in range(num_classes) if k != label]
        options.append(
            [
                dict(zip(chosen, wrong, strict=True))
                for chosen in itertools.combinations(members, flips)
                for wrong in itertools.product(others, repeat=flips)
            ]
        )
    draws = []
    for parts in itertools.product(*options):
        given = true.copy()
        for part in parts:
            given[list(part)] = list(part.values())
        draws.append(given)
    return np.array(draws)


@pytest.mark.parametrize(("num_classes", "size", "flips"), [(2, 4, 1), (2, 5, 2), (3, 2, 1), (3, 3, 2)])
def test_smoothed_labels_are_the_mean_of_all_noisy_ones(num_classes, size, flips):
    true = np.repeat(np.arange(num_classes), size)
    mean = np.eye(num_classes)[_all_draws(true, flips, num_classes)].mean(axis=0)
    level = flips / size
    got = theory.smoothed_labels(true, level, num_classes=num_classes)
    np.testing.assert_allclose(got, mean, rtol=0, atol=1e-15)
    kappa = theory.smoothing(level, num_classes)
    mixed = (1 - kappa) * np.eye(num_classes)[true] + kappa / num_classes
    np.testing.assert_allclose(got, mixed, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("num_classes", "size", "flips"), [(2, 5, 2), (3, 3, 1)])
def test_the_mean_gradient_is_that_of_torchs_label_smoothing(num_classes, size, flips):
    torch.manual_seed(0)
    true = np.repeat(np.arange(num_classes), size)
    x = torch.randn(len(true), 4, dtype=torch.float64)
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, num_classes)
    ).double()

    def gradient(target, label_smoothing=0.0):
        loss = F.cross_entropy(net(x), target, label_smoothing=label_smoothing)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(net.parameters()))])

    draws = torch.as_tensor(_all_draws(true, flips, num_classes))
    mean = torch.stack([gradient(given) for given in draws]).mean(dim=0)
    kappa = float(theory.smoothing(flips / size, num_classes))
    torch.testing.assert_close(gradient(torch.as_tensor(true), kappa), mean, rtol=0, atol=1e-14)
    soft = torch.as_tensor(theory.smoothed_labels(true, flips / size, num_classes=num_classes))
    torch.testing.assert_close(gradient(soft), mean, rtol=0, atol=1e-14)


def test_the_residual_identity_at_any_output():
    rng = np.random.default_rng(0)
    true, output = rng.integers(0, 10, 300), rng.dirichlet(np.full(10, 2.0), 300)
    own, kappa = np.eye(10)[true], theory.smoothing(0.3, 10)
    assert kappa == pytest.approx(1 / 3, rel=EPS)
    mixed = (1 - kappa) * (output - own) + kappa * (output - 1 / 10)
    smoothed = output - theory.smoothed_labels(true, 0.3, num_classes=10)
    np.testing.assert_allclose(smoothed, mixed, rtol=0, atol=1e-15)


def test_smoothing_keeps_shapes_and_passes_1_where_the_right_label_is_no_longer_the_commonest():
    levels = np.array([[0.0, 0.25], [0.5, 1.0]])
    np.testing.assert_allclose(theory.smoothing(levels), 2 * levels, rtol=1e-15)
    assert theory.smoothing(0.9, 10) == pytest.approx(1, rel=4 * EPS)
    assert np.array_equal(theory.smoothed_labels([1, 0], 0.0, num_classes=3), [[0, 1, 0], [1, 0, 0]])
    assert np.array_equal(theory.smoothed_labels([1], 1.0, num_classes=3), [[0.5, 0, 0.5]])


@pytest.mark.parametrize("flips", [1, 3, 4])
@pytest.mark.parametrize("logit", [-1.0, 0.0, 0.4, 2.0])
def test_step_factor_on_samples_all_alike(flips, logit):
    given = torch.tensor([0.0] * flips + [1.0] * (10 - flips), dtype=torch.float64)

    def gradient(targets):
        w = torch.tensor(logit, dtype=torch.float64, requires_grad=True)
        loss = F.binary_cross_entropy_with_logits(w.expand(len(targets)), targets, reduction="sum")
        return float(torch.autograd.grad(loss, w)[0])

    clean, noisy = gradient(given[flips:]), gradient(given[:flips])
    true, alpha, level = gradient(torch.ones_like(given)), -noisy / clean, flips / 10
    assert theory.step_factor(level, alpha) == pytest.approx((clean + noisy) / true, abs=1e-14)
    # The paper has the noisy samples' gradient on their true labels be minus that on the wrong ones.
    assert theory.paper_step_factor(alpha) == pytest.approx((clean + noisy) / (clean - noisy), abs=1e-14)
    if logit == 0:
        assert theory.paper_step_factor(alpha) == pytest.approx(1 - 2 * level, abs=1e-15)
        assert theory.step_factor(level, alpha) == pytest.approx(1 - 2 * level, abs=1e-15)


def test_both_step_factors_in_numbers():
    assert theory.step_factor(0.3, 0.7637) == pytest.approx(0.1654, abs=5e-5)
    assert theory.paper_step_factor(0.7637) == pytest.approx(0.1340, abs=5e-5)
    first = 0.3 / (9 * 0.7)
    assert theory.paper_step_factor(first) == pytest.approx(0.909, abs=5e-4)
    assert theory.step_factor(0.3, first) == pytest.approx(1 - theory.smoothing(0.3, 10), rel=4 * EPS)
    levels, late = np.array([0.1, 0.3, 0.4]), 1 - 1e-9
    short = theory.paper_step_factor(late) / theory.step_factor(levels, late)
    np.testing.assert_allclose(short, [0.5556, 0.7143, 0.8333], rtol=0, atol=5e-5)
    assert theory.step_factor(levels[:, None], np.linspace(-0.5, 2, 4)).shape == (3, 4)
    assert theory.step_factor(0.25, 3.0) == -1.5


# clean and noisy residual, clean and noisy loss
PLATEAUS = {
    (0.1, 2): (0.1, 0.9, 0.1054, 2.3026),
    (0.2, 2): (0.2, 0.8, 0.2231, 1.6094),
    (0.3, 2): (0.3, 0.7, 0.3567, 1.2040),
    (0.4, 2): (0.4, 0.6, 0.5108, 0.9163),
    (0.1, 10): (0.1054, 1.3375, 0.1054, 4.4998),
    (0.2, 10): (0.2108, 1.2649, 0.2231, 3.8067),
    (0.3, 10): (0.3162, 1.1972, 0.3567, 3.4012),
    (0.4, 10): (0.4216, 1.1353, 0.5108, 3.1135),
}


def _values(plateau):
    return plateau.clean_residual, plateau.noisy_residual, plateau.clean_loss, plateau.noisy_loss


@pytest.mark.parametrize("case", PLATEAUS)
def test_plateaus_of_the_table(case):
    np.testing.assert_allclose(_values(theory.plateau(*case)), PLATEAUS[case], rtol=0, atol=5e-5)


@pytest.mark.parametrize(("num_classes", "flips"), [(2, 1), (2, 4), (3, 4), (6, 5)])
def test_training_one_logit_vector_ends_on_the_plateau(num_classes, flips):
    wrong = np.tile(np.arange(1, num_classes), flips)
    size = 10 * (num_classes - 1)
    given = np.r_[np.zeros(size - len(wrong), dtype=int), wrong]
    logits, targets = np.zeros(num_classes), np.eye(num_classes)[given]
    for _ in range(2000):
        output = np.exp(logits) / np.exp(logits).sum()
        logits -= (output - targets).mean(axis=0)
    residuals = output - targets
    lengths = np.abs(residuals[:, 0]) if num_classes == 2 else np.linalg.norm(residuals, axis=1)
    losses = -np.log(output[given])
    trained = [values[given == k].mean() for values in (lengths, losses) for k in (0, num_classes - 1)]
    np.testing.assert_allclose(_values(theory.plateau(flips / 10, num_classes)), trained, rtol=1e-12)
    transition = np.full((num_classes,) * 2, flips / size)
    np.fill_diagonal(transition, 1 - flips / 10)
    # At this output of class 0 the rows of its noise matrix cancel, for its own logit and all the others.
    ends = theory.initial_gradients(transition, theory.label_residuals(transition[0]))
    assert ends.own_ratio[0] == pytest.approx(1, rel=1e-14)


def test_plateaus_keep_shapes_and_reach_the_ends():
    levels = np.array([[0.0, 0.25, 1.0]])
    for classes, expected in (
        (2, ([[0, 0.25, 1]], [[1, 0.75, 0]], [[0, -np.log(0.75), np.inf]], [[np.inf, np.log(4), 0]])),
        (3, ([[0, np.sqrt(3 / 32), np.sqrt(1.5)]], None, None, [[np.inf, np.log(8), np.log(2)]])),
    ):
        for got, wanted in zip(_values(theory.plateau(levels, classes)), expected, strict=True):
            assert got.shape == levels.shape
            if wanted is not None:
                np.testing.assert_allclose(got, wanted, rtol=1e-15, atol=0)


def _exact_majority(level, batch):
    """By whole numbers alone: the float `level` is a fraction."""
    p = Fraction(level)
    top, bottom = p.numerator, p.denominator
    hits = range(batch // 2 + 1, batch + 1)
    return Fraction(
        sum(math.comb(batch, k) * top**k * (bottom - top) ** (batch - k) for k in hits), bottom**batch
    )


@pytest.mark.parametrize("level", [0.0, 1e-9, 0.05, 0.3, 0.4, 0.5, 0.7, 0.999, 1.0])
@pytest.mark.parametrize("batch", [1, 2, 3, 16, 33, 128, 512])
def test_noisy_majorities_against_exact_fractions(level, batch):
    exact = float(_exact_majority(level, batch))
    assert theory.noisy_majority(level, batch) == pytest.approx(exact, rel=3 * EPS * (batch + 1), abs=1e-300)


def test_noisy_majorities_against_all_draws_and_scipy():
    for batch in range(1, 8):
        draws = np.array(list(itertools.product((0, 1), repeat=batch)))
        chance = np.where(draws, 0.3, 0.7).prod(axis=1)[2 * draws.sum(axis=1) > batch].sum()
        assert theory.noisy_majority(0.3, batch) == pytest.approx(chance, rel=1e-14)
    levels, batches = np.array([[0.2], [0.4], [0.45], [0.6]]), np.array([16, 32, 100, 256, 1001, 12_214])
    got = theory.noisy_majority(levels, batches)
    assert got.shape == (4, 6)
    np.testing.assert_allclose(got, stats.binom.sf(batches // 2, batches, levels), rtol=1e-9, atol=1e-300)


def test_noisy_majorities_of_remark_4_3():
    got = theory.noisy_majority(0.4, [32, 128, 256, 512])
    np.testing.assert_allclose(got, [9.20e-2, 8.68e-3, 4.86e-4, 1.93e-6], rtol=3e-3)
    assert theory.noisy_majority(0.3, 256) == pytest.approx(7.35e-12, rel=1e-3)
    assert theory.noisy_majority(0.3, 512) == pytest.approx(1.07e-21, rel=5e-3)


MODELS = [
    theory.TwoScales(400, 0.4, 1.0, 0.2, 0.2),
    theory.TwoScales(40, 0.25, 0.7, -0.3, 1.5),
    theory.TwoScales(20, 0.1, 0.5, 0.4, 0.3),
    theory.TwoScales(20, 0.4, 1.0, 0.9, 1.0),
]
TIMES = np.r_[0, np.logspace(-4, 1.5, 60)]


class _Simulation:
    """Gradient flow of the same model on an explicit kernel matrix with explicit flips at random places."""

    def __init__(self, model):
        half, rng = model.samples // 2, np.random.default_rng(1)
        self.true = rng.permutation(np.repeat([1.0, -1.0], half))
        chosen = [
            rng.permutation(np.flatnonzero(self.true == s))[: round(model.level * half)] for s in (1, -1)
        ]
        self.is_noisy = np.isin(np.arange(model.samples), np.concatenate(chosen))
        self.given = np.where(self.is_noisy, -self.true, self.true)
        alike = np.equal.outer(self.true, self.true)
        self.kernel = np.where(alike, model.within, model.across) + model.own * np.eye(model.samples)
        self.new = np.where(np.equal.outer([1.0, -1.0], self.true), model.within, model.across)
        self.rates, self.modes = np.linalg.eigh(self.kernel)
        self.shares = self.modes.T @ self.given

    def output(self, t):
        return self.modes @ (-np.expm1(-self.rates * t) * self.shares)

    def new_output(self, t):
        weights = self.modes @ (-np.expm1(-self.rates * t) / self.rates * self.shares)
        return np.array([1, -1]) * (self.new @ weights)

    def noisy_output(self, t):
        return (self.true * self.output(t))[self.is_noisy].mean()

    def noisy_speed(self, t):
        speed = self.kernel @ (self.given - self.output(t))
        return (self.true * speed)[self.is_noisy].mean()

    def squared_gradient(self, t, members):
        r = np.where(members, self.output(t) - self.given, 0)
        return r @ self.kernel @ r


@pytest.mark.parametrize("model", MODELS)
def test_two_scales_against_an_explicit_kernel(model):
    flow = _Simulation(model)
    for name, group, sign in (("clean", ~flow.is_noisy, 1), ("noisy", flow.is_noisy, -1)):
        outputs = np.array([(flow.true * flow.output(t))[group] for t in TIMES])
        output, residual = getattr(model, f"{name}_output")(TIMES), getattr(model, f"{name}_residual")(TIMES)
        np.testing.assert_allclose(np.broadcast_to(output[:, None], outputs.shape), outputs, atol=1e-10)
        np.testing.assert_allclose(residual, 1 - sign * outputs.mean(axis=1), rtol=0, atol=1e-10)
    new = np.array([flow.new_output(t) for t in TIMES])
    np.testing.assert_allclose(np.stack([model.test_output(TIMES)] * 2, axis=1), new, rtol=0, atol=1e-10)
    rates = np.unique(flow.rates.round(9))
    assert np.abs(rates - model.class_rate).min() < 1e-8
    assert rates[0] == pytest.approx(model.own_rate, abs=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_the_ratio_of_gradients_against_an_explicit_kernel(model):
    flow = _Simulation(model)
    size = [model.samples / 2 * fraction for fraction in (1 - model.level, model.level)]
    own = np.sqrt((model.within + model.own / size[0]) / (model.within + model.own / size[1]))
    for t in TIMES[TIMES < 3]:
        parts = [
            flow.squared_gradient(t, (flow.true > 0) & group) for group in (~flow.is_noisy, flow.is_noisy)
        ]
        assert np.sqrt(parts[0] / parts[1]) == pytest.approx(own * model.gradient_ratio(t), rel=1e-9)
    assert np.all(np.diff(model.gradient_ratio(TIMES)) <= 0)
    means = model.clean_residual(TIMES) / model.noisy_residual(TIMES) * (1 - model.level) / model.level
    np.testing.assert_allclose(model.gradient_ratio(TIMES), means, rtol=1e-12)


@pytest.mark.parametrize("model", MODELS[:3])
def test_turning_and_flip_against_an_independent_root_finder(model):
    flow, late = _Simulation(model), 10 / model.own
    turn = optimize.brentq(flow.noisy_speed, 0, late, xtol=1e-13)
    assert model.turning_time == pytest.approx(turn, rel=1e-9)
    flip = optimize.brentq(flow.noisy_output, turn, late, xtol=1e-13)
    assert model.exact_flip_time == pytest.approx(flip, rel=1e-9)
    left = (1 - 2 * model.level) * math.exp(-model.class_rate * flip)
    assert model.flip_time - flip == pytest.approx(math.log1p(left) / model.own, abs=1e-9)
    assert model.flip_time >= model.exact_flip_time


def test_two_scales_in_numbers():
    model = MODELS[0]
    assert model.turning_time == pytest.approx(0.03059, abs=5e-6)
    assert model.flip_time == pytest.approx(0.9116, abs=5e-5)
    # The simulation of 4,000 times, spaced evenly in the logarithm, first saw it flipped at .9146.
    assert 0.9146 / 10 ** (7 / 3999) < model.exact_flip_time < 0.9147
    assert model.gradient_ratio(1e-4) == pytest.approx(1.4905, abs=5e-5)
    assert model.gradient_ratio(0.0) == pytest.approx(1.5, rel=4 * EPS)
    assert model.gradient_ratio(model.turning_time) == pytest.approx(1.003, abs=5e-4)
    assert model.gradient_ratio(model.flip_time) == pytest.approx(1, abs=1e-14)


def test_the_test_output_never_turns():
    for model in MODELS:
        got = model.test_output(np.r_[TIMES, 1e3])
        assert np.all(np.diff(got) >= 0)
        assert np.all(got[1:] > 0)
        assert got[-1] < 1 - 2 * model.level


def test_noisy_residuals_that_never_rise():
    model = MODELS[3]
    assert model.turning_time == model.exact_flip_time == 0
    assert np.all(np.diff(model.noisy_residual(TIMES)) < 0)


def test_without_self_influence_no_wrong_label_is_ever_memorised():
    model = theory.TwoScales(20, 0.4, 1.0, 0.5, 0.0)
    assert model.turning_time == model.flip_time == model.exact_flip_time == math.inf
    times = np.linspace(0, 6, 50)
    assert np.all(np.diff(model.noisy_residual(times)) > 0)
    np.testing.assert_allclose(model.noisy_output(times), model.test_output(times), rtol=1e-15)
    assert np.all(model.gradient_ratio(times) > 1)
    assert model.gradient_ratio(6.0) == pytest.approx(1, abs=1e-11)


def test_late_residuals_keep_their_digits():
    model = MODELS[0]
    assert model.clean_residual(300.0) == pytest.approx(0.8 * math.exp(-60), rel=1e-14)
    assert model.noisy_residual([[300.0]]) == pytest.approx(np.array([[1.2 * math.exp(-60)]]), rel=1e-14)


@pytest.mark.parametrize("level", [-0.1, 1.2, float("nan"), [0.1, 30]])
@pytest.mark.parametrize(
    "call",
    [
        theory.smoothing,
        theory.plateau,
        lambda level: theory.smoothed_labels([0, 1], level, num_classes=2),
        lambda level: theory.step_factor(level, 0.5),
        lambda level: theory.noisy_majority(level, 8),
    ],
)
def test_bad_levels_are_named(call, level):
    with pytest.raises(ValueError, match=r"level must be a fraction in \[0, 1\], got"):
        call(level)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.smoothing(0.3, 1), "num_classes must be an integer of at least 2, got 1"),
        (lambda: theory.smoothed_labels([0], 0.3, num_classes=True), "num_classes must be .* got True"),
        (lambda: theory.smoothed_labels([0, 2], 0.3, num_classes=2), r"labels must lie in \[0, 2\)"),
        (lambda: theory.smoothed_labels([0.0], 0.3, num_classes=2), "labels must be a .* of integers"),
        (
            lambda: theory.smoothed_labels([0], [0.3], num_classes=2),
            r"level must be one number, got shape \(1,\)",
        ),
        (lambda: theory.plateau(0.3, 2.5), "num_classes must be .* got 2.5"),
        (lambda: theory.step_factor(0.3, math.nan), "alpha must be finite, got nan"),
        (lambda: theory.paper_step_factor(math.inf), "alpha must be finite, got inf"),
        (lambda: theory.paper_step_factor([0.5, -1]), r"alpha must be above -1, got \[0.5, -1\]"),
        (lambda: theory.noisy_majority(0.3, [8, 0]), r"batch must hold .* at least 1, got \[8, 0\]"),
        (lambda: theory.noisy_majority(0.3, 8.5), "batch must hold whole numbers .* got 8.5"),
        (lambda: theory.TwoScales(7, 0.4, 1, 0, 0.1), "samples must be an even whole number .* got 7"),
        (lambda: theory.TwoScales(True, 0.4, 1, 0, 0.1), "samples must be an even .* got True"),
        (lambda: theory.TwoScales(20, 0.5, 1, 0, 0.1), r"level must lie in \(0, 1/2\), got 0.5"),
        (lambda: theory.TwoScales(20, math.nan, 1, 0, 0.1), "level must lie in .* got nan"),
        (lambda: theory.TwoScales(20, 0.25, 1, 0, 0.1), "level must flip 1, 2, ... of 10 .* got 0.25"),
        (lambda: theory.TwoScales(20, 1e-12, 1, 0, 0.1), "level must flip 1, 2, ... of 10 .* got 1e-12"),
        (lambda: theory.TwoScales(20, 0.4, math.inf, 0, 0.1), "within must be finite, got inf"),
        (lambda: theory.TwoScales(20, 0.4, 1, math.nan, 0.1), "across must be finite, got nan"),
        (lambda: theory.TwoScales(20, 0.4, 1, 1, 0.1), "within must be above across"),
        (lambda: theory.TwoScales(20, 0.4, 1, -2, 0.1), "within must be above across and not below -across"),
        (lambda: theory.TwoScales(20, 0.4, 1, 0, math.inf), "own must be finite, got inf"),
        (lambda: theory.TwoScales(20, 0.4, 1, 0, -0.1), "own must not be negative, got -0.1"),
        (lambda: MODELS[0].clean_output(-1), "t must be finite and not negative, got -1"),
        (lambda: MODELS[0].noisy_residual(math.inf), "t must be finite and not negative, got inf"),
        (lambda: MODELS[0].test_output([0, math.nan]), "t must be finite"),
        (lambda: MODELS[0].gradient_ratio(-0.5), "t must be finite"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_levels_with_float_dust_flip_whole_numbers():
    assert theory.TwoScales(200, 0.29, 1.0, 0.0, 0.1).level == 0.29
    assert theory.TwoScales(6, 1 / 3, 1.0, 0.0, 0.1).level == 1 / 3
