"""EDNS over the wire: versions, flags, client subnets, extended errors."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import RemoteProtocolError
from netlab.proto.dns import Message, Question, decode, encode, reply
from netlab.proto.dns_edns import ExtendedError, Subnet, subnet_of

QUERY = Message(7, Question("x.example"), edns_bytes=1232)


@given(st.ip_addresses(), st.integers(0, 128), st.integers(0, 128))
def test_subnets_survive_the_wire(address: object, bits: int, scope: int) -> None:
    told = subnet_of(str(address), bits)
    scope = min(scope, told.network.max_prefixlen)
    found = decode(encode(replace(QUERY, subnet=replace(told, scope=scope)))).subnet
    assert found == Subnet(told.network, scope)
    assert found.network.prefixlen <= (24 if found.network.version == 4 else 56)
    assert found.scoped.supernet_of(found.network)  # type: ignore[arg-type] # of one version


def test_a_subnet_is_as_much_as_is_told_of_an_address() -> None:
    assert str(subnet_of("192.0.2.77").network) == "192.0.2.0/24"
    assert str(subnet_of("2001:db8:1:2:3::4").network) == "2001:db8:1::/56"
    assert str(subnet_of("fe80::1%eth0").network) == "fe80::/56"
    assert Subnet(ip_network("192.0.2.0/24"), 30).scoped == ip_network("192.0.2.0/24"), "never narrower"


@pytest.mark.parametrize("tail", ["0008000700013000c00002", "0008000700012000c0000201", "0008000300010a"])
def test_a_malformed_subnet_is_a_remote_error(tail: str) -> None:
    option = bytes.fromhex(tail)
    wire = bytearray(encode(QUERY))
    wire[-2:] = len(option).to_bytes(2, "big")
    with pytest.raises(RemoteProtocolError, match="malformed DNS message"):
        decode(bytes(wire) + option)


def test_flags_versions_and_errors_survive_the_wire() -> None:
    sent = replace(
        QUERY,
        response=True,
        rcode="BADVERS",
        dnssec_ok=True,
        authentic=True,
        checking_disabled=True,
        errors=(ExtendedError(22, "nobody in reach"), ExtendedError(13)),
    )
    assert decode(encode(sent)) == sent
    assert decode(encode(replace(QUERY, edns_version=3))).edns_version == 3


def test_a_reply_repeats_what_it_must_and_no_more() -> None:
    query = replace(
        QUERY,
        recursion_desired=True,
        checking_disabled=True,
        authentic=True,
        dnssec_ok=True,
        edns_version=1,
        subnet=subnet_of("192.0.2.1"),
    )
    made = reply(query, "NOERROR")
    assert (made.recursion_desired, made.checking_disabled, made.dnssec_ok) == (True, True, True)
    assert (made.authentic, made.edns_version, made.subnet) == (False, 0, None)
