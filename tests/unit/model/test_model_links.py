"""Links in a topology: every word of tc-netem, what it becomes, and what is wrong with it."""

# ruff: noqa: E501 - messages are compared whole, on one line

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import TopologyError
from netlab.model.check_impairment import faults
from netlab.model.impairment import FourState, GilbertElliott, Impairment, Slot
from netlab.model.load import load, loads
from netlab.model.resolve_links import derived_seed
from netlab.model.topology import Link

PAIR = """\
name: t
nodes:
  a: {interfaces: {eth0: 10.0.0.1/24}}
  b: {interfaces: {eth0: 10.0.0.2/24}}
links:
"""
MS = 1_000_000


def text(says: str) -> str:
    return f"{PAIR}  - {{ends: [a, b], {says}}}\n"


def link(says: str) -> Link:
    (one,) = loads(text(says), "t").links
    return one


def problems(says: str) -> list[str]:
    with pytest.raises(TopologyError) as caught:
        loads(text(says), "t")
    return [str(problem).removeprefix("t:") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("says", "fields"),
    [
        ("delay: 5ms, jitter: 1ms, distribution: normal, delay_correlation: 25%", {"delay_ns": 5 * MS, "jitter_ns": MS, "distribution": "normal", "delay_correlation": 0.25}),
        ("loss: 1%", {"loss": 0.01}),
        ("loss: {random: 1%, correlation: 25%}", {"loss": 0.01, "loss_correlation": 0.25}),
        ("loss: {gemodel: {p: 1%, r: 10%, 1-h: 70%, 1-k: 0.1%}}", {"loss_model": GilbertElliott(0.01, 0.1, 0.7, 0.001)}),
        ("loss: {gemodel: {p: 25%}}", {"loss_model": GilbertElliott(0.25, 0.75, 1.0, 0.0)}),
        ("loss: {state: {p13: 25%}}", {"loss_model": FourState(0.25, 0.75, 0.0, 1.0, 0.0)}),
        ("loss: {state: {p13: 1%, p31: 80%, p32: 10%, p23: 90%, p14: 2%}}", {"loss_model": FourState(0.01, 0.8, 0.1, 0.9, 0.02)}),
        ("duplicate: 1%", {"duplicate": 0.01}),
        ("corrupt: {share: 1%, correlation: 5%}", {"corrupt": 0.01, "corrupt_correlation": 0.05}),
        ("delay: 1ms, reorder: {share: 25%, correlation: 50%, gap: 5}", {"delay_ns": MS, "reorder": 0.25, "reorder_correlation": 0.5, "reorder_gap": 5}),
        ("rate: 8mbit, overhead: 26, cell_size: 48, cell_overhead: 5", {"rate_bps": 8_000_000, "rate_overhead_bytes": 26, "cell_bytes": 48, "cell_overhead_bytes": 5}),
        ("slot: 10ms", {"slot": Slot(10 * MS, 10 * MS)}),
        ("slot: {min: 1ms, max: 5ms, packets: 20, bytes: 30000}", {"slot": Slot(MS, 5 * MS, 20, 30_000)}),
        ("loss: 1%, ecn: true", {"loss": 0.01, "ecn": True}),
    ],
)  # fmt: skip
def test_words(says: str, fields: dict[str, object]) -> None:
    found = link(says)
    assert found.up == Impairment(**fields)  # type: ignore[arg-type]
    assert found.down == found.up


@pytest.mark.parametrize("key", ["loss", "duplicate", "corrupt"])
def test_each_direction_has_its_own(key: str) -> None:
    value = "{random: 1%}" if key == "loss" else "{share: 1%}"
    found = link(f"{key}: {{up: {value}}}")
    assert getattr(found.up, key) == 0.01
    assert found.down.perfect


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ("delay: 0, reorder: 25%", "6:39: reorder without delay; only a delayed frame can be overtaken"),
        ("delay: 5s, jitter: 3s", "6:39: jitter 3s is past 2.147483647s, netem's most"),
        ("distribution: normal", "6:34: distribution without jitter; say `jitter` too"),
        ("distribution: {up: norml}, delay: 5ms, jitter: 1ms", "6:39: unknown distribution `norml`; did you mean `normal`? A table's path has a / or an ending"),
        ("medium: lte, jitter: 0, distribution: normal", "6:58: distribution without jitter; say `jitter` too"),
        ("delay: 5ms, delay_correlation: 10%", "6:51: delay_correlation without jitter; say `jitter` too"),
        ("loss: {correlation: 10%}", "6:26: a correlation without random loss; say how much is lost: `random`"),
        ("loss: {random: 1%, gemodel: {p: 1%}}", "6:26: loss is random and gemodel at once; choose one"),
        ("loss: {}", "6:26: loss says nothing; write a share such as 0.1%"),
        ("loss: {gemodell: {p: 1%}}", "6:27: unknown key `gemodell`; did you mean `gemodel`?"),
        ("loss: {upp: 1%}", "6:27: unknown key `upp`; did you mean `up`?"),
        ("loss: {gemodel: {p: 1%, rr: 1%}}", "6:44: unknown key `rr`; did you mean `r`?"),
        ("loss: {gemodel: {p: 150%, r: 1%}}", "6:40: 150% is past 100%"),
        ("loss: {gemodel: {r: 1%}}", "6:27: key `p` is missing"),
        ("loss: {gemodel: {p: 0%}}", "6:26: gemodel: with p of 0 the bad state is never entered; for random loss, write its share alone"),
        ("loss: {gemodel: {p: 1%, r: 0}}", "6:26: gemodel: with r of 0 the bad state is never left again; for random loss, write its share alone"),
        ("loss: {gemodel: {p: 1%, 1-h: 1%, 1-k: 20%}}", "6:26: gemodel: the good state loses more than the bad: 20% of the good (1-k), 1% of the bad"),
        ("loss: {state: {p13: 60%, p14: 50%}}", "6:26: state: p13 + p14 is 110%; they leave the same state, so it is at most 100%"),
        ("loss: {state: {p13: 0}}", "6:26: state: with p13 and p14 of 0 nothing is ever lost"),
        ("loss: 0.00000001%", "6:26: loss of 0.00000001% is less than netem holds: 0.000000023%"),
        ("duplicate: {correlation: 5%}", "6:20: key `share` is missing"),
        ("duplicate: {share: 0, correlation: 5%}", "6:31: a correlation without duplicate; say the share too"),
        ("reorder: {gap: 5}, delay: 1ms", "6:20: key `share` is missing"),
        ("reorder: {share: 0, gap: 5}, delay: 1ms", "6:29: a gap without reorder; say the share too"),
        ("reorder: {share: 1%, gap: 0}, delay: 1ms", "6:46: `gap` is 0; the least is 1"),
        ("rate: 1bit", "6:26: rate 1bit is not from 8bit to 147573952589.67641292gbit, netem's bounds"),
        ("overhead: 5", "6:30: overhead without rate; say `rate` too"),
        ("rate: 1mbit, overhead: -15", "6:43: overhead -15 is not from -14 to 65535 bytes; a frame has 14 bytes and more"),
        ("rate: 1mbit, cell_overhead: 5", "6:48: cell_overhead without cell_size; say `cell_size` too"),
        ("rate: 1mbit, cell_size: 48, cell_overhead: -48", "6:63: cell_overhead -48 is not from -47 to 65535 bytes"),
        ("rate: 1mbit, cell_size: 70000", "6:44: `cell_size` is 70000; the most is 65535"),
        ("slot: 0", "6:26: slot of no time; say how long it is until one opens, such as 10ms"),
        ("slot: {min: 5ms, max: 1ms}", "6:26: slot: min 5ms is more than max 1ms"),
        ("slot: {min: 1ms, max: 5s}", "6:26: slot: from 1ms to 5s is a wider range than netem's 2.147483647s"),
        ("ecn: true", "6:25: ecn without loss; it marks what would be lost; say `loss` too"),
        ("seed: 1.5", "6:26: `seed` must be a whole number, not `1.5`"),
        ("length: 80km", "6:28: `ethernet-1g` reaches 100m, not 80km"),
        ("medium: fiber, length: 80km, delay: 1ms", "6:43: length and delay at once; the length gives the delay; leave one of them out"),
        ("medium: fiber, length: 500000000km", "6:43: length 500000000km is more than 600s of delay"),
        ("medium: lte, length: 80km", "6:41: `lte` has a delay of its own, whatever its length; write `delay`"),
        ("playback: {up: nonono}", "6:30: nonono: No such file or directory; give the path of a trace file"),
        ("distribution: ./none.dist, delay: 1ms, jitter: 1ms", "6:34: none.dist: No such file or directory; give the path of a distribution's table"),
    ],
)  # fmt: skip
def test_what_is_impossible(says: str, problem: str) -> None:
    assert problems(says) == [problem]


def test_a_distance_gives_the_delay() -> None:
    assert link("medium: fiber, length: 80km").up.delay_ns == 391_760
    assert link("medium: fiber").up.delay_ns == 48_970
    assert link("medium: ethernet-100m, length: 50m").up.delay_ns == 278


def test_a_short_queue_is_a_warning_at_its_place() -> None:
    found = loads(text("delay: 100ms, rate: 100mbit, limit: 833"), "t")
    assert [str(one) for one in found.warnings] == [
        "t:6:49: limit 833 is below the bandwidth-delay product: 100mbit for 100ms is 834 packets, so the line can't be filled"
    ]
    assert loads(text("delay: 100ms, rate: 100mbit, limit: 834"), "t").warnings == ()


@pytest.mark.parametrize(
    ("says", "warning"),
    [
        (
            "loss: {random: 1%, correlation: 25%}",
            "t:6:20: correlated random numbers crowd around the middle, so loss happens far less often than its 1%; for losses in bursts use `gemodel`",
        ),
        (
            "delay: 9ms, jitter: 1ms, delay_correlation: 25%",
            "t:6:45: delay_correlation does hardly anything: netem keeps none of it in jitter",
        ),
    ],
)
def test_a_correlation_that_is_not_what_it_says_is_a_warning(says: str, warning: str) -> None:
    assert [str(one) for one in loads(text(says), "t").warnings] == [warning]
    assert loads(text("loss: {random: 60%, correlation: 25%}"), "t").warnings == ()


def test_seeds_are_each_direction_s_own() -> None:
    found = link("loss: 1%, seed: 7")
    assert found.up.seed == derived_seed(7, found.name, "up") != found.down.seed
    whole = loads("seed: 7\n" + text("loss: 1%"), "t").links[0]
    assert (whole.up, whole.down) == (found.up, found.down)
    assert link("loss: 1%").up.seed is None


def folder(tmp_path: Path, says: str, **files: str) -> Path:
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    path = tmp_path / "t.yaml"
    path.write_text(text(says), encoding="utf-8")
    return path


def test_files_are_beside_the_topology(tmp_path: Path) -> None:
    says = "delay: 5ms, jitter: 1ms, distribution: ./table, playback: {down: trace}"
    path = folder(tmp_path, says, table="1 2 3\n", trace="time,rate,delay\n0,1gbit,100ms\n1,1mbit,1ms\n2,\n")
    (one,) = load(path).links
    assert one.up.table == one.down.table == (1, 2, 3)
    assert list(one.playback) == ["down"]
    assert one.playback["down"].period_ns == 2_000_000_000
    assert one.down.limit_packets == 16_667  # for its longest and fastest time
    (copy,) = load(path, files=False).links
    assert (copy.up.table, copy.playback) == ((), {})


def test_what_is_wrong_with_a_file_has_its_place_there(tmp_path: Path) -> None:
    path = folder(
        tmp_path,
        "delay: 5ms, jitter: 1ms, distribution: ./table, playback: trace",
        table="1\nx\n",
        trace="5\n4\n",
    )
    with pytest.raises(TopologyError) as caught:
        load(path)
    assert [str(one).removeprefix(f"{tmp_path}/") for one in caught.value.problems] == [
        "trace:2:1: time goes back from 5 to 4 ms",
        "table:2:1: `x` is not a whole number; a table has numbers and lines that start with #",
    ]


def test_every_step_of_a_trace_is_possible(tmp_path: Path) -> None:
    path = folder(
        tmp_path, "delay: 5ms, jitter: 2ms, playback: trace", trace="time,delay\n0,5ms\n1,1ms\n2,\n"
    )
    with pytest.raises(TopologyError) as caught:
        load(path)
    assert [str(one).removeprefix(f"{tmp_path}/") for one in caught.value.problems] == [
        "t.yaml:6:55: line 3 of the trace: jitter 2ms is more than the delay of 1ms; a frame can't arrive before it is sent"
    ]


def test_overhead_may_be_of_the_trace_s_rate(tmp_path: Path) -> None:
    path = folder(tmp_path, "overhead: 18, playback: trace", trace="1\n2\n")
    assert load(path).links[0].up.rate_overhead_bytes == 18
    assert load(path, files=False).links[0].up.rate_overhead_bytes == 18


_KEYS = [
    "delay",
    "jitter",
    "distribution",
    "delay_correlation",
    "loss",
    "duplicate",
    "reorder",
    "rate",
    "overhead",
    "cell_size",
    "cell_overhead",
    "limit",
    "slot",
    "ecn",
    "seed",
    "length",
    "medium",
]
_VALUES = [
    "0",
    "1ms",
    "5s",
    "3",
    "1%",
    "100%",
    "true",
    "normal",
    "1mbit",
    "10m",
    "fiber",
    "lte",
    "{}",
    "[]",
    "",
    "-1",
    "{up: 1%}",
    "{share: 1%, gap: 2}",
    "{min: 1ms}",
    "{gemodel: {p: 1%}}",
    "{up: {state: {p13: 1%}}, down: 5ms}",
]


@given(st.dictionaries(st.sampled_from(_KEYS), st.sampled_from(_VALUES), max_size=5))
def test_any_link_is_possible_or_has_problems(says: dict[str, str]) -> None:
    for one in _links(", ".join(f"{key}: {value}" for key, value in says.items())):
        assert [*faults(one.up), *faults(one.down)] == []


def _links(says: str) -> list[Link]:
    """None where it has problems; anything but a TopologyError fails the test."""
    try:
        return [link(says)]
    except TopologyError:
        return []
