"""How early to wake and to send is learnt from what happens."""

from __future__ import annotations

from netlab.wire.wakeup import EARLY_NS, Wakeup

MS = 1_000_000


def learnt(late_ns: int, rounds: int = 300) -> Wakeup:
    wakeup = Wakeup()
    for _ in range(rounds):
        wakeup.woke(0, late_ns)
    return wakeup


def test_it_wakes_early_by_the_usual_lateness() -> None:
    early_ns = 10 * MS - learnt(80_000).rest_ns(10 * MS, 0)
    assert 80_000 <= early_ns <= 80_000 + 50_000, early_ns


def test_a_machine_that_wakes_on_time_is_not_woken_early_for_long() -> None:
    early_ns = 10 * MS - learnt(1_000).rest_ns(10 * MS, 0)
    assert 0 <= early_ns <= 50_000, early_ns


def test_one_long_stall_changes_little() -> None:
    before, after = learnt(50_000), learnt(50_000)
    after.woke(0, 500 * MS)
    assert abs(before.rest_ns(10 * MS, 0) - after.rest_ns(10 * MS, 0)) < 50_000


def test_a_frame_that_is_nearly_due_is_waited_for_awake() -> None:
    assert learnt(50_000).rest_ns(40_000, 0) <= 0


def test_the_lead_becomes_half_of_what_a_send_takes() -> None:
    wakeup = Wakeup()
    for _ in range(300):
        wakeup.sent(due_ns=0, began_ns=0, ended_ns=20_000)
    assert 9_000 <= wakeup.lead_ns <= 10_000, wakeup.lead_ns


def test_a_send_that_was_interrupted_is_not_learnt_from() -> None:
    wakeup = Wakeup()
    before = wakeup.lead_ns
    wakeup.sent(due_ns=0, began_ns=0, ended_ns=5 * MS)
    assert wakeup.lead_ns == before


def test_a_nap_never_has_no_length() -> None:
    assert learnt(190_000).nap_ns() >= 1
    assert learnt(0).nap_ns() <= 2 * EARLY_NS
