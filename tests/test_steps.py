"""Compiled steps: which there are, and that a replayed one is the step that a GPU would have taken."""

from dataclasses import replace

import pytest
import torch

from cleanprio_lib import compiled_mish, fused_blocks, models, steps
from cleanprio_lib.metrics import Task
from cleanprio_lib.sgd import SGD
from cleanprio_lib.training import TrainingSettings, sample_order, train, train_epoch

SETTINGS = TrainingSettings(epochs=2, batch_size=4, learning_rate=0.01, precision="float32")


def make_task(count=26, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count, 3, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(count) % 3
    return Task(x, labels, labels.flip(0), x[:3], labels[:3], 3).to(device)


def make_net(device="cpu"):
    return models.resnet9(width=4, num_classes=3, seed=0).to(device, memory_format=torch.channels_last)


def state(net):
    return torch.cat([value.detach().double().flatten().cpu() for value in net.state_dict().values()])


class Graphs:
    """In place of CUDA graphs: what is recorded is called again, and what happened is kept."""

    def __init__(self):
        self.happened = []

    def beside(self, function, stream):
        assert stream == "of cpu"
        self.happened.append("beside")
        function()

    def captured(self, function, stream):
        assert stream == "of cpu"
        self.happened.append("captured")

        def replay():
            self.happened.append("replayed")
            function()

        return replay


@pytest.fixture
def graphs(monkeypatch):
    """A CPU that replays, by loops as they are written."""
    graphs = Graphs()
    monkeypatch.setattr(steps, "_stream", lambda device: f"of {device}")
    monkeypatch.setattr(steps, "_beside", graphs.beside)
    monkeypatch.setattr(steps, "_captured", graphs.captured)
    monkeypatch.setattr(fused_blocks, "_compiled", lambda function: function)
    return graphs


def test_replayed_steps_are_the_steps_that_would_have_been_taken(graphs):
    task, net, plain = make_task(), make_net(), make_net()
    first = state(net)
    step, optimizer = None, SGD(net.parameters(), lr=0.01)
    for epoch in (1, 2):
        step = step or steps.ReplayedStep(net, task, optimizer, SETTINGS)
        train_epoch(net, task, optimizer, SETTINGS, epoch=epoch, seed=0, step=step)
        train_epoch(plain, task, SGD(plain.parameters(), lr=0.01), SETTINGS, epoch=epoch, seed=0)
    whole = 2 * (26 // 4)  # and in each epoch a last batch of two, an ordinary step
    assert graphs.happened == [
        *["beside"] * steps.WARM_UP, "captured", *["replayed"] * (whole - steps.WARM_UP)
    ]  # fmt: skip
    moved = (state(plain) - first).norm()
    assert moved > 0.1
    # Float32 sums in another order; fourteen steps at a rate at which they do not drift apart.
    assert (state(net) - state(plain)).norm() < 1e-3 * moved


def test_a_step_is_replayed_on_the_batch_it_is_given(graphs):
    """Not on the one it was recorded with, which is overwritten."""
    task, net = make_task(), make_net()
    step = steps.ReplayedStep(net.train(), task, SGD(net.parameters(), lr=0.01), SETTINGS)
    seen = []
    real = step._loss
    step._loss = lambda indices, forward: seen.append(indices.tolist()) or real(indices, forward)
    batches = [batch.clone() for batch in sample_order(24, epoch=1, seed=0).split(4)]
    given = [batch.tolist() for batch in batches]
    for batch in batches:
        step(batch)
    assert seen == given
    assert [batch.tolist() for batch in batches] == given


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("make", [SGD, torch.optim.SGD])
def test_warm_up_may_take_several_epochs_with_any_optimizer_and_targets(graphs, make, momentum):
    settings, task = replace(SETTINGS, momentum=momentum), make_task(6)
    task = replace(task, targets=torch.rand(6, 3, generator=torch.Generator().manual_seed(2)).softmax(1))
    moved = []
    for kind in (steps.Step, steps.ReplayedStep):
        net = make_net()
        first, optimizer = state(net), make(net.parameters(), lr=0.01, momentum=momentum)
        step = kind(net, task, optimizer, settings)
        for epoch in range(1, 6):  # of one full batch and half of one
            train_epoch(net, task, optimizer, settings, epoch=epoch, seed=0, step=step)
        moved.append(state(net) - first)
    assert graphs.happened == ["beside"] * steps.WARM_UP + ["captured", "replayed", "replayed"]
    assert (moved[1] - moved[0]).norm() < 1e-3 * moved[0].norm()


@pytest.mark.parametrize("size", [None, 5, 8])
def test_a_batch_of_all_samples_is_replayed_too(graphs, size):
    settings = replace(SETTINGS, batch_size=size)
    task, net = make_task(5), make_net()
    step = steps.ReplayedStep(net.train(), task, SGD(net.parameters(), lr=0.01), settings)
    for _ in range(steps.WARM_UP + 2):
        step(torch.arange(5))
    assert graphs.happened[-2:] == ["replayed"] * 2


def test_the_device_decides_how_a_step_is_compiled():
    net = make_net()
    step = steps.compiled_step(net, make_task(), SGD(net.parameters(), lr=0.1), SETTINGS)
    assert type(step) is steps.MishStep
    assert steps._kind(torch.device("cuda", 1)) is steps.ReplayedStep
    assert steps._kind(torch.device("mps")) is steps.MishStep


@pytest.mark.parametrize("compiled", [False, True])
def test_training_takes_its_own_steps(monkeypatch, compiled):
    taken = []
    monkeypatch.setattr(compiled_mish, "_compiled", lambda function: function)
    for kind in (steps.Step, steps.MishStep):
        real = kind.__call__

        def call(self, batch, real=real):
            taken.append((type(self), len(batch)))
            real(self, batch)

        monkeypatch.setattr(kind, "__call__", call)
    train(make_net(), make_task(10), SETTINGS, seed=0, compiled=compiled, measures=(), progress=False)
    kind = steps.MishStep if compiled else steps.Step
    assert taken == [(kind, 4), (kind, 4), (kind, 2)] * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_cuda_graph_takes_the_same_steps(precision):
    settings = replace(SETTINGS, precision=precision)
    moved = []
    for kind in (steps.Step, steps.compiled_step):
        task, net = make_task(device="cuda"), make_net("cuda")
        first, optimizer = state(net), SGD(net.parameters(), lr=0.01)
        step = kind(net, task, optimizer, settings)
        for epoch in (1, 2):
            train_epoch(net, task, optimizer, settings, epoch=epoch, seed=0, step=step)
        moved.append(state(net) - first)
    close = 1e-2 if precision == "float32" else 0.3
    assert (moved[0] - moved[1]).norm() < close * moved[0].norm()
