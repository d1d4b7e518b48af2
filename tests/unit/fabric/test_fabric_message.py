"""Encoded messages, read by pyroute2: an independent reader of rtnetlink."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from netlab.fabric import message


def read(kind: type[Any], number: int, body: bytes) -> Any:
    """What pyroute2 reads in a message of type `number` with this body."""
    data = message.HEADER.pack(message.HEADER.size + len(body), number, message.CREATE, 7, 0) + body
    decoded = kind(data)
    decoded.decode()
    return decoded


def test_a_veth_has_both_ends_in_their_namespaces() -> None:
    peer = message.link("right", 41, up=False, mac="02:00:00:00:00:02", mtu=1400, namespace_fd=9)
    body = message.link(
        "left", 40, up=True, mac="02:00:00:00:00:01", mtu=1400, namespace_fd=8, info=message.veth(peer)
    )
    link = read(ifinfmsg, message.RTM_NEWLINK, body)
    assert (link["index"], link["flags"], link["change"]) == (40, 1, 1)
    assert link.get_attr("IFLA_IFNAME") == "left"
    assert link.get_attr("IFLA_ADDRESS") == "02:00:00:00:00:01"
    assert link.get_attr("IFLA_MTU") == 1400
    assert link.get_attr("IFLA_NET_NS_FD") == 8
    info = link.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    other = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert (other["index"], other["flags"]) == (41, 0)
    assert other.get_attr("IFLA_IFNAME") == "right"
    assert other.get_attr("IFLA_NET_NS_FD") == 9


def test_a_bridge_has_no_spanning_tree_and_no_delay() -> None:
    body = message.link("br0", 5, up=True, mac="02:00:00:00:00:01", info=message.bridge())
    info = read(ifinfmsg, message.RTM_NEWLINK, body).get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "bridge"
    data = info.get_attr("IFLA_INFO_DATA")
    assert (data.get_attr("IFLA_BR_FORWARD_DELAY"), data.get_attr("IFLA_BR_STP_STATE")) == (0, 0)


@pytest.mark.parametrize(("up", "flags"), [(True, 1), (False, 0)])
def test_up_and_down(up: bool, flags: int) -> None:
    link = read(ifinfmsg, message.RTM_SETLINK, message.set_up(3, up=up))
    assert (link["index"], link["flags"], link["change"]) == (3, flags, 1)


def test_a_port_gets_its_bridge() -> None:
    link = read(ifinfmsg, message.RTM_SETLINK, message.set_master(3, 5))
    assert (link["index"], link["change"], link.get_attr("IFLA_MASTER")) == (3, 0, 5)


@pytest.mark.parametrize(
    ("text", "family", "broadcast"),
    [
        ("192.168.1.10/24", 2, "192.168.1.255"),
        ("10.0.0.1/30", 2, "10.0.0.3"),
        ("10.0.0.0/31", 2, None),
        ("10.0.0.1/32", 2, None),
        ("fd00::1/64", 10, None),
    ],
)
def test_addresses(text: str, family: int, broadcast: str | None) -> None:
    found = read(ifaddrmsg, message.RTM_NEWADDR, message.address(3, text))
    address, _, bits = text.partition("/")
    assert (found["family"], found["prefixlen"], found["index"]) == (family, int(bits), 3)
    assert found.get_attr("IFA_LOCAL") == found.get_attr("IFA_ADDRESS") == address
    assert found.get_attr("IFA_BROADCAST") == broadcast
    assert found["flags"] == (2 if family == 10 else 0)  # IFA_F_NODAD


@pytest.mark.parametrize(
    ("to", "via", "family", "destination", "bits"),
    [
        ("10.1.0.0/16", "10.0.0.1", 2, "10.1.0.0", 16),
        ("0.0.0.0/0", "10.0.0.1", 2, None, 0),
        ("10.1.0.9", "10.0.0.1", 2, "10.1.0.9", 32),
        ("fd00:1::/64", "fd00::1", 10, "fd00:1::", 64),
        ("::/0", "fd00::1", 10, None, 0),
    ],
)
def test_routes(to: str, via: str, family: int, destination: str | None, bits: int) -> None:
    route = read(rtmsg, message.RTM_NEWROUTE, message.route(to, via))
    assert (route["family"], route["dst_len"], route["table"], route["type"]) == (family, bits, 254, 1)
    assert route.get_attr("RTA_DST") == destination
    assert route.get_attr("RTA_GATEWAY") == via


@pytest.mark.parametrize(
    "text", ["", "10.0.0", "10.0.0.1/33", "fd00::1/129", "10.0.0.1/x", "10.0.0.1/-1", "::g/64"]
)
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError):
        message.prefix(text)


def test_a_gateway_of_another_family() -> None:
    with pytest.raises(ValueError, match="family"):
        message.route("fd00::/64", "10.0.0.1")


@pytest.mark.parametrize("value", [b"", b"a", b"ab", b"abc", b"abcd", b"abcde"])
def test_attributes_come_back_whatever_their_padding(value: bytes) -> None:
    data = message.attribute(3, value) + message.attribute(4 | 0x8000, b"next")
    assert len(data) % 4 == 0
    assert message.attributes(data) == {3: value, 4: b"next"}


def test_attributes_of_broken_data_end() -> None:
    assert message.attributes(struct.pack("=HH", 0, 1) + b"xxxx") == {}
    assert message.attributes(b"abc") == {}
