"""Images made from what scikit-learn ships, in the shapes of MNIST and CIFAR-10, for want of either."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 20230604
TRAIN, TEST = 6_000, 1_000


def make(name: str) -> dict[str, NDArray[np.uint8]]:
    """The stand-in for a data set: the same 6,000 + 1,000 images at every call, each digit a tenth of them.

    Training and test images show different handwritten originals: see `originals`.

    Args:
        name: "mnist" (28 x 28, white digits on black) or "cifar10" (32 x 32 x 3, coloured on photographs).

    Returns:
        `x_train`, `y_train`, `x_test`, `y_test`: images and labels, uint8, the caller's own copies.

    Source: scikit-learn's `load_digits` (UCI, Optical Recognition of Handwritten Digits) and
    `load_sample_images`.
    """
    return {key: array.copy() for key, array in _arrays(name).items()}


@lru_cache
def _arrays(name: str) -> dict[str, NDArray[np.uint8]]:
    draw = {"mnist": _white_on_black, "cifar10": _coloured_on_photographs}[name]
    digits, labels = _digits()
    rng = np.random.default_rng(SEED)
    arrays = {}
    for part, chosen in zip(("train", "test"), originals(), strict=True):
        arrays[f"x_{part}"] = draw(digits[chosen], rng)
        arrays[f"y_{part}"] = labels[chosen]
    return arrays


def originals() -> tuple[NDArray[Any], NDArray[Any]]:
    """Which of the 1,797 digits each image shows: (6000,) for training, (1000,) for test, none in both."""
    rng = np.random.default_rng(SEED)
    train, test = [], []
    for digit in range(10):
        own = rng.permutation(np.flatnonzero(_digits()[1] == digit))
        seen = len(own) * TRAIN // (TRAIN + TEST)
        train.append(np.resize(own[:seen], TRAIN // 10))
        test.append(np.resize(own[seen:], TEST // 10))
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


@lru_cache
def _digits() -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images / 16, digits.target.astype(np.uint8)


def _white_on_black(digits: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """(n, 8, 8) digits in [0, 1] as (n, 28, 28) uint8 images, 20 pixels high before the random change."""
    return _to_bytes(255 * _enlarged(digits, rng, size=28, height=20))


def _coloured_on_photographs(digits: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """(n, 8, 8) digits in [0, 1] as (n, 32, 32, 3) uint8 images, 24 pixels high before the random change."""
    ink = _enlarged(digits, rng, size=32, height=24)
    ground = _crops(len(digits), rng, size=32)
    under = np.einsum("nij,nijc->nc", ink, ground) / ink.sum(axis=(1, 2))[:, None]
    shade = np.where(under.mean(axis=1, keepdims=True) < 128, 225, 30)
    colour = (shade + rng.uniform(-30, 30, (len(digits), 3))).astype(np.float32)
    # Half the photograph's contrast: on a hard edge of it, a digit would vanish on one of the two sides.
    ground += under[:, None, None]
    ground /= 2
    ground += ink[..., None] * (colour[:, None, None] - ground)
    return _to_bytes(ground)


def _enlarged(digits: NDArray[Any], rng: np.random.Generator, *, size: int, height: int) -> NDArray[Any]:
    """(n, 8, 8) digits to (n, size, size), `height` pixels high, then turned, scaled and shifted a little."""
    from scipy.ndimage import affine_transform, spline_filter1d  # type: ignore[import-untyped]

    n = len(digits)
    turn, scale = rng.uniform(-0.25, 0.25, n), rng.uniform(0.85, 1.15, n)
    cos, sin = np.cos(turn), np.sin(turn)
    # scipy maps output pixels to input pixels: the inverse of what happens to the digit.
    inverse = np.array([[cos, -sin], [sin, cos]]).transpose(2, 0, 1) * (8 / height / scale)[:, None, None]
    centre = (size - 1) / 2 + rng.uniform(-2, 2, (n, 2, 1))
    # Two black pixels all round let the spline fade out; filtering all digits at once takes half the time.
    splines = np.pad(digits, ((0, 0), (2, 2), (2, 2)))
    for axis in (1, 2):
        splines = spline_filter1d(splines, axis=axis)
    offset = 5.5 - (inverse @ centre)[..., 0]
    images = np.empty((n, size, size), np.float32)
    for spline, matrix, start, image in zip(splines, inverse, offset, images, strict=True):
        affine_transform(spline, matrix, start, output=image, output_shape=image.shape, prefilter=False)
    return images.clip(0, 1)


def _crops(n: int, rng: np.random.Generator, *, size: int) -> NDArray[Any]:
    """`n` random square crops of the two photographs, (n, size, size, 3) floats in [0, 255]."""
    from sklearn.datasets import load_sample_images

    photographs = np.stack(load_sample_images().images)
    count, height, width, _ = photographs.shape
    which = rng.integers(count, size=(n, 1, 1))
    top = rng.integers(height - size + 1, size=(n, 1, 1)) + np.arange(size)[:, None]
    left = rng.integers(width - size + 1, size=(n, 1, 1)) + np.arange(size)
    return photographs[which, top, left].astype(np.float32)


def _to_bytes(images: NDArray[Any]) -> NDArray[Any]:
    return np.rint(images, out=images).clip(0, 255, out=images).astype(np.uint8)
