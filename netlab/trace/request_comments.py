"""Comments for the packets that bring a request which is encrypted, or one of several in a connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from netlab.decode.frame import Frame
from netlab.decode.tls import KeyLog
from netlab.trace.connection import Connection, connections

_LONGEST = 200  # characters of a target


def request_comments(
    frames: Iterable[Frame], keys: KeyLog, names: Mapping[str, Sequence[str]]
) -> dict[int, str]:
    """Frame number ─► "HTTP/3 GET /user/42, client-a ─► edge-london": where a request's first byte is, at
    each interface. `names`: name ─► addresses; another address stands for itself.

    Plain HTTP/1.1 is left out: its packets say it themselves (`netlab.decode.openings`).
    """
    known = {address: name for name, addresses in names.items() for address in addresses}
    places: dict[tuple[str, str], list[Frame]] = {}
    for frame in frames:
        places.setdefault((frame.node, frame.interface), []).append(frame)
    found: dict[int, list[str]] = {}
    for seen in places.values():
        for connection in connections(seen, keys):
            for number, said in _requests(connection):
                found.setdefault(number, []).append(f"{said}, {_way(connection, known)}")
    return {number: "; ".join(texts) for number, texts in found.items()}


def _requests(connection: Connection) -> list[tuple[int, str]]:
    if connection.tls is None and connection.quic is None and connection.http.startswith("1"):
        return []
    return [
        (one.request_frames[0], f"HTTP/{one.version} {one.method} {one.target[:_LONGEST]}")
        for one in connection.requests
        if one.request_frames
    ]


def _way(connection: Connection, known: Mapping[str, str]) -> str:
    client, server = connection.client[0], connection.server[0]
    return f"{known.get(client, client)} ─► {known.get(server, server)}"
