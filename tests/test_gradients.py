"""Angles and norms of gradients against all of them written out in float64, and exact identities."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cleanprio_lib import gradients, models
from cleanprio_lib.gradients import subsets as subset_module
from cleanprio_lib.gradients.capture import CapturedNet

# What is promised; a cosine off by e near 1 is an angle off by sqrt(2 e).
COSINE = {torch.float32: 1e-6, torch.float64: 1e-14}
RESOLUTION = {dtype: math.sqrt(2 * error) for dtype, error in COSINE.items()}
DTYPES = list(COSINE)


class Odd(nn.Module):
    """All that a convolution can do, layers without parameters as functions, a residual connection."""

    def __init__(self, outputs):
        super().__init__()
        self.first = nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), bias=False)
        self.plain_norm = nn.BatchNorm2d(3, affine=False)
        self.same = nn.Conv2d(3, 3, 3, padding="same", dilation=2)
        self.norm = nn.BatchNorm2d(3)
        self.last = nn.Conv2d(3, 4, (1, 3), stride=2, padding=1, padding_mode="circular")
        self.linear = nn.Linear(8, outputs, bias=False)

    def forward(self, x):
        h = F.relu(self.plain_norm(self.first(x)))
        h = h + torch.tanh(self.norm(self.same(h)))
        h = F.adaptive_avg_pool2d(F.avg_pool2d(self.last(h), 2, 1), (2, 1))
        return self.linear(h.flatten(1))


class Wide(nn.Module):
    """Two ways that meet, BatchNorm of vectors, a kernel too large to be written out, an output unused."""

    def __init__(self, outputs):
        super().__init__()
        self.wide = nn.Conv2d(1, 40, 3, padding="valid")
        self.deep = nn.Conv2d(40, 60, 3)
        self.left, self.right = nn.Linear(60, 6), nn.Linear(60, 6)
        self.norm = nn.BatchNorm1d(6)
        self.last = nn.Linear(6, outputs)

    def forward(self, x):
        h = F.gelu(self.deep(F.elu(self.wide(x)))).mean((2, 3))
        return self.last(F.silu(self.norm(self.left(h) * torch.sigmoid(self.right(h)))))


def make_odd(outputs):
    return Odd(outputs), (2, 9, 13)


def make_wide(outputs):
    return Wide(outputs), (1, 6, 5)


def make_ntk(outputs):
    return models.fully_connected(6, 20, depth=4, num_outputs=outputs, parametrization="ntk", seed=0), (6,)


def make_standard(outputs):
    return models.fully_connected(6, 20, depth=3, num_outputs=outputs, seed=0), (2, 3)


def make_mnist_cnn(outputs):
    return models.mnist_cnn(num_classes=outputs, seed=0), (1, 28, 28)


def make_resnet9(outputs):
    return models.resnet9(num_classes=outputs, width=4, seed=0), (3, 32, 32)


NETS = [make_standard, make_ntk, make_mnist_cnn, make_resnet9, make_odd, make_wide]
SMALL_NETS = [make_standard, make_ntk, make_odd, make_wide]


def a_problem(make, outputs, *, n=9, seed=0):
    """A net whose BatchNorms have seen something, inputs, labels and three subsets."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net, shape = make(outputs)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.3)
                layer.running_var.uniform_(0.5, 2)
                if layer.affine:
                    nn.init.normal_(layer.weight, 1, 0.3)
                    nn.init.normal_(layer.bias)
        masks = torch.rand(3, n) < 0.6
        masks[2] = ~masks[0]
        masks[:, :3] = torch.eye(3, dtype=torch.bool)
        return net.eval(), torch.randn(n, *shape), torch.randint(max(2, outputs), (n,)), masks


def jacobian(net, x):
    """(n, C, p) derivatives of all logits, and the logits, in float64."""
    net = copy.deepcopy(net).double()
    rows, logits = [], []
    for sample in x.double():
        h = net(sample[None])[0]
        parts = [torch.autograd.grad(c, list(net.parameters()), retain_graph=True) for c in h]
        rows.append(torch.stack([torch.cat([p.flatten() for p in part]) for part in parts]))
        logits.append(h.detach())
    return torch.stack(rows), torch.stack(logits)


def plain_residuals(logits, y):
    if logits.shape[1] == 1:
        return torch.sigmoid(logits) - y[:, None]
    return logits.softmax(1) - F.one_hot(y, logits.shape[1])


def subset_sums(net, x, y, masks):
    """(n, C, p) gradients, and (m, C, p) their sums over subsets."""
    derivatives, logits = jacobian(net, x)
    each = plain_residuals(logits, y)[..., None] * derivatives
    return each, torch.einsum("mn,ncp->mcp", masks.double(), each)


def cosines(u, v):
    return F.normalize(u, dim=-1).mul(F.normalize(v, dim=-1)).sum(-1)


def assert_angles(angles, wanted_cosines, dtype):
    """The cosines to their rounding: what an angle can be known to depends on how close to 0 it is."""
    assert angles.dtype == torch.float64
    torch.testing.assert_close(angles.cos(), wanted_cosines, rtol=0, atol=COSINE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", NETS)
def test_derivative_angles(make, dtype):
    net, x, _, _ = a_problem(make, 3)
    derivatives, _ = jacobian(net, x)
    for logit in (0, 2):
        wanted = derivatives[:, logit]
        angles = gradients.derivative_angles(net, x, logit=logit, dtype=dtype)
        assert_angles(angles, cosines(wanted[:, None], wanted[None]), dtype)
        angles = gradients.derivative_angles(net, x[:4], x[4:], logit=logit, dtype=dtype)
        assert_angles(angles, cosines(wanted[:4, None], wanted[None, 4:]), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("make", NETS)
def test_sample_gradient_angles(make, outputs, dtype):
    net, x, y, masks = a_problem(make, outputs)
    each, sums = subset_sums(net, x, y, masks)
    wanted = cosines(each[None], sums[:, None])
    wanted = wanted[..., 0] if outputs == 1 else wanted
    several = gradients.sample_gradient_angles(net, x, y, masks, dtype=dtype)
    assert_angles(several, wanted, dtype)
    one = gradients.sample_gradient_angles(net, x, y, masks[0], dtype=dtype)
    torch.testing.assert_close(one, several[0], rtol=0, atol=RESOLUTION[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("make", NETS)
def test_subset_gradients(make, outputs, dtype):
    net, x, y, masks = a_problem(make, outputs)
    each, sums = subset_sums(net, x, y, masks)
    norms, wanted = sums.norm(dim=-1).t(), cosines(sums[:, None], sums[None]).permute(2, 0, 1)
    result = gradients.subset_gradients(net, x, y, masks, dtype=dtype)
    assert result.norms.shape == (norms.shape if outputs > 1 else norms[0].shape)
    # Rounding is relative to the gradients that are added, which may cancel each other.
    added = torch.einsum("mn,nc->cm", masks.double(), each.norm(dim=-1))
    assert ((result.norms - norms).abs() <= COSINE[dtype] / 2 * added).all()
    torch.testing.assert_close(
        result.cosines, wanted if outputs > 1 else wanted[0], rtol=0, atol=COSINE[dtype]
    )
    torch.testing.assert_close(result.angles.cos(), result.cosines, rtol=0, atol=1e-15)
    torch.testing.assert_close(result.ratios[..., 0, 2], result.norms[..., 0] / result.norms[..., 2])


@pytest.mark.parametrize("make", SMALL_NETS)
def test_subset_gradients_summed_over_logits(make):
    net, x, y, masks = a_problem(make, 3)
    _, sums = subset_sums(net, x, y, masks)
    vectors = sums.sum(1)
    result = gradients.subset_gradients(net, x, y, masks, per_logit=False, dtype=torch.float64)
    torch.testing.assert_close(result.gram, vectors @ vectors.t(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("per_logit", [True, False])
def test_each_subset_may_have_labels_of_its_own_and_each_logit_a_subset(per_logit):
    net, x, y, masks = a_problem(make_odd, 3)
    labels = torch.stack([y, (y + 1) % 3, y])
    subsets = torch.stack([masks[0][:, None] & (torch.arange(3) != 1), *masks[1:, :, None].expand(-1, -1, 3)])
    derivatives, logits = jacobian(net, x)
    weights = torch.stack([plain_residuals(logits, own) for own in labels]) * subsets
    vectors = torch.einsum("mnc,ncp->mcp", weights, derivatives)
    vectors = vectors.transpose(0, 1) if per_logit else vectors.sum(1)
    result = gradients.subset_gradients(net, x, labels, subsets, per_logit=per_logit, dtype=torch.float64)
    torch.testing.assert_close(result.gram, vectors @ vectors.mT, rtol=1e-12, atol=1e-12)
    if per_logit:
        own_labels = gradients.sample_gradient_angles(net, x, y, subsets, dtype=torch.float64)
        own = torch.einsum("mnc,nc,ncp->mcp", subsets.double(), plain_residuals(logits, y), derivatives)
        each = plain_residuals(logits, y)[..., None] * derivatives
        wanted = cosines(each[None], own[:, None])
        wanted[0, :, 1] = math.nan
        torch.testing.assert_close(own_labels.cos(), wanted, rtol=0, atol=1e-14, equal_nan=True)


@pytest.mark.parametrize("per_logit", [True, False])
def test_groups_that_fill_a_gpu_give_the_same_in_one_pass_for_each_logit(monkeypatch, per_logit):
    net, x, y, masks = a_problem(make_odd, 3, n=200)
    some = torch.rand(len(x), 3, generator=torch.Generator().manual_seed(0)) < 0.8
    subsets = masks[..., None] & some  # samples need any of the logits
    here = gradients.subset_gradients(net, x, y, subsets, per_logit=per_logit, dtype=torch.float64)
    passes, forward = [], CapturedNet.forward
    monkeypatch.setattr(subset_module, "_is_for_a_gpu", lambda x: True)
    monkeypatch.setattr(
        CapturedNet,
        "forward",
        lambda self, x, **options: passes.append(len(x)) or forward(self, x, **options),
    )
    there = gradients.subset_gradients(net, x, y, subsets, per_logit=per_logit, dtype=torch.float64)
    torch.testing.assert_close(there.gram, here.gram, rtol=1e-12, atol=1e-12)
    if per_logit:
        needed = subsets.any(0).sum(0).tolist()
        assert max(needed) > CapturedNet(net, torch.float64).batch  # more than a CPU's caches hold
        assert passes[-3:] == needed
        gradients.subset_gradients(net, x, y, masks)  # who needs any logit needs all three
        parts = masks.any(0).nonzero().split(subset_module.GPU_BATCH // 3)
        assert passes[-len(parts) :] == [len(part) for part in parts]


def test_wrong_label_turns_the_gradient_round():
    net, x, y, masks = a_problem(make_odd, 1)
    mask = masks[0]
    right = gradients.sample_gradient_angles(net, x, y, mask)
    wrong = gradients.sample_gradient_angles(net, x, torch.where(mask, y, 1 - y), mask)
    assert torch.equal(wrong[mask], right[mask])
    torch.testing.assert_close(wrong[~mask], math.pi - right[~mask], rtol=0, atol=1e-15)


def test_subset_of_one_sample_gives_the_derivative_angles():
    net, x, y, _ = a_problem(make_wide, 1)
    angles = gradients.sample_gradient_angles(net, x, y, torch.eye(len(x)).bool(), dtype=torch.float64)
    derivative = gradients.derivative_angles(net, x, dtype=torch.float64)
    same = y[:, None] == y
    wanted = torch.where(same, derivative, math.pi - derivative)
    torch.testing.assert_close(angles, wanted, rtol=0, atol=RESOLUTION[torch.float64])


def test_subsets_that_make_up_the_whole_add_up_to_the_gradient_of_the_loss():
    net, x, y, _ = a_problem(make_odd, 3)
    masks = torch.stack([*(y == c for c in range(3)), torch.ones_like(y, dtype=torch.bool)])
    result = gradients.subset_gradients(net, x, y, masks, per_logit=False, dtype=torch.float64)
    assert result.gram[:3, :3].sum() == pytest.approx(float(result.gram[3, 3]), rel=1e-12)
    double = copy.deepcopy(net).double()
    loss = F.cross_entropy(double(x.double()), y, reduction="sum")
    square = sum(g.square().sum() for g in torch.autograd.grad(loss, list(double.parameters())))
    assert result.norms[3] ** 2 == pytest.approx(float(square), rel=1e-12)


def test_single_logit_gradients_of_a_softmax_net_cancel_in_the_shared_bias():
    """With one linear layer only: the residuals of a sample add up to zero, so their gradients do."""
    net = nn.Linear(4, 3)
    x, y = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1, 0])
    mask = torch.ones(1, 5, dtype=torch.bool)
    norms = gradients.subset_gradients(net, x, y, mask, dtype=torch.float64).norms[:, 0]
    total = gradients.subset_gradients(net, x, y, mask, per_logit=False, dtype=torch.float64).norms[0]
    assert float(norms.square().sum().sqrt()) == pytest.approx(float(total), rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_angles_near_zero_and_pi_are_resolved_as_promised(dtype):
    """The derivative of a linear net is its input: angles known exactly, of inputs with many numbers."""
    generator = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(torch.randn(300, 2, generator=generator, dtype=torch.float64))[0]
    small = RESOLUTION[dtype] * torch.tensor([1.0, 3, 10, 100])
    known = torch.cat([small, math.pi - small]).double()
    z = known.cos()[:, None] * basis[:, 0] + known.sin()[:, None] * basis[:, 1]
    net = nn.Linear(300, 1, bias=False)
    angles = gradients.derivative_angles(net, basis[:, :1].t(), z, dtype=dtype)[0]
    # A cosine off by e moves an angle t by e / t.
    allowed = COSINE[dtype] / torch.minimum(known, math.pi - known)
    assert ((angles - known).abs() < allowed).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", NETS)
def test_angle_with_itself_is_zero_to_the_resolution(make, dtype):
    net, x, _, _ = a_problem(make, 1)
    angles = gradients.derivative_angles(net, x, x.clone(), dtype=dtype).diagonal()
    assert angles.max() < RESOLUTION[dtype]


@pytest.mark.parametrize(("h", "label"), [(17.0, 1), (-17.0, 0), (40.0, 1), (800.0, 1)])
def test_a_well_fitted_sample_keeps_its_angle(h, label):
    """In float32 a sigmoid of 17 is exactly 1."""
    net, x, _, _ = a_problem(make_standard, 1)
    with torch.no_grad():
        net[-1].bias += h
    y = torch.full((len(x),), label)
    y[-1] = 1 - label
    mask = torch.arange(len(x)) == len(x) - 1
    derivatives = jacobian(net, x)[0][:, 0]
    angles = gradients.sample_gradient_angles(net, x, y, mask)
    assert_angles(angles[:-1], -cosines(derivatives[:-1], derivatives[-1:]), torch.float32)


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_short_gradient_keeps_its_length_and_direction(outputs):
    """Lengths of 1e-26 have squares of 1e-52, which float32 does not hold."""
    net = nn.Sequential(nn.Linear(4, outputs))
    x = torch.rand(6, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.copy_(torch.tensor([60.0, 0.0, 0.0][:outputs]))
    label = 1 if outputs == 1 else 0
    y = torch.full((6,), label)
    masks = torch.stack([torch.arange(6) < 3, torch.arange(6) >= 3])
    found = gradients.subset_gradients(net, x, y, masks)
    norms, cosines = (value if outputs == 1 else value[1] for value in (found.norms, found.cosines))
    # Every sample has the same residual, e⁻⁶⁰ to its last place, times its input with a 1 for the bias.
    sums = torch.stack([F.pad(x[rows].double(), (0, 1), value=1).sum(0) for rows in masks])
    torch.testing.assert_close(norms, math.exp(-60) * sums.norm(dim=1), rtol=1e-6, atol=0)
    wanted = torch.cosine_similarity(sums[0], sums[1], dim=0)
    torch.testing.assert_close(cosines[0, 1], wanted, rtol=1e-6, atol=0)
    angles = gradients.sample_gradient_angles(net, x, y, masks[0])
    each = F.pad(x.double(), (0, 1), value=1)
    wanted = torch.cosine_similarity(each, sums[:1], dim=1)
    torch.testing.assert_close((angles if outputs == 1 else angles[:, 1]).cos(), wanted, rtol=1e-6, atol=0)


def test_residuals_keep_their_digits():
    h = torch.tensor([[17.0], [-30.0], [17.0]])
    wanted = [
        -math.exp(-17) / (1 + math.exp(-17)),
        math.exp(-30) / (1 + math.exp(-30)),
        1 / (1 + math.exp(-17)),
    ]
    found = gradients.residuals(h, torch.tensor([1, 0, 0]))
    torch.testing.assert_close(found[:, 0], torch.tensor(wanted, dtype=torch.float64), rtol=1e-14, atol=0)
    found = gradients.residuals(torch.tensor([[40.0, 0.0, 1.0]]), torch.tensor([0]))
    others = torch.tensor([0.0, 1.0], dtype=torch.float64).sub(40).exp()
    wanted = torch.cat([-others.sum()[None], others]) / (1 + others.sum())
    torch.testing.assert_close(found[0], wanted, rtol=1e-14, atol=0)


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_small_memory_gives_the_same_in_more_passes(outputs, monkeypatch):
    net, x, y, masks = a_problem(make_odd, outputs, n=70)
    passes = []
    forward = CapturedNet.forward

    def counted(self, x, **kwargs):
        passes.append(len(x))
        return forward(self, x, **kwargs)

    monkeypatch.setattr(CapturedNet, "forward", counted)
    for measure in (
        lambda **k: gradients.sample_gradient_angles(net, x, y, masks, **k),
        lambda **k: gradients.derivative_angles(net, x, logit=0, **k),
        lambda **k: gradients.subset_gradients(net, x, y, masks[:2], **k).gram,
    ):
        whole = measure(dtype=torch.float64)
        once = sum(passes)
        passes.clear()
        little = measure(dtype=torch.float64, memory=1e-3)
        repeated = sum(passes) > once
        passes.clear()
        assert repeated or (outputs == 1 and whole.shape == (2, 2))
        torch.testing.assert_close(little, whole, rtol=1e-12, atol=RESOLUTION[torch.float64])


@pytest.mark.parametrize("n", [20, 70])
def test_two_sets_in_one_pass_or_in_several_give_the_same(n):
    net, x, _, _ = a_problem(make_odd, 1, n=n)
    assert (n > CapturedNet(net, torch.float64).batch) == (n == 70)
    everything = gradients.derivative_angles(net, x, dtype=torch.float64)
    pairs = gradients.derivative_angles(net, x[:15], x[15:], dtype=torch.float64)
    torch.testing.assert_close(pairs, everything[:15, 15:], rtol=1e-12, atol=RESOLUTION[torch.float64])


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor made."""

    most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        held = [leaf.untyped_storage().nbytes() // leaf.element_size() for leaf in tensors]
        self.most = max([self.most, *held])
        return result


def test_no_matrix_of_all_gradients_is_held():
    net = models.fully_connected(60, 50, depth=3, num_outputs=1, seed=0)
    p = sum(map(torch.numel, net.parameters()))
    x, y = torch.randn(300, 60), torch.arange(300) % 2
    with Largest() as largest:
        gradients.sample_gradient_angles(net, x, y, y == 0)
        gradients.subset_gradients(net, x, y, torch.stack([y == 0, y == 1]))
        gradients.derivative_angles(net, x[:100], x[100:])
    # The largest there may be: a batch of inputs, a sum of gradients, a matrix of angles.
    assert largest.most <= max(300 * 60, p, 100 * 200) < 300 * p / 50


def test_an_empty_subset_has_no_angle_and_no_norm():
    net, x, y, masks = a_problem(make_standard, 3)
    masks[1] = False
    assert gradients.sample_gradient_angles(net, x, y, masks)[1].isnan().all()
    for per_logit in (True, False):
        assert (gradients.subset_gradients(net, x, y, masks, per_logit=per_logit).norms[..., 1] == 0).all()
        none = gradients.subset_gradients(net, x, y, torch.zeros_like(masks), per_logit=per_logit)
        assert none.gram.shape == ((3, 3, 3) if per_logit else (3, 3))
        assert (none.gram == 0).all()


def test_full_precision_whatever_the_caller_has_switched_on():
    net, x, y, masks = a_problem(make_odd, 3)
    plain = gradients.sample_gradient_angles(net, x, y, masks)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gradients.sample_gradient_angles(net, x, y, masks), plain)
        assert torch.is_autocast_enabled("cpu")
    with torch.no_grad():
        assert torch.equal(gradients.sample_gradient_angles(net, x, y, masks), plain)
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(gradients.sample_gradient_angles(net, x, y, masks), plain)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", NETS)
def test_the_same_on_a_gpu(make, dtype):
    net, x, y, masks = a_problem(make, 3)
    here = gradients.sample_gradient_angles(net, x, y, masks, dtype=dtype)
    sums = gradients.subset_gradients(net, x, y, masks, dtype=dtype)
    pairs = gradients.derivative_angles(net, x, logit=1, dtype=dtype)
    net, x, y, masks = net.cuda(), x.cuda(), y.cuda(), masks.cuda()
    there = gradients.sample_gradient_angles(net, x, y, masks, dtype=dtype).cpu()
    assert_angles(there, here.cos(), dtype)
    assert_angles(gradients.derivative_angles(net, x, logit=1, dtype=dtype).cpu(), pairs.cos(), dtype)
    on_gpu = gradients.subset_gradients(net, x, y, masks, dtype=dtype)
    torch.testing.assert_close(on_gpu.norms.cpu(), sums.norms, rtol=COSINE[dtype], atol=0)


@st.composite
def nets(draw):
    """A convolutional net with random sizes, strides, paddings and dilations, then linear layers."""

    def number(low, high):
        return draw(st.integers(low, high))

    def pair(low, high):
        return number(low, high), number(low, high)

    channels, size = number(1, 3), pair(6, 9)
    layers, now = [], channels
    for _ in range(number(0, 2)):
        out = number(1, 4)
        kernel, dilation = pair(1, 3), pair(1, 2)
        options = {
            "stride": pair(1, 2),
            "padding": pair(1, 2),
            "dilation": dilation,
            "bias": draw(st.booleans()),
        }
        layers.append(nn.Conv2d(now, out, kernel, **options))
        layers += [nn.BatchNorm2d(out, affine=draw(st.booleans()))] if draw(st.booleans()) else []
        layers.append(draw(st.sampled_from([nn.Tanh, nn.Softplus, nn.Mish]))())
        now = out
    net = nn.Sequential(*layers, nn.Flatten())
    try:
        flat = net.eval()(torch.zeros(1, channels, *size)).shape[1]
    except RuntimeError:  # a kernel larger than what is left of the image
        net, flat = nn.Sequential(nn.Flatten()), channels * size[0] * size[1]
    width, outputs = number(1, 5), number(1, 3)
    net.extend([nn.Linear(flat, width, bias=draw(st.booleans())), nn.Tanh()])
    net.append(nn.Linear(width, outputs, bias=draw(st.booleans())))
    return net.eval(), (channels, *size), outputs


@settings(max_examples=60, deadline=None, derandomize=True)
@given(drawn=nets(), seed=st.integers(0, 1000))
def test_any_net(drawn, seed):
    net, shape, outputs = drawn
    _, x, y, masks = a_problem(lambda _: (net, shape), outputs, n=5, seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for parameter in net.parameters():
            nn.init.normal_(parameter, std=0.5)
    each, sums = subset_sums(net, x, y, masks)
    grams = torch.einsum("mcp,kcp->cmk", sums, sums)
    result = gradients.subset_gradients(net, x, y, masks, dtype=torch.float64)
    torch.testing.assert_close(result.gram, grams if outputs > 1 else grams[0], rtol=1e-9, atol=1e-12)
    angles = gradients.sample_gradient_angles(net, x, y, masks, dtype=torch.float64)
    products = (each[None] * sums[:, None]).sum(-1)
    norms = each.norm(dim=-1)[None] * sums.norm(dim=-1)[:, None]
    angles = angles if outputs > 1 else angles[..., None]
    torch.testing.assert_close(angles.cos() * norms, products, rtol=1e-9, atol=1e-12)
