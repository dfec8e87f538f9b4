"""What submissions can see of the file system: Python, the library and its data; nothing of the teacher's."""

from __future__ import annotations

import contextlib
import os
import shutil
import site
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from cleanprio_lib import data
from cleanprio_lib.grading.limits import Limits

PACKAGE = Path(__file__).resolve().parent.parent
HOME = "/student"  # of a submission that has a root of its own
SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store"),
    *("/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
    *("/etc/localtime", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/mime.types"),
)
KEPT_VARIABLES = ("CLEANPRIO_ORIGIN", "LD_LIBRARY_PATH", "LANG", "TZ")


def needed() -> list[str]:
    """Folders of Python and of the library, without which nothing runs."""
    paths = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(sys.executable).resolve().parent.parent)}
    paths |= {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    paths |= {path for path in [*site.getsitepackages(), site.getusersitepackages()] if os.path.isdir(path)}
    return outermost([*paths, *map(os.path.realpath, paths), str(PACKAGE)])


def shown() -> list[str]:
    """All that submissions can read."""
    return outermost([*SYSTEM, *needed(), *_data()])


def outermost(paths: Sequence[str]) -> list[str]:
    """Those that there are and that lie in no other, sorted; what lies below a link, where it really is."""
    whole = {os.path.abspath(path) for path in paths if os.path.lexists(path)}
    links = [path for path in whole if os.path.islink(path)]
    found: list[str] = []
    for path in sorted({_without(links, path) for path in whole}):
        if not any(lies_in(path, one) for one in found):
            found.append(path)
    return found


def lies_in(path: str, folder: str) -> bool:
    """Whether a path is a folder's or the folder itself."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def environment(home: str, fonts: str) -> dict[str, str]:
    """Variables that Python and the library need, and nothing else of the teacher's.

    Args:
        home: of a submission, or of the process that starts submissions.
        fonts: folder with matplotlib's list of fonts.
    """
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    if folder := os.environ.get("CLEANPRIO_DATA"):
        kept["CLEANPRIO_DATA"] = str(Path(folder).absolute())
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {
        **kept,
        **one_thread,
        "CLEANPRIO_CACHE": str(data.cache_folder().absolute()),
        "CUDA_VISIBLE_DEVICES": "",
        "HOME": home,
        "MALLOC_ARENA_MAX": "2",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": fonts,
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(PACKAGE.parent),
        "PYTHONSAFEPATH": "1",
    }


def bubblewrap(limits: Limits, *, visible: Sequence[str], hidden: Sequence[str], fonts: Path) -> list[str]:
    """The command in front of a command that is to run in a small system of its own.

    Args:
        limits: of a submission.
        visible: files and folders that it can read.
        hidden: those that are empty for it, even in a visible folder.
        fonts: folder with matplotlib's list of fonts.
    """
    size = ["--size", str(limits.files)]
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    command += [*size, "--tmpfs", "/tmp"]
    for path in visible:
        link = os.path.islink(path)
        command += ["--symlink", os.readlink(path), path] if link else ["--ro-bind", path, path]
    for path in hidden:
        if any(lies_in(path, one) for one in visible):
            command += ["--tmpfs", path] if os.path.isdir(path) else ["--ro-bind", "/dev/null", path]
    # Root's /proc could be written to, and much in it is the whole machine's.
    command += ["--dev", "/dev", "--proc", "/proc", "--remount-ro", "/proc", *size, "--tmpfs", HOME]
    for file in fonts.iterdir():
        command += ["--ro-bind", str(file), f"{HOME}/{file.name}"]
    return [*command, "--remount-ro", "/", "--chdir", HOME, "--"]


def copy_font_list(folder: Path) -> None:
    """Copy what matplotlib would otherwise take seconds to find out in each new process."""
    import matplotlib
    import matplotlib.font_manager  # makes the list if there is none

    for path in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):
        with contextlib.suppress(OSError):
            shutil.copy(path, folder)


def _without(links: Sequence[str], path: str) -> str:
    below = any(path != link and lies_in(path, link) for link in links)
    return os.path.realpath(path) if below else path


def _data() -> list[str]:
    folders = [data.cache_folder()]
    if folder := os.environ.get("CLEANPRIO_DATA"):
        folders += [Path(folder), *(path.resolve() for path in Path(folder).glob("*.npz"))]
    return [str(path.absolute()) for path in folders]
