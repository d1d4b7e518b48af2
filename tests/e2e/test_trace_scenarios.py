"""The scenarios of transports and versions, each once on the default topology: verdicts from the packets."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netlab.model.find import find
from tests.e2e.conftest import Lab
from tests.e2e.test_trace_rest import a_lab

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The default topology, up for all tests of this file."""
    for lab in a_lab(tmp_path_factory.mktemp("scenarios")):
        done = lab.netlab("up", "internet", "--name", lab.name)
        assert done.status == 0, done
        yield lab
        lab.netlab("down", lab.name)


def trace(lab: Lab, scenario: str, *options: str, topology: str = "internet") -> dict[str, Any]:
    """Its report, as data; the run's directory is under "folder"."""
    folder = lab.directory / f"{scenario}-{secrets.token_hex(4)}"
    words = ("trace", scenario, "--topology", topology, "--lab", lab.name, "--out", str(folder), "--json")
    done = lab.netlab(*words, *options, timeout_s=240)
    assert done.status == 0, done
    found: dict[str, Any] = done.json()
    assert found["capture"]["dropped"] == 0, found["capture"]
    found["folder"] = folder
    return found


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {claim["id"]: claim["verdict"] for claim in found["claims"]}


def row(found: dict[str, Any], table: int = 0, **wanted: Any) -> dict[str, Any]:
    rows = found["tables"][table]["rows"]
    matching = [
        one for one in rows if all(one[key.replace("_", " ")] == value for key, value in wanted.items())
    ]
    assert len(matching) == 1, (wanted, rows)
    return dict(matching[0])


def test_handshakes_cost_what_the_rfcs_say(internet: Lab) -> None:
    found = trace(internet, "handshake", "--repeat", "1")
    told = verdicts(found)
    assert told["tls12-round-trips"] == "holds", found["claims"]
    assert told["tls13-round-trips"] == "holds", found["claims"]
    assert told["tls13-resumed"] == "refuted", "over TCP a resumed session still costs TLS's round trip"
    assert told["quic-round-trips"] == "holds", found["claims"]
    assert told["quic-0rtt"] == "holds", found["claims"]
    trips = {one["way"]: one["before"] for one in found["tables"][0]["rows"]}
    assert trips["HTTP/1.1 TCP + TLS 1.2"] == 3, trips
    assert trips["HTTP/2 TCP + TLS 1.3"] == 2, trips
    assert trips["HTTP/3 QUIC + 0-RTT"] == 0, trips
    for one in found["tables"][0]["rows"]:
        assert one["frames"], one


def test_a_server_without_early_data_refutes_0_rtt(internet: Lab, tmp_path: Path) -> None:
    """A counter-case: the same scenario, another server."""
    text = find("internet").read_text(encoding="utf-8")
    changed = text.replace(
        "        jwt: true\n", "        jwt: true\n        tls: { early_data: false }\n", 1
    )
    assert changed != text
    path = tmp_path / "internet.yaml"
    path.write_text(changed, encoding="utf-8")
    for lab in a_lab(tmp_path):
        found = trace(lab, "handshake", "--repeat", "1", "--http", "3", topology=str(path))
        assert verdicts(found)["quic-0rtt"] == "refuted", found["claims"]
        assert verdicts(found)["quic-round-trips"] == "holds", found["claims"]


def test_a_capture_with_drops_proves_nothing(internet: Lab) -> None:
    found = trace(internet, "handshake", "--repeat", "1", "--http", "1.1", "--tls", "1.3")
    path = found["folder"] / "run.json"
    run = json.loads(path.read_text())
    run["capture"]["dropped"] = 3
    path.write_text(json.dumps(run))
    again = internet.netlab("report", str(found["folder"]), "--json").json()
    assert {claim["verdict"] for claim in again["claims"]} == {"not run"}, again["claims"]


def test_many_objects_share_a_connection(internet: Lab) -> None:
    found = trace(internet, "multiplex", "--repeat", "1", "--http", "2,3")
    told = verdicts(found)
    assert told["http2-multiplexes"] == "holds", found["claims"]
    assert told["http1-one-at-a-time"] == "not run", "HTTP/1.1 was not asked for"
    many = [one for one in found["tables"][0]["rows"] if one["objects"] == "100 at 40 ms"]
    assert {one["connections"] for one in many} == {1}, many
    assert all(one["at once"] > 50 for one in many), many


def test_lost_packets_block_streams_of_http2_and_not_of_http3(internet: Lab) -> None:
    found = trace(internet, "hol", "--repeat", "1", "--http", "2,3")
    told = verdicts(found)
    assert told["tcp-head-of-line"] == "holds", found["claims"]
    assert told["quic-independent-streams"] == "holds", found["claims"]
    clean = [one for one in found["tables"][0]["rows"] if one["loss"] == "0%"]
    assert {one["waited"] for one in clean} == {0}, "without loss nothing waits"


def test_tcp_repairs_and_paces(internet: Lab) -> None:
    found = trace(internet, "tcp", "--repeat", "1")
    told = verdicts(found)
    for name in ("tcp-three-way", "tcp-one-rtt", "tcp-duplicate-acks", "tcp-flow-control"):
        assert told[name] == "holds", found["claims"]
    assert row(found, download="lossy cubic")["fast"] > 0, found["tables"][0]
    assert row(found, download="clean cubic")["fast"] == 0, found["tables"][0]
    first = found["tables"][1]["rows"][0]
    assert 12 <= first["trip 1"] <= 15, "the initial window of ten segments (RFC 6928)"
    assert found["tables"][2]["rows"], "a dead line is repaired by a timer"


def test_udp_loses_what_tcp_and_quic_repair(internet: Lab) -> None:
    found = trace(internet, "udp", "--repeat", "1")
    told = verdicts(found)
    assert told["udp-no-guarantee"] == "holds", found["claims"]
    assert told["tcp-reliable"] == "holds", found["claims"]
    assert told["quic-reliable"] == "holds", found["claims"]
    assert told["quic-no-fec"] == "refuted", "RFC 9000 has no forward error correction"


def test_quic_moves_to_another_network(internet: Lab) -> None:
    found = trace(internet, "migrate")
    assert set(verdicts(found).values()) == {"holds"}, found["claims"]
    quic = row(found, transport="QUIC (HTTP/3)")
    assert quic["client's addresses"] == "192.168.1.10 ─► 100.96.0.10", quic
    assert quic["handshakes"] == 1, quic
    lab_after = internet.netlab("link", "show", "client-a:eth0", "--lab", internet.name, "--json")
    (link,) = lab_after.json()["links"]
    assert link["state"] == "up", "the lab is what it was"


@pytest.mark.parametrize("http", ["1.1", "2", "3"])
def test_both_clients_get_what_one_says(internet: Lab, http: str) -> None:
    found = trace(internet, "websocket", "--http", http)
    told = verdicts(found)
    for name in ("push-reaches-both", "websocket-frame-overhead", "websocket-persistent"):
        assert told[name] == "holds", found["claims"]
    got = {one["client"]: one["got"] for one in found["tables"][0]["rows"]}
    assert got == {"client-a": 10, "client-b": 10}
    headers = {one["direction"]: one["header"] for one in found["tables"][1]["rows"][:2]}
    assert headers == {"client ─► server (masked)": "6", "server ─► client": "2"}, "RFC 6455 section 5.2"


def test_pushes_cost_less_than_polls(internet: Lab) -> None:
    found = trace(internet, "push")
    told = verdicts(found)
    assert told["long-polling-overhead"] == "holds", found["claims"]
    assert told["polling-late"] == "holds", found["claims"]
    assert told["long-poll-again"] == "holds", found["claims"]
    assert [one["got"] for one in found["tables"][0]["rows"]] == [8, 8, 8, 8]


def test_scenarios_are_listed_and_refuse_what_they_cannot(internet: Lab) -> None:
    listed = internet.netlab("trace", "--list", "--json").json()
    assert {"rest", "handshake", "multiplex", "hol", "tcp", "udp", "migrate", "websocket", "push"} <= set(
        listed
    )
    for words, cause in (
        (("tcp", "--http", "3"), "scenario tcp has no --http 3"),
        (("handshake", "--tls", "1.1"), "--tls 1.1: there is no such choice"),
        (("handhsake",), "did you mean"),
        (("handshake", "--topology", "minimal"), "scenario handshake needs a node client-a"),
    ):
        done = internet.netlab("trace", *words)
        assert (done.status, cause in done.stderr) == (2, True), done
