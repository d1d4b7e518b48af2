"""Statements on a PostgreSQL connection, as exchanges."""

from __future__ import annotations

from netlab.decode.postgres import converse
from netlab.trace.message import Exchange, Extent, trace_id_in

# What a connection that is older than the capture said at its start: an empty start-up message of
# version 3 and its answer, ReadyForQuery. Put before what was captured, it makes the rest readable.
_START_UP = b"\0\0\0\x08\0\x03\0\0"
_READY = b"Z\0\0\0\x05I"
_FRONTEND_TYPES = b"BCDEFHPQSXcdfp"


def sql_exchanges(up: bytes, down: bytes) -> tuple[Exchange, ...]:
    """The statements in `up`, each with its answer in `down`; nothing where it isn't PostgreSQL.

    The connection may be older than the capture, if it was idle when the capture began.
    """
    sent = answered = 0
    if up[:1] and up[:1] in _FRONTEND_TYPES:
        up, down, sent, answered = _START_UP + up, _READY + down, len(_START_UP), len(_READY)
    return tuple(
        Exchange(
            trace_id_in(query.sql.encode()),
            query.sql,
            (Extent(query.start - sent, query.end - sent),),
            (query.error or query.tag) if query.response_end else None,
            (Extent(query.response_start - answered, query.response_end - answered),)
            if query.response_end
            else (),
            whole=bool(query.response_end),
        )
        for query in converse(up, down).queries
    )
