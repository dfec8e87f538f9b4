"""Angles between derivatives, and between each sample's gradient and that of a subset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from cleanprio_lib.gradients.capture import CapturedNet, Records
from cleanprio_lib.gradients.labels import check_labels, residual_signs, residuals, subsets_by_logit
from cleanprio_lib.gradients.records import new_sums
from cleanprio_lib.gradients.sums import MEMORY, Sums, angles_of, logit_blocks, square_norms
from cleanprio_lib.precision import in_full_precision

MIB = 2**20


@in_full_precision
def derivative_angles(
    model: nn.Module,
    x: Tensor,
    z: Tensor | None = None,
    *,
    logit: int | None = None,
    dtype: torch.dtype = torch.float32,
    memory: float = MEMORY,
) -> Tensor:
    r"""Angles $\theta_h$ between the derivatives $\nabla h(x_i)$ and $\nabla h(z_j)$ of one logit.

    Args:
        model: a net as in the head of this package.
        x: (n, ...) inputs.
        z: (k, ...) inputs; x if left out.
        logit: which one; may be left out if there is only one.
        dtype: to compute in.
        memory: MiB for what is kept from pass to pass; more inputs are taken in blocks.

    Returns:
        (n, k) float64 radians.

    Raises:
        ValueError: an argument, or a layer of the model, is not what it must be.
        RuntimeError: a few samples' gradients are not those of an ordinary backward pass.

    Source: section 3.1 of the paper.
    """
    net = CapturedNet(model, dtype)
    count = net.check(x)
    if logit is None and count > 1:
        raise ValueError(f"logit must be given for a model with {count} logits")
    if logit is not None and not 0 <= logit < count:
        raise ValueError(f"logit must lie in [0, {count}), got {logit}")
    if z is not None and z.shape[1:] != x.shape[1:]:
        raise ValueError(
            f"z must hold inputs of the shape of x's, {tuple(x.shape[1:])}, got {tuple(z.shape[1:])}"
        )
    cotangent = _unit(net, x, count)[logit or 0, None]
    if z is not None and len(x) + len(z) <= net.batch:
        records = net.records(torch.cat([x, z]), cotangent)
        mine, theirs = (_of_samples(records, rows) for rows in (slice(len(x)), slice(len(x), None)))
        return angles_of(_cosines(mine, theirs))
    others = (x if z is None else z).split(net.batch)
    rows = []
    for block in _blocks(net, x.split(net.batch), cotangent, memory):
        columns = []
        for number, part in enumerate(others):
            known = z is None and number in block
            records = block[number] if known else net.records(part, cotangent)
            columns.append(torch.cat([_cosines(mine, records) for mine in block.values()]))
        rows.append(torch.cat(columns, dim=1))
    return angles_of(torch.cat(rows))


@in_full_precision
def sample_gradient_angles(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    mask: Tensor,
    *,
    dtype: torch.dtype = torch.float32,
    memory: float = MEMORY,
) -> Tensor:
    r"""Angles $\theta_g$ between each sample's loss gradient and the summed gradient of a subset.

    With several logits the gradients are the single-logit ones $\nabla\ell_{i,c}$, and each is compared with
    the sum of those of the same logit.

    Args:
        model: a net as in the head of this package, with one logit (logistic loss) or C (softmax).
        x: (n, ...) inputs.
        y: (n,) labels: 0 or 1 for one logit, else in [0, C).
        mask: the subset, (n,) booleans; or m subsets (m, n); or m for each logit (m, n, C).
        dtype: to compute in.
        memory: MiB for what is kept from the first pass; what exceeds it is computed a second time.

    Returns:
        (n,) or (m, n) float64 radians for one logit, (n, C) or (m, n, C) for several.

    Raises:
        ValueError: an argument, or a layer of the model, is not what it must be.
        RuntimeError: a few samples' gradients are not those of an ordinary backward pass.

    Source: figures 4 and 10 of the paper.
    """
    net = CapturedNet(model, dtype)
    count = net.check(x)
    check_labels(y, len(x), count)
    members = subsets_by_logit(mask, len(x), count).to(x.device)
    labels = y.to(x.device)
    angles = x.new_empty(members.shape, dtype=torch.float64)
    # The first subset's samples come first: a slice of a batch is had for nothing.
    order = members[0].any(dim=1).logical_not().sort(stable=True).indices
    parts = order.split(net.batch)
    for logits in logit_blocks(net, len(members), count, memory):
        sums, kept = _sums(net, x, labels, members, logits, parts, memory)
        cosines = _cosines_with(net, x, sums, kept, logits, parts, count)
        angles[:, order, logits] = angles_of(cosines * residual_signs(labels, count)[order, logits])
    angles = angles[..., 0] if count == 1 else angles
    return angles[0] if mask.ndim == 1 else angles


def _sums(
    net: CapturedNet,
    x: Tensor,
    labels: Tensor,
    members: Tensor,
    logits: slice,
    parts: Sequence[Tensor],
    memory: float,
) -> tuple[Sums, list[Records | None]]:
    """Gradients (m, S, b, q) of m subsets, and each batch's records as far as memory (MiB) goes."""
    cotangents = _unit(net, x, members.shape[2])[logits]
    sums: Sums = {}
    kept: list[Records | None] = []
    left = memory * MIB - len(members) * len(cotangents) * net.num_parameters * cotangents.itemsize
    for part in parts:
        caught = net.forward(x[part])
        of_logits = residuals(caught.logits.detach(), labels[part])[:, logits]
        records = caught.records(cotangents[:, None].expand(-1, len(of_logits), -1), written_out=left > 0)
        weights = (members[:, part, logits] * of_logits).to(net.dtype)
        for name, record in records.items():
            if name not in sums:
                sums[name] = new_sums(record, len(members), len(cotangents), weights)
            record.add_sums(sums[name], weights, range(len(cotangents)))
        left -= sum(record.nbytes for record in records.values())
        kept.append(records if left >= 0 else None)
    return sums, kept


def _cosines_with(
    net: CapturedNet,
    x: Tensor,
    sums: Sums,
    kept: list[Records | None],
    logits: slice,
    parts: Sequence[Tensor],
    count: int,
) -> Tensor:
    """(m, n, S) cosines between the derivatives of S logits and sums of gradients."""
    of_sums = square_norms(sums)
    cosines = []
    for part, known in zip(parts, kept, strict=True):
        records = known or net.records(x[part], _unit(net, x, count)[logits])
        dots = reduce(torch.add, (record.dots(sums[name]) for name, record in records.items()))
        cosines.append(dots / (_square_norms(records) * of_sums[:, None]).sqrt())
    return torch.cat(cosines, dim=1)


def _cosines(mine: Records, others: Records) -> Tensor:
    """(n, k) cosines between the first output's gradients of two batches."""
    gram = reduce(torch.add, (mine[name].gram(others[name]) for name in mine))  # type: ignore[arg-type]
    if mine is others:
        norms = other_norms = gram.diagonal()
    else:
        norms, other_norms = _square_norms(mine)[:, 0], _square_norms(others)[:, 0]
    return gram / (norms[:, None] * other_norms).sqrt()


def _of_samples(records: Records, rows: slice) -> Records:
    """Records of some of the samples."""
    return {name: record.of_samples(rows) for name, record in records.items()}


def _square_norms(records: Records) -> Tensor:
    return reduce(torch.add, (record.square_norms() for record in records.values()))


def _blocks(
    net: CapturedNet, parts: tuple[Tensor, ...], cotangent: Tensor, memory: float
) -> Iterator[dict[int, Records]]:
    """Records of as many batches as fit into memory (MiB) together, at least one, each by its number."""
    block: dict[int, Records] = {}
    size = largest = 0
    for number, part in enumerate(parts):
        if block and size + largest > memory * MIB:
            yield block
            block, size = {}, 0
        block[number] = net.records(part, cotangent)
        added = sum(record.nbytes for record in block[number].values())
        size, largest = size + added, max(largest, added)
    yield block


def _unit(net: CapturedNet, x: Tensor, count: int) -> Tensor:
    """(C, C) derivatives of each logit by the logits."""
    return torch.eye(count, dtype=net.dtype, device=x.device)
