"""Packets followed across NAT, three routers and lossy links with jitter: each journey is what the numbers in
the payload say, none is incomplete, none is wrong; and each loss is on the link that lost it.

The hard part: two clients send the same datagrams at the same time from the same port, without IP
identification, or in IPv6, which has none. Only markers between them say, behind the NAT, whose is which; the
correlation doesn't get to see the markers.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from netlab.decode.frame import Frame, frames
from netlab.lab.client import LabClient
from netlab.model.roles import DatagramsSpec
from netlab.proto import numbered
from netlab.trace.journeys import journeys
from netlab.trace.leg import network
from netlab.trace.losses import losses
from netlab.trace.packet import Packet, Socket, packets_of
from netlab.trace.run import Run, RunLink
from tests.e2e.conftest import Lab
from tests.e2e.test_trace_rest import a_lab
from tests.kit import numbered_traffic
from tests.kit.numbered_traffic import MARKER, TCP_PORT, UDP_PORT

TOPOLOGY = """
name: NAME
seed: 11
nodes:
  c1: {interfaces: {eth0: ["192.168.1.10/24", "2001:db8:1::10/64"]}}
  c2: {interfaces: {eth0: ["192.168.1.11/24", "2001:db8:1::11/64"]}}
  sw: {kind: switch}
  home:
    kind: router
    interfaces: {lan: ["192.168.1.1/24", "2001:db8:1::1/64"], wan: ["203.0.113.5/30", "2001:db8:2::1/64"]}
    nat: [{kind: pat, out: wan}]
  r1:
    kind: router
    interfaces: {west: ["203.0.113.6/30", "2001:db8:2::2/64"], east: ["203.0.113.9/30", "2001:db8:3::1/64"]}
  r2:
    kind: router
    interfaces: {west: ["203.0.113.10/30", "2001:db8:3::2/64"], east: ["198.51.100.1/24", "2001:db8:4::1/64"]}
  server:
    interfaces: {eth0: ["198.51.100.7/24", "2001:db8:4::7/64"]}
    roles: [{kind: datagrams, listen: 9}]
links:
  - {ends: [c1:eth0, sw], delay: 500us, jitter: 200us, loss: 1%}
  - {ends: [c2:eth0, sw], delay: 500us, jitter: 200us, loss: 1%}
  - {ends: [home:lan, sw]}
  - {ends: [home:wan, r1:west], delay: 4ms, jitter: 3ms, loss: 1%}
  - {ends: [r1:east, r2:west], delay: 8ms, jitter: 4ms, loss: 1%}
  - {ends: [r2:east, server:eth0], delay: 1ms, jitter: 500us, loss: 1%}
"""
COUNT = 400
SERVERS = ("198.51.100.7", "2001:db8:4::7")
CLIENTS = {
    "192.168.1.10": "c1", "2001:db8:1::10": "c1", "192.168.1.11": "c2", "2001:db8:1::11": "c2",
}  # fmt: skip
PAIR = ("c1", "c2")
PORTS = (UDP_PORT, TCP_PORT, 9)


class Truth(NamedTuple):
    """Which packet it is: by whom and to whom, and what the payload says."""

    client: str
    version: int
    port: int
    up: bool
    payload: bytes


@dataclass(frozen=True)
class Captured:
    frames: tuple[Frame, ...]
    links: list[dict[str, Any]]

    @property
    def run(self) -> Run:
        links = tuple(RunLink(ends=tuple(one["ends"])) for one in self.links)
        return Run(scenario="", lab="", topology="", started_ns=0, ended_ns=1, nodes={}, links=links)


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Captured]:
    directory = tmp_path_factory.mktemp("truth")
    for lab in a_lab(directory):
        lab.up(TOPOLOGY)
        client, folder = LabClient.connect(lab.name), directory / "capture"
        assert lab.netlab("capture", "start", "--lab", lab.name, "--out", str(folder)).status == 0
        traffic(lab, client)
        stopped = lab.netlab("capture", "stop", "--lab", lab.name)
        assert stopped.status == 0, stopped
        links = client.links()
        lab.netlab("down", lab.name)
        yield Captured(tuple(frames((folder / "trace.pcapng").read_bytes())), links)


def traffic(lab: Lab, client: LabClient) -> None:
    def program(node: str, *words: str) -> Any:
        path = Path(numbered_traffic.__file__)
        return lab.start("exec", node, "--lab", lab.name, "--", sys.executable, str(path), *words)

    with program("server", "serve") as server:
        try:
            assert server.stdout.readline() == "ready\n"
            for address in SERVERS:
                senders = [
                    program(node, "send", node, address, str(time.time() + 1), str(COUNT)) for node in PAIR
                ]
                for sender in senders:
                    said = sender.communicate(timeout=60)
                    assert sender.returncode == 0, said
            client.run("c1", DatagramsSpec(to=f"{SERVERS[0]}:9", count=COUNT))
            time.sleep(0.1)  # so that the last ones arrive
        finally:
            server.terminate()


# ------------------------------------------------------------------------------------------- truth


def mapped(packets: tuple[Packet, ...]) -> dict[Socket, str]:
    """Behind the NAT: socket ─► client, as markers say, and TCP's and the role's payloads."""
    found: dict[Socket, str] = {}
    for one in packets:
        if one.dst.port in PORTS and one.headers.ip_version == 4 and one.src.address not in CLIENTS:
            owner = (
                "c1" if one.dst.port == 9 else one.payload.removeprefix(MARKER)[:2].decode(errors="replace")
            )
            if owner in PAIR:
                assert found.setdefault(one.src, owner) == owner, one
    return found


def truth(packet: Packet, owners: dict[Socket, str]) -> Truth | None:
    """None for what has no payload of ours."""
    up = packet.dst.port in PORTS
    client, server = (packet.src, packet.dst) if up else (packet.dst, packet.src)
    if server.port not in PORTS or not packet.payload:
        return None
    owner = CLIENTS.get(client.address) or owners[client]
    payload = packet.payload if server.port != 9 else packet.payload[: numbered.SMALLEST]
    return Truth(owner, packet.headers.ip_version, server.port, up, payload)


def is_marker(packet: Packet) -> bool:
    return packet.payload.startswith(MARKER)


def test_every_journey_is_what_the_payload_says(captured: Captured) -> None:
    everything = packets_of(captured.frames)
    owners = mapped(everything)
    packets = tuple(one for one in everything if not is_marker(one))
    expected: dict[Truth, list[Packet]] = defaultdict(list)
    for packet in packets:
        told = truth(packet, owners)
        if told is not None:
            expected[told].append(packet)
    found: dict[Truth, list[tuple[Packet, ...]]] = defaultdict(list)
    for journey in journeys(packets):
        ids = {truth(packet, owners) for packet in journey}
        assert len(ids) == 1, f"packets of {ids} in one journey: {[str(one.place) for one in journey]}"
        (told,) = ids
        if told is not None:
            found[told].append(journey)
    assert found.keys() == expected.keys()
    assert sum(one.port == UDP_PORT for one in expected) > 3 * 2 * COUNT, (
        "both ways, both clients, both versions"
    )
    for told, sightings in expected.items():
        home = "server" if not told.up else told.client
        sent = [one for one in sightings if one.frame.node == home]
        made = found[told]
        shown = [[(one.place, one.number) for one in journey] for journey in made]
        assert len(made) == len(sent), (told, shown)
        assert {journey[0].number for journey in made} == {one.number for one in sent}, (told, shown)
        assert told.port == TCP_PORT or len(sent) == 1, told


def test_each_loss_is_on_the_link_that_lost_it(captured: Captured) -> None:
    joined = network(packets_of(captured.frames))
    found = losses((*joined.legs, *joined.flows), joined.journeys, captured.run)
    lost = {(":".join(one.after), ":".join(one.before)): len(one.packets) for one in found}
    counted = {}
    for link in captured.links:
        for way, (after, before) in (("up", link["ends"]), ("down", link["ends"][::-1])):
            counted[after, before] = link[way]["counters"].get("lost", 0)
    assert lost.keys() <= counted.keys(), f"lost elsewhere than on links: {lost}, {counted}"
    others = {way: (count, lost.get(way, 0)) for way, count in counted.items()}
    # What isn't TCP or UDP (ARP, neighbour discovery) is lost too, and not followed.
    assert all(0 <= count - found <= 3 for count, found in others.values()), others
    assert sum(lost.values()) > COUNT / 10, lost
