"""The index pass: who talks to whom in a capture, by headers alone, in memory that does not grow with it.

It says which packets have to be decoded together (a unit), so that a second pass can decode each
connection when it comes to it, and forget it after its last packet.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from netlab.decode.fragments import MOST_OPEN, Fragment, fragment
from netlab.decode.frame import Frame, Headers, headers, split_name
from netlab.decode.link import ETHERNET
from netlab.errors import CaptureError
from netlab.proto.capture_file import CaptureFile, Place
from netlab.trace.other_parts import DNS_PORTS

LARGEST_UNIT = 16 << 20  # bytes of a connection that are decoded deeply
MOST_PACKETS = 4_000_000  # of a capture, whose units are remembered (4 bytes each)
MOST_KEPT = 2_000_000  # packets whose places are remembered (40 bytes each)
_MOST_FLOWS = 500_000
_IPV4_20, _IPV6 = b"\x08\x00\x45", b"\x86\xdd"
_TCP, _UDP = 6, 17
_LATEST = (1 << 64) - 1  # a damaged resolution makes absurd times
_SHORTEST = 42  # of Ethernet, IPv4 and UDP headers
_UNFRAGMENTED = (0, 0x40)


class Unit:
    """Packets that are decoded together: a TCP connection at one interface, or what a node has to do with a
    server's UDP socket. `places`: number, time, start, end, length and interface of each packet in turn."""

    __slots__ = ("bytes", "last", "packets", "places", "protocol")

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.places = array("Q")
        self.packets = self.bytes = self.last = 0

    @property
    def cut(self) -> bool:
        """Some of its packets aren't in `places`."""
        return len(self.places) < 6 * self.packets


@dataclass
class Index:
    """`units_of`: of packet n, at n - 1, its unit's number in `units`, 0 for none. `problem`: where the file
    is damaged; what comes before stands. `flows`: how many directions of flows there are."""

    file: CaptureFile
    packets: int = 0
    units: list[Unit | None] = field(default_factory=lambda: [None])
    units_of: array[int] = field(default_factory=lambda: array("I"))
    flows: int = 0
    problem: CaptureError | None = None

    def unit(self, number: int) -> Unit | None:
        """Of packet `number`."""
        return self.units[self.units_of[number - 1]] if 0 < number <= len(self.units_of) else None

    def frames(self, unit: Unit) -> list[Frame]:
        """As far as they were kept."""
        rows = zip(*(unit.places[column::6] for column in range(6)), strict=True)
        return [
            self.frame(number, Place(time_ns, length, start, end, interface))
            for number, time_ns, start, end, length, interface in sorted(rows)
        ]

    def move(self, source: int, target: int) -> None:
        """All packets of one unit to another. Where a unit is full, they are only counted."""
        old, new = self.units[source], self.units[target]
        if old is None or new is None:
            return
        for row in range(0, len(old.places), 6):
            number = old.places[row]
            if number <= len(self.units_of):
                self.units_of[number - 1] = target
            if new.bytes < LARGEST_UNIT:
                new.places.extend(old.places[row : row + 6])
        new.bytes += old.bytes
        new.packets += old.packets
        new.last = max(new.last, old.last)
        self.units[source] = Unit(old.protocol)

    def frame(self, number: int, place: Place) -> Frame:
        described = self.file.interfaces[place.interface]
        node, interface = split_name(described.name)
        data = self.file.data[place.start : place.end]
        return Frame(number, place.time_ns, node, interface, place.length, data, described.linktype)


def index(file: CaptureFile) -> Index:
    """Reads the whole file once. A damaged file's index ends at the damage: see `problem`."""
    found, flows = Index(file), _Flows(file)
    data, interfaces = file.data, file.interfaces
    tables, units, units_of = flows.tables, found.units, found.units_of
    number = kept = 0
    try:
        for place in file.places():
            number += 1
            _, _, start, end, interface = place
            head = data[start : min(end, start + 58)]
            known = None
            if interfaces[interface].linktype == ETHERNET and end - start >= _SHORTEST:
                if head[12:15] == _IPV4_20 and head[20] in _UNFRAGMENTED and not head[21]:
                    known = tables[interface].get(head[26:38] + head[23:24])
                elif head[12:14] == _IPV6:
                    known = tables[interface].get(head[20:21] + head[22:58])
            if known is None:
                known = flows.unit(number, place, head, found)
            unit = units[known]
            if number <= MOST_PACKETS:
                units_of.append(known)
            if unit is not None:
                unit.packets += 1
                unit.last = number
                if unit.bytes < LARGEST_UNIT and kept < MOST_KEPT:
                    unit.bytes += end - start
                    time_ns = min(place.time_ns, _LATEST)
                    unit.places.extend((number, time_ns, start, end, place.length, interface))
                    kept += 1
    except CaptureError as error:
        found.problem = error
    found.packets, found.flows = number, flows.count
    return found


class _Tables(dict[int, dict[bytes, int]]):
    def __missing__(self, interface: int) -> dict[bytes, int]:
        return self.setdefault(interface, {})


class _Flows:
    """Flows by interface and the bytes of addresses and ports, and the units that they belong to."""

    def __init__(self, file: CaptureFile) -> None:
        self.file = file
        self.tables = _Tables()
        self.count = 0
        self._by_key: dict[object, int] = {}
        self._grouping = Grouping()
        self._fragments: dict[object, int] = {}

    def unit(self, number: int, place: Place, head: bytes, index: Index) -> int:
        """Of packet `number`, whose flow isn't known by the bytes of its addresses; 0 for none."""
        described = self.file.interfaces[place.interface]
        frame = index.frame(number, place)
        found = headers(frame.data, described.linktype)
        piece = fragment(frame)
        if piece is not None:
            return self._of_fragment(piece, place, found, index)
        if found is None or found.fragment_offset or found.protocol not in ("tcp", "udp"):
            return 0
        known = self._number(place, found, described.name, index.units)
        if described.linktype == ETHERNET and self.count < _MOST_FLOWS:
            self._remember(place.interface, head, known)
        return known

    def _of_fragment(self, piece: Fragment, place: Place, found: Headers | None, index: Index) -> int:
        """That of the flow which the first fragment names; until it comes, and where there is none, a unit of
        its own. What came before the first goes over to the flow's."""
        key = place.interface, piece.key
        known = self._fragments.get(key, 0)
        if not piece.offset and found is not None and found.protocol in ("tcp", "udp"):
            name = self.file.interfaces[place.interface].name
            flow = self._number(place, found, name, index.units)
            if flow and known and flow != known:
                index.move(known, flow)
            known = flow or known
        if not known:
            if len(index.units) > _MOST_FLOWS:
                return 0
            known = len(index.units)
            index.units.append(Unit("ip"))
        self._fragments.pop(key, None)  # the newest are last
        self._fragments[key] = known
        if len(self._fragments) > MOST_OPEN:
            del self._fragments[next(iter(self._fragments))]
        return known

    def _remember(self, interface: int, head: bytes, number: int) -> None:
        """For the fast path, which must not meet options, extensions or fragments."""
        if head[12:15] == _IPV4_20 and head[23] in (_TCP, _UDP):
            self.tables[interface][head[26:38] + head[23:24]] = number
        elif head[12:14] == _IPV6 and head[20] in (_TCP, _UDP):
            self.tables[interface][head[20:21] + head[22:58]] = number
        self.count += 1

    def _number(self, place: Place, found: Headers, name: str, units: list[Unit | None]) -> int:
        node, interface = split_name(name)
        first = self.file.data[place.start + found.payload_offset : place.end][:1]
        key = self._grouping.key(node, interface or str(place.interface), found, first)
        if key is None:
            return 0
        number = self._by_key.get(key)
        if number is None:
            if len(units) > _MOST_FLOWS:
                return 0
            number = self._by_key[key] = len(units)
            units.append(Unit(found.protocol))
        return number


class Grouping:
    """What has to be decoded together: a TCP connection at one interface; in UDP what an interface has to do
    with a server's socket, since a QUIC client may change its address. Where a flow at another interface of
    the same node begins within a QUIC connection, the client has moved there."""

    def __init__(self) -> None:
        # By node, interface and server: the interface where the connection began.
        self._began: dict[tuple[str, str, tuple[str, int]], str] = {}
        self._first: dict[tuple[str, tuple[str, int]], str] = {}

    def key(self, node: str, interface: str, found: Headers, first: bytes) -> object | None:
        """`first`: the first byte of the payload. None for what is decoded packet by packet."""
        one, other = (found.src, found.sport), (found.dst, found.dport)
        if found.protocol == "tcp":
            return node, interface, frozenset((one, other))
        if {found.sport, found.dport} & DNS_PORTS:
            return None
        for end in (other, one):
            if (node, interface, end) in self._began:
                return node, self._began[node, interface, end], end
        began = interface
        if node and first and not first[0] & 0x80:
            began = self._first.get((node, other), interface)
        self._began[node, interface, other] = began
        self._first.setdefault((node, other), interface)
        return node, began, other
