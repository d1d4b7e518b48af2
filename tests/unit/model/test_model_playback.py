"""Traces: steps by time, and what is wrong with a file, by its line."""

# ruff: noqa: E501 - messages are compared whole, on one line

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import InputError, TopologyError
from netlab.model.playback import PACKET_BYTES, Playback, Step, load, loads


def problem(text: str) -> str:
    with pytest.raises(TopologyError) as caught:
        loads(text, "t")
    (one,) = caught.value.problems
    return str(one).removeprefix("t:")


def test_a_delivery_trace_becomes_rates_over_100_ms() -> None:
    text = "".join(f"{ms}\n" for ms in range(1, 101)) + "150\n150\n150\n150\n200\n"
    assert loads(text, "t") == Playback(
        (Step(0, {"rate_bps": 12_000_000}, 1), Step(100_000_000, {"rate_bps": 600_000}, 101)), 200_000_000
    )


def test_a_pause_goes_into_the_rate_of_the_next_opportunities() -> None:
    assert loads("100\n600\n", "t").steps == (
        Step(0, {"rate_bps": 120_000}, 1),
        Step(100_000_000, {"rate_bps": 24_000}, 2),
    )


@given(st.lists(st.integers(0, 3000), min_size=1).map(sorted).filter(lambda times: times[-1] > 0))
def test_the_rates_deliver_what_the_trace_delivers(times: list[int]) -> None:
    played = loads("\n".join(map(str, times)), "t")
    starts = [step.at_ns for step in played.steps]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert played.period_ns == times[-1] * 1_000_000 > starts[-1]
    ends = [*starts[1:], played.period_ns]
    bits = sum(
        step.changes["rate_bps"] * (end - step.at_ns) / 1e9
        for step, end in zip(played.steps, ends, strict=True)
    )
    assert bits == pytest.approx(len(times) * PACKET_BYTES * 8, abs=4 * len(played.steps))


def test_the_last_row_of_a_table_lasts_as_long_as_the_one_before() -> None:
    text = "time,rate,delay,loss\n0,10mbit,20ms,0\n1.5,500kbit,80ms,1%\n2500ms,1gbit,0,100%\n"
    assert loads(text, "t") == Playback(
        (
            Step(0, {"rate_bps": 10_000_000, "delay_ns": 20_000_000, "loss": 0.0}, 2),
            Step(1_500_000_000, {"rate_bps": 500_000, "delay_ns": 80_000_000, "loss": 0.01}, 3),
            Step(2_500_000_000, {"rate_bps": 1_000_000_000, "delay_ns": 0, "loss": 1.0}, 4),
        ),
        3_500_000_000,
    )


def test_a_last_row_of_a_time_alone_is_the_end() -> None:
    played = loads("Time, Delay\r\n0, 1ms\r\n\r\n5, 2ms\r\n10\r\n", "t")
    assert played.period_ns == 10_000_000_000
    assert [step.line for step in played.steps] == [2, 4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: the file is empty; a trace has a time on each line"),
        ("5\n4\n", "2:1: time goes back from 5 to 4 ms"),
        ("5\nx\n", "2:1: `x` is not a whole number of milliseconds"),
        ("5\n²\n", "2:1: `²` is not a whole number of milliseconds"),
        ("1.5\n", "1:1: `1.5` is not a whole number of milliseconds"),
        ("-1\n5\n", "1:1: -1 ms is not a time from 0 to 604800000 ms (a week)"),
        ("1\n\n2\n", "2:1: an empty line between others; leave it out"),
        ("0\n0\n", "2:1: the trace ends at 0 ms; it must last for some time"),
        ("time,rate\n", "1:1: no row after the head; write one for each change"),
        ("time,rte\n0,1mbit\n", "1:1: unknown column `rte`; did you mean `rate`?"),
        ("time,rate,rate\n", "1:1: column `rate` again"),
        ("rate,delay\n", "1:1: the head must name `time` and a column more; time,rate,delay,loss"),
        ("time,rate\n1,1mbit\n", "2:1: the first row is not at time 0; say how the link starts"),
        ("time,rate\n0,1mbit\n5,2mbit\n4,1mbit\n", "4:1: time goes back before that of line 3"),
        ("time,rate\n0,1mbit\n0s,2mbit\n", "3:1: time is not later than that of line 2"),
        ("0,1mbit\n", "1:1: a table without a head; write one, such as time,rate,delay,loss"),
        ("time,rate\n0,1mbit\n", "2:1: nobody knows when it ends; add a last row: its time alone"),
        ("time,rate\n0,1mbit\n1\n2,2mbit\n", "3:1: 1 cells in a row; the head has 2"),
        ("time,rate\n0,\n1,1mbit\n", "2:1: `rate` is empty; only a last row with its time alone may be"),
        ("time,rate\n0,0mbit\n", "2:1: rate: 0 lets nothing pass; write `loss` 100% for an outage"),
        ("time,loss\n0,150%\n", "2:1: loss: 150% is past 100%"),
        ("time,rate\n0,5\n", "2:1: rate: '5' is not a rate; write a number and a unit, such as 10mbit"),
        ("time,rate\n-1,5mbit\n", "2:1: time '-1' is not a duration; write a number and a unit, such as 20ms, or seconds alone, such as 1.5"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(text: str, expected: str) -> None:
    assert problem(text) == expected


@given(st.text(alphabet="0123456789.,-\n\r\"' timeraloss%bt", max_size=80))
def test_any_text_is_a_playback_or_a_problem(text: str) -> None:
    for line in _problem_lines(text):
        assert line >= 1


def _problem_lines(text: str) -> list[int]:
    """None where it is a playback; anything but a TopologyError fails the test."""
    try:
        played = loads(text, "t")
    except TopologyError as error:
        return [one.line for one in error.problems]
    starts = [step.at_ns for step in played.steps]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert played.period_ns > starts[-1]
    return []


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load(tmp_path / "none")
    with pytest.raises(InputError, match="Is a directory"):
        load(tmp_path)
    (tmp_path / "binary").write_bytes(b"5\n\xff\n")
    with pytest.raises(TopologyError, match="binary:2:1: byte 0xff is not UTF-8"):
        load(tmp_path / "binary")
