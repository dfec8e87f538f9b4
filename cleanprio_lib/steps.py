"""A step of gradient descent on some samples: by PyTorch's own operations, or compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cleanprio_lib.compiled_mish import compiled_mish
from cleanprio_lib.fused_blocks import FusedNet
from cleanprio_lib.metrics import Task, sample_losses
from cleanprio_lib.precision import resolve_precision
from cleanprio_lib.sgd import Optimizer

if TYPE_CHECKING:
    from cleanprio_lib.training import TrainingSettings

CACHE_SIZED_BATCH = 64
WARM_UP = 3  # steps before one is captured, in which kernels are compiled and chosen


class Step:
    """A step on the mean loss of a batch, (k,) indices of training samples.

    Args:
        model: in training mode whenever a step is taken.
        task: with the model on one device.
        optimizer: of the model's parameters.
        settings: of which the precision and the batch size count.
    """

    def __init__(
        self, model: nn.Module, task: Task, optimizer: Optimizer, settings: TrainingSettings
    ) -> None:
        self.model, self.optimizer, self.task = model, optimizer, task
        self.in_bfloat16 = resolve_precision(settings.precision, task.x.device) == "bfloat16"
        self.batch_size = min(settings.batch_size or len(task.x), len(task.x))
        self.part = gradient_batch(model, task.x.device)

    def __call__(self, batch: Tensor) -> None:
        self._take(batch, self.model)

    def _take(self, batch: Tensor, forward: Callable[[Tensor], Tensor]) -> None:
        self.optimizer.zero_grad()
        for indices in batch.split(self.part or len(batch)):
            (self._loss(indices, forward) / len(batch)).backward()
        self.optimizer.step()

    def _loss(self, indices: Tensor, forward: Callable[[Tensor], Tensor]) -> Tensor:
        """The samples' losses, added up."""
        x, targets = self.task.x, self.task.given if self.task.targets is None else self.task.targets
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            logits = forward(x.index_select(0, indices))
        return sample_losses(logits.float(), targets[indices]).sum()


class MishStep(Step):
    """The same on a CPU, with `compiled_mish`."""

    def __call__(self, batch: Tensor) -> None:
        with compiled_mish(self.model):
            self._take(batch, self.model)


class ReplayedStep(Step):
    """The same on a GPU, with `fused_blocks`: a CUDA graph, recorded once and replayed for every batch.

    An epoch's last batch, if it is smaller than the others, takes an ordinary step. The optimizer's rate,
    velocities and parameters when the graph is recorded are those of every replay.
    """

    def __init__(
        self, model: nn.Module, task: Task, optimizer: Optimizer, settings: TrainingSettings
    ) -> None:
        super().__init__(model, task, optimizer, settings)
        self.fused = FusedNet(model)
        self.taken = 0
        self.stream: Any = None
        self.indices: Tensor | None = None
        self.replay: Callable[[], None] | None = None

    def __call__(self, batch: Tensor) -> None:
        if len(batch) != self.batch_size:
            super().__call__(batch)
            return
        self.stream = self.stream or _stream(batch.device)
        if self.taken < WARM_UP:
            _beside(partial(self._take, batch, self.fused), self.stream)
            self.taken += 1
            return
        if self.replay is None or self.indices is None:
            self.indices = batch.clone()
            self.optimizer.zero_grad()
            self.replay = _captured(partial(self._take, self.indices, self.fused), self.stream)
            self.optimizer.zero_grad()  # what holds memory of the graph
        self.indices.copy_(batch)
        self.replay()


def compiled_step(model: nn.Module, task: Task, optimizer: Optimizer, settings: TrainingSettings) -> Step:
    """The compiled step of the task's device, which gains most with a ResNet-9.

    Numbers change in the last places: of bfloat16, where steps are taken in it.

    Raises:
        RuntimeError: there is no C++ compiler or, for a GPU, no Triton, when a step is first taken.
    """
    return _kind(task.x.device)(model, task, optimizer, settings)


def gradient_batch(model: nn.Module, device: torch.device) -> int | None:
    """Samples whose gradients are computed together before they are summed into a batch's; None for all.

    On a CPU a convolutional net's activations for a batch of 512 pass through main memory; parts of 64 stay
    in the cache, for the same sum up to rounding. Not with batch normalisation, whose statistics are the
    batch's.
    """
    modules = list(model.modules())
    convolutional = any(isinstance(module, nn.Conv2d) for module in modules)
    normalised = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in modules)
    return CACHE_SIZED_BATCH if device.type == "cpu" and convolutional and not normalised else None


def _kind(device: torch.device) -> type[Step]:
    return ReplayedStep if device.type == "cuda" else MishStep


def _stream(device: torch.device) -> Any:
    return torch.cuda.Stream(device)


def _beside(function: Callable[[], None], stream: Any) -> None:
    """Call it on another stream than the current one, as must happen before anything is captured."""
    current = torch.cuda.current_stream(stream.device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        function()
    current.wait_stream(stream)


def _captured(function: Callable[[], None], stream: Any) -> Callable[[], None]:
    """Record the kernels that a function starts, without running them; what starts them all."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        function()
    return graph.replay
