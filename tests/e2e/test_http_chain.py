"""Every version of HTTP through every role, translated from each to each: cdn, balancer, proxy, app."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netlab.lab.client import LabClient
from netlab.model.event import Event
from netlab.model.roles import ClientSpec, HttpVersion, Request
from tests.e2e.conftest import Lab
from tests.kit.chain import chain

VERSIONS: tuple[HttpVersion, ...] = ("1.1", "2", "3")
GIB = 1 << 30
LIMIT_MIB = 100
URL = "https://www.example"


def ask(client: LabClient, *requests: Request, timeout_s: float = 60, **fields: Any) -> list[Event]:
    events = client.run("client", ClientSpec(requests=requests, **fields), timeout_s)
    return [event for event in events if event.event in ("request-done", "request-failed")]


def peaks(client: LabClient) -> dict[str, int]:
    """Node ─► the most memory that its role has had, in MiB."""
    found = {}
    for node in client.status()["nodes"]:
        for role in node["roles"]:
            if role["pid"]:
                lines = Path(f"/proc/{role['pid']}/status").read_text().splitlines()
                peak = next(line for line in lines if line.startswith("VmHWM"))
                found[node["node"]] = int(peak.split()[1]) // 1024
    return found


@pytest.mark.parametrize(("origin", "upstream"), [("1.1", "2"), ("2", "3"), ("3", "1.1")])
def test_each_version_is_translated_to_each_other(lab: Lab, origin: str, upstream: str) -> None:
    """Nine pairs at the cdn, three at the proxy: bodies both ways, statuses, validators, trailers of none."""
    lab.up(chain(origin, upstream))
    client = LabClient.connect(lab.name)
    for http in VERSIONS:
        done = ask(
            client,
            Request(name="get", url=f"{URL}/bytes/300000", http=http),
            Request(name="post", url=f"{URL}/sink", method="POST", upload_bytes=200_000, http=http),
            Request(name="echo", url=f"{URL}/echo", method="POST", body="héllo", http=http),
            Request(name="missing", url=f"{URL}/nowhere", http=http),
            Request(name="head", url=f"{URL}/bytes/5000", method="HEAD", http=http),
        )
        told = {event.data["name"]: event.data for event in done}
        assert [event.event for event in done] == ["request-done"] * 5, done
        assert {name: one["status"] for name, one in told.items()} == {
            "get": 200,
            "post": 200,
            "echo": 200,
            "missing": 404,
            "head": 200,
        }, told
        assert {one["version"] for one in told.values()} == {http}, told
        assert (told["get"]["bytes"], told["echo"]["bytes"], told["head"]["bytes"]) == (300_000, 6, 0)
        assert told["head"]["headers"]["content-length"] == "5000"
    spoken = {
        (event.node, event.data.get("version", "1.1"))
        for event in client.events_since()
        if event.event == "request-received"
    }
    assert {("cdn", http) for http in VERSIONS} <= spoken
    assert ("proxy", origin) in spoken, spoken
    assert ("app", upstream) in spoken, spoken


def test_a_gibibyte_crosses_in_bounded_memory(lab: Lab) -> None:
    """Both ways over HTTP/2; over HTTP/3 a part of it, as Python's QUIC is slower."""
    lab.up(chain("2", "1.1"))
    client = LabClient.connect(lab.name)
    (down,) = ask(client, Request(url=f"{URL}/bytes/{GIB}", http="2", timeout="300s"), timeout_s=300)
    assert (down.event, down.data.get("bytes")) == ("request-done", GIB), down
    upload = Request(url=f"{URL}/sink", method="POST", upload_bytes=GIB // 4, http="1.1", timeout="120s")
    (up,) = ask(client, upload, timeout_s=120)
    assert (up.event, up.data.get("status")) == ("request-done", 200), up
    (quic,) = ask(client, Request(url=f"{URL}/bytes/60000000", http="3", timeout="120s"), timeout_s=120)
    assert (quic.event, quic.data.get("bytes")) == ("request-done", 60_000_000), quic
    most = peaks(client)
    assert {node: peak for node, peak in most.items() if peak >= LIMIT_MIB} == {}, most


def test_without_udp_a_client_falls_back_and_says_why(lab: Lab) -> None:
    """The guide's 12.4: UDP may be blocked. Alt-Svc told of HTTP/3; the client takes HTTP/2, and says so."""
    lab.up(chain())
    client = LabClient.connect(lab.name)
    blocked = lab.netlab(
        "exec",
        "cdn",
        "--lab",
        lab.name,
        "--",
        "nft",
        "add table inet f; add chain inet f i "
        "{ type filter hook input priority 0; }; add rule inet f i udp dport 443 drop",
    )
    assert blocked.status == 0, blocked
    done = ask(client, *(Request(name=str(n), url=f"{URL}/health") for n in range(3)))
    assert [event.data.get("version") for event in done] == ["2", "2", "2"], done
    fallbacks = [one for one in client.events_since() if one.event == "fallback"]
    assert fallbacks, "the reason is in the events"
    assert fallbacks[0].data["wanted"] == "3", fallbacks
    (only,) = ask_failing(client, Request(name="only", url=f"{URL}/health", http="3", timeout="8s"))
    assert "QUIC" in only.data["cause"] or "UDP" in only.data["cause"], only


def ask_failing(client: LabClient, request: Request) -> list[Event]:
    offset = client.events_size()
    with pytest.raises(Exception, match="exited with 1"):
        ask(client, request)
    return [event for event in client.events_since(offset) if event.event == "request-failed"]
