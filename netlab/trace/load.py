"""`Trace.load`: a run directory ─► the story of its requests. Needs neither root nor the lab."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from netlab.decode.frame import Frame
from netlab.decode.tls import KeyLog
from netlab.errors import CaptureError, InputError
from netlab.model.event import Event
from netlab.model.suggest import nearest
from netlab.proto.http import ResponseHead
from netlab.trace.dialogue import Dialogue, Passage, dialogue, passages
from netlab.trace.hops import hop_table
from netlab.trace.leg import Network, network
from netlab.trace.message import trace_id_in
from netlab.trace.names import dns_spans
from netlab.trace.neighbours import Resolution, resolutions, with_waits
from netlab.trace.osi import layer_table
from netlab.trace.packet import packets_of
from netlab.trace.quic_dialogue import quic_dialogues
from netlab.trace.recording import AGAIN, Recording
from netlab.trace.run import Run
from netlab.trace.section import sections
from netlab.trace.story import LayerTable, Variant
from netlab.trace.waterfall import waterfall


@dataclass(frozen=True, slots=True)
class Trace:
    """What ran, and each of its requests."""

    run: Run
    variants: tuple[Variant, ...]

    @classmethod
    def load(cls, directory: Path) -> Trace:
        """Reads a run directory (see `Recording`).

        Raises CaptureError where a file is missing or damaged, or where a request that the client
        says it made isn't in the capture.
        """
        return cls.of(Recording.load(directory))

    @classmethod
    def of(cls, read: Recording) -> Trace:
        """Raises CaptureError, as `load`."""
        return cls(read.run, variants(read.frames, read.events, read.keys, read.run))

    @classmethod
    def follow(cls, read: Recording, request: str) -> Trace:
        """One request of a run: by its number, from 1, or by its name.

        Raises InputError where the run has no such request, CaptureError as `load`.
        """
        clicks = [event for event in read.events if event.event == "request-start"]
        chosen = [
            event
            for number, event in enumerate(clicks, 1)
            if request == str(number) or request == event.data.get("name")
        ]
        if not chosen:
            names = [str(event.data.get("name") or event.data.get("url")) for event in clicks]
            known = nearest(request, names, "requests") if names else "the run has no requests"
            raise InputError(f"{read.folder}: no request {request!r}, of {len(clicks)}", known)
        return cls(read.run, variants(read.frames, chosen[:1], read.keys, read.run))


def variants(
    captured: Iterable[Frame], events: Sequence[Event], keys: KeyLog, run: Run
) -> tuple[Variant, ...]:
    """The story of each request that a client's `request-start` announces, in their order."""
    frames_seen = tuple(captured)
    joined = network(packets_of(frames_seen))
    asked = resolutions(frames_seen)
    dialogues = [dialogue(leg, keys) for leg in joined.legs] + quic_dialogues(joined.flows, keys)
    clicks = [event for event in events if event.event == "request-start"]
    return tuple(_variant(click, dialogues, joined, asked, run) for click in clicks)


def _variant(
    click: Event,
    dialogues: Sequence[Dialogue],
    joined: Network,
    asked: Sequence[Resolution],
    run: Run,
) -> Variant:
    trace_id = trace_id_in(str(click.data.get("traceparent", "")).encode())
    name, url = str(click.data.get("name", "")), str(click.data.get("url", ""))
    found = _since(click, passages(dialogues, joined, trace_id) if trace_id else ())
    if not found or found[0].client.node != click.node:
        raise CaptureError(_unseen(name or url, click.node, trace_id, dialogues), AGAIN)
    crossed = sections(found)
    first = crossed[0].first
    host = urlsplit(url).hostname or ""
    window = click.time_ns, first.asked.time_ns
    secured = crossed[0].secured
    spans = (
        *dns_spans(joined, run, click.node, host, window),
        *waterfall(crossed, run, click.time_ns),
    )
    return Variant(
        name,
        url,
        trace_id,
        _status(first),
        click.time_ns,
        first.received.time_ns,
        with_waits(spans, asked, joined),
        hop_table(found, run, click.time_ns),
        _tables(found, run),
        "" if secured is None else "TLS 1.3" if first.dialogue.quic is not None else secured.version,
        first.dialogue.version,
    )


def _since(click: Event, found: Sequence[Passage]) -> tuple[Passage, ...]:
    """Those of the click: a client that starts anew with the same seed may use a trace-id again."""
    own = [one for one in found if one.client.node == click.node and one.asked.time_ns >= click.time_ns]
    if not own:
        return tuple(found)
    start, end = own[0].asked.time_ns, own[0].received.time_ns
    return tuple(one for one in found if start <= one.asked.time_ns <= end)


def _status(passage: Passage) -> int:
    response = passage.exchange.response
    return response.status if isinstance(response, ResponseHead) else 0


def _tables(found: Sequence[Passage], run: Run) -> tuple[LayerTable, ...]:
    """Of the request's first packet at the client, and at the last program that got it in plain HTTP."""
    client = layer_table(found[0], found[0].crossing[0], run)
    plain = [one for one in found if one.dialogue.protocol == "http" and one.dialogue.secured is None]
    if not plain or plain[-1] is found[0]:
        return (client,)
    return client, layer_table(plain[-1], plain[-1].crossing[-1], run)


def _unseen(name: str, node: str, trace_id: str, dialogues: Iterable[Dialogue]) -> str:
    """Why the capture doesn't show a request."""
    closed = {
        f"{one.leg.client.client} ─► {one.leg.client.server}: {one.secured.problem}"
        for one in dialogues
        if one.secured is not None and one.secured.problem and one.leg.client.node == node
    }
    cause = f"request {name} of {node} isn't whole in the capture (trace-id {trace_id or 'none'})"
    return "; ".join((cause, *sorted(closed)))
