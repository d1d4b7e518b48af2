"""The hop table: every interface that a request's packet crossed, in order, and what changed there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netlab.model.units import format_duration
from netlab.trace.dialogue import Dialogue, Passage
from netlab.trace.packet import Journey, Packet
from netlab.trace.run import Run
from netlab.trace.story import Hop


def hop_table(passages: Sequence[Passage], run: Run, click_ns: int) -> tuple[Hop, ...]:
    """The first packet of the request that arrived, on each leg; then of the response, on each leg back."""
    request: list[Hop] = []
    response: list[Hop] = []
    for before, passage in zip((None, *passages[:-1]), passages, strict=True):
        request += crossing(passage.crossing, "request", _new_leg(before, passage), run, click_ns)
    for passage in reversed(passages):
        response += crossing(passage.returning, "response", _answer(passage), run, click_ns)
    return (*request, *response)


def crossing(journey: Journey, direction: str, begins: str, run: Run, click_ns: int) -> Iterator[Hop]:
    """A hop for each interface of a packet's journey. `begins`: what is said of the first."""
    before: Packet | None = None
    for packet in journey:
        change = begins if before is None else _change(before, packet, run)
        headers = packet.headers
        yield Hop(
            packet.time_ns - click_ns,
            direction,
            packet.frame.node,
            packet.frame.interface,
            headers.eth_src,
            headers.eth_dst,
            headers.src,
            headers.sport,
            headers.dst,
            headers.dport,
            headers.ttl,
            change,
            packet.number,
        )
        before = packet


def _change(before: Packet, packet: Packet, run: Run) -> str:
    """What the packet lost or gained since the interface before, or why nothing changed."""
    changes = []
    if packet.src != before.src:
        changes.append(f"NAT {before.src} ─► {packet.src}")
    if packet.dst != before.dst:
        changes.append(f"NAT {before.dst} ─► {packet.dst}")
    if packet.headers.ttl != before.headers.ttl:
        changes.append(f"TTL −{before.headers.ttl - packet.headers.ttl}")
    if not changes and packet.frame.node == before.frame.node:
        changes.append("switched: the same frame")
    return ", ".join(changes) or _carried(before, packet, run)


def _carried(before: Packet, packet: Packet, run: Run) -> str:
    """The medium that brought it, where it only crossed a link."""
    here, there = (f"{one.frame.node}:{one.frame.interface}" for one in (packet, before))
    link = run.link_at(here)
    if link is None or link.other(here) != there:
        return ""
    delay_ns = link.sent_by(there).delay_ns
    return f"over {link.medium or 'the link'}" + (f", delay {format_duration(delay_ns)}" if delay_ns else "")


def _new_leg(before: Passage | None, passage: Passage) -> str:
    """What is different about the bytes at the start of a leg."""
    protocol = _protocol(passage)
    if before is None:
        return f"the click's request: {protocol}"
    one, other = before.dialogue, passage.dialogue
    if one.opening == other.opening:
        changes = ["new connection", _passed(one)]
    elif one.secured is not None:
        changes = [f"{_layer(one)} terminated", "new connection", protocol]
    else:
        changes = ["new connection", protocol]
    if other.proxied is not None and other.proxied.source:
        source = f"{other.proxied.source}:{other.proxied.source_port}"
        changes.insert(1, f"PROXY header: client {source}")
    return ", ".join(changes)


def _answer(passage: Passage) -> str:
    response = passage.exchange.response
    if isinstance(response, str):
        return f"answer: {response}"
    return f"answer: {response.status}" if response is not None else ""


def _passed(one: Dialogue) -> str:
    return "same bytes" if one.secured is None else f"same {_layer(one)} bytes, unread"


def _layer(one: Dialogue) -> str:
    return "QUIC" if one.quic is not None else "TLS"


def _protocol(passage: Passage) -> str:
    dialogue = passage.dialogue
    spoken = "PostgreSQL" if dialogue.protocol == "sql" else f"HTTP/{dialogue.version}"
    return f"{spoken} in {dialogue.secured.version}" if dialogue.secured is not None else f"plain {spoken}"
