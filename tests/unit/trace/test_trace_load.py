"""The story of a request, from packets with known times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netlab.decode.tls import KeyLog
from netlab.errors import CaptureError
from netlab.trace.load import Trace, variants
from netlab.trace.story import Hop, Variant
from tests.kit.story import Story, run, three
from tests.kit.wire_capture import MS


def told(story: Story) -> Variant:
    story.tell()
    (variant,) = variants(story.wire.frames(), [story.event()], KeyLog.parse(story.keys), run())
    return variant


@pytest.fixture
def direct(tmp_path: Path) -> Variant:
    return told(Story(tmp_path))


def hops(variant: Variant, direction: str) -> list[Hop]:
    return [hop for hop in variant.hops if hop.direction == direction]


def test_the_total_is_from_the_click_to_the_last_byte(tmp_path: Path) -> None:
    story = Story(tmp_path)
    variant = told(story)
    assert (variant.name, variant.status, variant.tls_version) == ("direct", 200, "TLS 1.3")
    assert variant.click_ns == story.click
    assert variant.end_ns == story.end_ns


def test_hops_of_the_request_in_order(direct: Variant) -> None:
    assert [f"{hop.node}:{hop.interface}" for hop in hops(direct, "request")] == [
        "client-a:eth0",
        "home-router:lan",
        "home-router:wan",
        "cloud:wan",
        "cloud:lb",
        "lb:eth0",
        "lb:eth0",
        "proxy:eth0",
        "proxy:eth0",
        "app-1:eth0",
        "app-1:eth0",
        "db:eth0",
    ]
    times = [hop.time_ns for hop in direct.hops]
    assert times == sorted(times)


def test_hops_say_what_changed(direct: Variant) -> None:
    change = [hop.change for hop in hops(direct, "request")]
    assert change[0] == "the click's request: HTTP/1.1 in TLS 1.3"
    assert change[1] == "over wifi-6"
    assert change[2] == "NAT 192.168.1.10:40000 ─► 203.0.113.5:40000, TTL −1"
    assert change[4] == "TTL −1"
    assert change[6] == "new connection, PROXY header: client 203.0.113.5:40000, same TLS bytes, unread"
    assert change[8] == "TLS terminated, new connection, plain HTTP/1.1"
    assert change[10] == "new connection, plain PostgreSQL"


def test_hops_of_the_response_go_back_to_the_client(direct: Variant) -> None:
    back = hops(direct, "response")
    assert (back[0].node, back[0].change) == ("db", "answer: SELECT 1")
    assert (back[-1].node, back[-1].dst, back[-1].dport) == ("client-a", "192.168.1.10", 40_000)
    assert back[-2].change == "NAT 203.0.113.5:40000 ─► 192.168.1.10:40000, TTL −1"


def test_a_port_that_nat_changed_is_followed(tmp_path: Path) -> None:
    variant = told(Story(tmp_path, mapped=61_000))
    outside = hops(variant, "request")[2]
    assert (outside.src, outside.sport) == ("203.0.113.5", 61_000)
    assert outside.change.startswith("NAT 192.168.1.10:40000 ─► 203.0.113.5:61000")


def test_a_lost_request_costs_its_time_and_the_hops_follow_what_arrived(tmp_path: Path) -> None:
    variant = told(Story(tmp_path, lost=True))
    request = variant.span("request")
    assert request is not None
    assert (round(request.duration_ms), request.rtts, len(request.frames)) == (320, 0.5, 2)
    whole = [(hop.node, hop.interface) for hop in hops(variant, "request")]
    assert ("lb", "eth0") in whole
    assert ("db", "eth0") in whole
    assert hops(variant, "request")[0].frame != request.frames[0]


def test_spans_have_their_times_round_trips_and_evidence(direct: Variant) -> None:
    measured = {span.name: (round(span.duration_ms, 1), span.rtts, span.depth) for span in direct.spans}
    assert measured == {
        "DNS": (30.0, 1, 0),
        "DNS ─► ns-root": (20.0, 1, 1),
        "TCP": (40.0, 1, 0),
        "balancer ─► proxy TCP": (0.2, 1, 1),
        "TLS": (40.4, 1, 0),
        "request": (20.1, 0.5, 0),
        "proxy": (10.8, 0, 0),
        "proxy ─► app TCP": (0.2, 1, 1),
        "app": (10.2, 0, 1),
        "SQL": (8.2, 1, 2),
        "response": (20.1, 0.5, 0),
    }
    assert all(span.frames for span in direct.spans), direct.spans
    assert direct.total_ms == pytest.approx(direct.accounted_ms + 1.001, abs=0.01)


def test_spans_are_measured_at_the_node_that_waits(direct: Variant) -> None:
    nodes = {span.name: span.node for span in direct.spans}
    assert nodes["DNS"] == nodes["TCP"] == nodes["response"] == "client-a"
    assert (nodes["DNS ─► ns-root"], nodes["proxy"], nodes["SQL"]) == ("resolver", "proxy", "app-1")


def test_a_trace_id_that_is_used_again_is_another_request(tmp_path: Path) -> None:
    """A client that starts anew with the same seed makes the same ones."""
    first = Story(tmp_path).tell()
    again = Story(
        tmp_path, first.end_ns + 100 * MS, port=40_500, mapped=40_500, dns=False, wire=first.wire
    ).tell()
    keys = KeyLog.parse(first.keys + again.keys)
    found = variants(first.wire.frames(), [first.event(), again.event()], keys, run())
    assert [one.end_ns for one in found] == [first.end_ns, again.end_ns]
    assert [one.hops[0].sport for one in found] == [40_000, 40_500]
    assert all(0 <= hop.time_ns <= 300 * MS for one in found for hop in one.hops)


def test_miss_and_hit_through_the_edge(tmp_path: Path) -> None:
    wire, keys, events = three(tmp_path)
    direct, miss, hit = variants(wire.frames(), events, KeyLog.parse(keys), run())
    assert [variant.name for variant in (direct, miss, hit)] == ["direct", "miss", "hit"]
    names = [(span.depth, span.name) for span in miss.spans]
    assert names == [
        (0, "DNS"),
        (1, "DNS ─► ns-root"),
        (0, "TCP"),
        (0, "TLS"),
        (0, "request"),
        (0, "edge"),
        (1, "edge ─► origin"),
        (2, "edge ─► origin TCP"),
        (3, "balancer ─► proxy TCP"),
        (2, "edge ─► origin TLS"),
        (2, "edge ─► origin request"),
        (2, "proxy"),
        (3, "proxy ─► app TCP"),
        (3, "app"),
        (4, "SQL"),
        (2, "edge ─► origin response"),
        (0, "response"),
    ]
    assert [span.name for span in hit.spans] == ["TCP", "TLS", "request", "edge", "response"]
    origin = miss.span("edge ─► origin")
    assert origin is not None
    assert (round(origin.duration_ms, 1), origin.rtts) == (131.4, 3)
    assert {hop.node for hop in hit.hops} == {"client-a", "home-router", "edge-london"}
    assert hops(miss, "request")[4].change == "TLS terminated, new connection, HTTP/1.1 in TLS 1.3"


def test_a_connection_older_than_the_click_has_no_handshake_spans(tmp_path: Path) -> None:
    story = Story(tmp_path).tell()
    event = story.event()
    late = type(event)(story.click + 120 * MS, event.node, event.role, event.event, None, event.data)
    (variant,) = variants(story.wire.frames(), [late], KeyLog.parse(story.keys), run())
    assert "TCP" not in {span.name for span in variant.spans}
    assert "DNS" not in {span.name for span in variant.spans}
    assert variant.spans[0].name == "request"


def test_layers_at_the_client_and_at_the_app(direct: Variant) -> None:
    client, app = direct.layers
    assert [row.osi for row in client.rows] == ["L7", "L6", "L5", "L4", "L3", "L2", "L1"]
    assert (client.node, app.node) == ("client-a", "app-1")
    fields = {row.osi: dict(row.fields) for row in client.rows}
    assert fields["L7"]["request line"] == "GET /user/42 HTTP/1.1"
    assert fields["L6"]["version"] == "TLS 1.3"
    assert fields["L5"]["server name (SNI)"] == "origin.example.com"
    assert (fields["L4"]["destination port"], fields["L3"]["TTL"]) == ("443", "64")
    assert fields["L1"]["serialisation"].endswith("at 600mbit")
    at_app = {row.osi: dict(row.fields) for row in app.rows}
    assert at_app["L6"]["encryption"].startswith("none")
    assert at_app["L7"]["X-Forwarded-For"] == "203.0.113.5"
    assert at_app["L3"]["source"] == "10.0.0.3"


def test_without_the_keys_it_says_that_the_bytes_are_closed(tmp_path: Path) -> None:
    story = Story(tmp_path).tell()
    with pytest.raises(CaptureError, match=r"request direct of client-a isn't whole.*192\.168\.1\.10:40000"):
        variants(story.wire.frames(), [story.event()], KeyLog.parse(""), run())


def test_a_capture_that_stops_early_is_refused(tmp_path: Path) -> None:
    story = Story(tmp_path).tell()
    frames = [frame for frame in story.wire.frames() if frame.time_ns < story.end_ns - 25 * MS]
    with pytest.raises(CaptureError, match="isn't whole in the capture"):
        variants(frames, [story.event()], KeyLog.parse(story.keys), run())


def write_run(directory: Path) -> None:
    wire, keys, events = three(directory)
    (directory / "trace.pcapng").write_bytes(wire.pcapng())
    (directory / "keys.log").write_text(keys)
    (directory / "events.jsonl").write_text("".join(event.to_line() + "\n" for event in events))
    (directory / "run.json").write_text(run().to_json())


def test_a_run_directory_is_read_back(tmp_path: Path) -> None:
    write_run(tmp_path)
    trace = Trace.load(tmp_path)
    assert [variant.name for variant in trace.variants] == ["direct", "miss", "hit"]
    assert trace.run == run()


@pytest.mark.parametrize("missing", ["run.json", "trace.pcapng", "events.jsonl", "keys.log"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    write_run(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(CaptureError, match=missing) as caught:
        Trace.load(tmp_path)
    assert caught.value.remedy


def test_damaged_files_are_named_with_the_place(tmp_path: Path) -> None:
    write_run(tmp_path)
    whole = (tmp_path / "trace.pcapng").read_bytes()
    (tmp_path / "trace.pcapng").write_bytes(whole[:1000])
    with pytest.raises(CaptureError, match=r"trace\.pcapng: byte \d+"):
        Trace.load(tmp_path)
    (tmp_path / "events.jsonl").write_text("{}\n")
    with pytest.raises(CaptureError, match=r"events\.jsonl:1"):
        Trace.load(tmp_path)
    document = json.loads(run().to_json())
    (tmp_path / "run.json").write_text(json.dumps(document | {"nodes": 7}))
    with pytest.raises(CaptureError, match=r"run\.json: nodes"):
        Trace.load(tmp_path)
