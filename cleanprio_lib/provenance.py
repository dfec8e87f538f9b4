"""Where a recorded number comes from: settings, data, code and machine."""

from __future__ import annotations

import ast
import hashlib
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from cleanprio_lib import __version__, data, experiments

PACKAGE = Path(__file__).parent
MADE = "inputs made from the seed"
# Modules and packages of them whose code decides a run's numbers.
SOURCES = (
    "data", "noise", "models", "theory", "gradients", "metrics", "checkpoints", "sgd", "precision",
    "compiled_mish", "fused_blocks", "steps", "training", "kernels", "robust_training", "wrong_labels",
    "measurements", "experiments",
)  # fmt: skip


def header(name: str, scale: str, settings: Any, split: data.Split | None) -> dict[str, Any]:
    """What all seeds of a recorded run share: name, scale, frozen settings, data source and sha256."""
    return {
        "name": name,
        "scale": scale,
        "settings": experiments.as_dict(settings),
        "data": {"source": split.source, "sha256": dict(split.sha256)}
        if split
        else {"source": MADE, "sha256": {}},
    }


def seed_entry(frame: pd.DataFrame, device: str | None, *, source: str) -> dict[str, Any]:
    """What is one seed's own: code, torch, device, precision, threads, start and duration in seconds."""
    return {
        "library": __version__,
        "source_sha256": source,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": describe_device(device),
        **{str(key): value for key, value in frame.attrs.items()},
    }


def source_files() -> list[Path]:
    """The files of `SOURCES`, in order."""
    return [
        file
        for name in SOURCES
        for file in (sorted((PACKAGE / name).glob("*.py")) or [PACKAGE / f"{name}.py"])
    ]


def source_sha256() -> str:
    """sha256 of the code that decides a run's numbers, blind to comments, docstrings and layout."""
    return sha256(b"".join(_code_alone(file.read_text("utf8")) for file in source_files()))


@cache
def _code_alone(source: str) -> bytes:
    """A module without comments, docstrings and layout; computed once for each text, which takes its time."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree).encode()


def describe_device(device: str | None = None) -> str:
    """The machine in words that name no host: "2-core CPU" or the GPU's model."""
    if torch.device(device or experiments.default_device()).type == "cuda":
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()}-core CPU"


def sha256(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()
