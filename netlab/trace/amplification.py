"""A QUIC server that may send no more until it hears from its client again (RFC 9000, section 8.1).

Before it has validated the client's address it sends at most three times what it got. A server whose first
flight is longer (a long chain of certificates) waits for the client's acknowledgement, which costs a round
trip although the client has nothing to say.
"""

from __future__ import annotations

from netlab.decode.quic import QuicConnection, Side

_FACTOR = 3
_DATAGRAM = 1200  # what the server would send next
_IGNORANT = 0.8  # of a round trip, as in netlab.trace.round_trips


def releasing(connection: QuicConnection, rtt_ns: int) -> frozenset[int]:
    """The client's datagram that let a blocked server go on, at the client's interface; empty without.

    What came in less than a round trip after that datagram was sent in ignorance of it: if that used up
    what the server was allowed, it waited for the datagram.
    """
    validating = next(
        (one for one in connection.packets if one.sender == "client" and one.type == "Handshake"), None
    )
    if validating is None:
        return frozenset()
    sizes: dict[Side, dict[int, int]] = {"client": {}, "server": {}}
    for packet in connection.packets:
        until = validating.time_ns + (_IGNORANT * rtt_ns if packet.sender == "server" else 0)
        if packet.frame != validating.frame and packet.time_ns <= until:
            sizes[packet.sender][packet.frame] = len(packet.datagram.data)
    allowed = _FACTOR * sum(sizes["client"].values())
    blocked = sum(sizes["server"].values()) + _DATAGRAM > allowed
    return frozenset({validating.frame}) if blocked else frozenset()
