"""Assignment 3: binary dynamics."""

import copy

import numpy as np
import torch
import torch.nn.functional as F

from tests.checks.gallery import right, wrong

FIFTY, LOW = "fifty samples, nineteen of them noisy", "outputs that all lie below one half"
NO_NOISE, FEW_CLEAN, HIGH = "no noisy sample", "hardly a clean sample", "outputs that all lie above one half"


@right("3.1")
def with_torch(f, given, true):
    predicted, noisy = (f > 0.5).long(), given != true
    return {
        "clean": (predicted != given)[~noisy].double().mean(),
        "noisy": (predicted != given)[noisy].double().mean(),
        "noisy_true": (predicted != true)[noisy].double().mean(),
        "train": (predicted != given).double().mean(),
    }


@right("3.1")
def by_counting(f, given, true):
    def share(pairs):
        pairs = list(pairs)
        return sum(round(output) != label for output, label in pairs) / len(pairs) if pairs else float("nan")

    rows = list(zip(f.tolist(), given.tolist(), true.tolist(), strict=True))
    return {
        "clean": share((o, g) for o, g, t in rows if g == t),
        "noisy": share((o, g) for o, g, t in rows if g != t),
        "noisy_true": share((o, t) for o, g, t in rows if g != t),
        "train": share((o, g) for o, g, t in rows),
    }


@wrong("3.1", FIFTY, FEW_CLEAN, words="against the given ones")
def noisy_against_truth(f, given, true):
    errors = with_torch(f, given, true)
    return {**errors, "noisy": errors["noisy_true"]}


@wrong("3.1", FIFTY, words="is right")
def accuracy(f, given, true):
    return {name: 1 - value for name, value in with_torch(f, given, true).items()}


@wrong("3.1", FIFTY, LOW, FEW_CLEAN, words="subset's own number")
def divided_by_all(f, given, true):
    errors, share = with_torch(f, given, true), (given != true).double().mean()
    shares = {"clean": 1 - share, "noisy": share, "noisy_true": share, "train": 1.0}
    return {name: value * shares[name] for name, value in errors.items()}


@wrong("3.1", LOW, words="f > 0")
def output_for_logit(f, given, true):
    return with_torch((f > 0).double(), given, true)


@wrong("3.1", FIFTY, FEW_CLEAN, words="train")
def train_as_mean_of_two(f, given, true):
    errors = with_torch(f, given, true)
    return {**errors, "train": (errors["clean"] + errors["noisy"]) / 2}


@wrong("3.1", NO_NOISE)
def zero_for_nothing(f, given, true):
    return {
        name: torch.nan_to_num(torch.as_tensor(value)) for name, value in with_torch(f, given, true).items()
    }


@wrong("3.1", NO_NOISE, words="division by zero")
def division_by_zero(f, given, true):
    noisy = (given != true).tolist()
    wrong_ones = ((f > 0.5).long() != given).tolist()
    count = sum(bad for bad, own in zip(wrong_ones, noisy, strict=True) if own)
    return {**with_torch(f, given, true), "noisy": count / sum(noisy)}


@wrong("3.1", HIGH)
def always_zero(f, given, true):
    return with_torch(torch.zeros_like(f), given, true)


@wrong("3.1", FIFTY, words="missing is noisy_true")
def one_forgotten(f, given, true):
    errors = with_torch(f, given, true)
    del errors["noisy_true"]
    return errors


WHOLE, THREE = "all samples in one batch", "three batches, in the given order"
SHORT, SINGLE, ALL = (
    "a last batch that is shorter",
    "a batch for each sample, three layers",
    "batches larger than the training set",
)


def outputs(net, x):
    with torch.no_grad():
        return net(x)[:, 0].sigmoid()


def epoch(net, x, y, order, learning_rate, batch_size, *, loss_of=None, optimizer=None, clear=True):
    """A right epoch but for what is handed in."""
    loss_of = loss_of or F.binary_cross_entropy_with_logits
    optimizer = optimizer or torch.optim.SGD(net.parameters(), lr=learning_rate)
    for batch in order.split(batch_size):
        if clear:
            optimizer.zero_grad()
        loss_of(net(x[batch])[:, 0], y[batch].to(x.dtype)).backward()
        optimizer.step()
    return outputs(net, x)


@right("3.2")
def with_the_optimizer(net, x, y, order, learning_rate, batch_size):
    return epoch(net, x, y, order, learning_rate, batch_size)


@right("3.2")
def by_hand(net, x, y, order, learning_rate, batch_size):
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        f = net(x[batch])[:, 0].sigmoid()
        loss = F.binary_cross_entropy(f, y[batch].to(f.dtype))
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                parameter -= learning_rate * gradient
    return net(x).squeeze(1).sigmoid().detach().numpy()


@right("3.2")
def by_equation_5(net, x, y, order, learning_rate, batch_size):
    for batch in torch.split(order, batch_size):
        h = net(x[batch])[:, 0]
        residual = (h.sigmoid() - y[batch]).detach()
        net.zero_grad()
        ((residual * h).sum() / len(batch)).backward()
        for parameter in net.parameters():
            parameter.data -= learning_rate * parameter.grad
    return outputs(net, x)


@wrong("3.2", WHOLE, THREE, SHORT, ALL, words="sum of a batch's losses")
def sum_for_mean(net, x, y, order, learning_rate, batch_size):
    def loss_of(h, labels):
        return F.binary_cross_entropy_with_logits(h, labels, reduction="sum")

    return epoch(net, x, y, order, learning_rate, batch_size, loss_of=loss_of)


@wrong("3.2", WHOLE, THREE, SINGLE, words="sigmoid too many")
def sigmoid_twice(net, x, y, order, learning_rate, batch_size):
    def loss_of(h, labels):
        return F.binary_cross_entropy_with_logits(h.sigmoid(), labels)

    return epoch(net, x, y, order, learning_rate, batch_size, loss_of=loss_of)


@wrong("3.2", THREE, SHORT, SINGLE, words="cleared")
def never_cleared(net, x, y, order, learning_rate, batch_size):
    return epoch(net, x, y, order, learning_rate, batch_size, clear=False)


@wrong("3.2", THREE, SHORT, words="order")
def in_the_order_of_x(net, x, y, order, learning_rate, batch_size):
    return epoch(net, x, y, torch.arange(len(x)), learning_rate, batch_size)


@wrong("3.2", THREE, SHORT, SINGLE, words="one step on all samples")
def one_step(net, x, y, order, learning_rate, batch_size):
    return epoch(net, x, y, order, learning_rate, len(x))


@wrong("3.2", SHORT, words="shorter batch")
def last_batch_left_out(net, x, y, order, learning_rate, batch_size):
    whole = max(len(order) // batch_size, 1) * batch_size
    return epoch(net, x, y, order[:whole], learning_rate, batch_size)


@wrong("3.2", WHOLE, THREE, words="before the epoch")
def outputs_from_before(net, x, y, order, learning_rate, batch_size):
    before = outputs(net, x)
    epoch(net, x, y, order, learning_rate, batch_size)
    return before


@wrong("3.2", WHOLE, words="before the epoch")
def a_copy_is_trained(net, x, y, order, learning_rate, batch_size):
    epoch(copy.deepcopy(net), x, y, order, learning_rate, batch_size)
    return outputs(net, x)


@wrong("3.2", WHOLE, THREE, words="logit")
def logits_returned(net, x, y, order, learning_rate, batch_size):
    return epoch(net, x, y, order, learning_rate, batch_size).logit()


@wrong("3.2", THREE, SHORT)
def outputs_on_the_way(net, x, y, order, learning_rate, batch_size):
    f = torch.empty(len(x), dtype=x.dtype)
    for batch in order.split(batch_size):
        f[batch] = outputs(net, x[batch])
        epoch(net, x[batch], y[batch], torch.arange(len(batch)), learning_rate, len(batch))
    return f


@wrong("3.2", THREE, SHORT, SINGLE)
def outputs_in_the_batches_order(net, x, y, order, learning_rate, batch_size):
    return epoch(net, x, y, order, learning_rate, batch_size)[order]


@wrong("3.2", THREE, SINGLE)
def with_momentum(net, x, y, order, learning_rate, batch_size):
    optimizer = torch.optim.SGD(net.parameters(), lr=learning_rate, momentum=0.9)
    return epoch(net, x, y, order, learning_rate, batch_size, optimizer=optimizer)


@wrong("3.2", WHOLE, words="uphill")
def uphill(net, x, y, order, learning_rate, batch_size):
    return epoch(
        net,
        x,
        y,
        order,
        learning_rate,
        batch_size,
        loss_of=lambda *of: -F.binary_cross_entropy_with_logits(*of),
    )


@wrong("3.2", SHORT, ALL)
def divided_by_the_full_size(net, x, y, order, learning_rate, batch_size):
    def loss_of(h, labels):
        return F.binary_cross_entropy_with_logits(h, labels, reduction="sum") / batch_size

    return epoch(net, x, y, order, learning_rate, batch_size, loss_of=loss_of)


OPPOSITE, OBTUSE = "opposite arrows", "arrows at an obtuse angle"
MANY, ACUTE = (
    "many weights, at a right angle and a little more",
    "the noisy gradient longer, at an acute angle",
)


@right("3.3")
def dominance(clean, noisy):
    return {
        "ratio": clean.norm() / noisy.norm(),
        "cosine": torch.cosine_similarity(clean, noisy, dim=0),
        "alpha": -(noisy @ clean) / (clean @ clean),
    }


@right("3.3")
def dominance_in_numpy(clean, noisy):
    g, n = clean.numpy(), noisy.numpy()
    ratio = np.sqrt((g**2).sum() / (n**2).sum())
    cosine = (g * n).sum() / np.sqrt((g**2).sum() * (n**2).sum())
    return {"ratio": ratio, "cosine": cosine, "alpha": -cosine / ratio}


@wrong("3.3", OPPOSITE, MANY, words="wrong way round")
def ratio_turned(clean, noisy):
    return {**dominance(clean, noisy), "ratio": noisy.norm() / clean.norm()}


@wrong("3.3", OBTUSE, words="wrong sign")
def alpha_without_minus(clean, noisy):
    return {**dominance(clean, noisy), "alpha": noisy @ clean / (clean @ clean)}


@wrong("3.3", OBTUSE, MANY, ACUTE, words="exactly opposite")
def alpha_by_lengths(clean, noisy):
    return {**dominance(clean, noisy), "alpha": noisy.norm() / clean.norm()}


@wrong("3.3", OPPOSITE, words="exchanged")
def alpha_by_the_noisy(clean, noisy):
    return {**dominance(clean, noisy), "alpha": -(noisy @ clean) / (noisy @ noisy)}


@wrong("3.3", OPPOSITE, OBTUSE, words="without its sign")
def cosine_without_sign(clean, noisy):
    return {**dominance(clean, noisy), "cosine": torch.cosine_similarity(clean, noisy, dim=0).abs()}


@wrong("3.3", OBTUSE, words="squared lengths")
def squared_lengths(clean, noisy):
    return {**dominance(clean, noisy), "ratio": (clean @ clean) / (noisy @ noisy)}


@wrong("3.3", OBTUSE, ACUTE, words="its cosine is wanted")
def angle_for_cosine(clean, noisy):
    found = dominance(clean, noisy)
    return {**found, "cosine": found["cosine"].arccos()}


DOWN, BUMP = "down and up again", "a bump shorter than the patience"
VALLEY, TWICE, FALLING = (
    "a second valley after the stop",
    "the lowest error twice",
    "an error that still falls at the end",
)


def walk(curve, patience, *, lower=lambda new, old: new < old, enough=lambda age, patience: age >= patience):
    best = 0
    for now in range(len(curve)):
        best = now if lower(curve[now], curve[best]) else best
        if enough(now - best, patience):
            return best, now
    return best, len(curve) - 1


@right("3.4")
def by_walking(curves, patience):
    return walk(curves["validation_error"], patience)[0]


@right("3.4")
def by_arrays(curves, patience):
    curve = np.asarray(curves["validation_error"])
    best = np.array([curve[: now + 1].argmin() for now in range(len(curve))])
    old = np.flatnonzero(np.arange(len(curve)) - best >= patience)
    return best[old[0]] if len(old) else best[-1]


@right("3.4")
def by_recursion(curves, patience):
    curve = list(curves["validation_error"])

    def from_here(best):
        nearby = curve[best + 1 : best + 1 + patience]
        lower = [k for k, error in enumerate(nearby) if error < curve[best]]
        return from_here(best + 1 + lower[0]) if lower else best

    return from_here(0)


@wrong("3.4", DOWN, BUMP, VALLEY, words="clean labels")
def lowest_test_error(curves, patience):
    return int(np.argmin(curves["test_error"]))


@wrong("3.4", DOWN, BUMP, words="clean labels")
def patience_on_the_test_set(curves, patience):
    return walk(curves["test_error"], patience)[0]


@wrong("3.4", DOWN, BUMP, words="training error")
def lowest_training_error(curves, patience):
    return int(np.argmin(curves["train_error"]))


@wrong("3.4", DOWN, BUMP, words="where training stops")
def epoch_of_the_stop(curves, patience):
    return walk(curves["validation_error"], patience)[1]


@wrong("3.4", VALLEY, words="never seen")
def lowest_of_all(curves, patience):
    return int(np.argmin(curves["validation_error"]))


@wrong("3.4", BUMP, words="patience waits")
def first_rise(curves, patience):
    return int(np.argmax(np.diff(curves["validation_error"]) > 0))


@wrong("3.4", TWICE, words="equally low")
def latest_of_equals(curves, patience):
    return walk(curves["validation_error"], patience, lower=lambda new, old: new <= old)[0]


@wrong("3.4", VALLEY)
def one_epoch_too_patient(curves, patience):
    return walk(curves["validation_error"], patience, enough=lambda age, patience: age > patience)[0]


@wrong("3.4", BUMP)
def one_epoch_too_hasty(curves, patience):
    return walk(curves["validation_error"], patience, enough=lambda age, patience: age >= patience - 1)[0]


@wrong("3.4", DOWN, BUMP, FALLING)
def counted_from_one(curves, patience):
    return walk(curves["validation_error"], patience)[0] + 1


@wrong("3.4", FALLING, words="return")
def only_if_it_stops(curves, patience):
    best, now = walk(curves["validation_error"], patience)
    return best if now - best >= patience else None
