"""The relay's control socket: a JSON object per line in, one per line out.

`{"op": "stats"}` gives counters; `{"op": "set", "link": NAME, "up": {…}, "down": {…}}` changes fields of
`netlab.model.Impairment` by name, for frames that come from then on.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any

from netlab.errors import InputError
from netlab.model.impairment import Impairment
from netlab.wire.engine import Machine

_FIELDS = {field.name: type(field.default) for field in fields(Impairment)}
_ANSWERS_BYTES = 4 << 20  # unread answers at most; a thousand links' counters are some 200 kB
Links = dict[str, tuple[Machine, Machine]]


def changed(impairment: Impairment, given: object) -> Impairment:
    """`impairment` with the fields of `given`. Raises InputError that names what is wrong."""
    if not isinstance(given, dict):
        raise InputError(f"an impairment is an object, not {given!r}")
    for name, value in given.items():
        kind = _FIELDS.get(name)
        if kind is None:
            raise InputError(f"unknown impairment {name!r}", f"known: {', '.join(_FIELDS)}")
        accepted = (int, float) if kind is float else (int,)
        if isinstance(value, bool) or not isinstance(value, accepted) or value < 0:
            raise InputError(f"{name} is a number of at least 0, not {value!r}")
    if not given.get("loss", 0) <= 1:  # so that it is true of NaN
        raise InputError(f"loss is a probability of at most 1, not {given['loss']!r}")
    return replace(impairment, **given)


class Requests:
    """Answers requests, and changes machines as they ask. `dropped` and `in_flight` count frames."""

    def __init__(self, links: Links, dropped: Callable[[], int], in_flight: Callable[[], int]) -> None:
        self._links = links
        self._dropped = dropped
        self._in_flight = in_flight

    def reply(self, line: bytes) -> dict[str, Any]:
        """The answer to one line: `ok`, or `error` with kind, cause and remedy."""
        try:
            return {"ok": self._do(json.loads(line))}
        except (InputError, ValueError) as error:
            remedy = error.remedy if isinstance(error, InputError) else ""
            return {"error": {"kind": "InputError", "cause": str(error), "remedy": remedy}}

    def _do(self, request: object) -> dict[str, Any]:
        match request:
            case {"op": "stats"}:
                return self._stats()
            case {"op": "set", "link": str(name), **directions}:
                return self._set(name, directions)
        raise InputError(f"unknown request {request!r}", "the relay knows stats and set")

    def _stats(self) -> dict[str, Any]:
        links = {
            name: {"up": asdict(up.counters), "down": asdict(down.counters)}
            for name, (up, down) in self._links.items()
        }
        return {"links": links, "unable": self._dropped(), "in_flight": self._in_flight()}

    def _set(self, name: str, directions: dict[Any, Any]) -> dict[str, Any]:
        if name not in self._links:
            raise InputError(f"no link {name!r}", f"links: {', '.join(self._links)}")
        wrong = [key for key in directions if key not in {"up", "down"}]
        if wrong:
            raise InputError(f"no direction {wrong[0]!r}", "directions: up, down")
        up, down = self._links[name]
        # Both are checked before either changes.
        new_up = changed(up.impairment, directions.get("up", {}))
        new_down = changed(down.impairment, directions.get("down", {}))
        up.change(new_up)
        down.change(new_down)
        return {"up": asdict(new_up), "down": asdict(new_down)}


class Control:
    """Reads requests, and writes answers."""

    def __init__(self, control: socket.socket, requests: Requests) -> None:
        control.setblocking(False)
        control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ANSWERS_BYTES)
        self._socket = control
        self._requests = requests
        self._pending = b""

    def ready(self) -> None:
        self._write({"ready": True})

    def answer(self) -> bool:
        """Read what came and answer every whole line; False at the end of file."""
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        *lines, self._pending = (self._pending + data).split(b"\n")
        return bool(data) and all(self._write(self._requests.reply(line)) for line in lines)

    def _write(self, document: dict[str, Any]) -> bool:
        """False where the peer is gone, or has left megabytes of answers unread: no link waits for it."""
        line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        try:
            self._socket.sendall(line)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError):
            return False
        return True
