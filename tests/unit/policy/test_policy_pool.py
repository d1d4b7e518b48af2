"""The pool's decisions, by the limits of the guide's 9.2."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.model.roles import Pool
from netlab.policy.pool import Action, Close, Dial, Grant, Machine, Slot, Ticket


def limits(**fields: object) -> Pool:
    return Pool.model_validate(fields)


class Driver:
    """A machine whose actions are kept; connections are opened when the test says so."""

    def __init__(self, pool: Pool | None = None) -> None:
        self.machine = Machine(pool or Pool())
        self.now = 0.0
        self.dialled: list[Slot] = []
        self.closed: list[tuple[Slot, str]] = []
        self.grants: list[Grant] = []

    def settle(self) -> list[Action]:
        actions = self.machine.settle(self.now)
        for action in actions:
            if isinstance(action, Dial):
                self.dialled.append(action.slot)
            elif isinstance(action, Close):
                self.closed.append((action.slot, action.cause))
            else:
                self.grants.append(action)
        return actions

    def ask(
        self, key: str = "a", *, shares: bool | None = False, alone: bool = False, after: int = 0
    ) -> Ticket:
        ticket = self.machine.ask(key, key, shares, alone=alone, after=after)
        self.settle()
        return ticket

    def open(self, slot: Slot, *, shared: bool = False, capacity: int = 1) -> None:
        self.machine.opened(slot, shared=shared, capacity=capacity, now=self.now)
        self.settle()

    def request(self, key: str = "a", *, shares: bool | None = False, capacity: int = 1) -> Slot:
        """A request that gets a connection, a new one where it must be."""
        ticket = self.ask(key, shares=shares)
        if ticket.slot is None:
            assert ticket.dial is not None, f"{ticket} in {self.machine!r}"
            self.open(ticket.dial, shared=bool(shares), capacity=capacity)
        assert ticket.slot is not None, f"{ticket} in {self.machine!r}"
        return ticket.slot

    def release(self, *slots: Slot) -> None:
        for slot in slots:
            self.machine.release(slot, self.now)
        self.settle()

    def causes(self) -> list[str]:
        return [cause for _, cause in self.closed]


def numbers(slots: Iterable[Slot]) -> list[int]:
    return [slot.number for slot in slots]


def test_a_connection_is_used_again() -> None:
    pool = Driver()
    first = pool.request()
    assert repr(pool.machine) == "1 active, 0 idle"
    pool.release(first)
    assert repr(pool.machine) == "0 active, 1 idle"
    assert pool.request() is first
    assert [grant.reused for grant in pool.grants] == [False, True]
    assert first.requests == 2


def test_the_one_used_last_comes_first() -> None:
    pool = Driver()
    one, two, three = pool.request(), pool.request(), pool.request()
    for pool.now, slot in ((1.0, two), (2.0, one), (3.0, three)):
        pool.release(slot)
    assert numbers([pool.request(), pool.request(), pool.request()]) == numbers([three, one, two])


def test_six_per_host_and_the_seventh_waits_its_turn() -> None:
    pool = Driver()
    slots = [pool.request() for _ in range(6)]
    seventh, eighth = pool.ask(), pool.ask()
    assert (seventh.limit, eighth.limit) == ("per-host", "per-host")
    assert repr(pool.machine) == "6 active, 0 idle, 2 waiting"
    other = pool.request("b")
    assert other.key == "b", "another host is not held up"
    pool.release(slots[3])
    assert (seventh.slot, eighth.slot) == (slots[3], None)
    pool.release(slots[0])
    assert eighth.slot is slots[0]
    assert len(pool.dialled) == 7


def test_the_limit_per_host_counts_connections_that_are_being_opened() -> None:
    pool = Driver(limits(per_host=2))
    tickets = [pool.ask() for _ in range(3)]
    assert [ticket.limit for ticket in tickets] == ["connecting", "connecting", "per-host"]
    assert len(pool.dialled) == 2


def test_the_total_evicts_the_longest_idle_of_another_host() -> None:
    pool = Driver(limits(total=3))
    old, young, busy = pool.request("a"), pool.request("b"), pool.request("c")
    pool.now = 1.0
    pool.release(old)
    pool.now = 2.0
    pool.release(young)
    new = pool.request("d")
    assert pool.closed == [(old, "it made way for another")]
    assert repr(pool.machine) == "2 active, 1 idle"
    pool.request("e")
    assert pool.closed[1][0] is young
    waiting = pool.ask("f")
    assert waiting.limit == "total"
    pool.release(busy)
    assert waiting.dial is not None, "the one that became idle made way"
    assert pool.closed[2][0] is busy
    assert new.state == "open"


def test_who_waited_first_at_the_total_is_served_first_though_others_could_reuse() -> None:
    pool = Driver(limits(total=1))
    only = pool.request("a")
    other = pool.ask("b")
    again = pool.ask("a")
    pool.release(only)
    assert other.dial is not None
    assert again.slot is None
    assert pool.closed[0][0] is only


def test_http2_shares_one_connection_up_to_its_capacity() -> None:
    pool = Driver()
    first, second, third = (pool.ask(shares=True) for _ in range(3))
    assert len(pool.dialled) == 1, "they wait for the one"
    pool.open(pool.dialled[0], shared=True, capacity=2)
    assert first.slot is second.slot is pool.dialled[0]
    assert (third.slot, third.limit) == (None, "capacity")
    pool.machine.changed(pool.dialled[0], capacity=3, closed=False, cause="")
    pool.settle()
    assert third.slot is pool.dialled[0], "SETTINGS allowed more"
    assert len(pool.dialled) == 1


@pytest.mark.parametrize("shared", [True, False])
def test_where_the_handshake_tells_the_first_is_waited_for(shared: bool) -> None:
    pool = Driver()
    tickets = [pool.ask(shares=None) for _ in range(3)]
    assert [ticket.limit for ticket in tickets] == ["connecting"] * 3
    assert len(pool.dialled) == 1
    pool.open(pool.dialled[0], shared=shared, capacity=100 if shared else 1)
    assert tickets[0].slot is pool.dialled[0]
    assert len(pool.dialled) == (1 if shared else 3)
    for slot in pool.dialled[1:]:
        pool.open(slot)
    assert all(ticket.slot for ticket in tickets)


def test_what_handshakes_have_told_is_remembered() -> None:
    pool = Driver()
    slot = pool.request(shares=None)
    for _ in range(2):
        pool.ask(shares=None)
    assert len(pool.dialled) == 3, "HTTP/1.1: no more waiting for the first"
    assert not slot.shared


def test_shared_connections_do_not_count_for_the_limit_per_host() -> None:
    pool = Driver(limits(per_host=1))
    pool.request("h", shares=True, capacity=9)
    assert pool.ask("h", shares=False).dial is None, "it is granted the open one"
    other = Driver(limits(per_host=1))
    other.machine.ask("h2", "host", True)
    other.machine.ask("h1", "host", False)
    other.settle()
    assert len(other.dialled) == 2


def test_a_drained_connection_takes_no_more_and_ends_with_its_last_request() -> None:
    pool = Driver()
    old = pool.request(shares=True, capacity=9)
    pool.machine.changed(old, capacity=9, closed=True, cause="GOAWAY")
    assert pool.settle() == []
    new = pool.request(shares=True, capacity=9)
    assert new is not old
    pool.release(old)
    assert pool.closed == [(old, "GOAWAY")]


def test_an_idle_connection_that_died_leaves_at_once() -> None:
    pool = Driver()
    slot = pool.request()
    pool.release(slot)
    pool.machine.changed(slot, capacity=1, closed=True, cause="the peer closed it")
    pool.settle()
    assert pool.closed == [(slot, "the peer closed it")]
    assert pool.machine.empty
    assert repr(pool.machine) == "0 active, 0 idle"


def test_idle_for_thirty_seconds() -> None:
    pool = Driver()
    slot = pool.request()
    assert pool.machine.deadline() == 600.0, "in use: only its age counts"
    pool.now = 10.0
    pool.release(slot)
    assert pool.machine.deadline() == 40.0
    pool.machine.expire(39.9)
    assert pool.settle() == []
    pool.machine.expire(40.0)
    pool.settle()
    assert pool.closed == [(slot, "it was idle for 30 s")]
    assert pool.machine.deadline() is None


def test_ten_minutes_old() -> None:
    pool = Driver(limits(idle="3600s"))
    slot = pool.request()
    pool.now = 599.0
    pool.release(slot)
    assert pool.request() is slot
    pool.now = 600.0
    pool.machine.expire(pool.now)
    assert pool.settle() == [], "a request is on it"
    assert pool.request() is not slot
    pool.release(slot)
    assert pool.causes() == ["it is 600 s old"]


def test_what_is_too_old_is_not_used_even_if_nobody_came_to_end_it() -> None:
    pool = Driver()
    slot = pool.request()
    pool.release(slot)
    pool.now = 31.0
    assert pool.request() is not slot
    assert pool.causes() == ["it was idle for 31 s"]


def test_a_fresh_request_has_a_connection_to_itself() -> None:
    pool = Driver()
    idle = pool.request()
    pool.release(idle)
    fresh = pool.ask(alone=True)
    assert fresh.dial is pool.dialled[1]
    other = pool.ask()
    assert other.slot is idle
    third = pool.ask()
    assert third.dial is not fresh.dial, "nobody waits for it"
    pool.open(pool.dialled[1])
    assert fresh.slot is pool.dialled[1]
    pool.release(pool.dialled[1])
    assert pool.closed == [(pool.dialled[1], "it was for one request")]


def test_a_fresh_request_at_the_limit_makes_an_idle_connection_leave() -> None:
    pool = Driver(limits(per_host=2))
    one, two = pool.request(), pool.request()
    fresh = pool.ask(alone=True)
    assert fresh.limit == "per-host"
    pool.release(two)
    assert fresh.dial is not None
    assert pool.closed[0][0] is two
    assert one.state == "open"


def test_a_fresh_request_shares_no_http2_connection() -> None:
    pool = Driver()
    shared = pool.request(shares=True, capacity=9)
    fresh = pool.ask(shares=True, alone=True)
    assert fresh.dial is not None
    pool.open(fresh.dial, shared=True, capacity=9)
    assert fresh.slot is not shared
    assert pool.request(shares=True) is shared


def test_a_retry_goes_on_a_newer_connection() -> None:
    pool = Driver()
    stale = [pool.request() for _ in range(2)]
    pool.release(*stale)
    again = pool.ask(after=pool.machine.newer_than(stale[0]))
    assert again.dial is pool.dialled[2], "the other one may be as dead"


def test_requests_that_failed_together_on_http2_meet_again() -> None:
    pool = Driver()
    dead = pool.request(shares=True, capacity=9)
    pool.request(shares=True, capacity=9)
    pool.machine.changed(dead, capacity=9, closed=True, cause="GOAWAY")
    again = [pool.ask(shares=True, after=pool.machine.newer_than(dead)) for _ in range(2)]
    assert len(pool.dialled) == 2
    pool.open(pool.dialled[1], shared=True, capacity=9)
    assert again[0].slot is again[1].slot is pool.dialled[1]


def test_a_request_that_http2_refused_may_go_on_the_same_connection() -> None:
    pool = Driver()
    slot = pool.request(shares=True, capacity=9)
    pool.release(slot)
    assert pool.ask(shares=True, after=pool.machine.newer_than(slot)).slot is slot


def test_a_connection_that_becomes_free_first_is_taken_and_the_new_one_serves_the_next() -> None:
    pool = Driver()
    busy = pool.request()
    first, second = pool.ask(), pool.ask()
    pool.release(busy)
    assert first.slot is busy
    assert len(pool.dialled) == 3
    pool.open(pool.dialled[1])
    assert second.slot is pool.dialled[1]
    assert pool.ask().dial is pool.dialled[2], "what is being opened for nobody is joined"


def test_the_next_in_line_takes_what_opens_first() -> None:
    pool = Driver()
    first, second = pool.ask(), pool.ask()
    pool.open(pool.dialled[1])
    assert (first.slot, second.slot) == (pool.dialled[1], None)
    assert second.dial is pool.dialled[0], "who waited for that waits for the other now"
    assert pool.machine.failed(pool.dialled[0]) == [second]


def test_a_connection_that_can_t_be_opened_fails_who_waited_for_it() -> None:
    pool = Driver()
    shared = [pool.ask("a", shares=True) for _ in range(2)]
    other = pool.ask("b")
    assert pool.machine.failed(pool.dialled[0]) == shared
    assert repr(pool.machine) == "0 active, 0 idle, 1 connecting"
    pool.open(pool.dialled[1])
    assert other.slot is not None


def test_a_failure_frees_the_place_for_who_waits() -> None:
    pool = Driver(limits(per_host=1))
    first, second = pool.ask(), pool.ask()
    assert pool.machine.failed(pool.dialled[0]) == [first]
    pool.settle()
    assert second.dial is pool.dialled[1]


def test_a_cancelled_request_gives_up_what_was_opened_for_it() -> None:
    pool = Driver()
    ticket = pool.ask()
    pool.machine.cancel(ticket)
    pool.settle()
    assert pool.closed == [(pool.dialled[0], "nobody waits for it any more")]
    assert pool.machine.empty
    assert pool.machine.waiting == 0
    pool.machine.cancel(ticket)  # again is no error
    assert pool.settle() == []
    pool.machine.opened(pool.dialled[0], shared=False, capacity=1, now=0.0)  # it was too late to stop it
    assert pool.machine.empty


def test_a_cancelled_request_leaves_what_others_wait_for() -> None:
    pool = Driver()
    first, second = pool.ask(shares=True), pool.ask(shares=True)
    pool.machine.cancel(first)
    assert pool.settle() == []
    pool.open(pool.dialled[0], shared=True, capacity=9)
    assert second.slot is pool.dialled[0]


def test_a_pool_that_stops_keeps_nothing() -> None:
    pool = Driver()
    idle, busy = pool.request(), pool.request()
    pool.release(idle)
    waiting = pool.ask("b")
    pool.machine.stop()
    pool.settle()
    assert [slot for slot, _ in pool.closed] == [idle]
    pool.open(pool.dialled[2])
    assert waiting.slot is pool.dialled[2], "who waits is served"
    pool.release(busy, pool.dialled[2])
    assert pool.machine.empty


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=80))
def test_whatever_happens_limits_hold_and_nobody_is_forgotten(steps: list[tuple[int, int]]) -> None:
    """Any order of requests, answers, failures, cancellations and deaths."""
    pool = Driver(limits(total=4, per_host=2))
    tickets: list[Ticket] = []
    for what, which in steps:
        pool.now += 1.0
        connecting = [slot for slot in pool.dialled if slot.state == "connecting"]
        held = [ticket for ticket in tickets if ticket.slot is not None]
        if what in (0, 1):
            tickets.append(pool.ask("abc"[which % 3], shares=(None, True, False)[which % 3], alone=what == 1))
        elif what == 2 and connecting:
            slot = connecting[which % len(connecting)]
            pool.open(slot, shared=slot.key == "b", capacity=2 if slot.key == "b" else 1)
        elif what == 3 and connecting:
            lost = pool.machine.failed(connecting[which % len(connecting)])
            tickets = [ticket for ticket in tickets if ticket not in lost]
        elif what == 4 and held:
            ticket = held[which % len(held)]
            tickets.remove(ticket)
            assert ticket.slot is not None
            pool.machine.release(ticket.slot, pool.now)
        elif what == 5 and tickets and tickets[which % len(tickets)].slot is None:
            pool.machine.cancel(tickets.pop(which % len(tickets)))
        elif what == 6 and held:
            slot = held[which % len(held)].slot or held[0].slot  # type: ignore[assignment]
            pool.machine.changed(slot, capacity=slot.capacity, closed=True, cause="dead")
        pool.settle()
        _check(pool, tickets)
    _drain(pool, tickets)


def _check(pool: Driver, tickets: list[Ticket]) -> None:
    live = [slot for slot in pool.dialled if slot.state != "gone"]
    evidence = f"{pool.machine!r}: {live} {tickets}"
    assert len(live) <= 4, evidence
    for key in "ac":
        assert sum(slot.key == key for slot in live) <= 2, evidence
    for slot in live:
        holders = sum(ticket.slot is slot for ticket in tickets)
        assert slot.active == holders <= slot.capacity, evidence
    held = sum(ticket.slot is None and ticket.limit != "connecting" for ticket in tickets)
    assert pool.machine.waiting == held, evidence


def _drain(pool: Driver, tickets: list[Ticket]) -> None:
    """Whoever waits is served in the end, and then nothing is left."""
    for _ in range(200):
        for slot in [slot for slot in pool.dialled if slot.state == "connecting"]:
            pool.open(slot, shared=slot.key == "b", capacity=2 if slot.key == "b" else 1)
        for ticket in [ticket for ticket in tickets if ticket.slot is not None]:
            tickets.remove(ticket)
            assert ticket.slot is not None
            pool.release(ticket.slot)
    assert not tickets, f"{pool.machine!r}: {tickets}"
    pool.machine.stop()
    pool.settle()
    assert pool.machine.empty, repr(pool.machine)
