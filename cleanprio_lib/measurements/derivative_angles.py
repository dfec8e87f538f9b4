r"""Angles $\theta_h$ between the derivatives $\nabla h$ of random nets, before training.

The NTK parametrisation has no biases and its weights are rotation invariant in law, so one input stays at
angle 0 and the seed draws the weights. Angles are radians, rounded to `DECIMALS`: close to 0 and π an arc
cosine in float64 holds no more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from cleanprio_lib import data, gradients, models, theory

Array = NDArray[np.float64]
ACTIVATIONS = {"relu": nn.ReLU, "linear": nn.Identity}
DECIMALS = 9
BIN = 3
BINS = tuple(range(0, 180, BIN))


@dataclass(frozen=True)
class CircleSettings:
    """Nets and angles of Figure 2.

    Attributes:
        nets: (activation, depth) of each net.
        degrees: angles between the inputs, whole degrees.
        width: $m$.
        dataset: None, the inputs lie on the unit circle.
    """

    nets: tuple[tuple[str, int], ...] = tuple((kind, depth) for kind in ACTIVATIONS for depth in (2, 3, 5))
    degrees: tuple[int, ...] = (0, 1, 2, *range(5, 181, 5))
    width: int = 512
    dataset: None = None


@dataclass(frozen=True)
class WidthSettings:
    """Nets, widths and angles of the deviation from the infinitely wide net."""

    nets: tuple[tuple[str, int], ...] = (("relu", 2), ("relu", 3), ("relu", 5), ("linear", 2))
    degrees: tuple[int, ...] = (10, 30, 60, 90, 120)
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    dataset: None = None


@dataclass(frozen=True)
class ClusterSettings:
    """Two clusters and the net of Figure 3; the paper does not state the clusters' geometry and size."""

    per_cluster: int = 100
    centers_apart: int = 90
    spread: float = 0.1
    depth: int = 3
    width: int = 512
    dataset: None = None


@dataclass(frozen=True)
class ClassSettings:
    """Pairs of classes whose derivatives are compared: the clusters of Figure 3, and pairs of digits."""

    pairs: tuple[tuple[int, int], ...] = ((0, 1), (7, 9))
    per_class: int = 200
    depth: int = 2
    width: int = 512
    dataset: str = "mnist"


@dataclass(frozen=True)
class GramSettings:
    """Random matrices of lemma A.2.

    Attributes:
        widths: $m$, rows of each matrix; it has two columns.
        draws: matrices of each width.
        dataset: None.
    """

    widths: tuple[int, ...] = (64, 256, 1024)
    draws: int = 2000
    dataset: None = None


def on_circle(settings: CircleSettings, *, seed: int, split: None = None) -> pd.DataFrame:
    r"""$\theta_h$ between inputs on the unit circle: a row for each net and angle `degrees`.

    Source: Figure 2 of the paper.
    """
    frames = []
    for activation, depth in settings.nets:
        angles = _circle_angles(activation, depth, settings.width, settings.degrees, seed)
        columns = {"activation": activation, "depth": depth, "degrees": settings.degrees}
        frames.append(pd.DataFrame({**columns, "theta_h": angles.round(DECIMALS)}))
    return pd.concat(frames, ignore_index=True)


def over_widths(settings: WidthSettings, *, seed: int, split: None = None) -> pd.DataFrame:
    r"""Deviation of $\theta_h$ from the infinitely wide net's, over angles: a row for each net and width.

    Returns:
        `rms`, its root mean square over the angles, and `mean`, its mean; radians.
    """
    rows = []
    for activation, depth in settings.nets:
        wide = theory.derivative_angle(np.radians(settings.degrees), depth=depth, activation=activation)
        for width in settings.widths:
            off = _circle_angles(activation, depth, width, settings.degrees, seed) - wide
            rms, mean = round(float(np.sqrt((off**2).mean())), DECIMALS), round(float(off.mean()), DECIMALS)
            rows.append({"activation": activation, "depth": depth, "width": width, "rms": rms, "mean": mean})
    return pd.DataFrame(rows)


def in_clusters(settings: ClusterSettings, *, seed: int, split: None = None) -> pd.DataFrame:
    r"""Angles within and between two clusters: of the inputs, of the net's derivatives, and as predicted.

    Returns:
        A row for each `pairs` ("within", "between") of each `source` ("inputs": $\theta_d$, "net":
        $\theta_h$, "theory": $\theta_h$ from $\theta_d$): `mean`, `sd`, `q05`, `q95` in radians, `auc` (the
        probability that a pair within has the smaller angle), and `bin_0`, `bin_3`, …, the fraction of pairs
        in bins of 3 degrees.

    Source: Figure 3 of the paper.
    """
    x, y = data.two_clusters(
        settings.per_cluster, angle=math.radians(settings.centers_apart), spread=settings.spread, seed=seed
    )
    theta_d = input_angles(x)
    sources = {
        "inputs": theta_d,
        "net": _net_angles(x, settings.depth, settings.width, seed),
        "theory": theory.derivative_angle(theta_d, depth=settings.depth),
    }
    rows = []
    for source, angles in sources.items():
        groups = dict(zip(("within", "between"), pairs_of(angles, y), strict=True))
        auc = closer_within(*groups.values())
        rows += [{"source": source, "pairs": name, **_summary(group, auc)} for name, group in groups.items()]
    return pd.DataFrame(rows)


def in_classes(settings: ClassSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""$\theta_h$ within and between classes, of the clusters of Figure 3 and of pairs of digits.

    Returns:
        A row for each of `inputs`: `within` and `between`, mean angles in radians, and `auc`, the probability
        that a pair within a class has the smaller angle.

    Source: section 1 of the paper.
    """
    sets = {"two clusters": data.two_clusters(settings.per_class, seed=seed)}
    for pair in settings.pairs:
        sets[f"digits {pair[0]} and {pair[1]}"] = _digits(split, pair, settings.per_class, seed)
    rows = []
    for name, (x, y) in sets.items():
        within, between = pairs_of(_net_angles(x, settings.depth, settings.width, seed), y)
        means = {"within": within.mean().round(DECIMALS), "between": between.mean().round(DECIMALS)}
        rows.append({"inputs": name, **means, "auc": closer_within(within, between)})
    return pd.DataFrame(rows)


def gram_variances(settings: GramSettings, *, seed: int, split: None = None) -> pd.DataFrame:
    r"""Entries of $A^\top A/m$ with $A$ of shape (m, 2) and entries $N(0, 1)$: a row for each width.

    Returns:
        `off` and `diagonal`, the sample variances over the draws of the entries (1, 2) and (1, 1).

    Source: lemma A.2 of the paper, which has $1/m$ and $2/m$.
    """
    generator = np.random.default_rng(seed)
    rows = []
    for width in settings.widths:
        columns = generator.standard_normal((2, settings.draws, width))
        off, diagonal = ((columns[0] * other).mean(axis=1).var(ddof=1) for other in columns[::-1])
        rows.append({"width": width, "off": float(off), "diagonal": float(diagonal)})
    return pd.DataFrame(rows)


def input_angles(x: Array) -> Array:
    r"""(n, n) angles $\theta_d$ between (n, d) inputs, radians."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(np.arccos(np.clip(unit @ unit.T, -1, 1)))


def pairs_of(angles: Array, y: NDArray[np.int64]) -> tuple[Array, Array]:
    """Angles of the pairs within a class and between classes, each pair once.

    Args:
        angles: (n, n) between samples.
        y: (n,) their classes.
    """
    first, second = np.triu_indices(len(y), 1)
    same = y[first] == y[second]
    flat = angles[first, second]
    return flat[same], flat[~same]


def closer_within(within: Array, between: Array) -> float:
    """Probability that a pair within a class has a smaller angle than one of two classes; ties count half."""
    ordered = np.sort(between)
    smaller, not_larger = (np.searchsorted(ordered, within, side=side) for side in ("left", "right"))
    return round(1 - float((smaller + not_larger).mean()) / (2 * len(between)), DECIMALS)


def _circle_angles(activation: str, depth: int, width: int, degrees: tuple[int, ...], seed: int) -> Array:
    theta = np.radians(degrees)
    x = torch.from_numpy(np.stack([np.cos(theta), np.sin(theta)], axis=1))
    net = models.fully_connected(
        2, width, depth=depth, activation=ACTIVATIONS[activation], parametrization="ntk", seed=seed
    )
    first = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    return gradients.derivative_angles(net, first, x, dtype=torch.float64)[0].numpy()


def _net_angles(x: Array, depth: int, width: int, seed: int) -> Array:
    net = models.fully_connected(x.shape[1], width, depth=depth, parametrization="ntk", seed=seed)
    return gradients.derivative_angles(net, torch.from_numpy(x), dtype=torch.float64).numpy()


def _summary(angles: Array, auc: float) -> dict[str, float]:
    shares = np.histogram(np.degrees(angles), bins=[*BINS, 180])[0] / len(angles)
    numbers = {
        "mean": angles.mean(),
        "sd": angles.std(),
        "q05": np.quantile(angles, 0.05),
        "q95": np.quantile(angles, 0.95),
    }
    rounded = {name: round(float(value), DECIMALS) for name, value in numbers.items()}
    return {**rounded, "auc": auc, **{f"bin_{low}": share for low, share in zip(BINS, shares, strict=True)}}


def _digits(
    split: data.Split, pair: tuple[int, int], per_class: int, seed: int
) -> tuple[Array, NDArray[np.int64]]:
    """Images of two digits as (2n, 784) pixels in [0, 1]; the seed draws which."""
    generator = np.random.default_rng(seed)
    chosen = np.concatenate(
        [generator.choice(np.flatnonzero(split.y_train == digit), per_class, replace=False) for digit in pair]
    )
    return split.x_train[chosen].reshape(len(chosen), -1) / 255.0, np.repeat(np.arange(2), per_class)
