"""Judges of functions about gradients: of samples, of subsets, at one logit; and of the residuals in them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cleanprio_lib.checks.judges.angles import derivatives
from cleanprio_lib.checks.judging import (
    as_array,
    net_of,
    number,
    tensor,
    unlike_numbers,
    wrong_numbers,
    wrong_parts,
)
from cleanprio_lib.checks.values import Inputs, Value, words, words_of_inputs


def judge_sample_gradients(inputs: Inputs, output: Value) -> str | None:
    """Judge `sample_gradients(net, x, y)`."""
    net, x, y = net_of(inputs), tensor(inputs, "x"), tensor(inputs, "y")
    rows, h = derivatives(net, x), net(x).detach()
    f, labels = h.sigmoid(), y.to(x.dtype)[:, None]
    right = (f - labels) * rows
    squared = f * (1 - f) * right
    slips = {
        "turned round: it must be f − y times the derivative, and not y − f": -right,
        "made with the logit h where the output f = 1/(1 + exp(−h)) is meant": (h - labels) * rows,
        "the gradient of a squared error: with the logistic loss the factor f(1 − f) cancels": squared,
        "the gradient of the mean over the samples: do not divide by their number": right / len(x),
        "the derivative without the label: the factor f − y is missing": rows,
    }
    return wrong_numbers(output, right, inputs, slips=slips)


def judge_subset_sums(inputs: Inputs, output: Value) -> str | None:
    """Judge `subset_sums(gradients, true, given, c)`."""
    gradients, true, given = (tensor(inputs, name) for name in ("gradients", "true", "given"))
    own, wrong = true == inputs["c"], given != true
    masks = {"clean": own & ~wrong, "noisy": own & wrong, "other": ~own & ~wrong}
    right = {name: gradients[mask].sum(0) for name, mask in masks.items()}
    means = {name: gradients[mask].mean(0) for name, mask in masks.items()}
    into = {"noisy": gradients[(given == inputs["c"]) & wrong].sum(0)}
    whole, others = {"clean": gradients[own].sum(0)}, {"other": gradients[~own].sum(0)}
    slips = {
        "a mean, and the sum is wanted": means,
        "the sum over the samples that are wrongly labelled c; wanted are samples of true class c": into,
        "the sum over all samples of the class: leave out those with a wrong label": whole,
        "the sum over all samples of other classes: leave out those with a wrong label": others,
    }
    return wrong_parts(output, right, inputs, slips=slips)


def judge_residuals(inputs: Inputs, output: Value) -> str | None:
    """Judge `residuals(logits, labels)`."""
    logits, labels = tensor(inputs, "logits"), tensor(inputs, "labels")
    y, f = F.one_hot(labels, logits.shape[1]), logits.softmax(1)
    slips = {
        "turned round: f − y is wanted, and not y − f": y - f,
        "made with logits where the outputs f are meant: the softmax is missing": logits - y,
        "made with a sigmoid of each logit: with more than two classes f is the softmax": logits.sigmoid()
        - y,
        "made with the softmax over samples: it is over the classes of one sample": logits.softmax(0) - y,
        "the output alone: the label is missing": f,
    }
    return wrong_numbers(output, f - y, inputs, slips=slips)


def judge_row_sums(inputs: Inputs, output: Value) -> str | None:
    """Judge `residuals` by the sums over its rows."""
    at, shape = words_of_inputs(inputs), tuple(tensor(inputs, "logits").shape)
    if unlike_numbers(output) or as_array(output).shape != shape:
        return f"for {at}: it returned {words(output)}, and shape {shape} is wanted"
    rows = as_array(output)
    sums = rows.sum(1)
    if np.abs(sums).max() < 1e-4 and np.abs(rows).max() > 1e-4:
        return None
    worst = sums[np.abs(sums).argmax()]
    return (
        f"for {at}: a row adds up to {worst:.4g}; outputs add up to 1 and so does y, so residuals add up to "
        "0, without all being 0"
    )


def judge_logit_ratio(inputs: Inputs, output: Value) -> str | None:
    """Judge `logit_ratio(net, x, given, true, c)`."""
    own, called = (tensor(inputs, name).eq(number(inputs, "c")) for name in ("true", "given"))
    clean, noisy, into = own & called, own & ~called, ~own & called
    right = _length(inputs, clean) / _length(inputs, noisy)
    whole = _length(inputs, clean, whole=True) / _length(inputs, noisy, whole=True)
    moving = _length(inputs, clean, moving=True) / _length(inputs, noisy, moving=True)
    unweighted = _length(inputs, clean, weighted=False) / _length(inputs, noisy, weighted=False)
    # Perhaps nobody is wrongly labelled c.
    labelled = _length(inputs, clean) / _length(inputs, into) if into.any() else np.inf
    slips = {
        "the wrong way round: the clean length is divided by the noisy one": 1 / right,
        "the ratio of two means, and subset gradients are sums": right * float(noisy.sum() / clean.sum()),
        "made with the gradient of the whole loss: at logit c only its own part counts": whole,
        "made with the samples wrongly labelled c: noisy are samples of true class c": labelled,
        "made with the derivative of (f − y) h, in which f moves too: `detach` the residual": moving,
        "made without the residuals: each derivative counts with its weight f − y": unweighted,
        "the square of the ratio": right**2,
    }
    different = {slip: ratio for slip, ratio in slips.items() if abs(ratio / right - 1) > 1e-3}
    return wrong_numbers(output, right, inputs, slips=different)


def _length(
    inputs: Inputs, mask: Tensor, *, whole: bool = False, moving: bool = False, weighted: bool = True
) -> float:
    """Length of a subset's gradient at logit c, or of one that makes a known mistake."""
    net, x, given = net_of(inputs), tensor(inputs, "x"), tensor(inputs, "given")
    c = int(number(inputs, "c"))
    logits = net(x)[mask]
    weights = logits.softmax(1) - F.one_hot(given[mask], logits.shape[1])
    weights = weights if moving else weights.detach()
    parts = logits * (weights if weighted else 1.0)
    rows = torch.autograd.grad(parts.sum() if whole else parts[:, c].sum(), list(net.parameters()))
    return float(torch.cat([row.flatten() for row in rows]).norm())


def judge_dominance(inputs: Inputs, output: Value) -> str | None:
    """Judge `dominance(clean, noisy)`."""
    clean, noisy = tensor(inputs, "clean"), tensor(inputs, "noisy")
    ratio, inner = clean.norm() / noisy.norm(), clean @ noisy
    cosine, alpha = inner / (clean.norm() * noisy.norm()), -inner / clean.norm() ** 2
    exchanged = {"alpha": -inner / noisy.norm() ** 2}
    slips = {
        "the wrong way round: the clean length is divided by the noisy one": {"ratio": 1 / ratio},
        "the ratio of the squared lengths": {"ratio": ratio**2},
        "of the wrong sign: α is positive where the two are opposite": {"alpha": -alpha},
        "the ratio of the two lengths, which is α only if they are exactly opposite": {"alpha": 1 / ratio},
        "the multiple of −g_noise that comes closest to g_clean: the two are exchanged": exchanged,
        "the cosine's size without its sign": {"cosine": cosine.abs()},
        "the angle, and its cosine is wanted": {"cosine": cosine.clamp(-1, 1).arccos()},
    }
    return wrong_parts(output, {"ratio": ratio, "cosine": cosine, "alpha": alpha}, inputs, slips=slips)
