r"""What is kept of one parameter's per-sample gradients, and the sums, dots and norms that come from it.

For n samples and S outputs the gradients of one parameter, seen as a matrix of b rows and q columns, are
n S such matrices. A record stands for all of them without writing them out where less will do:

- `Explicit` holds them: for biases, BatchNorm and small convolution kernels.
- `Outer` holds the input $a$ and the output gradient $\delta$ of a linear layer: $\delta a^\top$.
- `Patches` holds the same of a convolution, whose gradient is $\sum_t \delta_t a_t^\top$ over positions $t$.

Every record has

- `sums(weights)`: (m, n, S) weights to the (m, S, b, q) sums over samples;
- `dots(sums)`: (m, n, S) float64 inner products of each gradient with (m, S, b, q) matrices;
- `square_norms()`: (n, S) float64;
- `gram(other)`: (n, k) float64 inner products with another record's gradients, first output only;
- `parts(matrix)`: the parameters that a (b, q) matrix holds, by name, in the order of `as_rows`;
- `shape`: (b, q);
- `nbytes`: of memory it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

CACHE_FLOATS = 2**18
GRAM_FLOATS = 2**22
SUMMED = 1024  # products of float32 that are added in float32, before float64 takes over


@dataclass(frozen=True)
class Explicit:
    """Gradients written out: vectors (n, S, b, q)."""

    vectors: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return self.vectors.shape[2], self.vectors.shape[3]

    @property
    def nbytes(self) -> int:
        return self.vectors.nbytes

    def parts(self, matrix: Tensor) -> dict[str, Tensor]:
        return {"": matrix}

    def sums(self, weights: Tensor) -> Tensor:
        per_output = [
            torch.mm(weights[..., s], self.vectors[:, s].flatten(1)) for s in range(self.vectors.shape[1])
        ]
        return torch.stack(per_output, dim=1).unflatten(-1, self.vectors.shape[2:])

    def dots(self, sums: Tensor) -> Tensor:
        per_output = [
            torch.bmm(self.vectors[:, s].transpose(0, 1), sums[:, s].permute(1, 2, 0)).sum(
                0, dtype=torch.float64
            )
            for s in range(self.vectors.shape[1])
        ]
        return torch.stack(per_output, dim=-1).transpose(0, 1)

    def square_norms(self) -> Tensor:
        block = max(1, CACHE_FLOATS // self.vectors[0].numel())
        parts = [part.square().sum(-1).sum(-1, dtype=torch.float64) for part in self.vectors.split(block)]
        return torch.cat(parts)

    def gram(self, other: Explicit) -> Tensor:
        mine, theirs = (record.vectors[:, 0].transpose(0, 1) for record in (self, other))
        total = mine.new_zeros(mine.shape[1], theirs.shape[1], dtype=torch.float64)
        rows = max(1, GRAM_FLOATS // total.numel())
        for part, their_part in zip(mine.split(rows), theirs.split(rows), strict=True):
            total += torch.bmm(part, their_part.transpose(1, 2)).sum(0, dtype=torch.float64)
        return total


@dataclass(frozen=True)
class Outer:
    """Gradients of a linear layer: inputs (n, d) and deltas (n, S, b); a bias is column d, of an input 1."""

    inputs: Tensor
    deltas: Tensor
    bias: bool

    @property
    def shape(self) -> tuple[int, int]:
        return self.deltas.shape[2], self.inputs.shape[1] + self.bias

    @property
    def nbytes(self) -> int:
        return self.inputs.nbytes + self.deltas.nbytes

    def parts(self, matrix: Tensor) -> dict[str, Tensor]:
        weight, bias = matrix[:, : self.inputs.shape[1]], matrix[:, self.inputs.shape[1] :]
        return {"weight": weight, "bias": bias} if self.bias else {"weight": weight}

    def sums(self, weights: Tensor) -> Tensor:
        total = self.inputs.new_zeros(*weights.shape[::2], *self.shape)
        for k, s, rows in supports(weights):
            weighted = self.deltas[rows, s] * weights[k, rows, s, None]
            torch.mm(weighted.t(), self.inputs[rows], out=total[k, s, :, : self.inputs.shape[1]])
            if self.bias:
                torch.sum(weighted, dim=0, out=total[k, s, :, -1])
        return total

    def dots(self, sums: Tensor) -> Tensor:
        result = self.inputs.new_empty(len(sums), *self.deltas.shape[:2], dtype=torch.float64)
        for k, of_outputs in enumerate(sums):
            for s, matrix in enumerate(of_outputs):
                outputs = self._layer(matrix)
                result[k, :, s] = outputs.mul_(self.deltas[:, s]).sum(-1, dtype=torch.float64)
        return result

    def square_norms(self) -> Tensor:
        inputs, deltas = (value.square().sum(-1, dtype=torch.float64) for value in (self.inputs, self.deltas))
        return (inputs + self.bias)[:, None] * deltas

    def _layer(self, matrix: Tensor) -> Tensor:
        """(n, b) outputs of the layer with such parameters."""
        parts = self.parts(matrix)
        return F.linear(self.inputs, parts["weight"], parts["bias"][:, 0] if self.bias else None)

    def gram(self, other: Outer) -> Tensor:
        pairs = zip(self.inputs.split(SUMMED, dim=1), other.inputs.split(SUMMED, dim=1), strict=True)
        inputs = reduce(torch.add, (torch.mm(mine, theirs.t()).double() for mine, theirs in pairs))
        return (inputs + self.bias).mul_(torch.mm(self.deltas[:, 0], other.deltas[:, 0].t()))


@dataclass(frozen=True)
class Patches:
    """Gradients of a convolution's weight: inputs (n, c, ...) and deltas (n, S, b, ...).

    Columns are in the order (height, width, channel) of the kernel.
    """

    inputs: Tensor
    deltas: Tensor
    layer: nn.Conv2d

    @property
    def shape(self) -> tuple[int, int]:
        return self.layer.out_channels, self.layer.weight[0].numel()

    @property
    def nbytes(self) -> int:
        return self.inputs.nbytes + self.deltas.nbytes

    def parts(self, matrix: Tensor) -> dict[str, Tensor]:
        return {"": matrix}

    def sums(self, weights: Tensor) -> Tensor:
        layer = self.layer
        kernel = layer.weight.shape
        total = self.inputs.new_zeros(*weights.shape[::2], kernel[0], kernel[1:].numel())
        for k, s, rows in supports(weights):
            weighted = self.deltas[rows, s] * weights[k, rows, s, None, None, None]
            gradient = conv2d_weight(
                padded(self.inputs[rows], layer),
                kernel,
                weighted,
                stride=layer.stride,
                dilation=layer.dilation,
            )
            total[k, s] = as_rows(gradient)
        return total

    def dots(self, sums: Tensor) -> Tensor:
        layer = self.layer
        channels, *size = layer.weight.shape[1:]
        kernels = sums.flatten(0, 2).unflatten(-1, (*size, channels)).permute(0, 3, 1, 2)
        inputs = padded(self.inputs, layer)
        outputs = F.conv2d(inputs, kernels, stride=layer.stride, dilation=layer.dilation)
        products = outputs.unflatten(1, sums.shape[:3]) * self.deltas[:, None]
        return products.sum((-1, -2)).sum(-1, dtype=torch.float64).transpose(0, 1)

    def square_norms(self) -> Tensor:
        parts = []
        for patches, deltas in self._blocks():
            inputs = torch.bmm(patches, patches.transpose(1, 2))
            outputs = torch.matmul(deltas.transpose(2, 3), deltas)
            parts.append((outputs * inputs[:, None]).sum(-1).sum(-1, dtype=torch.float64))
        return torch.cat(parts)

    def gram(self, other: Patches) -> Tensor:
        return self.explicit().gram(self.explicit() if other is self else other.explicit())

    def explicit(self) -> Explicit:
        """The same gradients written out, sample by sample while its patches are in the cache."""
        samples, outputs, rows = self.deltas.shape[:3]
        vectors = self.inputs.new_empty(samples, outputs * rows, self.layer.weight[0].numel())
        start = 0
        for patches, deltas in self._blocks():
            stop = start + len(patches)
            torch.bmm(deltas.flatten(1, 2), patches, out=vectors[start:stop])
            start = stop
        return Explicit(vectors.unflatten(1, (outputs, rows)))

    def _blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Some samples at a time: patches (i, positions, q) and deltas (i, S, b, positions)."""
        floats = self.layer.weight[0].numel() * self.deltas.shape[3:].numel()
        block = max(1, CACHE_FLOATS // floats) if self.inputs.device.type == "cpu" else len(self.inputs)
        for inputs, deltas in zip(self.inputs.split(block), self.deltas.split(block), strict=True):
            yield patches_of(padded(inputs, self.layer), self.layer, deltas.shape[3:]), deltas.flatten(3)


Record = Explicit | Outer | Patches


def supports(weights: Tensor) -> Iterator[tuple[int, int, Tensor | slice]]:
    """For each k and s of (m, n, S) weights that are not all zero: which of the samples have a weight."""
    for k in range(weights.shape[0]):
        for s in range(weights.shape[2]):
            rows = weights[k, :, s].nonzero().flatten()
            if len(rows) == weights.shape[1]:
                yield k, s, slice(None)
            elif len(rows) > 0:
                yield k, s, rows


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
