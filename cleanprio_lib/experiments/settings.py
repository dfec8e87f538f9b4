"""What an experiment is: its name, what it reproduces, and frozen settings at each scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
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
        concentration: share of the wrong labels that are the next class, as in `noise.transition_matrix`;
            None for uniform noise.
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
    concentration: float | None = None

    def __post_init__(self) -> None:
        if self.targets not in (None, *TARGETS):
            raise ValueError(f"targets must be None or one of {TARGETS}, got {self.targets!r}")
        if self.concentration is not None and self.targets == "smoothed":
            raise ValueError("targets must not be smoothed, as if noise were uniform, with a concentration")


@dataclass(frozen=True)
class Grid:
    """One setting swept over several values, recorded together.

    Each pair of a value and a seed is a cell, trained on its own. What is recorded of one value does not
    depend on which other values there are: values may be added later.

    Attributes:
        base: all settings but the swept one, whose value here is never used.
        swept: name of a field of `Settings` or `TrainingSettings`, or of an option in `base.net`; not the
            precision, which machines may change.
        values: of the swept setting, in the order in which they are run: the longest runs first, so that
            several workers end together.

    Raises:
        ValueError: `swept` names no such setting, or `values` are not different numbers or words.
    """

    base: Settings
    swept: str
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if _holder(self.base, self.swept) is None:
            raise ValueError(
                f"swept must name a field of the settings or an option of the net, got {self.swept!r}"
            )
        plain = all(isinstance(value, int | float | str) for value in self.values)
        if not (plain and 0 < len(self.values) == len(set(self.values))):
            raise ValueError(f"values must be different numbers or words, at least one, got {self.values}")

    @property
    def dataset(self) -> str:
        """Name for `data.load`."""
        return self.base.dataset

    def at(self, value: Any) -> Settings:
        """Settings of the cells of one value."""
        if value not in self.values:
            raise ValueError(f"{self.swept} must be one of {self.values}, got {value!r}")
        holder = _holder(self.base, self.swept)
        if holder == "settings":
            return replace(self.base, **{self.swept: value})
        if holder == "training":
            return replace(self.base, training=replace(self.base.training, **{self.swept: value}))
        net = tuple((name, value if name == self.swept else old) for name, old in self.base.net or ())
        return replace(self.base, net=net)


def _holder(settings: Settings, name: str) -> str | None:
    """Where the setting of that name is: "settings", "training" or "net"; None if nowhere."""
    if name in {field.name for field in fields(Settings)} - {"dataset", "training", "net"}:
        return "settings"
    if name in {field.name for field in fields(TrainingSettings)} - {"precision"}:
        return "training"
    return "net" if name in dict(settings.net or ()) else None


@dataclass(frozen=True)
class Experiment:
    """A named experiment: what it reproduces and how.

    Attributes:
        name: such as "fig-05-mnist-7v9".
        reproduces: the figure or statement, in words.
        scales: settings at the scales quick, laptop and paper; a frozen dataclass whose `dataset` is a name
            for `data.load`, or None if the inputs are made from the seed.
        measure: from settings, `seed` and `split` to a frame; None for an experiment whose settings are
            `Settings` or a `Grid` of them, and which trains.
        chosen: what the paper leaves open, and what was chosen, in sentences.
        trains: whether the measurement trains nets in float32, so that what rounding does to it grows.
    """

    name: str
    reproduces: str
    scales: MappingProxyType[str, Any]
    measure: Callable[..., pd.DataFrame] | None = None
    chosen: str = ""
    trains: bool = False


def experiment(
    name: str,
    reproduces: str,
    paper: Any,
    *,
    chosen: str = "",
    measure: Callable[..., pd.DataFrame] | None = None,
    trains: bool = False,
    **smaller: Any,
) -> Experiment:
    """An experiment; scales that are not given are the paper's own."""
    scales = {scale: smaller.get(scale, paper) for scale in SCALES}
    return Experiment(name, reproduces, MappingProxyType(scales), measure, chosen, trains)


def as_dict(settings: Any) -> dict[str, Any]:
    """Settings as plain values, for provenance; of a grid, what cells share and the swept setting's name."""
    if not isinstance(settings, Grid):
        return without_none(asdict(settings))
    shared = as_dict(settings.base)
    for holder in (shared, shared["training"]):
        holder.pop(settings.swept, None)
    if "net" in shared:
        shared["net"] = tuple(option for option in shared["net"] if option[0] != settings.swept)
    return {**shared, "swept": settings.swept}


def swept(settings: Any) -> tuple[str | None, tuple[Any, ...]]:
    """Name and values of the swept setting; without a grid (None, (None,)): one value of nothing."""
    return (settings.swept, settings.values) if isinstance(settings, Grid) else (None, (None,))


def at(settings: Any, value: Any) -> Any:
    """Settings of one cell: of a grid those at `value`, else, where `value` is None, the settings themselves.

    Raises:
        ValueError: there is no such value, or a value is missing.
    """
    if isinstance(settings, Grid):
        return settings.at(value)
    if value is not None:
        raise ValueError(f"value must be None for an experiment that sweeps no setting, got {value!r}")
    return settings


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    """Nested values but for those that are None: a setting that is not used may as well not exist."""
    return {
        key: without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }
