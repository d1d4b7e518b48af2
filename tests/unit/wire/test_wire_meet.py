"""What a machine does to frames beyond delay, rate and loss: copies, marks, flips, order, cells, slots."""

from __future__ import annotations

import math

import pytest

from netlab.model.impairment import FourState, GilbertElliott, Impairment, Slot
from netlab.wire.engine import Machine, Verdict

MS = 1_000_000
FRAMES = 20_000


def machine(impairment: Impairment, seed: str = "seed") -> Machine:
    return Machine(impairment, seed)


def near(found: float, share: float) -> bool:
    return abs(found - FRAMES * share) < 5 * math.sqrt(FRAMES * share * (1 - share))


def test_what_only_delays_loses_and_queues_is_simple() -> None:
    simple = Impairment(delay_ns=5, jitter_ns=1, loss=0.1, rate_bps=8000, limit_packets=3, seed=4)
    assert machine(simple).simple
    for other in (Impairment(duplicate=0.1), Impairment(loss_model=FourState(0.1)), Impairment(ecn=True)):
        assert not machine(other).simple


def test_both_ways_through_a_machine_take_the_same_time() -> None:
    impairment = Impairment(delay_ns=MS, rate_bps=10_000_000, limit_packets=4)
    short, long = machine(impairment), machine(impairment)
    for now in range(0, 10 * MS, MS // 3):
        release = short.arrive(1250, now)
        assert long.meet(1250, now) == ([] if release is None else [Verdict(release)])
    assert short.counters == long.counters


def test_a_duplicate_leaves_with_its_original() -> None:
    link = machine(Impairment(delay_ns=5, duplicate=1.0))
    assert link.meet(100, 10) == [Verdict(15), Verdict(15)]
    assert link.counters.duplicated == 1


def test_a_duplicate_takes_its_own_time_on_the_line() -> None:
    link = machine(Impairment(duplicate=1.0, rate_bps=8_000_000))
    assert [verdict.release_ns for verdict in link.meet(1000, 0)] == [MS, 2 * MS]


def test_duplicates_come_as_often_as_asked() -> None:
    link = machine(Impairment(duplicate=0.2))
    frames = sum(len(link.meet(100, now)) for now in range(FRAMES))
    assert near(frames - FRAMES, 0.2), frames
    assert link.counters.duplicated == frames - FRAMES


def test_loss_takes_one_of_a_pair_and_meets_the_copy_again() -> None:
    """netem: with a duplicate a lost frame leaves one; without loss the copy may still be lost."""
    link = machine(Impairment(duplicate=1.0, loss=0.5))
    counts = [len(link.meet(100, now)) for now in range(FRAMES)]
    assert near(counts.count(2), 0.25)
    assert counts.count(0) == 0


def test_ecn_marks_what_would_be_lost() -> None:
    link = machine(Impairment(loss=0.3, ecn=True))
    verdicts = [link.meet(100, now, ecn_capable=True) for now in range(FRAMES)]
    assert all(len(one) == 1 for one in verdicts)
    assert near(sum(one[0].mark for one in verdicts), 0.3)
    assert (link.counters.lost, link.counters.marked) == (0, sum(one[0].mark for one in verdicts))


def test_ecn_loses_what_cannot_be_marked() -> None:
    link = machine(Impairment(loss=1.0, ecn=True))
    assert link.meet(100, 0) == []
    assert link.counters.lost == 1


def test_corruption_flips_a_bit_anywhere_in_the_frame() -> None:
    link = machine(Impairment(corrupt=0.5))
    bits = [link.meet(60, now)[0].corrupt_bit for now in range(FRAMES)]
    flipped = [bit for bit in bits if bit >= 0]
    assert near(len(flipped), 0.5)
    assert set(flipped) == set(range(480))
    assert link.counters.corrupted == len(flipped)


@pytest.mark.parametrize(("gap", "share"), [(0, 0.25), (1, 0.25), (4, 1.0), (5, 0.5)])
def test_reordered_frames_leave_at_once(gap: int, share: float) -> None:
    link = machine(Impairment(delay_ns=MS, reorder=share, reorder_gap=gap))
    times = [link.meet(100, now)[0].release_ns - now for now in range(FRAMES)]
    assert set(times) == {0, MS}
    # gap - 1 frames are surely delayed, then it is tried for each: 1/share frames on average
    expected = 1 / (max(gap, 1) - 1 + 1 / share)
    assert abs(times.count(0) / FRAMES - expected) < 0.015, (times.count(0) / FRAMES, expected)
    assert times[: max(gap, 1) - 1] == [MS] * (max(gap, 1) - 1)
    assert link.counters.reordered == times.count(0)


@pytest.mark.parametrize(
    ("overhead", "cell", "cell_overhead", "length", "line"),
    [(20, 0, 0, 100, 120), (-14, 0, 0, 114, 100), (0, 48, 5, 96, 106), (8, 48, 5, 100, 159)],
)
def test_the_line_counts_overhead_and_cells(
    overhead: int, cell: int, cell_overhead: int, length: int, line: int
) -> None:
    """With 48 + 5 as in ATM's AAL5."""
    impairment = Impairment(
        rate_bps=8_000_000, rate_overhead_bytes=overhead, cell_bytes=cell, cell_overhead_bytes=cell_overhead
    )
    assert machine(impairment).meet(length, 0)[0].release_ns == line * 1000


def test_frames_wait_for_a_slot_and_leave_together() -> None:
    link = machine(Impairment(delay_ns=1, slot=Slot(10 * MS, 10 * MS)))
    first = link.meet(100, 0)[0].release_ns
    assert first == 10 * MS
    assert [link.meet(100, now)[0].release_ns for now in (MS, 5 * MS, 9 * MS)] == [first] * 3
    assert link.meet(100, 15 * MS)[0].release_ns == 25 * MS


@pytest.mark.parametrize("slot", [Slot(MS, MS, packets=2), Slot(MS, MS, bytes=200), Slot(MS, MS, bytes=150)])
def test_a_full_slot_makes_the_rest_wait_for_the_next(slot: Slot) -> None:
    link = machine(Impairment(slot=slot))
    times = [link.meet(100, 5)[0].release_ns - 5 for _ in range(6)]
    assert times == [MS, MS, 2 * MS, 2 * MS, 3 * MS, 3 * MS]


def test_slots_open_between_their_least_and_most() -> None:
    link = machine(Impairment(slot=Slot(2 * MS, 6 * MS)))
    waits = [link.meet(100, now)[0].release_ns - now for now in range(0, 10**12, 10**9)]
    assert min(waits) >= 2 * MS
    assert max(waits) <= 6 * MS
    assert abs(sum(waits) / len(waits) - 4 * MS) < MS / 5


FULL = Impairment(
    delay_ns=5 * MS, jitter_ns=MS, distribution="pareto", delay_correlation=0.25, duplicate=0.1, corrupt=0.1,
    loss_model=GilbertElliott(0.05, 0.3), reorder=0.1, reorder_gap=3, slot=Slot(MS, 2 * MS), rate_bps=10**9,
)  # fmt: skip


def test_the_same_seed_gives_the_same_verdicts() -> None:
    def run(impairment: Impairment, seed: str) -> list[list[Verdict]]:
        link = machine(impairment, seed)
        return [link.meet(1000, now * 10_000) for now in range(1000)]

    assert run(FULL, "x") == run(FULL, "x")
    assert run(FULL, "x") != run(FULL, "y")


def test_the_impairments_own_seed_goes_before_the_labs() -> None:
    def run(seed: int, lab: str, name: str) -> list[list[Verdict]]:
        link = Machine(Impairment(duplicate=0.5, seed=seed), lab, name)
        return [link.meet(1000, now) for now in range(200)]

    assert run(7, "x", "up") == run(7, "y", "up")
    assert run(7, "x", "up") != run(8, "x", "up")
    assert run(7, "x", "up") != run(7, "x", "down")


def test_a_burst_of_losses_outlives_a_change_of_the_delay() -> None:
    model = GilbertElliott(1.0, 0.0)
    link = machine(Impairment(loss_model=model))
    assert [len(link.meet(100, now)) for now in range(3)] == [1, 0, 0]
    link.change(Impairment(loss_model=model, delay_ns=MS))
    assert link.meet(100, 3) == []


def test_a_change_to_an_unknown_distribution_changes_nothing() -> None:
    link = machine(Impairment(delay_ns=5))
    with pytest.raises(KeyError):
        link.change(Impairment(delay_ns=9, jitter_ns=1, distribution="bell", seed=3))
    assert link.impairment == Impairment(delay_ns=5)
    assert link.arrive(100, 0) == 5


def test_a_pulled_cable_drops_everything_and_empties_the_queue() -> None:
    link = machine(Impairment(rate_bps=8_000_000))
    link.arrive(1000, 0)
    link.connect(connected=False)
    assert (link.simple, link.connected, link.meet(1000, 0)) == (False, False, [])
    assert link.counters.unplugged == 1
    link.connect(connected=True)
    assert link.simple
    assert link.arrive(1000, 0) == MS
