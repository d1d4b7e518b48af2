"""`netlab trace rest`: a real request in the default lab, and what is told of it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from netlab.decode.frame import frames, headers
from netlab.model.find import find
from tests.e2e.conftest import NETLAB, Done, Lab
from tests.kit.har_rules import faults
from tests.kit.poll import poll_until

pytestmark = pytest.mark.needs("postgres")

NO_NAMES = """
name: small
nodes:
  a: {interfaces: {eth0: 10.77.0.1/24}, roles: [{kind: client}]}
  b: {interfaces: {eth0: 10.77.0.2/24}}
links:
  - {ends: [a:eth0, b:eth0]}
"""


def a_lab(directory: Path) -> Iterator[Lab]:
    """As the fixture `lab`, for longer than one test."""
    made = Lab(f"t{secrets.token_hex(5)}", directory)
    yield made
    for pid in made.processes():
        subprocess.run(("kill", "-9", str(pid)), check=False)
    made.assert_no_process()
    if made.state.exists():
        made.netlab("gc")


@dataclass(frozen=True)
class Traced:
    lab: Lab
    done: Done
    folder: Path
    report: dict[str, Any]

    def variant(self, name: str) -> dict[str, Any]:
        return next(one for one in self.report["variants"] if one["name"] == name)

    def span(self, variant: str, name: str) -> dict[str, Any]:
        spans = self.variant(variant)["spans"]
        return next(one for one in spans if one["name"] == name)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    directory = tmp_path_factory.mktemp("trace")
    folder = directory / "run"
    for lab in a_lab(directory):
        done = lab.netlab("trace", "rest", "--lab", lab.name, "--out", str(folder), timeout_s=120)
        assert done.status == 0, done
        yield Traced(lab, done, folder, json.loads((folder / "report.json").read_text()))


def test_it_prints_the_story_and_takes_its_lab_down(traced: Traced) -> None:
    traced.lab.assert_gone()
    text = traced.done.stdout
    for part in (
        "direct: https://origin.example.com/user/42 ─► 200",
        "NAT 192.168.1.10:",
        "TLS terminated, new connection, plain",
        "plain PostgreSQL",
        "edge ─► origin TLS",
        "hit: https://api.example.com/user/42 ─► 200",
        "Layers of the request at client-a:eth0",
        "Layers of the request at app-",
        "220–270",
        "The guide's claims",
    ):
        assert part in text, part
    assert "\x1b" not in text
    assert "bringing the lab" in traced.done.stderr


def test_the_page_is_beside_the_data_and_can_be_made_again(traced: Traced) -> None:
    there = traced.folder.parent / "again"
    done = traced.lab.netlab("report", str(traced.folder), "--html", "--har", "--csv", "--out", str(there))
    assert done.status == 0, done
    assert (there / "report.html").read_text() == (traced.folder / "report.html").read_text()
    assert faults(json.loads((there / "requests.har").read_text())) == []
    assert {path.name for path in there.glob("*.csv")} == {"requests.csv", "spans.csv", "hops.csv"}
    alone = traced.lab.netlab("report", str(traced.folder), "--har", "--out", "-")
    assert [one["comment"] for one in alone.json()["log"]["entries"]] == ["direct", "miss", "hit"]
    several = traced.lab.netlab("report", str(traced.folder), "--csv", "--out", "-")
    assert several.status == 2
    assert "room for one file" in several.stderr


def test_every_number_points_to_a_packet_that_says_so(traced: Traced) -> None:
    """The hops against the capture itself: frame ─► interface, addresses, TTL, time."""
    capture = traced.folder / traced.report["capture"]["file"]
    by_number = {frame.number: frame for frame in frames(capture.read_bytes())}
    assert len(by_number) == traced.report["capture"]["packets"]
    assert traced.report["capture"]["dropped"] == 0
    for variant in traced.report["variants"]:
        for hop in variant["hops"]:
            frame = by_number[hop["frame"]]
            found = headers(frame.data)
            assert found is not None
            assert (frame.node, frame.interface) == (hop["node"], hop["interface"])
            assert (found.src, found.sport, found.dst, found.dport, found.ttl) == tuple(
                hop[key] for key in ("src", "sport", "dst", "dport", "ttl")
            )
            assert frame.time_ns - variant["click_ns"] == hop["time_ns"]
        for span in variant["spans"]:
            assert set(span["frames"]) <= set(by_number), span
            assert span["frames"], span


def test_the_request_crosses_the_guides_boxes_in_order(traced: Traced) -> None:
    nodes = [hop["node"] for hop in traced.variant("miss")["hops"] if hop["direction"] == "request"]
    order = list(dict.fromkeys(nodes))
    for before, after in (
        ("client-a", "home-router"),
        ("home-router", "isp-london"),
        ("isp-london", "edge-london"),
        ("edge-london", "cloud-edge"),
        ("cloud-edge", "lb"),
        ("lb", "proxy"),
        ("proxy", "db"),
    ):
        assert order.index(before) < order.index(after), order
    assert [hop["node"] for hop in traced.variant("miss")["hops"]][-1] == "client-a"
    hit = {hop["node"] for hop in traced.variant("hit")["hops"]}
    assert "edge-london" in hit
    assert not hit & {"lb", "proxy", "db"}


def test_times_and_round_trips_are_those_of_the_lab(traced: Traced) -> None:
    """Distances can't be shorter than the links are; how much longer depends on the machine's load."""
    tcp, tls = traced.span("direct", "TCP"), traced.span("direct", "TLS")
    assert 40 <= tcp["duration_ms"] < 80, tcp
    assert (tcp["rtts"], tls["rtts"]) == (1, 1)
    request, response = traced.span("direct", "request"), traced.span("direct", "response")
    assert request["rtts"] + response["rtts"] == 1, (request, response)
    assert 20 <= request["duration_ms"] < 60, request
    edge = traced.span("hit", "TCP")
    assert 5 <= edge["duration_ms"] < 30, edge
    miss, hit = traced.variant("miss")["total_ms"], traced.variant("hit")["total_ms"]
    assert miss > 2 * hit, (miss, hit)


def test_verdicts_come_from_the_capture(traced: Traced) -> None:
    verdicts = {claim["id"]: claim for claim in traced.report["claims"]}
    assert verdicts["exchange-round-trips"]["verdict"] == "refuted", verdicts["exchange-round-trips"]
    assert verdicts["tls-round-trips"]["verdict"] == "holds", verdicts["tls-round-trips"]
    assert verdicts["nat-port"]["verdict"] == "holds", verdicts["nat-port"]


def test_report_shows_the_run_again_without_the_lab(traced: Traced) -> None:
    again = traced.lab.netlab("report", str(traced.folder))
    assert (again.status, again.stdout) == (0, traced.done.stdout), again.stderr
    data = traced.lab.netlab("report", str(traced.folder), "--json")
    assert data.json() == traced.report


def test_report_needs_no_privilege_and_no_unicode(traced: Traced) -> None:
    """Without any capability, in a locale without arrows."""
    drop = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
    done = subprocess.run(
        (*drop, str(NETLAB), "report", str(traced.folder)),
        capture_output=True,
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "latin-1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"hit: https://api.example.com/user/42" in done.stdout


@pytest.mark.needs("tshark")
def test_wireshark_reads_the_request_with_no_key_file(traced: Traced) -> None:
    for hop in ("client-a.eth0", "edge-london.eth0", "proxy.eth0"):
        fields = ("frame.interface_name", "http.request.uri", "frame.comment")
        shown = [word for field in fields for word in ("-e", field)]
        file = str(traced.folder / "hops" / f"{hop}.pcapng")
        done = subprocess.run(
            ("tshark", "-r", file, "-Y", "http.request", "-T", "fields", *shown),
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"{hop.replace('.', ':')}\t/user/42" in done.stdout, done


def test_secrets_are_for_the_owner_alone(traced: Traced) -> None:
    assert (traced.folder / "keys.log").stat().st_mode & 0o077 == 0


def test_a_longer_atlantic_refutes_the_guides_40_ms(lab: Lab) -> None:
    """The counter-case: the same scenario in a lab with another delay."""
    text = find("internet").read_text(encoding="utf-8")
    changed = text.replace("17.5ms", "45ms")
    assert changed != text
    folder = lab.directory / "run"
    done = lab.netlab(
        *("trace", "rest", "--topology", str(lab.write(changed)), "--lab", lab.name),
        *("--out", str(folder), "--json"),
        timeout_s=120,
    )
    assert done.status == 0, done
    verdicts = {claim["id"]: claim for claim in done.json()["claims"]}
    assert verdicts["tcp-time"]["verdict"] == "refuted", verdicts["tcp-time"]
    assert verdicts["tcp-round-trips"]["verdict"] == "holds", verdicts["tcp-round-trips"]
    lab.assert_gone()


def test_a_lab_that_is_up_is_used_and_left_up(lab: Lab) -> None:
    arguments = ("trace", "rest", "--lab", lab.name, "--json", "--out")
    first = lab.netlab(*arguments, str(lab.directory / "one"), "--keep", timeout_s=120)
    assert first.status == 0, first
    assert f"netlab down {lab.name}" in first.stderr
    second = lab.netlab(*arguments, str(lab.directory / "two"), timeout_s=120)
    assert second.status == 0, second
    assert "which is up" in second.stderr
    spans = {one["name"]: {span["name"] for span in one["spans"]} for one in second.json()["variants"]}
    assert "edge ─► origin" in spans["miss"], spans  # its edge had answered before, and is cold again
    assert "edge ─► origin" not in spans["hit"], spans
    assert "DNS ─► ns-com" in spans["direct"], spans
    assert lab.status()["state"] == "up"
    assert lab.netlab("down", lab.name).status == 0
    lab.assert_gone()


def test_ctrl_c_leaves_no_lab_and_no_half_run(lab: Lab) -> None:
    folder = lab.directory / "run"
    trace = lab.start("trace", "rest", "--lab", lab.name, "--out", str(folder))
    assert trace.stderr is not None
    for line in trace.stderr:
        if line.startswith("asking from"):
            break
    poll_until(lambda: list(folder.glob("*")), "the capture has begun", 20)
    trace.send_signal(signal.SIGINT)
    _, said = trace.communicate(timeout=60)
    assert (trace.returncode, "Traceback" in said) == (130, False), said
    lab.assert_gone()
    assert not folder.exists(), list(folder.rglob("*"))


def test_a_request_without_an_answer_fails_with_its_cause(lab: Lab) -> None:
    folder = lab.directory / "run"
    done = lab.netlab(
        "trace", "rest", "--topology", str(lab.write(NO_NAMES)), "--lab", lab.name, "--out", str(folder)
    )
    assert (done.status, done.stdout) == (1, ""), done
    assert "direct" in done.stderr
    lab.assert_gone()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rset",), "did you mean `rest`?"),
        (("rest", "--topology", "internot"), "did you mean `internet`?"),
        (("rest", "--out", "/proc/self"), "/proc/self"),
        (("rest", "--lab", "No Name"), "No Name"),
    ],
)
def test_bad_input_is_refused_before_all(lab: Lab, arguments: tuple[str, ...], said: str) -> None:
    done = lab.netlab("trace", *arguments)
    assert (done.status, done.stdout) == (2, ""), done
    assert said in done.stderr, done


def test_report_refuses_what_is_no_run(lab: Lab) -> None:
    done = lab.netlab("report", str(lab.directory / "nothing"))
    assert (done.status, done.stdout) == (2, ""), done
    assert "run.json" in done.stderr
