"""Which request of the packets is which of the stimulus."""

from __future__ import annotations

from netlab.model.event import Event
from netlab.scenarios.measured import asked, failures, named, unseen
from tests.kit.quic_bytes import network
from tests.kit.recordings import CLIENT, asked_for, placed, recording, traceparent


def test_requests_are_known_by_their_traceparent() -> None:
    made = network()
    made.connect()
    streams = {
        made.ask(f"/{number}", [(b"traceparent", traceparent(number).encode())]) for number in (1, 2, 9)
    }
    made.run(lambda: streams <= made.ended)
    events = [asked_for("one", 1), asked_for("two", 2), asked_for("three", 3)]
    frames = placed(made.frames("client"), {"client": (CLIENT, "eth0")})
    read = recording(frames, events, made.keys)
    found = asked(read, CLIENT)
    assert [(one.name, one.span.target) for one in found] == [("one", "/1"), ("two", "/2")]
    assert found[0].connection is found[1].connection
    assert unseen(read, CLIENT, found) == ("three",)
    assert asked(read, CLIENT, "wwan0") == ()
    assert asked(read, "client-b") == ()


def test_events_of_another_node_are_not_ours() -> None:
    other = Event(1, "client-b", "client", "request-failed", None, {"name": "x", "cause": "refused"})
    mine = Event(1, CLIENT, "client", "request-failed", None, {"name": "y", "cause": "timed out"})
    read = recording(events=[asked_for("one", 1), other, mine])
    assert failures(read, CLIENT) == ("y: timed out",)
    assert named(read, "client-b") == {}
