"""What the gradients of a model cannot be had of is refused by name; a model is left as it was."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from cleanprio_lib import gradients, models


class Net(nn.Module):
    """Two linear layers around a step that is given, `step(net, hidden)`."""

    def __init__(self, step, **extra):
        super().__init__()
        self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 2)
        self.step = step
        for name, layer in extra.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.two(self.step(self, self.one(x)))


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class InBfloat16(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.linear(x)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.scale * x


def tied():
    net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    return net


def called_twice():
    return Net(lambda net, h: net.again(torch.relu(net.again(h))), again=nn.Linear(6, 6))


def weight_used_alone():
    return Net(lambda net, h: F.linear(h, net.middle.weight), middle=nn.Linear(6, 6, bias=False))


def weight_used_again():
    return Net(lambda net, h: F.linear(torch.tanh(h), net.one.weight @ net.one.weight.t()))


def samples_mixed():
    return Net(lambda net, h: h - h.mean(0))


def samples_mixed_backwards():
    return Net(lambda net, h: h + h.mean(0) - h.mean(0).detach())


def random_function():
    return Net(lambda net, h: F.dropout(h, 0.5, training=True))


def hooked():
    net = Net(lambda net, h: torch.tanh(h))
    net.one.register_forward_hook(lambda layer, inputs, output: output**3)
    return net


def weight_normalised():
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 2)))


def image(*layers):
    """Layers for (n, 4) inputs seen as images of one row and two channels."""
    return nn.Sequential(nn.Unflatten(1, (2, 1, 2)), *layers)


REFUSED = {
    "unknown layer": (
        lambda: nn.Sequential(nn.Linear(4, 2), nn.PReLU()),
        "layer '1' .PReLU.* use Linear, Conv2d",
    ),
    "parameter of its own": (
        lambda: nn.Sequential(Scaled(), nn.Linear(4, 2)),
        r"layer '0' \(Scaled\).* use Linear",
    ),
    "subclass": (lambda: nn.Sequential(Doubled(4, 2)), r"layer '0' \(Doubled\).* use Linear"),
    "unmade layer": (lambda: nn.Sequential(nn.LazyLinear(2)), r"layer '0' \(LazyLinear\).* use Linear"),
    "LayerNorm": (
        lambda: nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2)),
        r"layer '0' \(LayerNorm\).* use Linear",
    ),
    "BatchNorm in training": (
        lambda: nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)),
        r"layer '0' is in training mode.*call model.eval\(\)",
    ),
    "BatchNorm without statistics": (
        lambda: nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False).eval(), nn.Linear(4, 2)),
        "layer '0' has no running statistics.*set track_running_stats=True",
    ),
    "dropout": (
        lambda: nn.Sequential(nn.Dropout(), nn.Linear(4, 2)),
        r"layer '0' is random.*call model.eval\(\)",
    ),
    "in-place layer": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)),
        "layer '1' works in place: set its inplace=False",
    ),
    "in-place function": (
        lambda: Net(lambda net, h: F.relu_(h)),
        "layer 'one' is overwritten in place: use inplace=F",
    ),
    "in-place sum": (
        lambda: Net(lambda net, h: net.middle(h) + h.add_(1), middle=nn.Linear(6, 6)),
        "layer '(one|middle)' is overwritten in place.*`x = x . y`",
    ),
    "tied parameters": (tied, "parameter '2.weight' is tied to '0.weight': give each layer its own"),
    "layer called twice": (called_twice, "layer 'again' is called twice: give each call a layer of its own"),
    "layer never called": (
        lambda: Net(lambda net, h: h, idle=nn.Linear(2, 2)),
        "layer 'idle' is never called: call it in forward .* or remove it",
    ),
    "weight used by itself": (
        weight_used_alone,
        "layer 'middle' is never called: .*not its weight by itself",
    ),
    "weight used again": (weight_used_again, "gradient of 'one.weight' .* differs .* used outside its layer"),
    "samples act on each other": (
        samples_mixed,
        r"alone: .* samples of a batch act on each other\? Call model.eval",
    ),
    "samples act on each other's gradients": (
        samples_mixed_backwards,
        "gradient of 'one.weight' .* differs .* do samples of a batch act on each other",
    ),
    "random function": (random_function, "alone: is the net random"),
    "hook": (hooked, "gradient of 'one.weight' .* differs .* does a hook change the layer"),
    "parametrised weight": (weight_normalised, r"layer '0' \(ParametrizedLinear\) .* use Linear"),
    "grouped convolution": (
        lambda: image(nn.Conv2d(2, 2, 1, groups=2), nn.Flatten(), nn.Linear(4, 2)),
        "layer '1' is a grouped convolution: groups must be 1, got 2",
    ),
    "transposed convolution": (
        lambda: image(nn.ConvTranspose2d(2, 2, 1), nn.Flatten(), nn.Linear(4, 2)),
        r"layer '1' \(ConvTranspose2d\) .* use Linear",
    ),
    "one-dimensional convolution": (
        lambda: nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Conv1d(2, 2, 1), nn.Flatten()),
        r"layer '1' \(Conv1d\) .* use Linear",
    ),
    "sequences": (
        lambda: nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(2, 3), nn.Flatten(), nn.Linear(6, 2)),
        "layer '1' must see a batch with 2 dimensions, got 3: flatten",
    ),
    "autocast": (InBfloat16, "layer 'linear' must compute in torch.float32, got torch.bfloat16: no autocast"),
    "no parameters": (lambda: nn.Sequential(nn.Tanh()), "model must have a layer with parameters"),
    "not logits": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.Unflatten(1, (2, 2))),
        r"logits \(6, C\), got \(6, 2, 2\)",
    ),
}


def state_of(net):
    """All that a measurement might change; a layer that is not made yet has no values."""
    made = {name: value for name, value in net.state_dict().items() if not nn.parameter.is_lazy(value)}
    return {
        "values": {name: value.clone() for name, value in made.items()},
        "requires": [p.requires_grad for p in net.parameters()],
        "identity": [id(p) for p in net.parameters()],
        "modes": [layer.training for layer in net.modules()],
        "hooks": [
            len(layer._forward_hooks) + len(layer._forward_pre_hooks) + len(layer._backward_hooks)
            for layer in net.modules()
        ],
    }


def assert_same(before, after):
    values, wanted = after.pop("values"), before.pop("values")
    assert values.keys() == wanted.keys()
    assert all(torch.equal(values[name], wanted[name]) for name in wanted)
    assert after == before


MEASURES = {
    "derivative_angles": lambda net, x: gradients.derivative_angles(net, x, logit=0),
    "sample_gradient_angles": lambda net, x: gradients.sample_gradient_angles(
        net, x, torch.arange(len(x)) % 2, torch.arange(len(x)) < 3
    ),
    "subset_gradients": lambda net, x: gradients.subset_gradients(
        net, x, torch.arange(len(x)) % 2, torch.arange(len(x))[None] < 3
    ),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_refused_by_name_with_a_way_out(make, words, measure):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, x = make(), torch.randn(200, 4)
        before, given = state_of(net), x.clone()
        with pytest.raises((ValueError, RuntimeError), match=words):
            measure(net, x)
    assert torch.equal(x, given)
    assert_same(before, state_of(net))


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_the_model_is_left_as_it_was(measure):
    net = models.resnet9(num_classes=2, width=2, seed=0)
    for layer in net.modules():
        layer.training = isinstance(layer, nn.Mish)
    frozen = next(net.parameters())
    frozen.requires_grad_(False)
    for number, parameter in enumerate(net.parameters()):
        parameter.grad = torch.full_like(parameter, number) if number % 2 else None
    calls = []
    net[0].register_forward_hook(lambda *_: calls.append(1))
    before, grads = state_of(net), [copy.deepcopy(p.grad) for p in net.parameters()]
    held = [p.grad for p in net.parameters()]
    x = torch.randn(6, 3, 32, 32)
    given = x.clone()
    measure(net, x)
    assert calls
    assert torch.equal(x, given)
    assert not x.requires_grad
    for parameter, own, value in zip(net.parameters(), held, grads, strict=True):
        assert parameter.grad is own
        assert own is None or torch.equal(own, value)
    assert_same(before, state_of(net))


def test_frozen_parameters_count():
    net = models.fully_connected(4, 5, seed=0)
    x = torch.randn(6, 4)
    angles = gradients.derivative_angles(net, x)
    net[1].requires_grad_(False)
    assert torch.equal(gradients.derivative_angles(net, x), angles)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda net, x, y, m: gradients.derivative_angles(net, x),
            "logit must be given for a model with 3 logits",
        ),
        (
            lambda net, x, y, m: gradients.derivative_angles(net, x, logit=3),
            r"logit must lie in \[0, 3\), got 3",
        ),
        (
            lambda net, x, y, m: gradients.derivative_angles(net, x, x[:, 1:], logit=0),
            r"z must hold inputs of the shape of x's, \(.*\), got \(",
        ),
        (
            lambda net, x, y, m: gradients.derivative_angles(net, x[:0], logit=0),
            "x must hold at least one sample",
        ),
        (
            lambda net, x, y, m: gradients.derivative_angles(net, x, logit=0, dtype=torch.bfloat16),
            "dtype must be torch.float32 or torch.float64, got torch.bfloat16",
        ),
        (
            lambda net, x, y, m: gradients.sample_gradient_angles(net, x, y[:5], m),
            r"y must have shape \(6,\), got \(5,",
        ),
        (
            lambda net, x, y, m: gradients.sample_gradient_angles(net, x, y + 1, m),
            "y must hold classes 0 to 2.*1 to 3",
        ),
        (
            lambda net, x, y, m: gradients.sample_gradient_angles(net, x, y + 0.5, m),
            "y must hold classes 0 to 2",
        ),
        (
            lambda net, x, y, m: gradients.sample_gradient_angles(net, x, y, m.long()),
            "mask must be of booleans, got",
        ),
        (
            lambda net, x, y, m: gradients.sample_gradient_angles(net, x, y, m[:5]),
            r"mask must have shape .* got \(5,\)",
        ),
        (lambda net, x, y, m: gradients.subset_gradients(net, x, y, m), r"masks must have shape \(k, 6\) or"),
        (
            lambda net, x, y, m: gradients.subset_gradients(net, x, y[:5], m[None]),
            r"y must have shape \(6,\) or \(1, 6\)",
        ),
    ],
)
def test_bad_arguments_are_named(call, words):
    net = models.fully_connected(4, 5, num_outputs=3, seed=0)
    with pytest.raises(ValueError, match=words):
        call(net, torch.randn(6, 4), torch.arange(6) % 3, torch.arange(6) < 3)


def test_the_self_check_notices_a_wrong_record(monkeypatch):
    from cleanprio_lib.gradients.records import Patches

    net = models.mnist_cnn(num_classes=2, seed=0)
    x = torch.rand(6, 1, 28, 28)
    right = Patches.explicit
    monkeypatch.setattr(Patches, "explicit", lambda self: type(right(self))(right(self).vectors.flip(-1)))
    with pytest.raises(RuntimeError, match=r"gradient of '0.weight' .* differs"):
        gradients.derivative_angles(net, x, logit=0)
