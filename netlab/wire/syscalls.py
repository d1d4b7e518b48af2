"""The system calls that Python's standard library lacks: setns (before 3.12), ppoll, prctl, sendmmsg."""

from __future__ import annotations

import ctypes
import os
import signal

CLONE_NEWNET = 0x40000000
_PR_SET_TIMERSLACK = 29
_POLLIN = 0x0001
_KERNEL_SIGSET_BYTES = 128  # glibc's sigset_t; ppoll reads as much of it as the kernel's has

libc = ctypes.CDLL(None, use_errno=True)
libc.sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]


class _PollFd(ctypes.Structure):
    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def enter_network(namespace_fd: int) -> None:
    """Move this thread into a network namespace. Raises OSError."""
    if libc.setns(namespace_fd, CLONE_NEWNET) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def sharpen_timers() -> None:
    """Ask for wake-ups within 1 ns instead of the default slack of 50 µs. Raises OSError."""
    if libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_TIMERSLACK): {os.strerror(number)}")


class Sleeper:
    """ppoll on fixed descriptors, to the nanosecond.

    Signals of `during` are blocked except while it sleeps, so none can fall between the check of a flag
    and the sleep.
    """

    def __init__(self, fds: tuple[int, ...], during: signal.Signals) -> None:
        self._fds = (_PollFd * len(fds))(*(_PollFd(fd, _POLLIN, 0) for fd in fds))
        signal.pthread_sigmask(signal.SIG_BLOCK, {during})
        self._mask = ctypes.create_string_buffer(_KERNEL_SIGSET_BYTES)  # no signal blocked
        self._timeout = _TimeSpec()

    def wait(self, timeout_ns: int | None, first: int) -> tuple[bool, ...]:
        """Sleep until one of the `first` descriptors is readable, a signal came or the time is over.

        Returns which descriptors are readable. Raises OSError.
        """
        timeout = None
        if timeout_ns is not None:
            self._timeout.seconds, self._timeout.nanoseconds = divmod(timeout_ns, 1_000_000_000)
            timeout = ctypes.byref(self._timeout)
        for entry in self._fds:
            entry.revents = 0
        if libc.ppoll(self._fds, first, timeout, self._mask) < 0:
            number = ctypes.get_errno()
            if number != 4:  # EINTR: the signal's handler has run
                raise OSError(number, f"ppoll: {os.strerror(number)}")
            return (False,) * len(self._fds)
        return tuple(entry.revents != 0 for entry in self._fds)
