"""PostgreSQL conversations, written out by the documentation's message formats."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from netlab.decode.postgres import Conversation, converse, messages

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SQL = f"SELECT * FROM users WHERE id = $1 /*traceparent='{TRACEPARENT}'*/"


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack(">I", len(body) + 4) + body


def start_up() -> bytes:
    body = struct.pack(">I", 3 << 16) + b"user\0app\0database\0shop\0\0"
    return struct.pack(">I", len(body) + 4) + body


SSL_REQUEST = struct.pack(">II", 8, 80877103)
READY = message("Z", b"I")
GREETING = message("R", bytes(4)) + message("S", b"server_version\x0015\0") + message("K", bytes(8)) + READY
SYNC = message("S")
BIND_TAIL = struct.pack(">HHH", 0, 0, 0)
ROW = message("D", struct.pack(">HI", 1, 2) + b"42")


def parse(name: str, sql: str) -> bytes:
    return message("P", name.encode() + b"\0" + sql.encode() + b"\0" + struct.pack(">H", 0))


def bind(name: str = "") -> bytes:
    return message("B", b"\0" + name.encode() + b"\0" + BIND_TAIL)


EXECUTE = message("E", b"\0" + bytes(4))


def complete(tag: str) -> bytes:
    return message("C", tag.encode() + b"\0")


def test_an_extended_query_and_its_rows() -> None:
    request = parse("", SQL) + bind() + message("D", b"P\0") + EXECUTE + SYNC
    before = SSL_REQUEST + start_up()
    response = message("1") + message("2") + message("T", bytes(2)) + ROW + ROW + complete("SELECT 2") + READY
    found = converse(before + request, b"N" + GREETING + response)
    assert found.unread == ""
    assert found.parameters == {"user": "app", "database": "shop"}
    (query,) = found.queries
    assert (query.sql, query.traceparent, query.rows, query.tag) == (SQL, TRACEPARENT, 2, "SELECT 2")
    assert (query.start, query.end) == (len(before), len(before + request))
    start = 1 + len(GREETING)
    assert (query.response_start, query.response_end) == (start, start + len(response))


def test_a_simple_query() -> None:
    found = converse(start_up() + message("Q", b"BEGIN\0"), GREETING + complete("BEGIN") + READY)
    (query,) = found.queries
    assert (query.sql, query.tag, query.traceparent) == ("BEGIN", "BEGIN", "")


def test_a_prepared_statement_keeps_its_text() -> None:
    first = parse("s1", SQL) + bind("s1") + EXECUTE + SYNC
    again = bind("s1") + EXECUTE + SYNC
    answer = message("2") + ROW + complete("SELECT 1") + READY
    found = converse(start_up() + first + again + again, GREETING + message("1") + answer * 3)
    assert [query.sql for query in found.queries] == [SQL] * 3
    starts = [len(start_up()), len(start_up() + first), len(start_up() + first + again)]
    assert [query.start for query in found.queries] == starts


def test_a_pipeline_shares_one_sync() -> None:
    request = parse("", "SELECT 1") + bind() + EXECUTE + parse("", "SELECT 2") + bind() + EXECUTE + SYNC
    part = message("1") + message("2") + ROW + complete("SELECT 1")
    found = converse(start_up() + request, GREETING + part + part + READY)
    one, two = found.queries
    assert (one.sql, one.rows, two.sql, two.rows) == ("SELECT 1", 1, "SELECT 2", 1)
    assert one.response_end == two.response_start == len(GREETING + part)
    assert two.response_end == len(GREETING + part + part + READY)


def test_an_error_is_told() -> None:
    error = message("E", b"SERROR\0VERROR\0C42P01\0Mrelation missing\0\0")
    found = converse(start_up() + message("Q", b"SELECT\0"), GREETING + error + READY)
    assert found.queries[0].error == "ERROR 42P01 relation missing"


def test_a_capture_that_ends_before_the_answer() -> None:
    found = converse(start_up() + message("Q", b"SELECT 1\0"), GREETING)
    assert (found.queries[0].sql, found.queries[0].response_end) == ("SELECT 1", 0)


def test_what_cannot_be_read_says_why() -> None:
    assert converse(SSL_REQUEST + b"\x16\x03\x01", b"S\x16\x03").unread == "the connection is encrypted"
    other = converse(b"GET / HTTP/1.1\r\n\r\n", b"")
    assert other.unread == "the client's stream does not start with a PostgreSQL start-up message"
    damaged = converse(start_up() + message("Q", b"SELECT 1\0") + b"\xff" * 9, GREETING + READY)
    assert damaged.unread == f"byte {len(start_up()) + 14} is not the start of a PostgreSQL message"
    assert [query.sql for query in damaged.queries] == ["SELECT 1"]


@given(st.binary(max_size=200), st.binary(max_size=200), st.booleans())
def test_random_bytes_never_raise(client: bytes, server: bytes, greet: bool) -> None:
    head, answer = (start_up(), GREETING) if greet else (b"", b"")
    assert isinstance(converse(head + client, answer + server), Conversation)


@given(st.lists(st.sampled_from("BCDEFHPQSX"), max_size=20), st.lists(st.binary(max_size=12), min_size=20))
def test_random_messages_never_raise(kinds: list[str], bodies: list[bytes]) -> None:
    client = b"".join(message(kind, body) for kind, body in zip(kinds, bodies, strict=False))
    server = b"".join(message("CDEIZ1"[len(body) % 6], body) for body in bodies)
    found = converse(start_up() + client, GREETING + server)
    assert len(found.queries) == sum(kind in "QE" for kind in kinds)


def test_every_message_by_name() -> None:
    request = message("Q", b"SELECT 1\0") + message("X", b"")
    found = messages(start_up() + request, GREETING + READY)
    assert found is not None
    assert [one.name for one in found.client] == ["StartupMessage", "Query", "Terminate"]
    assert found.server[-1].name == "ReadyForQuery"
    assert found.unread == ""
    assert messages(request, READY) is None
    within = messages(request + b"\xff" * 9, READY, within=True)
    assert within is not None
    assert [one.name for one in within.client] == ["Query", "Terminate"]
    assert "is not the start" in within.unread
