"""Turns a recorder's pcap files into pcapng: one file per interface, and all of them merged by time.

The merged file is for reading a run in order. Wireshark before 4.4 takes a packet's second sighting, on
the next interface, for a retransmission, so each interface has a file of its own too. Packets stream through:
what is held of a capture does not grow with it.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from heapq import heapify, heappop, heappushpop, merge
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import IO, NamedTuple

from netlab.capture.files import DIRECTIONS, Counts, Direction, Piece, allow_descriptors, pieces, raw, stem
from netlab.errors import CaptureError, HostError
from netlab.proto import pcap, pcapng

_WRITE_BUFFER = 256 * 1024
_HEADER_BYTES = 24  # of a pcap file
_WINDOW = 1024  # packets by which the kernel may have put a packet of one direction too late into its ring
_DESCRIPTORS_EACH = 4  # of an interface: its two pcap files, its pcapng file, one spare
_NS = 1_000_000_000

Comment = Callable[[int, bytes], str]


class Kept(NamedTuple):
    """What one interface's files have. `dropped` -1: unknown. `missing`: packets that a ring gave up, the
    oldest ones, in the first `missing_s` seconds of the capture."""

    node: str
    interface: str
    packets: int
    dropped: int
    missing: int = 0
    missing_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Summary:
    """`packets` in trace.pcapng; `dropped` over all interfaces; `files`: trace.pcapng, then the hops'."""

    packets: int
    dropped: int
    files: tuple[Path, ...]
    interfaces: tuple[Kept, ...] = ()


# A packet that is to be written: its time in ns, its source (which numbers the interfaces' directions, so
# that packets of one time keep their order), its place in that; its length on the wire; where its data is.
_Packet = tuple[int, int, int, int, int, int, memoryview]


class _Interface:
    """One interface's pcap files. `horizon_ns`: what a ring has left is whole from then on."""

    def __init__(self, number: int, counts: Counts, directory: Path) -> None:
        self.number = number
        self.counts = counts
        node, interface = counts["node"], counts["interface"]
        whole = {way: raw(directory, node, interface, way) for way in DIRECTIONS}
        self.pieces = {way: pieces(path) for way, path in whole.items()}
        if counts["dropped"] >= 0:  # what a killed recorder had not begun is not missing
            self.pieces = {way: found or [Piece(whole[way], 0, 0)] for way, found in self.pieces.items()}
        oldest = [found[0] for found in self.pieces.values() if found]
        self.header = pcap.header(_mapped(oldest[0].path), str(oldest[0].path))
        self.given_up = sum(one.before for one in oldest)
        self.horizon_ns = max((_first_ns(one.path) for one in oldest if one.before), default=0)
        self.written = 0

    def packets(self) -> Iterator[_Packet]:
        """In the order of time, from the horizon on."""
        both = [
            _in_order(self._records(way, len(DIRECTIONS) * self.number + at))
            for at, way in enumerate(DIRECTIONS)
        ]
        for packet in merge(*both):
            if packet[0] >= self.horizon_ns:
                self.written += 1
                yield packet
            else:
                self.given_up += 1

    def _records(self, way: Direction, source: int) -> Iterator[_Packet]:
        place = 0
        for one in self.pieces[way]:
            data = _mapped(one.path)
            try:
                for time_ns, length, start, end in pcap.records(data, str(one.path)):
                    yield time_ns, source, place, length, start, end, data
                    place += 1
            except CaptureError:
                if self.counts["dropped"] >= 0:
                    raise
                # A recorder that was killed was cut off here.

    def described(self, shared: _Shared) -> bytes:
        node, interface = self.counts["node"], self.counts["interface"]
        return pcapng.interface(
            f"{node}:{interface}",
            shared.descriptions.get((node, interface), ""),
            linktype=self.header.linktype,
            snaplen=self.header.snaplen,
            speed_bps=shared.speeds.get((node, interface), 0),
        )

    def kept(self, started_ns: int) -> Kept:
        missing_s = max(self.horizon_ns - started_ns, 0) / _NS if self.horizon_ns and started_ns else 0.0
        node, interface, dropped = self.counts["node"], self.counts["interface"], self.counts["dropped"]
        return Kept(node, interface, self.written, dropped, self.given_up, round(missing_s, 3))

    def remove(self) -> None:
        for found in self.pieces.values():
            for one in found:
                one.path.unlink()


@dataclass(frozen=True, slots=True)
class _Shared:
    """What every file has before its packets: blocks, and what describes the interfaces."""

    secrets: bytes
    names: bytes
    descriptions: Mapping[tuple[str, str], str]
    speeds: Mapping[tuple[str, str], int]

    def head(self, interfaces: Iterable[_Interface]) -> bytes:
        """All that comes before the packets."""
        described = [one.described(self) for one in interfaces]
        return b"".join((pcapng.section(), *described, self.secrets, self.names))


def assemble(
    directory: Path,
    stats: Sequence[Counts],
    key_log: str,
    names: Mapping[str, Sequence[str]],
    descriptions: Mapping[tuple[str, str], str],
    speeds: Mapping[tuple[str, str], int] = MappingProxyType({}),
    *,
    comment: Comment | None = None,
    started_ns: int = 0,
) -> Summary:
    """Writes directory/hops/NODE.INTERFACE.pcapng and directory/trace.pcapng, and removes the pcap files.

    `stats`: what the recorder said when it stopped, or `salvage`; it also says which interfaces there
    are. `names`: name ─► addresses. `descriptions` and `speeds` (bit/s, sending): of (node, interface).
    `comment`: what is to be said of a packet, from its interface's number and its data. `started_ns`: of
    the capture, to say how much of it a ring has given up.
    Times are to the nanosecond; packets of one time keep the order of `stats`. Raises CaptureError where
    a pcap file is missing or damaged, HostError where the disk is full; the pcap files stay then.
    """
    allow_descriptors(len(stats) * _DESCRIPTORS_EACH)
    interfaces = [_Interface(number, counts, directory) for number, counts in enumerate(stats)]
    secrets = pcapng.secrets(key_log) if key_log else b""
    shared = _Shared(secrets, pcapng.names(by_address(names)) if names else b"", descriptions, speeds)
    hops = [directory / "hops" / f"{stem(one['node'], one['interface'])}.pcapng" for one in stats]
    files = (directory / "trace.pcapng", *hops)
    try:
        (directory / "hops").mkdir(exist_ok=True)
        kept = _write(files, interfaces, shared, comment, started_ns)
    except BaseException as error:
        for path in files:
            path.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        cause = f"{directory}: the pcapng files can't be written: {error.strerror}"
        raise HostError(cause, f"the pcap files are there: {directory}/*.pcap") from error
    for one in interfaces:
        one.remove()
    packets = sum(one.packets for one in kept)
    return Summary(packets, sum(max(one.dropped, 0) for one in kept), files, kept)


def _write(
    files: Sequence[Path],
    interfaces: Sequence[_Interface],
    shared: _Shared,
    comment: Comment | None,
    started_ns: int,
) -> tuple[Kept, ...]:
    """All files in one pass. In the merged file interfaces are numbered in their order."""
    with ExitStack() as stack:
        trace, *hops = [stack.enter_context(path.open("xb", _WRITE_BUFFER)) for path in files]
        trace.write(shared.head(interfaces))
        for file, one in zip(hops, interfaces, strict=True):
            file.write(shared.head([one]))
        end_ns = _write_packets(trace, hops, interfaces, comment)
        kept = tuple(one.kept(started_ns) for one in interfaces)
        for number, (file, counted) in enumerate(zip(hops, kept, strict=True)):
            trace.write(_statistics(number, end_ns, counted))
            file.write(_statistics(0, end_ns, counted))
        return kept


def _write_packets(
    trace: IO[bytes], hops: Sequence[IO[bytes]], interfaces: Sequence[_Interface], comment: Comment | None
) -> int:
    """The time of the last packet."""
    time_ns = 0
    write = trace.write
    for time_ns, source, _, length, start, end, view in merge(*(one.packets() for one in interfaces)):
        number, data = source >> 1, bytes(view[start:end])
        said = comment(number, data) if comment is not None else ""
        block = pcapng.packet(number, time_ns, data, length, said, DIRECTIONS[source & 1])
        write(block)
        hops[number].write(pcapng.renumbered(block, 0))
    return time_ns


def _statistics(number: int, time_ns: int, kept: Kept) -> bytes:
    if kept.dropped < 0 and not kept.missing:
        return b""
    said = ""
    if kept.missing:
        said = f"the ring gave up {kept.missing} packets, of the first {kept.missing_s:.3f} s"
    if kept.dropped < 0:
        return pcapng.statistics(number, time_ns, comment=said)
    received = kept.packets + kept.missing + kept.dropped
    return pcapng.statistics(number, time_ns, received, kept.dropped, kept.packets, said)


def _in_order(packets: Iterator[_Packet]) -> Iterator[_Packet]:
    """By time, where no packet is more than the window too late."""
    window = list(islice(packets, _WINDOW))
    heapify(window)
    for packet in packets:
        yield heappushpop(window, packet)
    while window:
        yield heappop(window)


def salvage(directory: Path, interfaces: Iterable[tuple[str, str]]) -> list[Counts]:
    """What a recorder that died left behind, for `assemble`: how much was dropped is unknown (-1).

    Files without a whole header are removed; interfaces that have lost one of theirs are left out.
    """
    found = []
    for node, interface in interfaces:
        ways = [pieces(raw(directory, node, interface, way)) for way in DIRECTIONS]
        for one in [one for way in ways for one in way]:
            if one.path.stat().st_size < _HEADER_BYTES:
                one.path.unlink()  # it died before it wrote the header
        ways = [pieces(raw(directory, node, interface, way)) for way in DIRECTIONS]
        if any(ways):
            found.append(Counts(node=node, interface=interface, packets=-1, dropped=-1))
    return found


def annotate(path: Path, comments: Mapping[int, str]) -> None:
    """Gives packets of a pcapng file comments: frame number from 1 ─► text.

    The file is replaced as a whole, or not at all. Raises CaptureError where it is damaged.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        with fresh.open("wb", buffering=_WRITE_BUFFER) as file:
            file.writelines(pcapng.annotated(_mapped(path), comments, str(path)))
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _mapped(path: Path) -> memoryview:
    """The file's bytes, without reading all of them at once; an empty file can't be mapped."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror}") from error


def _first_ns(path: Path) -> int:
    """The time of a pcap file's first packet; 0 where it has none."""
    return next((record.time_ns for record in pcap.records(_mapped(path), str(path))), 0)


def by_address(names: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Names by address, of addresses by name."""
    found: dict[str, list[str]] = {}
    for name, addresses in names.items():
        for address in addresses:
            found.setdefault(address, []).append(name)
    return found
