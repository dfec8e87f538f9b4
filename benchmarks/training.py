"""The training loop against the loop one would write first, and against one that does nothing but train.

    python benchmarks/training.py [--images N] [--repeats K] [--out FILE.csv|FILE.json]

Two nets, the MNIST CNN (batches of 512) and a 784-512-512-1 ReLU net on two classes (batches of 256), and
for each of them three claims, every one a ratio of two times measured in this run, on all cores:

- *Speed.* A whole `training.train`, as an experiment runs it (measurements, progress bar, checkpoint),
  against the **usual loop**: a torchvision-style data set (a PIL image for each item, then `ToTensor`), a
  shuffling `DataLoader` without workers, float32, the default memory format, the textbook order of layers
  (ReLU before pooling), torch's own loss and SGD. Ours must be at least 3 times as fast (the CNN on a CPU
  without bf16 instructions: 1.4 times).
- *Overhead of an epoch.* `training.train_epoch` against the **bare loop**: forward, backward and step over
  the same samples in the same order, with the same parts of a batch, precision and memory format, and
  nothing else. At most 1.10.
- *Overhead of a run.* The whole `training.train` against the same bare loop. At most 1.10.

Why that is fair. All see the same images and labels and take equally many steps an epoch. The usual loop
takes no measurements at all, while ours pays for its own; the bare loop finds the order of its samples
already drawn. Images are random with one centre a class: the time of a step hardly depends on what is in
them. A run is shortened, not stripped: it has two measurements, before and after, in as many epochs as its
experiment has for two on average (5 for the CNN, whose schedule at paper scale has 69 in 180; 30 for the
small net, with 80 in 1,200), on the same share of the images, and it saves once, more often than the once in
ten seconds of a long run. What it measures is what every run does, errors, losses and residuals; the
subset gradients that chapters 4 and 5 ask for beside them are an experiment of their own. Times are for 1,000
training images, since the usual loop, being slow, runs one epoch where the others run all of theirs.

All loops take turns in one process, ours and the bare one epoch by epoch, and which begins changes from
repeat to repeat. What is claimed is the ratio of the fastest repeats' wall times: other work on a machine
only ever adds to them. Medians stand beside it, and the process's own CPU time, which suffers less from a
loaded machine but does not see a core that idles, as one does while the usual loop makes its tensors.

The ResNet-9, which wants a GPU, has `benchmarks/resnet.py`.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cleanprio_lib import data, experiments, models, steps, training
from cleanprio_lib._torchvision import import_torchvision
from cleanprio_lib.metrics import CONVOLUTIONAL_BATCH, Task
from cleanprio_lib.precision import resolve_precision
from cleanprio_lib.sgd import SGD
from cleanprio_lib.training import TrainingSettings

CPU = torch.device("cpu")
SEED = 0
MNIST_TRAIN, MNIST_TEST = 60_000, 10_000
IMAGES = 12 * CONVOLUTIONAL_BATCH  # whose share of measured images, a sixth, fills two of the parts measured
SMALL_NET_FACTOR = 8  # about as many as MNIST has sevens and nines
MOST_OVERHEAD = 1.10
Piece = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """A net, its task and the shortened settings of a run.

    Attributes:
        name: for the table.
        task: (n, 1, 28, 28) images with noisy labels.
        settings: of a run with two measurements.
        make: the net of the library.
        make_usual: the same net with the textbook order of layers.
        least_speed: how many times the usual loop's speed is claimed.
    """

    name: str
    task: Task
    settings: TrainingSettings
    make: Callable[[], nn.Module]
    make_usual: Callable[[], nn.Module]
    least_speed: float


@dataclass(frozen=True)
class Contestant:
    """A way to train: the pieces of work of one repeat, made anew each time; all epochs of a run, or one."""

    prepare: Callable[[Case], Sequence[Piece]]
    one_epoch: bool = False


@dataclass(frozen=True)
class Timing:
    """Seconds for 1,000 training images, a value for each repeat."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]


class UsualImages:
    """Images as data sets of torchvision hand them out: for each a PIL image, transformed, and a label."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        from PIL import Image

        pixels = (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        self.images = (pixels[..., 0] if x.shape[1] == 1 else pixels).contiguous()
        self.labels = y
        self.as_image = Image.fromarray
        self.transform = import_torchvision().transforms.ToTensor()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.as_image(self.images[index].numpy())), int(self.labels[index])


def usual_epoch(
    model: nn.Module, loader: Iterable[Any], optimizer: torch.optim.Optimizer, loss_of: nn.Module
) -> None:
    """An epoch as tutorials write it."""
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        logits = model(x)
        loss = loss_of(logits, y) if logits.shape[1] > 1 else loss_of(logits[:, 0], y.float())
        loss.backward()
        optimizer.step()


def bare_epoch(
    model: nn.Module,
    task: Task,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Sequence[Tensor]],
    *,
    autocast: torch.autocast,
) -> None:
    """Forward, backward and step, for batches that are lists of parts, each the indices of some samples."""
    for parts in batches:
        optimizer.zero_grad()
        size = sum(map(len, parts))
        for indices in parts:
            with autocast:
                logits = model(task.x.index_select(0, indices))
            (_summed_loss(logits.float(), task.given.index_select(0, indices)) / size).backward()
        optimizer.step()


def usual(case: Case) -> list[Piece]:
    """One epoch of the usual loop."""
    torch.manual_seed(SEED)
    model = case.make_usual()
    loader: Any = torch.utils.data.DataLoader(
        UsualImages(case.task.x, case.task.given),  # type: ignore[arg-type]
        batch_size=case.settings.batch_size,
        shuffle=True,
        num_workers=0,
    )
    loss = nn.CrossEntropyLoss() if case.task.num_classes > 2 else nn.BCEWithLogitsLoss()
    return [partial(usual_epoch, model, loader, _sgd(model, case.settings), loss)]


def bare(case: Case) -> list[Piece]:
    """As many epochs of the bare loop as the run has."""
    model, settings = case.make(), case.settings
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _sgd(model, settings)
    precision = resolve_precision(settings.precision, CPU)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    part = steps.gradient_batch(model, CPU) or settings.batch_size
    pieces: list[Piece] = []
    for epoch in range(1, settings.epochs + 1):
        order = training.sample_order(len(case.task.x), epoch=epoch, seed=SEED)
        batches = [batch.split(part) for batch in order.split(settings.batch_size)]
        pieces.append(partial(bare_epoch, model, case.task, optimizer, batches, autocast=autocast))
    return pieces


def our_epochs(case: Case) -> list[Piece]:
    """As many epochs of the library's loop as the run has, without measurements."""
    model = case.make()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = SGD(model.parameters(), lr=case.settings.learning_rate, momentum=case.settings.momentum)
    epoch = partial(training.train_epoch, model, case.task, optimizer, case.settings, seed=SEED)
    return [partial(epoch, epoch=number) for number in range(1, case.settings.epochs + 1)]


def our_run(case: Case) -> list[Piece]:
    """The whole run, with measurements, a progress bar (into the void) and a checkpoint."""
    model = case.make()

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
            training.train(model, case.task, case.settings, seed=SEED, checkpoint=Path(folder) / "run.pt")

    return [run]


CONTESTANTS = {
    "our run": Contestant(our_run),
    "usual": Contestant(usual, one_epoch=True),
    "bare": Contestant(bare),
    "our epochs": Contestant(our_epochs),
}


def measure(case: Case, repeats: int) -> dict[str, Timing]:
    """Time every contestant `repeats` times, piece by piece in turn, each repeat beginning with another."""
    names = list(CONTESTANTS)
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats):
        shift = repeat % len(names)
        seconds = _one_repeat(case, names[shift:] + names[:shift])
        for name, (wall_seconds, cpu_seconds) in seconds.items():
            epochs = 1 if CONTESTANTS[name].one_epoch else case.settings.epochs
            thousands = epochs * len(case.task.x) / 1000
            wall[name].append(wall_seconds / thousands)
            cpu[name].append(cpu_seconds / thousands)
    return {name: Timing(tuple(wall[name]), tuple(cpu[name])) for name in names}


def compare(case: Case, timings: dict[str, Timing]) -> list[dict[str, Any]]:
    """A row for each claim about a net."""
    ours, loop = timings["our run"], timings["our epochs"]
    usual_loop, bare_loop = timings["usual"], timings["bare"]
    return [
        _row(f"{case.name}: run, times the usual loop's speed", ours, usual_loop, least=case.least_speed),
        _row(f"{case.name}: epochs, over the bare loop", loop, bare_loop, most=MOST_OVERHEAD),
        _row(f"{case.name}: run, over the bare loop", ours, bare_loop, most=MOST_OVERHEAD),
    ]


def benchmark(images: int, repeats: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure both nets.

    Args:
        images: for the CNN; the small net, which is faster, gets `SMALL_NET_FACTOR` times as many.
        repeats: how often each contestant runs.

    Returns:
        The claims, a row each; and the times behind them, in seconds for 1,000 training images.
    """
    claims, times = [], []
    for case in (mnist_cnn_case(images), small_net_case(SMALL_NET_FACTOR * images)):
        timings = measure(case, repeats)
        claims += compare(case, timings)
        times += [_times(case, name, timing) for name, timing in timings.items()]
    return pd.DataFrame(claims), pd.DataFrame(times)


def mnist_cnn_case(images: int) -> Case:
    """The MNIST CNN as `fig-01-mnist-cnn` trains it at paper scale, on fewer images for fewer epochs."""
    reference = experiments.settings_of("fig-01-mnist-cnn", "paper")
    bf16 = resolve_precision("auto", CPU) == "bfloat16"
    return Case(
        name="MNIST CNN",
        task=synthetic_task(reference, images, num_classes=10),
        settings=shortened(reference.training, images, of=MNIST_TRAIN),
        make=partial(models.mnist_cnn, seed=SEED),
        make_usual=usual_mnist_cnn,
        least_speed=3.0 if bf16 else 1.4,
    )


def small_net_case(images: int) -> Case:
    """The 784-512-512-1 net as `fig-05-mnist-7v9` trains it at paper scale, for fewer epochs."""
    reference = experiments.settings_of("fig-05-mnist-7v9", "paper")
    make = partial(models.fully_connected, 28 * 28, **dict(reference.net), seed=SEED)
    return Case(
        name="784-512-512-1",
        task=synthetic_task(replace(reference, classes=None), images, num_classes=2),
        settings=shortened(reference.training, images, of=images),
        make=make,
        make_usual=make,
        least_speed=3.0,
    )


def shortened(reference: TrainingSettings, images: int, *, of: int) -> TrainingSettings:
    """Settings with two measurements, in at most as many epochs as hold two of the reference's on average."""
    recorded = sum(map(reference.is_recorded, range(reference.epochs + 1)))
    epochs = max(1, 2 * reference.epochs // recorded)
    measured = None if reference.measured is None else max(1, reference.measured * images // of)
    return replace(reference, epochs=epochs, record_every=epochs, dense_epochs=0, measured=measured)


def synthetic_task(settings: experiments.Settings, images: int, *, num_classes: int) -> Task:
    """Random images around one centre a class, with MNIST's share of test images and the settings' noise."""
    rng = np.random.default_rng(SEED)
    count = {"train": images, "test": max(1, images * MNIST_TEST // MNIST_TRAIN)}
    labels = {part: np.arange(size, dtype=np.int64) % num_classes for part, size in count.items()}
    centres = rng.integers(0, 128, size=(num_classes, 28, 28), dtype=np.uint8)
    x = {
        part: centres[y] + rng.integers(0, 128, size=(len(y), 28, 28), dtype=np.uint8)
        for part, y in labels.items()
    }
    split = data.Split(
        name="mnist",
        x_train=x["train"],
        y_train=labels["train"],
        x_test=x["test"],
        y_test=labels["test"],
        source="random images",
        origin="benchmark",
        sha256={},
        classes=tuple(range(num_classes)),
    )
    return experiments.build_task(settings, split, seed=SEED)


def usual_mnist_cnn() -> nn.Module:
    """The net of `models.mnist_cnn`, each convolution followed by its ReLU."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 12 * 12, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and say what falls short."""
    parser = argparse.ArgumentParser(description="The training loop against the usual one and a bare one.")
    parser.add_argument("--images", type=int, default=IMAGES, help="of the CNN's task (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of each loop (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="also write the claims to this .csv or .json")
    chosen = parser.parse_args(arguments)
    if chosen.out and chosen.out.suffix not in (".csv", ".json"):
        parser.error(f"--out must end in .csv or .json, got {chosen.out.name}")
    print(_header(), flush=True)
    claims, times = benchmark(chosen.images, chosen.repeats)
    print(
        f"\nSeconds for 1,000 training images, in the fastest of {chosen.repeats} repeats, and their ratios:"
    )
    print(_text(claims))
    print("\nThe times behind them:")
    print(_text(times))
    short = claims[claims["reached"] == "no"]
    print("\nAll claims hold here." if short.empty else "\nFalls short here:")
    for _, row in short.iterrows():
        print(f"  {row['what']}: {row['ratio']:.3f}, must be {row['must']}")
    if chosen.out:
        _write(claims, chosen.out)


def _one_repeat(case: Case, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    totals = dict.fromkeys(names, (0.0, 0.0))
    pieces = [CONTESTANTS[name].prepare(case) for name in names]
    for turn in zip_longest(*pieces):
        for name, piece in zip(names, turn, strict=True):
            if piece is not None:
                wall, cpu = _timed(piece)
                totals[name] = (totals[name][0] + wall, totals[name][1] + cpu)
    return totals


def _timed(piece: Piece) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    piece()
    return time.perf_counter() - wall, time.process_time() - cpu


def _row(
    what: str, ours: Timing, competitor: Timing, *, least: float | None = None, most: float | None = None
) -> dict[str, Any]:
    def ratio(reduce: Callable[[Sequence[float]], Any], clock: str) -> float:
        mine, theirs = (float(reduce(getattr(timing, clock))) for timing in (ours, competitor))
        return mine / theirs if least is None else theirs / mine

    claimed = ratio(min, "wall")
    reached = (least is None or claimed >= least) and (most is None or claimed <= most)
    return {
        "what": what,
        "ours": min(ours.wall),
        "competitor": min(competitor.wall),
        "ratio": claimed,
        "must": f"≤ {most:.2f}" if least is None else f"≥ {least:.1f}",
        "reached": "yes" if reached else "no",
        "of medians": ratio(np.median, "wall"),
        "of CPU times": ratio(min, "cpu"),
        "of CPU medians": ratio(np.median, "cpu"),
    }


def _times(case: Case, name: str, timing: Timing) -> dict[str, Any]:
    return {
        "net": case.name,
        "loop": name,
        "wall": min(timing.wall),
        "wall median": float(np.median(timing.wall)),
        "CPU": min(timing.cpu),
        "CPU median": float(np.median(timing.cpu)),
    }


def _sgd(model: nn.Module, settings: TrainingSettings) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=settings.learning_rate, momentum=settings.momentum)


def _summed_loss(logits: Tensor, labels: Tensor) -> Tensor:
    if logits.shape[1] > 1:
        return F.cross_entropy(logits, labels, reduction="sum")
    return F.binary_cross_entropy_with_logits(logits[:, 0], labels.float(), reduction="sum")


def _header() -> str:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = f"\nThe load is {load:.1f} before it begins: what follows is disturbed." if load > 0.5 else ""
    return (
        f"torch {torch.__version__}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f'precision "auto" is {resolve_precision("auto", CPU)} on this CPU{busy}'
    )


def _text(frame: pd.DataFrame) -> str:
    return frame.to_string(index=False, float_format="{:.3f}".format)


def _write(frame: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", indent=2, force_ascii=False)


if __name__ == "__main__":
    main()
