r"""Wrong labels that are gathered in a part of each class, and what a net makes of that part.

The parts are clusters of a class's images. In one of them, the *part*, a share $p$ of the labels is wrong; in
the rest of the class there are so many that the class has the fraction $\delta$. A wrong label is the next
class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cleanprio_lib import data, gradients, models, noise
from cleanprio_lib.metrics import Task, predict, sample_errors, subset_metrics
from cleanprio_lib.training import TrainingSettings, train

PART, REST = 1, 0


@dataclass(frozen=True)
class SubclassSettings:
    r"""Images, parts of classes, shares of wrong labels, and a net with one hidden layer.

    Attributes:
        shares: $p$ of the part.
        level: $\delta$ of every class.
        clusters: into which the training images of a class are cut; the part is the largest of them that has
            no more than the fraction $\delta$ of the class, so that all wrong labels fit.
        train_samples, test_samples: the first so many images.
        width: $m$; PyTorch's initial weights, pixels in [0, 1].
        epochs, batch_size, learning_rate, record_every, dense: of the training.
        dataset: for `data.load`.
    """

    shares: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
    level: float = 0.3
    clusters: int = 5
    train_samples: int = 12_000
    test_samples: int | None = None
    width: int = 256
    epochs: int = 60
    batch_size: int = 128
    learning_rate: float = 0.02
    record_every: int = 5
    dense: int = 10
    dataset: str = "mnist"


@dataclass(frozen=True, eq=False)
class Parts:
    """Which samples are in their class's part.

    Attributes:
        train: (n,) mask of training samples.
        test: (n_test,) mask of test samples, by the nearest centre of their class.
    """

    train: NDArray[np.bool_]
    test: NDArray[np.bool_]


def subclass_noise(settings: SubclassSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""Train a net for each share of wrong labels in the parts.

    Returns:
        A row for each `share` and recorded epoch with the columns of `metrics.subset_metrics`, and for both
        the parts of all classes together, `part_*`, and all else, `rest_*`: `test_error`; `noisy_error`,
        against given labels, and `clean_error` of the training samples; and `level`, the fraction of wrong
        labels. NaN where there are no such samples. At epoch 0 also `part_ratio` and `class_ratio`, geometric
        means over classes of $\lVert g_{clean}\rVert/\lVert g_{noise}\rVert$ of the part and of the whole
        class, all logits together; 0 where no label of a part is right.
    """
    parts = find_parts(settings, split)
    training = TrainingSettings(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        record_every=settings.record_every,
        dense_epochs=settings.dense,
        precision="float32",
    )
    frames = []
    for share in settings.shares:
        task = parted_task(settings, split, parts, share, seed=seed)
        net = models.fully_connected(task.x.shape[1], settings.width, num_outputs=task.num_outputs, seed=seed)
        ratios = _initial_ratios(net, task, parts)
        measures = (subset_metrics, lambda model, own: part_metrics(model, own, parts))
        frame = train(net, task, training, seed=seed, measures=measures, progress=False)
        for name, value in ratios.items():
            frame[name] = np.where(frame.epoch == 0, value, np.nan)
        frame.insert(0, "share", share)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def find_parts(settings: SubclassSettings, split: data.Split) -> Parts:
    """Cluster each class's training images; the same for every seed.

    Raises:
        ValueError: a class has no cluster that is small enough.
    """
    from sklearn.cluster import KMeans

    x, y = _pixels(split.x_train[: settings.train_samples]), split.y_train[: settings.train_samples]
    x_test, y_test = _pixels(split.x_test[: settings.test_samples]), split.y_test[: settings.test_samples]
    train_mask, test_mask = np.zeros(len(y), dtype=bool), np.zeros(len(y_test), dtype=bool)
    for c in range(split.num_classes):
        own, own_test = np.flatnonzero(y == c), np.flatnonzero(y_test == c)
        clusters = KMeans(settings.clusters, n_init=4, random_state=0).fit(x[own])
        sizes = np.bincount(clusters.labels_, minlength=settings.clusters)
        fitting = sizes <= settings.level * len(own)
        if not fitting.any():
            raise ValueError(f"clusters must be more: of class {c} each holds over {settings.level:g} of it")
        chosen = int(np.where(fitting, sizes, -1).argmax())
        train_mask[own[clusters.labels_ == chosen]] = True
        test_mask[own_test[clusters.predict(x_test[own_test]) == chosen]] = True
    return Parts(train_mask, test_mask)


def parted_task(
    settings: SubclassSettings, split: data.Split, parts: Parts, share: float, *, seed: int
) -> Task:
    """The task in which the share of the labels is wrong in every part, and the level in every class."""
    true = split.y_train[: settings.train_samples].astype(np.int64)
    matrices = part_matrices(true, parts.train, settings.level, share, num_classes=split.num_classes)
    labels = noise.by_group(true, parts.train.astype(np.int64), matrices, seed=seed)
    return Task(
        x=torch.from_numpy(_pixels(split.x_train[: settings.train_samples])),
        given=torch.from_numpy(labels.given),
        true=torch.from_numpy(labels.true),
        x_test=torch.from_numpy(_pixels(split.x_test[: settings.test_samples])),
        y_test=torch.from_numpy(split.y_test[: settings.test_samples].astype(np.int64)),
        num_classes=split.num_classes,
    )


def part_matrices(
    true: NDArray[np.int64], in_part: NDArray[np.bool_], level: float, share: float, *, num_classes: int
) -> NDArray[np.float64]:
    r"""(2, C, C) noise matrices of the rest and of the part, in which the share $p$ is wrong: pair flips.

    Raises:
        ValueError: the part alone would make more wrong labels than the class may have.
    """
    own = np.eye(num_classes)
    following = np.roll(own, 1, axis=1)
    matrices = np.empty((2, num_classes, num_classes))
    for c in range(num_classes):
        members = true == c
        count, within = int(members.sum()), int((members & in_part).sum())
        left = level * count - share * within
        if left < -1e-9:
            raise ValueError(f"share must not exceed {level * count / within:g} in class {c}, got {share!r}")
        for group, wrong in ((REST, max(left, 0) / (count - within)), (PART, share)):
            matrices[group, c] = (1 - wrong) * own[c] + wrong * following[c]
    return matrices


def part_metrics(model: nn.Module, task: Task, parts: Parts) -> dict[str, float]:
    """Errors in the parts of all classes, and outside; see `subclass_noise`."""
    wrong = sample_errors(predict(model, task.x), task.given).double()
    tested = sample_errors(predict(model, task.x_test), task.y_test).double()
    numbers = {}
    for name, of_train, of_test in (
        ("part", parts.train, parts.test),
        ("rest", ~parts.train, ~parts.test),
    ):
        own = torch.from_numpy(of_train)
        numbers[f"{name}_test_error"] = _mean(tested, torch.from_numpy(of_test))
        numbers[f"{name}_noisy_error"] = _mean(wrong, own & task.is_noisy)
        numbers[f"{name}_clean_error"] = _mean(wrong, own & ~task.is_noisy)
        numbers[f"{name}_level"] = _mean(task.is_noisy.double(), own)
    return numbers


def _initial_ratios(model: nn.Module, task: Task, parts: Parts) -> dict[str, float]:
    in_part = torch.from_numpy(parts.train)
    everyone = torch.ones_like(in_part)
    found = {}
    for name, chosen in (("part_ratio", in_part), ("class_ratio", everyone)):
        masks = torch.stack(
            [
                chosen & (task.true == c) & of_kind
                for c in range(task.num_classes)
                for of_kind in (~task.is_noisy, task.is_noisy)
            ]
        )
        norms = gradients.subset_gradients(model, task.x, task.given, masks, per_logit=False).norms
        ratios = norms[0::2] / norms[1::2]
        found[name] = float(ratios.log().mean().exp())
    return found


def _mean(values: Tensor, chosen: Tensor) -> float:
    return float(values[chosen].mean())


def _pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
