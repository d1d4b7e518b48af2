"""PostgreSQL's frontend/backend protocol, version 3: queries and what came back for them.

Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol" (message flow, message formats).
Offsets count from the start of each direction's TCP stream.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_SSL_REQUEST, _GSS_REQUEST, _CANCEL, _VERSION_3 = 80877103, 80877104, 80877102, 3
# version, trace id, parent id, flags (W3C Trace Context, section 3.2)
_TRACEPARENT = re.compile(r"\b00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\b")
_LARGEST = 0x3FFFFFFF  # PostgreSQL's own limit of a message (MaxAllocSize)

_FRONTEND = {
    b"B": "Bind",
    b"C": "Close",
    b"D": "Describe",
    b"E": "Execute",
    b"F": "FunctionCall",
    b"H": "Flush",
    b"P": "Parse",
    b"Q": "Query",
    b"S": "Sync",
    b"X": "Terminate",
    b"c": "CopyDone",
    b"d": "CopyData",
    b"f": "CopyFail",
    b"p": "PasswordMessage",
}
_BACKEND = {
    b"1": "ParseComplete",
    b"2": "BindComplete",
    b"3": "CloseComplete",
    b"A": "NotificationResponse",
    b"C": "CommandComplete",
    b"D": "DataRow",
    b"E": "ErrorResponse",
    b"G": "CopyInResponse",
    b"H": "CopyOutResponse",
    b"I": "EmptyQueryResponse",
    b"K": "BackendKeyData",
    b"N": "NoticeResponse",
    b"R": "Authentication",
    b"S": "ParameterStatus",
    b"T": "RowDescription",
    b"V": "FunctionCallResponse",
    b"Z": "ReadyForQuery",
    b"c": "CopyDone",
    b"d": "CopyData",
    b"n": "NoData",
    b"s": "PortalSuspended",
    b"t": "ParameterDescription",
    b"v": "NegotiateProtocolVersion",
}


class Message(NamedTuple):
    """`body` is without type and length; the whole message is the bytes from `start` to before `end`."""

    name: str
    body: bytes
    start: int
    end: int


@dataclass(slots=True)
class Query:
    """A statement: its text, where the client's messages for it are, and the server's.

    `start` to `end`: Query; or Parse (or Bind, for a statement prepared before) to Sync.
    `response_start` to `response_end`: up to ReadyForQuery; both 0 where the capture ends before it.
    `tag` is what CommandComplete said ("SELECT 1"), `error` the text of an ErrorResponse.
    """

    sql: str
    start: int
    end: int
    response_start: int = 0
    response_end: int = 0
    rows: int = 0
    tag: str = ""
    error: str = ""

    @property
    def traceparent(self) -> str:
        """The W3C traceparent in the statement's text (sqlcommenter puts it in a comment), or ""."""
        found = _TRACEPARENT.search(self.sql)
        return found[0] if found else ""


@dataclass(slots=True)
class Conversation:
    """`parameters` are the start-up message's (user, database). `unread` says why reading stopped early."""

    parameters: dict[str, str] = field(default_factory=dict)
    queries: list[Query] = field(default_factory=list)
    unread: str = ""


def converse(client: bytes, server: bytes) -> Conversation:
    """Reads a connection from its start. Never raises for what the bytes hold: see `unread`."""
    found = Conversation()
    try:
        client_start, server_start = _start_up(client, server, found)
        turns = _turns(_messages(client, client_start, _FRONTEND), found)
        answers = _answers(_messages(server, server_start, _BACKEND))
        next(answers, None)  # up to the first ReadyForQuery: the start-up itself
        for turn in turns:
            answer = next(answers, [])
            _join(turn, answer)
    except _UnreadableError as error:
        found.unread = str(error)
    return found


class Messages(NamedTuple):
    """All whole messages of both sides. `unread` says why reading stopped early."""

    client: tuple[Message, ...]
    server: tuple[Message, ...]
    unread: str


def messages(client: bytes, server: bytes, *, within: bool = False) -> Messages | None:
    """Every message by name; None where the client doesn't begin as PostgreSQL's does.

    `within`: the streams begin later in the connection, each with a whole message.
    """
    asked = answered = 0
    if not within:
        try:
            asked, answered = _start_up(client, server, Conversation())
        except _UnreadableError:
            return None
    sent, said = list[Message](), list[Message]()
    if asked:
        sent.append(Message("StartupMessage", client[8:asked], 0, asked))
    unread = ""
    for data, start, names, into in ((client, asked, _FRONTEND, sent), (server, answered, _BACKEND, said)):
        try:
            for message in _messages(data, start, names):
                into.append(message)
        except _UnreadableError as error:
            unread = unread or str(error)
    return Messages(tuple(sent), tuple(said), unread)


class _UnreadableError(Exception):
    """Why a stream can't be read further; its text goes to the user."""


def _start_up(client: bytes, server: bytes, found: Conversation) -> tuple[int, int]:
    """Where both streams' typed messages start, after encryption was asked for and refused."""
    position = asked = 0
    while len(client) >= position + 8:
        length, code = struct.unpack_from(">II", client, position)
        if not 8 <= length <= 10_000:
            break
        body = client[position + 8 : position + length]
        position += length
        if code in (_SSL_REQUEST, _GSS_REQUEST):
            if server[asked : asked + 1] not in (b"N", b""):
                raise _UnreadableError("the connection is encrypted")
            asked += 1
        elif code >> 16 == _VERSION_3:
            words = [word.decode(errors="replace") for word in body.rstrip(b"\0").split(b"\0")]
            found.parameters = dict(zip(words[::2], words[1::2], strict=False))
            return position, asked
        else:
            break
    raise _UnreadableError("the client's stream does not start with a PostgreSQL start-up message")


def _messages(data: bytes, position: int, names: dict[bytes, str]) -> Iterator[Message]:
    """The whole messages. Raises _UnreadableError at what is none."""
    while position + 5 <= len(data):
        kind, length = data[position : position + 1], int.from_bytes(data[position + 1 : position + 5], "big")
        if kind not in names or not 4 <= length <= _LARGEST:
            raise _UnreadableError(f"byte {position} is not the start of a PostgreSQL message")
        end = position + 1 + length
        if end > len(data):
            return
        yield Message(names[kind], data[position + 5 : end], position, end)
        position = end


def _turns(messages: Iterator[Message], found: Conversation) -> Iterator[list[Query]]:
    """The queries between two moments at which the server says ReadyForQuery: one, or a pipeline of them.

    They are put into `found` as they are seen.
    """
    statements: dict[bytes, str] = {}  # name ─► text
    parsed: dict[bytes, int] = {}  # name ─► start of a Parse that no Bind has used yet
    portals: dict[bytes, tuple[str, int]] = {}
    turn: list[Query] = []
    for message in messages:
        words = message.body.split(b"\0", 2)
        match message.name:
            case "Query":
                turn.append(Query(_text(words[0]), message.start, message.end))
            case "Parse" if len(words) > 1:
                statements[words[0]] = _text(words[1])
                parsed[words[0]] = message.start
            case "Bind" if len(words) > 1:
                start = parsed.pop(words[1], message.start)
                portals[words[0]] = statements.get(words[1], ""), start
            case "Execute":
                turn.append(Query(*portals.get(words[0], ("", message.start)), message.end))
        found.queries.extend(turn[-1:] if message.name in ("Query", "Execute") else [])
        if message.name in ("Query", "Sync", "FunctionCall"):
            for query in turn:
                query.end = message.end
            yield turn
            turn = []


def _answers(messages: Iterator[Message]) -> Iterator[list[Message]]:
    """The messages up to and with each ReadyForQuery."""
    answer: list[Message] = []
    for message in messages:
        answer.append(message)
        if message.name == "ReadyForQuery":
            yield answer
            answer = []


def _join(turn: list[Query], answer: list[Message]) -> None:
    """Gives each query of a turn its part of the answer, in order; the last has what is left."""
    if not turn or not answer:
        return
    waiting = list(turn)
    query = waiting.pop(0)
    query.response_start = answer[0].start
    for message in answer:
        query.response_end = message.end
        if message.name == "DataRow":
            query.rows += 1
        elif message.name == "ErrorResponse":
            query.error = _error_text(message.body)
        elif message.name in ("CommandComplete", "EmptyQueryResponse", "PortalSuspended"):
            query.tag = _text(message.body.rstrip(b"\0"))
            if waiting:
                query = waiting.pop(0)
                query.response_start = message.end


def _error_text(body: bytes) -> str:
    """Severity, SQLSTATE and message of an ErrorResponse: fields S, C and M."""
    fields = {piece[:1]: _text(piece[1:]) for piece in body.split(b"\0") if piece}
    return " ".join(fields[key] for key in (b"S", b"C", b"M") if key in fields)


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
