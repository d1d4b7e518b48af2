"""DNS lookups in packets: what a client asked, and what its resolver had to ask for that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netlab.errors import RemoteProtocolError
from netlab.proto import dns
from netlab.trace.leg import Network
from netlab.trace.packet import Packet
from netlab.trace.run import Run
from netlab.trace.story import Span

_PORT = 53
_EVER = 1 << 63


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question and its answer at the interface of the one that asked."""

    name: str
    server: str
    asked: Packet
    answered: Packet


def lookups(
    packets: Iterable[Packet], node: str, start_ns: int = 0, end_ns: int = _EVER
) -> tuple[Lookup, ...]:
    """What `node` asked over UDP between the two times and got an answer to, by time of the question.
    `packets` by time."""
    asked: dict[tuple[object, ...], tuple[str, Packet]] = {}
    found = []
    for packet in packets:
        if packet.frame.node != node or not start_ns <= packet.time_ns <= end_ns:
            continue
        message = _message(packet)
        if message is None or message.question is None:
            continue
        name = message.question.name.lower()
        ends = (packet.dst, packet.src) if message.response else (packet.src, packet.dst)
        key = (packet.frame.interface, *ends, message.id, name, message.question.type)
        if not message.response:
            asked.setdefault(key, (name, packet))  # asked again: the wait began with the first
        elif key in asked:
            _, question = asked.pop(key)
            found.append(Lookup(name, packet.src.address, question, packet))
    return tuple(sorted(found, key=lambda lookup: lookup.asked.time_ns))


def _message(packet: Packet) -> dns.Message | None:
    headers = packet.headers
    if headers.protocol != "udp" or _PORT not in (headers.sport, headers.dport):
        return None
    try:
        return dns.decode(packet.payload)
    except RemoteProtocolError:
        return None  # something else on port 53


def dns_spans(joined: Network, run: Run, node: str, host: str, window: tuple[int, int]) -> tuple[Span, ...]:
    """The lookup of `host` by `node` within `window` (ns), and below it what the resolver asked whom.

    Nothing where the name wasn't looked up: it was in /etc/hosts, or is an address.
    """
    own = [one for one in lookups(joined.packets, node, *window) if one.name == host.lower().rstrip(".")]
    if not own:
        return ()
    top = _span("DNS", node, own, 0)
    resolver = joined.journey_of[own[0].asked.number][-1].frame.node
    if resolver == node:
        return (top,)
    addresses = run.nodes[resolver].addresses if resolver in run.nodes else ()
    theirs = [
        one
        for one in lookups(joined.packets, resolver, top.start_ns, top.end_ns)
        if one.asked.src.address in addresses
    ]
    servers = dict.fromkeys(one.server for one in theirs)
    below = (
        _span(f"DNS ─► {run.node_of(server)}", resolver, [one for one in theirs if one.server == server], 1)
        for server in servers
    )
    return (top, *below)


def _span(name: str, node: str, found: list[Lookup], depth: int) -> Span:
    start = min(one.asked.time_ns for one in found)
    end = max(one.answered.time_ns for one in found)
    frames = sorted({number for one in found for number in (one.asked.number, one.answered.number)})
    return Span(name, node, start, end, turns_of(found), tuple(frames), depth)


def turns_of(found: Iterable[Lookup]) -> int:
    """Round trips: questions that were asked while another one was open cost none of their own."""
    turns, open_until = 0, -1
    for one in found:
        if one.asked.time_ns >= open_until:
            turns += 1
        open_until = max(open_until, one.answered.time_ns)
    return turns
