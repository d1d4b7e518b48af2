"""What the control socket speaks: a JSON document per line, descriptors beside them, errors as data."""

from __future__ import annotations

import json
import socket
import time
import traceback
from collections.abc import Iterator
from typing import Any

from netlab import errors
from netlab.errors import KernelError, LabError, NetlabError, RoleError

Message = dict[str, Any]
MAX_REQUEST = 16 * 1024 * 1024  # bytes in one line; a peer that sends more is cut off
_BUG = "bug"


class Lines:
    """Bytes ─► lines. Feed what arrives, in any pieces; a line too long raises ValueError."""

    def __init__(self, limit: int = MAX_REQUEST) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def receive(self, data: bytes) -> Iterator[bytes]:
        """The lines that are now whole, without their newline."""
        searched = len(self._buffer)
        self._buffer += data
        while (end := self._buffer.find(b"\n", searched)) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            searched = 0
            yield line
        if len(self._buffer) > self._limit:
            raise ValueError(f"a line of more than {self._limit} bytes")

    def rest(self) -> bytes:
        """What came after the last newline."""
        return bytes(self._buffer)


def encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":"), default=str).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Raises ValueError where the line is no JSON object."""
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError(f"not a JSON object: {found!r}")  # noqa: TRY004 - a line's content is wrong
    return found


def encode_error(error: BaseException) -> Message:
    """An exception as an answer. What is not the user's or the machine's fault goes with its traceback."""
    if isinstance(error, KernelError):
        fields: dict[str, Any] = {
            "operation": error.operation,
            "errno": error.errno,
            "extack": error.extack,
            "remedy": error.remedy,
        }
    elif isinstance(error, RoleError):
        fields = {
            "node": error.node,
            "role": error.role,
            "status": error.status,
            "last_lines": list(error.last_lines),
        }
    elif isinstance(error, NetlabError):
        fields = {}
    else:
        fields = {"traceback": "".join(traceback.format_exception(error))}
        return {"error": {"kind": _BUG, "cause": repr(error), "remedy": "", "fields": fields}}
    cause = {"kind": type(error).__name__, "cause": error.cause, "remedy": error.remedy}
    return {"error": cause | {"fields": fields}}


def decode_error(document: Message) -> Exception:
    """The exception of an answer's "error"; RuntimeError for a bug on the other side."""
    fields = document.get("fields", {})
    match document["kind"]:
        case "KernelError":
            return KernelError(**fields)
        case "RoleError":
            return RoleError(**(fields | {"last_lines": tuple(fields["last_lines"])}))
        case kind if kind == _BUG:
            return RuntimeError(f"the supervisor failed: {document['cause']}\n{fields['traceback']}")
        case kind:
            known = getattr(errors, str(kind), LabError)
            return _plain(known, str(document["cause"]), str(document.get("remedy", "")))


def _plain(kind: Any, cause: str, remedy: str) -> NetlabError:
    plain = isinstance(kind, type) and issubclass(kind, NetlabError)
    made = kind(cause, remedy) if plain and kind.__init__ is NetlabError.__init__ else LabError(cause, remedy)
    assert isinstance(made, NetlabError)
    return made


def converse(connection: socket.socket, request: Message, deadline: float) -> Iterator[Message]:
    """Send a request, and yield the answers up to the last (with "ok"). Raises the peer's error, and
    TimeoutError where the last one has not come by the deadline (monotonic seconds).

    An answer that comes with a descriptor has it under "descriptor". Raises LabError where the lab ends
    before it answers.
    """
    lines = Lines()
    try:
        connection.sendall(encode(request))
        while True:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            data, descriptors, _, _ = socket.recv_fds(connection, 65536, 1)
            for line in lines.receive(data):
                answer = decode(line)
                if "error" in answer:
                    raise decode_error(answer["error"])
                if descriptors:
                    answer["descriptor"] = descriptors[0]
                yield answer
                if "ok" in answer:
                    return
            if not data:
                raise LabError("the lab ended before it answered", "see: netlab ps")
    except (BrokenPipeError, ConnectionResetError) as error:
        raise LabError("the lab ended before it answered", "see: netlab ps") from error
