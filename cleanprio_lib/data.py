"""Where the data comes from: a folder, a download or a built-in stand-in; and two clusters in the plane."""

import hashlib
import logging
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanprio_lib import _torchvision, archives, stand_in
from cleanprio_lib._torchvision import DataUnavailable
from cleanprio_lib.archives import ARRAYS, Arrays, DataError

__all__ = ["DataError", "DataUnavailable", "Split", "binary", "cache_folder", "load", "two_clusters"]

TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
SHAPES = {"mnist": (28, 28), "cifar10": (32, 32, 3)}
STAND_INS = {
    "mnist": "built-in stand-in for MNIST (scikit-learn digits)",
    "cifar10": "built-in stand-in for CIFAR-10 (scikit-learn digits on photographs)",
}
ORIGINS = ("folder", "download", "stand-in")

# sha256 of the arrays behind the recorded runs. MNIST is the official one. Of the CIFAR-10 at hand then, 176
# images were JPEG approximations: the official images have other digests, the labels the same.
RECORDED = {
    "mnist": {
        "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
    "cifar10": {
        "x_train": "e83d8276b71537877afa7cdb743d117e73860f15d4450de2aee4fc47666b553c",
        "y_train": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
        "x_test": "d6498903e40261cecbc0277b07dc33cbe764618c3ba8f29c0cf66cff517cd5e7",
        "y_test": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    },
}


@dataclass(frozen=True, eq=False)
class Split:
    """A data set's training and test part, and how it was had. The arrays are the caller's own.

    Attributes:
        name: "mnist" or "cifar10".
        x_train, x_test: (n, 28, 28) or (n, 32, 32, 3) images, uint8.
        y_train, y_test: (n,) labels 0, 1, …, int64 (in uint8, `y - 7` would wrap around).
        source: what the images are: "MNIST", "CIFAR-10", or words that begin "built-in stand-in".
        origin: how they were had: "folder", "download" or "stand-in".
        sha256: digest of each whole array, as uint8 in C order, that this data is or was taken from.
        classes: the original class behind each label; `binary` leaves two.
    """

    name: str
    x_train: NDArray[np.uint8] = field(repr=False)
    y_train: NDArray[np.int64] = field(repr=False)
    x_test: NDArray[np.uint8] = field(repr=False)
    y_test: NDArray[np.int64] = field(repr=False)
    source: str
    origin: str
    sha256: dict[str, str] = field(repr=False)
    classes: tuple[int, ...] = tuple(range(10))

    @property
    def num_classes(self) -> int:
        """How many different labels there are."""
        return len(self.classes)

    @property
    def is_stand_in(self) -> bool:
        """Whether these images were made up in place of the real data set."""
        return self.origin == "stand-in"

    @property
    def differing(self) -> tuple[str, ...]:
        """Names of the arrays that are not, byte for byte, those the recorded runs were made on."""
        return tuple(key for key in ARRAYS if self.sha256[key] != RECORDED[self.name][key])

    @property
    def provenance(self) -> str:
        """One sentence for people: how the data was had, and whether the recorded runs were made on it."""
        if self.is_stand_in:
            title = TITLES[self.name]
            return f"A {self.source} was made, without a network; the recorded runs were made on {title}."
        had = {
            "folder": "was read from the folder named by CLEANPRIO_DATA",
            "download": "was downloaded by way of torchvision and is kept in the cache folder",
        }[self.origin]
        same = "it is byte for byte the data of the recorded runs"
        other = f"its {', '.join(self.differing)} differ from the data of the recorded runs"
        return f"{self.source} {had}; {other if self.differing else same}."


def load(name: str, *, origin: str | None = None) -> Split:
    """A data set: from a folder, else by download, else as a built-in stand-in, saying where it falls back.

    1. "folder": `mnist.npz` or `cifar10.npz` (Keras layout) in the folder that CLEANPRIO_DATA names.
    2. "download": the cache folder (see `cache_folder`), filled by way of torchvision.
    3. "stand-in": images of the same shapes made from what scikit-learn ships.

    Args:
        name: "mnist" (60,000 + 10,000 images) or "cifar10" (50,000 + 10,000); a stand-in has 6,000 + 1,000.
        origin: this one or an error. None leaves it to the environment variable CLEANPRIO_ORIGIN, which holds
            one origin or a list like `mnist=folder,cifar10=stand-in`, and without it to what works first.

    Raises:
        DataError: a file is damaged or holds something else, or CLEANPRIO_DATA is not a folder.
        DataUnavailable: the one origin asked for has no data.
        ValueError: `name`, `origin` or CLEANPRIO_ORIGIN is none of the above.

    Source: LeCun, Cortes and Burges (MNIST); Krizhevsky (2009), "Learning multiple layers of features".
    """
    if name not in TITLES:
        raise ValueError(f"name must be one of {', '.join(TITLES)}, got {name!r}")
    asked = origin or _origin_from_environment(name)
    if not asked:
        return _first_that_works(name)
    if asked not in ORIGINS:
        where = "origin" if origin else "CLEANPRIO_ORIGIN"
        raise ValueError(f"{where} must be one of {', '.join(ORIGINS)}, got {asked!r}")
    _refused.pop((name, cache_folder()), None)
    return _FROM[asked](name)


def binary(split: Split, classes: Sequence[int]) -> Split:
    """Two classes of a data set, as labels 0 and 1 in the order given; the images keep their order.

    Args:
        split: the data to choose from.
        classes: two different ones of `split.classes`, e.g. `(7, 9)`.

    Returns:
        A `Split` with (m,) labels, int64: 0 for `classes[0]`, 1 for `classes[1]`; `source` and `sha256` are
        those of the data it was taken from.

    Raises:
        ValueError: `classes` are not two different classes of `split`.

    Source: the paper's binary tasks, such as MNIST 7 against 9.
    """
    chosen = tuple(classes)
    if len(chosen) != 2 or chosen[0] == chosen[1] or not set(chosen) <= set(split.classes):
        raise ValueError(f"classes must be two different ones of {split.classes}, got {chosen}")
    first, second = (split.classes.index(wanted) for wanted in chosen)
    arrays: dict[str, Any] = {}
    for part in ("train", "test"):
        x, y = getattr(split, f"x_{part}"), getattr(split, f"y_{part}")
        kept = (y == first) | (y == second)
        arrays |= {f"x_{part}": x[kept], f"y_{part}": (y[kept] == second).astype(np.int64)}
    return replace(split, **arrays, classes=tuple(int(wanted) for wanted in chosen))


def two_clusters(
    n_per_class: int, *, angle: float = math.pi / 2, spread: float = 0.1, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    r"""Two Gaussian clusters in the plane, around the unit vectors at angle 0 and at `angle`.

    For a small `spread` $s$, the angle between two points of one cluster is close to $|N(0, 2s^2)|$, of mean
    $2s/\sqrt\pi$.

    Args:
        n_per_class: points in each cluster, at least 1.
        angle: between the two centres, in radians, in [0, pi].
        spread: standard deviation of each coordinate, at least 0.
        seed: decides the points.

    Returns:
        x: (2n, 2) points, float64, class 0 first; y: (2n,) labels 0 and 1, int64.

    Raises:
        ValueError: an argument is out of its range.

    Source: Figure 3 of the paper, which states neither angle nor spread: both defaults are ours.
    """
    if n_per_class < 1:
        raise ValueError(f"n_per_class must be at least 1, got {n_per_class}")
    if not 0 <= angle <= math.pi:
        raise ValueError(f"angle must lie in [0, pi] radians, got {angle}")
    if not 0 <= spread < math.inf:
        raise ValueError(f"spread must be at least 0 and finite, got {spread}")
    y = np.repeat(np.arange(2, dtype=np.int64), n_per_class)
    centres = np.array([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
    return centres[y] + spread * np.random.default_rng(seed).standard_normal((len(y), 2)), y


def cache_folder() -> Path:
    """Where downloads are kept: CLEANPRIO_CACHE, else `cleanprio` in the platform's folder for caches."""
    if given := os.environ.get("CLEANPRIO_CACHE"):
        return Path(given).expanduser()
    usual = {"darwin": "~/Library/Caches", "win32": "~/AppData/Local"}.get(sys.platform, "~/.cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or usual).expanduser() / "cleanprio"


def _origin_from_environment(name: str) -> str | None:
    value = os.environ.get("CLEANPRIO_ORIGIN", "").strip()
    if "=" not in value:
        return value or None
    chosen = {}
    for part in value.split(","):
        key, _, origin = part.partition("=")
        chosen[key.strip()] = origin.strip()
    if unknown := set(chosen) - set(TITLES):
        raise ValueError(f"CLEANPRIO_ORIGIN must name {' and '.join(TITLES)}, got {sorted(unknown)}")
    return chosen.get(name)


def _first_that_works(name: str) -> Split:
    missing: list[str] = []
    for origin in ORIGINS:
        try:
            split = _FROM[origin](name)
        except DataUnavailable as reason:
            missing.append(str(reason))
            continue
        # Where nobody named a folder and the real data is there all the same, nothing was missed.
        if missing and (split.is_stand_in or os.environ.get("CLEANPRIO_DATA")):
            _say(f"{TITLES[name]}: {'; '.join(missing)}. {split.provenance}")
        return split
    raise AssertionError("a stand-in needs nothing that could be missing")


@lru_cache
def _say(message: str) -> None:
    # Once a process. A log record of this level reaches stderr unless the caller has set logging up
    # otherwise. In a notebook stderr is a red block, so there the line is printed. A page of the book shows
    # neither: its build settles CLEANPRIO_ORIGIN beforehand, and a stand-in that was asked for is no
    # fallback.
    if hasattr(getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)(), "kernel"):
        print(message)
    else:
        logging.getLogger(__name__).warning(message)


def _from_folder(name: str) -> Split:
    given = os.environ.get("CLEANPRIO_DATA")
    if not given:
        raise DataUnavailable("CLEANPRIO_DATA names no folder")
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise DataError(f"CLEANPRIO_DATA must name a folder, got {given!r}")
    path = folder / f"{name}.npz"
    if not path.exists():
        raise DataUnavailable(f"the folder {folder} named by CLEANPRIO_DATA holds no {path.name}")
    return _split(name, archives.read(path, image_shape=SHAPES[name]), source=TITLES[name], origin="folder")


def _from_download(name: str) -> Split:
    path = cache_folder() / f"{name}.npz"
    if not path.exists():
        _fill_cache(path, name)
    try:
        arrays = archives.read(path, image_shape=SHAPES[name])
    except DataError as error:
        raise DataError(f"{error}; delete the file and it will be downloaded again") from error
    return _split(name, arrays, source=TITLES[name], origin="download")


def _from_stand_in(name: str) -> Split:
    return _split(name, stand_in.make(name), source=STAND_INS[name], origin="stand-in")


_FROM: dict[str, Callable[[str], Split]] = {
    "folder": _from_folder,
    "download": _from_download,
    "stand-in": _from_stand_in,
}

_refused: dict[tuple[str, Path], str] = {}


def _fill_cache(path: Path, name: str) -> None:
    # A refusal is remembered: without a network, a notebook waits for it once and not at every load.
    if reason := _refused.get((name, path.parent)):
        raise DataUnavailable(reason)
    try:
        archives.write(path, partial(_torchvision.fetch, name))
    except DataUnavailable as error:
        _refused[name, path.parent] = str(error)
        raise
    except OSError as error:
        raise DataUnavailable(f"the cache folder {path.parent} cannot be used: {error}") from error


def _split(name: str, arrays: Arrays, *, source: str, origin: str) -> Split:
    raw = {key: np.ascontiguousarray(arrays[key], np.uint8) for key in ARRAYS}
    return Split(
        name=name,
        x_train=raw["x_train"],
        y_train=raw["y_train"].astype(np.int64),
        x_test=raw["x_test"],
        y_test=raw["y_test"].astype(np.int64),
        source=source,
        origin=origin,
        sha256={key: hashlib.sha256(raw[key].data).hexdigest() for key in ARRAYS},
    )
