r"""Directions of per-sample loss gradients before the first step: Figure 4, and projections on the descent.

Class $c$ is the *true* class. Angles are radians, rounded to `DECIMALS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cleanprio_lib import data, gradients, models, noise, theory
from cleanprio_lib.measurements.derivative_angles import BINS, DECIMALS, input_angles

Array = NDArray[np.float64]
STARTS = ("ntk", "ntk_centred", "standard")
SUBSETS = ("clean", "noisy", "other")


@dataclass(frozen=True)
class AngleSettings:
    r"""Data and net of Figure 4; the paper does not state how many samples, nor the pixels' scale.

    Attributes:
        classes: two digits, with pixels in [0, 1]; None for the two clusters of Figure 3.
        dataset: for `data.load`; None for the clusters.
        per_class: samples of each true class.
        level: $\delta$.
        depth, width: $L$ and $m$.
        starts: how the net begins, of `STARTS`.
    """

    classes: tuple[int, int] | None
    dataset: str | None
    per_class: int = 1000
    level: float = 0.3
    depth: int = 2
    width: int = 512
    starts: tuple[str, ...] = STARTS


@dataclass(frozen=True)
class ProjectionSettings:
    r"""Nets and data whose gradients are projected on the gradient of the whole noisy training set.

    Attributes:
        pairs: pairs of digits that are taken beside the two clusters.
        nets: ($L$, $\delta$) of each net and its noise.
        logits: constant initial logits.
    """

    pairs: tuple[tuple[int, int], ...] = ((0, 1), (7, 9))
    nets: tuple[tuple[int, float], ...] = ((2, 0.3), (3, 0.4))
    logits: tuple[float, ...] = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
    per_class: int = 1000
    width: int = 512
    dataset: str = "mnist"


class ConstantOutput(nn.Module):
    r"""A net whose logit is a constant $h_0$ now, with the derivatives of the net it is made of.

    At the initial weights $w_0$ this is $h(w; x) - h(w_0; x) + h_0$.

    Args:
        net: (n, ...) to (n, 1) logits.
        logit: $h_0$; 0 is the centred output.
    """

    def __init__(self, net: nn.Module, logit: float = 0.0) -> None:
        super().__init__()
        self.net = net
        self.logit = logit

    def forward(self, x: Tensor) -> Tensor:
        h = self.net(x)
        return h - h.detach() + self.logit


def initial_net(num_inputs: int, *, start: str, depth: int, width: int, seed: int) -> nn.Module:
    """A net with one logit before training, in float64.

    Args:
        num_inputs: $d$.
        start: "ntk" (equation 7), "ntk_centred" (the same, its output made zero by `ConstantOutput`) or
            "standard" (PyTorch's default).
        depth: $L$.
        width: $m$.
        seed: of the weights.
    """
    if start not in STARTS:
        raise ValueError(f"start must be one of {STARTS}, got {start!r}")
    kind = "standard" if start == "standard" else "ntk"
    net = models.fully_connected(num_inputs, width, depth=depth, parametrization=kind, seed=seed).double()
    return ConstantOutput(net) if start == "ntk_centred" else net


def subset_masks(labels: noise.NoisyLabels) -> Tensor:
    """(6, n) booleans: the clean, the noisy and the other subset of class 0, then those of class 1.

    Source: section 3.2 of the paper.
    """
    masks = []
    for c in (0, 1):
        own = labels.true == c
        masks += [own & ~labels.is_noisy, own & labels.is_noisy, ~own & ~labels.is_noisy]
    return torch.from_numpy(np.stack(masks))


def angles(settings: AngleSettings, *, seed: int, split: data.Split | None) -> pd.DataFrame:
    r"""Angles $\theta_g$ of sample gradients with the clean subset's gradient of their class.

    Returns:
        A row for each `source` (a start, or "theory": the infinitely wide net with output 1/2 at the same
        inputs), `class` and `subset` (of `SUBSETS`): `count` of samples; `mean`, `sd`, `q05`, `q95` of their
        angles; `subset_angle`, that of the subset's gradient; `mirror`, the largest deviation from π of a
        noisy sample's angle and the angle that it has with its true label together; and `bin_0`, `bin_3`,
        …, samples in bins of 3 degrees.

    Source: Figure 4 of the paper.
    """
    x, labels = _samples(settings.classes, settings.per_class, settings.level, seed, split)
    masks = subset_masks(labels)
    rows = []
    for start in settings.starts:
        net = initial_net(x.shape[1], start=start, depth=settings.depth, width=settings.width, seed=seed)
        inputs, given = torch.from_numpy(x), torch.from_numpy(labels.given)
        of_samples, with_truth = (
            gradients.sample_gradient_angles(net, inputs, own, masks[::3], dtype=torch.float64)
            for own in (given, torch.from_numpy(labels.true))
        )
        gram = gradients.subset_gradients(net, inputs, given, masks, dtype=torch.float64)
        mirror = (of_samples + with_truth - torch.pi).abs()
        rows += _rows(start, of_samples, gram.angles, masks, mirror)
    wide = _wide_angles(x, labels, masks, settings.depth)
    return pd.DataFrame(rows + _rows("theory", *wide, masks))


def projections(settings: ProjectionSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""How many sample gradients have a positive projection on the gradient of the whole noisy set.

    Returns:
        A row for each of `inputs`, `depth`, `level`, and `start`: "constant" for an output made constant,
        "ntk" or "standard" for one as it comes. `logit` is the mean initial logit, `clean` the fraction of
        clean samples with a positive projection, `noisy` of noisy ones with a negative projection.

    Source: section 1 of the paper.
    """
    rows = []
    for inputs, pair in {
        "two clusters": None,
        **{f"digits {a} and {b}": (a, b) for a, b in settings.pairs},
    }.items():
        for depth, level in settings.nets:
            x, labels = _samples(pair, settings.per_class, level, seed, split)
            for start, net in _starts(settings, x.shape[1], depth, seed):
                numbers = _projected(net, torch.from_numpy(x), labels)
                rows.append({"inputs": inputs, "depth": depth, "level": level, "start": start, **numbers})
    return pd.DataFrame(rows)


def _samples(
    classes: tuple[int, int] | None, per_class: int, level: float, seed: int, split: data.Split | None
) -> tuple[Array, noise.NoisyLabels]:
    """Points of two clusters, or pixels in [0, 1] of two digits: class 0 first; labels with noise."""
    if classes is None:
        x, y = data.two_clusters(per_class, seed=seed)
    else:
        assert split is not None  # settings that name digits name their data set
        pair, generator = data.binary(split, classes), np.random.default_rng(seed)
        members = [np.flatnonzero(pair.y_train == c) for c in (0, 1)]
        if per_class > (most := min(map(len, members))):
            raise ValueError(f"per_class must be at most {most} for this data, got {per_class}")
        chosen = np.concatenate([generator.choice(own, per_class, replace=False) for own in members])
        x, y = pair.x_train[chosen].reshape(len(chosen), -1) / 255.0, pair.y_train[chosen]
    return x, noise.uniform(y, level, num_classes=2, seed=seed)


def _wide_angles(x: Array, labels: noise.NoisyLabels, masks: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """(2, n) angles of samples with the clean subsets, and (6, 6) of subsets, of an infinitely wide net.

    Its inner product of ∇h at two inputs is |x||z| cos θ_h times a constant, and all residuals are ±1/2.
    """
    norms = np.linalg.norm(x, axis=1)
    kernel = np.outer(norms, norms) * np.cos(theory.derivative_angle(input_angles(x), depth=depth))
    np.fill_diagonal(kernel, norms**2)
    weights = masks.numpy() * (0.5 - labels.given)
    gram = gradients.GradientGram(torch.from_numpy(weights @ kernel @ weights.T))
    along = np.sign(0.5 - labels.given) * (weights[::3] @ kernel) / norms
    cosines = torch.from_numpy(along) / gram.norms[::3, None]
    return torch.arccos(cosines.clamp(-1, 1)), gram.angles


def _rows(
    source: str, of_samples: Tensor, of_subsets: Tensor, masks: Tensor, mirror: Tensor | None = None
) -> list[dict[str, Any]]:
    rows = []
    for index, mask in enumerate(masks):
        c, subset = divmod(index, 3)
        own = of_samples[c, mask].numpy()
        numbers = {
            "mean": own.mean(),
            "sd": own.std(),
            "q05": np.quantile(own, 0.05),
            "q95": np.quantile(own, 0.95),
            "subset_angle": of_subsets[3 * c, index],
            "mirror": np.nan if mirror is None or SUBSETS[subset] != "noisy" else mirror[c, mask].max(),
        }
        counts = np.histogram(np.degrees(own), bins=[*BINS, 180])[0]
        rows.append(
            {
                "source": source,
                "class": c,
                "subset": SUBSETS[subset],
                "count": len(own),
                **{name: round(float(value), DECIMALS) for name, value in numbers.items()},
                **{f"bin_{low}": int(count) for low, count in zip(BINS, counts, strict=True)},
            }
        )
    return rows


def _starts(
    settings: ProjectionSettings, num_inputs: int, depth: int, seed: int
) -> Iterator[tuple[str, nn.Module]]:
    shape: dict[str, Any] = {"depth": depth, "width": settings.width, "seed": seed}
    ntk = initial_net(num_inputs, start="ntk", **shape)
    for logit in settings.logits:
        yield "constant", ConstantOutput(ntk, logit)
    yield "ntk", ntk
    yield "standard", initial_net(num_inputs, start="standard", **shape)


def _projected(net: nn.Module, x: Tensor, labels: noise.NoisyLabels) -> dict[str, float]:
    given, noisy = torch.from_numpy(labels.given), labels.is_noisy
    all_samples = torch.ones(len(x), dtype=torch.bool)
    theta = gradients.sample_gradient_angles(net, x, given, all_samples, dtype=torch.float64).numpy()
    with torch.no_grad():
        logit = net(x).mean()
    numbers = {
        "logit": logit,
        "clean": (theta < np.pi / 2)[~noisy].mean(),
        "noisy": (theta > np.pi / 2)[noisy].mean(),
    }
    return {name: round(float(value), DECIMALS) for name, value in numbers.items()}
