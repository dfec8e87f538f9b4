r"""Subset gradients of two classes during training: how opposite, how long, and what becomes of the step.

Everything comes from the inner products of eight summed gradients, which one pass over the samples gives.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cleanprio_lib import gradients
from cleanprio_lib.metrics import Task, predict, sample_residuals

# Places of the eight sums: of each class the clean samples, the noisy ones, and the noisy ones as if their
# labels were true; and all samples, as if all labels were 0 and as if all were 1.
CLEAN, NOISY, NOISY_TRUE = (0, 3), (1, 4), (2, 5)
ALL_0, ALL_1 = 6, 7


def gradient_metrics(model: nn.Module, task: Task) -> dict[str, float]:
    r"""Subset gradients of each class $c$ and of the whole training set at the current weights.

    Returns:
        For each class, with $\hat g$ the gradient that true labels would give: `clean_norm_c`,
        `noisy_norm_c` and `true_norm_c`, lengths of $g_{clean}$, $g_{noise}$ and $\hat g$ (sums over
        samples); `ratio_c`, the first by the second; `cosine_c` of the angle between these two; `alpha_c`,
        $-\langle g_{noise}, g_{clean}\rangle/\lVert g_{clean}\rVert^2$; `clean_part_c` and `noisy_part_c`,
        the coefficients of $g_{clean}$ and $g_{noise}$ on $\hat g$; and `clean_rest_c`, the length of what
        of $g_{clean}$ is not along $\hat g$, by that of $g_{clean}$.

        For all samples: `true_cosine` and `true_size`, the cosine of $\nabla L(w; D)$ with the gradient of
        true labels and its length by that gradient's; `smoothed_cosine` and `smoothed_size`, the same for
        labels smoothed by $\kappa = 2\delta$; `total_alpha` and `total_cosine`, as `alpha_c` and `cosine_c`
        but for the sums over both classes: a small step of gradient descent lowers the noisy subset's loss
        once the former exceeds the square of the latter; `clean_lowered` and `noisy_lowered`, the shares of
        samples whose loss a small step lowers. NaN where a subset is empty.

    Raises:
        ValueError: the task has more than two classes.

    Source: sections 3.2 and 4.1 of the paper.
    """
    if task.num_classes != 2:
        raise ValueError(f"task must have 2 classes, got {task.num_classes}")
    masks, labels = _subsets(task)
    gram = gradients.subset_gradients(model, task.x, labels, masks).gram.cpu()
    numbers = {name: value for c in (0, 1) for name, value in _of_class(gram, c).items()}
    level = float(task.is_noisy.double().mean())
    return {**numbers, **_of_all(gram, level), **_lowered(model, task)}


def detection_metrics(model: nn.Module, task: Task) -> dict[str, float]:
    r"""How well a sample's residual tells whether its label is wrong.

    Returns:
        `detection`, the probability that a noisy sample's residual $|f - y|$ exceeds a clean one's: the area
        under the ROC curve, which losses, growing with residuals, have too. And of each class the same,
        `detection_0` and so on. NaN where a subset is empty.

    Source: beyond the paper.
    """
    residuals = sample_residuals(predict(model, task.x), task.given)
    everyone = torch.ones_like(task.is_noisy)
    numbers = {"detection": _detection(residuals, task.is_noisy, everyone)}
    for c in range(task.num_classes):
        numbers[f"detection_{c}"] = _detection(residuals, task.is_noisy, task.true == c)
    return numbers


def _detection(residuals: Tensor, noisy: Tensor, chosen: Tensor) -> float:
    """Area under the ROC curve: Mann and Whitney's statistic of the two subsets over its largest value."""
    from scipy.stats import mannwhitneyu  # type: ignore[import-untyped]

    wrong, right = (residuals[chosen & subset].cpu().numpy() for subset in (noisy, ~noisy))
    if not (len(wrong) and len(right)):
        return math.nan
    statistic = mannwhitneyu(wrong, right, method="asymptotic").statistic
    return float(statistic) / (len(wrong) * len(right))


def _subsets(task: Task) -> tuple[Tensor, Tensor]:
    """(8, n) masks and (8, n) labels of the eight sums."""
    masks, labels = [], []
    for c in (0, 1):
        own = task.true == c
        masks += [own & ~task.is_noisy, own & task.is_noisy, own & task.is_noisy]
        labels += [task.given, task.given, task.true]
    everyone = torch.ones_like(task.is_noisy)
    masks += [everyone, everyone]
    labels += [torch.zeros_like(task.given), torch.ones_like(task.given)]
    return torch.stack(masks), torch.stack(labels)


def _of_class(gram: Tensor, c: int) -> dict[str, float]:
    clean, noisy = _sum(CLEAN[c]), _sum(NOISY[c])
    true = _sum(CLEAN[c], NOISY_TRUE[c])
    along = _product(gram, clean, true) / _product(gram, true, true)
    rest = clean - along * true
    clean_norm, noisy_norm = _norm(gram, clean), _norm(gram, noisy)
    numbers = {
        "clean_norm": clean_norm,
        "noisy_norm": noisy_norm,
        "true_norm": _norm(gram, true),
        "ratio": clean_norm / noisy_norm,
        "cosine": _product(gram, clean, noisy) / (clean_norm * noisy_norm),
        "alpha": -_product(gram, clean, noisy) / clean_norm**2,
        "clean_part": along,
        "noisy_part": _product(gram, noisy, true) / _product(gram, true, true),
        "clean_rest": _norm(gram, rest) / clean_norm,
    }
    return {f"{name}_{c}": float(value) for name, value in numbers.items()}


def _of_all(gram: Tensor, level: float) -> dict[str, float]:
    given = _sum(*CLEAN, *NOISY)
    true = _sum(*CLEAN, *NOISY_TRUE)
    smoothed = (1 - 2 * level) * true + level * _sum(ALL_0, ALL_1)
    numbers = {}
    for name, other in (("true", true), ("smoothed", smoothed)):
        norm = _norm(gram, other)
        numbers[f"{name}_cosine"] = float(_product(gram, given, other) / (_norm(gram, given) * norm))
        numbers[f"{name}_size"] = float(_norm(gram, given) / norm)
    clean, noisy = _sum(*CLEAN), _sum(*NOISY)
    inner, clean_norm = _product(gram, noisy, clean), _norm(gram, clean)
    numbers["total_alpha"] = float(-inner / clean_norm**2)
    numbers["total_cosine"] = float(inner / (clean_norm * _norm(gram, noisy)))
    return numbers


def _lowered(model: nn.Module, task: Task) -> dict[str, float]:
    everyone = torch.ones_like(task.is_noisy)
    theta = gradients.sample_gradient_angles(model, task.x, task.given, everyone)
    lowered = (theta < math.pi / 2).double()
    noisy = task.is_noisy
    return {"clean_lowered": float(lowered[~noisy].mean()), "noisy_lowered": float(lowered[noisy].mean())}


def _sum(*places: int) -> Tensor:
    """(8,) weights of the eight sums in a sum of some of them."""
    weights = torch.zeros(ALL_1 + 1, dtype=torch.float64)
    weights[list(places)] = 1
    return weights


def _product(gram: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return one @ gram @ other


def _norm(gram: Tensor, weights: Tensor) -> Tensor:
    return _product(gram, weights, weights).clamp(min=0).sqrt()
