"""What is measured on a net at a fixed point of training: errors, losses and residuals of each subset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cleanprio_lib.precision import in_full_precision

SUBSETS = ("clean", "noisy", "train", "test")
QUANTITIES = ("error", "loss", "residual")
CONVOLUTIONAL_BATCH, PLAIN_BATCH = 128, 1024  # of a measurement: what was fastest, the first on a CPU


@dataclass(frozen=True, eq=False)
class Task:
    """A learning problem with noisy labels, as tensors on one device.

    Attributes:
        x: (n, ...) float32 training inputs.
        given: (n,) int64 labels $y$ that training sees.
        true: (n,) int64 labels $\\hat y$.
        x_test: (n_test, ...) float32 test inputs.
        y_test: (n_test,) int64 true labels.
        num_classes: $C$; 2 means one logit and the logistic loss, more means softmax.
        targets: what training aims at in place of the given labels, which metrics keep to: (n,) labels or,
            as floats, (n,) probabilities of class 1 or (n, C) of all classes. None for the given labels.
    """

    x: Tensor
    given: Tensor
    true: Tensor
    x_test: Tensor
    y_test: Tensor
    num_classes: int
    targets: Tensor | None = None

    @property
    def is_noisy(self) -> Tensor:
        """(n,) mask of the noisy subset."""
        return self.given != self.true

    @property
    def num_outputs(self) -> int:
        """Logits the model must have."""
        return 1 if self.num_classes == 2 else self.num_classes

    def to(self, device: torch.device | str) -> Task:
        """The same problem on another device."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)

    def take(self, indices: Tensor) -> Task:
        """The same problem with only these training samples: indices (k,)."""
        targets = None if self.targets is None else self.targets[indices]
        return replace(
            self, x=self.x[indices], given=self.given[indices], true=self.true[indices], targets=targets
        )


def sample_losses(logits: Tensor, labels: Tensor) -> Tensor:
    r"""(n,) logistic (one logit) or softmax cross-entropy losses $\ell$ of (n, k) logits.

    Args:
        logits: (n, k).
        labels: (n,) labels or, as floats, (n,) probabilities of class 1 or (n, k) of all classes.
    """
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype), reduction="none")
    return F.cross_entropy(logits, labels, reduction="none")


def sample_errors(logits: Tensor, labels: Tensor) -> Tensor:
    """(n,) booleans: the predicted class is not the label. A single logit of exactly 0 predicts class 0."""
    predicted = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)
    return predicted != labels


def sample_residuals(logits: Tensor, labels: Tensor) -> Tensor:
    r"""(n,) residual sizes $|f - y|$ (one logit) or $\lVert f - e_y\rVert_2$ (several)."""
    if logits.shape[1] == 1:
        sign = 1 - 2 * labels.to(logits.dtype)
        return torch.sigmoid(sign * logits[:, 0])
    return (logits.softmax(dim=1) - F.one_hot(labels, logits.shape[1])).norm(dim=1)


@in_full_precision
def predict(model: nn.Module, x: Tensor) -> Tensor:
    """(n, k) float32 logits of (n, ...) inputs in evaluation mode, streamed in small batches.

    Without autocast and TensorFloat-32, and without a graph, whatever the caller has switched on.
    """
    was_training = model.training
    model.eval()
    logits = torch.cat([model(part) for part in x.split(measuring_batch(model, x.device))])
    model.train(was_training)
    return logits.float()


def measuring_batch(model: nn.Module, device: torch.device) -> int:
    """Samples that are measured together: of a convolutional net on a CPU no more than its caches hold."""
    convolutional = any(isinstance(module, nn.Conv2d) for module in model.modules())
    return CONVOLUTIONAL_BATCH if convolutional and device.type == "cpu" else PLAIN_BATCH


def subset_metrics(model: nn.Module, task: Task) -> dict[str, float]:
    """Error, mean loss and mean residual of each subset at the current weights.

    Returns:
        `{clean,noisy,train,test}_{error,loss,residual}` against the given labels (test: the true ones), and
        `noisy_true_*`, the noisy subset against its true labels. Errors are fractions. A subset that has
        no samples gives NaN.
    """
    logits, test_logits = predict(model, task.x), predict(model, task.x_test)
    noisy = task.is_noisy
    values = {
        **_means("clean", logits[~noisy], task.given[~noisy]),
        **_means("noisy", logits[noisy], task.given[noisy]),
        **_means("noisy_true", logits[noisy], task.true[noisy]),
        **_means("train", logits, task.given),
        **_means("test", test_logits, task.y_test),
    }
    return {name: float(value) for name, value in values.items()}


def _means(prefix: str, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    per_sample = {"error": sample_errors, "loss": sample_losses, "residual": sample_residuals}
    return {f"{prefix}_{name}": of(logits, labels).double().mean() for name, of in per_sample.items()}


def measured_samples(true: Tensor, is_noisy: Tensor, count: int) -> NDArray[np.int64]:
    """Indices of `count` training samples that stand for all: the same share of every (class, noisy) group.

    The first samples of each group are taken (their order carries no information), so the choice is fixed
    for a run and the share of wrong labels is kept up to rounding.

    Args:
        true: (n,) true labels.
        is_noisy: (n,) mask.
        count: how many, at most n.
    """
    if not 0 < count <= len(true):
        raise ValueError(
            f"measured must lie in [1, {len(true)}] for {len(true)} training samples, got {count}"
        )
    groups = (2 * true + is_noisy).cpu().numpy()
    rank = np.empty(len(groups))
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(np.argsort(rank, kind="stable")[:count])
