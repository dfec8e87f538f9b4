"""One forward and one backward pass in which each layer's input and output gradient are caught."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call

from cleanprio_lib.gradients.layers import records_of
from cleanprio_lib.gradients.records import Record, as_rows, new_sums
from cleanprio_lib.gradients.requirements import DIMENSIONS, join, supported_layers

CHECKED_SAMPLES = 8
CHECKED_SHARE = 32
# Samples of one pass: the activations for more would not stay in a CPU's caches.
CONVOLUTIONAL_BATCH, PLAIN_BATCH = 64, 1024
Records = dict[str, Record]


class CapturedNet:
    """A net whose layers give up their inputs and output gradients; nothing of it is ever changed.

    Args:
        model: see `cleanprio_lib.gradients` for what it may be made of.
        dtype: that everything is computed in, float32 or float64.

    Raises:
        ValueError: the model has a layer that per-sample gradients cannot be had of; the message names it.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype must be torch.float32 or torch.float64, got {dtype}")
        self.model = model
        self.dtype = dtype
        self.layers = supported_layers(model)
        self.parameters = {name: _as(value, dtype) for name, value in model.named_parameters()}
        self.buffers = {name: _as(value, dtype) for name, value in model.named_buffers()}

    @property
    def num_parameters(self) -> int:
        return sum(value.numel() for value in self.parameters.values())

    @property
    def batch(self) -> int:
        """Samples of one pass."""
        convolutional = any(isinstance(layer, nn.Conv2d) for layer in self.layers.values())
        return CONVOLUTIONAL_BATCH if convolutional else PLAIN_BATCH

    def forward(self, x: Tensor, *, with_parameters: bool = False) -> Pass:
        """Logits of (n, ...) inputs, with the graph that leads from the layers' outputs to them."""
        caught = _Caught(self.layers, self.dtype)
        parameters = self.parameters
        if with_parameters:
            parameters = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        with torch.enable_grad(), caught.listening():
            # A copy, which the net may overwrite, and whose need of a gradient makes every layer's output
            # a part of the graph.
            copied = x.detach().to(self.dtype).requires_grad_().clone()
            logits = functional_call(self.model, parameters | self.buffers, copied)
        caught.check()
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x):
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(
                f"model must map {len(x)} inputs to a tensor of logits ({len(x)}, C), got {found}"
            )
        return Pass(self, logits, caught.inputs, caught.outputs, parameters)

    def records(self, x: Tensor, cotangents: Tensor) -> Records:
        """Records of the gradients for (n, ...) inputs of S functions of the logits: cotangents (S, C)."""
        return self.forward(x).records(cotangents[:, None].expand(-1, len(x), -1))

    def check(self, x: Tensor) -> int:
        """Compare records with an ordinary backward pass on a few samples; the number of logits C.

        Raises:
            ValueError: the model is not what it must be.
            RuntimeError: they disagree, for a reason that no other check knows of.
        """
        if len(x) == 0:
            raise ValueError("x must hold at least one sample, got none")
        x = x[: min(CHECKED_SAMPLES, max(2, len(x) // CHECKED_SHARE))]
        caught = self.forward(x, with_parameters=True)
        self._check_alone(x[:1], caught.logits[:1].detach())
        samples, count = caught.logits.shape
        # A weight for each sample, applied after the backward pass on one side and before it on the other:
        # if samples act on each other, the two differ.
        of_logits = torch.linspace(1, 2, count, dtype=self.dtype, device=x.device)
        of_samples = torch.linspace(1, 2, samples, dtype=self.dtype, device=x.device)
        wanted = caught.parameter_gradients(of_samples[:, None] * of_logits)
        norms = {name: float(gradient.norm()) for name, gradient in wanted.items()}
        for name, record in caught.records(of_logits.expand(1, samples, -1)).items():
            sums = new_sums(record, 1, 1, caught.logits.detach())
            record.add_sums(sums, of_samples[None, :, None], [0])
            for own, value in record.parts(sums[0, 0]).items():
                full_name = join(name, own)
                error = float(torch.dist(value, as_rows(wanted[full_name])))
                self._check_close(full_name, error, norms[full_name], sum(norms.values()))
        return count

    def _check_alone(self, x: Tensor, logits: Tensor) -> None:
        alone = self.forward(x).logits.detach()
        if not torch.allclose(alone, logits, rtol=self._tolerance, atol=self._tolerance, equal_nan=True):
            raise RuntimeError(
                f"the logits of a sample are {logits[0].tolist()} in a batch and {alone[0].tolist()} alone: "
                "is the net random, or do samples of a batch act on each other? Call model.eval()"
            )

    def _check_close(self, name: str, error: float, norm: float, total: float) -> None:
        if not error <= self._tolerance * (norm + self._tolerance * total):
            raise RuntimeError(
                f"the gradient of {name!r} from its layer's inputs and output gradients differs from that "
                f"of a backward pass by {error:.3g} (norm {norm:.3g}): is it used outside its layer, does a "
                "hook change the layer, or do samples of a batch act on each other?"
            )

    @property
    def _tolerance(self) -> float:
        """Far above rounding, far below any mistake: .001 in float32."""
        return 3 * torch.finfo(self.dtype).eps ** 0.5


@dataclass(frozen=True)
class Pass:
    """A forward pass: logits (n, C) and each layer's input and output."""

    net: CapturedNet
    logits: Tensor
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    parameters: dict[str, Tensor]

    def records(self, cotangents: Tensor, *, written_out: bool = True) -> Records:
        """Records of the gradients of S functions of the logits. Frees the graph.

        Args:
            cotangents: (S, n, C), the derivative of each function by the logits.
            written_out: whether small gradients may be written out, for faster dots and norms.
        """
        deltas = self._deltas(cotangents)
        records: Records = {}
        for name, layer in self.net.layers.items():
            made = records_of(layer, self.inputs[name], deltas.pop(name), written_out=written_out)
            records |= {join(name, kind): record for kind, record in made.items()}
        return records

    def parameter_gradients(self, weights: Tensor) -> dict[str, Tensor]:
        """The ordinary gradient of the logits' weighted sum: weights (n, C)."""
        gradients = torch.autograd.grad(
            self._total(weights),
            list(self.parameters.values()),
            retain_graph=True,
            materialize_grads=True,
        )
        return dict(zip(self.parameters, gradients, strict=True))

    def _total(self, weights: Tensor) -> Tensor:
        """The logits' weighted sum, a number: to derive more, PyTorch loads SymPy, for comparing shapes."""
        with torch.enable_grad():
            return (self.logits * weights).sum()

    def _deltas(self, cotangents: Tensor) -> dict[str, list[Tensor]]:
        """For each layer and each function, (n, ...) derivatives by the layer's output."""
        outputs = list(self.outputs.values())
        per_function = [
            torch.autograd.grad(
                self._total(cotangent),
                outputs,
                retain_graph=s < len(cotangents) - 1,
                materialize_grads=True,
            )
            for s, cotangent in enumerate(cotangents)
        ]
        return {
            name: list(deltas)
            for name, deltas in zip(self.outputs, zip(*per_function, strict=True), strict=True)
        }


@dataclass
class _Caught:
    """Inputs and outputs of layers as they are called, and their versions at that time."""

    layers: dict[str, nn.Module]
    dtype: torch.dtype
    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    versions: dict[str, tuple[int, int]] = field(default_factory=dict)

    @contextmanager
    def listening(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name, layer in self.layers.items():
                stack.enter_context(layer.register_forward_hook(self._hook(name)))
            yield

    def check(self) -> None:
        """That every layer was called, and that nothing wrote over what was caught."""
        for name in self.layers:
            if name not in self.outputs:
                raise ValueError(
                    f"layer {name!r} is never called: call it in forward (not its weight by itself), "
                    "or remove it"
                )
            if (self.inputs[name]._version, self.outputs[name]._version) != self.versions[name]:
                raise ValueError(
                    f"the input or output of layer {name!r} is overwritten in place: use inplace=False, "
                    "and `x = x + y` for `x += y`"
                )

    def _hook(self, name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if name in self.outputs:
                raise ValueError(f"layer {name!r} is called twice: give each call a layer of its own")
            if len(inputs) != 1:
                raise ValueError(f"layer {name!r} must be called with one argument, its input")
            wanted = DIMENSIONS.get(type(layer), inputs[0].ndim)
            if inputs[0].ndim != wanted:
                raise ValueError(
                    f"layer {name!r} must see a batch with {wanted} dimensions, got {inputs[0].ndim}: "
                    "flatten what is behind the first dimension, or use a 1 x 1 convolution"
                )
            if output.dtype != self.dtype:
                raise ValueError(
                    f"layer {name!r} must compute in {self.dtype}, got {output.dtype}: no autocast in forward"
                )
            self.inputs[name], self.outputs[name] = inputs[0].detach(), output
            self.versions[name] = (inputs[0]._version, output._version)

        return hook


def _as(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.detach().to(dtype) if value.is_floating_point() else value.detach()
