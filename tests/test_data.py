"""Data from a folder, a download and a stand-in: never silently, never damaged, never half a file."""

import contextlib
import gzip
import hashlib
import io
import json
import logging
import math
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from cleanprio_lib import _torchvision, archives, data, stand_in

DATA = os.environ.get("CLEANPRIO_DATA", "")
ROOT = Path(data.__file__).parents[1]
SHAPES = {"mnist": (28, 28), "cifar10": (32, 32, 3)}
KNOWN = {  # first eight digits of each sha256, MNIST's as published
    "mnist": {"x_train": "741c9888", "y_train": "1feba77c", "x_test": "6d87418d", "y_test": "ddeff807"},
    "cifar10": {"y_train": "2b7cd2f2", "y_test": "cec8a24a"},
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No settings of the machine, an empty cache, and servers that refuse at once."""
    for variable in ("CLEANPRIO_DATA", "CLEANPRIO_ORIGIN", "XDG_CACHE_HOME", "http_proxy", "https_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CLEANPRIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        _torchvision, "MIRRORS", dict.fromkeys(SHAPES, (f"http://127.0.0.1:{_closed_port()}/",))
    )
    data._say.cache_clear()
    data._refused.clear()


def _closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _arrays(name="mnist", *, n=30, n_test=20, seed=0):
    rng = np.random.default_rng(seed)
    images = {
        f"x_{part}": rng.integers(256, size=(k, *SHAPES[name]))
        for part, k in (("train", n), ("test", n_test))
    }
    labels = {f"y_{part}": rng.integers(10, size=k) for part, k in (("train", n), ("test", n_test))}
    return {key: array.astype(np.uint8) for key, array in {**images, **labels}.items()}


def _npz(path, **changes):
    arrays = _arrays(path.stem) | changes
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    return path


def _same(split, arrays):
    return all(np.array_equal(getattr(split, key), arrays[key]) for key in archives.ARRAYS)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder named by CLEANPRIO_DATA."""
    path = tmp_path / "data"
    path.mkdir()
    monkeypatch.setenv("CLEANPRIO_DATA", str(path))
    return path


@pytest.mark.parametrize("name", SHAPES)
def test_folder_gives_the_arrays_with_source_origin_and_sha256(name, folder):
    _npz(folder / f"{name}.npz")
    split, arrays = data.load(name), _arrays(name)
    assert _same(split, arrays)
    assert (split.source, split.origin) == ({"mnist": "MNIST", "cifar10": "CIFAR-10"}[name], "folder")
    assert split.sha256 == {key: hashlib.sha256(arrays[key].tobytes()).hexdigest() for key in archives.ARRAYS}
    assert [split.x_train.dtype, split.y_train.dtype, split.y_test.dtype] == [np.uint8, np.int64, np.int64]
    assert (split.num_classes, split.is_stand_in) == (10, False)


def test_labels_of_any_integer_type_have_the_sha256_of_their_bytes(folder):
    _npz(folder / "mnist.npz")
    narrow = data.load("mnist")
    _npz(folder / "mnist.npz", y_train=_arrays()["y_train"].astype(">i4"))
    assert data.load("mnist").sha256 == narrow.sha256


def test_arrays_in_fortran_order_have_the_sha256_of_c_order(folder):
    _npz(folder / "mnist.npz", x_train=np.asfortranarray(_arrays()["x_train"]))
    assert data.load("mnist").sha256["x_train"] == hashlib.sha256(_arrays()["x_train"].tobytes()).hexdigest()


@pytest.mark.parametrize("origin", ["folder", "stand-in"])
def test_a_caller_cannot_spoil_the_next_load(origin, folder):
    _npz(folder / "mnist.npz")
    first = data.load("mnist", origin=origin)
    first.x_train[:], first.y_train[:], first.sha256["x_train"] = 0, 3, ""
    again = data.load("mnist", origin=origin)
    assert again.x_train.any()
    assert len(set(again.y_train)) == 10
    assert again.sha256["x_train"] == hashlib.sha256(again.x_train.tobytes()).hexdigest()


def test_other_bytes_are_reported_and_not_refused(folder, monkeypatch):
    _npz(folder / "cifar10.npz")
    split = data.load("cifar10")
    official = dict(split.sha256, x_train="0" * 64, x_test="1" * 64)
    monkeypatch.setitem(data.RECORDED, "cifar10", official)
    assert split.differing == ("x_train", "x_test")
    assert "x_train, x_test differ from the data of the recorded runs" in split.provenance
    monkeypatch.setitem(data.RECORDED, "cifar10", split.sha256)
    assert split.differing == ()
    assert "byte for byte the data of the recorded runs" in split.provenance


@pytest.mark.parametrize("name", SHAPES)
def test_the_real_data_is_what_the_recorded_runs_were_made_on(name, monkeypatch):
    if not (Path(DATA) / f"{name}.npz").is_file() or not DATA:
        pytest.skip(f"needs the real data: CLEANPRIO_DATA names no folder with {name}.npz")
    monkeypatch.setenv("CLEANPRIO_DATA", DATA)
    split = data.load(name)
    assert {key: split.sha256[key][:8] for key in KNOWN[name]} == KNOWN[name]
    assert set(split.differing) <= (set() if name == "mnist" else {"x_train", "x_test"})
    assert (len(split.x_train), len(split.x_test)) == {
        "mnist": (60_000, 10_000),
        "cifar10": (50_000, 10_000),
    }[name]


def _cut(path, fraction):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


def _single_array(path):
    with path.open("wb") as file:
        np.save(file, FLOATS)


FLOATS = _arrays()["x_train"] / 255
DAMAGE = {
    "empty file": (lambda p: p.write_bytes(b""), "got 0 bytes that cannot be read"),
    "half a file": (lambda p: _cut(p, 0.5), "must be a whole npz file"),
    "all but the end": (lambda p: _cut(p, 0.99), "must be a whole npz file"),
    "a flipped bit": (_flip, "Bad CRC-32"),
    "a web page": (
        lambda p: p.write_text("<html>Sign in to this network</html>"),
        "must be a whole npz file",
    ),
    "a single array": (_single_array, "must be a whole npz file"),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "must be a whole npz file"),
    "objects": (lambda p: _npz(p, x_train=np.array([{}])), "allow_pickle"),
    "no y_test": (lambda p: _npz(p, y_test=None), "got x_train.npy, x_test.npy, y_train.npy"),
    "other keys": (lambda p: np.savez(p, images=FLOATS), "must hold the arrays x_train, .* got images.npy"),
    "no keys": (lambda p: np.savez(p), "got none"),
    "floats": (lambda p: _npz(p, x_train=FLOATS), r"x_train in .* must be uint8 .* got float64"),
    "signed bytes": (lambda p: _npz(p, x_test=np.zeros((20, 28, 28), np.int8)), r"x_test in .* got int8"),
    "flat images": (
        lambda p: _npz(p, x_train=np.zeros((30, 784), np.uint8)),
        r"\(n, 28, 28\), .* \(30, 784\)",
    ),
    "another data set": (
        lambda p: _npz(p, x_test=np.zeros((20, 32, 32, 3), np.uint8)),
        r"x_test .* 32, 32, 3\)",
    ),
    "a single number": (lambda p: _npz(p, x_train=np.uint8(3)), r"x_train .* of shape \(\)"),
    "no images": (lambda p: _npz(p, x_train=np.zeros((0, 28, 28), np.uint8)), "n > 0"),
    "labels of 10": (
        lambda p: _npz(p, y_train=np.full(30, 10, np.uint8)),
        "y_train in .* in 0 to 9, got 10 to 10",
    ),
    "labels of -1": (lambda p: _npz(p, y_test=np.full(20, -1)), "y_test in .* in 0 to 9, got -1 to -1"),
    "labels as floats": (
        lambda p: _npz(p, y_test=np.ones(20)),
        "y_test in .* must be integers .* got float64",
    ),
    "labels as columns": (
        lambda p: _npz(p, y_train=np.ones((30, 1), np.uint8)),
        r"shape \(30,\), .* \(30, 1\)",
    ),
    "a label short": (
        lambda p: _npz(p, y_train=np.ones(29, np.uint8)),
        r"shape \(30,\), one for each .* \(29,\)",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_an_error_that_names_the_file(kind, folder):
    path = _npz(folder / "mnist.npz")
    spoil, message = DAMAGE[kind]
    spoil(path)
    with pytest.raises(data.DataError, match=message) as caught:
        data.load("mnist")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("store", [np.savez, np.savez_compressed])
def test_no_flipped_byte_goes_unnoticed(store, folder):
    """Wherever one byte is changed, the file is refused or reads as before (a time stamp, say)."""
    path, arrays = folder / "mnist.npz", _arrays(n=2, n_test=1)
    store(path, **arrays)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        starts = [info.header_offset for info in archive.infolist()]
    headers = [range(start, start + 190) for start in starts] + [range(len(whole) - 330, len(whole))]
    refused = 0
    rng = np.random.default_rng(0)
    for at in [*rng.choice(np.concatenate(headers), size=350), *rng.integers(len(whole), size=150)]:
        spoilt = bytearray(whole)
        spoilt[at] ^= int(rng.integers(1, 256))
        path.write_bytes(spoilt)
        try:
            read = archives.read(path, image_shape=(28, 28))
        except data.DataError:
            refused += 1
        else:
            assert all(np.array_equal(read[key], arrays[key]) for key in arrays), f"byte {at}"
    assert refused > 250


def test_bytes_behind_an_array_are_an_error(folder):
    """A file whose header says less than it holds passes zip's checksum."""
    path = folder / "mnist.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in _arrays().items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(f"{key}.npy", content.getvalue() + b"rest" * (key == "x_test"))
    with pytest.raises(data.DataError, match=r"x_test\.npy is longer than its header says"):
        data.load("mnist")


def test_fallback_to_the_stand_in_says_what_was_missing(caplog):
    split = data.load("mnist")
    assert split.is_stand_in
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for words in ("MNIST: CLEANPRIO_DATA names no folder", "127.0.0.1", "A built-in stand-in for MNIST"):
        assert words in record.message


def test_fallback_from_a_folder_without_the_file_says_so(folder, caplog):
    _npz(folder / "mnist.npz")
    _fill_cache("cifar10")
    assert data.load("cifar10").origin == "download"
    (record,) = caplog.records
    assert f"the folder {folder} named by CLEANPRIO_DATA holds no cifar10.npz" in record.message
    assert "CIFAR-10 was downloaded" in record.message


def _fill_cache(name):
    data.cache_folder().mkdir(exist_ok=True)
    return _npz(data.cache_folder() / f"{name}.npz")


def test_no_word_where_nothing_was_missed(folder, caplog, monkeypatch):
    _npz(folder / "mnist.npz")
    assert data.load("mnist").origin == "folder"
    monkeypatch.delenv("CLEANPRIO_DATA")
    _fill_cache("mnist")
    assert data.load("mnist").origin == "download"
    assert data.load("mnist", origin="stand-in").is_stand_in
    assert not caplog.records


def test_the_command_line_shows_the_fallback_on_stderr_and_a_notebook_prints_it(capsys, monkeypatch):
    result = _python("from cleanprio_lib import data\ndata._say('fell back')\ndata._say('fell back')")
    assert (result.stdout, result.stderr) == ("", "fell back\n")
    kernel = type("Shell", (), {"kernel": True})
    monkeypatch.setitem(sys.modules, "IPython", type("IPython", (), {"get_ipython": staticmethod(kernel)}))
    data._say("fell back")
    assert capsys.readouterr() == ("fell back\n", "")


def test_a_folder_that_is_none_is_an_error_naming_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("CLEANPRIO_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(data.DataError, match=r"CLEANPRIO_DATA must name a folder, got '.*nowhere'"):
        data.load("mnist")


def test_the_folder_goes_before_the_cache_and_the_cache_before_the_stand_in(folder):
    _fill_cache("mnist")
    assert data.load("mnist").origin == "download"
    _npz(folder / "mnist.npz")
    assert data.load("mnist").origin == "folder"


@pytest.mark.parametrize("how", ["argument", "variable", "list"])
@pytest.mark.parametrize("origin", data.ORIGINS)
def test_an_origin_can_be_forced(origin, how, folder, monkeypatch):
    _npz(folder / "mnist.npz")
    _fill_cache("mnist")
    value = {"argument": "", "variable": origin, "list": f"cifar10=folder, mnist={origin}"}[how]
    monkeypatch.setenv("CLEANPRIO_ORIGIN", value)
    assert data.load("mnist", origin=origin if how == "argument" else None).origin == origin


def test_the_argument_goes_before_the_variable_and_an_unlisted_set_is_free(folder, monkeypatch):
    _npz(folder / "mnist.npz")
    monkeypatch.setenv("CLEANPRIO_ORIGIN", "stand-in")
    assert data.load("mnist", origin="folder").origin == "folder"
    monkeypatch.setenv("CLEANPRIO_ORIGIN", "cifar10=stand-in")
    assert data.load("mnist").origin == "folder"


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ("folder", "CLEANPRIO_DATA names no folder"),
        ("download", "no server to download from: 127.0.0.1"),
    ],
)
def test_a_forced_origin_without_data_is_an_error(origin, message):
    with pytest.raises(data.DataUnavailable, match=message):
        data.load("mnist", origin=origin)


def test_names_and_origins_that_do_not_exist(monkeypatch):
    with pytest.raises(ValueError, match="name must be one of mnist, cifar10, got 'mnsit'"):
        data.load("mnsit")
    with pytest.raises(ValueError, match="origin must be one of folder, download, stand-in, got 'web'"):
        data.load("mnist", origin="web")
    monkeypatch.setenv("CLEANPRIO_ORIGIN", "web")
    with pytest.raises(ValueError, match=r"CLEANPRIO_ORIGIN must be one of .* got 'web'"):
        data.load("mnist")
    monkeypatch.setenv("CLEANPRIO_ORIGIN", "mnsit=folder")
    with pytest.raises(ValueError, match=r"CLEANPRIO_ORIGIN must name mnist and cifar10, got \['mnsit'\]"):
        data.load("mnist")


def test_the_cache_folder_is_the_platforms(monkeypatch, tmp_path):
    assert data.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("CLEANPRIO_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    assert data.cache_folder() == Path.home() / ".cache" / "cleanprio"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert data.cache_folder() == Path.home() / "Library" / "Caches" / "cleanprio"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data.cache_folder() == tmp_path / "cleanprio"


def test_a_damaged_cache_is_an_error_that_says_what_to_do():
    _cut(_fill_cache("mnist"), 0.5)
    with pytest.raises(
        data.DataError, match=r"mnist.npz must be .*; delete the file and it will be downloaded again"
    ):
        data.load("mnist")


def test_a_cache_that_cannot_be_written_is_no_data(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CLEANPRIO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(data.DataUnavailable, match=r"the cache folder .*file.cache cannot be used"):
        data.load("mnist", origin="download")
    assert data.load("mnist").is_stand_in


class Server:
    """A web server whose first path element says how it behaves, followed by the file asked for."""

    def __init__(self, files):
        handler = type("Handler", (_Handler,), {"files": files, "asked": []})
        self.asked = handler.asked
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def mirror(self, behaviour):
        return f"http://127.0.0.1:{self.http.server_address[1]}/{behaviour}/"


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(405)
        self.end_headers()

    def do_GET(self):
        _, behaviour, file = self.path.split("/")
        self.asked.append(self.path)
        content = self.files.get(file)
        if content is None or behaviour == "gone":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            getattr(self, behaviour)(content)

    def fine(self, content):
        self.wfile.write(content)

    def corrupt(self, content):
        self.wfile.write(bytes([content[0] ^ 1]) + content[1:])

    def half(self, content):
        self.wfile.write(content[: len(content) // 2])

    def stall(self, content):
        self.half(content)
        time.sleep(5)

    def drip(self, content):
        for at in range(len(content)):
            self.wfile.write(content[at : at + 1])
            time.sleep(0.05)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def torchvision():
    return _torchvision.import_torchvision()


def _idx(array):
    sizes = struct.pack(f">{array.ndim}i", *array.shape)
    return gzip.compress(b"\0\0\x08" + bytes([array.ndim]) + sizes + array.tobytes())


def _mnist_files():
    arrays, parts = _arrays("mnist"), (("train", "train"), ("t10k", "test"))
    images = {f"{file}-images-idx3-ubyte.gz": _idx(arrays[f"x_{part}"]) for file, part in parts}
    return images | {f"{file}-labels-idx1-ubyte.gz": _idx(arrays[f"y_{part}"]) for file, part in parts}


def _cifar10_batches():
    arrays = _arrays("cifar10")

    def batch(part, rows):
        images = arrays[f"x_{part}"][rows].transpose(0, 3, 1, 2).reshape(-1, 3072)
        return pickle.dumps({"data": images, "labels": arrays[f"y_{part}"][rows].tolist()})

    batches = {f"data_batch_{k + 1}": batch("train", slice(6 * k, 6 * k + 6)) for k in range(5)}
    names = pickle.dumps({"label_names": list("abcdefghij")})
    return batches | {"test_batch": batch("test", slice(None)), "batches.meta": names}


def _tar(batches):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, batch in batches.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(batch)
            archive.addfile(info, io.BytesIO(batch))
    return content.getvalue()


def _md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def mnist(torchvision, monkeypatch):
    """A server with a small MNIST whose checksums torchvision knows."""
    files = _mnist_files()
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", [(k, _md5(v)) for k, v in files.items()])
    yield (server := Server(files))
    server.close()


@pytest.fixture
def cifar10(torchvision, monkeypatch):
    """A server with a small CIFAR-10 whose checksums torchvision knows."""
    batches = _cifar10_batches()
    kind, archive = torchvision.datasets.CIFAR10, _tar(batches)
    md5 = {name: _md5(batch) for name, batch in batches.items()}
    monkeypatch.setattr(kind, "tgz_md5", _md5(archive))
    monkeypatch.setattr(
        kind, "train_list", [[name, md5[name]] for name in batches if name.startswith("data")]
    )
    monkeypatch.setattr(kind, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(kind, "meta", dict(kind.meta, md5=md5["batches.meta"]))
    yield (server := Server({"cifar-10-python.tar.gz": archive}))
    server.close()


def _use(monkeypatch, server, *behaviours, name="mnist", **patience):
    mirrors = tuple(server.mirror(behaviour) for behaviour in behaviours)
    monkeypatch.setattr(_torchvision, "MIRRORS", {name: mirrors})
    monkeypatch.setattr(
        _torchvision, "PATIENCE", _torchvision.Patience(**{"answer": 2, "stall": 2} | patience)
    )


@pytest.mark.parametrize("name", SHAPES)
def test_download_gives_the_arrays_shows_progress_and_is_kept(name, request, monkeypatch, capsys):
    server = request.getfixturevalue(name)
    _use(monkeypatch, server, "fine", name=name)
    split = data.load(name)
    assert (split.origin, split.source) == ("download", {"mnist": "MNIST", "cifar10": "CIFAR-10"}[name])
    assert _same(split, _arrays(name))
    assert "100%" in capsys.readouterr().err
    assert [path.name for path in data.cache_folder().iterdir()] == [f"{name}.npz"]
    asked = len(server.asked)
    assert _same(data.load(name), _arrays(name))
    assert len(server.asked) == asked


@pytest.mark.parametrize("name", SHAPES)
def test_a_dead_and_a_corrupt_mirror_are_passed_over(name, request, monkeypatch):
    server = request.getfixturevalue(name)
    _use(monkeypatch, server, "gone", "corrupt", "half", "fine", name=name)
    dead = f"http://127.0.0.1:{_closed_port()}/"
    monkeypatch.setitem(_torchvision.MIRRORS, name, (dead, *_torchvision.MIRRORS[name]))
    assert _same(data.load(name, origin="download"), _arrays(name))
    tried = [path.split("/")[1] for path in server.asked]
    assert list(dict.fromkeys(tried)) == ["gone", "corrupt", "half", "fine"]


def test_where_every_mirror_fails_each_reason_is_given_and_nothing_stays(cifar10, monkeypatch):
    _use(monkeypatch, cifar10, "corrupt", "gone", "half", name="cifar10")
    with pytest.raises(
        data.DataUnavailable, match=r"cifar-10-python\.tar\.gz cannot be downloaded"
    ) as caught:
        data.load("cifar10", origin="download")
    assert "md5 must be" in str(caught.value)
    assert "Not Found" in str(caught.value)
    assert not list(data.cache_folder().iterdir())
    assert data.load("cifar10").is_stand_in


@pytest.mark.parametrize(
    ("behaviour", "patience", "reason"),
    [
        ("stall", {"stall": 0.3}, "timed out"),
        ("drip", {"mirror": 0.3, "original": 0.3}, "not done after 0 s"),
        ("drip", {"grace": 0.3, "original": 60}, "kB/s it would take"),
    ],
)
def test_a_server_that_stalls_or_drips_is_given_up(behaviour, patience, reason, mnist, monkeypatch):
    _use(monkeypatch, mnist, behaviour, **patience)
    start = time.monotonic()
    with pytest.raises(data.DataUnavailable, match=reason):
        data.load("mnist", origin="download")
    assert time.monotonic() - start < 3
    assert not list(data.cache_folder().iterdir())


def test_only_the_original_host_is_given_the_longer_time(mnist, monkeypatch):
    given = []

    def refuse(url, path, *, md5, seconds):
        given.append(seconds)
        raise OSError("refused")

    monkeypatch.setattr(_torchvision, "_stream", refuse)
    _use(monkeypatch, mnist, "fine", "gone")
    with pytest.raises(data.DataUnavailable, match="refused"):
        data.load("mnist", origin="download")
    assert given == [300, 1200]


def test_no_network_fails_within_the_time_for_an_answer(monkeypatch):
    """A server that takes the connection and says nothing, as behind a firewall that swallows."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(
            _torchvision, "MIRRORS", {"mnist": (f"http://127.0.0.1:{silent.getsockname()[1]}/",) * 5}
        )
        monkeypatch.setattr(_torchvision, "PATIENCE", _torchvision.Patience(answer=0.5))
        start = time.monotonic()
        with pytest.raises(data.DataUnavailable, match=r"127.0.0.1:\d+ \((silence|timed out)\)"):
            data.load("mnist", origin="download")
    assert time.monotonic() - start < 2


def test_a_server_that_never_answers_holds_up_no_other(monkeypatch):
    def ask(mirror, file, answers):
        time.sleep(3 if mirror == "silent" else 0)
        answers[mirror] = ""

    monkeypatch.setattr(_torchvision, "_ask", ask)
    monkeypatch.setattr(_torchvision, "PATIENCE", _torchvision.Patience(answer=0.3))
    start = time.monotonic()
    assert _torchvision._answering(("first", "silent", "last"), "file") == ["first", "last"]
    assert time.monotonic() - start < 2


def test_a_refused_download_is_tried_again_only_when_asked_for(monkeypatch):
    attempts = []

    def refuse(name, folder):
        attempts.append(name)
        raise data.DataUnavailable("no network")

    monkeypatch.setattr(_torchvision, "fetch", refuse)
    for _ in range(3):
        assert data.load("mnist").is_stand_in
    assert len(attempts) == 1
    with pytest.raises(data.DataUnavailable, match="no network"):
        data.load("mnist", origin="download")
    assert len(attempts) == 2


def test_the_originals_come_last_and_the_addresses_are_torchvisions(torchvision):
    mirrors = _fresh(
        "from cleanprio_lib import _torchvision as t; import json; print(json.dumps([t.MIRRORS, t.PROBES]))"
    )
    mirrors, probes = json.loads(mirrors)
    kinds = torchvision.datasets
    assert mirrors["cifar10"][-1] + probes["cifar10"] == kinds.CIFAR10.url
    assert set(kinds.MNIST.mirrors) <= set(mirrors["mnist"])
    assert probes["mnist"] in dict(kinds.MNIST.resources)
    assert all(address.endswith("/") for addresses in mirrors.values() for address in addresses)


def _python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def _fresh(code, **environment):
    result = _python(code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def _fake_torchvision(folder, code):
    package = folder / "torchvision"
    package.mkdir()
    (package / "early.py").write_text("ready = True\n")
    (package / "__init__.py").write_text(f"import torchvision.early\n{code}\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def test_missing_operators_are_declared_and_the_import_done_again(tmp_path):
    """With a package that does what torchvision does when it is imported beside a torch of another build."""
    fakes = [f"torch.library.register_fake('torchvision::{name}', print)" for name in ("nms", "qnms")]
    package = "\n".join(["import torch", *fakes, "ready = torchvision.early.ready"])
    code = "from cleanprio_lib import _torchvision as t; print(t.import_torchvision().ready)"
    assert _fresh(code, **_fake_torchvision(tmp_path, package)) == "True\n"


def test_any_other_failure_of_the_import_is_left_alone(tmp_path):
    environment = _fake_torchvision(tmp_path, "raise RuntimeError('something else')")
    code = """
import sys
from cleanprio_lib import _torchvision
try:
    _torchvision.import_torchvision()
except RuntimeError as error:
    print(error, "torch" in sys.modules)
"""
    assert _fresh(code, **environment) == "something else False\n"


def test_where_torchvision_cannot_be_imported_there_is_no_download(mnist, monkeypatch):
    _use(monkeypatch, mnist, "fine")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(
        data.DataUnavailable, match="torchvision, needed to read a download, cannot be imported"
    ):
        data.load("mnist", origin="download")


def test_importing_and_reading_a_file_needs_only_numpy(folder):
    _npz(folder / "mnist.npz")
    modules = _fresh(
        "import sys; from cleanprio_lib.data import load; load('mnist'); print(*sys.modules)"
    ).split()
    assert not {"torch", "torchvision", "sklearn", "scipy", "tqdm", "PIL", "pandas"} & set(modules)


WRITER = """
import os, signal, sys, time
import numpy as np
from cleanprio_lib import _torchvision, data

def fetch(name, folder):
    (folder / "archive").write_bytes(b"half")
    x, y = np.zeros((3000, 28, 28), np.uint8), np.arange(3000, dtype=np.uint8) % 10
    return {"x_train": x, "y_train": y, "x_test": x, "y_test": y}

_torchvision.fetch = fetch
"""
REWRITE = """
path = data.cache_folder() / "mnist.npz"
print("ready", flush=True)
while True:
    data._fill_cache(path, "mnist")
"""
DIE_BEFORE = """
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

{what} = die
data.load("mnist", origin="download")
"""
needs_sigkill = pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="needs SIGKILL, which this system lacks"
)


def _start(code):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


def test_two_processes_at_once_leave_one_whole_file():
    writers = [_start(WRITER + REWRITE) for _ in range(2)]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        end, path, reads = time.monotonic() + 20, data.cache_folder() / "mnist.npz", 0
        while reads < 30 and time.monotonic() < end:
            if path.exists():
                assert len(archives.read(path, image_shape=(28, 28))["x_train"]) == 3000
                reads += 1
        assert reads == 30
        assert all(writer.poll() is None for writer in writers)
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


@needs_sigkill
def test_killed_at_any_moment_the_cache_stays_usable():
    for moment in np.random.default_rng(0).uniform(0, 0.1, size=5):
        writer = _start(WRITER + REWRITE)
        writer.stdout.readline()
        time.sleep(moment)
        writer.kill()
        writer.communicate()
        if (data.cache_folder() / "mnist.npz").exists():
            assert len(data.load("mnist", origin="download").x_train) == 3000


@needs_sigkill
@pytest.mark.parametrize("what", ["np.savez", "os.fsync", "os.replace"])
def test_killed_before_each_step_there_is_no_file_and_the_next_download_works(what, monkeypatch):
    assert _python(WRITER + DIE_BEFORE.format(what=what)).returncode == -signal.SIGKILL
    assert not (data.cache_folder() / "mnist.npz").exists()
    (rest,) = data.cache_folder().iterdir()
    monkeypatch.setattr(_torchvision, "fetch", lambda name, folder: _arrays(name))
    assert _same(data.load("mnist"), _arrays())
    assert rest.exists(), "it may belong to a process still at work"
    os.utime(rest, (0, 0))
    (data.cache_folder() / "mnist.npz").unlink()
    assert _same(data.load("mnist"), _arrays())
    assert [path.name for path in data.cache_folder().iterdir()] == ["mnist.npz"]


def test_an_interrupted_download_leaves_nothing(monkeypatch):
    def interrupted(name, folder):
        (folder / "archive").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(_torchvision, "fetch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.load("mnist", origin="download")
    assert not list(data.cache_folder().iterdir())


@pytest.mark.parametrize("name", SHAPES)
def test_stand_in_has_the_shapes_and_says_what_it_is(name):
    split = data.load(name, origin="stand-in")
    assert (split.x_train.shape, split.x_test.shape) == ((6000, *SHAPES[name]), (1000, *SHAPES[name]))
    assert [split.x_train.dtype, split.y_train.dtype] == [np.uint8, np.int64]
    assert split.is_stand_in
    assert split.source.startswith("built-in stand-in for")
    assert split.provenance.startswith("A built-in stand-in for")
    assert len(split.differing) == 4
    for labels, count in ((split.y_train, 600), (split.y_test, 100)):
        assert np.bincount(labels).tolist() == [count] * 10


def test_stand_in_is_the_same_in_another_process():
    other = _fresh("from cleanprio_lib import data; print(data.load('mnist', origin='stand-in').sha256)")
    assert other == f"{data.load('mnist', origin='stand-in').sha256}\n"


def test_train_and_test_show_different_originals():
    train, test = stand_in.originals()
    assert not set(train) & set(test)
    assert set(train) | set(test) == set(range(1797))
    digits, labels = stand_in._digits()
    assert len(np.unique(digits.reshape(1797, 64), axis=0)) == 1797
    arrays = stand_in.make("mnist")
    assert np.array_equal(arrays["y_train"], labels[train])
    assert np.array_equal(arrays["y_test"], labels[test])
    own, other = (_likeness(arrays["x_test"], digits[rows]) for rows in (test, np.roll(test, 1)))
    assert own.mean() > 0.8
    assert other.mean() < 0.6


def _likeness(images, digits):
    """Correlation of each image's 20 x 20 middle, averaged down to 5 x 5, with its supposed original."""
    small = images[:, 4:24, 4:24].reshape(-1, 5, 4, 5, 4).mean(axis=(2, 4)).reshape(-1, 25)
    blocks = np.kron(digits, np.ones((5, 5))).reshape(-1, 5, 8, 5, 8).mean(axis=(2, 4)).reshape(-1, 25)
    centred = [rows - rows.mean(axis=1, keepdims=True) for rows in (small, blocks)]
    return (centred[0] * centred[1]).sum(axis=1) / np.prod(
        [np.linalg.norm(rows, axis=1) for rows in centred], axis=0
    )


@pytest.mark.parametrize(("name", "least"), [("mnist", 0.92), ("cifar10", 0.83)])
def test_stand_in_is_legible(name, least):
    """Nearest neighbours, which know nothing of digits, read those of other originals (chance: 0.1)."""
    from sklearn.neighbors import KNeighborsClassifier

    arrays = stand_in.make(name)
    readable = {key: _distance_from_ground(arrays[key]) for key in ("x_train", "x_test")}
    reader = KNeighborsClassifier(3).fit(readable["x_train"], arrays["y_train"])
    assert reader.score(readable["x_test"], arrays["y_test"]) > least


def _distance_from_ground(images):
    grey = images.reshape(*images.shape[:3], -1).mean(axis=3)
    return abs(grey - np.median(grey, axis=(1, 2), keepdims=True)).reshape(len(images), -1)


def test_enlarging_to_the_same_size_changes_nothing():
    """A spline passes through its nodes: without turn, scale and shift, each pixel keeps its value."""

    class Middle:
        def uniform(self, low, high, size):
            return np.full(size, (low + high) / 2)

    digits, _ = stand_in._digits()
    assert np.allclose(stand_in._enlarged(digits, Middle(), size=8, height=8), digits, atol=1e-6)


def test_stand_in_images_differ_and_fill_the_range():
    for name in SHAPES:
        images = stand_in.make(name)["x_train"]
        assert len({image.tobytes() for image in images}) == 6000
        assert images.max() == 255
        assert images.min() == 0


@pytest.mark.parametrize("classes", [(7, 9), (9, 7), [0, 1], np.array([3, 8])])
def test_binary_keeps_two_classes_in_order(classes, folder):
    _npz(folder / "mnist.npz")
    split = data.load("mnist")
    pair = data.binary(split, classes)
    for part in ("train", "test"):
        y, x = getattr(split, f"y_{part}"), getattr(split, f"x_{part}")
        rows = [row for row in range(len(y)) if y[row] in classes]
        assert np.array_equal(getattr(pair, f"x_{part}"), x[rows])
        assert getattr(pair, f"y_{part}").tolist() == [int(y[row] == classes[1]) for row in rows]
    assert pair.y_train.dtype == np.int64
    assert (pair.num_classes, pair.classes) == (2, tuple(classes))
    assert (pair.name, pair.source, pair.origin, pair.sha256) == ("mnist", "MNIST", "folder", split.sha256)
    assert split.num_classes == 10


def test_binary_of_binary_knows_the_original_classes(folder):
    _npz(folder / "mnist.npz")
    pair = data.binary(data.load("mnist"), (7, 9))
    turned = data.binary(pair, (9, 7))
    assert np.array_equal(turned.y_train, 1 - pair.y_train)
    with pytest.raises(ValueError, match=r"classes must be two different ones of \(7, 9\), got \(0, 1\)"):
        data.binary(pair, (0, 1))


@pytest.mark.parametrize("classes", [(7,), (7, 8, 9), (7, 7), (7, 10), (-1, 7), (7, 8.5), ()])
def test_binary_refuses_what_is_not_two_classes(classes, folder):
    _npz(folder / "mnist.npz")
    with pytest.raises(ValueError, match="classes must be two different ones of"):
        data.binary(data.load("mnist"), classes)


@pytest.mark.parametrize("angle", [0.0, math.pi / 3, math.pi / 2, math.pi])
def test_two_clusters_have_their_centres_and_spread(angle):
    n, spread = 4000, 0.1
    x, y = data.two_clusters(n, angle=angle, spread=spread, seed=1)
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((2 * n, 2), np.float64, (2 * n,), np.int64)
    assert np.array_equal(y, np.repeat([0, 1], n))
    for label, centre in enumerate([(1, 0), (math.cos(angle), math.sin(angle))]):
        own = x[y == label]
        # Five standard errors: s / sqrt(n) of a mean, at most s^2 sqrt(2 / n) of an entry of the covariance.
        assert abs(own.mean(axis=0) - centre).max() < 5 * spread / math.sqrt(n)
        assert abs(np.cov(own.T) - spread**2 * np.eye(2)).max() < 5 * spread**2 * math.sqrt(2 / n)


def test_two_clusters_follow_the_angle_law_within_a_cluster():
    """Disjoint pairs of one cluster: mean angle 2 s / sqrt(pi), to first order in s."""
    n, spread = 20_000, 0.1
    x, y = data.two_clusters(n, spread=spread, seed=2)
    for label in (0, 1):
        direction = np.arctan2(*x[y == label].T)
        angles = abs(direction[::2] - direction[1::2])
        # |N(0, 2 s^2)| has standard deviation s sqrt(2 - 4 / pi). A direction is the sideways shift over the
        # radius 1 + N(0, s^2): a relative correction of at most E[1 / r^2] - 1, about 3 s^2.
        error = 5 * spread * math.sqrt(2 - 4 / math.pi) / math.sqrt(n / 2)
        assert abs(angles.mean() - 2 * spread / math.sqrt(math.pi)) < error + 3 * spread**2 * angles.mean()


def test_two_clusters_depend_on_the_seed_alone():
    first, again, other = (data.two_clusters(5, seed=seed)[0] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    exact, _ = data.two_clusters(2, angle=math.pi / 2, spread=0.0, seed=0)
    assert np.allclose(exact, [[1, 0], [1, 0], [0, 1], [0, 1]], atol=1e-15)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_per_class": 0}, "n_per_class must be at least 1, got 0"),
        ({"angle": -0.1}, r"angle must lie in \[0, pi\] radians, got -0.1"),
        ({"angle": 90}, r"angle must lie in \[0, pi\] radians, got 90"),
        ({"angle": math.nan}, r"angle must lie in \[0, pi\] radians, got nan"),
        ({"spread": -1.0}, "spread must be at least 0 and finite, got -1.0"),
        ({"spread": math.inf}, "spread must be at least 0 and finite, got inf"),
    ],
)
def test_two_clusters_refuse_what_is_out_of_range(changed, message):
    arguments = {"n_per_class": 3, "seed": 0} | changed
    with pytest.raises(ValueError, match=message):
        data.two_clusters(arguments.pop("n_per_class"), **arguments)
