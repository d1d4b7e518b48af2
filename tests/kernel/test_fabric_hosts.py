"""Hosts, links, bridges and addresses, as the kernel has them when `Kernel.apply` returns."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time

import pytest

from netlab.fabric.kernel import Kernel
from netlab.plan.ops import (
    AddAddress,
    AddNeighbour,
    CreateBridge,
    CreateNamespace,
    CreateVeth,
    Operation,
    Port,
    SetOffloads,
    SetSysctl,
)
from tests.kit.host import differences, host_state
from tests.kit.inside import inside, ip_json, run_inside, udp_socket
from tests.kit.poll import poll_until


def two_hosts(mtu: int = 1500) -> list[Operation]:
    """a:eth0 10.0.0.1 and fd00::1 -- b:eth0 10.0.0.2 and fd00::2."""
    return [
        CreateNamespace("a"),
        CreateNamespace("b"),
        SetSysctl("a", "net.ipv6.conf.default.accept_dad", "0"),
        SetSysctl("b", "net.ipv6.conf.default.accept_dad", "0"),
        CreateVeth(
            Port("a", "eth0", "02:00:00:00:00:0a", mtu),
            Port("b", "eth0", "02:00:00:00:00:0b", mtu),
        ),
        AddAddress("a", "eth0", "10.0.0.1/24"),
        AddAddress("a", "eth0", "fd00::1/64"),
        AddAddress("b", "eth0", "10.0.0.2/24"),
        AddAddress("b", "eth0", "fd00::2/64"),
    ]


@pytest.mark.parametrize(("source", "target"), [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
def test_two_hosts_reach_each_other_at_once(
    kernel: Kernel, host_unchanged: None, source: str, target: str
) -> None:
    kernel.apply(two_hosts())
    started = time.monotonic()
    with (
        udp_socket(kernel.namespace("a"), source) as client,
        udp_socket(kernel.namespace("b"), target, 7) as server,
    ):
        client.sendto(b"hello", (target, 7))
        data, peer = server.recvfrom(100)
        assert (data, peer[:2]) == (b"hello", (source, client.getsockname()[1]))
        server.sendto(b"hi", peer)
        assert client.recvfrom(100)[0] == b"hi"
    elapsed = time.monotonic() - started
    assert elapsed < 0.8, f"{elapsed:.3f} s: something was lost, and sent again after the usual second"


def test_links_have_the_macs_and_mtu_of_the_plan_and_are_up(kernel: Kernel) -> None:
    kernel.apply(two_hosts(mtu=1400))
    found = {}
    for node in ("a", "b"):
        link = next(one for one in ip_json(kernel.namespace(node), "link") if one["ifname"] == "eth0")
        found[node] = link["address"], link["mtu"], link["operstate"], link["linkinfo"]["info_kind"]
    assert found == {
        "a": ("02:00:00:00:00:0a", 1400, "UP", "veth"),
        "b": ("02:00:00:00:00:0b", 1400, "UP", "veth"),
    }


def test_a_known_neighbour_is_not_asked_for(kernel: Kernel) -> None:
    kernel.apply(
        [
            *two_hosts(),
            AddNeighbour("a", "eth0", "10.0.0.2", "02:00:00:00:00:0b"),
            AddNeighbour("a", "eth0", "fd00::2", "02:00:00:00:00:0b"),
        ]
    )
    found = {one["dst"]: (one["lladdr"], one["state"]) for one in ip_json(kernel.namespace("a"), "neigh")}
    expected = "02:00:00:00:00:0b", ["PERMANENT"]
    assert {address: found.get(address) for address in ("10.0.0.2", "fd00::2")} == {
        "10.0.0.2": expected,
        "fd00::2": expected,
    }, found


def test_ipv6_addresses_are_never_tentative(kernel: Kernel) -> None:
    kernel.apply(two_hosts())
    addresses = ip_json(kernel.namespace("a"), "-6", "address", "show", "dev", "eth0")[0]["addr_info"]
    ours = next(one for one in addresses if one["local"] == "fd00::1")
    assert ours["prefixlen"] == 64
    assert not ours.get("tentative"), ours


def test_loopback_is_up(kernel: Kernel) -> None:
    kernel.apply([CreateNamespace("a")])
    with (
        udp_socket(kernel.namespace("a"), "127.0.0.1") as client,
        udp_socket(kernel.namespace("a"), "127.0.0.1", 7) as server,
    ):
        client.sendto(b"x", ("127.0.0.1", 7))
        assert server.recv(10) == b"x"


def test_a_bridge_forwards_at_once_between_its_ports(kernel: Kernel) -> None:
    operations: list[Operation] = [CreateNamespace(node) for node in ("a", "b", "c", "switch")]
    for number, node in enumerate(("a", "b", "c"), 1):
        ends = (Port(node, "eth0", f"02:00:00:00:00:0{number}", 1500),)
        operations.append(CreateVeth(*ends, Port("switch", f"p{number}", f"02:00:00:00:01:0{number}", 1500)))
    operations.append(CreateBridge("switch", "br0", "02:00:00:00:02:00", ("p1", "p2", "p3")))
    operations += [AddAddress(node, "eth0", f"10.0.0.{i}/24") for i, node in enumerate(("a", "b", "c"), 1)]
    kernel.apply(operations)
    bridge = next(one for one in ip_json(kernel.namespace("switch"), "link") if one["ifname"] == "br0")
    data = bridge["linkinfo"]["info_data"]
    assert (data["stp_state"], data["forward_delay"]) == (0, 0)
    assert "LOWER_UP" in bridge["flags"], bridge
    assert bridge["address"] == "02:00:00:00:02:00"
    with (
        udp_socket(kernel.namespace("a"), "10.0.0.1") as client,
        udp_socket(kernel.namespace("c"), "10.0.0.3", 7) as server,
    ):
        client.sendto(b"through the switch", ("10.0.0.3", 7))
        assert server.recv(100) == b"through the switch"


def test_apply_waits_for_the_kernels_own_addresses(kernel: Kernel) -> None:
    """Duplicate address detection of link-local addresses, which the plan left on, takes a second or two."""
    kernel.apply([one for one in two_hosts() if not isinstance(one, SetSysctl)])
    links = [link for node in ("a", "b") for link in ip_json(kernel.namespace(node), "-6", "address")]
    addresses = [address for link in links for address in link["addr_info"]]
    assert len([one for one in addresses if one["local"].startswith("fe80:")]) == 2, addresses
    assert [one for one in addresses if one.get("tentative")] == []


def test_interface_indices_are_unique_in_the_lab(kernel: Kernel) -> None:
    """Where both ends of a veth have one index, the kernel may take a second to see the carrier."""
    kernel.apply(two_hosts())
    indices = [
        link["ifindex"]
        for node in ("a", "b")
        for link in ip_json(kernel.namespace(node), "link")
        if link["ifname"] == "eth0"
    ]
    assert len(set(indices)) == 2, indices


def test_a_link_goes_down_and_up_again(kernel: Kernel) -> None:
    kernel.apply(two_hosts())
    kernel.set_link("a", "eth0", up=False)
    assert ip_json(kernel.namespace("a"), "link", "show", "dev", "eth0")[0]["operstate"] == "DOWN"
    kernel.set_link("a", "eth0", up=True)
    poll_until(
        lambda: ip_json(kernel.namespace("b"), "link", "show", "dev", "eth0")[0]["operstate"] == "UP",
        "b:eth0 has its carrier again",
    )


def test_sysctls_are_the_nodes_own(kernel: Kernel, host_unchanged: None) -> None:
    kernel.apply(
        [
            *two_hosts(),
            SetSysctl("a", "net.ipv4.ip_forward", "1"),
            SetSysctl("a", "net.ipv4.conf.eth0.rp_filter", "2"),
        ]
    )
    keys = ("net/ipv4/ip_forward", "net/ipv4/conf/eth0/rp_filter")
    values = {
        node: [run_inside(kernel.namespace(node), "cat", f"/proc/sys/{key}").strip() for key in keys]
        for node in ("a", "b")
    }
    assert values["a"] == ["1", "2"]
    assert values["b"][0] == "0"


def test_progress_ends_with_the_number_of_operations(kernel: Kernel) -> None:
    heard: list[int] = []
    operations = two_hosts()
    kernel.apply(operations, heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == len(operations)


def test_a_lab_can_grow(kernel: Kernel) -> None:
    kernel.apply(two_hosts())
    kernel.apply(
        [
            CreateNamespace("c"),
            CreateVeth(
                Port("c", "eth0", "02:00:00:00:00:0c", 1500), Port("b", "eth1", "02:00:00:00:00:0d", 1500)
            ),
        ]
    )
    assert [link["ifname"] for link in ip_json(kernel.namespace("b"), "link")] == ["lo", "eth0", "eth1"]


def test_nothing_is_visible_outside_and_nothing_is_left_after_close(host_unchanged: None) -> None:
    kernel = Kernel()
    before = inside_host()
    threads = threading.active_count()
    kernel.apply([*two_hosts(), SetOffloads("a", "eth0", enabled=False)])
    assert differences(before, inside_host()) == {}
    assert threading.active_count() == threads
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one descriptor more, the same both times
    witness = os.dup(kernel.namespace("a"))
    try:
        kernel.close()
        # b's namespace dies, and with it its end of the link, and so the other end that a still could see
        poll_until(
            lambda: [link["ifname"] for link in ip_json(witness, "link")] == ["lo"],
            "the link ends with b's namespace",
        )
    finally:
        os.close(witness)
    assert len(os.listdir("/proc/self/fd")) == descriptors - 4  # noqa: PTH208
    kernel.close()  # twice is once


def inside_host() -> dict[str, str]:
    """The state of the fake host that the calling thread is in."""
    return host_state()


def test_captured_frames_fit_the_mtu_and_have_right_checksums(kernel: Kernel) -> None:
    kernel.apply([*two_hosts(), SetOffloads("a", "eth0", enabled=False)])
    frames = captured_transfer(kernel, 200_000)
    segments = [frame[14:] for frame in frames if frame[12:14] == b"\x08\x00" and frame[23] == 6]
    assert sum(len(segment) for segment in segments) > 200_000
    assert max(len(segment) for segment in segments) <= 1500
    wrong = [number for number, segment in enumerate(segments) if tcp_sum(segment) != 0xFFFF]
    assert wrong == [], f"{len(wrong)} of {len(segments)} segments have a wrong TCP checksum"


def test_without_it_offloads_are_on(kernel: Kernel) -> None:
    kernel.apply([*two_hosts(), SetOffloads("a", "eth0", enabled=True)])
    frames = captured_transfer(kernel, 200_000)
    assert max(len(frame) for frame in frames) > 1514


def captured_transfer(kernel: Kernel, size: int) -> list[bytes]:
    """The frames at both ends of the link while a sends `size` bytes to b by TCP."""
    listener = inside(kernel.namespace("b"), lambda: socket.create_server(("10.0.0.2", 80)))
    taps = [inside(kernel.namespace(node), packet_socket) for node in ("a", "b")]
    client = inside(kernel.namespace("a"), lambda: socket.create_connection(("10.0.0.2", 80), 5))
    server, _ = listener.accept()
    sender = threading.Thread(target=client.sendall, args=(bytes(size),))
    sender.start()
    received = 0
    while received < size:
        received += len(server.recv(65536))
    sender.join()
    for one in (client, server, listener):
        one.close()
    frames = []
    for tap in taps:
        with tap:
            while True:
                try:
                    frames.append(tap.recv(70_000, socket.MSG_DONTWAIT))
                except BlockingIOError:
                    break
    return frames


def packet_socket() -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    tap.bind(("eth0", 0))
    return tap


def tcp_sum(packet: bytes) -> int:
    """The one's complement sum over pseudo-header and segment (RFC 9293, section 3.1): 0xFFFF if right."""
    total = int.from_bytes(packet[2:4], "big")
    segment = packet[(packet[0] & 15) * 4 : total]
    data = packet[12:20] + struct.pack("!HH", 6, len(segment)) + segment + b"\0" * (len(segment) % 2)
    value: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value > 0xFFFF:
        value = (value & 0xFFFF) + (value >> 16)
    return value
