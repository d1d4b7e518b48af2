"""Filters in libpcap's language on packets that are in memory: libpcap compiles and runs them."""

from __future__ import annotations

import ctypes

from netlab.capture.libpcap import Program, compiled, library

_LARGEST = 262_144  # libpcap's MAXIMUM_SNAPLEN


class _Header(ctypes.Structure):
    """struct pcap_pkthdr."""

    _fields_ = (
        ("seconds", ctypes.c_long),
        ("microseconds", ctypes.c_long),
        ("captured", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
    )


class PacketFilter:
    """An expression of pcap-filter(7). Raises InputError where it is none, or not for Ethernet; HostError
    without libpcap."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self._programs: dict[int, Program] = {}
        self._header = _Header()
        self._program(1)

    def matches(self, data: bytes, length: int, linktype: int) -> bool:
        """Whether a packet of `length` bytes on the wire, of which there are `data`, is chosen. Raises
        InputError where the expression makes no sense for this link type."""
        self._header.captured, self._header.length = len(data), length
        program = self._programs.get(linktype) or self._program(linktype)
        run = library().pcap_offline_filter
        return bool(run(ctypes.byref(program), ctypes.byref(self._header), data))

    def _program(self, linktype: int) -> Program:
        handle = library().pcap_open_dead(linktype, _LARGEST)
        try:
            program = self._programs[linktype] = compiled(handle, self.expression)
        finally:
            library().pcap_close(handle)
        return program
