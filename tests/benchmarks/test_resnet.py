"""The benchmark of the ResNet-9, at a size that measures nothing: what it counts, and what it compares."""

import json
import time

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import resnet as bench
from cleanprio_lib import compiled_mish, experiments, steps

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def interpreted():
    """Mish's formulas as they are written, since compiling takes seconds; the list of those asked for."""
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled_mish, "_compiled", lambda function: asked.append(function) or function)
        yield asked


@pytest.fixture(scope="module")
def written(tmp_path_factory, interpreted):
    path = tmp_path_factory.mktemp("bench") / "claims.json"
    bench.main(["--images", "12", "--repeats", "1", "--device", "cpu", "--out", str(path)])
    content = json.loads(path.read_text(encoding="utf-8"))
    kinds = pd.DataFrame(content["kinds"])
    assert kinds.kind.tolist() == [*bench.KINDS["cpu"], bench.OTHER]
    assert (kinds.seconds > 0).all()
    assert content["torch"] == torch.__version__
    return pd.DataFrame(content["claims"])


def test_on_a_cpu_all_is_measured_and_one_thing_claimed(written, interpreted):
    assert len(written) == 4
    assert (written[["ours", "competitor", "ratio"]] > 0).all(axis=None)
    assert written.must.tolist() == ["", "", "", "≥ 1.25"]
    compiled = written.iloc[3]
    assert compiled.ratio == pytest.approx(compiled.competitor / compiled.ours)
    assert written.reached.tolist() == ["", "", "", "yes" if compiled.ratio >= 1.25 else "no"]
    # One of the two nets: eight layers, a step that does not count and one that does, forward and backward.
    assert len(interpreted) == 8 * 2 * 2


def test_a_ratio_is_of_both_numbers(written):
    share, speed, seconds, _ = written.to_dict("records")
    assert share["ratio"] == pytest.approx(share["ours"] / share["competitor"])
    assert speed["ratio"] == pytest.approx(speed["ours"] / speed["competitor"])
    assert seconds["ratio"] == pytest.approx(1 / speed["ratio"])
    assert seconds["ours"] * speed["ours"] == pytest.approx(bench.CIFAR_IMAGES)


@pytest.mark.parametrize(
    ("mine", "theirs", "chip", "reached"),
    [
        (0.4, 2.0, 800e12, ("yes", "yes", "yes")),
        (0.4, 1.9, 900e12, ("no", "no", "yes")),
        (0.6, 3.0, 300e12, ("yes", "yes", "")),  # a chip of which half a second is not asked
        (0.6, 3.0, 400e12, ("yes", "yes", "no")),
    ],
)
def test_what_a_gpu_must_reach(mine, theirs, chip, reached):
    found = bench.claims_of(mine, theirs, 50_000, 85e12, chip, on_gpu=True)
    assert tuple(found.reached) == reached
    assert [*found.must[:2]] == ["≥ 0.25", "≥ 5"]
    assert (bench.claims_of(mine, theirs, 50_000, 85e12, chip, on_gpu=False).reached == "").all()


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_the_chip_multiplies_in_the_precision_of_our_steps(monkeypatch, precision, interpreted):
    seen, real = [], bench._fastest

    def spy(contestants, repeats, device):
        if len(contestants) == 1:
            seen.append((contestants[0]().dtype, torch.get_float32_matmul_precision()))
        return real(contestants, repeats, device)

    monkeypatch.setattr(bench, "_fastest", spy)
    for module in (bench, steps):
        monkeypatch.setattr(module, "resolve_precision", lambda *_: precision)
    torch.set_float32_matmul_precision("medium")
    try:
        found, _ = bench.benchmark(8, 1, CPU)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == [(getattr(torch, precision), "highest")]
    assert found.what[0] == f"share of the {precision} product"


def test_the_time_of_an_epoch_is_all_there_and_of_the_right_kind():
    image = torch.rand(8, 16, 16, 16)
    convolution, norm, pool = nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.MaxPool2d(2)
    of = {
        "convolutions and products": lambda: convolution(image),
        "batch normalisation": lambda: norm(image),
        "Mish": lambda: F.mish(image),
        "pooling": lambda: pool(image),
        bench.OTHER: lambda: image * 2,
    }
    assert list(of) == [*bench.KINDS["cpu"], bench.OTHER]
    for kind, operation in of.items():
        operation()
        start = time.perf_counter()
        found = bench.time_by_kind(operation, CPU).set_index("kind").seconds
        assert list(found.index) == list(of)
        assert found.idxmax() == kind
        assert 0 < found.sum() < time.perf_counter() - start


def test_a_cpu_gets_few_images(monkeypatch):
    asked = []
    monkeypatch.setattr(
        bench,
        "benchmark",
        lambda images, *_: asked.append(images) or (bench.claims_of(*[1] * 5, False), pd.DataFrame()),
    )
    bench.main(["--device", "cpu"])
    bench.main(["--device", "cpu", "--images", "7"])
    assert asked == [bench.FEW_IMAGES, 7]


def test_flops_are_those_of_convolutions_and_the_linear_layer():
    """By hand: pixels of the output times products a pixel; each product is two operations, thrice over."""
    width, products = 64, 0
    for fan_in, fan_out, side in (
        (3, width, 32),
        (width, 2 * width, 32),
        (2 * width, 2 * width, 16),
        (2 * width, 2 * width, 16),
        (2 * width, 4 * width, 16),
        (4 * width, 4 * width, 8),
        (4 * width, 4 * width, 4),
        (4 * width, 4 * width, 4),
    ):
        products += 9 * fan_in * fan_out * side**2
    products += 16 * width * 10
    images = 9 * 3 * width * 32**2  # nobody asks for the gradient by the images
    assert bench.flops_of_an_image(4) == pytest.approx(2 * (3 * products - images), rel=1e-6)


def test_both_train_the_same_net_on_the_same_images():
    """Each sees every image once in an epoch, in batches of the paper's size."""
    task = bench.random_images(20, CPU)
    settings = experiments.settings_of(bench.EXPERIMENT, "paper").training
    assert settings.batch_size == 512
    seen: list[torch.Tensor] = []
    sizes = []
    with bench.usual_epochs(task, settings) as usual:
        hook = torch.nn.modules.module.register_module_forward_pre_hook(
            lambda module, inputs: seen.append(inputs[0]) if isinstance(module, torch.nn.Sequential) else None
        )
        nets = torch.nn.modules.module.register_module_forward_pre_hook(
            lambda module, _: sizes.append(sum(map(torch.numel, module.parameters())))
        )
        usual()
        theirs = next(x for x in seen if x.shape[1:] == (3, 32, 32))
        seen.clear()
        bench.our_epochs(task, settings)()
        ours = next(x for x in seen if x.shape[1:] == (3, 32, 32))
        hook.remove()
        nets.remove()
    assert sizes.count(max(sizes)) == 2  # the whole net, once in each epoch of one batch
    assert len(ours) == len(theirs) == 20
    wanted = task.x.flatten(1).sum(1).sort().values
    torch.testing.assert_close(ours.flatten(1).sum(1).sort().values, wanted)
    torch.testing.assert_close(theirs.flatten(1).sum(1).sort().values, wanted, rtol=0, atol=3072 / 255 / 2)
