"""A process's own small system, by Linux namespaces: few files, no network, no others, no privileges.

This does for a process that already runs what bubblewrap does for a program that it starts: a process that
has imported torch and forked need not import it again. The order is

    separate()      # in a process that is about to fork; its next child is process 1 of a new system
    furnish(view)   # in that child: what it can see of the files
    surrender()     # in that child, before anything of a student's runs

An ordinary user's process makes a user namespace first. Root's does not, and becomes a user that nobody is;
but for the root of a container that has few users, who does as ordinary users do.

Source: namespaces(7), pivot_root(2), mount_setattr(2), capabilities(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NEW_MOUNTS, NEW_UTS, NEW_IPC, NEW_USER, NEW_PID, NEW_NET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
NOSUID, NODEV, NOEXEC, BIND, RECURSIVE, PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
DETACH = 2
AT_CURRENT, AT_RECURSIVE = -100, 0x8000
ATTRIBUTE_READ_ONLY, ATTRIBUTE_NOSUID, ATTRIBUTE_NODEV = 1, 2, 4
SET_DUMPABLE, DROP_FROM_BOUNDS, NO_NEW_PRIVILEGES = 4, 24, 38
CAPABILITY_VERSION = 0x20080522
# Numbers of system calls that the C library has no function for.
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
MOUNT_SETATTR = 442

DEVICES = ("null", "zero", "full", "random", "urandom")
FIRST_UNUSED_USER, UNUSED_USERS = 1_900_000_000, 10**6  # far above what systems give to people and services
REFUSALS = {
    errno.ENOSPC: "the system allows no more of them (/proc/sys/user/max_*_namespaces)",
    errno.EPERM: "the system forbids them to this user",
}


@dataclass(frozen=True)
class View:
    """What a process may see of the file system.

    Attributes:
        root: an empty folder, on which the new root is made.
        shown: files and folders that are there, read-only, under their own names.
        hidden: folders that are empty there, and files that are, even if they lie in one that is shown.
        home: the one folder that can be written to, empty at first, gone afterwards.
        size: bytes that all files there may hold together.
    """

    root: str
    shown: tuple[str, ...]
    hidden: tuple[str, ...]
    home: str
    size: int


def stranger() -> int | None:
    """Number of a user that nobody is, for root to become; None for others, or where there is none."""
    if os.geteuid() != 0:
        return None
    maps = [Path(f"/proc/self/{name}_map") for name in ("uid", "gid")]
    if not all(path.exists() and _maps_strangers(path.read_text()) for path in maps):
        return None
    return FIRST_UNUSED_USER + random.randrange(UNUSED_USERS)


def separate(*, user: int | None) -> None:
    """Leave the other processes, the network and the mounts; the next child is process 1 of its own system.

    Args:
        user: number of the user that root becomes (`stranger`); None for one who makes a user namespace.

    Raises:
        OSError: the system does not allow it.
    """
    own = NEW_MOUNTS | NEW_PID | NEW_NET | NEW_IPC | NEW_UTS
    own_user, group = os.geteuid(), os.getegid()
    try:
        _call("unshare", own if user is not None else own | NEW_USER)
    except OSError as error:
        raise OSError(f"no new namespaces: {REFUSALS.get(error.errno or 0, error.strerror)}") from error
    if user is None:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{own_user} {own_user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def furnish(view: View) -> None:
    """Make a root with what the view shows, step into it and let go of the old one.

    Raises:
        OSError: the system does not allow it.
    """
    _mount(None, "/", None, RECURSIVE | PRIVATE)
    _mount("tmpfs", view.root, "tmpfs", NOSUID | NODEV, "size=1m,mode=755")
    _room(view, "/tmp")
    for path in view.shown:
        _show(path, view.root)
    for path in view.hidden:
        _hide(view.root + path)
    _devices(view.root)
    _room(view, "/dev/shm")
    _room(view, view.home)
    os.makedirs(view.root + "/proc", exist_ok=True)
    _mount("proc", view.root + "/proc", "proc", NOSUID | NODEV | NOEXEC)
    # Much in /proc/sys is the whole machine's.
    _read_only(view.root + "/proc", 0)
    _read_only(view.root, 0)
    os.chdir(view.root)
    _syscall(PIVOT_ROOT[platform.machine()], b".", b".")
    _call("umount2", b".", DETACH)
    os.chdir(view.home)


def surrender(*, user: int | None) -> None:
    """Give up every privilege for good, those that the own namespaces gave included.

    Args:
        user: as for `separate`.

    Raises:
        OSError: the system does not allow it.
    """
    for capability in range(64):
        with contextlib.suppress(OSError):  # there are fewer than 64
            _call("prctl", DROP_FROM_BOUNDS, capability, 0, 0, 0)
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)())
    _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def may_be_traced(allowed: bool) -> None:
    """Whether processes of the same user may look into this one."""
    _call("prctl", SET_DUMPABLE, int(allowed), 0, 0, 0)


def unreadable(paths: Sequence[str]) -> list[str]:
    """Those of the paths that this process cannot read."""
    return [path for path in paths if not os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0))]


def _maps_strangers(text: str) -> bool:
    """Whether all strangers are in one line of a uid_map: first number inside, first outside, how many."""
    ranges = [[int(number) for number in line.split()] for line in text.splitlines()]
    last = FIRST_UNUSED_USER + UNUSED_USERS
    return any(first <= FIRST_UNUSED_USER and last <= first + count for first, _, count in ranges)


def _room(view: View, folder: str) -> None:
    os.makedirs(view.root + folder, exist_ok=True)
    _mount("tmpfs", view.root + folder, "tmpfs", NOSUID | NODEV, f"size={view.size},mode=1777")


def _show(path: str, root: str) -> None:
    target = root + path
    if os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
    elif os.path.exists(path):
        _bind(path, target)
        _read_only(target, AT_RECURSIVE)


def _hide(target: str) -> None:
    if os.path.isdir(target):
        _mount("tmpfs", target, "tmpfs", NOSUID | NODEV, "size=4k,mode=755")
        _read_only(target, 0)
    elif os.path.exists(target):
        _mount("/dev/null", target, None, BIND)


def _devices(root: str) -> None:
    os.makedirs(root + "/dev")
    for name in DEVICES:
        _bind(f"/dev/{name}", f"{root}/dev/{name}")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{root}/dev/{name}")


def _bind(path: str, target: str) -> None:
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(path, target, None, BIND | RECURSIVE)


def _read_only(target: str, flags: int) -> None:
    attributes = ATTRIBUTE_READ_ONLY | ATTRIBUTE_NOSUID | (ATTRIBUTE_NODEV if flags else 0)
    structure = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    _syscall(
        MOUNT_SETATTR, AT_CURRENT, target.encode(), flags, ctypes.byref(structure), ctypes.sizeof(structure)
    )


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [text.encode() if text is not None else None for text in (source, target, kind, options)]
    _call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])


def _call(name: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _syscall(number: int, *arguments: object) -> None:
    _call("syscall", ctypes.c_long(number), *arguments)
