"""Every step of the appendix of proofs, tested under its number; many formulas are read from the page.

A docstring that begins with `Step 3.2.1`, or with several, says what the test is about. Algebra is left to
SymPy and interval arithmetic; an expectation is compared with a quadrature, with the mean over all draws of
the noise in a small example, or with random draws of a fixed seed within five standard errors of their mean;
gradients are compared with automatic differentiation.
"""

import math
import re
from itertools import combinations, pairwise, product
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch
from scipy import integrate, stats
from sympy.parsing.sympy_parser import implicit_multiplication, parse_expr, standard_transformations
from torch import nn

from cleanprio_lib import gradients, models, noise, theory

PROOFS = Path(__file__).parents[1] / "book/appendix/proofs.md"
# Without numbers of equations and room between lines.
PAGE = re.sub(r" \\tag\{[\d, ]+\}|(?<=\\\\)\[1ex\]", "", PROOFS.read_text(encoding="utf-8"))
MARKER = re.compile(r"^\*\*Step ([\w.]+\w)\*\*", re.MULTILINE)
STEPS = {
    part.partition("**")[0]: re.split(r"^(?:\(proof|## )", part, flags=re.MULTILINE)[0]
    for part in re.split(r"^\*\*Step (?=[\w.]+\w\*\*)", PAGE, flags=re.MULTILINE)[1:]
}
ERRATA = dict(
    re.findall(
        r"\(erratum-(\d+)\)=\n(.+?)(?=\n\(erratum|\Z)",
        (Path(__file__).parents[1] / "book/appendix/errata.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
)
RELATION = re.compile(r"=|<|\\(?:le|to|simeq)(?![a-zA-Z])")
BRACES = r"\{([^{}]*)\}"
PIECE = r"\s*(?:\{([^{}]*)\}|(\\[a-z]+|\w))"
ARGUMENT = r"\s*(\((?:[^()]|\([^()]*\))*\)|\\?[A-Za-z]\w*)"
ANGLES = (0.3, 1.0, math.pi / 2, 2.2, 2.9)
DRAWS = 400_000

theta, u, phi, delta, f, f_0, m, n, y, depth = POSITIVE = sp.symbols(
    "theta u varphi delta f f_0 m n y L", positive=True
)
alpha, kappa, eta, gamma, C, q, p = LATER = sp.symbols("alpha kappa eta gamma C q p", positive=True)
h, h_0, mu, d = REAL = sp.symbols("h h_0 mu d", real=True)
# A layer l and its θ_l, θ_{l+1}, Θ_l and T_l; lengths and inner product of x and z; two that stand in.
layer, here, above, total, single, length_x, length_z, inner, first, second = OTHER = sp.symbols(
    "l here above total single X Z inner first second"
)
KNOWN = {symbol.name: symbol for symbol in (*POSITIVE, *LATER, *REAL, *OTHER)} | {"pi": sp.pi, "e": sp.E}
FUNCTIONS = {name: getattr(sp, name) for name in ("sqrt", "sin", "cos", "tan", "log", "Integer", "Symbol")}
LAYERS = {
    r"\theta_{l+1}": "above",
    r"\theta_l": "here",
    r"\theta_2": "above",
    r"\Theta_l": "total",
    "T_l": "single",
    r"\langle x^l, z^l\rangle": "inner",
}
LENGTHS = {r"\lVert x\rVert": "X", r"\lVert z\rVert": "Z", r"\langle x, z\rangle": "inner"}
INTEGRALS = {
    r"\mathbb E[\sigma(u)\,\sigma(v)]": "first",
    r"\mathbb E[\sigma'(u)\,\sigma'(v)]": "second",
}


def formulas(step):
    """A step's displayed formulas by line (one that begins with {} continues another), and inline ones."""
    found = re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", STEPS[step], re.DOTALL)
    displayed = []
    for block in filter(None, (display for display, _ in found)):
        lines = re.sub(r"\\(begin|end)\{gathered\}", "", block)
        displayed += re.split(r"\\\\\s", re.sub(r"\\\\\s*\{\}", " ", lines))
    return displayed, [inline for _, inline in found if inline]


def stated(step, left, names=None, *, also_left=False):
    """All sides of a formula that begins with `left`; a displayed one goes before one within the text."""
    for group in formulas(step):
        for sides in map(RELATION.split, group):
            if squeezed(sides[0]) == squeezed(left) and len(sides) > 1:
                return [expression(side, names or {}) for side in (sides if also_left else sides[1:])]
    raise AssertionError(f"step {step} has no formula that begins with {left}")


def said(step, left, names=None):
    """The one thing that the page says that `left` is equal to."""
    sides = stated(step, left, names)
    assert all(sp.simplify(side - sides[0]) == 0 for side in sides)
    return sides[0]


def written(step, *parts):
    """Whether the step has these formulas letter by letter: sums that a test repeats in numbers."""
    return all(squeezed(part) in squeezed(STEPS[step]) for part in parts)


def squeezed(latex):
    """LaTeX without what only makes room."""
    return re.sub(r"\\[,;!]|\\\\\s*\{\}|\s", "", latex)


def expression(latex, names):
    """The page's LaTeX as SymPy sees it: fractions, roots, powers, functions, and products without a sign."""
    for old, new in sorted(names.items(), key=lambda pair: -len(pair[0])):
        latex = latex.replace(old, f" {new} ")
    text = re.sub(r"\\[,;!]|\\[bB]ig[lr]", " ", latex.strip().rstrip(".,: \n"))
    text = re.sub(r"\^" + BRACES, r"**(\1)", text).replace("^", "**").replace(r"\cdot", "*")
    before = ""
    while before != text:
        before = text
        text = re.sub(r"\\frac" + 2 * PIECE, r" ((\1\2)/(\3\4)) ", text, count=1)
        text = re.sub(r"\\sqrt" + BRACES, r" sqrt(\1) ", text)
    text = re.sub(r"\\(cos|sin|tan|log)" + ARGUMENT, r" \1(\2) ", text)
    text = re.sub(r"\\([a-z]+)", r" \1 ", text)
    assert "\\" not in text, f"not understood: {latex}"
    return parse_expr(
        " ".join(text.split()),
        local_dict=KNOWN,
        global_dict=FUNCTIONS,
        transformations=(*standard_transformations, implicit_multiplication),
    )


def same(one, other):
    """Whether two expressions are equal, by algebra."""
    return sp.simplify(sp.expand_trig(sp.expand(one - other))) == 0


def normal_mean(polynomial, *variables):
    """Exact mean of a polynomial in independent N(0, 1) variables: E z^k is (k - 1)!! for even k."""
    moments = [math.prod(range(k - 1, 0, -2)) if k % 2 == 0 else 0 for k in range(9)]
    terms = sp.Poly(polynomial, *variables).terms()
    return sum(factor * math.prod(moments[power] for power in powers) for powers, factor in terms)


def agrees(draws, wanted, scale=0.0):
    """Whether the mean of the draws is within five standard errors of what is wanted (and rounding)."""
    return abs(draws.mean() - float(wanted)) <= 5 * draws.std() / np.sqrt(len(draws)) + 1e-12 * scale


def pair(angle, x=1.0, z=1.0, dimension=2):
    """Two inputs of given lengths at a given angle."""
    plane = np.linalg.qr(np.random.default_rng(5).standard_normal((dimension, 2)))[0].T
    return x * plane[0], z * (math.cos(angle) * plane[0] + math.sin(angle) * plane[1])


def relu(values):
    return np.maximum(values, 0)


def means_by_quadrature(angle, x=1.0, z=1.0):
    """E σ(u)σ(v) and E σ'(u)σ'(v), from the law of v given u: N(u z cos θ / x, z² sin² θ)."""
    spread = z * math.sin(angle)

    def given(value):
        mean = value * z / x * math.cos(angle)
        share = stats.norm.cdf(mean / spread)
        weight = stats.norm.pdf(value, scale=x)
        return (mean * share + spread * stats.norm.pdf(mean / spread)) * value * weight, share * weight

    return integrate.quad_vec(lambda value: np.array(given(value)), 0, 12 * x, epsabs=1e-13)[0]


def derivative(output, weights):
    """A derivative by all weights as one vector."""
    parts = torch.autograd.grad(output, list(weights), retain_graph=True)
    return torch.cat([part.flatten() for part in parts])


def small_net(layers=2, activation=nn.ReLU, outputs=1, parametrization="ntk", seed=0):
    """A net of three inputs, in float64."""
    kind = {"depth": layers, "num_outputs": outputs, "activation": activation}
    return models.fully_connected(3, 16, parametrization=parametrization, seed=seed, **kind).double()


def inputs(count, seed=3):
    return torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


F = said("3.1.6", r"\cos\theta_h")
GAUSSIAN = said("24.6", r"\mathbb E[\sigma(u)\,\sigma(v)]")
ORTHANT = said("24.3", r"\mathbb E[\sigma'(u)\,\sigma'(v)]")
ANGLE_ABOVE = said("L.2", r"\cos\theta_{l+1}", LAYERS)


def cosines_by_the_page(angle, layers):
    """cos θ_h for 2 ... `layers` layers by the recursion as it stands on the page."""
    step = sp.lambdify((here, above, total), said("L.6", r"\Theta_{l+1}", LAYERS))
    next_cosine = sp.lambdify(here, ANGLE_ABOVE)
    quotient = sp.lambdify((depth, total), said("L.7", r"\cos\theta_h", {r"\Theta_L": "total"}))
    total_here, cosines = np.cos(angle), []
    for count in range(2, layers + 1):
        cosine = np.clip(next_cosine(angle), -1, 1)
        total_here = step(angle, np.arccos(cosine), total_here)
        angle = np.arccos(cosine)
        cosines.append(quotient(count, total_here))
    return cosines


# The page and its tests


def test_every_step_is_tested_and_every_test_names_a_step_that_exists():
    tests = {name: test.__doc__ or "" for name, test in globals().items() if name.startswith("test_")}
    named = {name: re.findall(r"Step ([\w.]+\w)", text) for name, text in tests.items()}
    about_the_page = {name for name in named if "page" in name or "every_step" in name}
    assert all(named[name] for name in named.keys() - about_the_page)
    assert {step for steps in named.values() for step in steps} == set(STEPS)


def test_the_steps_of_the_page_are_numbered_without_gaps():
    found = MARKER.findall(PAGE)
    assert len(found) == len(set(found)) == len(STEPS) >= 90
    for before, after in pairwise(found):
        stem, number = after.rsplit(".", 1)
        assert (before == f"{stem}.{int(number) - 1}") or (
            number == "1" and not before.startswith(f"{stem}.")
        )


def test_a_wrong_formula_on_the_page_would_be_seen():
    assert expression(r"\frac{(\pi - \theta)\cos\theta + \sin\theta}{2\pi}", {}) == GAUSSIAN
    assert expression(r"\frac12 \bigl(f(1 - f)\bigr)^2", {}) == (f * (1 - f)) ** 2 / 2
    assert expression(r"-\log\frac{1-\delta}{\delta}\, e^{-h_0}", {}) == -sp.log(
        (1 - delta) / delta
    ) * sp.exp(-h_0)
    with pytest.raises(AssertionError, match="no formula"):
        stated("24.6", "nothing")


# Lemma A.2


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_mean_and_variances_of_the_gram_matrix(rows):
    """Step A.2.1, Step A.2.2, Step A.2.3: exact, from the moments of the normal law."""
    assert written("A.2.1", r"G_{ij} = \frac1m \sum_{k=1}^{m} A_{ki} A_{kj}")
    entries = sp.symbols(f"a:{2 * rows}")
    left, right = entries[:rows], entries[rows:]
    off, on = (
        sum(a * b for a, b in zip(left, other, strict=True)) / sp.Integer(rows) for other in (right, left)
    )
    assert normal_mean(off, *entries) == 0
    assert normal_mean(on, *entries) == 1
    off_variance, on_variance = (
        normal_mean(g**2, *entries) - normal_mean(g, *entries) ** 2 for g in (off, on)
    )
    assert off_variance == said("A.2.2", r"\operatorname{Var} G_{ij}").subs(m, rows)
    assert on_variance == said("A.2.3", r"\operatorname{Var} G_{ii}").subs(m, rows)


def test_chebyshev_with_a_square():
    """Step A.2.4: the exact tails of χ²/m obey the bound with ε², and break the one with ε (erratum E17)."""
    size = sp.Symbol("varepsilon")
    probability = r"P\bigl(\lvert G_{ij} - I_{ij}\rvert \ge \varepsilon\bigr)"
    bound = said("A.2.4", probability, {r"\operatorname{Var} G_{ij}": "first"})
    broken = []
    for rows in (1, 4, 100, 10_000):
        for value in (0.01, 0.1, 0.5, 1.0, 3.0):
            law = stats.chi2(rows, scale=1 / rows)
            tail = law.sf(1 + value) + law.cdf(1 - value)
            assert tail <= float(bound.subs({first: 2 / rows, size: value}))
            broken.append(tail > 2 / rows / value)
    assert any(broken)


UNION = r"\frac{1}{\varepsilon^2} \Bigl( d \cdot \frac2m + d(d-1) \cdot \frac1m \Bigr)"


def test_the_union_over_all_entries():
    """Step A.2.4: d variances of 2/m and d (d - 1) of 1/m, and the frequency in random matrices."""
    summed, union = stated("A.2.4", UNION, also_left=True)
    size = sp.Symbol("varepsilon")
    assert same(summed, union)
    assert same(union * size**2, d * 2 / m + d * (d - 1) / m)
    matrices = np.random.default_rng(0).standard_normal((4000, 60, 3))
    off = np.abs(np.einsum("nki,nkj->nij", matrices, matrices) / 60 - np.eye(3)).max(axis=(1, 2))
    for value in (0.5, 0.8):
        share = (off >= value).mean()
        assert share - 5 * np.sqrt(share / 4000) <= union.subs({d: 3, m: 60, size: value})


def test_the_squared_norm_of_a_random_vector():
    """Step A.2.5: the case d = 1, mean 1 and the variance of step A.2.3."""
    for rows in (1, 7, 100):
        law = stats.chi2(rows, scale=1 / rows)
        assert math.isclose(law.mean(), 1)
        assert math.isclose(law.var(), said("A.2.3", r"\operatorname{Var} G_{ii}").subs(m, rows))


# The two integrals


@pytest.mark.parametrize("angle", ANGLES)
def test_two_coordinates_are_enough(angle):
    """Step 24.1: polar coordinates of the plane of x and z; the direction uniform, the radius independent."""
    x, z = pair(angle, dimension=5)
    across = (z - math.cos(angle) * x) / math.sin(angle)
    a = np.random.default_rng(1).standard_normal((DRAWS, 5))
    r, direction = np.hypot(a @ x, a @ across), np.arctan2(a @ across, a @ x)
    for name, wanted in (("u", a @ x), ("v", a @ z)):
        page = sp.lambdify((sp.Symbol("r"), phi, theta), said("24.1", name))
        np.testing.assert_allclose(page(r, direction, angle), wanted, rtol=0, atol=1e-12)
    for wave in (np.cos, np.sin):
        for k in (1, 2, 3):
            assert agrees(wave(k * direction), 0)
            assert agrees(r**2 * wave(k * direction), 0)


def test_where_both_are_positive():
    """Step 24.2: the window on the page is where both cosines are positive."""
    low, middle, high = stated("24.2", r"\theta - \frac\pi2", also_left=True)
    assert middle == phi
    assert same(high - low, sp.pi - theta)
    direction = np.random.default_rng(2).uniform(-math.pi, math.pi, 20_000)
    for angle in (0.0, *ANGLES, math.pi):
        inside = (direction > float(low.subs(theta, angle))) & (direction < float(high))
        assert np.array_equal(inside, (np.cos(direction) > 0) & (np.cos(direction - angle) > 0))


@pytest.mark.parametrize("angle", ANGLES)
def test_how_often_both_are_positive(angle):
    """Step 24.3: against quadrature over the law of v given u."""
    assert math.isclose(ORTHANT.subs(theta, angle), means_by_quadrature(angle)[1], rel_tol=1e-10)


@pytest.mark.parametrize("angle", ANGLES)
def test_the_radius_goes_out(angle):
    """Step 24.4: E r² = 2, and what remains is an integral over the direction."""
    r = sp.Symbol("r", positive=True)
    assert sp.integrate(r**2 * r * sp.exp(-(r**2) / 2), (r, 0, sp.oo)) == 2
    assert written(
        "24.4", r"J = \int_{\theta - \pi/2}^{\pi/2} \cos\varphi\, \cos(\varphi - \theta)\, d\varphi"
    )
    circle = integrate.quad(lambda t: math.cos(t) * math.cos(t - angle), angle - math.pi / 2, math.pi / 2)[0]
    page = said("24.4", r"\mathbb E[\sigma(u)\,\sigma(v)]").subs(sp.Symbol("J"), circle)
    assert math.isclose(page, means_by_quadrature(angle)[0], rel_tol=1e-10)


def test_the_integral_over_the_direction():
    """Step 24.5: the product formula, and the integral over the window of step 24.2."""
    product, summed = stated("24.5", r"\cos\varphi\, \cos(\varphi - \theta)", also_left=True)
    assert same(product, summed)
    low, _, high = stated("24.2", r"\theta - \frac\pi2", also_left=True)
    assert same(sp.integrate(sp.expand_trig(product), (phi, low, high)), said("24.5", "J"))


def test_the_first_integral():
    """Step 24.6: put together, against quadrature, and at both ends."""
    whole = said("24.4", r"\mathbb E[\sigma(u)\,\sigma(v)]").subs(sp.Symbol("J"), said("24.5", "J"))
    assert same(whole, GAUSSIAN)
    assert GAUSSIAN.subs(theta, 0) == sp.Rational(1, 2)
    assert GAUSSIAN.subs(theta, sp.pi) == 0
    for angle in ANGLES:
        assert math.isclose(GAUSSIAN.subs(theta, angle), means_by_quadrature(angle)[0], rel_tol=1e-10)


@pytest.mark.parametrize("angle", ANGLES)
def test_inputs_of_other_lengths(angle):
    """Step 24.7: the first integral is multiplied by both lengths, the second stays."""
    longer, unchanged = means_by_quadrature(angle, x=2.5, z=0.4)
    assert math.isclose(longer, 2.5 * 0.4 * GAUSSIAN.subs(theta, angle), rel_tol=1e-9)
    assert math.isclose(unchanged, ORTHANT.subs(theta, angle), rel_tol=1e-9)


# Theorem 3.1


@pytest.mark.parametrize(("step", "activation"), [("3.1.1", nn.Identity), ("3.1.3", nn.ReLU)])
def test_inner_products_of_two_layer_derivatives(step, activation):
    """Step 3.1.1, Step 3.1.3: against automatic differentiation, exact at finite width."""
    net = small_net(activation=activation)
    A, v = (weights.detach().numpy() for weights in net.parameters())
    x, z = inputs(2)
    mine, other = (derivative(net(point[None]).sum(), net.parameters()) for point in (x, z))
    x, z = x.numpy(), z.numpy()
    ax, az, width = A @ x, A @ z, len(A)
    if step == "3.1.1":
        assert written(
            step, r"= x^\top \frac{A^\top A}{m}\, z + \frac{\lVert v\rVert^2}{m}\, \langle x, z\rangle"
        )
        page = x @ A.T @ A @ z / width + (v**2).sum() / width * (x @ z)
    else:
        assert written(
            step,
            r"= \frac1m \sum_{i=1}^{m} \sigma(a_i^\top x)\, \sigma(a_i^\top z) + \langle x, z\rangle\,"
            r"\frac1m \sum_{i=1}^{m} v_i^2\, \sigma'(a_i^\top x)\, \sigma'(a_i^\top z)",
        )
        active = (ax > 0) & (az > 0)
        page = (relu(ax) * relu(az)).mean() + x @ z * (v[0] ** 2 * active).mean()
    assert math.isclose(mine @ other, page, rel_tol=1e-12)


def test_limit_of_the_linear_net():
    """Step 3.1.2: the mean over random units, and the cosine."""
    x, z = pair(1.0, 1.5, 0.7, dimension=3)
    limit = said("3.1.2", r"\langle\nabla h_1(x), \nabla h_1(z)\rangle", LENGTHS)
    generator = np.random.default_rng(3)
    A, v = generator.standard_normal((DRAWS, 3)), generator.standard_normal(DRAWS)
    assert agrees((A @ x) * (A @ z) + v**2 * (x @ z), limit.subs(inner, x @ z))
    square = limit.subs(inner, length_x**2)
    assert math.isclose(
        (limit.subs(inner, x @ z) / sp.sqrt(square * square.subs(length_x, length_z))).subs(
            {length_x: 1.5, length_z: 0.7}
        ),
        math.cos(theory.derivative_angle(1.0, activation="linear")),
    )


@pytest.mark.parametrize("angle", [0.0, *ANGLES, math.pi])
def test_limit_of_the_relu_net(angle):
    """Step 3.1.4: the mean over random units."""
    left = r"\langle\nabla h_2(x), \nabla h_2(z)\rangle"
    x, z = pair(angle, 1.5, 0.7, dimension=3)
    values = {first: 1.5 * 0.7 * GAUSSIAN, second: ORTHANT, inner: x @ z, theta: angle}
    limit = said("3.1.4", left, INTEGRALS | LENGTHS).subs(values).subs(theta, angle)
    generator = np.random.default_rng(4)
    A, v = generator.standard_normal((DRAWS, 3)), generator.standard_normal(DRAWS)
    ax, az = A @ x, A @ z
    terms = relu(ax) * relu(az) + x @ z * v**2 * (ax > 0) * (az > 0)
    assert agrees(terms, limit, scale=1)


def test_equation_23():
    """Step 3.1.5: the two integrals inserted."""
    limit = said("3.1.4", r"\langle\nabla h_2(x), \nabla h_2(z)\rangle", INTEGRALS | LENGTHS)
    product = length_x * length_z * sp.cos(theta)
    inserted = limit.subs({first: length_x * length_z * GAUSSIAN, second: ORTHANT, inner: product})
    assert same(inserted, said("3.1.5", "K(x, z)", LENGTHS).subs(inner, product))


def test_equation_24_is_theorem_3_1_and_what_the_library_computes():
    """Step 3.1.6: divided by the norms."""
    kernel = said("3.1.5", "K(x, z)", LENGTHS).subs(inner, length_x * length_z * sp.cos(theta))
    square = kernel.subs(theta, 0).subs(length_z, length_x)
    assert same(square, said("3.1.6", "K(x, x)", LENGTHS))
    assert same(kernel / (length_x * length_z), F)
    theorem = re.search(r"\*\*Theorem 3\.1\.\*\*.+?\$\$\n\\cos\\theta_h = (.+?)\$\$", PAGE, re.DOTALL)
    assert same(expression(theorem[1], {}), F)
    grid = np.linspace(0, np.pi, 361)
    library = np.cos(theory.derivative_angle(grid))
    np.testing.assert_allclose(sp.lambdify(theta, F)(grid), library, rtol=0, atol=1e-15)


# Any depth


@pytest.mark.parametrize("angle", [0.0, *ANGLES, math.pi])
def test_images_of_one_layer(angle):
    """Step L.1: inner products of a wide layer's images, and the integral that they tend to."""
    limit = said("L.1", "S_l", LAYERS)
    assert same(limit, GAUSSIAN.subs(theta, here))
    quotient = r"\frac{\langle x^l, z^l\rangle}{\lVert x^{l-1}\rVert\, \lVert z^{l-1}\rVert} \to S_l"
    assert written("L.1", quotient)
    x, z = pair(angle, 0.6, 1.7, dimension=7)
    W = np.random.default_rng(6).standard_normal((DRAWS, 7))
    assert agrees(relu(W @ x) * relu(W @ z) / (0.6 * 1.7), limit.subs(here, angle), scale=1)


def test_norms_halve_and_angles_shrink():
    """Step L.2: division by the new norms."""
    limit = said("L.1", "S_l", LAYERS)
    assert limit.subs(here, 0) == sp.Rational(1, 2)
    assert same(limit / limit.subs(here, 0), ANGLE_ABOVE)
    angles = np.linspace(0.01, math.pi, 100)
    assert (np.arccos(sp.lambdify(here, ANGLE_ABOVE)(angles)) < angles).all()


def tangents(weights, point):
    """(m, p) derivatives of the last layer's units by all weights of the layers."""
    units = point
    for number, layer in enumerate(weights):
        units = layer @ units if number == 0 else layer @ units.relu() / math.sqrt(len(units))
    return torch.stack([derivative(unit, weights) for unit in units])


def random_layers(*sizes):
    generator = torch.Generator().manual_seed(8)
    shapes = [(after, before) for before, after in pairwise(sizes)]
    return [torch.randn(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes]


def test_units_of_the_first_layer():
    """Step L.3: exact for the first layer."""
    claim = r"\begin{cases} T_l & i = j , \\ 0 & i \ne j . \end{cases}"
    assert written("L.3", r"\langle\nabla g^l_i(x), \nabla g^l_j(z)\rangle \to" + claim)
    x, z = inputs(2)
    weights = random_layers(3, 5)
    torch.testing.assert_close(tangents(weights, x) @ tangents(weights, z).T, x @ z * torch.eye(5).double())


@pytest.mark.parametrize("sizes", [(3, 5, 4), (3, 5, 4, 6)])
def test_one_layer_up(sizes):
    """Step L.4: the sum over pairs of units below, exact at finite width."""
    assert written(
        "L.4",
        r"\langle\nabla g^{l+1}_i(x), \nabla g^{l+1}_j(z)\rangle = [i = j]\, \langle x^l, z^l\rangle"
        r"+ \frac1m \sum_{k, k'} W_{ik}\, W_{jk'} \times \sigma'_k(x)\, \sigma'_{k'}(z)\,"
        r"\langle\nabla g^l_k(x), \nabla g^l_{k'}(z)\rangle",
    )
    x, z = inputs(2)
    weights = random_layers(*sizes)
    top, width = weights[-1].detach(), sizes[-2]
    below = tangents(weights[:-1], x) @ tangents(weights[:-1], z).T
    units = []
    for point in (x, z):
        value = weights[0] @ point
        for before, layer in pairwise(weights[:-1]):
            value = layer @ value.relu() / math.sqrt(len(before))
        units.append(value.detach())
    gates = [(value > 0).double() for value in units]
    images = units[0].relu() @ units[1].relu() / width
    page = images * torch.eye(sizes[-1]).double() + (top * gates[0]) @ below @ (top * gates[1]).T / width
    torch.testing.assert_close(tangents(weights, x) @ tangents(weights, z).T, page, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, *ANGLES])
def test_one_layer_up_in_the_limit(angle):
    """Step L.5: means over many units below, for one unit and for two."""
    images, below = 0.37, 1.9
    page = said("L.5", "T_{l+1}", LAYERS).subs({here: angle, inner: images, single: below})
    x, z = pair(angle)
    generator = np.random.default_rng(9)
    a = generator.standard_normal((DRAWS, 2))
    own, other = generator.standard_normal((2, DRAWS))
    both = (a @ x > 0) & (a @ z > 0)
    assert agrees(images + own * own * both * below, page)
    assert agrees(own * other * both * below, 0)


def test_powers_of_two_cancel():
    """Step L.6: step L.5 in terms of Θ."""
    single_above = said("L.5", "T_{l+1}", LAYERS)
    inserted = single_above.subs({single: total / 2 ** (layer - 1), inner: sp.cos(above) / 2**layer})
    assert same(2**layer * inserted, said("L.6", r"\Theta_{l+1}", LAYERS))
    assert said("L.6", r"\Theta_1") == sp.cos(theta)
    assert said("L.6", r"2^l \langle x^l, z^l\rangle", LAYERS) == sp.cos(above)


def test_the_recursion_is_what_the_library_computes():
    """Step L.7: at every depth; for equal inputs each layer adds one."""
    grid = np.linspace(0, np.pi, 181)
    for layers, cosines in enumerate(cosines_by_the_page(grid, 9), start=2):
        library = np.cos(theory.derivative_angle(grid, depth=layers))
        # An arc cosine near 1 loses half the digits of an angle, and the cosine there is linear in the angle.
        np.testing.assert_allclose(cosines, library, rtol=0, atol=4e-8)
        assert cosines[0] == 1


def test_the_recursion_in_wide_nets():
    """Step L.7: mean inner product of derivatives of finite nets, extrapolated to infinite width."""
    angle = 1.0
    x, z = pair(angle, dimension=3)
    # Θ_3 = 4 T_3 = 3 cos θ_h.
    limit = 3 / 4 * np.cos(theory.derivative_angle(angle, depth=3))
    generator = np.random.default_rng(10)

    def product(width):
        A, W = generator.standard_normal((width, 3)), generator.standard_normal((width, width))
        v = generator.standard_normal(width)
        low = [A @ point for point in (x, z)]
        images = [relu(units) / math.sqrt(width) for units in low]
        high = [W @ image for image in images]
        backward = [v * (units > 0) / math.sqrt(width) for units in high]
        furthest = [(b @ W) * (units > 0) / math.sqrt(width) for b, units in zip(backward, low, strict=True)]
        last = relu(high[0]) @ relu(high[1]) / width
        return (
            last
            + (backward[0] @ backward[1]) * (images[0] @ images[1])
            + (furthest[0] @ furthest[1]) * (x @ z)
        )

    # The bias is c/m + O(1/m²): twice the mean at 2m minus the mean at m is free of c.
    narrow, wide = (np.array([product(width) for _ in range(1500)]) for width in (100, 200))
    error = math.hypot(2 * wide.std(), narrow.std()) / math.sqrt(1500)
    assert abs(2 * wide.mean() - narrow.mean() - limit) < 5 * error
    assert error < 0.02


def test_two_layers_are_theorem_3_1():
    """Step L.8: by algebra."""
    left = r"\frac12 \Bigl(\cos\theta_2 + \Bigl(1 - \frac{\theta}{\pi}\Bigr) \cos\theta\Bigr)"
    recursion, theorem = stated("L.8", left, LAYERS, also_left=True)
    assert same(recursion.subs(sp.cos(above), ANGLE_ABOVE.subs(here, theta)), theorem)
    assert same(theorem, F)


def test_linear_nets_of_any_depth():
    """Step L.9: the recursion, nets of finite width on average, and the table of erratum E23."""
    product = said("L.9", "T_{l+1}", LENGTHS | LAYERS)
    value = inner
    for layers in range(2, 7):
        value = product.subs(single, value)
        assert same(value, said("L.9", "T_L", LENGTHS).subs(depth, layers))
        assert theory.derivative_angle(1.0, depth=layers, activation="linear") == 1.0
    x, z = pair(1.0, 1.5, 0.7)
    generator = np.random.default_rng(11)
    A, W, v = (generator.standard_normal((20_000, *shape)) for shape in ((8, 2), (8, 8), (8,)))
    low, back = np.einsum("nij,kj->kni", A, [x, z]), np.einsum("ni,nij->nj", v, W)
    by_v = np.einsum("nij,knj->kni", W, low).prod(axis=0).sum(axis=1) / 64
    by_W = (v**2).sum(axis=1) * low.prod(axis=0).sum(axis=1) / 64
    by_A = (back**2).sum(axis=1) / 64 * (x @ z)
    assert agrees(by_v + by_W + by_A, 3 * (x @ z))
    for layers in (2, 3, 5):
        assert f"{np.degrees(theory.derivative_angle(np.pi / 2, depth=layers)):.2f}°" in ERRATA["23"]


# Corollary 3.2


def test_the_derivative():
    """Step 3.2.1: equation 27."""
    definition = re.search(r"\$\$\nF\(\\theta\) = (.+?)\$\$", PAGE, re.DOTALL)
    assert same(expression(definition[1], {}), F)
    assert same(sp.diff(F, theta), said("3.2.1", r"F'(\theta)"))


def always(function, low, high, holds, parts=2000):
    """Whether something holds of a function on a whole interval, by interval arithmetic."""
    ends = [mpmath.iv.mpf(low) + (mpmath.iv.mpf(high) - low) * k / parts for k in range(parts + 1)]
    return all(holds(function(mpmath.iv.mpf([a.a, b.b]))) for a, b in pairwise(ends))


def test_monotone_up_to_a_right_angle():
    """Step 3.2.2: neither term of the derivative is positive, and their sum is negative throughout."""
    slope = said("3.2.1", r"F'(\theta)")
    half = mpmath.iv.pi / 2
    assert len(slope.as_ordered_terms()) == 2
    assert always(sp.lambdify(theta, slope, mpmath.iv), 0, half, lambda value: value.b < 0)
    grid = np.linspace(0, np.pi / 2, 1001)
    for term in slope.as_ordered_terms():
        assert (sp.lambdify(theta, term)(grid) <= 1e-16).all()
    assert (np.diff(np.arccos(sp.lambdify(theta, F)(grid).clip(-1, 1))) > 0).all()


def test_the_range():
    """Step 3.2.3: the ends."""
    assert F.subs(theta, 0) == said("3.2.3", "F(0)")
    assert same(F.subs(theta, sp.pi / 2), said("3.2.3", r"F(\pi/2)"))
    assert f"{np.degrees(np.arccos(1 / (2 * np.pi))):.2f}°" in STEPS["3.2.3"]
    assert math.isclose(theory.derivative_angle(np.pi / 2), np.arccos(1 / (2 * np.pi)))


def test_the_expansion():
    """Step 3.2.4: the paper's terms and the next one."""
    page = said("3.2.4", r"F(\theta)", {r"+ O(\theta^4)": ""})
    assert same(sp.series(F, theta, 0, 4).removeO(), page)


def test_small_to_small_as_a_square_root():
    """Step 3.2.5: the law, and the example of erratum E22."""
    law = said("3.2.5", r"\theta_h", {r"\theta/\pi": "theta/pi"})
    assert sp.limit(2 * (1 - F) / law**2, theta, 0) == 1
    assert sp.limit(sp.diff(law, theta), theta, 0) == sp.oo
    angles = np.linspace(0, 1, 11)
    np.testing.assert_allclose(sp.lambdify(theta, law)(angles), theory.small_angle_law(angles), rtol=1e-15)
    for angle in (theory.small_angle_law(np.radians(1)), theory.derivative_angle(np.radians(1))):
        assert f"{np.degrees(angle):.2f}°" in ERRATA["22"]


def test_the_square_root_at_any_depth():
    """Step 3.2.6: the recursion of the deficit by algebra, its first order in 60 digits."""
    deficit = sp.Symbol("D_l")
    above_deficit = said("3.2.6", "D_{l+1}", LAYERS)
    inserted = layer + 1 - said("L.6", r"\Theta_{l+1}", LAYERS).subs(total, layer - deficit)
    assert same(above_deficit, inserted)
    first_order = said("3.2.6", "D_L")
    law = said("3.2.6", r"\theta_h", {r"(L-1)\,\theta/\pi": "(L-1)*theta/pi"})
    assert same(law**2, 2 * first_order / depth)
    small = mpmath.mpf("1e-15")
    step = sp.lambdify((layer, here, above, deficit), above_deficit, "mpmath")
    with mpmath.workdps(60):
        angle, value = small, 1 - mpmath.cos(small)
        for layers in range(2, 8):
            after = mpmath.acos(sp.lambdify(here, ANGLE_ABOVE, "mpmath")(angle))
            value, angle = step(layers - 1, angle, after, value), after
            # What is left out is of relative order θ, with a factor that grows with the depth.
            assert abs(value / first_order.subs({depth: layers, theta: small}) - 1) < 10 * layers * small
    for layers in range(2, 8):
        assert math.isclose(
            law.subs({depth: layers, theta: 0.01}), theory.small_angle_law(0.01, depth=layers)
        )


def test_the_corollary_at_any_depth():
    """Step 3.2.7: the derivative by algebra, the ends, and Θ falling without becoming negative."""
    slope = said("3.2.7", r"\frac{d\cos\theta_{l+1}}{d\theta_l}", LAYERS)
    assert same(sp.diff(ANGLE_ABOVE, here), slope)
    assert (ANGLE_ABOVE.subs(here, 0), ANGLE_ABOVE.subs(here, sp.pi)) == (1, 0)
    assert always(
        sp.lambdify(here, slope, mpmath.iv), "0.001", "3.141", lambda value: value.b < 0, parts=20_000
    )
    grid = np.linspace(0, np.pi / 2, 1001)
    for cosines in cosines_by_the_page(grid, 12):
        assert (np.diff(cosines) < 0).all()
        assert (cosines >= 0).all()


def test_the_crossing():
    """Step 3.2.8: where both angles are equal, once."""
    difference = said("3.2.8", r"F(\theta) - \cos\theta")
    assert same(F - sp.cos(theta), difference)
    assert same(difference.subs(sp.sin(theta), 2 * theta * sp.cos(theta)), 0)
    # tan θ/θ grows, as θ > sin θ cos θ.
    growth = (theta - sp.sin(theta) * sp.cos(theta)) / (theta**2 * sp.cos(theta) ** 2)
    assert sp.simplify(sp.diff(sp.tan(theta) / theta, theta) - growth) == 0
    crossing = theory.crossing_angle(2)
    assert abs(difference.subs(theta, crossing)) < 1e-15
    assert f"{np.degrees(crossing):.2f}°" in STEPS["3.2.8"]
    half = mpmath.iv.pi / 2
    beyond = sp.lambdify(theta, difference, mpmath.iv)
    assert always(beyond, half, mpmath.iv.pi, lambda value: value.a > 0)


def test_the_order_below_and_above_the_crossing():
    """Step 3.2.9: by the library's angles and the page's formula."""
    crossing = theory.crossing_angle(2)
    below, beyond = np.linspace(0.001, crossing, 500)[:-1], np.linspace(crossing, np.pi, 500)[1:]
    cosine = sp.lambdify(theta, F)
    assert (theory.derivative_angle(below) > below).all()
    assert (cosine(below) < np.cos(below)).all()
    assert (theory.derivative_angle(beyond) < beyond).all()
    assert (cosine(beyond) > np.cos(beyond)).all()


def test_the_top_beyond_a_right_angle():
    """Step 3.2.10: the slope in terms of π - θ, and its one zero."""
    slope = said("3.2.10", r"F'(\theta)")
    assert same(sp.diff(F, theta).subs(theta, sp.pi - u), slope)
    product, value = stated("3.2.10", r"u \tan u", also_left=True)
    # F' is 0 with u tan u = 1/2: both are cos u - 2u sin u, up to a factor that is not 0.
    assert same(2 * sp.pi * slope, sp.cos(u) * (1 - product / value))
    where, _ = theory.largest_derivative_angle(2)
    assert abs(float((product - value).subs(u, np.pi - where))) < 1e-14
    assert f"{np.degrees(where):.2f}°" in STEPS["3.2.10"]
    evaluate = sp.lambdify(u, slope, mpmath.iv)
    rest = np.pi - where
    assert always(evaluate, 0, rest - 1e-3, lambda found: found.a > 0)
    assert always(evaluate, rest + 1e-3, mpmath.iv.pi, lambda found: found.b < 0)
    falling = sp.lambdify(u, sp.diff(slope, u), mpmath.iv)
    assert always(falling, rest - 1e-3, rest + 1e-3, lambda found: found.b < 0)


def test_the_way_back():
    """Step 3.2.11: the value at the top, more than a right angle, and a right angle at the end."""
    page = said("3.2.11", r"F(\pi - u)")
    assert same(F.subs(theta, sp.pi - u).subs(sp.cos(u), 2 * u * sp.sin(u)), page)
    where, largest = theory.largest_derivative_angle(2)
    top = float(page.subs(u, np.pi - where))
    assert top < 0
    assert math.isclose(np.arccos(top), largest, rel_tol=1e-12)
    assert f"{np.degrees(largest):.2f}°" in STEPS["3.2.11"]
    assert F.subs(theta, sp.pi) == said("3.2.11", r"F(\pi)") == 0


# Equation 5

SIGMOID = 1 / (1 + sp.exp(-h))


def test_the_sigmoid():
    """Step 5.1: its derivative."""
    assert same(sp.diff(SIGMOID, h), said("5.1", r"\frac{df}{dh}").subs(f, SIGMOID))


def test_the_logistic_loss():
    """Step 5.2: its derivative by the logit."""
    loss = -y * sp.log(SIGMOID) - (1 - y) * sp.log(1 - SIGMOID)
    product, residual = stated("5.2", r"\frac{d\ell}{dh}")
    assert same(product, residual)
    assert sp.simplify(sp.diff(loss, h) - residual.subs(f, SIGMOID)) == 0
    for output in (0.1, 0.5, 0.8):
        library = theory.label_residuals(output)[:, 0]
        assert [float(residual.subs({f: output, y: label})) for label in (0, 1)] == pytest.approx(library)


def test_softmax_and_cross_entropy():
    """Step 5.3: the derivative by each logit, for any y whose entries add up to 1."""
    logits, labels = sp.symbols("h1:4", real=True), sp.symbols("y1:3")
    labels = (*labels, 1 - sum(labels))
    outputs = [sp.exp(logit) / sum(map(sp.exp, logits)) for logit in logits]
    loss = -sum(label * sp.log(output) for label, output in zip(labels, outputs, strict=True))
    names = {r"- y_c + f_c \sum_k y_k": "f - y", "f_c - y_c": "f - y"}
    residual = said("5.3", r"\frac{\partial\ell}{\partial h_c}", names)
    for logit, output, label in zip(logits, outputs, labels, strict=True):
        assert sp.simplify(sp.diff(sp.log(outputs[0]), logit) - (int(logit == logits[0]) - output)) == 0
        assert sp.simplify(sp.diff(loss, logit) - residual.subs({f: output, y: label})) == 0


@pytest.mark.parametrize("outputs", [1, 4])
def test_the_chain_rule(outputs):
    """Step 5.4: against automatic differentiation of the loss, and the library's residuals."""
    assert written("5.4", r"\nabla\ell = (f - y)\, \nabla h", r"\nabla\ell = \sum_c (f_c - y_c)\, \nabla h_c")
    net = small_net(outputs=outputs, parametrization="standard")
    logits = net(inputs(1))[0]
    by_logit = torch.stack([derivative(logit, net.parameters()) for logit in logits])
    for label in range(max(outputs, 2)):
        if outputs == 1:
            loss = nn.functional.binary_cross_entropy_with_logits(logits[0], torch.tensor(label).double())
            probabilities = logits.sigmoid()
        else:
            loss = nn.functional.cross_entropy(logits[None], torch.tensor([label]))
            probabilities = logits.softmax(0)
        residual = torch.from_numpy(theory.label_residuals(probabilities.detach().numpy())[label])
        page = (residual[:, None] * by_logit).sum(0)
        torch.testing.assert_close(derivative(loss, net.parameters()), page, rtol=1e-10, atol=1e-14)


# The mirror


def test_the_label_is_a_sign():
    """Step M.1: the residual's sign for any output."""
    for output in np.linspace(0.001, 0.999, 50):
        wrong_way, right_way = theory.label_residuals(output)[:, 0]
        assert wrong_way > 0 > right_way


def test_one_input_with_either_label():
    """Step M.2: exactly opposite gradients, and the ratio of their lengths."""
    factor = said("M.2", r"\nabla\ell_1", {r"\nabla\ell_0": "first"}) / first
    assert same(factor, (f - 1) / f)
    net = small_net(layers=3, parametrization="standard")
    for point in inputs(5):
        logit = net(point[None])[0, 0]
        losses = [
            nn.functional.binary_cross_entropy_with_logits(logit, torch.tensor(k).double()) for k in (0, 1)
        ]
        with_0, with_1 = (derivative(loss, net.parameters()) for loss in losses)
        page = float(factor.subs(f, logit.sigmoid().item())) * with_0
        torch.testing.assert_close(with_1, page, rtol=1e-10, atol=1e-14)


def loss_gradient(net, point, label):
    """Gradient of a sample's loss through the first logit, by automatic differentiation alone."""
    logits = net(point[None])
    if logits.shape[1] == 1:
        loss = nn.functional.binary_cross_entropy_with_logits(logits[0, 0], torch.tensor(label).double())
    else:
        loss = nn.functional.cross_entropy(logits, torch.tensor([label]))
    by_logit = torch.autograd.grad(loss, logits, retain_graph=True)[0][0, 0]
    return by_logit * derivative(logits[0, 0], net.parameters())


def between(one, other):
    """Angle between two vectors."""
    return math.acos(float(one @ other / (one.norm() * other.norm())))


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_mirror(outputs):
    """Step M.3: angles of samples with the clean sum, once with the true label and once with a wrong one."""
    mirrored = said("M.3", r"\angle(-a, g)", {r"\angle(a, g)": "first"})
    net = small_net(outputs=outputs)
    clean = sum(loss_gradient(net, point, 0) for point in inputs(6))
    for point in inputs(6, seed=4):
        with_true, with_wrong = (between(loss_gradient(net, point, label), clean) for label in (0, 1))
        assert math.isclose(with_wrong, mirrored.subs(first, with_true), rel_tol=1e-10)
    x, labels = torch.cat([inputs(6), inputs(6, seed=4)]), torch.arange(12) // 6
    library = gradients.sample_gradient_angles(net, x, labels, labels == 0, dtype=torch.float64)
    library = library.reshape(12, -1)[:, 0]
    assert math.isclose(library[-1], with_wrong, rel_tol=1e-10)


@pytest.mark.parametrize("outputs", [1, 3])
def test_pairs_of_samples(outputs):
    """Step M.4: two samples' gradients are θ_h apart if the labels agree, else the mirror image of that."""
    mirrored = said("M.4", r"\theta_g", {r"\theta_h": "first"})
    net, x = small_net(outputs=outputs), inputs(6)
    library = gradients.derivative_angles(net, x, logit=0, dtype=torch.float64).numpy()
    for i, j in combinations(range(6), 2):
        for mine, other in ((0, 0), (1, 1), (0, 1)):
            found = between(loss_gradient(net, x[i], mine), loss_gradient(net, x[j], other))
            expected = library[i, j] if mine == other else mirrored.subs(first, library[i, j])
            assert math.isclose(found, expected, rel_tol=1e-10)


# Equations 8 and 9


def ratio(true_class):
    """The page's ratio of a class, as a function of f_0."""
    return said("8.3", f"R^{{({true_class})}}")


@pytest.mark.parametrize("true_class", [0, 1])
def test_a_constant_output_has_one_residual_for_each_subset(true_class):
    """Step 8.1: gradients of summed losses of a net whose last layer holds nothing but a bias."""
    net = small_net(parametrization="standard")
    with torch.no_grad():
        net[-1].weight.zero_()
        net[-1].bias.fill_(0.7)
    output = 1 / (1 + math.exp(-0.7))
    x, noisy = inputs(10), torch.arange(10) < 3
    given = torch.where(noisy, 1 - true_class, true_class).double()
    logits = net(x)[:, 0]
    losses = nn.functional.binary_cross_entropy_with_logits(logits, given, reduction="none")
    sums = {r"\sum_{clean} \nabla h(x_i)": "first", r"\sum_{noise} \nabla h(x_i)": "first"}
    for subset, members in (("clean", ~noisy), ("noise", noisy)):
        # What the page writes down for class 1; in class 0 the residuals change places.
        written = subset if true_class == 1 else {"clean": "noise", "noise": "clean"}[subset]
        residual = said("8.1", f"g^{{(1)}}_{{{written}}}", sums).subs(f_0, output) / first
        page = float(residual) * derivative(logits[members].sum(), net.parameters())
        torch.testing.assert_close(
            derivative(losses[members].sum(), net.parameters()), page, rtol=1e-10, atol=1e-14
        )


def test_means_over_the_draw_of_the_noise():
    """Step 8.2: over all ways to place two wrong labels among six samples."""
    arrows = np.random.default_rng(12).standard_normal((6, 4))
    output, draws = 0.3, list(combinations(range(6), 2))
    noisy = sum(arrows[list(draw)].sum(axis=0) for draw in draws) / len(draws)
    for subset, found in (
        ("clean", (output - 1) * (arrows.sum(axis=0) - noisy)),
        ("noise", output * noisy),
    ):
        factor = said("8.2", rf"\mathbb E\, g^{{(1)}}_{{{subset}}}") / mu
        page = float(factor.subs({n: 6, delta: sp.Rational(1, 3), f_0: output})) * arrows.mean(axis=0)
        np.testing.assert_allclose(found, page, rtol=1e-12)


def test_ratios_at_any_output():
    """Step 8.3: the means of step 8.2 divided, and the library's ratio."""
    clean, noise = (said("8.2", rf"\mathbb E\, g^{{(1)}}_{{{subset}}}") for subset in ("clean", "noise"))
    assert same(-clean / noise, ratio(1))
    changed = {f_0: 1 - f_0}
    assert same(-clean.subs(changed) / noise.subs(changed), ratio(0))
    for level in (0.1, 0.4):
        for output in (0.2, 0.5, 0.9):
            values = {delta: level, f_0: output}
            assert math.isclose(ratio(1).subs(values), theory.gradient_ratio(level, output=output))
            assert math.isclose(ratio(0).subs(values), theory.gradient_ratio(level, output=1 - output))


def test_ratios_at_any_initial_logit():
    """Step 8.4: in terms of the logit, and what the library computes from residuals and from the logit."""
    for true_class in (0, 1):
        page = said("8.4", f"R^{{({true_class})}}")
        assert sp.simplify(ratio(true_class).subs(f_0, SIGMOID.subs(h, h_0)) - page) == 0
        for level, start in ((0.1, -1.3), (0.4, 0.0), (0.3, 2.0)):
            value = float(page.subs({delta: level, h_0: start}))
            assert math.isclose(value, theory.binary_gradient_ratios(level, start)[true_class])
            residuals = theory.label_residuals(1 / (1 + math.exp(-start)))
            matrix = [[1 - level, level], [level, 1 - level]]
            assert math.isclose(value, theory.initial_gradients(matrix, residuals).own_ratio[true_class])


def test_the_product_is_exact():
    """Step 8.5: equation 8 at h_0 = 0, and the geometric mean at any h_0."""
    ratios = [said("8.4", f"R^{{({true_class})}}") for true_class in (0, 1)]
    page = said("8.5", "R^{(0)} R^{(1)}")
    assert sp.simplify(ratios[0] * ratios[1] - page) == 0
    assert all(same(value.subs(h_0, 0) ** 2, page) for value in ratios)
    for start in (-2.0, 0.0, 0.7):
        mean = math.sqrt(theory.binary_gradient_ratios(0.4, start).prod())
        assert math.isclose(mean, theory.gradient_ratio(0.4))
        assert math.isclose(mean**2, page.subs(delta, 0.4))


def test_when_both_alphas_are_below_one():
    """Step 8.6: only within the threshold on the page; equal only at h_0 = 0."""
    threshold = said("8.6", r"\lvert h_0\rvert")
    for level in (0.1, 0.3, 0.4):
        limit = float(threshold.subs(delta, level))
        for start in np.linspace(-3, 3, 61):
            alphas = 1 / theory.binary_gradient_ratios(level, start)
            assert (alphas.max() < 1) == (abs(start) < limit)
            assert math.isclose(*alphas) == (abs(start) < 1e-12)
        assert theory.binary_gradient_ratios(level, 0.0) == pytest.approx((1 - level) / level)
    assert f"> {float(threshold.subs(delta, 0.4)):.3f}$" in ERRATA["3"]


def test_one_half_is_a_mean_over_nets():
    """Step 8.7: opposite logits, and the variance of one net's logit at any width."""
    assert sp.simplify(SIGMOID + SIGMOID.subs(h, -h) - 1) == 0
    moments, variance = stated(
        "8.7",
        r"\operatorname{Var} h_2(x)",
        LENGTHS
        | {
            r"\mathbb E[v_i^2]\; \mathbb E[\sigma(a_i^\top x)^2]": "first",
        },
    )
    assert moments == first
    assert same(variance, GAUSSIAN.subs(theta, 0) * length_x**2)
    x = pair(1.0, x=1.8, dimension=3)[0]
    generator = np.random.default_rng(13)
    A, v = generator.standard_normal((DRAWS // 4, 5, 3)), generator.standard_normal((DRAWS // 4, 5))
    logits = (v * relu(A @ x)).sum(axis=1) / math.sqrt(5)
    assert agrees(logits, 0)
    assert agrees(logits**2, variance.subs(length_x, 1.8))
    assert agrees(1 / (1 + np.exp(-logits)), 0.5)


@pytest.mark.parametrize("layers", [2, 3, 5])
def test_derivative_and_output_are_tied(layers):
    """Step 8.8: Euler's identity in nets without biases; mean of the product and product of the means."""
    left = r"\langle w, \nabla h(w; x)\rangle"
    factor = said("8.8", left, {"h(w; x)": "h"}).subs(depth, layers) / h
    net = small_net(layers=layers)
    weights = torch.cat([part.flatten() for part in net.parameters()]).detach()
    logits = net(inputs(20))[:, 0]
    arrows = torch.stack([derivative(logit, net.parameters()) for logit in logits])
    torch.testing.assert_close(arrows @ weights, int(factor) * logits.detach(), rtol=1e-10, atol=1e-12)
    residual = logits.detach().sigmoid()[:, None] - 1
    together, apart = (residual * arrows).mean(0), residual.mean() * arrows.mean(0)
    # Along w the difference is L times the covariance of f and h, and f grows with h.
    assert (together - apart) @ weights > 0


# Equations 10 to 12


def loss_of(net, x, targets):
    """Summed loss: (n,) targets for one logit, (n, C) for a softmax."""
    logits = net(x)
    if logits.shape[1] == 1:
        return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets, reduction="sum")
    return nn.functional.cross_entropy(logits, targets, reduction="sum")


def gradient(net, x, targets):
    """Gradient of the summed loss, by automatic differentiation."""
    return derivative(loss_of(net, x, targets), net.parameters()).detach()


def subset_sums(net, x, true, noisy):
    """The page's clean, noise, true and hat sums of each of two classes."""
    sums = []
    for members in (true == 0, true == 1):
        sums.append(
            {
                "clean": gradient(net, x[members & ~noisy], true[members & ~noisy]),
                "noise": gradient(net, x[members & noisy], 1 - true[members & noisy]),
                "true": gradient(net, x[members & noisy], true[members & noisy]),
                "hat": gradient(net, x[members], true[members]),
            }
        )
    return sums


def two_classes():
    """A net, 12 inputs, their true labels, and the noisy ones: a third of each class."""
    return (
        small_net(layers=3, parametrization="standard"),
        inputs(12),
        (torch.arange(12) // 6).double(),
        torch.arange(12) % 3 == 0,
    )


def opposite_points(logit=0.1):
    """A deep linear net in which assumption 4.1 is true: one input for class 1, minus it for class 0."""
    net, point = small_net(layers=3, activation=nn.Identity), inputs(1)
    point *= logit / net(point).item()
    true, noisy = (torch.arange(10) // 5).double(), torch.arange(10) % 5 < 2
    return net, torch.where(true[:, None] == 1, point, -point), true, noisy


def measured_alpha(noise, clean):
    """The α of assumption 4.1, which must be true."""
    alpha = -float(noise @ clean / (clean @ clean))
    torch.testing.assert_close(noise, -alpha * clean, rtol=1e-9, atol=1e-13)
    return alpha


def whole(net, x, targets):
    """Gradient of the mean loss."""
    return gradient(net, x, targets) / len(x)


def as_equal(found, page):
    torch.testing.assert_close(found, page, rtol=1e-10, atol=1e-12)


SUMS = {
    r"\hat g": "total",
    "g_{clean}": "first",
    "g_{true}": "second",
    "g_{noise}": "single",
    r"\mathbb E\, g_{clean}": "first",
}
WHOLE = {r"\nabla L(\hat D)": "first", r"\nabla L(D_{clean})": "first", r"\nabla L(D_{noise})": "second"}


def test_what_the_sum_with_true_labels_is_made_of():
    """Step 10.1: for both classes."""
    page = said("10.1", r"\hat g", SUMS)
    for sums in subset_sums(*two_classes()):
        as_equal(sums["hat"], int(page.coeff(first)) * sums["clean"] + int(page.coeff(second)) * sums["true"])


def test_a_noisy_sample_with_its_true_label():
    """Step 10.2: for either label; the factor is -1 only at one half."""
    factor = said("10.2", r"\nabla\ell_{1-y}", {r"\nabla\ell_y": "first"}) / first
    assert sp.solve(factor + 1, p) == [sp.Rational(1, 2)]
    net, x, true, noisy = two_classes()
    for point, label in zip(x[noisy], true[noisy], strict=True):
        given = 1 - label[None]
        size = abs(net(point[None]).sigmoid().item() - given.item())
        with_true, with_given = (gradient(net, point[None], target) for target in (label[None], given))
        as_equal(with_true, float(factor.subs(p, size)) * with_given)


def constant_net(bias, outputs=1):
    """A net whose last layer holds nothing but a bias."""
    net = small_net(parametrization="standard", outputs=outputs)
    with torch.no_grad():
        net[-1].weight.zero_()
        net[-1].bias.fill_(bias)
    return net


def test_where_equation_10_holds():
    """Step 10.3: what it is equivalent to; one half on the noisy samples, and one size for all of them."""
    assert written("10.3", r"\hat g = (1 + \alpha)\, g_{clean}")
    gap = said("10.1", r"\hat g", SUMS) - (1 + alpha) * first
    condition = second - said("10.3", "g_{true}", SUMS)
    assert same(gap, condition.subs(single, -alpha * first))
    half = constant_net(0.0)
    for sums in subset_sums(half, *two_classes()[1:]):
        as_equal(sums["true"], -sums["noise"])
        as_equal(sums["hat"], sums["clean"] - sums["noise"])
    factor = said("10.3", r"\hat g", SUMS) / first
    assert same(factor.subs(p, sp.Rational(1, 2)), 1 + alpha)
    for sums in subset_sums(*opposite_points(0.1)):
        values = {alpha: measured_alpha(sums["noise"], sums["clean"]), p: 1 / (1 + math.exp(-0.1))}
        as_equal(sums["hat"], float(factor.subs(values)) * sums["clean"])


ARROWS = np.random.default_rng(14).standard_normal((6, 4))


def test_the_draw_does_not_look_at_the_inputs():
    """Step 10.4: over all ways to make two of six samples noisy."""
    draws = [list(draw) for draw in combinations(range(6), 2)]
    true = np.mean([ARROWS[draw].sum(axis=0) for draw in draws], axis=0)
    clean = np.mean([np.delete(ARROWS, draw, axis=0).sum(axis=0) for draw in draws], axis=0)
    for subset, found in (("clean", clean), ("true", true)):
        factor = said("10.4", rf"\mathbb E\, g_{{{subset}}}", SUMS) / total
        np.testing.assert_allclose(found, float(factor.subs(delta, 1 / 3)) * ARROWS.sum(axis=0), rtol=1e-12)


@pytest.mark.parametrize("noisy", [1, 2, 3, 5])
def test_how_far_one_draw_is_from_the_mean(noisy):
    """Step 10.5: over all draws; of the order of the square root of the number of samples."""
    left = r"\mathbb E\, \lVert g_{clean} - (1 - \delta)\, \hat g\rVert^2"
    page = said("10.5", left)
    hat = ARROWS.sum(axis=0)
    squares = [
        ((np.delete(ARROWS, list(draw), axis=0).sum(axis=0) - (1 - noisy / 6) * hat) ** 2).sum()
        for draw in combinations(range(6), noisy)
    ]
    spread = ((ARROWS - hat / 6) ** 2).sum(axis=1).mean()
    values = {delta: sp.Rational(noisy, 6), sp.Symbol("n_c"): 6, sp.Symbol("V"): spread}
    assert math.isclose(np.mean(squares), page.subs(values), rel_tol=1e-12)
    size = sp.Symbol("n_c")
    assert sp.limit(page / size, size, sp.oo) == delta * (1 - delta) * sp.Symbol("V")


def test_the_exact_form_of_equation_10():
    """Step 10.6: from the means of step 10.4, and inserted in step 10.1."""
    clean, true = (said("10.4", rf"\mathbb E\, g_{{{subset}}}", SUMS) for subset in ("clean", "true"))
    assert same(said("10.6", "g_{true}", SUMS), true / clean * first)
    hat = said("10.1", r"\hat g", SUMS).subs(second, said("10.6", "g_{true}", SUMS))
    assert same(said("10.6", "g_{clean}", SUMS).subs(total, hat), first)


def test_equation_11():
    """Step 10.7: with 1/n, for the labels given and for the true ones."""
    assert written("10.7", r"\nabla L(D) = \frac1n \sum_c \bigl(g^{(c)}_{clean} + g^{(c)}_{noise}\bigr)")
    assert written("10.7", r"\nabla L(\hat D) = \frac1n \sum_c \hat g^{(c)}")
    net, x, true, noisy = two_classes()
    sums = subset_sums(net, x, true, noisy)
    given = torch.where(noisy, 1 - true, true)
    as_equal(whole(net, x, given), sum(own["clean"] + own["noise"] for own in sums) / 12)
    as_equal(whole(net, x, true), sum(own["hat"] for own in sums) / 12)


@pytest.mark.parametrize("logit", [-0.5, 0.3])
def test_proposition_4_2(logit):
    """Step 10.8: by algebra, and a whole gradient where assumption 4.1 and step 10.6 are true."""
    sides = stated("10.8", r"\nabla L(D)", WHOLE | {r"\sum_c g^{(c)}_{clean}": "total"})
    assert same(sides[0].subs(total, (1 - delta) * n * first), sides[1])
    factor = sides[1] / first
    assert same(said("10.8", r"\eta'") / eta, factor)
    net, x, true, noisy = opposite_points(logit)
    alphas = [measured_alpha(sums["noise"], sums["clean"]) for sums in subset_sums(net, x, true, noisy)]
    assert alphas[0] == pytest.approx(alphas[1])
    value = float(factor.subs({delta: 0.4, alpha: alphas[0]}))
    as_equal(whole(net, x, torch.where(noisy, 1 - true, true)), value * whole(net, x, true))
    assert math.isclose(value, theory.step_factor(0.4, alphas[0]))


def test_against_the_papers_rate():
    """Step 10.9: the quotient, where it is 1, and where it ends."""
    right = said("10.8", r"\eta'") / eta
    quotient = said("10.9", "Q")
    assert written("10.9", r"\eta(1 - \alpha)/(1 + \alpha)")
    assert same((1 - alpha) / (1 + alpha) / right, quotient)
    (start,) = sp.solve(quotient - 1, alpha)
    assert same(start, said("10.9", r"\alpha"))
    assert same(quotient.subs(alpha, 1), said("10.9", "Q_1"))
    assert sp.diff(quotient, alpha).subs({delta: 0.4, alpha: 0.8}) < 0
    for level in (0.4, 0.1):
        last = float(said("10.9", "Q_1").subs(delta, level))
        assert f"{last:.3f} for $\\delta = {level}$" in STEPS["10.9"]
        assert math.isclose(last, theory.paper_step_factor(1 - 1e-9) / theory.step_factor(level, 1 - 1e-9))


def test_one_alpha_for_both_classes():
    """Step 10.10: two factors, and a direction that is not that of the true labels."""
    assert written("10.10", r"\nabla L(D) = \frac{1 - \delta}{n} \sum_c (1 - \alpha^{(c)})\, \hat g^{(c)}")
    # Two inputs, one for each class, and a clean and a noisy copy of each: both steps before are exact.
    net, x = small_net(), inputs(2).repeat_interleave(5, dim=0)
    true, noisy = (torch.arange(10) // 5).double(), torch.arange(10) % 5 < 2
    sums = subset_sums(net, x, true, noisy)
    alphas = [measured_alpha(own["noise"], own["clean"]) for own in sums]
    page = 0.6 / 10 * sum((1 - a) * own["hat"] for a, own in zip(alphas, sums, strict=True))
    found = whole(net, x, torch.where(noisy, 1 - true, true))
    as_equal(found, page)
    assert abs(alphas[0] - alphas[1]) > 0.1
    assert between(found, whole(net, x, true)) > 0.1


# Label smoothing


def drawn(true, classes, wrong=None, level=None):
    """All label vectors and their probabilities: `wrong` in every class, or independent ones."""
    others = [[k for k in range(classes) if k != c] for c in true]
    if wrong is None:
        vectors = list(product(range(classes), repeat=len(true)))
        share = [[1 - level if k == c else level / (classes - 1) for k in range(classes)] for c in true]
        return [(v, math.prod(row[k] for row, k in zip(share, v, strict=True))) for v in vectors]
    by_class = [
        combinations([i for i, other in enumerate(true) if other == c], wrong) for c in sorted(set(true))
    ]
    vectors = []
    for draw in product(*by_class):
        flipped = [i for part in draw for i in part]
        for labels in product(*(others[i] for i in flipped)):
            vector = dict(enumerate(true)) | dict(zip(flipped, labels, strict=True))
            vectors.append(tuple(vector.values()))
    return [(vector, 1 / len(vectors)) for vector in vectors]


def targets_of(labels, outputs):
    """Labels as a loss takes them: numbers for one logit, one-hot rows for a softmax."""
    labels = torch.tensor(labels)
    return labels.double() if outputs == 1 else torch.eye(outputs, dtype=torch.float64)[labels]


def smoothed(of_true, of_uniform, level, classes):
    """The page's identity with given parts."""
    names = {r"\nabla L(\hat D)": "first", r"\nabla L(U)": "second"}
    page = said("S.3", r"\mathbb E\, \nabla L(D)", names).subs(kappa, KAPPA)
    share = [float(page.coeff(part).subs({delta: level, C: classes})) for part in (first, second)]
    return share[0] * of_true + share[1] * of_uniform


KAPPA = expression(re.search(r"\$\$\n\\kappa = (.+?)\$\$", PAGE, re.DOTALL)[1], {})


def test_the_mean_label():
    """Step S.1: both entries, and the library's smoothed labels."""
    own, other = (stated("S.1", left, also_left=True) for left in (r"1 - \delta", r"\frac{\delta}{C - 1}"))
    for sides in (own, other):
        assert same(sides[0], sides[1].subs(kappa, KAPPA))
    page = said("S.1", r"\mathbb E\, y", {r"\hat y": "first", "u": "second"})
    for truth, entry in ((1, own[0]), (0, other[0])):
        assert same(page.subs({first: truth, second: 1 / C, kappa: KAPPA}), entry)
    for classes in (2, 3, 10):
        library = theory.smoothed_labels([0], 0.3, num_classes=classes)[0]
        assert library[:2] == pytest.approx(
            [float(e[0].subs({delta: 0.3, C: classes})) for e in (own, other)]
        )
        assert math.isclose(KAPPA.subs({delta: 0.3, C: classes}), theory.smoothing(0.3, classes))


def test_the_mean_residual_of_one_sample():
    """Step S.2: by algebra, for any mean label of step S.1."""
    names = {r"\hat y": "first", "u": "second"}
    page = said("S.2", r"\mathbb E\, (f - y)", names)
    assert same(page, f - said("S.1", r"\mathbb E\, y", names))


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_identity(outputs):
    """Step S.3: over all draws of independent noise; gradients and losses, single samples and their mean."""
    classes, level = max(outputs, 2), 0.3
    net, x = small_net(outputs=outputs, parametrization="standard"), inputs(4)
    true = [0, 1, classes - 1, 0]
    hat, uniform = targets_of(true, outputs), torch.full_like(targets_of(true, outputs), 1 / classes)
    for chosen in ([0], [2], range(4)):
        chosen = list(chosen)
        draws = drawn([true[i] for i in chosen], classes, level=level)
        assert math.isclose(sum(share for _, share in draws), 1)
        for measure in (gradient, loss_of):
            found = sum(share * measure(net, x[chosen], targets_of(y, outputs)) for y, share in draws)
            page = smoothed(
                measure(net, x[chosen], hat[chosen]),
                measure(net, x[chosen], uniform[chosen]),
                level,
                classes,
            )
            torch.testing.assert_close(found, page, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("outputs", "wrong"), [(1, 1), (1, 2), (3, 1)])
def test_a_fixed_number_of_wrong_labels(outputs, wrong):
    """Step S.4: over all draws with so many wrong labels in every class, which are those of the library."""
    classes = max(outputs, 2)
    true = [c for c in range(classes) for _ in range(3)]
    net, x = small_net(outputs=outputs, parametrization="standard"), inputs(len(true))
    level = float(said("S.4", r"\delta", {"k / n_c": "k/n"}).subs({sp.Symbol("k"): wrong, n: 3}))
    draws = drawn(true, classes, wrong=wrong)
    found = sum(share * whole(net, x, targets_of(y, outputs)) for y, share in draws)
    hat = targets_of(true, outputs)
    page = smoothed(whole(net, x, hat), whole(net, x, torch.full_like(hat, 1 / classes)), level, classes)
    torch.testing.assert_close(found, page, rtol=0, atol=1e-12)
    library = {tuple(noise.uniform(true, level, num_classes=classes, seed=k).given) for k in range(40)}
    assert library <= {y for y, _ in draws}


@pytest.mark.parametrize("outputs", [1, 3])
def test_what_one_draw_adds(outputs):
    """Step S.5: at weights that have been trained on this very draw; constant where the derivatives are."""
    classes = max(outputs, 2)
    push = r"- \frac1n \sum_i \sum_k (y_{ik} - \mathbb E\, y_{ik})\, \nabla h_k(x_i)"
    assert written("S.5", r"\nabla L(D) = (1 - \kappa)\, \nabla L(\hat D) + \kappa\, \nabla L(U)" + push)
    x, true, given = inputs(4), [0, 1, classes - 1, 0], [0, 0, classes - 1, 1]
    hat, y = targets_of(true, outputs), targets_of(given, outputs)
    uniform = torch.full_like(hat, 1 / classes)
    surprise = y - smoothed(hat, uniform, 0.3, classes)
    linear = nn.Linear(3, outputs, bias=False).double()
    found = []
    for net in (small_net(outputs=outputs, parametrization="standard"), linear):
        for _ in range(3):
            step = whole(net, x, y)
            logits = net(x).reshape(surprise.shape)
            page = -derivative((surprise * logits).sum(), net.parameters()) / 4
            found.append(page)
            rest = step - smoothed(whole(net, x, hat), whole(net, x, uniform), 0.3, classes)
            torch.testing.assert_close(rest, page, rtol=0, atol=1e-12)
            moved(net, -0.5 * step)
    assert (found[2] - found[0]).norm() > 1e-3
    torch.testing.assert_close(found[5], found[3], rtol=0, atol=1e-15)


def moved(net, change):
    """Moves a net's weights in place."""
    flat = nn.utils.parameters_to_vector(net.parameters()).detach()
    nn.utils.vector_to_parameters(flat + change, net.parameters())


def test_the_size_of_what_one_draw_adds():
    """Step S.6: mean square over all independent flips of six labels."""
    page = said("S.6", "P^2", {r"\overline{\lVert\nabla h\rVert^2}": "first"})
    net, x, level = small_net(parametrization="standard"), inputs(6), 0.3
    arrows = torch.stack([derivative(logit, net.parameters()) for logit in net(x)[:, 0]])
    true = [0, 1, 1, 0, 1, 0]
    mean = torch.tensor([1 - level if c == 1 else level for c in true], dtype=torch.float64)
    found = sum(
        share * ((torch.tensor(y) - mean) @ arrows / 6).square().sum().item()
        for y, share in drawn(true, 2, level=level)
    )
    square = arrows.square().sum(1).mean().item()
    assert math.isclose(found, page.subs({delta: level, n: 6, first: square}), rel_tol=1e-12)


@pytest.mark.parametrize("outputs", [1, 3])
def test_at_the_start(outputs):
    """Step S.7: a net that puts out u, over all draws; the factor of step 10.8."""
    classes, level = max(outputs, 2), 0.3
    factor = said("S.7", r"\mathbb E\, \nabla L(D)", WHOLE) / first
    net, x, true = constant_net(0.0, outputs), inputs(4), [0, 1, classes - 1, 0]
    found = sum(
        share * whole(net, x, targets_of(y, outputs)) for y, share in drawn(true, classes, level=level)
    )
    value = float(factor.subs(kappa, KAPPA).subs({delta: level, C: classes}))
    page = value * whole(net, x, targets_of(true, outputs))
    torch.testing.assert_close(found, page, rtol=0, atol=1e-12)
    two, inserted = stated("S.7", r"1 - 2\delta", also_left=True)
    right = said("10.8", r"\eta'") / eta
    assert same(two, inserted)
    assert same(inserted, right.subs(alpha, said("10.9", r"\alpha")))
    assert same(two, factor.subs(kappa, KAPPA).subs(C, 2))


def linear_gradients(outputs, true, level):
    """Loss gradients at given outputs, on true and on smoothed labels, and the (n, C, p) derivatives."""
    samples, classes = outputs.shape
    features = np.random.default_rng(15).standard_normal((samples, classes, 40))
    weights = torch.zeros(40, dtype=torch.float64, requires_grad=True)
    logits = torch.from_numpy(np.log(outputs)) + torch.from_numpy(features) @ weights
    hat, mean = np.eye(classes)[true], theory.smoothed_labels(true, level, num_classes=classes)
    losses = [nn.functional.cross_entropy(logits, torch.from_numpy(y)) for y in (hat, mean)]
    return [derivative(loss, [weights]).numpy() for loss in losses], features


def test_the_same_direction_elsewhere():
    """Step S.8: both entries by algebra, and the gradients of four samples."""
    factor = said("S.8", r"\lambda")
    assert written("S.8", r"f - \mathbb E\, y = \lambda\, (f - \hat y)")
    own, wrong = 1 - (C - 1) * q, q
    assert same(own - (1 - delta), factor * (own - 1))
    assert same(wrong - delta / (C - 1), factor * wrong)
    assert same(factor.subs(q, 1 / C), 1 - KAPPA)
    assert sp.solve(factor, q) == [delta / (C - 1)]
    true, values = np.array([0, 1, 2, 0]), {delta: 0.3, C: 3, q: 0.2}
    outputs = np.where(np.eye(3)[true] == 1, 0.6, 0.2)
    (on_true, on_mean), _ = linear_gradients(outputs, true, 0.3)
    np.testing.assert_allclose(on_mean, float(factor.subs(values)) * on_true, rtol=1e-12, atol=1e-15)


def test_and_nowhere_else():
    """Step S.9: the condition by algebra; independent derivatives, and outputs that are not all equal."""
    lam = sp.Symbol("lambda")
    left, right = stated("S.9", r"(1 - \lambda)\, f_k", {r"\lambda": "first"}, also_left=True)
    output = sp.Symbol("f_k")
    assert same((left - right).subs(first, lam), (output - delta / (C - 1)) - lam * output)
    true = np.array([0, 1, 2, 0])
    outputs = np.where(np.eye(3)[true] == 1, 0.6, 0.2)
    for sample, row in ((1, [0.25, 0.5, 0.25]), (2, [0.15, 0.25, 0.6])):
        other = outputs.copy()
        other[sample] = row
        (on_true, on_mean), features = linear_gradients(other, true, 0.3)
        assert np.linalg.matrix_rank(features.reshape(12, 40)) == 12
        assert math.degrees(between(*map(torch.from_numpy, (on_true, on_mean)))) > 1


def test_the_optimum():
    """Step S.10: what other outputs cost, the inequality behind it, and descent that ends there."""
    assert written("S.10", r"\sum_k T_k \log\frac{T_k}{f_k} \ge 0", r"\log s \le s - 1")
    s = sp.Symbol("s", positive=True)
    assert sp.solve(sp.diff(s - 1 - sp.log(s), s)) == [1]
    assert sp.diff(s - 1 - sp.log(s), s, 2).subs(s, 1) > 0
    for classes, level in ((2, 0.4), (3, 0.3), (10, 0.3)):
        values = {delta: level, C: classes}
        mean = np.full(classes, float(said("S.10", "f_{wrong}").subs(values)))
        mean[0] = float(said("S.10", "f_{true}").subs(values))
        np.testing.assert_allclose(mean, theory.smoothed_labels([0], level, num_classes=classes)[0])
        for output in np.random.default_rng(16).dirichlet(np.ones(classes), 20):
            cost = -mean @ np.log(output) + mean @ np.log(mean)
            assert math.isclose(cost, mean @ np.log(mean / output), rel_tol=1e-9)
            assert cost > 0
        logits = np.zeros(classes)
        for _ in range(3000):
            output = np.exp(logits) / np.exp(logits).sum()
            logits -= output - mean
        np.testing.assert_allclose(output, mean, rtol=0, atol=1e-12)


def test_residuals_at_the_optimum():
    """Step S.11: norms of the residual vectors, the one logit, and the numbers."""
    ends = [said("S.11", rf"\lVert f - y\rVert^2_{{{k}}}").subs(kappa, KAPPA) for k in ("clean", "noise")]
    start = said("S.11", "r_0", {"1/C": "1/C"})
    for classes, level in ((2, 0.4), (3, 0.3), (10, 0.3), (10, 0.4)):
        values = {delta: level, C: classes}
        output = theory.smoothed_labels([0], level, num_classes=classes)[0]
        for label, square in zip(np.eye(classes)[:2], ends, strict=True):
            assert math.isclose(((output - label) ** 2).sum(), square.subs(values), rel_tol=1e-12)
        begun = np.linalg.norm(np.full(classes, 1 / classes) - np.eye(classes)[0])
        assert math.isclose(begun, start.subs(C, classes))
        residuals = (
            theory.plateau(level, classes).clean_residual,
            theory.plateau(level, classes).noisy_residual,
        )
        expected = [level, 1 - level] if classes == 2 else [math.sqrt(end.subs(values)) for end in ends]
        assert residuals == pytest.approx(expected)
    assert written("S.11", r"\delta \sqrt{C/(C - 1)}")
    assert same(ends[0], delta**2 * C / (C - 1))
    values = {delta: 0.3, C: 10}
    for value in (*ends, start**2):
        assert f"{math.sqrt(value.subs(values)):.3f}" in STEPS["S.11"]


def test_losses_at_the_optimum():
    """Step S.12: cross-entropies, and on which side of their start they are."""
    clean, noisy = (said("S.12", rf"\ell_{{{subset}}}") for subset in ("clean", "noise"))
    for classes, level in ((2, 0.4), (3, 0.6), (10, 0.3), (10, 0.89)):
        output = torch.from_numpy(theory.smoothed_labels([0], level, num_classes=classes)).log()
        values = {delta: level, C: classes}
        for label, page in ((0, clean), (1, noisy)):
            found = nn.functional.cross_entropy(output, torch.tensor([label])).item()
            assert math.isclose(found, page.subs(values), rel_tol=1e-12)
        assert clean.subs(values) < math.log(classes) < noisy.subs(values)
        library = theory.plateau(level, classes)
        assert (library.clean_loss, library.noisy_loss) == pytest.approx(
            [float(page.subs(values)) for page in (clean, noisy)]
        )


# Theorem 4.4


def parts(net, x, true, noisy):
    """Gradients of mean losses: on given labels of all, clean and noisy samples, and on true labels."""
    given = torch.where(noisy, 1 - true, true)
    return (
        whole(net, x, given),
        whole(net, x[~noisy], given[~noisy]),
        whole(net, x[noisy], given[noisy]),
        whole(net, x, true),
    )


def test_sums_and_means():
    """Step 4.4.1: for both subsets."""
    net, x, true, noisy = two_classes()
    _, of_clean, of_noisy, _ = parts(net, x, true, noisy)
    sums = subset_sums(net, x, true, noisy)
    for subset, mean, symbol in (("clean", of_clean, first), ("noise", of_noisy, second)):
        page = said("4.4.1", rf"\sum_c g^{{(c)}}_{{{subset}}}", WHOLE) / symbol
        as_equal(sum(own[subset] for own in sums), float(page.subs({delta: 1 / 3, n: 12})) * mean)


def test_assumption_4_1_in_means():
    """Step 4.4.2: from step 4.4.1, and in a net where the assumption is true."""
    clean, noisy = (said("4.4.1", rf"\sum_c g^{{(c)}}_{{{k}}}", WHOLE) for k in ("clean", "noise"))
    page = said("4.4.2", r"\nabla L(D_{noise})", WHOLE)
    assert same(noisy.subs(second, page), -alpha * clean)
    net, x, true, noisy = opposite_points(0.2)
    _, of_clean, of_noisy, _ = parts(net, x, true, noisy)
    assert math.isclose(measured_alpha(of_noisy, of_clean), 1.5 * opposite_alpha(0.2), rel_tol=1e-9)
    as_equal(of_noisy, alpha_value(page / first, 0.2) * of_clean)


def opposite_alpha(logit):
    """α of `opposite_points`: its noise level is 2/5."""
    return 2 / 3 * math.exp(logit)


def alpha_value(factor, logit):
    return float(factor.subs({delta: 0.4, alpha: opposite_alpha(logit)}))


def test_the_full_gradient_in_terms_of_either():
    """Step 4.4.3: three formulas, by algebra and in the two nets."""
    lines = [
        expression(line.split("=", 1)[1], WHOLE)
        for line in formulas("4.4.3")[0]
        if squeezed(line).startswith(squeezed(r"\nabla L(D) ="))
    ]
    mixed, by_clean, by_noisy = lines
    noisy_mean = said("4.4.2", r"\nabla L(D_{noise})", WHOLE)
    assert same(mixed.subs(second, noisy_mean), by_clean)
    assert same(by_noisy.subs(second, noisy_mean), by_clean)
    full, of_clean, of_noisy, _ = parts(*two_classes())
    as_equal(full, 2 / 3 * of_clean + 1 / 3 * of_noisy)
    assert same(mixed, (1 - delta) * first + delta * second)
    full, of_clean, of_noisy, _ = parts(*opposite_points(0.2))
    as_equal(full, alpha_value(by_clean / first, 0.2) * of_clean)
    as_equal(full, alpha_value(by_noisy / second, 0.2) * of_noisy)
    assert alpha_value(by_clean / first, 0.2) > 0 > alpha_value(by_noisy / second, 0.2)


def test_equation_30():
    """Step 4.4.4: from step 10.8, and in a net where the assumption is true."""
    page = said("4.4.4", r"\nabla L(\hat D)", WHOLE)
    full = -delta * (1 - alpha) / alpha * second
    assert same(page, full / (said("10.8", r"\eta'") / eta))
    _, _, of_noisy, of_true = parts(*opposite_points(0.2))
    as_equal(of_true, alpha_value(page / second, 0.2) * of_noisy)


def slopes(net, x, true, noisy, eta):
    """Derivatives by η of the clean and the noisy loss along the step, by central differences."""
    given = torch.where(noisy, 1 - true, true)
    step = whole(net, x, given)
    losses = []
    for change in (-eta, eta):
        moved(net, -change * step)
        losses.append([loss_of(net, x[m], given[m]).item() / len(x[m]) for m in (~noisy, noisy)])
        moved(net, change * step)
    return (np.array(losses[1]) - losses[0]) / (2 * eta)


SQUARES = {
    r"\lVert\nabla L(D_{clean})\rVert^2": "first",
    r"\lVert\nabla L(D_{noise})\rVert^2": "second",
}


@pytest.mark.parametrize("logit", [-0.5, 0.2])
def test_derivatives_along_the_step(logit):
    """Step 4.4.5: theorem 4.4; against losses a small way along the step."""
    net, x, true, noisy = opposite_points(logit)
    _, of_clean, of_noisy, _ = parts(net, x, true, noisy)
    found = slopes(net, x, true, noisy, 1e-3)
    for subset, own, slope, symbol in (
        ("clean", of_clean, found[0], first),
        ("noise", of_noisy, found[1], second),
    ):
        page = said("4.4.5", rf"\frac{{d}}{{d\eta}} L(D_{{{subset}}})", SQUARES) / symbol
        assert math.isclose(slope, alpha_value(page, logit) * (own @ own).item(), rel_tol=1e-5)
    assert found[0] < 0 < found[1]


def test_how_small():
    """Step 4.4.6: both bounds at step lengths up to the limit, in a net without hidden layers."""
    bound, limit = said("4.4.6", "B", SQUARES), said("4.4.6", r"\eta")
    rate_of, steepness = sp.Symbol("a"), sp.Symbol("beta")
    assert sp.solve(bound, eta) == [limit]
    _, x, true, noisy = opposite_points(0.1)
    net = nn.Linear(3, 1, bias=False).double()
    moved(net, 0.1 * x[-1] / x[-1].square().sum() - nn.utils.parameters_to_vector(net.parameters()).detach())
    given = torch.where(noisy, 1 - true, true)
    full, of_clean, of_noisy, _ = parts(net, x, true, noisy)
    start = [loss_of(net, x[m], given[m]).item() / m.sum().item() for m in (~noisy, noisy)]
    # h = <w, x> has second derivatives of the loss of at most a quarter of the squared length of x.
    steepest = x[0].square().sum().item() / 4
    rates = [alpha_value((1 - delta) * (1 - alpha), 0.1), alpha_value(delta * (1 - alpha) / alpha, 0.1)]
    for number, (rate, own, members) in enumerate(
        zip(rates, (of_clean, of_noisy), (~noisy, noisy), strict=True)
    ):
        values = {first: (own @ own).item(), rate_of: rate, steepness: steepest}
        for share in (0.01, 0.3, 0.9, 0.999):
            length = share * float(limit.subs(values))
            moved(net, -length * full)
            after = loss_of(net, x[members], given[members]).item() / members.sum().item()
            moved(net, length * full)
            largest = float(bound.subs(values | {eta: length}))
            assert largest < 0
            change = after - start[number]
            assert change <= largest if number == 0 else change >= -largest


def test_what_the_paper_leans_on():
    """Step 4.4.7: over all draws, and not in each of them."""
    assert written("4.4.7", r"\mathbb E\, L(D_{clean}) = L(\hat D)")
    net, x, true, _ = two_classes()
    losses = nn.functional.binary_cross_entropy_with_logits(net(x)[:, 0], true, reduction="none").detach()
    clean = []
    for y, _ in drawn([int(c) for c in true], 2, wrong=2):
        clean.append(losses[torch.tensor(y) == true].mean().item())
    assert math.isclose(np.mean(clean), losses.mean(), rel_tol=1e-12)
    assert np.std(clean) > 1e-3


def test_accuracies_need_not_follow():
    """Step 4.4.8: small steps of the page's example, with both classes written out."""
    weight = sp.Symbol("w")
    logits = [said("4.4.8", f"h_{k}") for k in (1, 2, 3)]
    slope = np.array([float(sp.diff(logit, weight)) for logit in logits])
    offset = np.array([float(logit.subs(weight, 0)) for logit in logits])
    # Class 1 and its mirror image; the third sample of each is noisy.
    slope, offset = np.r_[slope, -slope], np.r_[offset, -offset]
    true, noisy = np.repeat([1, 0], 3), np.tile([False, False, True], 2)
    given = np.where(noisy, 1 - true, true)
    w, rate, history = 0.0, 0.01, []
    for _ in range(1000):
        logits = offset + slope * w
        arrows = (1 / (1 + np.exp(-logits)) - given) * slope
        wrong, right = (np.array([arrows[(true == c) & m].sum() for c in (0, 1)]) for m in (noisy, ~noisy))
        alphas = -wrong / right
        assert math.isclose(*alphas)
        losses = np.log1p(np.exp(np.where(given == 1, -logits, logits)))
        error = ((logits > 0) != given)[~noisy].mean()
        history.append((w, alphas[0], losses[~noisy].mean(), losses[noisy].mean(), error))
        if w == 1:
            break
        w = min(1.0, w - rate * arrows.mean())
    weights, alphas, clean, noise_losses, errors = np.array(history).T
    assert weights[-1] == 1
    assert ((alphas > 0) & (alphas < 1)).all()
    assert (np.diff(clean) < 0).all()
    assert (np.diff(noise_losses) > 0).all()
    assert errors[0] == 0.5
    assert errors[-1] == 1
    assert np.array_equal(errors == 1, weights > 0.5)
    for value in (alphas[0], alphas[-1], clean[0], clean[-1]):
        assert f"{value:.3f}" in STEPS["4.4.8"]


# Theorem 4.5

WEIGHTS, SAMPLES = 12, 7


class Linearised(nn.Module):
    """h_i = b_i + <a_i, w>: a wide net, seen from its start. Inputs are the numbers of the samples."""

    def __init__(self, seed=17):
        super().__init__()
        generator = np.random.default_rng(seed)
        self.arrows = torch.from_numpy(generator.standard_normal((SAMPLES, WEIGHTS)))
        self.start = torch.from_numpy(generator.standard_normal(SAMPLES))
        self.w = nn.Parameter(torch.from_numpy(generator.standard_normal(WEIGHTS)) / 4)

    def forward(self, numbers):
        return (self.start[numbers] + self.arrows[numbers] @ self.w)[:, None]


EVERY = torch.arange(SAMPLES)
LABELS = torch.tensor([1, 0, 0, 1, 1, 0, 1]).double()


def hessian(net, weights):
    """The page's Hessian of the mean loss at given weights."""
    output = (net.start + net.arrows @ weights).sigmoid()
    return (net.arrows.T * (output * (1 - output))) @ net.arrows / SAMPLES


def test_the_hessian():
    """Step 4.5.1: against automatic differentiation, twice."""
    assert written("4.5.1", r"H(w) = \frac1N \sum_{i \in S} f_i (1 - f_i)\, a_i a_i^\top")
    net = Linearised()

    def mean_loss(weights):
        return nn.functional.binary_cross_entropy_with_logits(net.start + net.arrows @ weights, LABELS)

    found = torch.autograd.functional.hessian(mean_loss, net.w.detach())
    as_equal(found, hessian(net, net.w.detach()))


def test_positive_semi_definite_and_no_more():
    """Step 4.5.2: the quadratic form, and as many zeros as there are more weights than samples."""
    page = r"v^\top H v = \frac1N \sum_{i \in S} f_i (1 - f_i)\, \langle a_i, v\rangle^2 \ge 0"
    assert written("4.5.2", page)
    net = Linearised()
    matrix, output = hessian(net, net.w.detach()), net(EVERY)[:, 0].sigmoid().detach()
    for v in torch.randn(5, WEIGHTS, dtype=torch.float64, generator=torch.Generator().manual_seed(0)):
        as_equal(v @ matrix @ v, (output * (1 - output) * (net.arrows @ v) ** 2).mean())
    values = torch.linalg.eigvalsh(matrix)
    assert (values[: WEIGHTS - SAMPLES].abs() < 1e-14).all()
    assert (values[WEIGHTS - SAMPLES :] > 1e-3).all()


@pytest.mark.parametrize("seed", range(5))
def test_strict_on_the_gradient(seed):
    """Step 4.5.3: the inner product as it stands, and a positive form at other weights."""
    assert written("4.5.3", r"\lVert g\rVert^2 = \frac1N \sum_{i \in S} (f_i - y_i)\, \langle a_i, g\rangle")
    net = Linearised(seed)
    g, output = whole(net, EVERY, LABELS), net(EVERY)[:, 0].sigmoid().detach()
    as_equal(g @ g, ((output - LABELS) * (net.arrows @ g)).mean())
    assert g @ hessian(net, torch.zeros(WEIGHTS).double()) @ g > 1e-3
    # A vector that the form does not see is orthogonal to all derivatives, and so to g.
    blind = torch.linalg.svd(net.arrows).Vh[SAMPLES:]
    torch.testing.assert_close(blind @ g, torch.zeros(WEIGHTS - SAMPLES).double(), rtol=0, atol=1e-13)


def mean_hessian(net, step):
    """M of the page by Gauss-Legendre quadrature, exact to rounding for a step of moderate length."""
    nodes, shares = np.polynomial.legendre.leggauss(40)
    pairs = zip((nodes + 1) / 2, shares / 2, strict=True)
    return sum(share * hessian(net, net.w.detach() + s * step) for s, share in pairs)


def test_from_one_step_to_the_next():
    """Step 4.5.4: the integral, and that no single point on the way does as well."""
    assert written(
        "4.5.4",
        r"\nabla L(w + \Delta; S) - \nabla L(w; S) = M \Delta",
        r"M = \int_0^1 H(w + s\Delta)\, ds",
    )
    net = Linearised()
    before, start = whole(net, EVERY, LABELS), net.w.detach().clone()
    step = -2 * before
    page = mean_hessian(net, step) @ step
    points = [hessian(net, start + s * step) @ step for s in np.linspace(0, 1, 1001)]
    moved(net, step)
    found = whole(net, EVERY, LABELS) - before
    as_equal(found, page)
    assert min((found - point).norm() for point in points) > 1e-3 * found.norm()


@pytest.mark.parametrize("seed", range(3))
def test_the_matrix_m(seed):
    """Step 4.5.5: symmetric, semi-definite, strict on the gradient, and no eigenvalue beyond the bound."""
    assert written("4.5.5", r"\mu = \frac{1}{4N} \sum_{i \in S} \lVert a_i\rVert^2")
    assert sp.maximum(f * (1 - f), f, sp.Interval(0, 1)) == sp.Rational(1, 4)
    net = Linearised(seed)
    g = whole(net, EVERY, LABELS)
    matrix = mean_hessian(net, -g)
    as_equal(matrix, matrix.T)
    values = torch.linalg.eigvalsh(matrix)
    assert values.min() > -1e-14
    assert values.max() <= net.arrows.square().sum(1).mean() / 4
    assert g @ matrix @ g > 1e-3


def test_the_step_in_terms_of_the_gradient():
    """Step 4.5.6: the factors of step 4.4.3."""
    a, b = (said("4.5.6", name) for name in ("a", "b"))
    full, of_clean, of_noisy, _ = parts(*opposite_points(0.2))
    as_equal(-full, -alpha_value(a, 0.2) * of_clean)
    as_equal(-full, alpha_value(b, 0.2) * of_noisy)


NORMS = {
    r"\lVert g\rVert^2": "total",
    r"g^\top M g": "first",
    r"\lVert M g\rVert^2": "second",
    "a": "single",
    "b": "single",
}


@pytest.mark.parametrize("step", ["4.5.7", "4.5.8"])
@pytest.mark.parametrize("seed", range(3))
def test_gradients_shrink_and_grow(step, seed):
    """Step 4.5.7, Step 4.5.8: along -g up to the limit, along g at any length; the squares by the page."""
    names = {"\\eta": "eta"} | {key: value for key, value in NORMS.items() if key not in "ab"}
    letter = "a" if step == "4.5.7" else "b"
    page = said(step, r"\lVert g'\rVert^2", names).subs(sp.Symbol(letter), single)
    sign = -1 if step == "4.5.7" else 1
    net = Linearised(seed)
    start, g = net.w.detach().clone(), whole(net, EVERY, LABELS)
    bound = net.arrows.square().sum(1).mean().item() / 4
    limit = 2 / bound
    if step == "4.5.7":
        assert written(step, r"\eta < \frac{2}{a \mu}", r"\lVert M g\rVert^2 \le \mu\, g^\top M g")
    for share in (0.01, 0.5, 0.99, 3.0):
        if share > 1 and sign < 0:
            continue
        length = share * limit
        matrix = mean_hessian(net, sign * length * g)
        form, square = (g @ matrix @ g).item(), (matrix @ g).square().sum().item()
        moved(net, sign * length * g)
        after = whole(net, EVERY, LABELS).square().sum().item()
        moved(net, start - net.w.detach())
        values = {total: (g @ g).item(), first: form, second: square, single: 1, eta: length}
        assert math.isclose(after, page.subs(values), rel_tol=1e-9)
        assert square <= bound * form
        assert (after < g @ g) if sign < 0 else (after > g @ g)


def two_points(geometry, level=0.4, samples=20, rate=0.5, steps=40):
    """Descent in the two-point net, sample by sample, and the derivatives of both classes.

    A row for each step: logit of class 1, α of both classes, mean noisy loss, factor of the gradient on the
    true labels in the whole gradient, and the whole gradient.
    """
    derivatives = np.array([[1.2, 0.0], [0.0, 1.2] if geometry == "orthogonal" else [-1.2, 0.0]])
    true = np.repeat([1, 0], samples // 2)
    noisy = np.tile(np.arange(samples // 2) < round(level * samples / 2), 2)
    given, a = np.where(noisy, 1 - true, true), derivatives[np.where(true == 1, 0, 1)]
    w, rows = np.zeros(2), []
    for _ in range(steps):
        logits = a @ w
        outputs = 1 / (1 + np.exp(-logits))
        arrows = (outputs - given)[:, None] * a
        full, on_true = arrows.mean(axis=0), ((outputs - true)[:, None] * a).mean(axis=0)
        alphas = []
        for c in (1, 0):
            wrong, right = (arrows[(true == c) & m].sum(axis=0) for m in (noisy, ~noisy))
            alphas.append(-wrong @ right / (right @ right))
            np.testing.assert_allclose(wrong, -alphas[-1] * right, rtol=0, atol=1e-14)
        losses = np.log1p(np.exp(np.where(given == 1, -logits, logits)))
        rows.append((logits[0], *alphas, losses[noisy].mean(), full @ on_true / (on_true @ on_true), full))
        w = w - rate * full
    return rows, derivatives


GEOMETRIES = pytest.mark.parametrize("geometry", ["orthogonal", "opposite"])


@GEOMETRIES
def test_theorem_4_5(geometry):
    """Step 4.5.9: from the norms, and a sequence that grows where the assumption is true."""
    names = {
        r"\lVert\nabla L(D_{noise})\rVert": "second",
        r"\lVert\nabla L(D_{clean})\rVert": "first",
    }
    page = said("4.5.9", r"\alpha", names)
    mean = said("4.4.2", r"\nabla L(D_{noise})", WHOLE)
    assert same(page.subs(second, -mean), alpha)
    alphas = np.array([row[1] for row in two_points(geometry)[0]])
    assert (np.diff(alphas) > 0).all()


@GEOMETRIES
def test_two_points(geometry):
    """Step 4.5.10: the gradient and the logits of a run over all samples."""
    gradient_names = {r"\bigl(\nabla h^{(1)} - \nabla h^{(0)}\bigr)": "first"}
    factor = said("4.5.10", r"\nabla L(D)", gradient_names) / first
    rows, derivatives = two_points(geometry)
    logits = np.array([row[0] for row in rows])
    outputs = 1 / (1 + np.exp(-logits))
    page = sp.lambdify((delta, f), factor)(0.4, outputs)[:, None] * (derivatives[0] - derivatives[1])
    np.testing.assert_allclose([row[5] for row in rows], page, rtol=0, atol=1e-14)
    following = sp.lambdify((h, gamma, delta, f), said("4.5.10", "h_{next}"))
    assert written("4.5.10", r"\gamma = \eta \ell^2/2", r"\gamma = \eta \ell^2")
    speed = 0.5 * 1.2**2 / (2 if geometry == "orthogonal" else 1)
    np.testing.assert_allclose(logits[1:], following(logits, speed, 0.4, outputs)[:-1], rtol=0, atol=1e-14)


@GEOMETRIES
def test_assumption_4_1_is_true(geometry):
    """Step 4.5.11: one α in both classes, by output and by logit."""
    by_output, by_logit = stated("4.5.11", r"\alpha")
    assert sp.simplify(by_output.subs(f, SIGMOID) - by_logit) == 0
    # What the run's function has seen to: the sums of the two subsets lie on one line.
    rows = two_points(geometry)[0]
    for logit, *alphas, _, _, _ in rows[::5]:
        page = float(by_logit.subs({delta: 0.4, h: logit}))
        assert alphas == pytest.approx([page, page], rel=1e-12)


@GEOMETRIES
def test_it_grows_for_ever(geometry):
    """Step 4.5.12: the end, the slope, and a long run that comes near and stays below."""
    following, end = said("4.5.10", "h_{next}"), said("4.5.12", "h_{end}")
    assert same(following.subs({h: end, f: 1 - delta}), end)
    assert sp.simplify(SIGMOID.subs(h, end) - (1 - delta)) == 0
    assert sp.simplify(stated("4.5.11", r"\alpha")[1].subs(h, end) - 1) == 0
    slope = expression(formulas("4.5.12")[0][1], {})
    assert sp.simplify(sp.diff(following.subs(f, SIGMOID), h) - slope.subs(f, SIGMOID)) == 0
    assert sp.minimum(slope.subs(gamma, 4), f, sp.Interval(0, 1)) == 0
    alphas = np.array([row[1] for row in two_points(geometry, level=0.3, steps=100)[0]])
    assert math.isclose(alphas[0], 3 / 7)
    assert (np.diff(alphas) > 0).all()
    assert 0.99 < alphas[-1] < 1


@GEOMETRIES
def test_equation_10_in_this_net(geometry):
    """Step 4.5.13: the factor by algebra and along the run, and the example."""
    left = r"\frac{1 - \delta - f}{1 - f}"
    by_output, by_alpha = stated("4.5.13", left, also_left=True)
    assert same(by_alpha.subs(alpha, stated("4.5.11", r"\alpha")[0]), by_output)
    rows = two_points(geometry)[0]
    for logit, *_, factor, _ in rows[::5]:
        assert math.isclose(factor, by_output.subs({delta: 0.4, f: 1 / (1 + math.exp(-logit))}), rel_tol=1e-9)
    there = stated("4.5.11", r"\alpha")[0].subs({delta: 0.3, f: 0.64})
    for value in (by_output.subs({delta: 0.3, f: 0.64}), (1 - there) / (1 + there)):
        assert f"{float(value):.3f}" in STEPS["4.5.13"]


@GEOMETRIES
def test_nothing_is_fitted(geometry):
    """Step 4.5.14: the noisy loss rises to its limit; with α = 1 the whole gradient is 0."""
    rows = two_points(geometry, level=0.3, steps=600)[0]
    losses = np.array([row[3] for row in rows])
    assert (np.diff(losses)[:200] > 0).all()
    assert math.isclose(losses[-1], said("S.12", r"\ell_{noise}").subs({delta: 0.3, C: 2}), rel_tol=1e-6)
    assert math.isclose(
        1 / (1 + math.exp(-rows[-1][0])), said("S.10", "f_{true}").subs(delta, 0.3), rel_tol=1e-6
    )
    line = said("4.4.4", r"\nabla L(\hat D)", WHOLE) * said("10.8", r"\eta'") / eta
    assert line.subs(alpha, 1) == 0


TURN = {r"\cos^2": "first", r"\lVert g_{clean}\rVert^2": "second"}


def test_the_slope_of_the_noisy_loss():
    """Step 4.5.15: in a net and on data that know nothing of the assumption."""
    page = said("4.5.15", r"\frac{d}{d\eta} L(D_{noise})", TURN)
    net, x, true, noisy = two_classes()
    sums = subset_sums(net, x, true, noisy)
    clean, wrong = (sum(own[subset] for own in sums) for subset in ("clean", "noise"))
    best = -float(wrong @ clean / (clean @ clean))
    cosine = math.cos(between(wrong, clean))
    assert math.isclose(wrong @ wrong, best**2 * (clean @ clean) / cosine**2, rel_tol=1e-9)
    values = {alpha: best, first: cosine**2, second: (clean @ clean).item(), delta: 1 / 3, n: 12}
    assert math.isclose(slopes(net, x, true, noisy, 1e-3)[1], page.subs(values), rel_tol=1e-4)


def test_when_the_noisy_loss_turns():
    """Step 4.5.15: descent with more weights than samples, where every label can be learnt."""
    assert written("4.5.15", r"0 < \alpha < \cos^2", r"\alpha = \cos^2", r"$1/\lvert\cos\rvert$")
    generator = np.random.default_rng(18)
    true = np.repeat([1, 0], 50)
    x = 0.3 * generator.standard_normal((100, 200)) / math.sqrt(200)
    x[:, 0] += np.where(true == 1, 1, -1)
    noisy = np.tile(np.arange(50) < 15, 2)
    given, w, rows = np.where(noisy, 1 - true, true), np.zeros(200), []
    for _ in range(1500):
        logits = x @ w
        arrows = (1 / (1 + np.exp(-logits)) - given)[:, None] * x
        clean, wrong = arrows[~noisy].sum(axis=0), arrows[noisy].sum(axis=0)
        best, ratio = -wrong @ clean / (clean @ clean), np.linalg.norm(clean) / np.linalg.norm(wrong)
        losses = np.log1p(np.exp(np.where(given == 1, -logits, logits)))
        rows.append((losses[noisy].mean(), best, best * ratio, ratio))
        w -= 0.05 * arrows.mean(axis=0)
    noise_losses, best, cosine, ratio = np.array(rows).T
    turn = noise_losses.argmax()
    assert 0 < turn < 1499
    assert (np.diff(noise_losses[: turn + 1]) > 0).all()
    assert (best < cosine**2)[:turn].all()
    assert (best > cosine**2)[turn + 1 :].all()
    # Between two steps of the turn α = cos² < 1, and the ratio is still above 1.
    assert best[turn + 1] < 1
    assert math.isclose(ratio[turn], 1 / cosine[turn], rel_tol=1e-3)
    assert ratio[turn] > 1


# Kernel machines

PM_TRUE = np.array([1, 1, 1, 1, -1, -1, -1, -1, -1])
PM_WRONG = {1: 1, -1: 2}


def placements():
    """Every way to place one wrong label in the first class and two in the second: (40, 9) booleans."""
    found = []
    for chosen in product(*(combinations(np.flatnonzero(c == PM_TRUE), PM_WRONG[c]) for c in (1, -1))):
        wrong = np.zeros(len(PM_TRUE), dtype=bool)
        wrong[[j for part in chosen for j in part]] = True
        found.append(wrong)
    return np.array(found)


def small_kernel(count=9, seed=4):
    """A positive definite matrix with one large eigenvalue."""
    points = np.random.default_rng(seed).standard_normal((count, 4)) + 1
    return np.exp(-((points[:, None] - points[None]) ** 2).sum(axis=2) / 8)


def flow_matrix(kernel, time):
    values, vectors = np.linalg.eigh(kernel)
    return vectors @ np.diag(1 - np.exp(-values * time)) @ vectors.T


def law_by_the_page(signed, groups, wrong):
    """Mean and variance of steps K.4 and K.5: sums over classes of (samples, wrong) with weights a_j."""
    mean = variance = 0.0
    page = stated("K.5", "V_c", {"n_c": "first", "Q_c": "second", "A_c": "total"})[0]
    for members, count in zip(groups, wrong, strict=True):
        share, total_weight = count / len(members), signed[members].sum()
        values = {first: len(members), second: (signed[members] ** 2).sum(), total: total_weight}
        mean += (1 - 2 * share) * total_weight
        variance += 4 * share * (1 - share) * float(page.subs(values))
    return mean, variance


CLASSES = [np.flatnonzero(c == PM_TRUE) for c in (1, -1)]


def test_the_flow_of_a_kernel_machine():
    """Step K.1: against a numerical solution for the coefficients, at training inputs and at a new one."""
    assert written("K.1", r"f_t = S_t\, y", r"S_t = I - e^{-Kt}", r"k_x^\top K^{-1} S_t\, y")
    kernel, labels = small_kernel(10), PM_TRUE.astype(float)
    own, new = kernel[:9, :9], kernel[9, :9]
    flow = integrate.solve_ivp(lambda _, a: labels - own @ a, (0, 3), np.zeros(9), rtol=1e-11, atol=1e-12)
    share = flow_matrix(own, 3) @ labels
    np.testing.assert_allclose(own @ flow.y[:, -1], share, atol=1e-8)
    assert math.isclose(new @ flow.y[:, -1], new @ np.linalg.solve(own, share), abs_tol=1e-8)


def test_given_labels_are_true_ones_with_some_signs_turned():
    """Step K.2: for a right and for a wrong label."""
    assert written("K.2", r"y_j = \hat y_j (1 - 2 z_j)")
    for label in (-1, 1):
        assert [label * (1 - 2 * wrong) for wrong in (0, 1)] == [label, -label]


def test_independent_flips():
    """Step K.3, Step K.7: against the mean over all 2^9 flips by their probabilities, own label given."""
    assert written("K.3", r"\mu = (1 - 2\delta) \sum_c A_c", r"\sigma^2 = 4\delta(1 - \delta) \sum_c Q_c")
    assert written("K.7", r"m_i = (1 - 2\delta) \Bigl( \hat y_i \sum_j S_{ij}\, \hat y_j - S_{ii} \Bigr)")
    assert written("K.7", r"4\delta(1 - \delta) \sum_{j \ne i} S_{ij}^2")
    flips = np.array(list(product((0, 1), repeat=9)))
    level, rows = 0.3, flow_matrix(small_kernel(), 1.5)
    chance = np.prod(np.where(flips, level, 1 - level), axis=1)
    outputs = (PM_TRUE * (1 - 2 * flips)) @ rows.T * PM_TRUE
    signed = rows * PM_TRUE
    for i in range(9):
        mean = chance @ outputs[:, i]
        assert math.isclose(mean, (1 - 2 * level) * PM_TRUE[i] * signed[i].sum(), abs_tol=1e-12)
        variance = chance @ (outputs[:, i] - mean) ** 2
        assert math.isclose(variance, 4 * level * (1 - level) * (signed[i] ** 2).sum(), rel_tol=1e-10)
        m_i = (1 - 2 * level) * (PM_TRUE[i] * signed[i].sum() - rows[i, i])
        others = 4 * level * (1 - level) * (np.delete(rows[i], i) ** 2).sum()
        for wrong, own in ((0, m_i + rows[i, i]), (1, m_i - rows[i, i])):
            given = flips[:, i] == wrong
            law = chance[given] / chance[given].sum()
            found = law @ outputs[given, i]
            assert math.isclose(found, own, abs_tol=1e-12)
            assert math.isclose(law @ (outputs[given, i] - found) ** 2, others, rel_tol=1e-10)


def test_exactly_so_many_wrong_labels():
    """Step K.4: probabilities and covariances against all 40 placements."""
    wrong = placements().astype(float)
    covariances = np.cov(wrong.T, bias=True)
    names = {"n_c": "first", "m_c": "second", r"\delta_c": "delta"}
    pair_chance, covariance, variance = (
        said("K.4", left, names)
        for left in ("P_{ij}", r"\operatorname{Cov}(z_i, z_j)", r"\operatorname{Var} z_j")
    )
    for members, count in zip(CLASSES, PM_WRONG.values(), strict=True):
        values = {first: len(members), second: count, delta: sp.Rational(count, len(members))}
        i, j = members[:2]
        assert math.isclose((wrong[:, i] * wrong[:, j]).mean(), pair_chance.subs(values))
        assert math.isclose(covariances[i, j], covariance.subs(values))
        assert math.isclose(covariances[i, i], variance.subs(values))
    np.testing.assert_allclose(covariances[: len(CLASSES[0]), len(CLASSES[0]) :], 0, atol=1e-15)


def test_the_class_mean_drops_out_of_the_variance():
    """Step K.5: against all 40 placements; and weights that are the same in a class make no variance."""
    assert written("K.5", r"\sigma^2 = \sum_c 4\delta_c (1 - \delta_c)\, V_c", r"(a_j - A_c/n_c)^2")
    weights = np.random.default_rng(0).standard_normal(9)
    for row in (weights, np.where(PM_TRUE == 1, 0.7, -0.2)):
        outputs = (PM_TRUE * (1 - 2 * placements())) @ row
        mean, variance = law_by_the_page(row * PM_TRUE, CLASSES, PM_WRONG.values())
        assert math.isclose(outputs.mean(), mean, rel_tol=1e-12)
        assert math.isclose(outputs.var(), variance, rel_tol=1e-12, abs_tol=1e-14)
    assert variance < 1e-14
    for members in CLASSES:
        a = weights[members]
        assert math.isclose(((a - a.mean()) ** 2).sum(), (a**2).sum() - a.sum() ** 2 / len(a))


def test_a_sample_whose_own_label_is_known():
    """Step K.6: against those of the 40 placements in which it is right, and in which it is wrong."""
    assert written("K.6", r"\hat y_i f_i = \pm S_{ii} + \hat y_i \sum_{j \ne i} S_{ij}\, y_j")
    rows, wrong = flow_matrix(small_kernel(), 0.8), placements()
    outputs = (PM_TRUE * (1 - 2 * wrong)) @ rows.T * PM_TRUE
    for i in range(9):
        groups = [members[members != i] for members in CLASSES]
        for own in (False, True):
            counts = [
                count - (own and PM_TRUE[i] == c) for c, count in zip((1, -1), PM_WRONG.values(), strict=True)
            ]
            mean, variance = law_by_the_page(PM_TRUE[i] * rows[i] * PM_TRUE, groups, counts)
            found = outputs[wrong[:, i] == own, i]
            sign = -1 if own else 1
            assert math.isclose(found.mean(), mean + sign * rows[i, i], rel_tol=1e-10)
            assert math.isclose(found.var(), variance, rel_tol=1e-10)


def test_errors_of_a_subset_are_means_over_all_samples():
    """Step K.8: over all placements, each sample counts with its chance to be clean, or noisy."""
    rows, wrong = flow_matrix(small_kernel(), 0.8), placements()
    mistaken = (PM_TRUE * (1 - 2 * wrong)) @ rows.T * PM_TRUE < 0
    share = np.where(PM_TRUE == 1, 1 / 4, 2 / 5)
    for own, weights, error in ((False, 1 - share, mistaken), (True, share, ~mistaken)):
        subset = wrong == own
        by_subset = (error & subset).sum(axis=1) / subset.sum(axis=1)
        chances = [error[subset[:, i], i].mean() for i in range(9)]
        assert math.isclose(by_subset.mean(), weights @ np.array(chances) / weights.sum())
    assert written("K.8", r"\Phi(-\mu/\sigma)", r"\Phi(\mu/\sigma)")


def test_every_test_sample_has_its_own_turning_time():
    """Step K.9: the ratio splits into what the level says and what the time says."""
    level_part = said("K.9", r"\frac{\mu}{\sigma}", {"B": "first", r"\sqrt{V}": "second"})
    weights = np.random.default_rng(1).standard_normal((3, 8))
    true, groups = np.repeat([1, -1], 4), [np.arange(4), np.arange(4, 8)]
    for wrong in (1, 2, 3):
        laws = [law_by_the_page(row * true, groups, (wrong, wrong)) for row in weights]
        ratios = [mean / math.sqrt(variance) for mean, variance in laws]
        share = sp.Rational(wrong, 4)
        factor = float(level_part.subs({delta: share, first: 1, second: 1}))
        spread = [law_by_the_page(row * true, groups, (2, 2))[1] for row in weights]  # 4 δ (1 - δ) is 1
        wanted = [factor * (row * true).sum() / math.sqrt(v) for row, v in zip(weights, spread, strict=True)]
        np.testing.assert_allclose(ratios, wanted, rtol=1e-12, atol=1e-12)


def noise_vectors(level=0.25):
    """(draws, 8) true labels and noise vectors e of all placements in two classes of four."""
    true = np.repeat([1, -1], 4)
    count = round(4 * level)
    both = list(product(combinations(range(4), count), combinations(range(4, 8), count)))
    wrong = np.zeros((len(both), 8))
    for row, parts in zip(wrong, both, strict=True):
        row[[j for part in parts for j in part]] = 1
    return true, wrong, true * (wrong - level)


def test_one_vector_of_noise_is_in_both_residuals():
    """Step K.10: residuals of the two subsets for every placement, from y alone."""
    assert written("K.10", r"r_{clean} = -(1 - \delta)\, \hat y + e", r"r_{noise} = \delta\, \hat y + e")
    true, wrong, e = noise_vectors()
    residuals = -true * (1 - 2 * wrong)
    np.testing.assert_allclose(residuals * (1 - wrong), -0.75 * true + e, atol=1e-15)
    np.testing.assert_allclose(residuals * wrong, 0.25 * true + e, atol=1e-15)
    np.testing.assert_allclose(e.mean(axis=0), 0, atol=1e-15)


LABEL_PART, NOISE_PART = sp.symbols("a b")
GRADIENTS = {
    name: said("K.11", left)
    for name, left in (
        ("inner", r"\langle g_{clean}, g_{noise}\rangle"),
        ("clean", r"\lVert g_{clean}\rVert^2"),
        ("noise", r"\lVert g_{noise}\rVert^2"),
    )
}


def test_gradients_in_an_eigenspace():
    """Step K.11: products of summed gradients in feature space, projected on some eigenvectors of K."""
    true, wrong, e = noise_vectors()
    features = np.random.default_rng(6).standard_normal((8, 20))
    values, vectors = np.linalg.eigh(features @ features.T)
    for chosen in ([7], [0, 3, 6], range(8)):
        part = vectors[:, list(chosen)]
        directions = part.T @ features / np.sqrt(values[list(chosen)])[:, None]
        for z, noise_part in zip(wrong[:5], e[:5], strict=True):
            residuals = -true * (1 - 2 * z)
            clean, noisy = (directions @ (features.T @ (residuals * own)) for own in (1 - z, z))
            products = {
                symbol: (values[list(chosen)] * (part.T @ one) * (part.T @ other)).sum()
                for symbol, one, other in (
                    (LABEL_PART, true, true), (NOISE_PART, noise_part, noise_part), (d, true, noise_part),
                )
            }  # fmt: skip
            for name, wanted in (
                ("inner", clean @ noisy), ("clean", clean @ clean), ("noise", noisy @ noisy),
            ):  # fmt: skip
                got = GRADIENTS[name].subs({delta: sp.Rational(1, 4), **products})
                assert math.isclose(got, wanted, rel_tol=1e-9, abs_tol=1e-9)


def test_noise_spreads_evenly_over_eigenvectors():
    """Step K.12: mean and variance of u·e over all placements; the labels' parts have mean 1."""
    true, _, e = noise_vectors()
    vectors = np.linalg.eigh(small_kernel(8))[1]
    assert written("K.12", r"\frac{n_c}{n_c - 1}", r"\sum_{j \in c} u_{kj}^2", r"\delta(1 - \delta)\, q_k")
    for u in vectors.T:
        q_k = sum(
            4 / 3 * ((u[own] ** 2).sum() - (u[own] * true[own]).sum() ** 2 / 4)
            for own in (slice(0, 4), slice(4, 8))
        )
        assert abs((e @ u).mean()) < 1e-15
        assert math.isclose((e @ u).var(), 0.25 * 0.75 * q_k, rel_tol=1e-10)
    assert math.isclose(((vectors.T @ true) ** 2).mean(), 1)


def test_two_sides_of_one_statement():
    """Step K.13: the cosine from step K.11 with the means of step K.12, its limits, its sign, the library."""
    rho = sp.Symbol("rho", positive=True)
    parts = {name: said("K.13", name, {r"\rho": "first"}) for name in ("s_1", "s_2")}
    names = {r"\rho": "first", "s_1": "second", "s_2": "single"}
    cosine = said("K.13", r"\cos", names).subs({second: parts["s_1"], single: parts["s_2"]})
    means = {LABEL_PART: rho, NOISE_PART: delta * (1 - delta), d: 0}
    direct = GRADIENTS["inner"].subs(means, simultaneous=True) / sp.sqrt(
        (GRADIENTS["clean"] * GRADIENTS["noise"]).subs(means, simultaneous=True)
    )
    for level in (0.1, 0.4):
        for strength in (1e-3, 0.5, 1.0, 2.0, 50.0):
            got = float(cosine.subs({first: strength, delta: level}))
            assert math.isclose(got, direct.subs({rho: strength, delta: level}), abs_tol=1e-12)
            assert math.isclose(got, theory.eigenspace_cosine(strength, level), abs_tol=1e-12)
            assert np.sign(round(got, 12)) == np.sign(1 - strength)
        assert theory.eigenspace_cosine(0, level) == pytest.approx(1, abs=1e-12)
        assert theory.eigenspace_cosine(1e9, level) == pytest.approx(-1, abs=1e-6)


# How much departure the two losses bear


def random_arrows(count, seed=0, size=6):
    return np.random.default_rng(seed).standard_normal((count, size))


def gram_of(clean, noisy):
    arrows = np.concatenate([clean, noisy])
    return arrows @ arrows.T


def test_the_slopes_of_both_losses():
    """Step B.1: against losses a small way along the step, in a net that knows nothing of the assumption."""
    net, x, true, noisy = two_classes()
    sums = subset_sums(net, x, true, noisy)
    clean, wrong = (sum(own[subset] for own in sums) for subset in ("clean", "noise"))
    found = slopes(net, x, true, noisy, 1e-3)
    for subset, arrow, count, slope in (("clean", clean, 8, found[0]), ("noise", wrong, 4, found[1])):
        symbol = "G" if subset == "clean" else "Q"
        names = {rf"\langle {symbol}, G + Q\rangle": "first", "nN": "second", "nM": "second"}
        page = said("B.1", rf"\frac{{d}}{{d\eta}} L(D_{{{subset}}})", names)
        values = {first: (arrow @ (clean + wrong)).item(), second: 12 * count}
        assert math.isclose(slope, page.subs(values), rel_tol=1e-4)


def test_a_ball():
    """Step B.2: both directions, and what follows for the clean loss, for many pairs of arrows."""
    assert written("B.2", r"\Bigl\lVert Q + \frac12 G \Bigr\rVert < \frac12 \lVert G\rVert")
    assert written("B.2", r"\langle G, G + Q\rangle = \lVert G + Q\rVert^2 - \langle Q, G + Q\rangle")
    inside = 0
    for G, offset in zip(random_arrows(2000), random_arrows(2000, seed=1), strict=True):
        Q = -G / 2 + 0.3 * offset
        in_ball = np.linalg.norm(Q + G / 2) < np.linalg.norm(G) / 2
        assert in_ball == (Q @ (G + Q) < 0)
        assert math.isclose(np.linalg.norm(Q + G / 2) ** 2, Q @ (G + Q) + G @ G / 4, rel_tol=1e-9)
        assert math.isclose(G @ (G + Q), (G + Q) @ (G + Q) - Q @ (G + Q), rel_tol=1e-9, abs_tol=1e-12)
        assert not in_ball or G @ (G + Q) > 0
        inside += in_ball
    assert 200 < inside < 1800


def test_two_numbers():
    """Step B.3: both products, the edge, the squared cosine of step 4.5.15, the angle of 45°, the library."""
    clean = said("B.3", r"-\langle G, G + Q\rangle")
    noisy = said("B.3", r"-\langle Q, G + Q\rangle", {r"\nu": "first"})
    assert written("B.3", r"$\nu < \sqrt{\alpha(1 -\alpha)}$", r"\alpha^2/(\alpha^2 + \nu^2)")
    for G, Q in zip(random_arrows(200), random_arrows(200, seed=2) / 2, strict=True):
        square = G @ G
        best = -(Q @ G) / square
        rest = np.linalg.norm(Q + best * G) / math.sqrt(square)
        values = {alpha: best, first: rest}
        assert math.isclose(clean.subs(values), -(G @ (G + Q)) / square, rel_tol=1e-9)
        assert math.isclose(noisy.subs(values), -(Q @ (G + Q)) / square, rel_tol=1e-9, abs_tol=1e-12)
        cosine_square = (G @ Q) ** 2 / square / (Q @ Q)
        assert math.isclose(cosine_square, best**2 / (best**2 + rest**2))
        rises = Q @ (G + Q) < 0
        assert rises == (rest < theory.largest_rest(best)) == (0 < best < cosine_square)
        found = theory.departure(gram_of(G[None], Q[None]))
        assert math.isclose(found.alpha, best)
        assert math.isclose(found.rest, rest, rel_tol=1e-6)
        assert math.isclose(found.clean_slope, clean.subs(values), rel_tol=1e-9)
        assert math.isclose(found.noisy_slope, noisy.subs(values), rel_tol=1e-9, abs_tol=1e-12)
    assert math.isclose(math.degrees(math.atan2(theory.largest_rest(0.5), 0.5)), 45)


def weighted(matrix, left, right):
    return float(left @ matrix @ right)


def test_classes_that_are_opposite_one_by_one():
    """Step B.4: sums against the arrows themselves; one α for all; and the sums of all inner products."""
    assert written(
        "B.4",
        r"\sum_{c,k} \Gamma_{ck}\, (1 - \alpha_k)",
        r"\sum_{c,k} \alpha_c\, \Gamma_{ck}\, (1 - \alpha_k)",
    )
    g, own = random_arrows(3, seed=3), np.array([0.2, 0.7, 1.4])
    for alphas in (own, np.full(3, 0.6)):
        q = -alphas[:, None] * g
        G, Q, products = g.sum(axis=0), q.sum(axis=0), g @ g.T
        ones = np.ones(3)
        assert math.isclose(weighted(products, ones, 1 - alphas), G @ (G + Q))
        assert math.isclose(weighted(products, alphas, 1 - alphas), -Q @ (G + Q))
    assert math.isclose(G @ (G + Q), 0.4 * (G @ G))
    assert math.isclose(-Q @ (G + Q), 0.6 * 0.4 * (G @ G))
    q = q + random_arrows(3, seed=4)
    G, Q, whole_gram = g.sum(axis=0), q.sum(axis=0), gram_of(g, q)
    assert math.isclose(whole_gram[3:].sum(), Q @ (G + Q))
    assert math.isclose(whole_gram[:3].sum(), G @ (G + Q))


def test_classes_that_do_not_pull_against_each_other():
    """Step B.5: positive arrows have no negative inner product; any spread of α in (0, 1)."""
    generator = np.random.default_rng(5)
    for _ in range(300):
        g, alphas = generator.random((4, 5)), generator.uniform(0.001, 0.999, 4)
        found = theory.departure(gram_of(g, -alphas[:, None] * g))
        assert found.clean_slope < 0 < found.noisy_slope


def test_two_classes_that_nearly_cancel():
    """Step B.6: α of the sums, and the losses on both sides of both ends of the interval."""
    names = {r"\tau": "single", r"\alpha_0": "first", r"\alpha_1": "second"}
    page = expression(formulas("B.6")[0][0].split("=")[1].split(r"\qquad")[0].rstrip(" ,"), names)
    assert written("B.6", r"-\tau \alpha_1 < \alpha_0 - \alpha_1 < \tau (1 - \alpha_1)")
    arrow, tau, one = random_arrows(1, seed=6)[0], 0.1, 0.6
    g = np.stack([arrow, -(1 - tau) * arrow])
    for gap, right in (
        (-tau * one * 1.05, False), (-tau * one * 0.95, True), (0, True),
        (tau * (1 - one) * 0.95, True), (tau * (1 - one) * 1.05, False),
    ):  # fmt: skip
        alphas = np.array([one + gap, one])
        found = theory.departure(gram_of(g, -alphas[:, None] * g))
        assert math.isclose(
            found.alpha, page.subs({single: tau, first: alphas[0], second: one}), rel_tol=1e-9
        )
        assert found.rest < 1e-6
        assert (found.clean_slope < 0 < found.noisy_slope) == right
        assert (0 < found.alpha < 1) == right


def test_a_bound_on_the_distance():
    """Step B.7: enough in every direction, and no larger one is."""
    assert written("B.7", r"\rho < \min(\bar\alpha, 1 - \bar\alpha)")
    G = random_arrows(1, seed=7)[0]
    size = np.linalg.norm(G)
    for middle in (0.1, 0.5, 0.8):
        limit = min(middle, 1 - middle)
        for direction in random_arrows(300, seed=8):
            E = 0.999 * limit * size * direction / np.linalg.norm(direction)
            found = theory.departure(gram_of(G[None], (-middle * G + E)[None]))
            assert found.clean_slope < 0 < found.noisy_slope
        ends = [
            theory.departure(gram_of(G[None], (-middle + sign * 1.001 * limit) * G[None])) for sign in (1, -1)
        ]
        assert any(found.noisy_slope < 0 for found in ends)


def test_a_bound_on_spread_and_angle():
    """Step B.8: never exceeded by random classes; what it vouches for happens; s in three cases; library."""
    names = {r"\bar\alpha": "first", r"\tan^2\varphi": "second", r"s \sqrt{d": r"total \sqrt{d"}
    spread_bound = said("B.8", r"\rho", names)
    generator, vouched = np.random.default_rng(9), 0
    for _ in range(400):
        g = generator.standard_normal(6) + generator.uniform(0, 2) * generator.standard_normal((3, 6))
        alphas = 0.5 + 0.1 * generator.standard_normal(3)
        across = 0.1 * generator.standard_normal((3, 6))
        across -= (across * g).sum(axis=1, keepdims=True) / (g**2).sum(axis=1, keepdims=True) * g
        found = theory.departure(gram_of(g, -alphas[:, None] * g + across))
        assert np.allclose(found.alphas, alphas)
        rests = np.linalg.norm(across, axis=1) / np.linalg.norm(g, axis=1)
        assert np.allclose(np.tan(found.angles) * alphas, rests, atol=1e-6)
        assert found.distance <= found.bound + 1e-9
        values = {
            first: found.middle, second: math.tan(found.angles.max()) ** 2, total: found.cancellation,
            d: alphas.max() - found.middle,
        }  # fmt: skip
        simple = float(spread_bound.subs(values))
        assert found.bound <= simple + 1e-9
        if simple < found.room:
            vouched += 1
            assert found.clean_slope < 0 < found.noisy_slope
            assert found.angles.max() < theory.largest_angle(
                found.middle, float(values[d]), found.cancellation
            )
    assert vouched > 15
    arrow = random_arrows(1, seed=10)[0]
    for g, wanted in (
        (np.stack([arrow, 2 * arrow]), 1), (np.eye(3), math.sqrt(3)),
        (np.stack([arrow, -0.9 * arrow]), 2 / 0.1 - 1),
    ):  # fmt: skip
        assert math.isclose(theory.departure(gram_of(g, -0.5 * g)).cancellation, wanted, rel_tol=1e-9)


# Noise matrices


def wrong_matrix(seed=0, classes=5):
    """A random noise matrix, its δ_c and q_c."""
    rows = np.random.default_rng(seed).dirichlet(np.ones(classes), size=classes)
    level = 1 - rows.diagonal()
    spread = rows * (1 - np.eye(classes)) / level[:, None]
    return rows, level, spread


MATRIX_NAMES = {r"\delta_c": "delta", r"\lVert q_c\rVert^2": "first"}


def test_mean_residual_vectors():
    """Step T.1: means over samples, with labels in exact proportion."""
    assert written("T.1", r"r_{clean} = \frac1C \mathbf 1 - e_c", r"r_{noise} = \frac1C \mathbf 1 - q_c")
    counts = np.array([[60, 10, 30], [5, 80, 15], [0, 50, 50]])
    for c, row in enumerate(counts):
        labels = np.repeat(np.arange(3), row)
        residuals = 1 / 3 - np.eye(3)[labels]
        noisy = np.where(np.arange(3) == c, 0, row) / (100 - row[c])
        assert np.allclose(residuals[labels == c].mean(axis=0), 1 / 3 - np.eye(3)[c])
        assert np.allclose(residuals[labels != c].mean(axis=0), 1 / 3 - noisy)


def test_the_own_logit_does_not_know_the_matrix():
    """Step T.2, Step T.3: ratios and cosine of residual vectors of random matrices, and the library's."""
    names = MATRIX_NAMES
    own_ratio, full_ratio, cosine = (
        said(step, left, names) for step, left in (("T.2", "R_{own}"), ("T.3", "R_{all}"), ("T.3", r"\cos"))
    )
    for seed in range(4):
        rows, level, spread = wrong_matrix(seed)
        library = theory.initial_gradients(rows, theory.label_residuals(np.full(5, 0.2)))
        for c in range(5):
            clean, noisy = 0.2 - np.eye(5)[c], 0.2 - spread[c]
            odds = (1 - level[c]) / level[c]
            values = {C: 5, delta: level[c], first: spread[c] @ spread[c]}
            for page, wanted, found in (
                (own_ratio, odds * abs(clean[c] / noisy[c]), library.own_ratio[c]),
                (full_ratio, odds * np.linalg.norm(clean) / np.linalg.norm(noisy), library.full_ratio[c]),
                (
                    cosine,
                    clean @ noisy / np.linalg.norm(clean) / np.linalg.norm(noisy),
                    library.cosine[c],
                ),
            ):
                assert math.isclose(page.subs(values), wanted, rel_tol=1e-9)
                assert math.isclose(found, wanted, rel_tol=1e-9)


def test_only_uniform_noise_is_opposite():
    """Step T.4: the least ‖q‖², where the cosine is −1 and the two ratios agree; and a single wrong label."""
    own_ratio, full_ratio, cosine = (
        said(step, left, MATRIX_NAMES)
        for step, left in (("T.2", "R_{own}"), ("T.3", "R_{all}"), ("T.3", r"\cos"))
    )
    uniform = {first: 1 / (C - 1)}
    assert sp.simplify(cosine.subs(uniform).subs(C, 7)) == -1
    for count in (3, 10):
        assert math.isclose(
            full_ratio.subs(uniform).subs({C: count, delta: 0.3}), own_ratio.subs({C: count, delta: 0.3})
        )
        assert math.isclose(cosine.subs({first: 1, C: count}), -1 / (count - 1))
        assert math.isclose(full_ratio.subs({first: 1, C: count, delta: 0.3}), 0.7 / 0.3)
    for seed in range(5):
        _, _, spread = wrong_matrix(seed)
        assert ((spread**2).sum(axis=1) >= 1 / 4 - 1e-12).all()
        assert all(cosine.subs({first: row @ row, C: 5}) > -1 for row in spread)


def test_what_is_learnt_of_a_matrix():
    """Step T.5: the least expected loss, by descent; who is predicted; the first step; uniform noise."""
    assert written("T.5", r"T_{cc} > \max_{k \ne c} T_{ck}", r"$\delta < (C - 1)/C$", r"$\delta < \frac12$")
    rows = 0.8 * wrong_matrix(3)[0] + 0.2 / 5
    logits = torch.zeros(5, 5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=1.0)
    for step in range(4000):
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, torch.from_numpy(rows), reduction="sum").backward()
        if step == 0:
            assert np.allclose(logits.grad, 0.2 - rows)
        optimizer.step()
        if step == 0:
            assert (logits.argmax(dim=1).numpy() == rows.argmax(axis=1)).all()
    output = logits.softmax(dim=1).detach().numpy()
    assert np.allclose(output, rows, atol=1e-6)
    assert written("T.5", r"(1 - \delta_c)(T_c - e_c) + \delta_c\, (T_c - q_c) = 0")
    level = 1 - rows.diagonal()
    spread = rows * (1 - np.eye(5)) / level[:, None]
    rest = (1 - level)[:, None] * (output - np.eye(5)) + level[:, None] * (output - spread)
    assert np.allclose(rest, 0, atol=1e-6)
    assert ((output.argmax(axis=1) == np.arange(5)) == (theory.margins(rows) > 0)).all()
    for count in (2, 3, 10):
        for level, concentration, right in (
            ((count - 1) / count - 0.01, 0, True), ((count - 1) / count + 0.01, 0, False),
            (0.49, 1, True), (0.51, 1, False),
        ):  # fmt: skip
            matrix = noise.transition_matrix(level, num_classes=count, concentration=concentration)
            assert ((theory.margins(matrix) > 0) == right).all()
        own = said("T.2", "R_{own}", MATRIX_NAMES)
        assert own.subs({C: count, delta: (count - 1) / sp.Integer(count)}) == 1


def test_between_uniform_noise_and_pair_flips():
    """Step T.6: against the library's matrices, and the turning concentration against its margins."""
    square, largest, turn = (
        said("T.6", left) for left in (r"\lVert q_c\rVert^2", r"\max_{k \ne c} T_{ck}", r"\gamma")
    )
    for count, level, share in ((3, 0.55, 0.3), (10, 0.6, 0.4), (10, 0.6, 0.9), (5, 0.2, 1.0)):
        matrix = noise.transition_matrix(level, num_classes=count, concentration=share)
        wrong = matrix[0] * (np.arange(count) > 0)
        values = {C: count, delta: level, gamma: share}
        assert math.isclose(square.subs(values), (wrong / level) @ (wrong / level), rel_tol=1e-9)
        assert math.isclose(largest.subs(values), wrong.max(), rel_tol=1e-9)
        edge = float(turn.subs(values))
        for near, right in ((edge - 0.01, True), (edge + 0.01, False)):
            if 0 <= near <= 1:
                rows = noise.transition_matrix(level, num_classes=count, concentration=near)
                assert (theory.margins(rows)[0] > 0) == right
    assert turn.subs({C: 10, delta: sp.Rational(3, 5)}) == sp.Rational(5, 8)


def nested_kernel(parts, size, one, two, across, own):
    """Kernel of two classes of `parts` parts of `size` samples, true labels and the part of each sample."""
    part = np.repeat(np.arange(2 * parts), size)
    true = np.where(part < parts, 1, -1)
    kernel = np.where(part[:, None] == part, one, np.where(true[:, None] == true, two, across))
    return kernel + own * np.eye(len(part)), true, part


def test_parts_of_classes():
    """Step T.7: eigenvalues and flow of the kernel itself, with different shares in different parts."""
    parts, size, one, two, across, own = 3, 4, 1.0, 0.6, 0.1, 0.2
    kernel, true, part = nested_kernel(parts, size, one, two, across, own)
    names = {r"\epsilon": "d", "a_1": "first", "a_2": "second", "b": "single", "m": "m", "S": "total"}
    values = {d: own, first: one, second: two, single: across, m: size, total: parts}
    rates = [
        float(said("T.7", rf"\lambda_{{{name}}}", names).subs(values)) for name in ("own", "part", "class")
    ]
    found = np.linalg.eigvalsh(kernel)
    for rate, count in zip(rates, (2 * parts * (size - 1), 2 * (parts - 1), 1), strict=True):
        assert (np.abs(found - rate) < 1e-9).sum() == count
    wrong = np.zeros(len(true), dtype=bool)
    for c in range(2):
        for place, number in enumerate((3, 0, 1)):
            wrong[np.flatnonzero(part == parts * c + place)[:number]] = True
    for time in (0.05, 0.5, 4.0):
        outputs = true * (flow_matrix(kernel, time) @ (true * np.where(wrong, -1, 1)))
        for place, share in enumerate((3 / 4, 0, 1 / 4)):
            model = theory.NestedScales(1 / 3, share, rates[2], rates[1], rates[0])
            for of_kind, wanted in ((~wrong, model.clean_output(time)), (wrong, model.noisy_output(time))):
                assert np.allclose(outputs[(part % parts == place) & of_kind], wanted, atol=1e-9)


def test_when_a_part_goes_over():
    """Step T.8: the root of the part's output, with the class learnt at once; and parts that never go."""
    page = said("T.8", r"t_{part}", {r"\lambda_{part}": "first", "p": "second"})
    for level, share, rate in ((0.3, 0.8, 0.5), (0.1, 0.55, 2.0), (0.4, 1.0, 1.0)):
        model = theory.NestedScales(level, share, class_rate=1e9, part_rate=rate)
        time = float(page.subs({delta: level, second: share, first: rate}))
        assert math.isclose(model.reversal_time, time, rel_tol=1e-9)
        assert abs(model.new_output(time)) < 1e-9
        assert model.new_output(0.9 * time) > 0 > model.new_output(1.1 * time)
    for share in (0.0, 0.3, 0.5):
        model = theory.NestedScales(0.3, share, class_rate=1e9, part_rate=1.0)
        assert math.isinf(model.reversal_time)
        assert (model.new_output(np.geomspace(1e-3, 1e3, 50)) >= 0).all()


def test_few_samples_that_are_not_alike():
    """Step T.9: over all draws of labels for four arrows of one length, with any angles between them."""
    names = {
        r"\lVert r_{noise}\rVert^2": "first", r"\lVert q_c\rVert^2": "second", r"\beta": "single",
        r"\Bigl": "", r"\Bigr": "", "N": "total",
    }  # fmt: skip
    page = expression(formulas("T.9")[0][0], names)
    arrows = np.random.default_rng(11).standard_normal((4, 6)) + 1
    arrows /= np.linalg.norm(arrows, axis=1, keepdims=True)
    cosines = arrows @ arrows.T
    beta = (cosines.sum() - 4) / 12
    spread = np.array([0, 0.5, 0.3, 0.2])
    mean_square = 0.0
    for labels in product(range(1, 4), repeat=4):
        residuals = 1 / 4 - np.eye(4)[list(labels)]
        mean_square += math.prod(spread[list(labels)]) * ((residuals.T @ arrows) ** 2).sum()
    mean = 1 / 4 - spread
    values = {first: mean @ mean, second: spread @ spread, single: beta, total: 4}
    assert math.isclose(page.subs(values), mean_square, rel_tol=1e-10)
