"""Two interfaces of a namespace connected past its stack: what the middle of a netem link is made of."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netlab.fabric.changes import LinkChanges
from netlab.fabric.kernel import Kernel
from netlab.plan.ops import (
    MIDDLE,
    AddAddress,
    CreateNamespace,
    CreateVeth,
    CrossConnect,
    Operation,
    Port,
    SetOffloads,
    SetSysctl,
)
from tests.kit.inside import inside, run_inside
from tests.kit.poll import poll_until
from tests.kit.wired import MACS, frame_of


def crossed(mtu: int = 1500) -> list[Operation]:
    """a:eth0 10.0.0.1 -- m1 (middle) m2 -- b:eth0 10.0.0.2"""
    operations: list[Operation] = [
        CreateNamespace(MIDDLE),
        SetSysctl(MIDDLE, "net.ipv6.conf.default.disable_ipv6", "1"),
    ]
    for number, node in enumerate("ab", start=1):
        operations += [
            CreateNamespace(node),
            SetSysctl(node, "net.ipv6.conf.default.disable_ipv6", "1"),
            CreateVeth(
                Port(node, "eth0", f"02:00:00:00:00:0{number}", mtu),
                Port(MIDDLE, f"m{number}", f"02:00:00:00:01:0{number}", mtu),
            ),
            SetOffloads(node, "eth0", enabled=False),
            AddAddress(node, "eth0", f"10.0.0.{number}/24"),
        ]
    return [*operations, CrossConnect("a--b", MIDDLE, "m1", "m2")]


@contextmanager
def everything(kernel: Kernel, node: str) -> Iterator[socket.socket]:
    """A packet socket at the node's eth0 that sees what comes and goes."""

    def opened() -> socket.socket:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        raw.bind(("eth0", 3))
        raw.settimeout(5)
        return raw

    with inside(kernel.namespace(node), opened) as raw:
        yield raw


def test_both_ways_at_full_length(kernel: Kernel) -> None:
    kernel.apply(crossed(mtu=9000))
    said = run_inside(
        kernel.namespace("a"), "ping", "-n", "-c", "20", "-i", "0.01", "-M", "do", "-s", "8972", "10.0.0.2"
    )
    assert " 20 received" in said, said


@pytest.mark.parametrize(
    "frame",
    [
        frame_of(0x88B5, b"local"),
        frame_of(0x8100, bytes.fromhex("2064") + b"\x88\xb5" + b"tagged"),  # VLAN 100, priority 1
        bytes.fromhex("0180c200000e020000000001") + b"\x88\xcc" + b"lldp",  # a bridge would keep it
        b"\xff" * 6 + MACS[6:] + b"\x08\x06" + bytes(28),
    ],
    ids=["unicast", "vlan", "lldp", "broadcast"],
)
def test_every_kind_of_frame_goes_through_as_it_is(kernel: Kernel, frame: bytes) -> None:
    kernel.apply(crossed())
    with everything(kernel, "a") as source, everything(kernel, "b") as sink:
        sink.setsockopt(263, 8, 1)  # PACKET_AUXDATA: Linux takes the tag out of the frame
        source.send(frame)
        data, ancillary, _, address = sink.recvmsg(2000, 100)
        if ancillary:
            tag = int.from_bytes(ancillary[0][2][16:18], "little")
            data = data[:12] + (b"\x81\x00" + tag.to_bytes(2, "big") if tag else b"") + data[12:]
    assert data == frame
    assert address[2] in (socket.PACKET_HOST, socket.PACKET_BROADCAST, socket.PACKET_MULTICAST)


def test_the_middle_says_nothing_of_its_own(kernel: Kernel) -> None:
    """Not even when its interfaces come and go; no ARP, no IPv6, no IGMP."""
    kernel.apply(crossed())
    with everything(kernel, "a") as at_a, everything(kernel, "b") as at_b:
        for up in (False, True):
            for interface in ("m1", "m2"):
                kernel.set_link(MIDDLE, interface, up=up)
        for node in "ab":
            poll_until(lambda node=node: kernel.flags(node, "eth0").carrier, "the carrier is back")  # type: ignore[misc]
        for seen in (at_a, at_b):
            seen.settimeout(0.5)
            with pytest.raises(TimeoutError):
                seen.recv(2000)


def test_what_the_middle_goes_through_is_seen(kernel: Kernel) -> None:
    """A node that brings its interface down takes the carrier of its neighbour in the middle along."""
    kernel.apply(crossed())
    changes = LinkChanges(kernel.namespace(MIDDLE))
    assert changes.read() == set()
    assert kernel.flags(MIDDLE, "m1") == (True, True)
    kernel.set_link("a", "eth0", up=False)
    assert kernel.flags(MIDDLE, "m1") == (True, False)
    assert kernel.flags(MIDDLE, "m2") == (True, True)
    poll_until(lambda: changes.read() == {"m1"}, "the change is told")
    kernel.set_link("a", "eth0", up=True)
    assert kernel.flags(MIDDLE, "m1") == (True, True)
    changes.close()
