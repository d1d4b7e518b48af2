"""The schedule gives frames back in order, whatever order they came in."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from netlab.wire.schedule import Schedule

EVER = 1 << 62


def frames(schedule: Schedule[str], now_ns: int, most: int = 100) -> list[str]:
    return [frame for _, _, frame in schedule.due(now_ns, most)]


def test_an_empty_schedule_has_nothing_due() -> None:
    schedule: Schedule[str] = Schedule(1)
    assert (schedule.next_ns(), schedule.due(EVER, 10), len(schedule)) == (None, [], 0)


def test_a_frame_is_due_at_its_time_and_not_before() -> None:
    schedule: Schedule[str] = Schedule(1)
    schedule.add(0, 10, "a")
    assert schedule.next_ns() == 10
    assert frames(schedule, 9) == []
    assert frames(schedule, 10) == ["a"]
    assert schedule.next_ns() is None


def test_a_frame_may_overtake_in_its_lane() -> None:
    schedule: Schedule[str] = Schedule(1)
    for release_ns, frame in ((30, "c"), (10, "a"), (20, "b")):
        schedule.add(0, release_ns, frame)
    assert schedule.next_ns() == 10
    assert frames(schedule, 20) == ["a", "b"]
    assert schedule.next_ns() == 30


def test_equal_times_leave_in_the_order_of_arrival() -> None:
    schedule: Schedule[str] = Schedule(1)
    for frame in "abc":
        schedule.add(0, 5, frame)
    assert frames(schedule, 5) == ["a", "b", "c"]


def test_no_more_than_asked_for() -> None:
    schedule: Schedule[str] = Schedule(2)
    for number in range(10):
        schedule.add(number % 2, number, str(number))
    assert len(frames(schedule, EVER, most=3)) == 3
    assert len(schedule) == 7


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=200), st.integers(1, 9))
def test_every_frame_comes_out_once_and_in_the_order_of_its_lane(
    arrivals: list[tuple[int, int]], most: int
) -> None:
    schedule: Schedule[tuple[int, int, int]] = Schedule(4)
    pending = [(lane, release, number) for number, (lane, release) in enumerate(arrivals)]
    rng, left, now = Random(len(arrivals)), list(pending), 0
    out: list[tuple[int, int, int]] = []
    while left or len(schedule):
        for _ in range(rng.randint(0, 5)):
            if left:
                frame = left.pop(0)
                schedule.add(frame[0], now + frame[1], (frame[0], now + frame[1], frame[2]))
        now += rng.randint(0, 9)
        expected = schedule.next_ns()
        due = [frame for _, _, frame in schedule.due(now, most)]
        assert all(release <= now for _, release, _ in due)
        assert not due or min(release for _, release, _ in due) == expected
        for lane in range(4):
            mine = [(release, number) for at, release, number in due if at == lane]
            assert mine == sorted(mine)
        out += due
    assert sorted(number for _, _, number in out) == list(range(len(pending)))


def test_a_cleared_lane_is_empty_and_the_others_go_on() -> None:
    schedule: Schedule[str] = Schedule(2)
    for lane, release, frame in ((0, 5, "a"), (1, 6, "b"), (0, 3, "c"), (1, 1, "d")):
        schedule.add(lane, release, frame)
    assert schedule.clear(0) == ["c", "a"]
    assert (len(schedule), schedule.next_ns()) == (2, 1)
    assert [frame for _, _, frame in schedule.due(10, 10)] == ["d", "b"]
    assert schedule.clear(0) == []
