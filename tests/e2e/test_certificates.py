"""Certificates in a lab: each fault is refused by its check, and keys of both sides are kept."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.errors import RoleError
from netlab.lab.client import LabClient
from netlab.model.event import Event
from netlab.model.roles import ClientSpec, Request, TlsClient
from tests.e2e.conftest import Lab

FAULTS = {"expired": "dates", "wrong-name": "name", "untrusted-root": "chain", "revoked": "revocation"}


def topology() -> str:
    """A client, a good server with the responder, and a server for each fault, on one switch."""
    nodes = ["  a: {interfaces: {eth0: 10.79.0.1/24}, roles: [{kind: client}]}", "  sw: {kind: switch}"]
    nodes.append(
        "  b: {interfaces: {eth0: 10.79.0.2/24}, roles: [{kind: ocsp}, {kind: app, names: [10.79.0.2], "
        "listen: 443, http: [1.1], tls: {client_certificates: optional}}]}"
    )
    for number, fault in enumerate(FAULTS, 3):
        nodes.append(
            f"  c{number}: {{interfaces: {{eth0: 10.79.0.{number}/24}}, roles: [{{kind: app, http: [1.1], "
            f"names: [10.79.0.{number}], listen: 443, tls: {{fault: {fault}}}}}]}}"
        )
    ends = ["a", "b", *(f"c{number}" for number, _ in enumerate(FAULTS, 3))]
    links = [f"  - {{ends: [{end}, sw]}}" for end in ends]
    return "\n".join(["name: NAME", "nodes:", *nodes, "links:", *links, ""])


def get(host: int, **tls: Any) -> ClientSpec:
    spec = TlsClient.model_validate(tls)
    request = Request(url=f"https://10.79.0.{host}/health", http="1.1", fresh=True, tls=spec)
    return ClientSpec(requests=(request,))


def one(events: list[Event], kind: str, node: str = "a") -> Event:
    found = [event for event in events if (event.event, event.node) == (kind, node)]
    assert len(found) == 1, events
    return found[0]


def test_certificates_of_a_lab(lab: Lab) -> None:
    lab.up(topology())
    client = LabClient.connect(lab.name)
    offset = client.events_size()
    done = client.run("a", get(2, certificate=True, revocation="crl"))
    assert one(done, "request-done").data["status"] == 200
    stapled = client.run("a", get(2, revocation="staple", versions=["1.2"]))
    shaken = one(stapled, "tls-handshake").data
    assert (shaken["version"], shaken["ocsp"]) == ("TLSv1.2", True)
    servers = [
        event for event in client.events_since(offset) if (event.node, event.event) == ("b", "tls-handshake")
    ]
    assert [event.data["peer"] for event in servers] == ["a", ""]
    for number, (fault, check) in enumerate(FAULTS.items(), 3):
        offset = client.events_size()
        with pytest.raises(RoleError):
            client.run("a", get(number, revocation="staple" if fault == "revoked" else "none"))
        assert one(client.events_since(offset), "tls-failed").data["check"] == check, fault
    for name, label in (("a.client", "CLIENT_RANDOM"), ("b.app", "CLIENT_RANDOM"), ("b.app", "_SECRET_0")):
        assert label in (lab.state / "keys" / f"{name}.keys").read_text(), name
    assert lab.netlab("down", lab.name).status == 0
    lab.assert_gone()
