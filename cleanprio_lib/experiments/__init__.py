"""Every experiment of the book by name, with frozen settings at each scale, and how to run it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch

from cleanprio_lib import data
from cleanprio_lib.experiments import (
    beyond,
    binary_dynamics,
    derivative_angles,
    in_practice,
    kernel_machines,
    sample_gradients,
    ten_classes,
    u_curve,
    width_and_noise,
)
from cleanprio_lib.experiments.settings import (
    SCALES,
    TARGETS,
    Experiment,
    Grid,
    Settings,
    as_dict,
    at,
    swept,
    without_none,
)
from cleanprio_lib.experiments.tasks import MODELS, build_model, build_task, split_of
from cleanprio_lib.measurements import dynamics, logit_dynamics
from cleanprio_lib.metrics import subset_metrics
from cleanprio_lib.training import Measure, train

EXPERIMENTS: MappingProxyType[str, Experiment] = MappingProxyType(
    {
        experiment.name: experiment
        for chapter in (
            u_curve,
            derivative_angles,
            sample_gradients,
            binary_dynamics,
            ten_classes,
            kernel_machines,
            width_and_noise,
            beyond,
            in_practice,
        )
        for experiment in chapter.EXPERIMENTS
    }
)


def settings_of(name: str, scale: str) -> Any:
    """Frozen settings of an experiment at a scale.

    Raises:
        ValueError: no such experiment or scale.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"name must be one of {sorted(EXPERIMENTS)}, got {name!r}")
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {SCALES}, got {scale!r}")
    return EXPERIMENTS[name].scales[scale]


def run(
    name: str,
    scale: str,
    *,
    seed: int,
    value: Any = None,
    split: data.Split | None = None,
    device: str | None = None,
    checkpoint: Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Run an experiment, or one cell of a grid, and return its tidy frame: a row for each recorded epoch.

    Args:
        name: of the experiment.
        scale: "quick", "laptop" or "paper".
        seed: decides the noise, the initial weights and the order of the samples.
        value: of the swept setting, where the experiment has one.
        split: data already loaded; None loads it.
        device: "cpu", "cuda", …; None takes a GPU where there is one. Measurements run on the CPU.
        checkpoint: file to save to and to resume from.
        progress: show a progress bar.

    Returns:
        Columns `seed`, `epoch` and those of `metrics.subset_metrics`, or those of the measurement; before
        them, in a grid, the swept setting.

    Raises:
        ValueError: no such experiment, scale or value.
    """
    settings = settings_of(name, scale)
    chosen = f"{name} {scale}" if value is None else f"{name} {scale} {swept(settings)[0]} {value}"
    frame = run_settings(
        at(settings, value),
        EXPERIMENTS[name].measure,
        seed=seed,
        split=split,
        device=device,
        checkpoint=checkpoint,
        progress=progress,
        description=f"{chosen} seed {seed}",
    )
    if value is not None:
        frame.insert(0, swept(settings)[0], value)
    return frame


def run_settings(
    settings: Any,
    measure: Callable[..., pd.DataFrame] | None,
    *,
    seed: int,
    split: data.Split | None = None,
    device: str | None = None,
    checkpoint: Path | None = None,
    compiled: bool = False,
    progress: bool = True,
    description: str = "training",
) -> pd.DataFrame:
    """Train or measure with settings that need no name, as `run` does with those of an experiment."""
    split = split_of(settings, split)
    if measure is None:
        assert split is not None  # a training run always names its data
        frame = _train(settings, split, seed, device, checkpoint, compiled, progress, description)
    else:
        frame = _timed(measure, settings, seed=seed, split=split)
    frame.insert(0, "seed", seed)
    return frame


def _train(
    settings: Settings,
    split: data.Split,
    seed: int,
    device: str | None,
    checkpoint: Path | None,
    compiled: bool,
    progress: bool,
    description: str,
) -> pd.DataFrame:
    task = build_task(settings, split, seed=seed).to(device or default_device())
    model = build_model(settings, task, seed=seed).to(task.x.device)
    return train(
        model,
        task,
        settings.training,
        seed=seed,
        measures=measures_of(settings),
        checkpoint=checkpoint,
        compiled=compiled,
        progress=progress,
        description=description,
    )


def scales_like(name: str, scale: str) -> list[str]:
    """The scales of an experiment that have the same settings as one of them, that one included."""
    settings = settings_of(name, scale)
    return [other for other in SCALES if settings_of(name, other) == settings]


def measures_of(settings: Settings) -> tuple[Measure, ...]:
    """What is measured at every recorded epoch of a training run."""
    if not settings.gradients:
        return (subset_metrics,)
    of_subsets = dynamics.gradient_metrics if settings.classes else logit_dynamics.logit_metrics
    return subset_metrics, of_subsets, dynamics.detection_metrics


def _timed(measure: Callable[..., pd.DataFrame], settings: Any, **arguments: Any) -> pd.DataFrame:
    """The frame of a measurement, with the facts about its making that a training run's frame has."""
    started, began = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    frame = measure(settings, **arguments)
    frame.attrs.update(
        threads=torch.get_num_threads(), started=started, seconds=round(time.monotonic() - began, 1)
    )
    return frame


def default_device() -> str:
    """The GPU where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


__all__ = [
    "EXPERIMENTS",
    "MODELS",
    "SCALES",
    "TARGETS",
    "Experiment",
    "Grid",
    "Settings",
    "as_dict",
    "at",
    "build_model",
    "build_task",
    "default_device",
    "measures_of",
    "run",
    "run_settings",
    "scales_like",
    "settings_of",
    "split_of",
    "swept",
    "without_none",
]
