"""libpcap and what is needed of libc, by ctypes: their functions, filters, and sizes of rings.

ctypes releases the interpreter's lock during a call. See pcap(3PCAP).
"""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache
from typing import Any

from netlab.errors import HostError, InputError, KernelError

TIMEOUT_MS = 50  # how long the kernel fills a block of the ring before it hands it over
RING_BYTES = 2 * 1024 * 1024
_LARGEST_RING_BYTES = 32 * 1024 * 1024  # 2.5 s at 100 Mbit/s: a busy machine may not schedule us for long
_FEW_RINGS_BYTES = 64 * 1024 * 1024  # where a few interfaces are captured, their rings are larger
_SMALLEST_RING_BYTES = 512 * 1024  # two of libpcap's blocks: one to fill, one to read
_ALL_RINGS_BYTES = 512 * 1024 * 1024  # the kernel takes this memory at once, and it can't be swapped
_ETHERNET = 1  # DLT_EN10MB
_ANY_MASK = 0xFFFFFFFF  # PCAP_NETMASK_UNKNOWN
_CLONE_NEWNET = 0x40000000

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
    "pcap_setdirection": (_INT, [_POINTER, _INT]),
    "pcap_fileno": (_INT, [_POINTER]),
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
    "pcap_dump_ftell64": (ctypes.c_int64, [_POINTER]),
    "pcap_dump_close": (None, [_POINTER]),
    "pcap_close": (None, [_POINTER]),
}
_LIBC_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "setns": (_INT, [_INT, _INT]),
    "fopen": (_POINTER, [_TEXT, _TEXT]),
    "fdopen": (_POINTER, [_INT, _TEXT]),
    "fclose": (_INT, [_POINTER]),
    "ferror": (_INT, [_POINTER]),
    "setvbuf": (_INT, [_POINTER, _POINTER, _INT, ctypes.c_size_t]),
}


class Program(ctypes.Structure):
    """struct bpf_program."""

    _fields_ = (("length", ctypes.c_uint), ("instructions", _POINTER))


class Stat(ctypes.Structure):
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
def library() -> ctypes.CDLL:
    """libpcap, its functions typed. Raises HostError where the machine has none that will do."""
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
def libc() -> ctypes.CDLL:
    """The C library, its functions typed."""
    return _typed(ctypes.CDLL(None, use_errno=True), _LIBC_FUNCTIONS)


def compiled(handle: int, expression: str) -> Program:
    """To be freed with pcap_freecode. Raises InputError where `expression` is no filter for the handle's
    link type."""
    pcap, program = library(), Program()
    if pcap.pcap_compile(handle, ctypes.byref(program), expression.encode(), 1, _ANY_MASK) < 0:
        cause = pcap.pcap_geterr(handle).decode()
        raise InputError(f"capture filter {expression!r}: {cause}", "see pcap-filter(7)")
    return program


def available() -> None:
    """Raises HostError where libpcap is missing."""
    library()


def check_filter(expression: str, snaplen: int) -> None:
    """Raises InputError where `expression` is no filter in the language of pcap-filter(7)."""
    handle = library().pcap_open_dead(_ETHERNET, snaplen)
    try:
        program = compiled(handle, expression)
        library().pcap_freecode(ctypes.byref(program))
    finally:
        library().pcap_close(handle)


def ring_bytes(captures: int) -> int:
    """How large the kernel's ring of each of so many captures is: 2 MiB, more where they are few (up
    to 32 MiB), less where they are many."""
    share = max(captures, 1)
    wanted = max(RING_BYTES, min(_LARGEST_RING_BYTES, _FEW_RINGS_BYTES // share))
    return max(_SMALLEST_RING_BYTES, min(wanted, _ALL_RINGS_BYTES // share))


def enter(namespace_fd: int) -> None:
    """Moves this thread, and no other, into a network namespace. Raises KernelError."""
    if libc().setns(namespace_fd, _CLONE_NEWNET) != 0:
        raise KernelError("setns", ctypes.get_errno(), remedy="capturing needs root")
