r"""Single-logit subset gradients of several classes during training, and what all logits do together.

At logit $c$ the subsets are those of the *true* class $c$: `clean` and `noisy`, and beside these `other`, the
clean samples of all other classes, and `into`, the samples of other classes that are wrongly labelled $c$.
BatchNorm is in evaluation mode, with its running statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cleanprio_lib import gradients
from cleanprio_lib.metrics import Task, measured_samples

SAMPLES = 2_000
# Places of the sums of each logit; of each class, all logits together, the first three.
CLEAN, NOISY, NOISY_TRUE, INTO, OTHER = range(5)
GEOMETRIC = ("ratio", "full_ratio", "into_size", "other_size", "clean_norm")  # their means are geometric


def logit_metrics(model: nn.Module, task: Task, *, samples: int | None = SAMPLES) -> dict[str, float]:
    r"""Subset gradients of every logit $c$, and of every true class $c$ over all logits.

    Args:
        model: as `gradients.subset_gradients` wants it, with C > 2 logits.
        task: with the same number of classes.
        samples: on how many training samples, chosen by `metrics.measured_samples`; None for all, as if there
            are fewer.

    Returns:
        For each logit, with $\hat g$ the gradient that true labels would give: `clean_norm_c`, the length of
        $g_{clean}$, a sum over samples; `ratio_c`, by that of $g_{noise}$; `cosine_c` of the angle between
        the two; `alpha_c`, $-\langle g_{noise}, g_{clean}\rangle/\lVert g_{clean}\rVert^2$; `clean_part_c`
        and `noisy_part_c`, the coefficients of $g_{clean}$ and $g_{noise}$ on $\hat g$; `into_size_c` and
        `other_size_c`, the lengths of these two by that of $g_{clean}$, and `into_cosine_c` and
        `other_cosine_c` of their angles with it. `other` is estimated: every clean sample counts at one other
        logit, in turn, and the sum is multiplied by $C - 1$.

        For each true class, with all logits: `full_ratio_c`, `full_cosine_c`, and `full_step_c`, the
        coefficient of $g_{clean} + g_{noise}$ on $\hat g$.

        The same names without a class: means over classes, geometric ones of ratios and lengths.

        For all samples and logits: `true_cosine` and `true_size`, the cosine of $\nabla L(w; D)$ with the
        gradient of true labels and its length by that gradient's; `total_alpha` and `total_cosine`, as
        `alpha_c` and `cosine_c` but for the sums over all. NaN where a subset is empty.

    Raises:
        ValueError: the task has two classes.

    Source: section 5 of the paper.
    """
    if task.num_classes < 3:
        raise ValueError(f"task must have 3 classes or more, got {task.num_classes}")
    task = _chosen(task, samples)
    labels = torch.stack([task.given, task.given, task.true, task.given, task.given])
    masks = logit_masks(task)
    with _evaluating(model):
        of_logits = gradients.subset_gradients(model, task.x, labels, masks).gram.cpu()
        of_classes = gradients.subset_gradients(model, task.x, *_class_subsets(task), per_logit=False)
    full = of_classes.gram.cpu()
    rows = [{**_of_logit(gram, task.num_classes), **_of_class(full, c)} for c, gram in enumerate(of_logits)]
    numbers = {f"{name}_{c}": value for c, row in enumerate(rows) for name, value in row.items()}
    return {**_means(rows), **_of_all(full), **numbers}


def logit_masks(task: Task) -> Tensor:
    """(5, n, C) booleans: clean, noisy, noisy again, into and other, of each logit."""
    own, given = (F.one_hot(y, task.num_classes).bool() for y in (task.true, task.given))
    another = F.one_hot(_another(task.true, task.num_classes), task.num_classes).bool()
    noisy = task.is_noisy[:, None]
    return torch.stack([own & ~noisy, own & noisy, own & noisy, given & noisy, another & ~noisy])


def _another(true: Tensor, count: int) -> Tensor:
    """(n,) for each sample a class that is not its own; those of one class take the others in turn."""
    turn = torch.zeros_like(true)
    for c in range(count):
        own = true == c
        turn[own] = torch.arange(int(own.sum()), device=true.device) % (count - 1)
    return (true + 1 + turn) % count


def _class_subsets(task: Task) -> tuple[Tensor, Tensor]:
    """(3 C, n) labels and masks: of each class clean, noisy, and noisy as if their labels were true."""
    labels, masks = [], []
    for c in range(task.num_classes):
        own = task.true == c
        labels += [task.given, task.given, task.true]
        masks += [own & ~task.is_noisy, own & task.is_noisy, own & task.is_noisy]
    return torch.stack(labels), torch.stack(masks)


def _of_logit(gram: Tensor, count: int) -> dict[str, float]:
    norms = gram.diagonal().sqrt()
    true = gram[:, CLEAN] + gram[:, NOISY_TRUE]  # inner products with the gradient of true labels
    true_square = true[CLEAN] + true[NOISY_TRUE]
    numbers = {
        "clean_norm": norms[CLEAN],
        "ratio": norms[CLEAN] / norms[NOISY],
        "cosine": gram[CLEAN, NOISY] / (norms[CLEAN] * norms[NOISY]),
        "alpha": -gram[CLEAN, NOISY] / gram[CLEAN, CLEAN],
        "clean_part": true[CLEAN] / true_square,
        "noisy_part": true[NOISY] / true_square,
        "into_size": norms[INTO] / norms[CLEAN],
        "into_cosine": gram[CLEAN, INTO] / (norms[CLEAN] * norms[INTO]),
        "other_size": (count - 1) * norms[OTHER] / norms[CLEAN],
        "other_cosine": gram[CLEAN, OTHER] / (norms[CLEAN] * norms[OTHER]),
    }
    return {name: float(value) for name, value in numbers.items()}


def _of_class(full: Tensor, c: int) -> dict[str, float]:
    gram = full[3 * c : 3 * c + 3, 3 * c : 3 * c + 3]
    norms = gram.diagonal().sqrt()
    true = gram[:, CLEAN] + gram[:, NOISY_TRUE]
    numbers = {
        "full_ratio": norms[CLEAN] / norms[NOISY],
        "full_cosine": gram[CLEAN, NOISY] / (norms[CLEAN] * norms[NOISY]),
        "full_step": (true[CLEAN] + true[NOISY]) / (true[CLEAN] + true[NOISY_TRUE]),
    }
    return {name: float(value) for name, value in numbers.items()}


def _of_all(full: Tensor) -> dict[str, float]:
    count = len(full) // 3
    gram = full.reshape(count, 3, count, 3).sum((0, 2))  # of the sums over classes
    given = gram[:, CLEAN] + gram[:, NOISY]
    true = gram[:, CLEAN] + gram[:, NOISY_TRUE]
    given_norm, true_norm = (given[CLEAN] + given[NOISY]).sqrt(), (true[CLEAN] + true[NOISY_TRUE]).sqrt()
    norms = gram.diagonal().sqrt()
    numbers = {
        "true_cosine": (true[CLEAN] + true[NOISY]) / (given_norm * true_norm),
        "true_size": given_norm / true_norm,
        "total_alpha": -gram[CLEAN, NOISY] / gram[CLEAN, CLEAN],
        "total_cosine": gram[CLEAN, NOISY] / (norms[CLEAN] * norms[NOISY]),
    }
    return {name: float(value) for name, value in numbers.items()}


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    numbers = {}
    for name in rows[0]:
        values = torch.tensor([row[name] for row in rows], dtype=torch.float64)
        numbers[name] = float(values.log().mean().exp() if name in GEOMETRIC else values.mean())
    return numbers


def _chosen(task: Task, samples: int | None) -> Task:
    if samples is None or samples >= len(task.true):
        return task
    indices = torch.from_numpy(measured_samples(task.true, task.is_noisy, samples))
    return task.take(indices.to(task.true.device))


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
