"""Answers of the kernel, sysctl paths, and the words for operations."""

from __future__ import annotations

import errno
import struct
from typing import get_args

import pytest

from netlab.fabric.describe import describe
from netlab.fabric.message import HEADER, NLMSG_ERROR, attribute
from netlab.fabric.netlink import Answer, answers, error_number, failure_text
from netlab.fabric.sysctl import path
from netlab.model.impairment import Impairment
from netlab.model.roles import ClientSpec
from netlab.plan import ops


def refusal(number: int, sequence: int, said: str = "") -> bytes:
    """An NLMSG_ERROR as the kernel sends it with NETLINK_CAP_ACK and NETLINK_EXT_ACK."""
    payload = struct.pack("=i", -number) + HEADER.pack(100, 16, 0x605, sequence, 0)
    if said:
        payload += attribute(1, said.encode() + b"\0")
    return HEADER.pack(16 + len(payload), NLMSG_ERROR, 0x300 if said else 0x100, sequence, 0) + payload


def test_several_answers_in_one_datagram() -> None:
    found = list(answers(refusal(errno.EEXIST, 3, "already there") + refusal(0, 4)))
    assert [(one.sequence, error_number(one), failure_text(one)) for one in found] == [
        (3, errno.EEXIST, "already there"),
        (4, 0, ""),
    ]


def test_an_answer_that_is_no_error_has_no_number() -> None:
    assert error_number(Answer(36, 0, 0, b"\xff\xff\xff\xff")) == 0


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/100.forwarding", "/proc/sys/net/ipv4/conf/eth0.100/forwarding"),
    ],
)
def test_the_file_of_a_sysctl(key: str, file: str) -> None:
    assert path(key) == file


@pytest.mark.parametrize(
    "key", ["", "net", "net.", "kernel.hostname", "net..ipv4", "net.//.x", "net./.x", ".net.x"]
)
def test_what_is_not_the_namespaces_own(key: str) -> None:
    with pytest.raises(ValueError, match="network sysctl"):
        path(key)


def test_every_operation_has_words() -> None:
    port = ops.Port("a", "eth0", "02:00:00:00:00:01", 1500)
    other = ops.Port("b", "eth1", "02:00:00:00:00:02", 1500)
    words: dict[ops.Operation, str] = {
        ops.CreateNamespace("a"): "create namespace a",
        ops.CreateVeth(port, other): "create veth a:eth0 -- b:eth1",
        ops.CreateBridge("a", "br0", "", ()): "create bridge a:br0",
        ops.AddAddress("a", "eth0", "10.0.0.1/24"): "add address 10.0.0.1/24 to a:eth0",
        ops.AddNeighbour("a", "eth0", "10.0.0.2", "02:00:00:00:00:02"): "add neighbour 10.0.0.2 at a:eth0",
        ops.AddRoute("a", "0.0.0.0/0", "10.0.0.2"): "add route to 0.0.0.0/0 via 10.0.0.2 in a",
        ops.SetSysctl("a", "net.x", "1"): "set sysctl net.x = 1 in a",
        ops.LoadRuleset("a", "table"): "load nftables ruleset in a",
        ops.SetOffloads("a", "eth0", enabled=False): "turn offloads off at a:eth0",
        ops.SetQdisc("a", "eth0", Impairment()): "set netem at a:eth0",
        ops.CrossConnect("a--b", "m", "x", "y"): "connect m:x and m:y in the middle of a--b",
        ops.StartWire(()): "start wire",
        ops.StartRole("a", "client", ClientSpec()): "start role client in a",
    }
    assert {operation: describe(operation) for operation in words} == words
    assert {type(operation) for operation in words} == set(get_args(ops.Operation))
