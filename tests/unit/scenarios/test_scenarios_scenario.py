"""What a scenario takes, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netlab.errors import InputError
from netlab.model.topology import Node, Topology
from netlab.scenarios.catalogue import SCENARIOS
from netlab.scenarios.objects import ways
from netlab.scenarios.scenario import HTTP_CHOICES, TLS_WAYS, Options, Scenario, choice
from netlab.trace.findings import Findings


def scenario(**fields: Any) -> Scenario:
    return Scenario("demo", "what it shows", lambda _: None, lambda _: Findings(), **fields)


def options(**fields: Any) -> Options:
    return Options(Path("t.yaml"), **fields)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_takes_its_own_choices(name: str) -> None:
    one = SCENARIOS[name]
    one.check(options(repeat=1))
    for http in one.http:
        one.check(options(http=(http,)))
    for tls in one.tls:
        one.check(options(tls=(tls,)))
    assert one.summary
    assert len(f"{name:11}{one.summary}") < 115


@pytest.mark.parametrize(
    ("fields", "chosen", "cause"),
    [
        ({}, {"http": ("2",)}, "scenario demo has no --http 2"),
        ({"http": ("1.1",)}, {"http": ("1.1", "3")}, "scenario demo has no --http 3"),
        ({"tls": ("1.3",)}, {"tls": ("0rtt",)}, "scenario demo has no --tls 0rtt"),
        ({"http": ("2",), "tls": ("1.3",)}, {"repeat": -1}, "less than once"),
        ({"tls": ("1.2", "1.3"), "single": ("tls",)}, {"tls": ("1.2", "1.3")}, "takes one --tls"),
        ({"http": ("1.1", "2"), "single": ("http",)}, {"http": ("1.1", "2")}, "takes one --http"),
        ({"http": ("3",), "tls": ("1.2",)}, {"tls": ("1.2",)}, "HTTP/3 has no TLS 1.2"),
        ({"http": ("2", "3"), "tls": ("0rtt",)}, {"http": ("2",), "tls": ("0rtt",)}, "0-RTT is of HTTP/3"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    fields: dict[str, Any], chosen: dict[str, Any], cause: str
) -> None:
    with pytest.raises(InputError, match=cause) as caught:
        scenario(**fields).check(options(**chosen))
    assert caught.value.exit_code == 2


def test_a_topology_that_lacks_a_node_is_refused_with_the_reason() -> None:
    small = Topology(name="small", nodes={"client-b": Node()}, links=())
    with pytest.raises(InputError, match="needs a node client-a: it asks") as caught:
        scenario(needs={"client-a": "it asks"}).check_topology(small)
    assert "client-b" in caught.value.remedy
    scenario(needs={"client-b": "it asks"}).check_topology(small)


def test_choices_as_they_are_typed() -> None:
    assert choice("1.1, 2", "--http", HTTP_CHOICES) == ("1.1", "2")
    assert choice("", "--http", HTTP_CHOICES) == ()
    with pytest.raises(InputError, match=r"--http 4: there is no such choice") as caught:
        choice("1.1,4", "--http", HTTP_CHOICES)
    assert "1.1, 2, 3" in caught.value.remedy


def test_what_was_chosen_is_written_into_the_run() -> None:
    assert options().settings() == {}
    assert options(http=("2", "3"), tls=("1.3",), repeat=2).settings() == {
        "http": "2 3",
        "tls": "1.3",
        "repeat": "2",
    }


def test_quic_is_left_out_under_tls_12() -> None:
    assert [way.http for way in ways(("1.1", "2", "3"), TLS_WAYS["1.3"])] == ["1.1", "1.1", "2", "3"]
    assert [way.http for way in ways(("1.1", "2", "3"), TLS_WAYS["1.2"])] == ["1.1", "1.1", "2"]
