"""Assignment 4: ten classes."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.checks.gallery import right, wrong

FIVE, HUNDREDS = "five samples, three classes", "logits in the hundreds"
SINGLE, FAR_BELOW = "one sample, ten classes", "logits far below zero"


@right("4.1")
def by_logsumexp(logits, labels):
    return (logits.logsumexp(dim=1) - logits[torch.arange(len(labels)), labels]).mean()


@right("4.1")
def by_hand(logits, labels):
    losses = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        top = max(row)
        losses.append(top + math.log(sum(math.exp(h - top) for h in row)) - row[label])
    return sum(losses) / len(losses)


@right("4.1")
def ready_made(logits, labels):
    return F.cross_entropy(logits.float(), labels)


@wrong("4.1", FIVE, HUNDREDS, words="sum over the samples")
def sum_for_mean(logits, labels):
    return F.cross_entropy(logits, labels, reduction="sum")


@wrong("4.1", FIVE, HUNDREDS, SINGLE, words="softmax of a softmax")
def softmax_first(logits, labels):
    return F.cross_entropy(logits.softmax(dim=1), labels)


@wrong("4.1", FIVE, SINGLE, FAR_BELOW, words="softmax is missing")
def loss_before_softmax(logits, labels):
    return -logits[torch.arange(len(labels)), labels].mean()


@wrong("4.1", HUNDREDS)
def logarithm_of_zero(logits, labels):
    return -logits.softmax(dim=1)[torch.arange(len(labels)), labels].log().mean()


@wrong("4.1", FAR_BELOW)
def nothing_taken_away(logits, labels):
    f = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    return -f[torch.arange(len(labels)), labels].log().mean()


@wrong("4.1", FIVE, words="number of classes")
def mean_over_classes_too(logits, labels):
    return -(logits.log_softmax(1) * F.one_hot(labels, logits.shape[1])).mean()


@wrong("4.1", FIVE, words="wrong sign")
def sign_lost(logits, labels):
    return -F.cross_entropy(logits, labels)


@wrong("4.1", FIVE)
def softmax_over_samples(logits, labels):
    return F.nll_loss(logits.log_softmax(dim=0), labels)


@wrong("4.1", FIVE, words="has shape (5,)")
def one_for_each_sample(logits, labels):
    return F.cross_entropy(logits, labels, reduction="none")


FOUR, HALF = "four classes, three labels in ten wrong", "ten classes, half of the labels wrong"
NONE_WRONG, ALL_WRONG = "no wrong label", "nothing but wrong labels"


@right("4.2")
def with_torch(logits, given, true):
    noisy = given != true
    predicted, residual = (
        logits.argmax(1),
        (logits.softmax(1) - F.one_hot(given, logits.shape[1])).norm(dim=1),
    )
    return {
        "clean_error": (predicted != given)[~noisy].float().mean(),
        "noisy_error": (predicted != given)[noisy].float().mean(),
        "noisy_true_error": (predicted != true)[noisy].float().mean(),
        "clean_residual": residual[~noisy].mean(),
        "noisy_residual": residual[noisy].mean(),
    }


@right("4.2")
def with_numpy(logits, given, true):
    logits, given, true = logits.numpy(), given.numpy(), true.numpy()
    f = np.exp(logits - logits.max(1, keepdims=True))
    f /= f.sum(1, keepdims=True)
    of = {"clean": given == true, "noisy": given != true}

    def mean(values):
        return values.sum() / len(values) if len(values) else np.nan

    found = {}
    for name, mask in of.items():
        y = np.eye(f.shape[1])[given[mask]]
        found[f"{name}_error"] = mean(f[mask].argmax(1) != given[mask])
        found[f"{name}_residual"] = mean(np.sqrt(((f[mask] - y) ** 2).sum(1)))
    found["noisy_true_error"] = mean(f[of["noisy"]].argmax(1) != true[of["noisy"]])
    return found


def with_residuals(residual_of):
    """Right errors, and residuals made of (outputs, labels as vectors, logits)."""

    def function(logits, given, true):
        noisy, y = given != true, F.one_hot(given, logits.shape[1])
        residual = residual_of(logits.softmax(1), y, logits)
        own = {"clean_residual": residual[~noisy].mean(), "noisy_residual": residual[noisy].mean()}
        return {**with_torch(logits, given, true), **own}

    return function


wrong("4.2", FOUR, HALF, words="sizes")(with_residuals(lambda f, y, h: (f - y).abs().sum(1)))
wrong("4.2", FOUR, HALF, words="squared")(with_residuals(lambda f, y, h: ((f - y) ** 2).sum(1)))
wrong("4.2", FOUR, NONE_WRONG, words="1 − f")(with_residuals(lambda f, y, h: 1 - (f * y).sum(1)))
wrong("4.2", FOUR, words="softmax is missing")(with_residuals(lambda f, y, h: (h - y).norm(dim=1)))
wrong("4.2", FOUR, ALL_WRONG)(with_residuals(lambda f, y, h: (f - y).norm()[None].expand(len(f))))


@wrong("4.2", FOUR, HALF, words="against the given ones")
def noisy_against_truth(logits, given, true):
    found = with_torch(logits, given, true)
    return {**found, "noisy_error": found["noisy_true_error"]}


@wrong("4.2", FOUR, HALF, words="against the given ones")
def residuals_against_truth(logits, given, true):
    noisy, y = given != true, F.one_hot(true, logits.shape[1])
    residual = (logits.softmax(1) - y).norm(dim=1)
    return {**with_torch(logits, given, true), "noisy_residual": residual[noisy].mean()}


@wrong("4.2", FOUR, words="is right")
def accuracies(logits, given, true):
    return {
        name: 1 - value if name.endswith("error") else value
        for name, value in with_torch(logits, given, true).items()
    }


@wrong("4.2", NONE_WRONG, ALL_WRONG)
def zero_for_nothing(logits, given, true):
    return {name: value.nan_to_num() for name, value in with_torch(logits, given, true).items()}


@wrong("4.2", FOUR, HALF, words="subset's own number")
def divided_by_all(logits, given, true):
    share = (given != true).double().mean()
    return {
        name: value * (1 - share if name.startswith("clean") else share)
        for name, value in with_torch(logits, given, true).items()
    }


THREE_LOGITS, SIX, DEEP = "each of three logits", "six classes, half of the labels wrong", "three layers"


def length(net, x, given, mask, c, *, moving=False, whole=False):
    logits = net(x[mask])
    residual = logits.softmax(1) - F.one_hot(given[mask], logits.shape[1])
    parts = (residual if moving else residual.detach()) * logits
    value = parts.sum() if whole else parts[:, c].sum()
    return torch.cat([part.flatten() for part in torch.autograd.grad(value, list(net.parameters()))]).norm()


@right("4.3")
def by_one_derivative(net, x, given, true, c):
    own = true == c
    return length(net, x, given, own & (given == c), c) / length(net, x, given, own & (given != c), c)


@right("4.3")
def sample_by_sample(net, x, given, true, c):
    sums = {True: 0.0, False: 0.0}
    for row, label, truth in zip(x, given.tolist(), true.tolist(), strict=True):
        if truth == c:
            logits = net(row[None])[0]
            residual = logits.softmax(0)[c].item() - (label == c)
            parts = torch.autograd.grad(logits[c], list(net.parameters()))
            sums[label == c] = sums[label == c] + residual * torch.cat([part.flatten() for part in parts])
    return (sums[True].norm() / sums[False].norm()).item()


@right("4.3")
def by_backward(net, x, given, true, c):
    lengths = []
    for mask in ((true == c) & (given == c), (true == c) & (given != c)):
        net.zero_grad()
        logits = net(x)
        residual = logits.detach().softmax(1)[:, c] - (given == c).to(logits.dtype)
        (mask * residual * logits[:, c]).sum().backward()
        lengths.append(sum((parameter.grad**2).sum() for parameter in net.parameters()) ** 0.5)
    return lengths[0] / lengths[1]


@wrong("4.3", THREE_LOGITS, DEEP, words="wrong way round")
def turned(net, x, given, true, c):
    return 1 / by_one_derivative(net, x, given, true, c)


@wrong("4.3", THREE_LOGITS, DEEP, words="two means")
def means_for_sums(net, x, given, true, c):
    own = true == c
    return by_one_derivative(net, x, given, true, c) * (own & (given != c)).sum() / (own & (given == c)).sum()


@wrong("4.3", THREE_LOGITS, DEEP, words="detach")
def residual_moves(net, x, given, true, c):
    own = true == c
    return length(net, x, given, own & (given == c), c, moving=True) / length(
        net, x, given, own & (given != c), c, moving=True
    )


@wrong("4.3", THREE_LOGITS, SIX, DEEP, words="whole loss")
def all_logits(net, x, given, true, c):
    own = true == c
    return length(net, x, given, own & (given == c), c, whole=True) / length(
        net, x, given, own & (given != c), c, whole=True
    )


@wrong("4.3", THREE_LOGITS, SIX, words="wrongly labelled c")
def labelled_into(net, x, given, true, c):
    clean, into = (true == c) & (given == c), (true != c) & (given == c)
    return length(net, x, given, clean, c) / length(net, x, given, into, c)


@wrong("4.3", THREE_LOGITS, SIX)
def all_noisy_samples(net, x, given, true, c):
    return length(net, x, given, (true == c) & (given == c), c) / length(net, x, given, given != true, c)


@wrong("4.3", THREE_LOGITS, words="work on a copy")
def takes_a_step(net, x, given, true, c):
    ratio = by_one_derivative(net, x, given, true, c)
    F.cross_entropy(net(x), given).backward()
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    return ratio


ONE, TWO = "one class", "two classes, one with larger losses"
SIZES, NOBODY, ALONE = "classes of different sizes", "nobody is suspected", "a class with a single sample"


def by_class(losses, given, level, *, count=round, pick=lambda order, k: order[len(order) - k :]):
    mask = np.zeros(len(losses), dtype=bool)
    for c in np.unique(given):
        members = np.flatnonzero(given == c)
        mask[members[pick(np.argsort(losses[members]), int(count(level * len(members))))]] = True
    return mask


@right("4.4")
def by_sorting(losses, given, level):
    return by_class(losses, given, level)


@right("4.4")
def by_a_threshold(losses, given, level):
    flags = []
    for loss, label in zip(losses, given, strict=True):
        own = sorted((other for other, k in zip(losses, given, strict=True) if k == label), reverse=True)
        flags.append(bool(loss in own[: round(level * len(own))]))
    return flags


@right("4.4")
def by_ranks(losses, given, level):
    same = given[:, None] == given[None, :]
    larger = (same & (losses[None, :] > losses[:, None])).sum(1)
    return torch.from_numpy(larger < np.round(level * same.sum(1)))


@wrong("4.4", ONE, TWO, words="smallest")
def smallest(losses, given, level):
    return by_class(-losses, given, level)


@wrong("4.4", TWO, words="of each given class")
def over_all_classes(losses, given, level):
    return by_class(losses, np.zeros_like(given), level)


@wrong("4.4", ONE, words="other way round")
def trusted(losses, given, level):
    return ~by_class(losses, given, level)


@wrong("4.4", ONE, TWO, words="shape")
def indices(losses, given, level):
    return np.flatnonzero(by_class(losses, given, level))


@wrong("4.4", SIZES, ALONE)
def rounds_down(losses, given, level):
    return by_class(losses, given, level, count=math.floor)


@wrong("4.4", SIZES)
def rounds_up(losses, given, level):
    return by_class(losses, given, level, count=math.ceil)


@wrong("4.4", NOBODY)
def all_when_none(losses, given, level):
    return by_class(losses, given, level, pick=lambda order, k: order[-k:])


@wrong("4.4", TWO)
def above_the_mean(losses, given, level):
    return losses > losses.mean()


@wrong("4.4", ONE, words="work on a copy")
def sorts_in_place(losses, given, level):
    mask = by_class(losses, given, level)
    losses.sort()
    return mask
