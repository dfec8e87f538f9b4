"""Full precision for a measurement or a step in float32, whatever the caller has switched on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

Others = ParamSpec("Others")
Result = TypeVar("Result")


def in_full_precision(
    measure: Callable[Concatenate[nn.Module, Tensor, Others], Result],
) -> Callable[Concatenate[nn.Module, Tensor, Others], Result]:
    """Make a function of a model and (n, ...) inputs compute without autocast and without TensorFloat-32."""

    @wraps(measure)
    def measured(model: nn.Module, x: Tensor, *args: Others.args, **kwargs: Others.kwargs) -> Result:
        with full_precision(x.device), torch.inference_mode(False), torch.no_grad():
            return measure(model, x, *args, **kwargs)

    return measured


def resolve_precision(precision: str, device: torch.device) -> str:
    """Precision of training steps on a device: "auto" is bfloat16 only where instructions for it exist."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        probes = (
            getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        )
        native = any(probe() for probe in probes if probe)
    return "bfloat16" if native else "float32"


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Within the block neither autocast nor TensorFloat-32, whose gradients are degrees off."""
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            stack.callback(setattr, torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
            torch.backends.cudnn.allow_tf32 = False
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        stack.callback(torch.set_float32_matmul_precision, precision)
        yield
