"""One direction of one interface, captured in libpcap's own C loop.

ctypes releases the interpreter's lock while the loop runs, so as many loops run at once as there are
threads, and no Python runs per packet. A pcap record does not say which way a packet went, and on a bridge's
port its addresses don't either; the kernel knows. So each direction has a capture of its own: libpcap
checks every packet's direction, and a filter in the kernel spares the ring the other direction's.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from fcntl import ioctl
from threading import Lock

from netlab.capture import libpcap
from netlab.capture.files import Direction
from netlab.capture.libpcap import Stat, compiled, library
from netlab.capture.writing import Pipe
from netlab.errors import LabError

_NANOSECONDS = 1  # PCAP_TSTAMP_PRECISION_NANO
_DIRECTIONS = {"in": 1, "out": 2}  # PCAP_D_IN, PCAP_D_OUT
_WAYS = {"in": "inbound", "out": "outbound"}  # as pcap-filter(7) has them
_BREAK = -2  # PCAP_ERROR_BREAK
_PERMISSION_DENIED = -8  # PCAP_ERROR_PERM_DENIED
_SO_ATTACH_FILTER = 26
_SIOCGIFMTU = 0x8921
_FRAMING_BYTES = 18  # Ethernet's header with one VLAN tag


class Capture:
    """A capture of one interface of this thread's network namespace, into pcap with nanoseconds.

    From the constructor's return on the kernel keeps packets; `run` writes them until `stop` is
    called from another thread. `run` closes everything.
    """

    def __init__(
        self,
        interface: str,
        direction: Direction,
        output: Pipe,
        snaplen: int,
        capture_filter: str,
        ring: int = libpcap.RING_BYTES,
        timeout_ms: int = libpcap.TIMEOUT_MS,
    ) -> None:
        """`ring`: bytes of the kernel's ring. `timeout_ms`: how long it fills a block that it hands over.

        Raises LabError (the interface), InputError (the filter), HostError (libpcap, the output).
        """
        self.interface = interface
        self.packets = self.dropped = 0
        self._output = output
        self._failure: Exception | None = None
        self._closing = Lock()  # nobody may reach for a handle or file that run() has closed
        self._closed = False
        self._handle: int = _activated(interface, snaplen, ring, timeout_ms)
        try:
            self._choose(direction, capture_filter)
            output.open(self._handle, min(snaplen, _mtu(interface) + _FRAMING_BYTES))
        except BaseException:  # interrupted too: nobody else has the handle yet
            library().pcap_close(self._handle)
            raise

    def _choose(self, direction: Direction, expression: str) -> None:
        """The direction by libpcap, for it is right for packets that are in the ring already. Then both by a
        filter in the kernel. libpcap would run that on those packets too, and has no direction for it."""
        pcap = library()
        if pcap.pcap_setdirection(self._handle, _DIRECTIONS[direction]) < 0:
            raise self._error("choosing the direction of")
        if expression:
            program = compiled(self._handle, expression)
            status = pcap.pcap_setfilter(self._handle, ctypes.byref(program))
            pcap.pcap_freecode(ctypes.byref(program))
            if status < 0:
                raise self._error("setting the filter of")
        way = _WAYS[direction]
        program = compiled(self._handle, f"{way} and ({expression})" if expression else way)
        filtered = struct.pack("@HP", program.length, program.instructions)
        with socket.socket(fileno=os.dup(pcap.pcap_fileno(self._handle))) as ring:
            ring.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filtered)
        pcap.pcap_freecode(ctypes.byref(program))

    def run(self) -> None:
        """Writes packets until `stop`. Raises LabError where the interface or the file fails."""
        try:
            self._loop()
            self._drain()
            self.dropped = self._drops()
            self._output.dump.flush()
        finally:
            with self._closing:
                self._closed = True
                self.packets += self._output.close()
                library().pcap_close(self._handle)

    def _loop(self) -> None:
        pcap = library()
        write = ctypes.cast(pcap.pcap_dump, ctypes.c_void_p)
        while True:
            batch = self._output.batch()
            status = pcap.pcap_loop(self._handle, batch, write, self._output.dump.pointer)
            if self._failure is not None:
                raise self._failure
            if status == _BREAK:
                return
            if status < 0:
                raise self._error("capturing")
            self._count(batch)

    def _count(self, packets: int) -> None:
        with self._closing:
            self.packets += packets
            self._output.written(packets)

    def flush(self) -> None:
        """Writes what is buffered to the file, from another thread: stdio locks it for each packet. Where
        that fails, `run` ends and raises it: what came later would make a file with a hole in it."""
        with self._closing:
            if self._closed or self._failure is not None:
                return
            try:
                self._output.dump.flush()
            except Exception as error:  # noqa: BLE001  run() raises it again
                self._failure = error
                library().pcap_breakloop(self._handle)

    def stop(self) -> None:
        """Ends `run`, which then writes what the kernel has handed over by now."""
        with self._closing:
            if not self._closed:
                library().pcap_breakloop(self._handle)

    def _drain(self) -> None:
        pcap, cause = library(), ctypes.create_string_buffer(256)
        write = ctypes.cast(pcap.pcap_dump, ctypes.c_void_p)
        if pcap.pcap_setnonblock(self._handle, 1, cause) < 0:
            raise LabError(f"capturing {self.interface}: {cause.value.decode()}")
        while True:
            batch = self._output.batch()
            written = pcap.pcap_dispatch(self._handle, batch, write, self._output.dump.pointer)
            if written > 0:
                self._count(written)
            elif written in (0, _BREAK):
                return
            else:
                raise self._error("capturing")

    def _drops(self) -> int:
        stat = Stat()
        if library().pcap_stats(self._handle, ctypes.byref(stat)) < 0:
            raise self._error("reading the statistics of")
        return int(stat.dropped)

    def _error(self, doing: str) -> LabError:
        return LabError(f"{doing} {self.interface}: {library().pcap_geterr(self._handle).decode()}")


def _mtu(interface: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = ioctl(any_socket.fileno(), _SIOCGIFMTU, struct.pack("16s16x", interface.encode()))
    return int(struct.unpack_from("@16xi", answer)[0])


def _activated(interface: str, snaplen: int, ring: int, timeout_ms: int) -> int:
    """A handle that captures. Raises LabError."""
    pcap, cause = library(), ctypes.create_string_buffer(256)
    handle: int | None = pcap.pcap_create(interface.encode(), cause)
    if not handle:
        raise LabError(f"capturing {interface}: {cause.value.decode()}")
    pcap.pcap_set_snaplen(handle, snaplen)
    pcap.pcap_set_promisc(handle, 1)
    pcap.pcap_set_timeout(handle, timeout_ms)
    pcap.pcap_set_buffer_size(handle, ring)
    pcap.pcap_set_tstamp_precision(handle, _NANOSECONDS)
    status = pcap.pcap_activate(handle)
    if status < 0:
        said = pcap.pcap_geterr(handle).decode() or pcap.pcap_statustostr(status).decode()
        pcap.pcap_close(handle)
        remedy = "capturing needs root" if status == _PERMISSION_DENIED else ""
        raise LabError(f"capturing {interface}: {said}", remedy)
    return handle
