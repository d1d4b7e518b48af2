"""How an impairment reads in a plan."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from netlab.model.capabilities import Capabilities
from netlab.model.impairment import FourState, GilbertElliott, Impairment, Slot
from netlab.model.load import loads
from netlab.plan import plan
from netlab.plan.ops import SetQdisc, StartWire
from netlab.plan.render import document, impairment, lines

MS = 1_000_000


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (Impairment(), "perfect"),
        (Impairment(seed=3), "perfect"),
        (Impairment(5 * MS, MS), "delay 5ms ± 1ms, limit 1000"),
        (
            Impairment(5 * MS, MS, distribution="normal", delay_correlation=0.25),
            "delay 5ms ± 1ms (correlation 25%), distribution normal, limit 1000",
        ),
        (
            Impairment(5 * MS, MS, distribution="./my.dist", table=(1, 2, 3)),
            "delay 5ms ± 1ms, distribution ./my.dist (3 entries), limit 1000",
        ),
        (
            Impairment(loss=0.01, loss_correlation=0.1, ecn=True),
            "loss 1% (correlation 10%), ecn, limit 1000",
        ),
        (
            Impairment(loss_model=GilbertElliott(0.01, 1 - 0.9)),
            "loss gemodel p 1% r 10% 1-h 100% 1-k 0, limit 1000",
        ),
        (
            Impairment(loss_model=FourState(0.01)),
            "loss state p13 1% p31 100% p32 0 p23 100% p14 0, limit 1000",
        ),
        (
            Impairment(MS, duplicate=0.1, corrupt=0.2, reorder=0.3, reorder_gap=5, reorder_correlation=0.5),
            "delay 1ms, duplicate 10%, corrupt 20%, reorder 30% (correlation 50%) gap 5, limit 1000",
        ),
        (
            Impairment(
                rate_bps=8_000_000, rate_overhead_bytes=26, cell_bytes=48, cell_overhead_bytes=5, seed=9
            ),
            "rate 8mbit overhead 26 cells of 48 + 5 bytes, limit 1000, seed 9",
        ),
        (Impairment(slot=Slot(MS, MS)), "slot 1ms, limit 1000"),
        (Impairment(slot=Slot(MS, 2 * MS, 3, 4)), "slot 1ms to 2ms 3 packets 4 bytes, limit 1000"),
    ],
)
def test_words(one: Impairment, text: str) -> None:
    assert impairment(one) == text


@pytest.mark.parametrize("field", [one.name for one in fields(Impairment)])
def test_every_field_shows(field: str) -> None:
    one = Impairment(
        5 * MS,
        MS,
        0.1,
        8_000_000,
        900,
        "normal",
        (),
        *(0.2, 0.3, None, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        *(5, 26, 48, 5, Slot(1, 2), True, 7),
    )
    others: dict[str, object] = {
        "table": (1, 2),
        "distribution": "pareto",
        "loss_model": GilbertElliott(0.1, 0.2),
        "slot": Slot(1, 3),
    }
    document = {name: getattr(one, name) for name in Impairment.__dataclass_fields__}
    other = not one.ecn if field == "ecn" else others.get(field) or document[field] * 2
    changed = document | {field: other}
    assert impairment(Impairment(**changed)) != impairment(one)


TOPOLOGY = """\
name: t
nodes:
  a: {interfaces: {eth0: 10.0.0.1/24}}
  b: {interfaces: {eth0: 10.0.0.2/24}}
links:
  - {ends: [a, b], loss: {up: {gemodel: {p: 1%}}}, slot: {down: 1ms}, seed: 7}
"""


@pytest.mark.parametrize("netem", [True, False])
def test_both_backends_are_given_the_whole_of_it(netem: bool) -> None:
    topology = loads(TOPOLOGY, "t")
    made = plan(topology, Capabilities(netem=netem))
    given: list[Impairment] = []
    for operation in made.operations:
        if isinstance(operation, SetQdisc):
            given.append(operation.impairment)
        elif isinstance(operation, StartWire):
            given += [one for link in operation.links for one in (link.up, link.down)]
    assert given == [topology.links[0].up, topology.links[0].down]
    assert "gemodel" not in json.dumps(document(made))  # in JSON by the names of fields
    assert "bad_loss" in json.dumps(document(made))


def test_a_perfect_link_with_a_trace_needs_a_backend(tmp_path: Path) -> None:
    text = TOPOLOGY.replace("loss: {up: {gemodel: {p: 1%}}}, slot: {down: 1ms}, seed: 7", "playback: trace")
    (tmp_path / "trace").write_text("time,delay\n0,5ms\n1,6ms\n", encoding="utf-8")
    topology = loads(text, str(tmp_path / "t.yaml"))
    assert topology.links[0].up.perfect
    made = plan(topology, Capabilities(netem=False))
    assert made.backend == "wire"
    assert list(lines(made))[-1] == "playback  a:eth0--b:eth0 down: 2 steps in 2s, again and again"
    assert document(made)["playbacks"]["a:eth0--b:eth0 up"]["period_ns"] == 2_000_000_000
    assert plan(topology, Capabilities(netem=True)).backend == "netem"
