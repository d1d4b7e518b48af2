"""libpcap by ctypes: one live capture, from an interface into a file, in libpcap's own C loop.

ctypes releases the interpreter's lock during a call, so as many loops run at once as there are
threads, and no Python runs per packet. See pcap(3PCAP).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import mmap
import os
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from netlab.errors import HostError, InputError, KernelError, LabError

TIMEOUT_MS = 20  # how long the kernel fills a block of the ring before it hands it over
_RING_BYTES = 2 * 1024 * 1024
_LARGEST_RING_BYTES = 32 * 1024 * 1024  # 2.5 s at 100 Mbit/s: a busy machine may not schedule us for long
_FEW_RINGS_BYTES = 64 * 1024 * 1024  # where a few interfaces are captured, their rings are larger
_SMALLEST_RING_BYTES = 512 * 1024  # two of libpcap's blocks: one to fill, one to read
_ALL_RINGS_BYTES = 512 * 1024 * 1024  # the kernel takes this memory at once, and it can't be swapped
_FILE_BUFFER_BYTES = 1024 * 1024
_NANOSECONDS = 1  # PCAP_TSTAMP_PRECISION_NANO
_ETHERNET = 1  # DLT_EN10MB
_BREAK = -2  # PCAP_ERROR_BREAK
_PERMISSION_DENIED = -8  # PCAP_ERROR_PERM_DENIED
_ANY_MASK = 0xFFFFFFFF  # PCAP_NETMASK_UNKNOWN
_CLONE_NEWNET = 0x40000000
_IOFBF = 0

_POINTER, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_PCAP_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "pcap_create": (_POINTER, [_TEXT, _TEXT]),
    "pcap_set_snaplen": (_INT, [_POINTER, _INT]),
    "pcap_set_promisc": (_INT, [_POINTER, _INT]),
    "pcap_set_timeout": (_INT, [_POINTER, _INT]),
    "pcap_set_buffer_size": (_INT, [_POINTER, _INT]),
    "pcap_set_tstamp_precision": (_INT, [_POINTER, _INT]),
    "pcap_activate": (_INT, [_POINTER]),
    "pcap_open_dead": (_POINTER, [_INT, _INT]),
    "pcap_compile": (_INT, [_POINTER, _POINTER, _TEXT, _INT, ctypes.c_uint32]),
    "pcap_setfilter": (_INT, [_POINTER, _POINTER]),
    "pcap_freecode": (None, [_POINTER]),
    "pcap_offline_filter": (_INT, [_POINTER, _POINTER, _TEXT]),
    "pcap_loop": (_INT, [_POINTER, _INT, _POINTER, _POINTER]),
    "pcap_dispatch": (_INT, [_POINTER, _INT, _POINTER, _POINTER]),
    "pcap_setnonblock": (_INT, [_POINTER, _INT, _TEXT]),
    "pcap_breakloop": (None, [_POINTER]),
    "pcap_stats": (_INT, [_POINTER, _POINTER]),
    "pcap_geterr": (_TEXT, [_POINTER]),
    "pcap_statustostr": (_TEXT, [_INT]),
    "pcap_dump_fopen": (_POINTER, [_POINTER, _POINTER]),
    "pcap_dump_flush": (_INT, [_POINTER]),
    "pcap_dump_close": (None, [_POINTER]),
    "pcap_close": (None, [_POINTER]),
}
_LIBC_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "setns": (_INT, [_INT, _INT]),
    "fopen": (_POINTER, [_TEXT, _TEXT]),
    "fclose": (_INT, [_POINTER]),
    "ferror": (_INT, [_POINTER]),
    "setvbuf": (_INT, [_POINTER, _POINTER, _INT, ctypes.c_size_t]),
}


class Program(ctypes.Structure):
    """struct bpf_program."""

    _fields_ = (("length", ctypes.c_uint), ("instructions", _POINTER))


class _Stat(ctypes.Structure):
    """struct pcap_stat. `received` has the dropped ones in it; `interface_dropped` isn't filled for veths."""

    _fields_ = (
        ("received", ctypes.c_uint),
        ("dropped", ctypes.c_uint),
        ("interface_dropped", ctypes.c_uint),
    )


def _typed(library: ctypes.CDLL, functions: dict[str, tuple[Any, list[Any]]]) -> ctypes.CDLL:
    for name, (result, arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


@cache
def _pcap() -> ctypes.CDLL:
    """libpcap. Raises HostError where the machine has none that will do."""
    for name in ("libpcap.so.0.8", "libpcap.so.1"):
        try:
            return _typed(ctypes.CDLL(name), _PCAP_FUNCTIONS)
        except OSError:
            continue
        except AttributeError as error:
            raise HostError(f"{name} is too old: {error}", "install libpcap 1.10 or later") from error
    raise HostError(
        "libpcap is missing, so nothing can be captured",
        "install it: apt-get install libpcap0.8 (Fedora: dnf install libpcap)",
    )


@cache
def _libc() -> ctypes.CDLL:
    return _typed(ctypes.CDLL(None, use_errno=True), _LIBC_FUNCTIONS)


def library() -> ctypes.CDLL:
    """libpcap, its functions typed. Raises HostError where the machine has none that will do."""
    return _pcap()


def compiled(handle: int, expression: str) -> Program:
    """Raises InputError where `expression` is no filter for the handle's link type."""
    program = Program()
    _compile(handle, expression, program)
    return program


def available() -> None:
    """Raises HostError where libpcap is missing."""
    _pcap()


def check_filter(expression: str, snaplen: int) -> None:
    """Raises InputError where `expression` is no filter in the language of pcap-filter(7)."""
    pcap = _pcap()
    handle, program = pcap.pcap_open_dead(_ETHERNET, snaplen), Program()
    try:
        _compile(handle, expression, program)
        pcap.pcap_freecode(ctypes.byref(program))
    finally:
        pcap.pcap_close(handle)


def _compile(handle: int, expression: str, program: Program) -> None:
    pcap = _pcap()
    if pcap.pcap_compile(handle, ctypes.byref(program), expression.encode(), 1, _ANY_MASK) < 0:
        cause = pcap.pcap_geterr(handle).decode()
        raise InputError(f"capture filter {expression!r}: {cause}", "see pcap-filter(7)")


def ring_bytes(captures: int) -> int:
    """How large the kernel's ring of each of so many captures is: 2 MiB, more where they are few (up
    to 32 MiB), less where they are many."""
    share = max(captures, 1)
    wanted = max(_RING_BYTES, min(_LARGEST_RING_BYTES, _FEW_RINGS_BYTES // share))
    return max(_SMALLEST_RING_BYTES, min(wanted, _ALL_RINGS_BYTES // share))


def enter(namespace_fd: int) -> None:
    """Moves this thread, and no other, into a network namespace. Raises KernelError."""
    if _libc().setns(namespace_fd, _CLONE_NEWNET) != 0:
        raise KernelError("setns", ctypes.get_errno(), remedy="capturing needs root")


class Capture:
    """A capture of one interface of this thread's network namespace into a pcap file with nanoseconds.

    From the constructor's return on the kernel keeps packets; `run` writes them until `stop` is
    called from another thread. `run` closes everything.
    """

    def __init__(
        self, interface: str, path: Path, snaplen: int, capture_filter: str, ring: int = _RING_BYTES
    ) -> None:
        """`ring`: bytes of the kernel's ring.

        Raises LabError (the interface), InputError (the filter), HostError (libpcap, the file).
        """
        self.interface = interface
        self.path = path
        self.dropped = 0
        self._closing = Lock()  # stop() must not reach for a handle that run() has closed
        self._closed = False
        self._handle: int = _activated(interface, snaplen, ring)
        try:
            if capture_filter:
                self._filter(capture_filter)
            self._open_file()
        except Exception:
            _pcap().pcap_close(self._handle)
            raise

    def _filter(self, expression: str) -> None:
        pcap, program = _pcap(), Program()
        _compile(self._handle, expression, program)
        status = pcap.pcap_setfilter(self._handle, ctypes.byref(program))
        pcap.pcap_freecode(ctypes.byref(program))
        if status < 0:
            raise self._failure("setting the filter")

    def _open_file(self) -> None:
        libc = _libc()
        self._file = libc.fopen(os.fsencode(self.path), b"we")
        if not self._file:
            raise HostError(f"{self.path}: {os.strerror(ctypes.get_errno())}")
        # Memory that becomes real as it is used: most interfaces never fill it.
        self._buffer = mmap.mmap(-1, _FILE_BUFFER_BYTES)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))
        libc.setvbuf(self._file, start, _IOFBF, _FILE_BUFFER_BYTES)
        self._dumper = _pcap().pcap_dump_fopen(self._handle, self._file)
        if not self._dumper:
            libc.fclose(self._file)
            raise self._failure("writing the file's header")

    def run(self) -> None:
        """Writes packets until `stop`. Raises LabError where the interface or the file fails."""
        pcap = _pcap()
        write = ctypes.cast(pcap.pcap_dump, _POINTER)
        try:
            status = pcap.pcap_loop(self._handle, -1, write, self._dumper)
            if status != _BREAK:
                raise self._failure("capturing")
            self._drain(write)
            self.dropped = self._drops()
            if pcap.pcap_dump_flush(self._dumper) != 0 or _libc().ferror(self._file):
                raise HostError(f"{self.path}: the packets could not all be written", "is the disk full?")
        finally:
            with self._closing:
                self._closed = True
                pcap.pcap_dump_close(self._dumper)
                pcap.pcap_close(self._handle)

    def flush(self) -> None:
        """Writes what is buffered to the file, from another thread: stdio locks it for each packet. A failure
        stays in the file's error flag, and `run` raises it."""
        with self._closing:
            if not self._closed:
                library().pcap_dump_flush(self._dumper)

    def stop(self) -> None:
        """Ends `run`, which then writes what the kernel has handed over by now."""
        with self._closing:
            if not self._closed:
                _pcap().pcap_breakloop(self._handle)

    def _drain(self, write: ctypes.c_void_p) -> None:
        pcap, cause = _pcap(), ctypes.create_string_buffer(256)
        if pcap.pcap_setnonblock(self._handle, 1, cause) < 0:
            raise LabError(f"capturing {self.interface}: {cause.value.decode()}")
        while (written := pcap.pcap_dispatch(self._handle, -1, write, self._dumper)) > 0:
            pass
        if written not in (0, _BREAK):
            raise self._failure("capturing")

    def _drops(self) -> int:
        stat = _Stat()
        if _pcap().pcap_stats(self._handle, ctypes.byref(stat)) < 0:
            raise self._failure("reading the statistics of")
        return int(stat.dropped)

    def _failure(self, doing: str) -> LabError:
        return LabError(f"{doing} {self.interface}: {_pcap().pcap_geterr(self._handle).decode()}")


def _activated(interface: str, snaplen: int, ring: int) -> int:
    """A handle that captures. Raises LabError."""
    pcap, cause = _pcap(), ctypes.create_string_buffer(256)
    handle: int | None = pcap.pcap_create(interface.encode(), cause)
    if not handle:
        raise LabError(f"capturing {interface}: {cause.value.decode()}")
    pcap.pcap_set_snaplen(handle, snaplen)
    pcap.pcap_set_promisc(handle, 1)
    pcap.pcap_set_timeout(handle, TIMEOUT_MS)
    pcap.pcap_set_buffer_size(handle, ring)
    pcap.pcap_set_tstamp_precision(handle, _NANOSECONDS)
    status = pcap.pcap_activate(handle)
    if status < 0:
        said = pcap.pcap_geterr(handle).decode() or pcap.pcap_statustostr(status).decode()
        pcap.pcap_close(handle)
        remedy = "capturing needs root" if status == _PERMISSION_DENIED else ""
        raise LabError(f"capturing {interface}: {said}", remedy)
    return handle
