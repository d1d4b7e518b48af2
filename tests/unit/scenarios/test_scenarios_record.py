"""What a run directory says of its lab, and what scenario rest asks."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.errors import InputError, LabError
from netlab.model.event import Event
from netlab.model.impairment import GilbertElliott, Impairment
from netlab.model.roles import ClientSpec
from netlab.model.topology import Endpoint, Interface, Link, Node, Topology
from netlab.scenarios.answers import merged, refuse_failed
from netlab.scenarios.record import descriptions_of, drops_of, names_of, run_of, with_drops
from netlab.scenarios.rest import client_of
from netlab.trace.run import Run, RunCapture, RunDrops, RunRelay

ENDS = (Endpoint(node="b", interface="eth0"), Endpoint(node="sw", interface="p1"))


def topology() -> Topology:
    interface = Interface.model_validate({"addresses": ("10.0.0.2/24", "fd00::2/64")})
    client = ClientSpec(bearer="alice")
    return Topology(
        name="small",
        nodes={
            "b": Node(location="London", interfaces={"eth0": interface}, roles=(client,)),
            "sw": Node(kind="switch"),
        },
        links=(Link(ends=ENDS, medium="wifi-6", up=Impairment(delay_ns=5)),),
    )


def test_run_json_has_what_a_trace_needs_and_is_read_back() -> None:
    capture = RunCapture(packets=7, dropped=1)
    now = Impairment(delay_ns=5, loss_model=GilbertElliott(0.1, 0.5))  # set since the lab came up
    run = run_of(
        topology(),
        scenario="rest",
        lab="x",
        times_ns=(1, 2),
        backend="wire",
        capture=capture,
        links={("b:eth0", "sw:p1"): (now, Impairment())},
        relay=RunRelay(frames=3),
    )
    run = with_drops(run, drops_of([document(lost=1, overlimit=2)], [document(lost=4, overlimit=2)]))
    assert Run.from_json(run.to_json()) == run
    assert run.links[0].up == now
    assert run.flaws == ("the capture lost 1 packets",)
    assert (run.nodes["b"].addresses, run.nodes["b"].roles) == (("10.0.0.2", "fd00::2"), ("client",))
    assert run.node_of("fd00::2") == "b"
    assert run.node_of("10.9.9.9") == "10.9.9.9"
    link = run.link_at("sw:p1")
    assert link is not None
    assert (link.sent_by("b:eth0").delay_ns, link.sent_by("sw:p1").delay_ns) == (5, 0)
    assert link.other("sw:p1") == "b:eth0"
    assert run.link_at("b:eth1") is None
    assert link.dropped_from("b:eth0") == RunDrops(lost=3, queue=0)
    assert link.dropped_from("sw:p1") == RunDrops(lost=0, queue=0)


def document(**counters: int) -> dict[str, Any]:
    """Of a link, as the lab has it; `counters` are those of what its first end sends."""
    return {
        "ends": [str(end) for end in ENDS],
        "up": {"counters": counters},
        "down": {"counters": {"lost": 5, "overlimit": 0}},
    }


def test_counters_that_began_anew_count_from_then_on() -> None:
    ((up, _),) = drops_of([document(lost=9, overlimit=9)], [document(lost=2, overlimit=9)]).values()
    assert up == RunDrops(lost=2, queue=0)


def test_netem_does_not_tell_loss_from_a_full_queue() -> None:
    ((up, _),) = drops_of([document(dropped=3)], [document(dropped=10)]).values()
    assert up == RunDrops(lost=7, queue=None)
    assert up.count == 7


def test_a_link_that_is_new_has_no_counts() -> None:
    assert drops_of([], [document(lost=1)]) == {}


def test_names_and_descriptions_for_wireshark() -> None:
    assert names_of(topology()) == {"b": ("10.0.0.2", "fd00::2")}
    assert descriptions_of(topology(), [("b", "eth0"), ("sw", "br0")]) == {
        ("b", "eth0"): "London, wifi-6 to sw:p1",
        ("sw", "br0"): "",
    }


def test_the_client_of_a_topology() -> None:
    assert client_of(topology()) == ("b", ClientSpec(bearer="alice"))
    with pytest.raises(InputError, match="has no client") as caught:
        client_of(topology().model_copy(update={"nodes": {"sw": Node(kind="switch")}}))
    assert "client" in caught.value.remedy


def event(time_ns: int, kind: str, **data: object) -> Event:
    return Event(time_ns, "client-a", "client", kind, None, data)


def test_events_are_joined_by_time_and_each_is_there_once() -> None:
    one, two, three = event(1, "request-start"), event(2, "ready"), event(3, "request-done")
    assert merged([three, one], [two, one]) == (one, two, three)


def test_a_request_without_an_answer_is_an_error_with_its_cause() -> None:
    refuse_failed([event(1, "request-done", name="direct")])
    with pytest.raises(LabError, match=r"client-a: miss: timed out"):
        refuse_failed([event(1, "request-failed", name="miss", cause="timed out")])
