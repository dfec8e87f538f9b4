"""Assignment 2: noise and gradients."""

import numpy as np
import torch
import torch.nn.functional as F

from cleanprio_lib import noise
from tests.checks.gallery import right, wrong
from tests.checks.gallery_1 import by_backward as arrows
from tests.checks.gallery_1 import flat

COUNTS, SEEDS, KEPT = (
    "so many wrong labels in each class",
    "a seed, the same again, and another",
    "the true labels are still there",
)
ROUNDED, ENDS, EVEN, ANYWHERE = (
    "classes of which no whole number is three tenths",
    "no noise, and nothing but noise",
    "each wrong label as often as another",
    "samples chosen anywhere in their class",
)


def others(generator, c, num_classes, size):
    return (c + generator.integers(1, num_classes, size=size)) % num_classes


@right("2.1")
def by_the_library(labels, level, num_classes, seed):
    return noise.uniform(labels, level, num_classes=num_classes, seed=seed).given


@right("2.1")
def sample_by_sample(labels, level, num_classes, seed):
    generator = np.random.default_rng(seed)
    given = [int(label) for label in labels]
    for c in range(num_classes):
        members = [i for i, label in enumerate(labels) if label == c]
        generator.shuffle(members)
        for i in members[: round(level * len(members))]:
            given[i] = int(generator.choice([k for k in range(num_classes) if k != c]))
    return given


@right("2.1")
def with_torch(labels, level, num_classes, seed):
    generator = torch.Generator().manual_seed(seed)
    given = torch.tensor(labels)
    for c in range(num_classes):
        members = torch.from_numpy(np.flatnonzero(labels == c))
        order = torch.randperm(len(members), generator=generator)
        chosen = members[order[: round(level * len(members))]]
        steps = torch.randint(1, num_classes, (len(chosen),), generator=generator)
        given[chosen] = (c + steps) % num_classes
    return given


@wrong("2.1", COUNTS, ROUNDED, words="its own true label")
def true_label_redrawn(labels, level, num_classes, seed):
    generator, given = np.random.default_rng(seed), labels.copy()
    for c in range(num_classes):
        members = np.flatnonzero(labels == c)
        chosen = generator.choice(members, round(level * len(members)), replace=False)
        given[chosen] = generator.integers(num_classes, size=len(chosen))
    return given


@wrong("2.1", COUNTS, words="must be right in each")
def over_all_classes(labels, level, num_classes, seed):
    generator, given = np.random.default_rng(seed), labels.copy()
    chosen = generator.choice(len(labels), round(level * len(labels)), replace=False)
    given[chosen] = others(generator, labels[chosen], num_classes, len(chosen))
    return given


@wrong("2.1", COUNTS)
def each_by_a_coin(labels, level, num_classes, seed):
    generator = np.random.default_rng(seed)
    heads = generator.random(len(labels)) < level
    return np.where(heads, others(generator, labels, num_classes, len(labels)), labels)


@wrong("2.1", EVEN, words="should get about")
def always_the_next_class(labels, level, num_classes, seed):
    generator, given = np.random.default_rng(seed), labels.copy()
    for c in range(num_classes):
        members = np.flatnonzero(labels == c)
        given[generator.choice(members, round(level * len(members)), replace=False)] = (c + 1) % num_classes
    return given


@wrong("2.1", EVEN)
def one_wrong_label_a_class(labels, level, num_classes, seed):
    generator, given = np.random.default_rng(seed), labels.copy()
    for c in range(num_classes):
        members = np.flatnonzero(labels == c)
        chosen = generator.choice(members, round(level * len(members)), replace=False)
        given[chosen] = others(generator, c, num_classes, 1)
    return given


@wrong("2.1", SEEDS, words="is the seed used")
def seed_ignored(labels, level, num_classes, seed):
    return by_the_library(labels, level, num_classes, 0)


@wrong("2.1", SEEDS, words="generator that all code shares")
def global_seed(labels, level, num_classes, seed):
    np.random.seed(seed)  # noqa: NPY002
    given = labels.copy()
    for c in range(num_classes):
        chosen = np.random.permutation(np.flatnonzero(labels == c))[: round(level * (labels == c).sum())]  # noqa: NPY002
        given[chosen] = (c + np.random.randint(1, num_classes, len(chosen))) % num_classes  # noqa: NPY002
    return given


@wrong("2.1", SEEDS, words="called twice")
def new_every_time(labels, level, num_classes, seed):
    return by_the_library(labels, level, num_classes, np.random.SeedSequence().entropy)


@wrong("2.1", KEPT, words="work on a copy")
def in_place(labels, level, num_classes, seed):
    labels[:] = by_the_library(labels, level, num_classes, seed)
    return labels


@wrong("2.1", ROUNDED, words="rounded down")
def rounds_down(labels, level, num_classes, seed):
    generator, given = np.random.default_rng(seed), labels.copy()
    for c in range(num_classes):
        members = np.flatnonzero(labels == c)
        # 0.3 * 100 is 30 and a little less: not this mistake.
        chosen = generator.choice(members, int(level * len(members) + 1e-9), replace=False)
        given[chosen] = others(generator, c, num_classes, len(chosen))
    return given


@wrong("2.1", ANYWHERE, words="first half")
def the_first_of_each_class(labels, level, num_classes, seed):
    generator, given = np.random.default_rng(seed), labels.copy()
    for c in range(num_classes):
        chosen = np.flatnonzero(labels == c)[: round(level * (labels == c).sum())]
        given[chosen] = others(generator, c, num_classes, len(chosen))
    return given


@wrong("2.1", COUNTS, ENDS)
def drawn_with_replacement(labels, level, num_classes, seed):
    generator, given = np.random.default_rng(seed), labels.copy()
    for c in range(num_classes):
        members = np.flatnonzero(labels == c)
        chosen = generator.choice(members, round(level * len(members)))
        given[chosen] = others(generator, c, num_classes, len(chosen))
    return given


@wrong("2.1", COUNTS, words="shape")
def only_the_changed_ones(labels, level, num_classes, seed):
    given = by_the_library(labels, level, num_classes, seed)
    return given[given != labels]


FIVE, BOTH = "five samples", "one input with both labels"
SURE, DECIMAL, SINGLE = (
    "outputs near 0 and 1",
    "three layers, labels as decimal numbers",
    "a single sample",
)


@right("2.2")
def by_equation_5(net, x, y):
    return (torch.sigmoid(net(x)).detach() - y.reshape(-1, 1)) * arrows(net, x)


@right("2.2")
def by_each_loss(net, x, y):
    rows = []
    for row, label in zip(x, y, strict=True):
        loss = F.binary_cross_entropy_with_logits(net(row[None])[0, 0], label.to(x.dtype))
        rows.append(flat(torch.autograd.grad(loss, list(net.parameters()))))
    return torch.stack(rows)


@right("2.2")
def by_the_logarithms(net, x, y):
    rows = []
    for row, label in zip(x, y.tolist(), strict=True):
        h = net(row[None])[0, 0]
        loss = -label * F.logsigmoid(h) - (1 - label) * F.logsigmoid(-h)
        rows.append(flat(torch.autograd.grad(loss, list(net.parameters()))))
    return torch.stack(rows)


@wrong("2.2", FIVE, BOTH, words="turned round")
def y_minus_f(net, x, y):
    return -by_equation_5(net, x, y)


@wrong("2.2", FIVE, words="mean over the samples")
def mean_over_samples(net, x, y):
    return by_equation_5(net, x, y) / len(x)


@wrong("2.2", FIVE, BOTH, SINGLE, words="logit h")
def logit_for_output(net, x, y):
    return (net(x).detach() - y[:, None]) * arrows(net, x)


@wrong("2.2", FIVE, SURE, words="squared error")
def squared_loss(net, x, y):
    f = net(x).detach().sigmoid()
    return f * (1 - f) * (f - y[:, None]) * arrows(net, x)


@wrong("2.2", BOTH, words="label")
def without_the_label(net, x, y):
    return arrows(net, x)


@wrong("2.2", FIVE, words="shape")
def of_all_samples(net, x, y):
    return by_equation_5(net, x, y).sum(0)


@wrong("2.2", DECIMAL)
def whole_labels_only(net, x, y):
    return (net(x).detach().sigmoid() - F.one_hot(y, 2)[:, 1:]) * arrows(net, x)


@wrong("2.2", FIVE, DECIMAL)
def loss_of_the_output_as_logit(net, x, y):
    rows = []
    for row, label in zip(x, y, strict=True):
        loss = F.binary_cross_entropy_with_logits(net(row[None])[0, 0].sigmoid(), label.to(x.dtype))
        rows.append(flat(torch.autograd.grad(loss, list(net.parameters()))))
    return torch.stack(rows)


TWO_CLASSES, FOUR_CLASSES, NO_NOISE = "two classes", "four classes", "a class without a wrong label"


@right("2.3")
def by_masks(gradients, true, given, c):
    own, fine = true == c, given == true
    masks = {"clean": own & fine, "noisy": own & ~fine, "other": ~own & fine}
    return {name: gradients[mask].sum(dim=0) for name, mask in masks.items()}


@right("2.3")
def one_by_one(gradients, true, given, c):
    sums = {
        name: torch.zeros(gradients.shape[1], dtype=gradients.dtype) for name in ("clean", "noisy", "other")
    }
    for gradient, truth, label in zip(gradients, true.tolist(), given.tolist(), strict=True):
        if truth == c:
            sums["clean" if label == c else "noisy"] += gradient
        elif label == truth:
            sums["other"] += gradient
    return sums


@right("2.3")
def by_a_product(gradients, true, given, c):
    weights = torch.stack(
        [(true == c) & (given == c), (true == c) & (given != c), (true != c) & (given == true)]
    )
    clean, noisy, other = weights.to(gradients.dtype) @ gradients
    return {"clean": clean, "noisy": noisy, "other": other}


def with_masks(clean, noisy, other, how="sum"):
    def function(gradients, true, given, c):
        masks = {
            "clean": clean(true, given, c),
            "noisy": noisy(true, given, c),
            "other": other(true, given, c),
        }
        return {name: getattr(gradients[mask], how)(dim=0) for name, mask in masks.items()}

    return function


def clean(true, given, c):
    return (true == c) & (given == c)


def noisy(true, given, c):
    return (true == c) & (given != c)


def other(true, given, c):
    return (true != c) & (given == true)


wrong("2.3", TWO_CLASSES, FOUR_CLASSES, NO_NOISE, words="mean")(with_masks(clean, noisy, other, "mean"))
wrong("2.3", TWO_CLASSES, FOUR_CLASSES, words="wrongly labelled c")(
    with_masks(clean, lambda true, given, c: (given == c) & (true != c), other)
)
wrong("2.3", TWO_CLASSES, words="leave out")(with_masks(lambda true, given, c: true == c, noisy, other))
wrong("2.3", TWO_CLASSES, FOUR_CLASSES, NO_NOISE, words="leave out")(
    with_masks(clean, noisy, lambda true, given, c: true != c)
)
wrong("2.3", TWO_CLASSES)(with_masks(noisy, clean, other))
wrong("2.3", FOUR_CLASSES)(with_masks(clean, noisy, lambda true, given, c: (given != c) & (true != c)))
wrong("2.3", TWO_CLASSES, words="dict is wanted")(lambda **inputs: tuple(by_masks(**inputs).values()))


FOUR_SAMPLES, ROWS = "four samples, three classes", "rows that add up to zero"
ONE_SAMPLE, LARGE = "ten classes, one sample", "logits in the hundreds"


@right("2.4")
def softmax_minus_label(logits, labels):
    return torch.softmax(logits, dim=1) - F.one_hot(labels, logits.shape[1])


@right("2.4")
def with_numpy(logits, labels):
    logits = logits.numpy()
    f = np.exp(logits - logits.max(axis=1, keepdims=True))
    f /= f.sum(axis=1, keepdims=True)
    f[np.arange(len(f)), labels.numpy()] -= 1
    return f


@right("2.4")
def by_autograd(logits, labels):
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), logits)[0]


@wrong("2.4", FOUR_SAMPLES, ONE_SAMPLE, words="turned round")
def label_minus_softmax(logits, labels):
    return -softmax_minus_label(logits, labels)


@wrong("2.4", FOUR_SAMPLES, ROWS, ONE_SAMPLE, words="sigmoid")
def sigmoids(logits, labels):
    return logits.sigmoid() - F.one_hot(labels, logits.shape[1])


@wrong("2.4", FOUR_SAMPLES, ROWS, ONE_SAMPLE, words="over samples")
def softmax_over_samples(logits, labels):
    return logits.softmax(dim=0) - F.one_hot(labels, logits.shape[1])


@wrong("2.4", FOUR_SAMPLES, ROWS, words="softmax is missing")
def no_softmax(logits, labels):
    return logits - F.one_hot(labels, logits.shape[1])


@wrong("2.4", LARGE)
def overflows(logits, labels):
    return logits.exp() / logits.exp().sum(dim=1, keepdim=True) - F.one_hot(labels, logits.shape[1])


@wrong("2.4", FOUR_SAMPLES, ONE_SAMPLE)
def softmax_of_softmax(logits, labels):
    return logits.softmax(1).softmax(1) - F.one_hot(labels, logits.shape[1])


@wrong("2.4", ROWS, words="add up to 0")
def without_label(logits, labels):
    return logits.softmax(1)


@wrong("2.4", FOUR_SAMPLES, words="work on a copy")
def in_the_logits(logits, labels):
    logits[:] = logits.softmax(1)
    logits[range(len(labels)), labels] -= 1
    return logits
