"""What can be seen of a training run without a clean label, at every epoch, beside what cannot."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from cleanprio_lib import data
from cleanprio_lib.measurements.practice_tasks import PracticeSettings, new_net, practice, predicted
from cleanprio_lib.metrics import Task, predict, sample_errors, sample_losses, sample_residuals
from cleanprio_lib.robust_training import probabilities
from cleanprio_lib.sgd import SGD
from cleanprio_lib.training import train_epoch


def signals(settings: PracticeSettings, *, seed: int, split: data.Split) -> pd.DataFrame:
    r"""Train a net on noisy labels and record all that stopping rules read.

    Returns:
        A row for each `epoch`, from 0: the columns of `errors_and_losses`; `validation_error` and
        `validation_loss`, on held-out samples with noisy labels, and `validation_true_error`, their error on
        true ones; `changes`, the share of all training samples that are predicted otherwise than an epoch
        before, NaN at first; `disparity` and `scaled_disparity`, of `gradient_disparity`;
        `susceptibility_step`, of `random_label_step`; and `estimated_ratio`, of `estimated_ratio`.
    """
    problem = practice(settings, split, seed=seed)
    model = new_net(settings, problem.task, seed=seed)
    optimizer = SGD(
        model.parameters(), lr=settings.training.learning_rate, momentum=settings.training.momentum
    )
    generator = np.random.default_rng([seed, 4])
    rows, before = [], None
    for epoch in range(settings.training.epochs + 1):
        if epoch > 0:
            train_epoch(model, problem.task, optimizer, settings.training, epoch=epoch, seed=seed)
        logits = predict(model, problem.task.x)
        now = predicted(logits)
        rows.append(
            {
                "epoch": epoch,
                **errors_and_losses(model, problem.task, logits),
                **held_out_metrics(model, problem.validation),
                "changes": math.nan if before is None else float((now != before).double().mean()),
                **gradient_disparity(model, problem.task, settings, generator),
                "susceptibility_step": random_label_step(model, problem.probe, settings, generator),
                "estimated_ratio": estimated_ratio(logits, problem.task.given),
            }
        )
        before = now
    return pd.DataFrame(rows)


def errors_and_losses(model: nn.Module, task: Task, logits: Tensor) -> dict[str, float]:
    """Mean errors, losses and residuals of the subsets, as `metrics.subset_metrics`, from logits at hand.

    Args:
        model: for the test set.
        task: whose subsets.
        logits: (n, k) of all its training samples.

    Returns:
        `{clean,noisy,train,test}_{error,loss,residual}`, against given labels, of the test set true ones.
    """
    everyone = torch.ones_like(task.is_noisy)
    parts = {
        "clean": (logits, task.given, ~task.is_noisy),
        "noisy": (logits, task.given, task.is_noisy),
        "train": (logits, task.given, everyone),
        "test": (predict(model, task.x_test), task.y_test, torch.ones_like(task.y_test, dtype=torch.bool)),
    }
    kinds = {"error": sample_errors, "loss": sample_losses, "residual": sample_residuals}
    return {
        f"{part}_{kind}": float(of(found[own], labels[own]).double().mean())
        for part, (found, labels, own) in parts.items()
        for kind, of in kinds.items()
    }


def held_out_metrics(model: nn.Module, validation: Task) -> dict[str, float]:
    """`validation_error` and `validation_loss` against given labels, `validation_true_error` against true."""
    logits = predict(model, validation.x)
    return {
        "validation_error": float(sample_errors(logits, validation.given).double().mean()),
        "validation_loss": float(sample_losses(logits, validation.given).double().mean()),
        "validation_true_error": float(sample_errors(logits, validation.true).double().mean()),
    }


def gradient_disparity(
    model: nn.Module, task: Task, settings: PracticeSettings, generator: np.random.Generator
) -> dict[str, float]:
    r"""Mean distance $\lVert g_i - g_j\rVert_2$ between the gradients of several random batches.

    Args:
        model: its weights stay as they are.
        task: from whose training samples disjoint batches are drawn.
        settings: number and size of the batches.
        generator: draws them.

    Returns:
        `disparity`, of the batches' mean losses; and `scaled_disparity`, of these losses divided by the
        standard deviation of the losses in the batch.

    Source: equation 6 of Forouzesh and Thiran, ECML PKDD 2021, who rescale losses within each batch. That
    the divisor is this standard deviation, and that the batches are disjoint, is our reading.
    """
    size = settings.training.batch_size or len(task.x)
    drawn = torch.from_numpy(generator.permutation(len(task.x))[: settings.batches * size])
    found = [_gradient(model, task, batch) for batch in drawn.split(size)]
    pairs = list(combinations(found, 2))
    plain = [float((one - other).norm()) for (one, _), (other, _) in pairs]
    scaled = [float((one / a - other / b).norm()) for (one, a), (other, b) in pairs]
    return {"disparity": float(np.mean(plain)), "scaled_disparity": float(np.mean(scaled))}


def _gradient(model: nn.Module, task: Task, batch: Tensor) -> tuple[Tensor, Tensor]:
    """(p,) gradient of a batch's mean loss, and the standard deviation of its losses."""
    losses = sample_losses(model(task.x[batch]), task.given[batch])
    gradient = torch.autograd.grad(losses.mean(), list(model.parameters()))
    return torch.cat([part.flatten() for part in gradient]), losses.detach().std().clamp(min=1e-12)


def random_label_step(
    model: nn.Module, probe: Task, settings: PracticeSettings, generator: np.random.Generator
) -> float:
    r"""By how much one step of training on randomly labelled samples lowers the loss on them.

    Args:
        model: its weights are afterwards what they were, to the last bit.
        probe: held-out samples with random labels, from which a batch is drawn.
        settings: learning rate and batch size.
        generator: draws the batch.

    Source: $\tilde\Phi(w_t) - \tilde\Phi(\tilde w_{t+1})$ in the code of Forouzesh, Sedghi and Thiran, ICLR
    2023; its running mean is their susceptibility.
    """
    size = min(settings.training.batch_size or len(probe.x), len(probe.x))
    batch = torch.from_numpy(generator.permutation(len(probe.x))[:size])
    parameters = list(model.parameters())
    kept = [parameter.detach().clone() for parameter in parameters]
    loss = sample_losses(model(probe.x[batch]), probe.given[batch]).mean()
    steps = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for parameter, step in zip(parameters, steps, strict=True):
            parameter.sub_(step, alpha=settings.training.learning_rate)
        after = sample_losses(model(probe.x[batch]), probe.given[batch]).mean()
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
    return float(loss.detach() - after)


def estimated_ratio(logits: Tensor, labels: Tensor) -> float:
    r"""Clean by noisy gradient, as if the predicted classes were the true ones: geometric mean over classes.

    Of the samples predicted $c$ those with the label $c$ pass for clean, with the residuals $1 - f_c$ at
    their own logit, and the others for noisy, with $f_c$ there. With one $\nabla h_c$ for all of them the
    ratio is that of the sums of residuals. Classes for which one of the two sums is 0 are left out; NaN if
    all are.

    Args:
        logits: (n, k).
        labels: (n,) given labels.

    Source: beyond the paper; `theory.gradient_ratio` in means, relabelled by the net.
    """
    likely = probabilities(logits.double())
    classes = predicted(logits)
    own = likely.gather(1, classes[:, None])[:, 0]
    ratios = []
    for c in range(likely.shape[1]):
        agreeing = (classes == c) & (labels == c)
        clean, noisy = (1 - own)[agreeing].sum(), own[(classes == c) & ~agreeing].sum()
        if clean > 0 and noisy > 0:
            ratios.append(float(torch.log(clean / noisy)))
    return math.exp(float(np.mean(ratios))) if ratios else math.nan
