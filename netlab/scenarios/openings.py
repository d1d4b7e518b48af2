"""Comments for the packets that open something, in captures that no scenario explains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from netlab.decode.frame import Frame, headers

_SYN, _ACK = 0x02, 0x10
_DNS = 53


def openings(frames: Iterable[Frame], names: Mapping[str, Sequence[str]]) -> dict[int, str]:
    """Frame number ─► "TLS ClientHello, edge-london ─► lb", for the first packets of TCP connections, TLS
    handshakes and DNS questions over UDP. `names`: name ─► addresses; another address stands for itself."""
    known = {address: name for name, addresses in names.items() for address in addresses}
    found = {}
    for frame in frames:
        seen = headers(frame.data)
        if seen is None:
            continue
        payload = frame.data[seen.payload_offset : seen.payload_offset + seen.payload_length]
        what = _opened(seen.protocol, seen.dport, seen.flags, payload)
        if what:
            found[frame.number] = (
                f"{what}, {known.get(seen.src, seen.src)} ─► {known.get(seen.dst, seen.dst)}"
            )
    return found


def _opened(protocol: str, port: int, flags: int, payload: bytes) -> str:
    """What a packet opens; nothing for the others. RFC 9293, 3.1; RFC 8446, 5.1 and 4; RFC 1035, 4.1.1."""
    if protocol == "tcp":
        if flags & (_SYN | _ACK) == _SYN:
            return "TCP SYN"
        is_hello = payload[:2] == b"\x16\x03" and payload[5:6] == b"\x01"
        return "TLS ClientHello" if is_hello else ""
    is_question = protocol == "udp" and port == _DNS and len(payload) >= 12 and not payload[2] & 0x80
    return "DNS query" if is_question else ""
