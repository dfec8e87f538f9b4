r"""Single-logit gradients of ten classes before the first step: equations 13 and 14, and Figure 10.

At logit $c$ the subsets are those of the *true* class $c$. Angles are radians, rounded to `DECIMALS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cleanprio_lib import data, gradients, models, noise
from cleanprio_lib.measurements.derivative_angles import BINS, DECIMALS
from cleanprio_lib.measurements.initial_gradients import PRECISIONS
from cleanprio_lib.measurements.logit_dynamics import logit_metrics
from cleanprio_lib.metrics import Task

# The samples of class c with right and with wrong labels; the clean ones of all other classes; and the noisy
# ones of other classes, those labelled c and those labelled something else. Each sample is in one of them.
SUBSETS = ("clean", "noisy", "other", "into", "elsewhere")


@dataclass(frozen=True)
class LogitSettings:
    r"""Images and noise for the paper's MNIST net, PyTorch's default initialisation, pixels in [0, 1].

    Attributes:
        samples: the first so many training images.
        level: $\delta$.
        dataset: for `data.load`.
    """

    samples: int
    level: float = 0.3
    dataset: str = "mnist"


def decomposition(settings: LogitSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""The gradient of a loss against the sum of its single-logit gradients, sample by sample.

    Returns:
        A row for each `precision`: `error`, the largest over samples of the difference divided by the
        gradient's length; and over the noisy samples the smallest and largest number of logits at which the
        given label differs from the true one, `changed_low` and `changed_high`.

    Source: equation 13 of the paper, and what it says of cleanness.
    """
    task, _ = _task(settings, seed, split)
    changed = _one_hot(task.given, task) != _one_hot(task.true, task)
    counts = changed.sum(1)[task.is_noisy]
    rows: list[dict[str, Any]] = []
    for precision, dtype in PRECISIONS.items():
        net = models.mnist_cnn(seed=seed).to(dtype)
        errors = [_error(net, x[None].to(dtype), y) for x, y in zip(task.x, task.given, strict=True)]
        numbers = {"changed_low": int(counts.min()), "changed_high": int(counts.max())}
        rows.append({"precision": precision, "error": max(errors), **numbers})
    return pd.DataFrame(rows)


def initial(settings: LogitSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""Clean against noisy gradient of each logit, and of each true class over all logits.

    Returns:
        A row for each `class`, which is also the logit, with the numbers of `logit_dynamics.logit_metrics`;
        `output` and `output_noisy`, the mean of $f_c$ over its clean and over its noisy samples; and their
        numbers, `clean_count` and `noisy_count`. The columns `true_cosine` and `true_size` are of all
        samples.

    Source: equation 14 of the paper.
    """
    task, _ = _task(settings, seed, split)
    net = models.mnist_cnn(seed=seed)
    numbers = logit_metrics(net, task, samples=None)
    with torch.no_grad():
        f = torch.cat([net(part).softmax(1) for part in task.x.split(128)])
    rows = []
    for c in range(task.num_classes):
        suffix = f"_{c}"
        own = {name.removesuffix(suffix): value for name, value in numbers.items() if name.endswith(suffix)}
        clean, noisy = ((task.true == c) & rows for rows in (~task.is_noisy, task.is_noisy))
        own |= {"output": float(f[clean, c].mean()), "output_noisy": float(f[noisy, c].mean())}
        own |= {name: numbers[name] for name in ("true_cosine", "true_size")}
        counts = {"clean_count": int(clean.sum()), "noisy_count": int(noisy.sum())}
        rows.append({"class": c, **counts, **{key: round(value, DECIMALS) for key, value in own.items()}})
    return pd.DataFrame(rows)


def angles(settings: LogitSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""Angles $\theta_g$ of single-logit gradients with the clean subset's gradient of their logit.

    Returns:
        A row for each `class`, which is also the logit, and `subset` (of `SUBSETS`): `count` of samples;
        `mean`, `sd`, `q05`, `q95` of their angles; `subset_angle`, that of the subset's gradient; `size`, its
        length by that of the clean one; and `bin_0`, `bin_3`, …, samples in bins of 3 degrees.

    Source: Figure 10 of the paper.
    """
    task, labels = _task(settings, seed, split)
    net = models.mnist_cnn(seed=seed)
    masks = subset_masks(labels)
    of_samples = gradients.sample_gradient_angles(net, task.x, task.given, masks[:1])[0]
    gram = gradients.subset_gradients(net, task.x, task.given, masks)
    rows = []
    for c in range(task.num_classes):
        for index, subset in enumerate(SUBSETS):
            own = of_samples[masks[index, :, c], c].numpy()
            numbers = {
                "mean": own.mean(),
                "sd": own.std(),
                "q05": np.quantile(own, 0.05),
                "q95": np.quantile(own, 0.95),
                "subset_angle": gram.angles[c, 0, index],
                "size": gram.ratios[c, index, 0],
            }
            bins = np.histogram(np.degrees(own), bins=[*BINS, 180])[0]
            row = {name: round(float(value), DECIMALS) for name, value in numbers.items()}
            row |= {f"bin_{low}": int(count) for low, count in zip(BINS, bins, strict=True)}
            rows.append({"class": c, "subset": subset, "count": len(own), **row})
    return pd.DataFrame(rows)


def subset_masks(labels: noise.NoisyLabels, num_classes: int = 10) -> Tensor:
    """(5, n, C) booleans: the subsets `SUBSETS` of each logit, which are a partition of the samples.

    Source: section 5 and appendix C of the paper for the first three.
    """
    classes = torch.arange(num_classes)
    true, given = (torch.from_numpy(y)[:, None] == classes for y in (labels.true, labels.given))
    noisy = torch.from_numpy(labels.is_noisy)[:, None]
    into = given & noisy
    return torch.stack([true & ~noisy, true & noisy, ~true & ~noisy, into, ~true & ~given & noisy])


def _task(settings: LogitSettings, seed: int, split: data.Split) -> tuple[Task, noise.NoisyLabels]:
    count = len(split.y_train)
    if not 0 < settings.samples <= count:
        raise ValueError(f"samples must lie in [1, {count}] for this data, got {settings.samples}")
    pixels = split.x_train[: settings.samples, None] / np.float32(255)
    labels = noise.uniform(
        split.y_train[: settings.samples], settings.level, num_classes=split.num_classes, seed=seed
    )
    x, true = torch.from_numpy(pixels), torch.from_numpy(labels.true)
    return Task(x, torch.from_numpy(labels.given), true, x[:0], true[:0], split.num_classes), labels


def _one_hot(y: Tensor, task: Task) -> Tensor:
    return F.one_hot(y, task.num_classes)


def _error(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Relative difference between a sample's gradient and the sum of its single-logit ones."""
    logits = net(x)[0]
    f = logits.softmax(0)
    written = _flat(-f[y].log(), net)
    residuals = (f - F.one_hot(y, len(f))).detach()
    total = torch.zeros_like(written)
    for residual, logit in zip(residuals, logits, strict=True):
        total += residual * _flat(logit, net)
    return float((written - total).norm() / written.norm())


def _flat(value: Tensor, net: nn.Module) -> Tensor:
    """(p,) derivative of a number by all parameters."""
    parts = torch.autograd.grad(value, list(net.parameters()), retain_graph=True)
    return torch.cat([part.flatten() for part in parts])
