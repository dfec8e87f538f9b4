"""Norms, ratios and cosines of the gradients of whole subsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cleanprio_lib.gradients.capture import CapturedNet, Records
from cleanprio_lib.gradients.labels import check_labels, residuals, subsets_by_logit
from cleanprio_lib.gradients.records import new_sums
from cleanprio_lib.gradients.sums import MEMORY, Sums, angles_of, inner_products, logit_blocks
from cleanprio_lib.precision import in_full_precision

GPU_BATCH = 512  # samples of one pass forward and one backward that fill a GPU


@dataclass(frozen=True, eq=False)
class GradientGram:
    """Inner products of k vectors of the size of all parameters.

    Attributes:
        gram: (..., k, k) float64 inner products.
    """

    gram: Tensor

    @property
    def norms(self) -> Tensor:
        """(..., k) Euclidean norms."""
        return self.gram.diagonal(dim1=-2, dim2=-1).sqrt()

    @property
    def cosines(self) -> Tensor:
        """(..., k, k) cosines of the angles between them; NaN with a vector of zeros."""
        return (self.gram / (self.norms[..., :, None] * self.norms[..., None, :])).clamp(-1, 1)

    @property
    def angles(self) -> Tensor:
        """(..., k, k) angles between them in radians."""
        return angles_of(self.cosines)

    @property
    def ratios(self) -> Tensor:
        """(..., k, k) norms of the first divided by norms of the second."""
        return self.norms[..., :, None] / self.norms[..., None, :]


@in_full_precision
def subset_gradients(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    masks: Tensor,
    *,
    per_logit: bool = True,
    dtype: torch.dtype = torch.float32,
    memory: float = MEMORY,
) -> GradientGram:
    r"""Norms, ratios and cosines of the gradients of k subsets, each the sum of its samples' loss gradients.

    Only what the masks need is computed: one backward pass for each logit that a sample is in a subset of.

    Args:
        model: a net as in the head of this package, with one logit (logistic loss) or C (softmax).
        x: (n, ...) inputs.
        y: (n,) labels, or (k, n), labels for each subset: 0 or 1 for one logit, else in [0, C).
        masks: (k, n) booleans, or (k, n, C), subsets for each logit; they may overlap.
        per_logit: compare the single-logit gradients, each logit by itself; else their sums over logits.
        dtype: to compute in.
        memory: MiB for the sums; where they need more, logits are taken in turn.

    Returns:
        Inner products (k, k), or (C, k, k) for each of several logits.

    Raises:
        ValueError: an argument, or a layer of the model, is not what it must be.
        RuntimeError: a few samples' gradients are not those of an ordinary backward pass.

    Source: sections 3.2 and 5 of the paper.
    """
    if masks.ndim == 1:
        raise ValueError(f"masks must have shape (k, {len(x)}) or (k, {len(x)}, C), got {tuple(masks.shape)}")
    net = CapturedNet(model, dtype)
    count = net.check(x)
    check_labels(y, len(x), count, subsets=len(masks))
    members = subsets_by_logit(masks, len(x), count).to(x.device)
    labels = y.to(x.device).expand(len(masks), -1)
    if not per_logit:
        return GradientGram(inner_products(_sums_over_logits(net, x, labels, members), dim=1)[0])
    grams = [
        inner_products(_sums_of_logits(net, x, labels, members, logits), dim=0)
        for logits in logit_blocks(net, len(masks), count, memory)
    ]
    gram = torch.cat(grams)
    return GradientGram(gram[0] if count == 1 else gram)


def _sums_of_logits(net: CapturedNet, x: Tensor, labels: Tensor, members: Tensor, logits: slice) -> Sums:
    """(k, S, b, q) gradients of k subsets, for each of S logits and each record."""
    sums: Sums = {}
    unit = torch.eye(members.shape[2], dtype=net.dtype, device=x.device)[logits]
    needed = members[..., logits].any(dim=0)
    groups = list(_groups(needed))
    if _is_for_a_gpu(x) and len(groups) > needed.shape[1]:
        groups = list(_single_groups(needed))
    for active, indices in groups:
        for part in indices.split(_batch(net, x, len(active))):
            caught = net.forward(x[part])
            weights = _weights(caught.logits, labels[:, part], members[:, part])[..., logits][..., active]
            cotangents = unit[active, None].expand(-1, len(part), -1)
            records = caught.records(cotangents, written_out=False)
            _add(sums, records, weights, active, len(unit))
    return sums or {"": members.new_zeros(len(members), len(unit), 1, 1, dtype=net.dtype)}


def _sums_over_logits(net: CapturedNet, x: Tensor, labels: Tensor, members: Tensor) -> Sums:
    """(1, k, b, q) gradients of k subsets, summed over logits, for each record."""
    sums: Sums = {}
    for active, indices in _groups(members.any(dim=2).t()):
        for part in indices.split(_batch(net, x, len(active))):
            caught = net.forward(x[part])
            cotangents = _weights(caught.logits, labels[:, part], members[:, part])[active]
            ones = cotangents.new_ones(1, len(part), len(active))
            _add(sums, caught.records(cotangents, written_out=False), ones, active, len(members))
    return sums or {"": members.new_zeros(1, len(members), 1, 1, dtype=net.dtype)}


def _add(sums: Sums, records: Records, weights: Tensor, active: Tensor, outputs: int) -> None:
    """Add a batch's weighted sums to those of the active outputs."""
    for name, record in records.items():
        if name not in sums:
            sums[name] = new_sums(record, len(weights), outputs, weights)
        record.add_sums(sums[name], weights, active.tolist())


def _weights(logits: Tensor, labels: Tensor, members: Tensor) -> Tensor:
    """(k, n, C) what each logit's derivative is multiplied by: the residual, in the subset."""
    subsets, samples, count = members.shape
    repeated = logits.detach().expand(subsets, samples, count).flatten(0, 1)
    of_subsets = residuals(repeated, labels.flatten()).unflatten(0, (subsets, samples))
    return (members * of_subsets).to(logits.dtype)


def _groups(needed: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Samples that need the same of S functions: these functions, and the samples' indices; needed (n, S)."""
    patterns, group = needed.unique(dim=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        if pattern.any():
            yield pattern.nonzero().flatten(), (group == i).nonzero().flatten()


def _single_groups(needed: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The same with a group for each function: samples that need several pass forward for each of them.

    Few large groups, where a GPU would spend its time on starting the kernels of many small ones.
    """
    for s in range(needed.shape[1]):
        if len(indices := needed[:, s].nonzero().flatten()):
            yield torch.tensor([s], device=needed.device), indices


def _is_for_a_gpu(x: Tensor) -> bool:
    """Whether large groups are wanted: a CPU is faster with what its caches hold."""
    return x.device.type != "cpu"


def _batch(net: CapturedNet, x: Tensor, functions: int) -> int:
    """Samples of one pass forward and so many backward."""
    return max(net.batch, GPU_BATCH // functions) if _is_for_a_gpu(x) else net.batch
