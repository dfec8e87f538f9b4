"""The training of the ResNet-9 on a GPU: against what the chip can do, and against the usual recipe.

    python benchmarks/resnet.py [--images N] [--repeats K] [--device DEVICE] [--out FILE.json]

The net of `fig-07-cifar10` as it is trained at paper scale: full width, batches of 512, plain SGD. Three
claims and a time:

- *Share of the chip.* Multiplications and additions of forward and backward passes (counted by PyTorch's own
  `FlopCounterMode`, products and convolutions alone) a second, over those of the fastest product of two
  square matrices on the same device in the same run, in the precision in which steps are taken there:
  bfloat16 on a chip that has it, else float32, without TensorFloat-32. At least a quarter.
- *Speed.* Images a second of `training.train_epoch`, over those of the **usual recipe**: a
  torchvision-style data set (a PIL image for each item, then `ToTensor`) behind a shuffling `DataLoader` with
  a worker for each core, eight at most, pinned memory, float32, the default memory format, torch's own loss
  and SGD. At least five times as many.
- *Seconds an epoch* of CIFAR-10's 50,000 images, at that pace; under half a second where the chip multiplies
  at least `FAST_CHIP` times 10^12 pairs of numbers a second, and shown elsewhere.

Why that is fair. Both train the same net on the same images for as many steps an epoch. The recipe is
PyTorch's tutorial: its workers go on from epoch to epoch, and their start is not timed. Ours has its data on
the device, which holds all of CIFAR-10 in 0.6 GB, channels last, and in bfloat16 under autocast where the
chip has it. Each begins with an epoch that does not count, in which kernels are chosen. Contestants take
turns; what is claimed is the ratio of the fastest repeats. Where a claim falls short, the reason is in what
follows: the time of one more epoch of ours, by kind of operation.

Our steps are compiled (`steps.compiled_step`, `record --compiled`), and that is the third claim: at least
1.25 times as fast as the same loop on the same batches with PyTorch's own operations. Neither the time to
compile nor any measurement counts.

On a CPU the script runs on few images and claims only this last, of the narrow net of laptop scale.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training import SEED, UsualImages, usual_epoch
from cleanprio_lib import experiments, models, provenance, training
from cleanprio_lib.metrics import Task, sample_losses
from cleanprio_lib.precision import full_precision, resolve_precision
from cleanprio_lib.sgd import SGD
from cleanprio_lib.steps import Step, compiled_step

EXPERIMENT = "fig-07-cifar10"
CIFAR_IMAGES, FEW_IMAGES = 50_000, 128
LEAST_SHARE, LEAST_SPEED, MOST_SECONDS = 0.25, 5.0, 0.5
LEAST_COMPILED = 1.25
FAST_CHIP = 200.0
MATRIX = {"cuda": 8192, "cpu": 256}
WORKERS = 8
# Of the operations of a step on a CPU and of its kernels on a GPU, by what their names hold.
KINDS = {
    "cpu": {
        "convolutions and products": ("conv", "mm"),
        "batch normalisation": ("batch_norm",),
        "Mish": ("mish",),
        "pooling": ("pool",),
    },
    "cuda": {
        "compiled loops that add up": ("triton_red", "triton_per"),
        "other compiled loops": ("triton",),
        "convolutions and products": ("conv", "gemm", "xmma", "cutlass", "cudnn", "gemv", "splitk", "nvjet"),
    },
}
OTHER = "all else"
Epoch = Callable[[], object]


def benchmark(images: int, repeats: int, device: torch.device) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row for each claim; and for each kind of operation, from one more epoch of ours, its seconds.

    Args:
        images: of an epoch.
        repeats: epochs of each contestant that are timed.
        device: to train on.
    """
    settings = experiments.settings_of(EXPERIMENT, "paper").training
    task = random_images(images, device)
    on_gpu = device.type == "cuda"
    ours = our_epochs(task, settings, compiled=on_gpu)
    plain = [our_epochs(task, settings)] if on_gpu else []
    with usual_epochs(task, settings) as usual:
        mine, theirs, *plainly = _fastest((ours, usual, *plain), repeats, device)
    kinds = time_by_kind(ours, device)
    operations = flops_of_an_image(settings.batch_size or images) * images
    precision = resolve_precision(settings.precision, device)
    chip = matrix_flops(device, repeats, precision)
    claims = claims_of(mine, theirs, images, operations, chip, on_gpu, precision)
    if on_gpu:
        compiled = compiled_claim("net", mine, *plainly)
    else:
        narrow = experiments.settings_of(EXPERIMENT, "laptop")
        both = [our_epochs(task, narrow.training, compiled=own, **dict(narrow.net)) for own in (True, False)]
        compiled = compiled_claim("narrow net", *_fastest(both, repeats, device))
    return pd.concat([claims, compiled], ignore_index=True), kinds


def compiled_claim(net: str, compiled: float, plain: float) -> pd.DataFrame:
    """A row for seconds of an epoch with PyTorch's operations, over those of the same compiled."""
    what = f"{net}'s speed compiled, over that with PyTorch's operations"
    return pd.DataFrame([_row(what, compiled, plain, plain / compiled, True, LEAST_COMPILED)])


def claims_of(
    mine: float,
    theirs: float,
    images: int,
    operations: float,
    chip: float,
    on_gpu: bool,
    precision: str = "bfloat16",
) -> pd.DataFrame:
    """What follows from the times.

    Args:
        mine: seconds of our epoch.
        theirs: seconds of the usual recipe's.
        images: of an epoch.
        operations: multiplications and additions of an epoch.
        chip: multiplications and additions a second of the fastest product of matrices.
        on_gpu: whether anything is claimed.
        precision: of our steps, and of that product.
    """
    share, epoch = operations / mine / chip, mine * CIFAR_IMAGES / images
    fast = on_gpu and chip >= 2e12 * FAST_CHIP
    return pd.DataFrame(
        [
            _row(f"share of the {precision} product", operations / mine, chip, share, on_gpu, LEAST_SHARE),
            _row(
                "images a second, over the usual recipe's",
                images / mine,
                images / theirs,
                theirs / mine,
                on_gpu,
                LEAST_SPEED,
            ),
            {
                "what": f"seconds for {CIFAR_IMAGES:,} images",
                "ours": epoch,
                "competitor": theirs * CIFAR_IMAGES / images,
                "ratio": mine / theirs,
                "must": f"ours < {MOST_SECONDS:g}" if fast else "",
                "reached": _yes(epoch < MOST_SECONDS) if fast else "",
            },
        ]
    )


def random_images(count: int, device: torch.device) -> Task:
    """Random images of ten classes, in the memory format in which an experiment has its own."""
    rng = np.random.default_rng(SEED)
    pixels = torch.from_numpy(rng.random((count, 3, 32, 32), dtype=np.float32))
    x = pixels.contiguous(memory_format=torch.channels_last).to(device)
    labels = torch.from_numpy(rng.integers(10, size=count)).to(device)
    return Task(x, labels, labels, x[:10], labels[:10], 10)


def our_epochs(
    task: Task, settings: training.TrainingSettings, *, width: int = 64, compiled: bool = False
) -> Epoch:
    """Epochs of the library's loop, one a call."""
    model = models.resnet9(width=width, seed=SEED).to(task.x.device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = SGD(model.parameters(), lr=settings.learning_rate)
    step = (compiled_step if compiled else Step)(model, task, optimizer, settings)
    done = 0

    def epoch() -> None:
        nonlocal done
        done += 1
        training.train_epoch(model, task, optimizer, settings, epoch=done, seed=SEED, step=step)

    return epoch


@contextmanager
def usual_epochs(task: Task, settings: training.TrainingSettings) -> Iterator[Epoch]:
    """Epochs of the usual recipe, one a call."""
    device = task.x.device
    loader: Any = torch.utils.data.DataLoader(
        UsualImages(task.x.cpu(), task.given.cpu()),  # type: ignore[arg-type]
        batch_size=settings.batch_size,
        shuffle=True,
        num_workers=min(WORKERS, os.cpu_count() or 1) if device.type == "cuda" else 0,
        pin_memory=device.type == "cuda",
        persistent_workers=device.type == "cuda",
    )
    torch.manual_seed(SEED)
    model = models.resnet9(seed=SEED).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate)

    def moved() -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in loader:
            yield x.to(device, non_blocking=True), y.to(device, non_blocking=True)

    yield lambda: usual_epoch(model, moved(), optimizer, nn.CrossEntropyLoss())


def flops_of_an_image(batch: int) -> float:
    """Multiplications and additions of a forward and a backward pass, for one image of a batch."""
    with torch.device("meta"):
        x, labels = torch.empty(batch, 3, 32, 32), torch.empty(batch, dtype=torch.int64)
        model = models.resnet9(seed=SEED)
        with FlopCounterMode(display=False) as counter:
            sample_losses(model(x), labels).sum().backward()
    return counter.get_total_flops() / batch


def time_by_kind(epoch: Epoch, device: torch.device) -> pd.DataFrame:
    """Seconds of an epoch by kind of operation: on a GPU those of its kernels, which leave out its waiting.

    Args:
        epoch: one that has run before.
        device: it runs on.
    """
    on_gpu = device.type == "cuda"  # where what a kernel is called says more than who started it
    activity = torch.profiler.ProfilerActivity
    with torch.profiler.profile(
        activities=[activity.CUDA, activity.CPU] if on_gpu else [activity.CPU]
    ) as run:
        epoch()
        _wait(device)
    kinds = KINDS[device.type]
    seconds = dict.fromkeys([*kinds, OTHER], 0.0)
    for event in run.events() or []:
        is_kernel = event.device_type != torch.autograd.DeviceType.CPU
        if is_kernel if on_gpu else event.name.startswith("aten::"):
            kind = next((kind for kind, words in kinds.items() if _has(event.name, words)), OTHER)
            seconds[kind] += (event.device_time_total if is_kernel else event.self_cpu_time_total) / 1e6
    return pd.DataFrame({"kind": list(seconds), "seconds": list(seconds.values())})


def matrix_flops(device: torch.device, repeats: int, precision: str) -> float:
    """Multiplications and additions a second of the fastest product of two square matrices."""
    size = MATRIX[device.type]
    dtype = getattr(torch, precision)
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    with full_precision(device):
        (fastest,) = _fastest((lambda: one @ other,), 5 * repeats, device)
    return 2 * size**3 / fastest


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and say what falls short."""
    parser = argparse.ArgumentParser(description="The ResNet-9's training against the chip and the recipe.")
    parser.add_argument("--images", type=int, help="of an epoch (default: all on a GPU, few elsewhere)")
    parser.add_argument("--repeats", type=int, default=5, help="epochs of each (default: %(default)s)")
    parser.add_argument("--device", default=experiments.default_device(), help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, help="also write the claims to this .json")
    chosen = parser.parse_args(arguments)
    device = torch.device(chosen.device)
    machine = provenance.describe_device(chosen.device)
    print(
        f"torch {torch.__version__}, {machine}, {os.cpu_count()} cores for the recipe's workers", flush=True
    )
    images = chosen.images or (CIFAR_IMAGES if device.type == "cuda" else FEW_IMAGES)
    claims, kinds = benchmark(images, chosen.repeats, device)
    print(claims.to_string(index=False, float_format="{:.3g}".format))
    print(f"\nOne more epoch of ours by kind of operation:\n{kinds.to_string(index=False)}\n")
    short = claims[claims.reached == "no"]
    print("All claims hold here." if short.empty else f"Falls short here: {', '.join(short.what)}")
    if chosen.out:
        content = {
            "machine": machine,
            "torch": torch.__version__,
            "date": time.strftime("%Y-%m-%d"),
            "images": images,
            "claims": claims.to_dict("records"),
            "kinds": kinds.to_dict("records"),
        }
        chosen.out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf8")


def _fastest(contestants: Sequence[Epoch], repeats: int, device: torch.device) -> list[float]:
    """Seconds of each one's fastest call, in turn, after one that does not count."""
    best = [float("inf")] * len(contestants)
    for repeat in range(repeats + 1):
        for number, contestant in enumerate(contestants):
            _wait(device)
            start = time.perf_counter()
            contestant()
            _wait(device)
            if repeat > 0:
                best[number] = min(best[number], time.perf_counter() - start)
    return best


def _has(name: str, words: Sequence[str]) -> bool:
    return any(word in name.lower() for word in words)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _row(
    what: str, ours: float, competitor: float, ratio: float, claimed: bool, least: float
) -> dict[str, Any]:
    return {
        "what": what,
        "ours": ours,
        "competitor": competitor,
        "ratio": ratio,
        "must": f"≥ {least:g}" if claimed else "",
        "reached": _yes(ratio >= least) if claimed else "",
    }


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"


if __name__ == "__main__":
    main()
