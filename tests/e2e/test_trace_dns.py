"""`netlab trace dns` on the default topology: verdicts from the packets, and what each way costs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Lab
from tests.e2e.test_trace_rest import a_lab

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield from a_lab(tmp_path)


def rows(found: dict[str, Any], table: int, column: str) -> dict[str, dict[str, Any]]:
    return {str(one[column]): one for one in found["tables"][table]["rows"]}


def test_dns(lab: Lab) -> None:
    folder = lab.directory / f"dns-{secrets.token_hex(4)}"
    done = lab.netlab("trace", "dns", "--lab", lab.name, "--out", str(folder), "--json", timeout_s=120)
    assert done.status == 0, done
    found = done.json()
    told = {claim["id"]: claim["verdict"] for claim in found["claims"]}
    assert found["capture"]["dropped"] == 0, found["capture"]
    cold = told.pop("dns-cold")
    assert cold in ("holds", "partly"), found["claims"]
    assert told == {
        "dns-cached": "partly",
        "dns-round-trip": "partly",
        "dns-udp": "partly",
        "dns-names": "holds",
        "dns-near": "partly",
    }, found["claims"]

    lookups = rows(found, 0, "lookup")
    of_resolver = {title: one["of the resolver"] for title, one in lookups.items()}
    assert of_resolver["a name, nothing cached"] == 3, lookups
    assert of_resolver["the same, again"] == 0, lookups
    assert of_resolver["the same, past its TTL"] == 1, "only the last server is asked again"
    assert of_resolver["the same, and its AAAA"] == 0, "NXDOMAIN is for every type"
    assert lookups["1.4 kB of TXT"]["questions"] == 2, "over UDP, then TCP"
    assert lookups["Tokyo asks London's resolver"]["answer"] == "edge-london"
    assert lookups["the same, with its subnet told"]["answer"] == "edge-tokyo"

    ways = rows(found, 1, "way")
    first = {way: one["round trips, first"] for way, one in ways.items()}
    https = first.pop("HTTPS (HTTP/2)")
    assert tuple(first.values()) == (1, 2, 3), ways
    assert https in (3, 4), "on a busy machine the request leaves after the session tickets have come"
    assert ways["UDP"]["bytes"] < ways["TCP"]["bytes"] < ways["TLS 1.3"]["bytes"], ways
    assert all(one["round trips, later"] <= 1.5 for one in ways.values()), ways

    again = lab.netlab("report", str(folder), "--json")
    assert {claim["id"]: claim["verdict"] for claim in again.json()["claims"]} == told | {"dns-cold": cold}
