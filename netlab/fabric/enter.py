"""Namespaces and mounts of the calling thread: setns(2), unshare(2), mount(2) and umount2(2) of libc.

Python has `os.setns` and `os.unshare` only from 3.12, and no mount at all.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from netlab.errors import KernelError

# <linux/sched.h>
CLONE_NEWNS = 0x0002_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

# <sys/mount.h>
MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000
MS_SLAVE = 0x8_0000
MNT_DETACH = 0x2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)

Result = TypeVar("Result")


def enter(namespace_fd: int, flags: int = CLONE_NEWNET) -> None:
    """Move the calling thread into the namespace behind `namespace_fd`, whose kind is `flags` (setns(2)).

    KernelError where the kernel refuses: EBADF, EINVAL (another kind), EPERM.
    """
    if _libc.setns(namespace_fd, flags):
        raise KernelError("enter namespace", ctypes.get_errno(), remedy=_remedy(ctypes.get_errno()))


def unshare(flags: int) -> None:
    """Give the calling thread new namespaces, CLONE_NEW* in `flags` (unshare(2)). KernelError if refused."""
    if _libc.unshare(flags):
        raise KernelError("create namespace", ctypes.get_errno(), remedy=_remedy(ctypes.get_errno()))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount `source` at `target` (mount(2)); `kind` is the file system's name, `flags` are MS_*.

    KernelError where the kernel refuses.
    """
    if _libc.mount(os.fsencode(source), os.fsencode(target), _text(kind), flags, _text(data)):
        raise KernelError(f"mount {source} at {target}", ctypes.get_errno())


def umount(target: str, flags: int = 0) -> None:
    """Unmount what is at `target` (umount2(2)); `flags` such as MNT_DETACH. KernelError if refused."""
    if _libc.umount2(os.fsencode(target), flags):
        raise KernelError(f"unmount {target}", ctypes.get_errno())


def in_thread(work: Callable[[], Result], stop: Callable[[], None] = lambda: None) -> Result:
    """The result of `work`, done in a thread of its own, which may change namespaces and then ends.

    What `work` raises is raised here. If the wait is interrupted (KeyboardInterrupt, or what a signal
    handler raises), `stop` is called, which should make `work` return soon; it is waited for all the same.
    """
    results: list[Result] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            results.append(work())
        except BaseException as failure:  # noqa: BLE001 - raised again in the thread that asked
            failures.append(failure)

    thread = threading.Thread(target=body, name="fabric")
    thread.start()
    try:
        thread.join()
    except BaseException:  # Ctrl-C: the thread must not go on in the namespace
        stop()
        thread.join()
        raise
    if failures:
        raise failures[0]
    return results[0]


def _text(value: str) -> bytes | None:
    return os.fsencode(value) if value else None


def _remedy(errno: int) -> str:
    return "run netlab as root" if errno == 1 else ""  # EPERM
