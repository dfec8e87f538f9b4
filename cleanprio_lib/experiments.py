"""Every experiment of the book by name, with frozen settings at each scale."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from cleanprio_lib import data, models, noise
from cleanprio_lib.measurements import (
    batch_steps,
    derivative_angles,
    derivatives_in_training,
    dynamics,
    initial_gradients,
    sample_gradients,
)
from cleanprio_lib.metrics import Task, subset_metrics
from cleanprio_lib.training import Measure, TrainingSettings, train

SCALES = ("quick", "laptop", "paper")
TARGETS = ("true", "smoothed")


def _fully_connected(task: Task, *, seed: int, **net: Any) -> nn.Module:
    return models.fully_connected(task.x[0].numel(), num_outputs=task.num_outputs, seed=seed, **net)


def _centred(task: Task, *, seed: int, **net: Any) -> nn.Module:
    return models.Centred(lambda: _fully_connected(task, seed=seed, **net))


def _mnist_cnn(task: Task, *, seed: int) -> nn.Module:
    return models.mnist_cnn(num_classes=task.num_classes, seed=seed)


MODELS: MappingProxyType[str, Callable[..., nn.Module]] = MappingProxyType(
    {"mnist_cnn": _mnist_cnn, "fully_connected": _fully_connected, "centred_fully_connected": _centred}
)


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


def _experiment(
    name: str,
    reproduces: str,
    paper: Any,
    *,
    measure: Callable[..., pd.DataFrame] | None = None,
    **smaller: Any,
) -> Experiment:
    """Scales that are not given are the paper's own."""
    scales = {scale: smaller.get(scale, paper) for scale in SCALES}
    return Experiment(name, reproduces, MappingProxyType(scales), measure)


_MNIST_CNN = Settings(
    dataset="mnist",
    level=0.3,
    model="mnist_cnn",
    training=TrainingSettings(
        epochs=180, batch_size=512, learning_rate=0.1, record_every=5, dense_epochs=40, measured=10_000
    ),
)

_SEVEN_NINE = Settings(
    dataset="mnist",
    level=0.4,
    model="fully_connected",
    training=TrainingSettings(
        epochs=800, batch_size=256, learning_rate=0.01, record_every=20, dense_epochs=20
    ),
    classes=(7, 9),
    net=(("width", 512), ("depth", 3)),
    gradients=True,
)
_SEVEN_NINE_QUICK = replace(
    _SEVEN_NINE,
    train_samples=1_000,
    training=TrainingSettings(epochs=90, batch_size=64, learning_rate=0.03, record_every=5, dense_epochs=10),
)
_WIDE = replace(
    _SEVEN_NINE,
    model="centred_fully_connected",
    training=TrainingSettings(
        epochs=600, batch_size=None, learning_rate=0.03, record_every=15, dense_epochs=10
    ),
    train_samples=2_000,
)


def _with_steps(settings: Settings, *, epochs: int, learning_rate: float) -> Settings:
    """The same training with steps of another size, without its gradients measured."""
    training = replace(
        settings.training, epochs=epochs, learning_rate=learning_rate, record_every=1, dense_epochs=0
    )
    return replace(settings, training=training, gradients=None)


def _wide(width: int) -> Settings:
    return replace(_WIDE, net=(("width", width), ("depth", 2), ("parametrization", "ntk")))


def _wide_quick(width: int) -> Settings:
    training = replace(_WIDE.training, epochs=200, record_every=20)
    return replace(_wide(width), train_samples=500, training=training)


EXPERIMENTS: MappingProxyType[str, Experiment] = MappingProxyType(
    {
        experiment.name: experiment
        for experiment in (
            _experiment(
                "fig-01-mnist-cnn",
                "Figure 1: train and test error of the MNIST CNN with 30 % wrong labels",
                paper=_MNIST_CNN,
                laptop=replace(
                    _MNIST_CNN,
                    train_samples=10_000,
                    test_samples=5_000,
                    training=TrainingSettings(epochs=45, batch_size=64, learning_rate=0.05, measured=3_000),
                ),
                quick=replace(
                    _MNIST_CNN,
                    train_samples=2_200,
                    test_samples=1_000,
                    training=TrainingSettings(epochs=18, batch_size=32, learning_rate=0.1, measured=1_000),
                ),
            ),
            _experiment(
                "fig-02-derivative-angles",
                "Figure 2: angle between derivatives over angle between inputs, six nets",
                paper=derivative_angles.CircleSettings(),
                measure=derivative_angles.on_circle,
            ),
            _experiment(
                "fig-02-finite-width",
                "Theorem 3.1 at finite width: deviation from the infinitely wide net",
                paper=derivative_angles.WidthSettings(),
                measure=derivative_angles.over_widths,
                quick=derivative_angles.WidthSettings(widths=(64, 128, 256, 512)),
            ),
            _experiment(
                "fig-03-clusters",
                "Figure 3: angles between derivatives within and between two clusters",
                paper=derivative_angles.ClusterSettings(),
                measure=derivative_angles.in_clusters,
            ),
            _experiment(
                "lem-a.2-gram",
                "Lemma A.2: variances of the entries of a wide random matrix's Gram matrix",
                paper=derivative_angles.GramSettings(),
                measure=derivative_angles.gram_variances,
            ),
            _experiment(
                "sec-1-class-angles",
                "Section 1: derivatives of samples of one class are closer than those of two",
                paper=derivative_angles.ClassSettings(),
                measure=derivative_angles.in_classes,
            ),
            _experiment(
                "rem-3.3-derivatives-in-training",
                "Remark 3.3: derivatives during training, against those at initialisation",
                paper=derivatives_in_training.DescentSettings(),
                measure=derivatives_in_training.in_training,
                quick=derivatives_in_training.DescentSettings(widths=(32, 128, 512), epochs=100),
            ),
            _experiment(
                "eq-05-formula",
                "Equation 5: the gradient of a loss is the residual times the derivative of the logit",
                paper=initial_gradients.FormulaSettings(),
                measure=initial_gradients.formula,
            ),
            _experiment(
                "fig-04-clusters",
                "Figure 4, left: directions of sample gradients, clean, other and noisy, of two clusters",
                paper=sample_gradients.AngleSettings(None, None, per_class=500),
                measure=sample_gradients.angles,
            ),
            _experiment(
                "fig-04-mnist-0v1",
                "Figure 4, right, as in its caption: zeros and ones, one hidden layer",
                paper=sample_gradients.AngleSettings((0, 1), "mnist"),
                measure=sample_gradients.angles,
                quick=sample_gradients.AngleSettings((0, 1), "mnist", per_class=300),
            ),
            _experiment(
                "fig-04-mnist-7v9",
                "Figure 4, right, as in appendix B: sevens and nines, two hidden layers",
                paper=sample_gradients.AngleSettings((7, 9), "mnist", depth=3),
                measure=sample_gradients.angles,
                quick=sample_gradients.AngleSettings((7, 9), "mnist", per_class=300, depth=3),
            ),
            _experiment(
                "eq-08-initial-ratio",
                "Equations 8 and 9: clean against noisy gradient of each class before the first step",
                paper=initial_gradients.RatioSettings(),
                measure=initial_gradients.initial_ratios,
                quick=initial_gradients.RatioSettings(samples=800),
            ),
            _experiment(
                "sec-1-projections",
                "Section 1: sample gradients projected on the gradient of the whole noisy set",
                paper=sample_gradients.ProjectionSettings(),
                measure=sample_gradients.projections,
                quick=sample_gradients.ProjectionSettings(nets=((2, 0.3),), per_class=300),
            ),
            _experiment(
                "fig-05-mnist-7v9",
                "Figures 5, 6 and 11 left: sevens and nines with 40 % wrong labels",
                paper=replace(_SEVEN_NINE, training=replace(_SEVEN_NINE.training, epochs=1_200)),
                quick=_SEVEN_NINE_QUICK,
            ),
            _experiment(
                "fig-05-mnist-7v9-30",
                "Figures 5 and 6 as appendix B has them: the same with 30 % wrong labels",
                paper=replace(_SEVEN_NINE, level=0.3),
                quick=replace(_SEVEN_NINE_QUICK, level=0.3),
            ),
            _experiment(
                "sec-4.1-smoothed-labels",
                "Section 4.1: the training of Figure 5 on true labels that are smoothed",
                paper=replace(_SEVEN_NINE, targets="smoothed"),
                quick=replace(_SEVEN_NINE_QUICK, targets="smoothed"),
            ),
            _experiment(
                "sec-4.1-true-labels",
                "Section 4.1: the training of Figure 5 on true labels",
                paper=replace(_SEVEN_NINE, targets="true", gradients=None),
                quick=replace(_SEVEN_NINE_QUICK, targets="true", gradients=None),
            ),
            _experiment(
                "sec-4.1-large-steps",
                "Section 4.1: the training of Figure 5 with fewer and larger steps",
                paper=_with_steps(_SEVEN_NINE, epochs=80, learning_rate=0.1),
                quick=_with_steps(_SEVEN_NINE_QUICK, epochs=27, learning_rate=0.1),
            ),
            _experiment(
                "rem-4.3-batch-sizes",
                "Remark 4.3: steps of mini-batches of all sizes against true labels",
                paper=batch_steps.BatchSettings(),
                measure=batch_steps.by_size,
                quick=batch_steps.BatchSettings(
                    epochs=(0, 40), batch_sizes=(4, 16, 64, 256), draws=100, train_samples=1_000
                ),
            ),
            _experiment(
                "thm-4.4-full-batch",
                "Theorem 4.4: gradient descent on all of 4,000 sevens and nines at once",
                paper=replace(
                    _SEVEN_NINE,
                    train_samples=4_000,
                    training=TrainingSettings(
                        epochs=2_000, batch_size=None, learning_rate=0.1, record_every=20, dense_epochs=20
                    ),
                ),
                quick=replace(
                    _SEVEN_NINE,
                    train_samples=1_000,
                    training=TrainingSettings(
                        epochs=600, batch_size=None, learning_rate=0.1, record_every=20, dense_epochs=10
                    ),
                ),
            ),
            _experiment(
                "thm-4.5-narrow",
                "Theorem 4.5: gradient descent on a narrow net, output centred",
                paper=_wide(16),
                quick=_wide_quick(16),
            ),
            _experiment(
                "thm-4.5-wide",
                "Theorem 4.5: gradient descent on a wide net, output centred",
                paper=_wide(1024),
                quick=_wide_quick(256),
            ),
        )
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


def split_of(settings: Any, split: data.Split | None = None) -> data.Split | None:
    """The data set that settings name, loaded unless it is given; None if they name none."""
    return split if split is not None or settings.dataset is None else data.load(settings.dataset)


def build_task(settings: Settings, split: data.Split, *, seed: int) -> Task:
    """Inputs in [0, 1] with channels first and labels with noise placed from the seed."""
    split = split if settings.classes is None else data.binary(split, settings.classes)
    x, true = _first(split.x_train, split.y_train, settings.train_samples, "train_samples")
    x_test, y_test = _first(split.x_test, split.y_test, settings.test_samples, "test_samples")
    labels = noise.uniform(true, settings.level, num_classes=split.num_classes, seed=seed)
    return Task(
        x=_inputs(x),
        given=torch.from_numpy(labels.given),
        true=torch.from_numpy(labels.true),
        x_test=_inputs(x_test),
        y_test=torch.from_numpy(y_test.astype(np.int64)),
        num_classes=split.num_classes,
        targets=_targets(settings, labels, split.num_classes),
    )


def build_model(settings: Settings, task: Task, *, seed: int) -> nn.Module:
    """The experiment's net with initial weights from the seed."""
    return MODELS[settings.model](task, seed=seed, **dict(settings.net or ()))


def run(
    name: str,
    scale: str,
    *,
    seed: int,
    split: data.Split | None = None,
    device: str | None = None,
    checkpoint: Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Run an experiment and return its tidy frame: a row for each recorded epoch.

    Args:
        name: of the experiment.
        scale: "quick", "laptop" or "paper".
        seed: decides the noise, the initial weights and the order of the samples.
        split: data already loaded; None loads it.
        device: "cpu", "cuda", …; None takes a GPU where there is one. Measurements run on the CPU.
        checkpoint: file to save to and to resume from.
        progress: show a progress bar.

    Returns:
        Columns `seed`, `epoch` and those of `metrics.subset_metrics`, or those of the measurement.
    """
    settings = settings_of(name, scale)
    split = split_of(settings, split)
    measure = EXPERIMENTS[name].measure
    if measure is None:
        assert split is not None  # a training run always names its data
        description = f"{name} {scale} seed {seed}"
        frame = _train(settings, split, seed, device, checkpoint, progress, description)
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
        progress=progress,
        description=description,
    )


def measures_of(settings: Settings) -> tuple[Measure, ...]:
    """What is measured at every recorded epoch of a training run."""
    if not settings.gradients:
        return (subset_metrics,)
    return subset_metrics, dynamics.gradient_metrics, dynamics.detection_metrics


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


def _targets(settings: Settings, labels: noise.NoisyLabels, num_classes: int) -> torch.Tensor | None:
    r"""True labels, or for each the mean of given ones: label smoothing by $\kappa = \delta C/(C-1)$."""
    if settings.targets is None:
        return None
    true = torch.from_numpy(labels.true)
    if settings.targets == "true":
        return true
    kept = 1 - settings.level
    wrong = settings.level / (num_classes - 1)
    rows = torch.full((num_classes, num_classes), wrong).fill_diagonal_(kept)[true]
    return rows[:, 1] if num_classes == 2 else rows


def _first(
    x: NDArray[np.uint8], y: NDArray[np.integer], count: int | None, name: str
) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    if count is not None and not 0 < count <= len(x):
        raise ValueError(f"{name} must lie in [1, {len(x)}] for this data, got {count}")
    return x[:count], y[:count]


def _inputs(images: NDArray[np.uint8]) -> torch.Tensor:
    """(n, h, w) or (n, h, w, c) bytes to (n, c, h, w) float32 in [0, 1], channels last in memory."""
    pixels = torch.from_numpy(images if images.ndim == 4 else images[..., None])
    return pixels.permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)
