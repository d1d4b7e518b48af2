"""Routers: routes, port address translation and forwarding policy."""

from __future__ import annotations

import pytest

from netlab.errors import LabError
from netlab.fabric.kernel import Kernel
from netlab.plan.ops import (
    AddAddress,
    AddRoute,
    CreateNamespace,
    CreateVeth,
    LoadRuleset,
    Operation,
    Port,
    SetSysctl,
)
from tests.kit.inside import run_inside, udp_socket

PAT = """
table ip netlab {
  chain postrouting { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }
}
"""
ONLY_53 = """
table inet netlab {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    udp dport 53 accept
  }
}
"""


def routed(*extra: Operation) -> list[Operation]:
    """home 192.168.1.10 -- router -- server 203.0.113.2, IPv4 and IPv6; the server has no route to home."""
    return [
        CreateNamespace("home"),
        CreateNamespace("router"),
        CreateNamespace("server"),
        # Without it the link-local addresses are tentative for two seconds, and neighbours unknown as long.
        *(SetSysctl(node, "net.ipv6.conf.default.accept_dad", "0") for node in ("home", "router", "server")),
        CreateVeth(
            Port("home", "eth0", "02:00:00:00:00:01", 1500), Port("router", "lan", "02:00:00:00:00:02", 1500)
        ),
        CreateVeth(
            Port("router", "wan", "02:00:00:00:00:03", 1500),
            Port("server", "eth0", "02:00:00:00:00:04", 1500),
        ),
        SetSysctl("router", "net.ipv4.ip_forward", "1"),
        SetSysctl("router", "net.ipv6.conf.all.forwarding", "1"),
        AddAddress("home", "eth0", "192.168.1.10/24"),
        AddAddress("home", "eth0", "fd00:1::10/64"),
        AddAddress("router", "lan", "192.168.1.1/24"),
        AddAddress("router", "lan", "fd00:1::1/64"),
        AddAddress("router", "wan", "203.0.113.5/30"),
        AddAddress("router", "wan", "fd00:2::1/64"),
        AddAddress("server", "eth0", "203.0.113.6/30"),
        AddAddress("server", "eth0", "fd00:2::2/64"),
        AddRoute("home", "0.0.0.0/0", "192.168.1.1"),
        AddRoute("home", "::/0", "fd00:1::1"),
        AddRoute("server", "fd00:1::/64", "fd00:2::1"),
        *extra,
    ]


@pytest.mark.needs("nft")
def test_pat_changes_the_address_and_keeps_the_port(kernel: Kernel, host_unchanged: None) -> None:
    kernel.apply(routed(LoadRuleset("router", PAT)))
    with (
        udp_socket(kernel.namespace("home"), "192.168.1.10", 40_000) as client,
        udp_socket(kernel.namespace("server"), "203.0.113.6", 53) as server,
    ):
        client.sendto(b"question", ("203.0.113.6", 53))
        data, seen = server.recvfrom(100)
        assert (data, seen) == (b"question", ("203.0.113.5", 40_000))
        server.sendto(b"answer", seen)
        assert client.recvfrom(100) == (b"answer", ("203.0.113.6", 53))


def test_ipv6_is_routed_without_translation(kernel: Kernel) -> None:
    kernel.apply(routed())
    with (
        udp_socket(kernel.namespace("home"), "fd00:1::10") as client,
        udp_socket(kernel.namespace("server"), "fd00:2::2", 53) as server,
    ):
        client.sendto(b"question", ("fd00:2::2", 53))
        data, seen = server.recvfrom(100)
        assert (data, seen[0]) == (b"question", "fd00:1::10")
        server.sendto(b"answer", seen)
        assert client.recv(100) == b"answer"


@pytest.mark.needs("nft")
def test_a_forwarding_policy_drops_what_no_rule_accepts(kernel: Kernel) -> None:
    kernel.apply(routed(LoadRuleset("router", ONLY_53)))
    with (
        udp_socket(kernel.namespace("home"), "fd00:1::10") as client,
        udp_socket(kernel.namespace("server"), "fd00:2::2", 54) as closed,
        udp_socket(kernel.namespace("server"), "fd00:2::2", 53) as opened,
    ):
        client.sendto(b"dropped", ("fd00:2::2", 54))  # first, on the same way as what arrives
        client.sendto(b"accepted", ("fd00:2::2", 53))
        data, seen = opened.recvfrom(100)
        assert data == b"accepted"
        opened.sendto(b"established", seen)
        assert client.recv(100) == b"established"
        closed.setblocking(False)
        with pytest.raises(BlockingIOError):
            closed.recv(100)


def test_without_the_policy_the_same_packet_arrives(kernel: Kernel) -> None:
    kernel.apply(routed())
    with (
        udp_socket(kernel.namespace("home"), "fd00:1::10") as client,
        udp_socket(kernel.namespace("server"), "fd00:2::2", 54) as server,
    ):
        client.sendto(b"forwarded", ("fd00:2::2", 54))
        assert server.recv(100) == b"forwarded"


@pytest.mark.needs("nft")
def test_a_ruleset_that_nft_refuses_is_an_error_with_nfts_words(kernel: Kernel) -> None:
    with pytest.raises(
        LabError, match=r"(?s)load nftables ruleset in router: .*syntax error.*tabel"
    ) as raised:
        kernel.apply(routed(LoadRuleset("router", "tabel ip x { }")))
    assert raised.value.exit_code == 1
    assert run_inside(kernel.namespace("router"), "nft", "list", "ruleset") == ""
