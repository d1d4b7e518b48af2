"""The control socket's operations on captures: several of one lab run side by side."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlab.errors import InputError, LabError
from netlab.lab import helpers
from netlab.lab.connection import Connection
from netlab.lab.control import Message, decode_error
from netlab.lab.helpers import Helper
from netlab.model.suggest import nearest

if TYPE_CHECKING:
    import socket

    from netlab.capture.recorder import Target
    from netlab.lab.supervisor import Supervisor

SNAPLEN = 262_144  # libpcap's MAXIMUM_SNAPLEN: whole frames
_END_S = 3.0

Place = tuple[str, str]  # a node and its interface


@dataclass
class Recording:
    """One capture, from its start until it is stopped; its recorder may have died meanwhile."""

    number: int
    directory: Path | None  # None: it is live, a stream to who asked for it
    interfaces: list[Place]
    filter: str
    snaplen: int
    ring: str
    started: float  # seconds since 1970
    recorder: Helper

    def document(self) -> dict[str, Any]:
        return {
            "id": self.number,
            "directory": str(self.directory or ""),
            "live": self.directory is None,
            "interfaces": [f"{node}:{interface}" for node, interface in self.interfaces],
            "filter": self.filter,
            "snaplen": self.snaplen,
            "ring": self.ring,
            "started": self.started,
            "state": self.recorder.status or "running",
        }


class CaptureService:
    """One method per operation; what can't be answered at once is answered from a callback."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._lab = supervisor
        self._numbers = itertools.count(1)
        self._running: dict[int, Recording] = {}
        self.operations: dict[str, Callable[[Connection, Message], None]] = {
            "capture-start": self._start,
            "capture-live": self._live,
            "capture-stop": self._stop,
            "capture-list": self._list,
        }

    def _start(self, connection: Connection, request: Message) -> None:
        """{"directory", "interfaces": patterns, "filter", "snaplen", "ring": SIZE×COUNT}; answers with the
        capture's document."""
        from netlab.capture.files import ring_size
        from netlab.capture.recorder import serve

        chosen, expression, snaplen = self._wanted(request)
        text = str(request.get("ring", ""))
        ring = ring_size(text) if text else None
        directory = self._free(Path(str(request["directory"])))
        recorder = self._fork(
            chosen, lambda targets, channel: serve(targets, directory, snaplen, expression, channel, ring)
        )
        made = self._begun(directory, chosen, expression, snaplen, text, recorder)

        def answered(answer: Message) -> None:
            if "error" in answer:
                self._forget(made)
                connection.error(_failure(answer["error"]))
            else:
                connection.ok(made.document())

        recorder.expect(answered)

    def _live(self, connection: Connection, request: Message) -> None:
        """{"interfaces", "filter", "snaplen"} as of capture-start, and what the stream says of the lab:
        {"names": {name: addresses}, "descriptions", "speeds": by "node:interface"}.

        Answers with {"progress": document} and the stream's descriptor, and last, when it has ended, with
        "ok". It ends with the connection.
        """
        from netlab.capture import live

        chosen, expression, snaplen = self._wanted(request)
        described = live.Described(
            dict(request["names"]),
            dict(request["descriptions"]),
            dict(request["speeds"]),
            self._lab.order.directory / "keys",
        )
        read_end, write_end = os.pipe()
        recorder = self._fork(
            chosen,
            lambda targets, channel: live.serve(targets, snaplen, expression, channel, write_end, described),
            write_end,
        )
        os.close(write_end)
        made = self._begun(None, chosen, expression, snaplen, "", recorder)
        connection.on_close.append(lambda: self._finish(made))

        def ready(answer: Message) -> None:
            if "error" in answer:
                ended(answer)
            else:
                recorder.expect(ended)
                connection.progress(made.document(), read_end)
            os.close(read_end)

        def ended(answer: Message) -> None:
            self._forget(made)
            if "error" in answer:
                connection.error(_failure(answer["error"]))
            else:
                connection.ok(made.document() | {"counts": answer["stopped"]})

        recorder.expect(ready)

    def _finish(self, one: Recording) -> None:
        """Ends a live capture; who asked for it hears of its end."""
        if one.number in self._running:
            one.recorder.ask({"op": "stop"}, lambda _: None)

    def _begun(
        self,
        directory: Path | None,
        chosen: list[Place],
        expression: str,
        snaplen: int,
        ring: str,
        recorder: Helper,
    ) -> Recording:
        number, now = next(self._numbers), time.time()
        made = Recording(number, directory, chosen, expression, snaplen, ring, now, recorder)
        self._running[number] = made
        self._publish()
        return made

    def _wanted(self, request: Message) -> tuple[list[Place], str, int]:
        """The interfaces, filter and snaplen of a request, checked."""
        from netlab.capture.libpcap import check_filter

        chosen = chosen_interfaces(self._lab.order.plan.interfaces, list(request.get("interfaces", [])))
        expression, snaplen = str(request.get("filter", "")), int(request.get("snaplen", SNAPLEN))
        if not 0 < snaplen <= SNAPLEN:
            raise InputError(f"a snaplen of {snaplen} bytes", f"1 to {SNAPLEN}")
        check_filter(expression, snaplen)
        return chosen, expression, snaplen

    def _free(self, directory: Path) -> Path:
        """Two recorders must not write the same files."""
        for one in self._running.values():
            if one.directory == directory:
                raise LabError(
                    f"capture {one.number} writes to {directory}", "give another directory (--out)"
                )
        return directory

    def _fork(
        self, chosen: list[Place], body: Callable[[list[Target], socket.socket], object], *keep: int
    ) -> Helper:
        from netlab.capture.recorder import Target

        namespaces = [self._lab.kernel.namespace(node) for node, _ in chosen]
        targets = [
            Target(node, interface, namespace)
            for (node, interface), namespace in zip(chosen, namespaces, strict=True)
        ]
        helper = helpers.fork(
            "recorder", self._lab.loop, lambda channel: body(targets, channel), keep=[*namespaces, *keep]
        )
        self._lab.helpers.append(helper)
        helper.listen(self._lab.loop)
        return helper

    def _list(self, connection: Connection, _: Message) -> None:
        connection.ok([one.document() for one in self._running.values()])

    def _stop(self, connection: Connection, request: Message) -> None:
        """{"id"}, or the only one. Answers its document with "counts", or "cause" where it failed: the pcap
        files are there in both cases."""
        one = self._find(request.get("id"))

        def answered(answer: Message) -> None:
            cause = _cause(answer["error"], one.recorder) if "error" in answer else ""
            connection.ok(one.document() | {"counts": answer.get("stopped"), "cause": cause})

        self._end(one, answered)

    def _find(self, number: object) -> Recording:
        files = [one for one in self._running.values() if one.directory is not None]
        if number is None:
            if not files:
                raise LabError("no capture is running", "netlab capture start --out DIR")
            if len(files) > 1:
                known = ", ".join(str(one.number) for one in files)
                raise LabError(f"several captures are running: {known}", "say which one: its number")
            return files[0]
        found = self._running.get(number) if isinstance(number, int) else None
        if found is None:
            known = ", ".join(str(one) for one in self._running) or "none"
            raise LabError(f"there is no capture {number}", f"running: {known}")
        if found.directory is None:
            raise LabError(f"capture {number} is live", "it ends with its `netlab capture live`")
        return found

    def _end(self, one: Recording, answered: Callable[[Message], None]) -> None:
        self._forget(one)
        one.recorder.ask({"op": "stop"}, answered)

    def _forget(self, one: Recording) -> None:
        self._running.pop(one.number, None)
        self._publish()

    def _publish(self) -> None:
        self._lab.captures[:] = [one.document() for one in self._running.values()]

    def end(self) -> None:
        """The lab ends: captures that still run are finished first, so that their files are whole."""
        answers: list[Message] = []
        running = list(self._running.values())
        files = [one for one in running if one.directory is not None]
        for one in running:
            if one.directory is None:
                self._finish(one)
            else:
                self._end(one, answers.append)
        ended = lambda: len(answers) == len(files) and not self._running  # noqa: E731
        self._lab.loop.until(ended, time.monotonic() + _END_S)


def _failure(error: object) -> Exception:
    """What a recorder said, as it was raised there; its bare end as text."""
    return decode_error(error) if isinstance(error, dict) else LabError(f"the capture failed: {error}")


def _cause(error: object, recorder: Helper) -> str:
    """What a recorder told, or how it ended without a word."""
    return helpers.describe(error) if isinstance(error, dict) else recorder.status or str(error)


def chosen_interfaces(known: Sequence[tuple[str, str]], patterns: Sequence[str]) -> list[tuple[str, str]]:
    """The interfaces that patterns name: `node`, `node:interface`, with the wildcards of fnmatch(3), several
    in one with commas; all without a pattern. In the order of `known`. Raises InputError for one that
    matches nothing."""
    found: set[tuple[str, str]] = set()
    for pattern in [one.strip() for many in patterns for one in many.split(",")]:
        matched = {one for one in known if _matches(pattern, *one)}
        if not matched:
            raise InputError(f"no interface of the lab matches {pattern!r}", _suggestion(pattern, known))
        found |= matched
    return [one for one in known if one in found or not patterns]


def _matches(pattern: str, node: str, interface: str) -> bool:
    name = f"{node}:{interface}" if ":" in pattern else node
    return fnmatchcase(name, pattern)


def _suggestion(pattern: str, known: Sequence[tuple[str, str]]) -> str:
    whole = ":" in pattern
    return nearest(pattern, [f"{node}:{one}" if whole else node for node, one in known], "it has")
