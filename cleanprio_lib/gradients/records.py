r"""What is kept of one parameter's per-sample gradients, and the sums, dots and norms that come from it.

For n samples and S outputs the gradients of one parameter, seen as a matrix of b rows and q columns, are
n S such matrices. A record stands for all of them without writing them out where less will do:

- `Explicit` holds them: for biases, BatchNorm and small convolution kernels.
- `Outer` holds the input $a$ and the output gradient $\delta$ of a linear layer: $\delta a^\top$.
- `Patches` holds the same of a convolution, whose gradient is $\sum_t \delta_t a_t^\top$ over positions $t$.

Output gradients come as one tensor (n, ...) for each of the S outputs. Every record has

- `add_sums(total, weights, outputs)`: adds (m, n, S) weights' sums over samples to (m, ·, b, q) totals;
- `dots(sums)`: (m, n, S) float64 inner products of each gradient with (m, S, b, q) matrices;
- `square_norms()`: (n, S) float64;
- `gram(other)`: (n, k) float64 inner products with another record's gradients, first output only;
- `of_samples(rows)`: the same of some of the samples;
- `parts(matrix)`: the parameters that a (b, q) matrix holds, by name, in the order of `as_rows`;
- `shape`: (b, q);
- `nbytes`: of memory it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

CACHE_FLOATS = 2**19  # of patches for each thread, which then stay in its cache
GRAM_FLOATS = 2**22
SUMMED = 1024  # products of float32 that are added in float32, before float64 takes over


@dataclass(frozen=True)
class Explicit:
    """Gradients written out: vectors (S, n, b, q); and, where known, their squared norms (S, n), float64."""

    vectors: Tensor
    squares: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.vectors.shape[2], self.vectors.shape[3]

    @property
    def nbytes(self) -> int:
        return self.vectors.nbytes

    def of_samples(self, rows: slice) -> Explicit:
        return Explicit(self.vectors[:, rows], None if self.squares is None else self.squares[:, rows])

    def parts(self, matrix: Tensor) -> dict[str, Tensor]:
        return {"": matrix}

    def add_sums(self, total: Tensor, weights: Tensor, outputs: Sequence[int]) -> None:
        for s, vectors in enumerate(self.vectors):
            total[:, outputs[s]].flatten(1).addmm_(weights[..., s], vectors.flatten(1))

    def dots(self, sums: Tensor) -> Tensor:
        per_output = [
            torch.stack([_sums_in_parts(vectors, matrix) for matrix in sums[:, s]])
            for s, vectors in enumerate(self.vectors)
        ]
        return torch.stack(per_output, dim=-1)

    def square_norms(self) -> Tensor:
        if self.squares is not None:
            return self.squares.t()
        return torch.stack([_sums_in_parts(vectors) for vectors in self.vectors], dim=1)

    def gram(self, other: Explicit) -> Tensor:
        mine, theirs = (record.vectors[0].transpose(0, 1) for record in (self, other))
        total = mine.new_zeros(mine.shape[1], theirs.shape[1], dtype=torch.float64)
        rows = max(1, GRAM_FLOATS // total.numel())
        for part, their_part in zip(mine.split(rows), theirs.split(rows), strict=True):
            total += torch.bmm(part, their_part.transpose(1, 2)).sum(0, dtype=torch.float64)
        return total


@dataclass(frozen=True)
class Outer:
    """Gradients of a linear layer: inputs (n, d), S deltas (n, b); a bias is column d, of an input 1."""

    inputs: Tensor
    deltas: Sequence[Tensor]
    bias: bool

    @property
    def shape(self) -> tuple[int, int]:
        return self.deltas[0].shape[1], self.inputs.shape[1] + self.bias

    @property
    def nbytes(self) -> int:
        return self.inputs.nbytes + sum(delta.nbytes for delta in self.deltas)

    def of_samples(self, rows: slice) -> Outer:
        return Outer(self.inputs[rows], [delta[rows] for delta in self.deltas], self.bias)

    def parts(self, matrix: Tensor) -> dict[str, Tensor]:
        weight, bias = matrix[:, : self.inputs.shape[1]], matrix[:, self.inputs.shape[1] :]
        return {"weight": weight, "bias": bias} if self.bias else {"weight": weight}

    def add_sums(self, total: Tensor, weights: Tensor, outputs: Sequence[int]) -> None:
        for k, s, rows in supports(weights):
            weighted = self.deltas[s][rows] * weights[k, rows, s, None]
            parts = self.parts(total[k, outputs[s]])
            parts["weight"].addmm_(weighted.t(), self.inputs[rows])
            if self.bias:
                parts["bias"] += weighted.sum(0)[:, None]

    def dots(self, sums: Tensor) -> Tensor:
        result = self.inputs.new_empty(len(sums), len(self.inputs), len(self.deltas), dtype=torch.float64)
        for k, of_outputs in enumerate(sums):
            for s, matrix in enumerate(of_outputs):
                outputs = self._layer(matrix)
                result[k, :, s] = _row_sums(outputs.mul_(self.deltas[s]))
        return result

    def square_norms(self) -> Tensor:
        inputs, *deltas = (_row_sums(value.square()) for value in (self.inputs, *self.deltas))
        return (inputs + self.bias)[:, None] * torch.stack(deltas, dim=1)

    def _layer(self, matrix: Tensor) -> Tensor:
        """(n, b) outputs of the layer with such parameters."""
        parts = self.parts(matrix)
        return F.linear(self.inputs, parts["weight"], parts["bias"][:, 0] if self.bias else None)

    def gram(self, other: Outer) -> Tensor:
        pairs = zip(self.inputs.split(SUMMED, dim=1), other.inputs.split(SUMMED, dim=1), strict=True)
        inputs = reduce(torch.add, (torch.mm(mine, theirs.t()).double() for mine, theirs in pairs))
        return (inputs + self.bias).mul_(torch.mm(self.deltas[0], other.deltas[0].t()))


@dataclass(frozen=True)
class Patches:
    """Gradients of a convolution's weight: inputs (n, c, ...), S deltas (n, b, ...).

    Columns are in the order (height, width, channel) of the kernel.
    """

    inputs: Tensor
    deltas: Sequence[Tensor]
    layer: nn.Conv2d

    @property
    def shape(self) -> tuple[int, int]:
        return self.layer.out_channels, self.layer.weight[0].numel()

    @property
    def nbytes(self) -> int:
        return self.inputs.nbytes + sum(delta.nbytes for delta in self.deltas)

    def of_samples(self, rows: slice) -> Patches:
        return Patches(self.inputs[rows], [delta[rows] for delta in self.deltas], self.layer)

    def parts(self, matrix: Tensor) -> dict[str, Tensor]:
        return {"": matrix}

    def add_sums(self, total: Tensor, weights: Tensor, outputs: Sequence[int]) -> None:
        inputs = padded(self.inputs, self.layer)
        for k, s, rows in supports(weights):
            gradient = conv2d_weight(
                inputs[rows],
                self.layer.weight.shape,
                self.deltas[s][rows] * weights[k, rows, s, None, None, None],
                stride=self.layer.stride,
                dilation=self.layer.dilation,
            )
            total[k, outputs[s]] += as_rows(gradient)

    def dots(self, sums: Tensor) -> Tensor:
        channels, *size = self.layer.weight.shape[1:]
        inputs = padded(self.inputs, self.layer)
        per_output = []
        for s, delta in enumerate(self.deltas):
            kernels = sums[:, s].flatten(0, 1).unflatten(-1, (*size, channels)).permute(0, 3, 1, 2)
            outputs = F.conv2d(inputs, kernels, stride=self.layer.stride, dilation=self.layer.dilation)
            products = outputs.unflatten(1, sums.shape[:3:2]).mul_(delta[:, None])
            per_output.append(_sums(products.flatten(3)))
        return torch.stack(per_output, dim=-1).transpose(0, 1)

    def square_norms(self) -> Tensor:
        parts = []
        for patches, deltas in self._blocks():
            inputs = torch.bmm(patches, patches.transpose(1, 2))
            outputs = (torch.bmm(delta.transpose(1, 2), delta).mul_(inputs) for delta in deltas)
            parts.append(torch.stack([_sums(each) for each in outputs], dim=1))
        return torch.cat(parts)

    def gram(self, other: Patches) -> Tensor:
        return self.explicit().gram(self.explicit() if other is self else other.explicit())

    def explicit(self) -> Explicit:
        """The same gradients written out, some samples at a time while they are in the cache."""
        vectors = self.inputs.new_empty(len(self.deltas), len(self.inputs), *self.shape)
        squares = vectors.new_empty(vectors.shape[:2], dtype=torch.float64)
        start = 0
        for patches, deltas in self._blocks():
            stop = start + len(patches)
            for s, delta in enumerate(deltas):
                torch.bmm(delta, patches, out=vectors[s, start:stop])
                squares[s, start:stop] = _sums(vectors[s, start:stop].square())
            start = stop
        return Explicit(vectors, squares)

    def _blocks(self) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Some samples at a time: patches (i, positions, q) and S deltas (i, b, positions)."""
        positions = self.deltas[0].shape[2:]
        block = len(self.inputs)
        if self.inputs.device.type == "cpu":
            floats = self.layer.weight[0].numel() * positions.numel()
            block = torch.get_num_threads() * max(1, CACHE_FLOATS // floats)
        for start in range(0, len(self.inputs), block):
            rows = slice(start, start + block)
            patches = patches_of(padded(self.inputs[rows], self.layer), self.layer, positions)
            yield patches, [delta[rows].flatten(2) for delta in self.deltas]


Record = Explicit | Outer | Patches


def new_sums(record: Record, subsets: int, outputs: int, like: Tensor) -> Tensor:
    """(m, S, b, q) totals of nothing yet."""
    return like.new_zeros(subsets, outputs, *record.shape)


def _row_sums(values: Tensor) -> Tensor:
    """(...) float64 sums over the last dimension of (..., q) values."""
    return reduce(torch.add, (part.sum(-1).double() for part in values.split(SUMMED, dim=-1)))


def _sums(matrices: Tensor) -> Tensor:
    """(n,) float64 sums of the entries of (n, ., .) matrices."""
    return _row_sums(matrices).sum(-1)


def _sums_in_parts(vectors: Tensor, matrix: Tensor | None = None) -> Tensor:
    """(n,) float64 inner products of (n, b, q) vectors with a (b, q) matrix, or with themselves.

    A product of matrices would be slower, and adds up less exactly.
    """
    parts = vectors.split(max(1, CACHE_FLOATS // vectors[0].numel()))
    return torch.cat([_sums(part * (part if matrix is None else matrix)) for part in parts])


def supports(weights: Tensor) -> Iterator[tuple[int, int, Tensor | slice]]:
    """For each k and s of (m, n, S) weights that are not all zero: which of the samples have a weight.

    Neighbours are given as a slice, which copies nothing.
    """
    for k in range(weights.shape[0]):
        for s in range(weights.shape[2]):
            rows = weights[k, :, s].nonzero().flatten()
            if len(rows) > 0:
                first, last = int(rows[0]), int(rows[-1])
                yield k, s, slice(first, last + 1) if last - first + 1 == len(rows) else rows


def padded(inputs: Tensor, layer: nn.Conv2d) -> Tensor:
    """A convolution's inputs with its padding written out."""
    if isinstance(layer.padding, str):
        spare = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        before = [(layer.padding == "same" and (total // 2)) or 0 for total in spare]
        after = [(layer.padding == "same" and total - total // 2) or 0 for total in spare]
    else:
        before = after = list(layer.padding)
    if not any(before + after):
        return inputs
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return F.pad(inputs, [before[1], after[1], before[0], after[0]], mode=mode)


def patches_of(inputs: Tensor, layer: nn.Conv2d, positions: torch.Size) -> Tensor:
    """(n, positions, q) what a kernel sees of padded (n, c, ...) inputs at each position of its output."""
    rows = inputs.permute(0, 2, 3, 1).contiguous()
    sample, down, right, channel = rows.stride()
    (step_down, step_right), (gap_down, gap_right) = layer.stride, layer.dilation
    size = (len(rows), *positions, *layer.kernel_size, rows.shape[3])
    stride = (
        sample,
        down * step_down,
        right * step_right,
        down * gap_down,
        right * gap_right,
        channel,
    )
    return rows.as_strided(size, stride).reshape(len(rows), positions.numel(), -1)


def as_rows(gradient: Tensor) -> Tensor:
    """A parameter's gradient as the matrix that `parts` gives: a row for each output."""
    if gradient.ndim == 4:
        return gradient.permute(0, 2, 3, 1).flatten(1)
    return gradient if gradient.ndim == 2 else gradient[:, None]
