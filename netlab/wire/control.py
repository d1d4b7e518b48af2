"""The relay's control socket: a JSON object per line in, one per line out.

`{"op": "stats"}` gives counters, `{"op": "show"}` the impairments in force and whether links are plugged in.
`{"op": "set", "link": NAME, "up": {…}, "down": {…}}` changes fields of an impairment's `document()`, for
frames that come from then on. `{"op": "carrier", "link": NAME, "up": false}` pulls the link's cable.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, Final, TypeGuard

from netlab.errors import InputError
from netlab.model.distributions import NAMES
from netlab.model.impairment import Impairment, from_document
from netlab.wire.engine import Machine

_PERFECT: Final = Impairment().document()
_SIGNED: Final = {"rate_overhead_bytes", "cell_overhead_bytes"}  # the only ones that may be negative
_SHARES: Final = {"loss", "duplicate", "corrupt", "reorder"} | {
    field.name for field in fields(Impairment) if field.name.endswith("_correlation")
}
_OBJECTS: Final = ("loss_model", "slot")
_ANSWERS_BYTES = 4 << 20  # unread answers at most; a thousand links' counters are some 200 kB
Links = dict[str, tuple[Machine, Machine]]


def changed(impairment: Impairment, given: object) -> Impairment:
    """`impairment` with the fields of `given`. Raises InputError that names what is wrong."""
    if not isinstance(given, dict):
        raise InputError(f"an impairment is an object, not {given!r}")
    for name, value in given.items():
        if name not in _PERFECT:
            raise InputError(f"unknown impairment {name!r}", f"known: {', '.join(_PERFECT)}")
        _check(name, value)
    try:
        new = from_document(impairment.document() | given)
    except TypeError as error:
        raise InputError(f"wrong fields of an impairment: {error}") from error
    if not new.table and new.distribution not in NAMES:
        raise InputError(
            f"unknown distribution {new.distribution!r}", f"known: {', '.join(NAMES)}, or a table"
        )
    if new.cell_bytes and new.cell_bytes + new.cell_overhead_bytes <= 0:
        raise InputError("a cell has more bytes than cell_overhead_bytes takes away")
    return new


def _check(name: str, value: object) -> None:
    """Raises InputError where a field can't have this value."""
    if name == "table":
        if not isinstance(value, list) or not all(_whole(entry) for entry in value):
            raise InputError("table is a list of whole numbers")
    elif name in _OBJECTS:
        if value is not None and not isinstance(value, dict):
            raise InputError(f"{name} is an object or null, not {value!r}")
        for key, one in (value or {}).items():
            _check_number(key, one, share=name == "loss_model")
    elif name == "seed":
        if value is not None and not _whole(value):
            raise InputError(f"seed is a whole number or null, not {value!r}")
    elif isinstance(_PERFECT[name], bool | str):
        if type(value) is not type(_PERFECT[name]):
            raise InputError(
                f"{name} is {'a name' if name == 'distribution' else 'true or false'}, not {value!r}"
            )
    else:
        _check_number(name, value, share=name in _SHARES)


def _check_number(name: str, value: object, *, share: bool) -> None:
    if share:
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise InputError(f"{name} is a probability from 0 to 1, not {value!r}")
    elif not _whole(value) or (value < 0 and name not in _SIGNED):
        raise InputError(f"{name} is a whole number of at least 0, not {value!r}")


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


class Requests:
    """Answers requests, and changes machines as they ask.

    `dropped` and `in_flight` count frames; `plug` is told a link's name and whether it is to have a carrier,
    and raises OSError.
    """

    def __init__(
        self,
        links: Links,
        dropped: Callable[[], int],
        in_flight: Callable[[], int],
        plug: Callable[[str, bool], None],
    ) -> None:
        self._plug = plug
        self._links = links
        self._dropped = dropped
        self._in_flight = in_flight

    def reply(self, line: bytes) -> dict[str, Any]:
        """The answer to one line: `ok`, or `error` with kind, cause and remedy."""
        try:
            return {"ok": self._do(json.loads(line))}
        except OSError as error:
            return {"error": {"kind": "KernelError", "cause": str(error), "remedy": ""}}
        except (InputError, ValueError) as error:
            remedy = error.remedy if isinstance(error, InputError) else ""
            return {"error": {"kind": "InputError", "cause": str(error), "remedy": remedy}}

    def _do(self, request: object) -> dict[str, Any]:
        match request:
            case {"op": "stats"}:
                return self._stats()
            case {"op": "show"}:
                return {"links": {name: _shown(*machines) for name, machines in self._links.items()}}
            case {"op": "set", "link": str(name), **directions}:
                return self._set(name, directions)
            case {"op": "carrier", "link": str(name), "up": bool(up)}:
                self._machines(name)
                self._plug(name, up)
                return {"up": up}
        raise InputError(f"unknown request {request!r}", "the relay knows stats, show, set and carrier")

    def _machines(self, name: str) -> tuple[Machine, Machine]:
        if name not in self._links:
            raise InputError(f"no link {name!r}", f"links: {', '.join(self._links)}")
        return self._links[name]

    def _stats(self) -> dict[str, Any]:
        links = {
            name: {"up": asdict(up.counters), "down": asdict(down.counters)}
            for name, (up, down) in self._links.items()
        }
        return {"links": links, "unable": self._dropped(), "in_flight": self._in_flight()}

    def _set(self, name: str, directions: dict[Any, Any]) -> dict[str, Any]:
        up, down = self._machines(name)
        wrong = [key for key in directions if key not in {"up", "down"}]
        if wrong:
            raise InputError(f"no direction {wrong[0]!r}", "directions: up, down")
        # Both are checked before either changes.
        new_up = changed(up.impairment, directions.get("up", {}))
        new_down = changed(down.impairment, directions.get("down", {}))
        up.change(new_up)
        down.change(new_down)
        return {"up": new_up.document(), "down": new_down.document()}


def _shown(up: Machine, down: Machine) -> dict[str, Any]:
    return {"up": up.impairment.document(), "down": down.impairment.document(), "carrier": up.connected}


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
