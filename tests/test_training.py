"""The training loop against a loop by hand, and its survival of SIGKILL at any moment."""

import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from cleanprio_lib import checkpoints, models, noise, steps, training
from cleanprio_lib.metrics import Task, subset_metrics
from cleanprio_lib.precision import resolve_precision
from cleanprio_lib.training import TrainingSettings, train

SETTINGS = TrainingSettings(epochs=3, batch_size=16, learning_rate=0.1, precision="float32")


def make_task(num_classes=3, *, n=50, shape=(6,), seed=0):
    rng = np.random.default_rng(seed)
    true = torch.from_numpy(rng.integers(num_classes, size=n))
    centres = torch.from_numpy(rng.normal(size=(num_classes, *shape)).astype(np.float32))
    noise = torch.from_numpy(rng.normal(size=(n, *shape)).astype(np.float32))
    given = torch.where(torch.from_numpy(rng.random(n) < 0.3), (true + 1) % num_classes, true)
    return Task(centres[true] + noise, given, true, centres, torch.arange(num_classes), num_classes)


def make_model(task, seed=0):
    return models.fully_connected(task.x[0].numel(), 8, num_outputs=task.num_outputs, seed=seed)


def small_cnn(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_loop_is_stochastic_gradient_descent(num_classes, momentum):
    task = make_task(num_classes)
    settings = replace(SETTINGS, momentum=momentum)
    model, twin = make_model(task), make_model(task)
    frame = train(model, task, settings, seed=3, progress=False)
    rows = [subset_metrics(twin, task)]
    velocity = [torch.zeros_like(weights) for weights in twin.parameters()]
    for epoch in (1, 2, 3):
        order = training.sample_order(len(task.x), epoch=epoch, seed=3)
        assert sorted(order.tolist()) == list(range(len(task.x)))
        for start in range(0, len(task.x), settings.batch_size):
            batch = order[start : start + settings.batch_size]
            logits, labels = twin(task.x[batch]), task.given[batch]
            loss = (
                F.cross_entropy(logits, labels)
                if num_classes > 2
                else F.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
            )
            gradients = torch.autograd.grad(loss, list(twin.parameters()))
            with torch.no_grad():
                for weights, speed, gradient in zip(twin.parameters(), velocity, gradients, strict=True):
                    speed.mul_(momentum).add_(gradient)
                    weights -= settings.learning_rate * speed
        rows.append(subset_metrics(twin, task))
    wanted = pd.DataFrame(rows)
    assert frame.epoch.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(frame[wanted.columns], wanted, rtol=1e-4, atol=1e-6)


def test_parts_of_a_batch_add_up_to_the_batch():
    task = make_task(shape=(1, 8, 8), n=150)
    settings = replace(SETTINGS, epochs=1, batch_size=150)
    in_parts, whole = small_cnn(), small_cnn()
    assert steps.gradient_batch(in_parts, task.x.device) == steps.CACHE_SIZED_BATCH < 150
    train(in_parts, task, settings, seed=0, progress=False)
    gradients = torch.autograd.grad(F.cross_entropy(whole(task.x), task.given), list(whole.parameters()))
    for after, before, gradient in zip(
        in_parts.parameters(), small_cnn().parameters(), gradients, strict=True
    ):
        torch.testing.assert_close(after, before - settings.learning_rate * gradient, rtol=1e-5, atol=1e-7)


def _descent(model, task, steps):
    """Weights after steps of gradient descent on the whole set, by hand in float64."""
    twin = make_model(task).double()
    twin.load_state_dict({name: value.double() for name, value in model.state_dict().items()})
    labels = task.given if task.num_outputs > 1 else task.given.double()[:, None]
    loss = F.cross_entropy if task.num_outputs > 1 else F.binary_cross_entropy_with_logits
    for _ in range(steps):
        gradients = torch.autograd.grad(loss(twin(task.x.double()), labels), list(twin.parameters()))
        with torch.no_grad():
            for weights, gradient in zip(twin.parameters(), gradients, strict=True):
                weights -= SETTINGS.learning_rate * gradient
    return twin.state_dict()


@pytest.mark.parametrize("num_classes", [2, 3])
def test_without_a_batch_size_it_is_gradient_descent_whatever_the_order(num_classes):
    task = make_task(num_classes)
    settings = replace(SETTINGS, batch_size=None)
    turned = task.take(torch.arange(len(task.x)).flip(0))
    for seed, own in ((3, task), (4, task), (3, turned)):
        model = make_model(task)
        wanted = _descent(model, task, settings.epochs)  # one step an epoch
        train(model, own, settings, seed=seed, progress=False)
        for name, weights in model.state_dict().items():
            # Weights of at most 1 and three steps of .1 times sums of 50 float32 products.
            torch.testing.assert_close(weights.double(), wanted[name], rtol=1e-6, atol=1e-6)


def test_no_batch_size_is_a_batch_of_all_samples():
    task = make_task(shape=(1, 8, 8), n=150)
    frames = [
        train(small_cnn(), task, replace(SETTINGS, batch_size=size), seed=0, progress=False)
        for size in (None, 150, 1_000)
    ]
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0], check_exact=True)


def test_batch_normalised_nets_are_not_split():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    assert steps.gradient_batch(net, torch.device("cpu")) is None
    assert steps.gradient_batch(small_cnn(), torch.device("cuda")) is None
    assert steps.gradient_batch(nn.Linear(2, 2), torch.device("cpu")) is None


def test_a_run_repeats_bit_for_bit_and_hears_its_seed():
    task = make_task()
    first, again, other = (train(make_model(task), task, SETTINGS, seed=s, progress=False) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert (first.iloc[0] == other.iloc[0]).all()
    assert not np.array_equal(first.train_loss, other.train_loss)


def test_each_epoch_and_each_seed_has_an_order_of_its_own():
    orders = [
        training.sample_order(50, epoch=epoch, seed=seed).tolist() for epoch in (1, 2) for seed in (0, 1)
    ]
    assert len({tuple(order) for order in orders}) == 4
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_recorded_epochs_follow_the_settings():
    task = make_task()
    settings = replace(SETTINGS, epochs=11, record_every=4, dense_epochs=2)
    frame = train(make_model(task), task, settings, seed=0, progress=False)
    assert frame.epoch.tolist() == [0, 1, 2, 4, 8, 11]


def test_measured_subset_is_what_is_measured():
    task = make_task(n=50)
    settings = replace(SETTINGS, epochs=1, measured=20)
    model = make_model(task)
    chosen = torch.from_numpy(training.measured_samples(task.true, task.is_noisy, 20))
    frame = train(model, task, settings, seed=0, progress=False)
    assert frame.train_loss.iloc[-1] == subset_metrics(model, task.take(chosen))["train_loss"]


def test_extra_measures_become_columns():
    task = make_task()

    def norm(model, task):
        return {"norm": float(sum(p.detach().square().sum() for p in model.parameters()))}

    frame = train(make_model(task), task, SETTINGS, seed=0, measures=[norm], progress=False)
    assert list(frame) == ["epoch", "norm"]
    assert frame.norm.iloc[0] == norm(make_model(task), task)["norm"]


def test_bfloat16_steps_stay_near_float32_and_weights_stay_float32():
    task = make_task(n=200)
    model = make_model(task)
    single = train(make_model(task), task, SETTINGS, seed=0, progress=False)
    half = train(model, task, replace(SETTINGS, precision="bfloat16"), seed=0, progress=False)
    assert half.attrs["precision"] == "bfloat16"
    assert all(weights.dtype == torch.float32 for weights in model.parameters())
    assert not np.array_equal(single.train_loss, half.train_loss)
    # bfloat16 keeps 8 bits; each of the 39 steps moves the loss by at most its own relative rounding.
    np.testing.assert_allclose(single.train_loss, half.train_loss, rtol=39 * 2**-8)


def test_bfloat16_curves_lie_in_the_band_of_float32_seeds(stand_in):
    x, true = torch.from_numpy(stand_in.x_train[:600]) / 255, stand_in.y_train[:600]
    x_test, y_test = torch.from_numpy(stand_in.x_test[:300]) / 255, torch.from_numpy(stand_in.y_test[:300])
    settings = TrainingSettings(epochs=25, batch_size=32, learning_rate=0.1, precision="float32")

    def curves(precision):
        frames = []
        for seed in range(5):
            labels = noise.uniform(true, 0.3, num_classes=10, seed=seed)
            task = Task(x, torch.from_numpy(labels.given), torch.from_numpy(true), x_test, y_test, 10)
            model = models.fully_connected(784, 64, num_outputs=10, seed=seed)
            changed = replace(settings, precision=precision)
            frames.append(train(model, task, changed, seed=seed, progress=False).set_index("epoch"))
        return pd.concat(frames, keys=range(5), names=["seed"])

    single, half = curves("float32"), curves("bfloat16").groupby("epoch").mean()
    low, high = single.groupby("epoch").min(), single.groupby("epoch").max()
    assert ((half >= low) & (half <= high)).all(axis=None)
    assert not single.groupby("epoch").mean().equals(half)


@pytest.mark.parametrize(("precision", "expected"), [("float32", "highest"), ("bfloat16", "medium")])
def test_float32_steps_have_no_tensorfloat32_forward_or_backward(precision, expected):
    seen = []

    class Spying(nn.Linear):
        def forward(self, x):
            if self.training:
                seen.append(torch.get_float32_matmul_precision())
                self.weight.register_hook(lambda _: seen.append(torch.get_float32_matmul_precision()))
            return super().forward(x)

    task = make_task()
    settings = replace(SETTINGS, epochs=1, batch_size=None, precision=precision)
    torch.set_float32_matmul_precision("medium")
    try:
        train(Spying(6, 3), task, settings, seed=0, progress=False)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == [expected] * 2


@pytest.mark.parametrize(
    ("device", "gpu", "cpu", "precision"),
    [
        ("cuda", True, (False, False), "bfloat16"),
        ("cuda", False, (True, True), "float32"),  # a T4: what the CPU beside it can do is no matter
        ("cpu", False, (True, False), "bfloat16"),
        ("cpu", False, (False, True), "bfloat16"),
        ("cpu", True, (False, False), "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_device_itself_has_it(monkeypatch, device, gpu, cpu, precision):
    asked = []

    def on_gpu(including_emulation):
        asked.append(including_emulation)
        return gpu

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", on_gpu)
    for probe, answer in zip(("_is_avx512_bf16_supported", "_is_amx_tile_supported"), cpu, strict=True):
        monkeypatch.setattr(torch.cpu, probe, lambda answer=answer: answer, raising=False)
    assert resolve_precision("auto", torch.device(device)) == precision
    assert asked == ([False] if device == "cuda" else [])  # an emulation would be slower than float32
    for named in ("float32", "bfloat16"):
        assert resolve_precision(named, torch.device(device)) == named


def test_a_pytorch_that_cannot_tell_computes_in_float32(monkeypatch):
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, probe, raising=False)
    assert resolve_precision("auto", torch.device("cpu")) == "float32"


def image_task():
    return make_task(num_classes=3, n=40, shape=(3, 32, 32))


def residual_net(seed=0):
    return models.resnet9(num_classes=3, width=2, seed=seed)


def test_images_and_weights_are_channels_last_in_memory():
    task, net, layouts = image_task(), residual_net(), []
    task = replace(task, x=task.x.contiguous(memory_format=torch.channels_last))

    def note(module, inputs, output):
        layouts.append(output.is_contiguous(memory_format=torch.channels_last))

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(note)
    train(net, task, replace(SETTINGS, epochs=1), seed=0, progress=False)
    assert len(layouts) > 8
    assert all(layouts)
    assert all(
        layer.weight.is_contiguous(memory_format=torch.channels_last)
        for layer in net.modules()
        if isinstance(layer, nn.Conv2d)
    )


def test_the_layout_in_memory_changes_rounding_only():
    task, net, twin = image_task(), residual_net(), residual_net()
    batch = training.sample_order(len(task.x), epoch=1, seed=0)
    settings = replace(SETTINGS, epochs=1, batch_size=len(task.x))
    loss = F.cross_entropy(twin.train()(task.x[batch].contiguous()), task.given[batch])
    gradients = torch.autograd.grad(loss, list(twin.parameters()))
    train(net, task, settings, seed=0, progress=False)
    assert not any(
        weights.is_contiguous(memory_format=torch.channels_last) for weights in twin[0][:1].parameters()
    )
    for after, before, gradient in zip(net.parameters(), twin.parameters(), gradients, strict=True):
        # Sums of at most 40 * 32² products; a convolution's bias before BatchNorm has the gradient 0.
        torch.testing.assert_close(after, before - settings.learning_rate * gradient, rtol=1e-4, atol=1e-5)
    for after, before in zip(net.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)  # of the same one batch


def test_before_the_first_step_running_statistics_are_as_they_were_made():
    def look(model, task):
        return {name: value.double().abs().sum().item() for name, value in model.named_buffers()}

    made = residual_net()
    frame = train(made, image_task(), replace(SETTINGS, epochs=1), seed=0, measures=[look], progress=False)
    wanted = look(residual_net(), None)
    assert len(wanted) == 8 * 3
    assert frame.iloc[0].drop("epoch").to_dict() == wanted
    assert all(frame.iloc[1].drop("epoch") != frame.iloc[0].drop("epoch"))


def test_a_normalised_net_in_bfloat16_repeats_and_goes_on_bit_for_bit(tmp_path):
    task, path = image_task(), tmp_path / "run.pt"
    settings = replace(SETTINGS, epochs=2, precision="bfloat16")
    first, again = residual_net(), residual_net()
    frame = train(first, task, settings, seed=1, progress=False)
    train(residual_net(), task, replace(settings, epochs=1), seed=1, checkpoint=path, progress=False)
    resumed = train(again, task, settings, seed=1, checkpoint=path, progress=False)
    pd.testing.assert_frame_equal(frame, resumed, check_exact=True)
    for name, value in first.state_dict().items():  # running statistics are part of the state
        assert torch.equal(value, again.state_dict()[name]), name
        assert value.dtype == (torch.int64 if name.endswith("num_batches_tracked") else torch.float32)


def test_measurements_are_float32_and_in_evaluation_mode_whatever_the_steps_are():
    seen = []

    def look(model, task):
        was_training = model.training
        values = subset_metrics(model, task)
        seen.append((torch.is_autocast_enabled("cpu"), was_training == model.training, values["train_loss"]))
        return values

    task, net = image_task(), residual_net()
    train(
        net, task, replace(SETTINGS, epochs=1, precision="bfloat16"), seed=0, measures=[look], progress=False
    )
    assert [(autocast, same) for autocast, same, _ in seen] == [(False, True)] * 2
    with torch.no_grad():
        logits = net.eval()(task.x)
    assert logits.dtype == torch.float32
    assert seen[-1][-1] == pytest.approx(F.cross_entropy(logits, task.given).item(), rel=1e-5)


class OneDevice(TorchFunctionMode):
    """Refuses functions of tensors that lie on different devices, as a GPU would."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
        tensors += [part for value in args if isinstance(value, tuple | list) for part in value]
        devices = {part.device.type for part in tensors if isinstance(part, torch.Tensor)}
        assert len(devices) <= 1, f"{function} of tensors on {devices}"
        return function(*args, **kwargs)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_stay_on_the_tasks_device_in_its_own_autocast(monkeypatch, precision):
    asked = []

    def autocast(device_type, dtype=None, *, enabled):
        asked.append((device_type, dtype, enabled))
        return nullcontext()

    monkeypatch.setattr(torch, "autocast", autocast)
    task, net = image_task().to("meta"), residual_net().to("meta")
    task = replace(task, targets=task.given)
    assert {value.device.type for value in vars(task).values() if isinstance(value, torch.Tensor)} == {"meta"}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    settings = replace(SETTINGS, precision=precision)
    with OneDevice():
        training.train_epoch(net, task, optimizer, settings, epoch=1, seed=0)
    step = ("meta", torch.bfloat16, precision == "bfloat16")
    full = ("meta", None, False)  # whatever the caller has switched on
    assert set(asked) == ({step} if precision == "bfloat16" else {step, full})
    assert asked.count(step) == -(-len(task.x) // settings.batch_size)
    assert all(weights.grad.device.type == "meta" for weights in net.parameters())


def test_divergence_is_an_error():
    task = make_task()
    wild = replace(SETTINGS, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match=r"training diverged: .* learning_rate was 1e\+30"):
        train(make_model(task), task, wild, seed=0, progress=False)


def test_a_model_with_the_wrong_outputs_is_an_error():
    task = make_task(num_classes=3)
    with pytest.raises(ValueError, match=r"shape \(2, 3\) for 3 classes, got \(2, 1\)"):
        train(models.fully_connected(6, 4, seed=0), task, SETTINGS, seed=0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"epochs": None}, "epochs must be at least 1, got None"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": -16}, "batch_size must be at least 1, got -16"),
        ({"record_every": 0}, "record_every must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
        ({"precision": "half"}, "precision must be one of .* got 'half'"),
    ],
)
def test_bad_settings_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        replace(SETTINGS, **wrong)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    task, path = make_task(), tmp_path / "run.pt"
    train(make_model(task), task, SETTINGS, seed=0, checkpoint=path, progress=False)
    with pytest.raises(ValueError, match=r"run.pt belongs to another run: seed 0 \(now 1\); delete it"):
        train(make_model(task), task, SETTINGS, seed=1, checkpoint=path, progress=False)


def test_gradient_descent_goes_on_from_its_own_checkpoint_alone(tmp_path):
    task, path = make_task(), tmp_path / "run.pt"
    whole = replace(SETTINGS, batch_size=None)
    train(make_model(task), task, replace(whole, epochs=2), seed=0, checkpoint=path, progress=False)
    with pytest.raises(ValueError, match=r"run.pt belongs to another run: batch_size None \(now 16\)"):
        train(make_model(task), task, SETTINGS, seed=0, checkpoint=path, progress=False)
    frame = train(make_model(task), task, whole, seed=0, checkpoint=path, progress=False)
    straight = train(make_model(task), task, whole, seed=0, progress=False)
    pd.testing.assert_frame_equal(frame, straight, check_exact=True)


def test_a_finished_checkpoint_gives_the_frame_back_without_training(tmp_path):
    task, path = make_task(), tmp_path / "run.pt"
    first = train(make_model(task), task, SETTINGS, seed=0, checkpoint=path, progress=False)
    again = train(make_model(task, seed=9), task, SETTINGS, seed=0, checkpoint=path, progress=False)
    pd.testing.assert_frame_equal(first, again, check_exact=True)


def test_a_finished_run_may_go_on_for_longer_and_equals_the_long_one(tmp_path):
    task, path, short = make_task(), tmp_path / "run.pt", replace(SETTINGS, epochs=3, record_every=2)
    long = replace(short, epochs=6)
    straight = train(make_model(task), task, long, seed=0, progress=False)
    train(make_model(task), task, short, seed=0, checkpoint=path, progress=False)
    extended = train(make_model(task), task, long, seed=0, checkpoint=path, progress=False)
    assert extended.epoch.tolist() == [0, 2, 4, 6]
    pd.testing.assert_frame_equal(extended, straight, check_exact=True)
    with pytest.raises(ValueError, match=r"epochs must be at least 6, at which .*run.pt is, got 3"):
        train(make_model(task), task, short, seed=0, checkpoint=path, progress=False)


def test_atomic_path_leaves_the_old_file_when_the_block_fails(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), checkpoints.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


KILL_SETTINGS = TrainingSettings(
    epochs=40, batch_size=32, learning_rate=0.1, momentum=0.9, precision="float32"
)
KILLER = """
# Imports once, then forks a child for each attempt; torch computes in the children only.
import os, random, signal, sys, time
from pathlib import Path
import torch
import torch._dynamo  # seconds, that the first optimizer of each child would spend
from cleanprio_lib import checkpoints, training
from tests.test_training import KILL_SETTINGS, make_task, small_cnn

def run(folder):
    torch.set_num_threads(1)
    checkpoints.CHECKPOINT_SECONDS = 0.0
    task = make_task(shape=(1, 8, 8), n=400)
    frame = training.train(
        small_cnn(), task, KILL_SETTINGS, seed=5, checkpoint=folder / "run.pt", progress=False
    )
    frame.to_csv(folder / "frame.csv")

def attempt(folder, kill_after=None):
    child = os.fork()
    if child == 0:
        run(folder)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == 0

straight, killed = (Path(name) for name in sys.argv[1:])
began = time.monotonic()
assert attempt(straight)
duration = time.monotonic() - began
whole = (straight / "frame.csv").read_bytes()
moments, kills, reached = random.Random(0), 0, set()
while kills < 20:
    if attempt(killed, moments.uniform(0, duration / 2)):
        assert (killed / "frame.csv").read_bytes() == whole
        (killed / "run.pt").unlink()
    else:
        kills += 1
        if (killed / "run.pt").exists():
            reached.add(torch.load(killed / "run.pt", weights_only=True)["epoch"])
# Kills before the first save or after the last would test nothing.
assert len(reached - {-1, KILL_SETTINGS.epochs}) >= 5, reached
assert attempt(killed)
assert (killed / "frame.csv").read_bytes() == whole
print(kills, sorted(path.name for path in killed.iterdir()))
"""


def test_twenty_kills_at_random_moments_change_no_bit(tmp_path):
    folders = [tmp_path / "straight", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
    command = [sys.executable, "-c", KILLER, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(maxsplit=1) == ["20", "['frame.csv', 'run.pt']\n"]
