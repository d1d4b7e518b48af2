"""A direction's machine: exact times, repeatable chance, tail drops."""

from __future__ import annotations

import math

import pytest

from netlab.model.impairment import Impairment
from netlab.wire.engine import LATE_NS, Machine

MS = 1_000_000
GIGABIT = 1_000_000_000


def machine(seed: str = "seed", **impairment: float) -> Machine:
    return Machine(Impairment(**impairment), seed)  # type: ignore[arg-type]  # fields are checked by use


def test_a_perfect_wire_gives_a_frame_back_at_once() -> None:
    assert machine().arrive(1500, 77) == 77


def test_the_delay_is_counted_from_the_arrival() -> None:
    link = machine(delay_ns=20 * MS)
    assert [link.arrive(60, now) for now in (0, 1, 5 * MS)] == [20 * MS, 20 * MS + 1, 25 * MS]


def test_a_frame_takes_its_bits_over_the_rate() -> None:
    assert machine(rate_bps=10_000_000).arrive(1250, 100) == 100 + MS


def test_the_delay_comes_after_serialisation() -> None:
    link = machine(rate_bps=10_000_000, delay_ns=5 * MS)
    assert [link.arrive(1250, 0), link.arrive(1250, 0)] == [6 * MS, 7 * MS]


def test_the_line_rests_when_nothing_comes() -> None:
    link = machine(rate_bps=10_000_000)
    link.arrive(1250, 0)
    assert link.arrive(1250, 50 * MS) == 51 * MS


def test_a_rate_that_divides_badly_does_not_drift() -> None:
    rate_bps, frames, length = 7_000_003, 10_000, 1499
    link = machine(rate_bps=rate_bps, limit_packets=frames)
    last = [link.arrive(length, 0) for _ in range(frames)][-1]
    assert last == frames * length * 8 * 1_000_000_000 // rate_bps


def test_the_queue_drops_at_the_tail() -> None:
    link = machine(rate_bps=10_000_000, limit_packets=3)
    releases = [link.arrive(1250, 0) for _ in range(5)]
    assert releases == [MS, 2 * MS, 3 * MS, None, None]
    assert link.counters.overlimit == 2


def test_the_queue_has_room_again_when_a_frame_is_on_the_line_whole() -> None:
    link = machine(rate_bps=10_000_000, limit_packets=1)
    assert [link.arrive(1250, now) for now in (0, MS - 1, MS)] == [MS, None, 2 * MS]


def test_frames_that_propagate_take_no_room_in_the_queue() -> None:
    link = machine(delay_ns=100 * MS, limit_packets=1)
    assert [link.arrive(1500, now) for now in range(50)] == [100 * MS + now for now in range(50)]
    assert link.queued(49) == 0


def test_a_lost_frame_takes_no_time_on_the_line() -> None:
    link = machine(rate_bps=10_000_000, loss=0.5, limit_packets=10_000)
    releases = [link.arrive(1250, 0) for _ in range(1000)]
    kept = [release for release in releases if release is not None]
    assert kept == [MS * (number + 1) for number in range(len(kept))]
    assert link.counters.lost == 1000 - len(kept)


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.05, 0.2])
def test_losses_are_within_six_standard_deviations(loss: float) -> None:
    frames, link = 100_000, machine(loss=loss)
    lost = sum(link.arrive(100, now) is None for now in range(frames))
    spread = math.sqrt(frames * loss * (1 - loss))
    assert abs(lost - frames * loss) < 6 * spread, (lost, frames * loss, spread)
    assert lost == link.counters.lost


@pytest.mark.parametrize(("loss", "lost"), [(0.0, 0), (1.0, 1000)])
def test_certain_losses(loss: float, lost: int) -> None:
    link = machine(loss=loss)
    assert sum(link.arrive(100, now) is None for now in range(1000)) == lost


def test_jitter_is_uniform_around_the_delay() -> None:
    link, frames = machine(delay_ns=10 * MS, jitter_ns=2 * MS), 20_000
    delays = [(link.arrive(100, now) or 0) - now for now in range(frames)]
    assert min(delays) >= 8 * MS
    assert max(delays) <= 12 * MS
    quarters = [sum(8 * MS + q * MS <= delay < 9 * MS + q * MS for delay in delays) for q in range(4)]
    assert all(abs(count - frames / 4) < 6 * math.sqrt(frames * 3 / 16) for count in quarters), quarters


def test_jitter_reorders() -> None:
    link = machine(delay_ns=10 * MS, jitter_ns=2 * MS)
    releases = [link.arrive(100, now) or 0 for now in range(100)]
    assert releases != sorted(releases)


def test_jitter_past_the_delay_never_gives_a_frame_back_before_it_came() -> None:
    link = machine(delay_ns=MS, jitter_ns=5 * MS)
    assert all((link.arrive(100, now) or 0) >= now for now in range(1000))


def test_without_jitter_the_order_stays() -> None:
    link = machine(delay_ns=3 * MS, rate_bps=GIGABIT, limit_packets=100_000)
    releases = [link.arrive(60 + now % 1400, now * 5) or 0 for now in range(10_000)]
    assert releases == sorted(releases)


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: str) -> list[int | None]:
        link = machine(seed, delay_ns=10 * MS, jitter_ns=MS, loss=0.1, rate_bps=GIGABIT)
        return [link.arrive(1000, now * 10_000) for now in range(1000)]

    assert run("7/a--b/up") == run("7/a--b/up")
    assert run("7/a--b/up") != run("7/a--b/down")


def test_a_change_is_for_frames_that_come_after_it() -> None:
    link = machine(delay_ns=10 * MS)
    before = link.arrive(100, 0)
    link.change(Impairment(delay_ns=80 * MS))
    assert (before, link.arrive(100, 1)) == (10 * MS, 80 * MS + 1)


def test_a_new_rate_waits_for_what_the_old_one_has_on_the_line() -> None:
    link = machine(rate_bps=1_000_000)
    assert link.arrive(1250, 0) == 10 * MS
    link.change(Impairment(rate_bps=10_000_000))
    assert link.arrive(1250, 0) == 11 * MS


def test_what_leaves_is_counted_and_what_leaves_late_too() -> None:
    link = machine()
    link.released(100, due_ns=0, now_ns=LATE_NS)
    link.released(200, due_ns=0, now_ns=LATE_NS + 1)
    counters = link.counters
    assert (counters.frames, counters.bytes, counters.late) == (2, 300, 1)
