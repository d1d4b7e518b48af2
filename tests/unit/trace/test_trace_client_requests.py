"""Requests as their clients' packets show them, with known times; and their HAR, CSV and drawings."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from netlab.decode.frame import Frame
from netlab.decode.tls import KeyLog
from netlab.errors import InputError
from netlab.report.csv_tables import requests_csv
from netlab.report.exports import Kind, exports
from netlab.report.har import har, timings
from netlab.report.html import panel
from netlab.trace.client_requests import ClientRequest, by_part, client_requests
from netlab.trace.client_story import client_stories
from netlab.trace.findings import Findings
from netlab.trace.leg import network as join
from netlab.trace.packet import packets_of
from netlab.trace.recording import Recording
from netlab.trace.run import Run, RunNode, RunPhase
from tests.kit.har_rules import faults
from tests.kit.quic_bytes import MS as QUIC_MS
from tests.kit.quic_bytes import Tickets, network
from tests.kit.story import CLIENT, Story
from tests.kit.story import run as story_run
from tests.kit.tcp_path import EPOCH_NS, MS, TcpPath
from tests.kit.tls_bytes import contexts
from tests.kit.tls_path import NAME, Http2, secure

ASKED = (
    b"POST /login?next=%2Fhome&empty= HTTP/1.1\r\nHost: shop.example\r\nCookie: a=1; b=2=3\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
)
TOLD = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nLocation: /home\r\nContent-Length: 3\r\n"
    b"Content-Type: text/plain\r\n"
    b"Set-Cookie: id=7; Path=/; Expires=Wed, 09 Jun 2027 10:18:14 GMT; HttpOnly; Secure; SameSite=Lax\r\n"
    b"Set-Cookie: odd=; expires=never\r\n\r\nbye"
)


def recorded(
    frames: Sequence[Frame], keys: KeyLog, address: str, phases: tuple[RunPhase, ...] = ()
) -> Recording:
    nodes = {"client": RunNode(roles=("client",), addresses=(address,))}
    ran = Run(scenario="x", lab="x", topology="x", started_ns=0, ended_ns=1, nodes=nodes, phases=phases)
    made = Recording(Path("run"), ran, (), keys)
    made.__dict__["frames"] = tuple(frames)
    return made


def plain() -> Recording:
    path = TcpPath()
    heard = bytearray()
    path.client.heard = heard.extend
    path.server.heard = lambda _: path.server.send(TOLD)
    path.connect()
    path.client.send(ASKED)
    path.run(lambda: len(heard) == len(TOLD))
    path.settle()
    return recorded(path.frames(), KeyLog(), "192.0.2.1")


def test_a_request_in_the_clear_with_cookies_and_a_redirect() -> None:
    (one,) = client_requests(plain())
    (entry,) = har([one])["log"]["entries"]
    assert faults(har([one])) == []
    asked, told = entry["request"], entry["response"]
    assert asked["url"] == "http://shop.example/login?next=%2Fhome&empty="
    assert asked["queryString"] == [{"name": "next", "value": "/home"}, {"name": "empty", "value": ""}]
    assert asked["cookies"] == [{"name": "a", "value": "1"}, {"name": "b", "value": "2=3"}]
    assert (asked["headersSize"], asked["bodySize"]) == (len(ASKED) - 5, 5)
    assert asked["postData"]["mimeType"] == "text/plain"
    assert (told["status"], told["statusText"], told["redirectURL"]) == (302, "Found", "/home")
    final = TOLD[TOLD.index(b"HTTP/1.1 302") :]
    assert (told["headersSize"], told["bodySize"]) == (len(final) - 3, 3)
    assert told["content"] == {"size": 3, "mimeType": "text/plain"}
    assert told["cookies"] == [
        {
            "name": "id", "value": "7", "path": "/", "expires": "2027-06-09T10:18:14.000+00:00",
            "httpOnly": True, "secure": True, "sameSite": "Lax",
        },
        {"name": "odd", "value": "", "httpOnly": False, "secure": False},
    ]  # fmt: skip
    took = timings(one)
    assert took["connect"] == pytest.approx(50, abs=1), "one round trip"
    assert (took["dns"], took["ssl"]) == (-1, -1)
    assert one.connect is not None
    assert one.connect.trips == 1


def over_http2(directory: Path, *paths: str) -> Recording:
    client, server, log = contexts(directory, NAME, "1.3", ("h2",))
    path = TcpPath()
    http = Http2(*secure(path, (client, server)), together=len(paths))
    http.client.ready = lambda: http.ask(*paths)
    path.connect()
    path.run(lambda: len(http.done) == len(paths))
    path.settle()
    phase = RunPhase(name="all at once", started_ns=EPOCH_NS - MS, ended_ns=EPOCH_NS + 1000 * MS)
    return recorded(path.frames(), KeyLog.parse(log.read_text()), "192.0.2.1", (phase,))


def test_requests_on_one_connection_that_the_first_opened(tmp_path: Path) -> None:
    found = client_requests(over_http2(tmp_path, "/a", "/b", "/c"))
    assert [one.url for one in found] == [f"https://{NAME}/{path}" for path in "abc"]
    first, *rest = found
    took = timings(first)
    assert took["connect"] == pytest.approx(100, abs=2)
    assert took["ssl"] == pytest.approx(50, abs=2)
    assert first.tls is not None
    assert first.tls.trips == 1
    assert all(one.connect is None and one.tls is None for one in rest), "the connection was there"
    assert {one.phase for one in found} == {"all at once"}
    document = har(found)
    assert faults(document) == []
    assert [one["id"] for one in document["log"]["pages"]] == ["all at once"]


def test_quic_and_a_request_in_its_first_flight() -> None:
    tickets = Tickets()
    shown = []
    for _ in range(2):
        made = network(tickets=tickets)
        made.connect()
        made.fetch("/a")
        made.settle(200 * QUIC_MS)
        found = client_requests(recorded(made.frames("client"), made.keys, made.client_address[0]))
        assert faults(har(found)) == []
        shown.append(timings(found[0]))
    assert shown[0]["connect"] == shown[0]["ssl"] == pytest.approx(50, abs=3)
    assert shown[1]["connect"] == shown[1]["ssl"] == pytest.approx(0, abs=1), "0-RTT: asked at once"


def test_the_lookup_belongs_to_the_connection_that_it_was_for(tmp_path: Path) -> None:
    story = Story(tmp_path).tell()
    click = story.event()
    before = replace(click, time_ns=click.time_ns - 1000 * MS, data=click.data | {"name": "before"})
    after = replace(click, time_ns=story.end_ns + MS, data=click.data | {"name": "after"})
    read = Recording(tmp_path, story_run(), (before, click, after), KeyLog.parse(story.keys))
    read.__dict__["frames"] = tuple(story.wire.frames())
    (one,) = client_requests(read)
    assert one.lookup is not None
    assert timings(one)["dns"] == pytest.approx(30)
    assert one.connection.client.address == CLIENT
    assert one.span.exchange.trace_id == story.trace_id
    assert faults(har([one])) == []
    assert har([one])["log"]["entries"][0]["comment"] == "direct"
    (told,) = client_stories([one], join(packets_of(read.frames)), read.run)
    assert [span.name for span in told.spans] == ["DNS", "TCP", "TLS", "waiting"]
    assert [span.rtts for span in told.spans] == [1, 1, 1, 1]
    assert [hop.node for hop in told.hops if hop.direction == "request"][:3] == [
        "client-a",
        "home-router",
        "home-router",
    ]
    assert any(hop.change.startswith("NAT") for hop in told.hops)


def test_a_request_without_an_answer_is_told_as_such() -> None:
    path = TcpPath()
    path.connect()
    path.client.send(ASKED)
    path.settle()
    (one,) = client_requests(recorded(path.frames(), KeyLog(), "192.0.2.1"))
    document = har([one])
    assert faults(document) == []
    told = document["log"]["entries"][0]["response"]
    assert (told["status"], told["headersSize"], told["bodySize"]) == (0, -1, -1)
    assert "no end" in told["comment"]


def test_csv_has_a_line_for_each_and_drawings_a_row(tmp_path: Path) -> None:
    found = client_requests(over_http2(tmp_path, "/a", "/<b>"))
    rows = list(csv.DictReader(io.StringIO(requests_csv(found))))
    assert [row["url"] for row in rows] == [one.url for one in found]
    assert float(rows[0]["connect_ms"]) == pytest.approx(100, abs=2)
    root = ET.fromstring(panel.standalone(found, "two"))
    drawn = [one for one in root.iter("{http://www.w3.org/2000/svg}g") if one.get("class") == "row"]
    assert len(drawn) == 2
    many: list[ClientRequest] = [*found] * panel.MOST
    assert f"{len(many) - panel.MOST} more requests" in panel.drawing(many, "many")


def test_requests_of_a_scenario_without_phases_are_parted_by_their_names(tmp_path: Path) -> None:
    found = client_requests(over_http2(tmp_path, "/a", "/b", "/c"))
    names = ("1% HTTP/2 1/1", "1% HTTP/2 1/2", "miss")
    named = [replace(one, phase="", name=name) for one, name in zip(found, names, strict=True)]
    assert {part: len(some) for part, some in by_part(named).items()} == {"1% HTTP/2": 2, "": 1}
    assert list(by_part(found)) == ["all at once"]


def test_files_of_a_run(tmp_path: Path) -> None:
    read = over_http2(tmp_path, "/a", "/b")
    files = dict(exports("run", read, Findings(), ("html", "har", "csv", "svg", "requests")))
    assert set(files) == {
        "report.html", "requests.har", "requests.csv", "spans.csv", "hops.csv", "requests-all_at_once.svg",
        "requests.json",
    }  # fmt: skip
    told = json.loads(files["requests.json"])
    assert [one["name"] for one in told] == ["1 GET /a", "2 GET /b"]
    assert [span["name"] for span in told[0]["spans"]] == ["TCP", "TLS", "waiting"]
    assert "all at once: 2 requests" in files["report.html"]
    assert faults(json.loads(files["requests.har"])) == []


def test_a_run_without_requests_is_refused_with_words() -> None:
    read = recorded((), KeyLog(), "192.0.2.1")
    har_alone: tuple[Kind, ...] = ("har",)
    with pytest.raises(InputError, match="no client asked for anything over HTTP") as caught:
        list(exports("runs/udp", read, Findings(), har_alone))
    assert "--html" in caught.value.remedy
    ((name, _),) = exports("runs/udp", read, Findings(), ["html"])
    assert name == "report.html"


def test_whoever_serves_is_no_client() -> None:
    read = plain()
    nodes = {"server": RunNode(roles=("proxy",), addresses=(str(ip_address("192.0.2.2")),))}
    other = replace(read, run=read.run.model_copy(update={"nodes": nodes}))
    other.__dict__["frames"] = read.frames
    assert client_requests(other) == ()
