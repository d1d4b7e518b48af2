"""Turns a recorder's pcap files into pcapng: one file per interface, and all of them merged by time.

The merged file is for reading a run in order. Wireshark before 4.4 takes a packet's second sighting, on
the next interface, for a retransmission, so each interface has a file of its own too.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType

from netlab.capture.files import Counts, raw, stem
from netlab.errors import CaptureError
from netlab.proto import pcap, pcapng

_WRITE_BUFFER = 1024 * 1024
_HEADER_BYTES = 24  # of a pcap file


@dataclass(frozen=True, slots=True)
class Summary:
    """`packets` in trace.pcapng; `dropped` over all interfaces; `files`: trace.pcapng, then the hops'."""

    packets: int
    dropped: int
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Shared:
    """What every file has before its packets: blocks, and what describes the interfaces."""

    secrets: bytes
    names: bytes
    descriptions: Mapping[tuple[str, str], str]
    speeds: Mapping[tuple[str, str], int]

    def head(self, raws: Iterable[_Raw]) -> bytes:
        """All that comes before the packets."""
        described = [one.described(self.descriptions, self.speeds) for one in raws]
        return b"".join((pcapng.section(), *described, self.secrets, self.names))


class _Raw:
    """One interface's pcap file, mapped, with its packets in the order of time."""

    def __init__(self, counts: Counts, path: Path) -> None:
        self.counts = counts
        self.path = path
        self.data = _mapped(path)
        self.header = pcap.header(self.data, str(path))
        records = pcap.records(self.data, str(path))
        self.entries = list(records if counts["dropped"] >= 0 else _whole(records))
        self.entries.sort(key=itemgetter(0))

    def described(
        self, descriptions: Mapping[tuple[str, str], str], speeds: Mapping[tuple[str, str], int]
    ) -> bytes:
        node, interface = self.counts["node"], self.counts["interface"]
        return pcapng.interface(
            f"{node}:{interface}",
            descriptions.get((node, interface), ""),
            linktype=self.header.linktype,
            snaplen=self.header.snaplen,
            speed_bps=speeds.get((node, interface), 0),
        )

    def statistics(self, interface: int, time_ns: int) -> bytes:
        dropped = self.counts["dropped"]
        if dropped < 0:
            return b""
        return pcapng.statistics(interface, time_ns, len(self.entries) + dropped, dropped)


def assemble(
    directory: Path,
    stats: Sequence[Counts],
    key_log: str,
    names: Mapping[str, Sequence[str]],
    descriptions: Mapping[tuple[str, str], str],
    speeds: Mapping[tuple[str, str], int] = MappingProxyType({}),
) -> Summary:
    """Writes directory/hops/NODE.INTERFACE.pcapng and directory/trace.pcapng, and removes the pcap files.

    `stats`: what the recorder said when it stopped, or `salvage`; it also says which interfaces there
    are. `names`: name ─► addresses. `descriptions` and `speeds` (bit/s, sending): of (node, interface).
    Times are to the nanosecond; packets of one time keep the order of `stats`. Raises CaptureError where
    a pcap file is missing or damaged; the pcap files stay then.
    """
    raws = [_Raw(counts, raw(directory, counts["node"], counts["interface"])) for counts in stats]
    secrets = pcapng.secrets(key_log) if key_log else b""
    shared = _Shared(secrets, pcapng.names(_by_address(names)) if names else b"", descriptions, speeds)
    hops = directory / "hops"
    hops.mkdir(exist_ok=True)
    files = [directory / "trace.pcapng"]
    _write(files[0], raws, shared)
    for one in raws:
        files.append(hops / f"{stem(one.counts['node'], one.counts['interface'])}.pcapng")
        _write(files[-1], [one], shared)
    for one in raws:
        one.path.unlink()
    packets = sum(len(one.entries) for one in raws)
    return Summary(packets, sum(max(counts["dropped"], 0) for counts in stats), tuple(files))


def _whole(records: Iterable[pcap.Record]) -> Iterator[pcap.Record]:
    """Those before the place where a killed recorder was cut off."""
    with suppress(CaptureError):
        yield from records


def salvage(directory: Path, interfaces: Iterable[tuple[str, str]]) -> list[Counts]:
    """What a recorder that died left behind, for `assemble`: how much was dropped is unknown (-1)."""
    found = []
    for node, interface in interfaces:
        path = raw(directory, node, interface)
        if not path.exists() or path.stat().st_size < _HEADER_BYTES:
            path.unlink(missing_ok=True)  # it died before it wrote the header
            continue
        packets = sum(1 for _ in _whole(pcap.records(_mapped(path), str(path))))
        found.append(Counts(node=node, interface=interface, packets=packets, dropped=-1))
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


def _by_address(names: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, addresses in names.items():
        for address in addresses:
            found.setdefault(address, []).append(name)
    return found


def _write(path: Path, raws: Sequence[_Raw], shared: _Shared) -> None:
    """One pcapng file with the packets of `raws`; their interfaces are numbered in that order."""
    end_ns = max((one.entries[-1].time_ns for one in raws if one.entries), default=0)
    with path.open("wb", buffering=_WRITE_BUFFER) as file:
        file.write(shared.head(raws))
        file.writelines(_packets(raws))
        file.writelines(one.statistics(number, end_ns) for number, one in enumerate(raws))


def _packets(raws: Sequence[_Raw]) -> Iterator[bytes]:
    numbered = [(entry, number) for number, one in enumerate(raws) for entry in one.entries]
    numbered.sort(key=lambda pair: pair[0].time_ns)  # stable, and fast on runs that are in order already
    maps = [one.data for one in raws]
    for entry, number in numbered:
        yield pcapng.packet(number, entry.time_ns, bytes(maps[number][entry.start : entry.end]), entry.length)
