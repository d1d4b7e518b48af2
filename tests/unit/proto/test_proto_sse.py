"""text/event-stream (WHATWG HTML section 9.2): written and read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import LocalProtocolError, RemoteProtocolError
from netlab.proto.sse import EventParser, ServerSentEvent, comment, encode, retry
from tests.kit.feed3 import feed3

Event = ServerSentEvent


def read(stream: bytes) -> list[ServerSentEvent]:
    return feed3(EventParser, stream, list, trailing=b"data: next")


def test_the_examples_of_the_standard() -> None:
    assert read(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [Event("YHOO\n+2\n10")]
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert read(stream) == [
        Event("first event", id="1"),
        Event("second event", id=""),
        Event(" third event", id=""),
    ]
    assert read(b"data\n\ndata\ndata\n\n") == [Event(""), Event("\n")]
    assert read(b"data:test\n\ndata: test\n\n") == [Event("test"), Event("test")]


def test_every_kind_of_line_end() -> None:
    assert read(b"data: a\rdata: b\r\ndata: c\n\r\ndata: d\r\r") == [Event("a\nb\nc"), Event("d")]


def test_one_byte_order_mark_is_dropped() -> None:
    assert read("\ufeffdata: a\n\n".encode()) == [Event("a")]
    assert read("\ufeff\ufeffdata: a\n\n".encode()) == []


def test_names_of_events_hold_for_one_event() -> None:
    assert read(b"event: add\ndata: 1\n\ndata: 2\n\nevent: lost\n\ndata: 3\n\n") == [
        Event("1", "add"),
        Event("2"),
        Event("3"),
    ]


def test_ids_stay_and_one_with_nul_is_ignored() -> None:
    assert read(b"id: 7\ndata: a\n\nid: 8\x00\ndata: b\n\n") == [Event("a", id="7"), Event("b", id="7")]


def test_an_id_without_data_counts_for_the_next_connection() -> None:
    parser = EventParser()
    assert parser.receive(b"id: 9\n\n") == []
    assert parser.last_id == "9"
    assert EventParser("9").receive(b"data: a\n\n") == [Event("a", id="9")]


def test_an_event_that_the_end_cuts_is_dropped() -> None:
    parser = EventParser()
    assert parser.receive(b"id: 1\ndata: half\n") == []
    assert parser.receive(b"") == []
    assert parser.last_id == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [(b"retry: 250", 250), (b"retry:0", 0), (b"retry: 1s", None), (b"retry: -1", None), (b"retry", None)],
)
def test_retry_has_digits_only(line: bytes, expected: int | None) -> None:
    parser = EventParser()
    parser.receive(line + b"\n\n")
    assert parser.retry_ms == expected
    parser.receive("retry: ٣\n\n".encode())  # digits, but not ASCII
    assert parser.retry_ms == expected


def test_bytes_that_are_no_utf8_do_no_harm() -> None:
    assert read(b"data: \xff\n\n") == [Event("\ufffd")]


@pytest.mark.parametrize("stream", [b"data: " + bytes(200), b"data: x\n" * 60, b"x" * 120])
def test_an_event_has_a_limit(stream: bytes) -> None:
    parser = EventParser(max_event=100)
    with pytest.raises(RemoteProtocolError, match="100"):
        parser.receive(stream)


def test_comments_cost_nothing() -> None:
    parser = EventParser(max_event=100)
    for _ in range(1000):
        assert parser.receive(b": still here\n") == []


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"])), st.text(alphabet="abc 1é", max_size=5))
def test_what_is_written_is_read(data: str, name: str) -> None:
    lines = data.replace("\r\n", "\n").replace("\r", "\n")
    stream = comment("hello\nworld") + retry(5) + encode(data, event=name, event_id="4")
    assert EventParser().receive(stream) == [Event(lines, name or "message", "4")]


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
def test_fields_of_one_line(bad: str) -> None:
    with pytest.raises(LocalProtocolError):
        encode("x", event=bad)
    with pytest.raises(LocalProtocolError):
        encode("x", event_id=bad)
