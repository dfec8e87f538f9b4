"""What an experiment is: its name, what it reproduces, and frozen settings at each scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from cleanprio_lib.training import TrainingSettings

SCALES = ("quick", "laptop", "paper")
TARGETS = ("true", "smoothed")


@dataclass(frozen=True)
class Settings:
    """Everything that, with a seed and the data, decides a training run.

    Attributes:
        dataset: name for `data.load`.
        level: $\\delta$, the fraction of wrong labels in every class.
        model: name in `MODELS`.
        training: optimiser, epochs and what is measured.
        train_samples: the first so many of the data set's training images; None for all.
        test_samples: the first so many of its test images; None for all.
        classes: two of the data set's classes, which become 0 and 1; None for all of them.
        net: options of the model, such as `(("width", 512),)`; None for its own defaults.
        targets: what training aims at, of `TARGETS`; None for the given labels. Metrics keep to the labels.
        gradients: whether subset gradients, and how well residuals tell wrong labels, are measured at every
            recorded epoch; None for no.
    """

    dataset: str
    level: float
    model: str
    training: TrainingSettings
    train_samples: int | None = None
    test_samples: int | None = None
    classes: tuple[int, int] | None = None
    net: tuple[tuple[str, Any], ...] | None = None
    targets: str | None = None
    gradients: bool | None = None

    def __post_init__(self) -> None:
        if self.targets not in (None, *TARGETS):
            raise ValueError(f"targets must be None or one of {TARGETS}, got {self.targets!r}")


@dataclass(frozen=True)
class Experiment:
    """A named experiment: what it reproduces and how.

    Attributes:
        name: such as "fig-05-mnist-7v9".
        reproduces: the figure or statement, in words.
        scales: settings at the scales quick, laptop and paper; a frozen dataclass whose `dataset` is a name
            for `data.load`, or None if the inputs are made from the seed.
        measure: from settings, `seed` and `split` to a frame, for an experiment that does not train; None
            for one that does, whose settings are `Settings`.
    """

    name: str
    reproduces: str
    scales: MappingProxyType[str, Any]
    measure: Callable[..., pd.DataFrame] | None = None


def experiment(
    name: str,
    reproduces: str,
    paper: Any,
    *,
    measure: Callable[..., pd.DataFrame] | None = None,
    **smaller: Any,
) -> Experiment:
    """An experiment; scales that are not given are the paper's own."""
    scales = {scale: smaller.get(scale, paper) for scale in SCALES}
    return Experiment(name, reproduces, MappingProxyType(scales), measure)


def as_dict(settings: Any) -> dict[str, Any]:
    """Settings as plain values, for provenance."""
    return without_none(asdict(settings))


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    """Nested values but for those that are None: a setting that is not used may as well not exist."""
    return {
        key: without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }
