"""The relay between real namespaces: bits flipped, frames doubled, congestion marked, cables pulled."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator

import pytest

from netlab.fabric.kernel import Kernel
from netlab.model.impairment import Impairment
from netlab.plan.ops import WIRE, CreateNamespace, CreateVeth, Port, SetSysctl, StartWire, WireLink
from netlab.wire.relay import serve
from tests.kit.inside import inside, run_inside, udp_socket
from tests.kit.poll import poll_until
from tests.kit.wired import (
    ECHO,
    ETH_P_ALL,
    LINK,
    Start,
    frame_of,
    packet_socket,
    pour,
    run_child,
    starting,
)

MS = 1_000_000


@pytest.fixture
def start(kernel: Kernel) -> Iterator[Start]:
    with starting(kernel) as started:
        yield started


def test_one_bit_of_a_corrupt_frame_is_flipped(start: Start) -> None:
    wired = start(Impairment(corrupt=1.0), Impairment())
    sent = frame_of(0x88B5, bytes(range(200)))
    came: list[bytes] = []
    with packet_socket(wired.a, 0) as source, packet_socket(wired.b, ETH_P_ALL) as sink:
        for _ in range(50):
            source.send(sent)
        while len(came) < 50:
            came.append(sink.recv(2000))
    flipped = [int.from_bytes(one) ^ int.from_bytes(sent) for one in came]
    assert [len(one) for one in came] == [len(sent)] * 50
    assert [one.bit_count() for one in flipped] == [1] * 50, flipped
    assert len(set(flipped)) > 30, flipped


def test_what_a_corrupt_stream_brings_is_right_nevertheless(start: Start) -> None:
    """Checksums that the sender's kernel left unfinished must not hide the flipped bits."""
    wired = start(Impairment(corrupt=0.2), Impairment(), offload=True)
    data = os.urandom(1 << 18)
    with inside(wired.b, lambda: socket.create_server(("10.0.0.2", 80))) as server:
        client = inside(wired.a, lambda: socket.create_connection(("10.0.0.2", 80), timeout=10))
        accepted = server.accept()[0]
        with client, accepted:
            sender = os.fork()
            if sender == 0:
                run_child(lambda: client.sendall(data))
            client.close()
            got = b"".join(iter(lambda: accepted.recv(1 << 20), b""))
            assert os.waitstatus_to_exitcode(os.waitpid(sender, 0)[1]) == 0
    assert got == data
    assert wired.counters("up")["corrupted"] > 0


def test_duplicates_come_twice(start: Start) -> None:
    wired = start(Impairment(delay_ns=MS, duplicate=1.0), Impairment())
    frames = [frame_of(0x88B5, bytes([number]) * 100) for number in range(20)]
    twice = [frame for frame in frames for _ in range(2)]
    with packet_socket(wired.a, 0) as source, packet_socket(wired.b, 0x88B5) as sink:
        for frame in frames:
            source.send(frame)
        assert [sink.recv(65536) for _ in twice] == twice
    assert wired.counters("up")["duplicated"] == 20


@pytest.mark.parametrize(("tos", "arrives"), [(0x02, 0x03), (0x29, 0x2B), (0x03, 0x03), (0x28, None)])
def test_congestion_is_marked_where_the_packet_allows_it(start: Start, tos: int, arrives: int | None) -> None:
    """A wrong IPv4 checksum would keep the datagram from its socket."""
    wired = start(Impairment(delay_ns=MS), Impairment())
    with udp_socket(wired.a, "10.0.0.1") as source, udp_socket(wired.b, "10.0.0.2", ECHO) as sink:
        pour(source, sink, 1, 10)  # resolves the address
        sink.settimeout(5)
        sink.recv(2000)
        assert "ok" in wired.ask(op="set", link=LINK, up={"loss": 1.0, "ecn": True})
        sink.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        source.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        source.sendto(b"marked?", ("10.0.0.2", ECHO))
        poll_until(lambda: wired.counters("up")["lost"] + wired.counters("up")["marked"] == 1, "it is met")
        if arrives is None:
            assert wired.counters("up")["lost"] == 1
        else:
            _, ((_, _, found), *_), _, _ = sink.recvmsg(2000, 100)
            assert found[0] == arrives


def _has_carrier(namespace_fd: int) -> bool:
    return "LOWER_UP" in run_inside(namespace_fd, "ip", "link", "show", "eth0")


def test_a_pulled_cable_takes_the_carrier_and_what_is_in_flight(start: Start) -> None:
    wired = start(Impairment(delay_ns=400 * MS), Impairment())
    run_inside(wired.a, "ping", "-n", "-c", "1", "-w", "5", "10.0.0.2")
    with udp_socket(wired.a, "10.0.0.1") as source, udp_socket(wired.b, "10.0.0.2", ECHO) as sink:
        source.sendto(b"lost", ("10.0.0.2", ECHO))
        poll_until(lambda: wired.ask(op="stats")["ok"]["in_flight"] == 1, "the frame is in flight")
        assert wired.ask(op="carrier", link=LINK, up=False) == {"ok": {"up": False}}
        poll_until(lambda: not _has_carrier(wired.a) and not _has_carrier(wired.b), "no carrier")
        assert wired.ask(op="show")["ok"]["links"][LINK]["carrier"] is False
        assert wired.ask(op="carrier", link=LINK, up=True) == {"ok": {"up": True}}
        poll_until(lambda: _has_carrier(wired.a) and _has_carrier(wired.b), "carrier")
        assert "ok" in wired.ask(op="set", link=LINK, up={"delay_ns": 0})
        sink.settimeout(5)
        source.sendto(b"again", ("10.0.0.2", ECHO))
        assert sink.recv(100) == b"again"
    counters = wired.counters("up")
    assert (counters["unplugged"], counters["unable"]) == (1, 0), counters


def test_a_pulled_cable_leaves_the_other_links_alone(kernel: Kernel) -> None:
    """Frames in flight on a second link of the same relay arrive."""
    ends = [("a", "w1"), ("b", "w2"), ("c", "w3"), ("d", "w4")]
    kernel.apply([CreateNamespace(WIRE)])
    for number, (node, middle) in enumerate(ends, start=1):
        inner = Port(node, "eth0", f"02:00:00:00:00:0{number}", 1500)
        outer = Port(WIRE, middle, f"02:00:00:00:01:0{number}", 1500)
        off = [
            SetSysctl(port.node, f"net.ipv6.conf.{port.interface}.disable_ipv6", "1")
            for port in (inner, outer)
        ]
        kernel.apply([CreateNamespace(node), CreateVeth(inner, outer), *off])
    slow = Impairment(delay_ns=300 * MS)
    start = StartWire((WireLink("a--b", "w1", "w2", slow, slow), WireLink("c--d", "w3", "w4", slow, slow)))
    control, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        control.close()
        run_child(lambda: serve(start, kernel.namespace(WIRE), theirs, seed=1))
    theirs.close()
    with control, control.makefile("r") as answers:
        answers.readline()
        frames = [frame_of(0x88B5, bytes([number]) * 60) for number in range(10)]
        with (
            packet_socket(kernel.namespace("c"), 0) as source,
            packet_socket(kernel.namespace("d"), 0x88B5) as sink,
        ):
            for frame in frames:
                source.send(frame)
            control.sendall(b'{"op": "carrier", "link": "a--b", "up": false}\n')
            assert json.loads(answers.readline()) == {"ok": {"up": False}}
            assert [sink.recv(2000) for _ in frames] == frames
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
