"""Frames in each state of a stream, windows and floods, by section (RFC 9113)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from h2.errors import ErrorCodes

from netlab.proto.http import End, Reset, ResponseHead
from netlab.proto.http2 import Limits
from tests.kit.http2_peer import GET, POST, data, faults, raw, settings
from tests.kit.http2_talk import ENCODED_GET, Talk, connected, connection_error, stream_error

NO = ErrorCodes.NO_ERROR
PROTOCOL = ErrorCodes.PROTOCOL_ERROR
CLOSED = ErrorCodes.STREAM_CLOSED
FLOW = ErrorCodes.FLOW_CONTROL_ERROR
REFUSED = ErrorCodes.REFUSED_STREAM
CALM = ErrorCodes.ENHANCE_YOUR_CALM


# Section 5.1: frames in each state of a stream.


def ended(talk: Talk) -> Talk:
    return talk.open().answer()


def half_closed(talk: Talk) -> Talk:
    return talk.open()


def reset_by_client(talk: Talk) -> Talk:
    return talk.open(ends=False).hear(raw(3, 0, 1, b"\0\0\0\x08"))


def reset_by_server(talk: Talk) -> Talk:
    talk.open(ends=False)
    talk.server.send(Reset(ErrorCodes.CANCEL, 1))
    talk.hear()
    talk.said = b""
    return talk


@pytest.mark.parametrize("what", ["DATA", "HEADERS"])
@pytest.mark.parametrize(
    ("state", "code", "of_connection"),
    [(half_closed, CLOSED, False), (ended, CLOSED, True), (reset_by_client, CLOSED, False)],
)
def test_5_1_frames_on_a_stream_that_is_over(
    state: Callable[[Talk], Talk], code: ErrorCodes, of_connection: bool, what: str
) -> None:
    talk = state(connected())
    talk.said = b""
    talk = talk.hear(data(1, b"x")) if what == "DATA" else talk.open()
    (connection_error if of_connection else stream_error)(talk, code)


def test_5_1_frames_that_cross_our_reset_are_ignored() -> None:
    talk = reset_by_server(connected())
    talk.hear(
        data(1, b"x" * 1000, ends=False), raw(8, 0, 1, b"\0\0\0\1"), talk.encoding.headers(1, [("a", "b")])
    )
    assert faults(talk.said) == []
    assert talk.said == raw(8, 0, 0, (1000).to_bytes(4, "big")), "the connection's window gets the bytes back"


@pytest.mark.parametrize("state", [ended, reset_by_client])
def test_5_1_what_may_come_late_is_ignored(state: Callable[[Talk], Talk]) -> None:
    talk = state(connected())
    talk.said = b""
    talk.hear(raw(8, 0, 1, b"\0\0\0\1"), raw(3, 0, 1, bytes(4)), raw(2, 0, 1, bytes(5)))
    assert (faults(talk.said), talk.error) == ([], None)


def test_5_1_1_a_stream_below_the_last_one() -> None:
    connection_error(connected().open(5).open(3), PROTOCOL)


def test_5_1_2_more_streams_than_allowed_are_refused() -> None:
    talk = connected(Limits(streams=2)).open(1).open(3).open(5)
    assert faults(talk.said) == [("reset", REFUSED, 5)]
    talk.answer(1)
    talk.said = b""
    talk.open(7)
    assert faults(talk.said) == []
    talk.hear(talk.encoding.headers(5, [("late", "trailers")]))
    assert (faults(talk.said), talk.error) == ([], None), "what was on its way is ignored"


def test_6_9_a_window_update_by_0_ends_its_stream() -> None:
    stream_error(connected().open(ends=False).hear(raw(8, 0, 1, bytes(4))), PROTOCOL)


def test_6_9_1_a_window_that_becomes_too_large() -> None:
    stream_error(connected().open(ends=False).hear(raw(8, 0, 1, b"\x7f\xff\xff\xff")), FLOW)


def test_6_9_2_settings_that_make_a_window_too_large() -> None:
    talk = connected().open(ends=False).hear(raw(8, 0, 1, b"\x7f\xff\0\0"))
    connection_error(talk.hear(settings(INITIAL_WINDOW_SIZE=2**31 - 1)), FLOW)


def test_6_9_1_more_data_than_the_window() -> None:
    talk = connected(Limits(stream_window=65_535)).open(ends=False)
    talk.hear(*[data(1, bytes(16_384), ends=False)] * 5)
    assert faults(talk.said)[0][:2] == ("goaway", FLOW)


# Section 10.5: floods.


@pytest.mark.parametrize(
    "frame",
    [
        raw(6, 0, 0, bytes(8)),
        settings(),
        data(1, b"", ends=False),
        raw(2, 0, 3, bytes(5)),
        raw(0x77),
        raw(0x10, 0, 0, b"\0\0\0\x09"),
    ],
    ids=["PING", "SETTINGS", "empty DATA", "PRIORITY", "unknown", "PRIORITY_UPDATE"],
)
def test_10_5_a_flood_of_frames_that_say_nothing(frame: bytes) -> None:
    talk = connected().open(ends=False).hear(frame * 100)
    assert talk.error is None, "some are fine"
    connection_error(talk.hear(frame * 1000), CALM)


def test_10_5_budgets_refill_with_time() -> None:
    talk = connected()
    for second in range(20):
        talk.server.tick(second)
        talk.hear(raw(6, 0, 0, bytes(8)) * 90)
    assert talk.error is None


@pytest.mark.parametrize(
    "after", [raw(3, 0, 0, b"\0\0\0\x08"), raw(8, 0, 0, bytes(4))], ids=["RST", "made to"]
)
def test_10_5_rapid_reset(after: bytes) -> None:
    """CVE-2023-44487; and CVE-2025-8671, where the client makes the server reset."""
    talk = connected()
    for stream in range(1, 1000, 2):
        talk.hear(
            talk.encoding.headers(stream, POST, ends=False), after[:5] + stream.to_bytes(4, "big") + after[9:]
        )
    assert faults(talk.said)[-1][:2] == ("goaway", CALM), faults(talk.said)


def test_10_5_continuation_flood() -> None:
    talk = connected().hear(raw(1, 1, 1, ENCODED_GET), *[raw(9, 0, 1)] * 20)
    connection_error(talk, CALM)
    talk = connected().hear(raw(1, 1, 1, ENCODED_GET), *[raw(9, 0, 1, bytes(16_384))] * 20)
    connection_error(talk, CALM)


def test_10_5_1_a_header_list_that_is_too_large_is_answered() -> None:
    talk = connected().open(1, [*GET, *[("a", "x" * 1000)] * 40], ends=False)
    assert talk.events == []
    assert faults(talk.said) == [("reset", NO, 1)]
    talk.open(3)
    assert [event.stream for event in talk.events] == [3, 3]


def test_10_5_1_a_header_bomb() -> None:
    """A small block that becomes a large list: one long field in the table, named again and again."""
    talk = connected()
    bomb = ENCODED_GET + b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000 + b"\xbe" * 8000
    connection_error(talk.hear(raw(1, 5, 1, bomb)), CALM)


def test_a_table_size_beyond_ours_costs_nothing() -> None:
    """SETTINGS_HEADER_TABLE_SIZE says what the client would hold; we need not fill it."""
    talk = connected().hear(settings(HEADER_TABLE_SIZE=2**32 - 1))
    assert talk.error is None
    talk.open()
    talk.server.send(ResponseHead(200, stream=1), End(stream=1))
    assert talk.server._h2.encoder.header_table_size == 4096


def test_settings_that_nobody_knows_are_not_kept() -> None:
    talk = connected()
    known = len(talk.server._h2.remote_settings)
    talk.hear(raw(4, 0, 0, b"".join(key.to_bytes(2, "big") + bytes(4) for key in range(0x100, 0x900))))
    assert talk.said == raw(4, 1), "they are acknowledged"
    assert len(talk.server._h2.remote_settings) == known


def test_after_a_connection_error_streams_are_closed() -> None:
    """Those who had them may still say that they give them up."""
    talk = connected().open(ends=False).hear(raw(8, 0, 0, b"\x7f\xff\xff\xff"))
    connection_error(talk, FLOW)
    assert not talk.server.is_open(1)
    talk.server.send(Reset(ErrorCodes.CANCEL, 1))
    talk.server.consumed(1, 10)
    assert talk.server.outgoing() == b""
