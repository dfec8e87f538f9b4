"""Judges of functions about errors, losses and residuals of samples, and what they tell of their labels."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cleanprio_lib.checks.judging import number, tensor, wrong_numbers, wrong_parts
from cleanprio_lib.checks.values import Inputs, Value

RIGHT = "the share that is right, and the error is the share that is wrong"
OF_ALL = "divided by the number of all samples, and a subset's own number is meant"


def judge_subset_errors(inputs: Inputs, output: Value) -> str | None:
    """Judge `subset_errors(f, given, true)`."""
    f, given, true = (tensor(inputs, name) for name in ("f", "given", "true"))
    noisy = given != true

    def errors(predicted: Tensor) -> dict[str, float]:
        wrong, untrue = (predicted != given).double(), (predicted != true).double()
        means = {"clean": wrong[~noisy], "noisy": wrong[noisy], "noisy_true": untrue[noisy], "train": wrong}
        return {name: float(values.mean()) for name, values in means.items()}

    right, share = errors((f > 0.5).long()), float(noisy.double().mean())
    shares = {"clean": 1 - share, "noisy": share, "noisy_true": share}
    unbounded = errors((f > 0).long())
    slips = {
        # First, as with two classes the noisy errors add up to one.
        "the error against the true labels: it is against the given ones": {"noisy": right["noisy_true"]},
        "the error against the given labels: it is against the true ones": {"noisy_true": right["noisy"]},
        RIGHT: {name: 1 - value for name, value in right.items()},
        OF_ALL: {name: right[name] * own for name, own in shares.items()},
        "made with f > 0: f is an output in (0, 1), and predicts class 1 where it is above 1/2": unbounded,
    }
    return wrong_parts(output, right, inputs, slips=slips)


def judge_cross_entropy(inputs: Inputs, output: Value) -> str | None:
    """Judge `cross_entropy(logits, labels)`."""
    logits, labels = tensor(inputs, "logits"), tensor(inputs, "labels")
    samples = F.cross_entropy(logits, labels, reduction="none")
    right, twice = samples.mean(), F.cross_entropy(logits.softmax(1), labels)
    spread = right / logits.shape[1]
    slips = {
        "the sum over the samples, and their mean is wanted": samples.sum(),
        "made with the softmax of a softmax: logits go in, and the softmax is taken once": twice,
        "the loss of the raw logits: the softmax is missing": F.nll_loss(logits, labels),
        "of the wrong sign": -right,
        "divided by the number of classes too: of a sample only the output at its label counts": spread,
        "made with a logarithm to the base 10": right / np.log(10),
        "not a number: take the largest logit away before the exponential; no softmax changes by it": np.nan,
        "infinite: take softmax and logarithm in one piece, so that no small output becomes zero": np.inf,
    }
    return wrong_numbers(output, right, inputs, slips=slips)


def judge_subset_metrics(inputs: Inputs, output: Value) -> str | None:
    """Judge `subset_metrics(logits, given, true)`."""
    logits, given, true = (tensor(inputs, name) for name in ("logits", "given", "true"))
    noisy, predicted, f = given != true, logits.argmax(1), logits.softmax(1)
    y, y_true = (F.one_hot(labels, logits.shape[1]) for labels in (given, true))
    wrong, untrue = (predicted != given).double(), (predicted != true).double()
    share = float(noisy.double().mean())

    def residuals(of: Tensor) -> dict[str, Tensor]:
        return {"clean_residual": of[~noisy].mean(), "noisy_residual": of[noisy].mean()}

    errors = {
        "clean_error": wrong[~noisy].mean(),
        "noisy_error": wrong[noisy].mean(),
        "noisy_true_error": untrue[noisy].mean(),
    }
    right = {**errors, **residuals((f - y).norm(dim=1))}
    shares = {name: 1 - share if name.startswith("clean") else share for name in right}
    of_mean = {f"{name}_residual": (f - y)[mask].mean(0).norm() for name, mask in _subsets(noisy)}
    sizes, squares = residuals((f - y).abs().sum(1)), residuals((f - y).norm(dim=1) ** 2)
    at_label, raw = residuals(1 - f.gather(1, given[:, None])[:, 0]), residuals((logits - y).norm(dim=1))
    slips = {
        RIGHT: {name: 1 - value for name, value in errors.items()},
        OF_ALL: {name: right[name] * own for name, own in shares.items()},
        "the error against the true labels: it is against the given ones": {
            "noisy_error": untrue[noisy].mean()
        },
        "the error against the given labels: it is against the true ones": {
            "noisy_true_error": wrong[noisy].mean()
        },
        "the sum of the sizes |f_c − y_c|, and the length of the vector f − y is wanted": sizes,
        "the squared length of f − y, and the length is wanted": squares,
        "1 − f at the label, and the length of the whole vector f − y is wanted": at_label,
        "made with the logits: the softmax is missing": raw,
        "against the true labels: residuals are against the given ones": residuals((f - y_true).norm(dim=1)),
        "the length of the mean of f − y: the length is taken of each sample, then the mean": of_mean,
    }
    return wrong_parts(output, right, inputs, slips=slips)


def _subsets(noisy: Tensor) -> tuple[tuple[str, Tensor], ...]:
    return ("clean", ~noisy), ("noisy", noisy)


def judge_suspects(inputs: Inputs, output: Value) -> str | None:
    """Judge `suspects(losses, given, level)`."""
    losses, given, level = np.asarray(inputs["losses"]), np.asarray(inputs["given"]), number(inputs, "level")
    right = suspected(losses, given, level)
    everywhere = np.zeros_like(right)
    everywhere[np.argsort(-losses)[: right.sum()]] = True
    slips = {
        "the mask of the smallest losses, and the largest are suspect": suspected(-losses, given, level),
        "the mask of the largest losses of all; wanted are those of each given class": everywhere,
        "the other way round: True marks a suspect": ~right,
    }
    different = {slip: mask for slip, mask in slips.items() if (mask != right).any()}
    return wrong_numbers(output, right, inputs, slips=different)


def suspected(losses: NDArray[np.float64], given: NDArray[np.int64], level: float) -> NDArray[np.bool_]:
    """(n,) mask of the round(level * n_c) largest losses of each given class."""
    mask = np.zeros(len(given), dtype=bool)
    for c in np.unique(given):
        members = np.flatnonzero(given == c)
        mask[members[np.argsort(-losses[members])[: round(level * len(members))]]] = True
    return mask
