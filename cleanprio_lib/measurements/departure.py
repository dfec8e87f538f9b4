r"""How far from assumption 4.1 nets are in training, and what a small step does to the two losses there."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from cleanprio_lib import data, gradients, models, noise, theory
from cleanprio_lib.metrics import Task, sample_losses, subset_metrics
from cleanprio_lib.training import TrainingSettings, train

TRIAL = 1e-4  # step size of the difference quotients: small, and far above the rounding of float64
ALL = "all"


@dataclass(frozen=True)
class DepartureSettings:
    r"""Full-batch gradient descent of a net with two layers on some sets of digits.

    Attributes:
        digits: two digits each, or all of them where there are none.
        levels: $\delta$.
        train_samples, test_samples: the first so many images of each set.
        width: $m$; PyTorch's initial weights, pixels in [0, 1].
        steps, learning_rate: of gradient descent.
        record_every, dense: after how many steps it is measured, and the first steps after all of which.
        dataset: for `data.load`.
    """

    digits: tuple[tuple[int, ...], ...] = ((0, 1), (7, 9), ())
    levels: tuple[float, ...] = (0.4,)
    train_samples: int = 2_000
    test_samples: int = 1_000
    width: int = 256
    steps: int = 400
    learning_rate: float = 0.1
    record_every: int = 20
    dense: int = 5
    dataset: str = "mnist"


def departures(settings: DepartureSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    """Train a net for each set of digits and level, and measure its subset gradients on the way.

    Returns:
        A row for each `digits` ("0 and 1", …, or "all"), `level` and recorded step, `epoch`, with the columns
        of `metrics.subset_metrics` and of `departure_metrics`.
    """
    training = TrainingSettings(
        epochs=settings.steps,
        batch_size=None,
        learning_rate=settings.learning_rate,
        record_every=settings.record_every,
        dense_epochs=settings.dense,
        precision="float32",
    )
    frames = []
    for digits in settings.digits:
        for level in settings.levels:
            task = digits_task(split, digits, level, settings, seed=seed)
            net = models.fully_connected(
                task.x.shape[1], settings.width, num_outputs=task.num_outputs, seed=seed
            )
            measures = (subset_metrics, departure_metrics)
            frame = train(net, task, training, seed=seed, measures=measures, progress=False)
            frame.insert(0, "digits", " and ".join(map(str, digits)) or ALL)
            frame.insert(1, "level", level)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def departure_metrics(model: nn.Module, task: Task) -> dict[str, float]:
    r"""What assumption 4.1 says of the subset gradients, over all logits, and what is measured.

    Returns:
        `alpha`, `rest`, `cancellation`, `middle`, `distance`, `bound` and `room` of `theory.departure`;
        `alpha_low` and `alpha_high`, of the classes; `angle`, the largest of theirs, radians; and the
        derivatives of the mean clean and noisy loss by the size of a step along $-\nabla L(w; D)$,
        `clean_slope` and `noisy_slope`, from inner products, and `clean_quotient` and `noisy_quotient`, from
        losses a small way ahead and back, in float64.

    Source: beyond the paper; steps B.1 to B.8 of the appendix.
    """
    gram = class_gram(model, task)
    found = theory.departure(gram.numpy())
    count, noisy = len(task.true), int(task.is_noisy.sum())
    square = float(gram[: len(gram) // 2, : len(gram) // 2].sum())
    quotients = _quotients(model, task)
    numbers = {
        name: getattr(found, name)
        for name in ("alpha", "rest", "cancellation", "middle", "distance", "bound", "room")
    }
    return {
        **{name: float(value) for name, value in numbers.items()},
        "alpha_low": float(found.alphas.min()),
        "alpha_high": float(found.alphas.max()),
        "angle": float(found.angles.max()),
        "clean_slope": found.clean_slope * square / (count * (count - noisy)),
        "noisy_slope": found.noisy_slope * square / (count * noisy),
        "clean_quotient": quotients[0],
        "noisy_quotient": quotients[1],
    }


def class_gram(model: nn.Module, task: Task) -> Tensor:
    """(2C, 2C) float64 inner products of the classes' clean gradients, then of their noisy ones."""
    own = task.true[None] == torch.arange(task.num_classes, device=task.true.device)[:, None]
    masks = torch.cat([own & ~task.is_noisy, own & task.is_noisy])
    found = gradients.subset_gradients(model, task.x, task.given, masks, per_logit=False, dtype=torch.float64)
    return found.gram.cpu()


def digits_task(
    split: data.Split, digits: tuple[int, ...], level: float, settings: DepartureSettings, *, seed: int
) -> Task:
    """Flat inputs in [0, 1] of two digits or, where there are none, of all, with uniform noise."""
    if len(digits) == 2:
        split = data.binary(split, (digits[0], digits[1]))
    count, tested = settings.train_samples, settings.test_samples
    labels = noise.uniform(split.y_train[:count], level, num_classes=split.num_classes, seed=seed)
    x, x_test = (
        torch.from_numpy(images.reshape(len(images), -1)).float() / 255
        for images in (split.x_train[:count], split.x_test[:tested])
    )
    return Task(
        x=x,
        given=torch.from_numpy(labels.given),
        true=torch.from_numpy(labels.true),
        x_test=x_test,
        y_test=torch.from_numpy(split.y_test[:tested]).long(),
        num_classes=split.num_classes,
    )


def _quotients(model: nn.Module, task: Task) -> list[float]:
    """Derivatives of the mean clean and noisy loss along the step, by central differences."""
    exact = copy.deepcopy(model).double()
    x = task.x.double()
    parameters = list(exact.parameters())
    step = torch.autograd.grad(sample_losses(exact(x), task.given).mean(), parameters)
    losses = []
    with torch.no_grad():
        for way in (-TRIAL, 2 * TRIAL):
            for parameter, part in zip(parameters, step, strict=True):
                parameter.sub_(way * part)
            of_samples = sample_losses(exact(x), task.given)
            losses.append([of_samples[~task.is_noisy].mean(), of_samples[task.is_noisy].mean()])
    return [float(ahead - back) / (2 * TRIAL) for back, ahead in zip(*losses, strict=True)]
