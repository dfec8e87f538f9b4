"""What a net must be for its per-sample gradients to come from its layers' inputs and output gradients."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

LAYERS = (nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)
WORDS = "Linear, Conv2d and BatchNorm in evaluation mode"
DIMENSIONS: dict[type[nn.Module], int] = {nn.Linear: 2, nn.Conv2d: 4}


def supported_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers with parameters, by name.

    Raises:
        ValueError: one of them, or another layer, is not supported; the message names it and the way out.
    """
    layers = {}
    owners: dict[int, str] = {}
    for name, module in model.named_modules():
        _check_mode(name, module)
        own = dict(module.named_parameters(recurse=False))
        for own_name, parameter in own.items():
            full_name = join(name, own_name)
            owner = owners.setdefault(id(parameter), full_name)
            if owner != full_name:
                raise ValueError(f"parameter {full_name!r} is tied to {owner!r}: give each layer its own")
        if own:
            _check_kind(name, module, set(own))
            layers[name] = module
    if not layers:
        raise ValueError(f"model must have a layer with parameters: {WORDS}")
    return layers


def join(*names: str) -> str:
    """A parameter's name in the model, from its layer's and its own."""
    return ".".join(name for name in names if name)


def _check_kind(name: str, module: nn.Module, parameters: set[str]) -> None:
    if type(module) not in LAYERS or not {"weight"} <= parameters <= {"weight", "bias"}:
        raise ValueError(
            f"layer {name!r} ({type(module).__name__}) has parameters {sorted(parameters)} whose per-sample "
            f"gradients are not known: use {WORDS}, and layers without parameters"
        )
    if isinstance(module, nn.Conv2d) and module.groups != 1:
        raise ValueError(f"layer {name!r} is a grouped convolution: groups must be 1, got {module.groups}")


def _check_mode(name: str, module: nn.Module) -> None:
    if getattr(module, "inplace", False):
        raise ValueError(f"layer {name!r} works in place: set its inplace=False")
    if isinstance(module, _BatchNorm):
        if module.training:
            raise ValueError(f"layer {name!r} is in training mode, where samples mix: call model.eval()")
        if module.running_mean is None:
            raise ValueError(
                f"layer {name!r} has no running statistics, so samples mix: set track_running_stats=True"
            )
    if isinstance(module, _DropoutNd | nn.RReLU) and module.training:
        raise ValueError(f"layer {name!r} is random in training mode: call model.eval()")
