"""A group of upstreams: who may be used, in which order; what an operator changes."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import InputError
from netlab.model.roles import Balanced, Health, Passive, Server
from netlab.policy.upstream_settings import joined, read_changes
from netlab.policy.upstreams import Upstreams

A, B, C, D = "a:1", "b:1", "c:1", "d:1"


def group(*entries: str | Server, health: Health | None = None, **fields: Any) -> Upstreams:
    return Upstreams(Balanced(upstreams=entries or (A, B, C), **fields), health, Random(5))


def down(one: Upstreams, *names: str, now: float = 0.0) -> None:
    for name in names:
        assert one.checked(name, False, now) is False


FALLS_AT_ONCE = Health(rise=1, fall=1)


def change(one: Upstreams, now: float = 0.0, /, **settings: str) -> None:
    changes = read_changes(settings, lambda name: [f"{name}:1"] if f"{name}:1" in one.names else [])
    one.check(changes)
    one.apply(changes, now)


def test_unhealthy_ones_are_left_out_and_come_back() -> None:
    one = group(health=FALLS_AT_ONCE)
    down(one, B)
    assert [one.choose("", 0) for _ in range(4)] == [A, C, A, C]
    assert one.checked(B, True, 1.0) is True
    assert one.checked(B, True, 2.0) is None
    assert {one.choose("", 3) for _ in range(3)} == {A, B, C}


def test_backups_are_used_when_no_other_can_be_and_are_tried_last() -> None:
    one = group(A, B, Server(to=C, backup=True), Server(to=D, backup=True), health=FALLS_AT_ONCE)
    assert one.order("", 0) == [A, B, C, D]
    assert Counter(one.choose("", 0) for _ in range(10)) == {A: 5, B: 5}
    down(one, A, B)
    assert Counter(one.choose("", 0) for _ in range(10)) == {C: 5, D: 5}
    one.checked(A, True, 1.0)
    assert {one.choose("", 1) for _ in range(10)} == {A}


def test_all_down_refuses_or_tries() -> None:
    for all_down, expected in [("refuse", []), ("try", [A, B, C])]:
        one = group(health=FALLS_AT_ONCE, all_down=all_down)
        down(one, A, B, C)
        assert one.order("", 0) == expected


def test_the_zone_is_preferred_until_too_few_of_it_are_left() -> None:
    entries = [Server(to=to, zone=zone) for to, zone in ((A, "x"), (B, "x"), (C, "y"), (D, "y"))]
    one = group(*entries, zone="x", spill=50, health=FALLS_AT_ONCE)
    assert {one.choose("", 0) for _ in range(8)} == {A, B}
    assert set(one.order("", 0)[2:]) == {C, D}, "the others are tried when both refuse"
    down(one, A)
    assert {one.choose("", 0) for _ in range(8)} == {B}, "half of the zone is enough"
    strict = group(*entries, zone="x", spill=51, health=FALLS_AT_ONCE)
    down(strict, A)
    assert {strict.choose("", 0) for _ in range(8)} == {B, C, D}, "less than 51%: it spills over"
    assert {group(*entries).choose("", 0)} == {A}, "without a zone all are alike"


def test_a_zone_without_entries_is_the_node_s_location() -> None:
    spec = Balanced(upstreams=(A, Server(to=B, zone="London")), zone="Tokyo")
    one = Upstreams(spec, None, Random(5), {A: "Tokyo", B: "Tokyo"})
    assert {one.choose("", 0) for _ in range(6)} == {A}


def test_slow_start_ramps_from_a_tenth_to_the_full_share() -> None:
    one = group(A, B, health=FALLS_AT_ONCE, slow_start="10s")
    down(one, B)
    one.checked(B, True, 100.0)

    def share(now: float) -> float:
        return Counter(one.choose("", now) for _ in range(1000))[B] / 1000

    shares = [share(now) for now in (100.0, 105.0, 109.9, 110.0)]
    expected = [0.1 / 1.1, 0.5 / 1.5, 0.5, 0.5]  # as if its weight were 0.1, 0.5, 0.99, 1
    assert shares == pytest.approx(expected, abs=0.01), shares


def test_slow_start_after_an_ejection_begins_when_it_ends() -> None:
    passive = Passive(failures=1, ejection="10s")
    one = group(A, B, passive=passive, slow_start="10s", algorithm="least-connections")
    assert one.result(A, False, 0.0)
    assert {one.choose("", 9.9) for _ in range(10)} == {B}
    with one.busy(B):  # by connections alone, every choice would be A
        seen = Counter(one.choose("", 10.0) for _ in range(100))
        assert seen == {A: 10, B: 90}
        assert {one.choose("", 20.0) for _ in range(10)} == {A}


def test_a_bound_client_stays_also_while_its_upstream_is_drained() -> None:
    one = group(health=FALLS_AT_ONCE)
    assert one.order("", 0, bound=C)[0] == C
    change(one, drain="c")
    assert C not in one.order("", 0)
    assert one.order("", 0, bound=C)[0] == C
    down(one, C)
    assert C not in one.order("", 0, bound=C), "it is gone: another"
    assert one.order("", 0, bound="stranger:1")


def test_draining_takes_nobody_new_and_undraining_starts_slowly() -> None:
    one = group(A, B, slow_start="10s")
    change(one, drain="b")
    assert {one.choose("", 0) for _ in range(10)} == {A}
    assert one.settings["drain"] == B
    change(one, 50.0, drain="")
    assert one.settings["drain"] == ""
    assert Counter(one.choose("", 50.0) for _ in range(100))[B] == 9


def test_drained_ones_are_not_tried_when_all_are_down() -> None:
    one = group(A, B, health=FALLS_AT_ONCE, all_down="try")
    change(one, drain="b")
    down(one, A)
    assert one.order("", 0) == [A]


def test_weights_and_algorithms_change_and_connections_stay_counted() -> None:
    one = group(A, B)
    with one.busy(A):
        change(one, algorithm="weighted", weights="a:3")
        assert "".join((one.choose("", 0) or "-")[0] for _ in range(8)) == "aabaaaba"
        change(one, algorithm="least-connections")
        assert {one.choose("", 0) for _ in range(4)} == {B}
    assert {one.choose("", 0) for _ in range(4)} == {A, B}


def test_settings_say_what_was_so_that_it_can_be_restored() -> None:
    one = group(A, B)
    before = one.settings
    assert before == {"algorithm": "round-robin", "weights": "a:1:1,b:1:1", "drain": "", "passive": "0"}
    change(one, algorithm="weighted", weights="a:3", drain="b", passive="1")
    assert one.result("a:1", False, 0.0), "one failure ejects now"
    changes = read_changes(before, lambda name: [name])
    one.check(changes)
    one.apply(changes, 0)
    assert one.settings == before


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"colour": "red"}, "no setting colour"),
        ({"weights": "a"}, "not a weight"),
        ({"weights": "a:0"}, "not a weight"),
        ({"weights": "a:x"}, "not a weight"),
        ({"weights": "z:1"}, "z is no upstream"),
        ({"drain": "z"}, "z is no upstream"),
        ({"algorithm": "best"}, "no algorithm best"),
        ({"passive": "-1"}, "not a number of failures"),
        ({"weights": "a:2"}, "round-robin has no weights"),
        ({"algorithm": "ip-hash"}, "not with `slow_start`"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, str], cause: str) -> None:
    one = group(A, B, slow_start="1s")
    before = one.settings
    with pytest.raises(InputError, match=cause):
        change(one, **settings)
    assert one.settings == before


def test_settings_of_several_routes() -> None:
    assert joined("drain", ["a:1,b:1", "", "b:1,c:1"]) == "a:1,b:1,c:1"
    assert joined("weights", ["a:1:3", "b:1:1"]) == "a:1:3,b:1:1"
    assert joined("passive", ["1", "1"]) == "1"
    with pytest.raises(InputError, match="differ in algorithm: random, ip-hash"):
        joined("algorithm", ["random", "ip-hash"])


@given(
    st.lists(st.sampled_from([A, B, C, D]), unique=True),
    st.lists(st.sampled_from([A, B, C, D]), unique=True),
    st.sampled_from(["round-robin", "least-connections", "ip-hash", "consistent-hash", "random"]),
    st.sampled_from(["", A, D, "stranger:1"]),
)
def test_an_order_names_exactly_those_that_may_be_used(
    unhealthy: list[str], drained: list[str], algorithm: Any, bound: str
) -> None:
    one = group(A, B, C, Server(to=D, backup=True), algorithm=algorithm, health=FALLS_AT_ONCE)
    down(one, *unhealthy)
    change(one, drain=",".join(name[0] for name in drained))
    order = one.order("10.0.0.1", 0.0, bound)
    usable = {A, B, C, D} - set(unhealthy) - set(drained)
    extra = {bound} & set(drained) - set(unhealthy) if usable else set()
    assert sorted(order) == sorted(usable | extra)
    if usable - {D} and bound not in order:
        assert order[-1] == D or D not in order


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"upstreams": (A, A)}, "twice"),
        ({"upstreams": (Server(to=A, backup=True),)}, "backup"),
        ({"upstreams": (Server(to=A, weight=2),)}, "goes with"),
        ({"upstreams": (A,), "algorithm": "ip-hash", "slow_start": "1s"}, "slow_start"),
        ({"upstreams": ()}, "at least 1"),
    ],
)
def test_specs_that_are_refused(fields: dict[str, Any], cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        Balanced(**fields)
