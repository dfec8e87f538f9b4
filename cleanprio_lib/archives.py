"""npz files of images: read whole or refused, written whole or not at all."""

import contextlib
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
ABANDONED = 6 * 3600.0


class DataError(ValueError):
    """Data that is there and cannot be used; names the file, what was found and what must be."""


def read(path: Path, *, image_shape: tuple[int, ...]) -> Arrays:
    """The four arrays of an npz file in the Keras layout.

    Args:
        path: the file.
        image_shape: of one image, `(28, 28)` say.

    Returns:
        `x_train`, `x_test`: (n, *image_shape) uint8; `y_train`, `y_test`: (n,) integers in 0 to 9.

    Raises:
        DataError: the file is damaged, or lacks one of these arrays, or one has another shape, type or range.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            held = archive.namelist()
            arrays = {key: _member(archive, f"{key}.npy") for key in ARRAYS if f"{key}.npy" in held}
    except Exception as error:  # zip, deflate and npy fail in a dozen ways, and all mean the same
        found = f"{path.stat().st_size:,} bytes that cannot be read ({type(error).__name__}: {error})"
        raise DataError(f"{path} must be a whole npz file, got {found}") from error
    if len(arrays) < len(ARRAYS):
        raise DataError(f"{path} must hold the arrays {', '.join(ARRAYS)}, got {', '.join(held) or 'none'}")
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        _check_images(x, f"x_{part} in {path}", image_shape)
        _check_labels(y, f"y_{part} in {path}", len(x))
    return arrays


def write(path: Path, make: Callable[[Path], Arrays]) -> None:
    """Write what `make` returns to `path`: killed half-way or run twice at once, it is absent or whole.

    Args:
        path: the npz file; its folder is made.
        make: is given an empty folder beside `path` to work in, which is removed afterwards.

    Raises:
        OSError: the folder cannot be written to, or is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent, ignore_cleanup_errors=True) as part:
        arrays: dict[str, Any] = make(Path(part))
        whole = Path(part) / path.name
        with whole.open("wb") as file:
            # Uncompressed, it reads several times as fast; photographs hardly shrink anyway.
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(whole, path)


def _member(archive: zipfile.ZipFile, member: str) -> NDArray[Any]:
    with archive.open(member) as content:
        array = np.lib.format.read_array(content, allow_pickle=False)
        # zip compares its checksum at the end of a member, which is reached only by reading on.
        if content.read(1):
            raise ValueError(f"{member} is longer than its header says")
    return array


def _check_images(x: NDArray[Any], what: str, image_shape: tuple[int, ...]) -> None:
    if x.dtype != np.uint8 or x.shape[1:] != image_shape or not x.size:
        wanted = f"uint8 of shape (n, {', '.join(map(str, image_shape))}), n > 0"
        raise DataError(f"{what} must be {wanted}, got {x.dtype} of shape {x.shape}")


def _check_labels(y: NDArray[Any], what: str, count: int) -> None:
    if y.dtype.kind not in "iu" or y.shape != (count,):
        wanted = f"integers of shape ({count},), one for each image"
        raise DataError(f"{what} must be {wanted}, got {y.dtype} of shape {y.shape}")
    if y.min() < 0 or y.max() > 9:
        raise DataError(f"{what} must lie in 0 to 9, got {y.min()} to {y.max()}")


def _sweep(folder: Path) -> None:
    """Remove what killed processes left behind; a younger rest may belong to one still at work."""
    for part in folder.glob(".part-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > ABANDONED:
                shutil.rmtree(part, ignore_errors=True)
