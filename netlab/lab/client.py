"""A lab as the command line and scenarios see it: its control socket and its state directory."""

from __future__ import annotations

import math
import select
import socket
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from netlab.errors import LabError
from netlab.lab import state
from netlab.lab.control import Lines, Message, converse, decode, decode_error, encode
from netlab.model.event import Event

if TYPE_CHECKING:  # pydantic costs more than the rest of `netlab ps`
    import threading

    from netlab.lab.link_client import LinkClient
    from netlab.lab.live_client import LiveCapture
    from netlab.model.roles import RoleSpec

_ANSWER_S = 30.0
_END_S = 15.0
_LONG_S = 20 * 86_400.0  # about what poll(2) can wait
_POLL_S = 0.02  # how soon a server hears that it may end


class LabClient:
    """Synchronous. Every call is a connection of its own, so that one that is given up disturbs no other."""

    def __init__(self, name: str, root: Path = state.ROOT, boss: socket.socket | None = None) -> None:
        """Use `connect`. `boss`: the lab ends when this socket does (see `netlab.lab.up.up`)."""
        self.name = name
        self.state = root / name
        self._boss = boss

    @classmethod
    def connect(cls, name: str = "", root: Path = state.ROOT) -> Self:
        """The lab of this name; without a name, the only one there is.

        Raises LabError where there is none, or several and no name, or where it is dead.
        """
        state.require_root()
        found = {directory.name: alive for directory, _, alive in state.all_labs(root)}
        name = name or _only(found)
        if name not in found:
            up = ", ".join(known for known, alive in found.items() if alive) or "none"
            raise LabError(f"there is no lab {name!r}", f"labs that are up: {up}")
        if not found[name]:
            raise LabError(f"the lab {name!r} is dead: its supervisor was killed", "netlab gc")
        return cls(name, root)

    def status(self) -> dict[str, Any]:
        """What `netlab ps --json` prints (docs/architecture.md)."""
        status: dict[str, Any] = self.ask({"op": "status"})
        return status

    def run(self, node: str, spec: RoleSpec, timeout_s: float = 60) -> list[Event]:
        """Run a role in a node until it ends; its events. Raises RoleError if it fails.

        LabError where it takes longer than `timeout_s`; it is killed then.
        """
        request = {"op": "run", "node": node, "spec": spec.model_dump(mode="json", by_alias=True)}
        answers = self.converse(request, timeout_s)
        return [Event.from_line(answer["progress"]) for answer in answers if "progress" in answer]

    def serve(self, node: str, spec: RoleSpec, stop: threading.Event) -> Generator[Event, None, None]:
        """Run a role in a node until `stop` is set, then drain it; its events as they come.

        Raises RoleError if it fails.
        """
        request = {"op": "run", "node": node, "spec": spec.model_dump(mode="json", by_alias=True)}
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            self._connect(connection)
            connection.sendall(encode(request))
            lines = Lines()
            told, deadline = False, math.inf
            while time.monotonic() < deadline:
                if stop.is_set() and not told:
                    connection.sendall(encode({"op": "finish"}))
                    told, deadline = True, time.monotonic() + _END_S
                if not select.select([connection], [], [], _POLL_S)[0]:
                    continue
                data = connection.recv(65536)
                if not data:
                    raise LabError("the lab ended while it ran a role", "see: netlab ps")
                for answer in map(decode, lines.receive(data)):
                    if "error" in answer:
                        raise decode_error(answer["error"])
                    if "ok" in answer:
                        return
                    yield Event.from_line(answer["progress"])
        raise LabError(f"{node}: the {spec.kind} did not end within {_END_S:.0f} s")

    def restart(self, node: str, role: str, timeout_s: float = 30) -> None:
        """End a role and start it again, cold; returns when it is ready. Raises RoleError if it fails."""
        for _ in self.converse({"op": "restart", "node": node, "role": role}, timeout_s):
            pass

    def role(self, role: str) -> list[dict[str, Any]]:
        """The roles of a NODE, or the one that NODE.ROLE names: node, role, kind, state, pid, status, spec,
        and the settings that have been changed since it started. Raises InputError where there is none."""
        found: list[dict[str, Any]] = self.ask({"op": "role-show", "role": role})
        return found

    def set_role(self, role: str, settings: Mapping[str, str]) -> dict[str, Any]:
        """Change settings of a running role, until it ends; the role, with their values "before".

        `role`: NODE.ROLE, or NODE where it has one role. Raises InputError where it is unknown or knows no
        such setting, LabError where it does not run.
        """
        changed: dict[str, Any] = self.ask({"op": "role-set", "role": role, "settings": dict(settings)})
        return changed

    def fault(self, words: Sequence[str], for_s: float | None = None) -> dict[str, Any]:
        """Begin a fault (`netlab.model.fault`); returns it when it is there: id, fault (its words), node,
        role, since and until (seconds since 1970, None: until it is cleared).

        Raises InputError where the lab can't have it, LabError where it could not begin.
        """
        request = {"op": "fault-begin", "words": list(words), "for_s": for_s, "hold": False}
        begun: dict[str, Any] = self.ask(request)
        return begun

    @contextmanager
    def holding_fault(self, words: Sequence[str]) -> Generator[tuple[dict[str, Any], Callable[[], None]]]:
        """A fault that lasts as long as this context, and at most as long as this process. It is undone when
        the context is left: a role that was killed is ready again.

        Gives what `fault` returns, and a call that returns when somebody else has ended it.
        """
        request = {"op": "fault-begin", "words": list(words), "for_s": None, "hold": True}
        with closing(self.converse(request, _LONG_S)) as answers:
            begun = next(answers)["progress"]

            ended: list[Message] = []
            try:
                yield begun, lambda: ended.extend(answers)
            finally:
                if not ended:
                    self.clear_faults(begun["id"])

    def faults(self) -> list[dict[str, Any]]:
        """Those that there are, as `fault` returns them."""
        found: list[dict[str, Any]] = self.ask({"op": "fault-list"})
        return found

    def clear_faults(self, number: int | None = None) -> list[dict[str, Any]]:
        """Undo the fault of this id, or all of them; what was undone, when it is. One that has ended before
        is none."""
        cleared: list[dict[str, Any]] = self.ask({"op": "fault-clear", "id": number})
        return cleared

    def start_capture(
        self,
        directory: Path,
        interfaces: Sequence[str] = (),
        capture_filter: str = "",
        snaplen: int = 0,
        ring: str = "",
    ) -> dict[str, Any]:
        """Record `node`s and `node:interface`s (patterns; all, if none is named) into `directory`.

        Returns when it records: id, directory, interfaces, filter, snaplen, ring, started, state. `snaplen`:
        bytes kept of each frame, 0 for all. `ring`: SIZE×COUNT, what stays of each interface, or all.
        Raises InputError where a pattern names nothing, or the filter or the ring is none.
        """
        request = {
            "op": "capture-start",
            "directory": str(directory.resolve()),
            "interfaces": list(interfaces),
            "filter": capture_filter,
            "ring": ring,
        }
        started: dict[str, Any] = self.ask(request | ({"snaplen": snaplen} if snaplen else {}))
        return started

    def stop_capture(self, number: int | None = None) -> list[dict[str, Any]]:
        """Per interface: node, interface, packets, dropped. Of the only capture, if none is named.

        Raises LabError where it failed before it was stopped.
        """
        ended = self.end_capture(number)
        if ended["counts"] is None:
            raise LabError(f"the capture failed: {ended['cause']}")
        counts: list[dict[str, Any]] = ended["counts"]
        return counts

    def end_capture(self, number: int | None = None) -> dict[str, Any]:
        """As `stop_capture`, but a capture that failed is told: what `start_capture` returned, with "counts"
        (None then) and "cause". Its pcap files are there in both cases."""
        ended: dict[str, Any] = self.ask({"op": "capture-stop", "id": number})
        return ended

    @contextmanager
    def live_capture(
        self,
        interfaces: Sequence[str],
        capture_filter: str,
        snaplen: int,
        said: Mapping[str, object],
    ) -> Generator[LiveCapture]:
        """A stream of pcapng that lives as long as this context. Arguments are as of `start_capture`; `said`:
        "names", "descriptions" and "speeds" of the operation capture-live."""
        from netlab.lab.live_client import LiveCapture

        request = {"op": "capture-live", "interfaces": list(interfaces), "filter": capture_filter, **said}
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            self._connect(connection)
            capture = LiveCapture(connection, request | ({"snaplen": snaplen} if snaplen else {}))
            with closing(capture):
                yield capture

    def captures(self) -> list[dict[str, Any]]:
        """Those that run, as `start_capture` returns them."""
        found: list[dict[str, Any]] = self.ask({"op": "capture-list"})
        return found

    def namespace(self, node: str) -> int:
        """A descriptor of the node's network namespace; the caller closes it."""
        return self.open_node(node)[0]

    def open_node(self, node: str) -> tuple[int, Path]:
        """The node's namespace, as `namespace`, and the directory of its private files."""
        for answer in self.converse({"op": "namespace", "node": node}, _ANSWER_S):
            if "descriptor" in answer:
                return int(answer["descriptor"]), Path(answer["ok"]["files"])
        raise LabError(f"the lab gave no namespace for {node}")

    def link(self, end: str) -> LinkClient:
        """The link that ends at this `node:interface`, or at this node if it has only one."""
        from netlab.lab.link_client import LinkClient

        return LinkClient(self, end)

    def links(self) -> list[dict[str, Any]]:
        """Every link, as `LinkClient.show` has it."""
        found: list[dict[str, Any]] = self.ask({"op": "link-show"})
        return found

    def link_stats(self) -> dict[str, Any]:
        """What the relay counted. "links": per relayed link its name under "link", and counters under "up"
        and "down". "totals": frames, bytes, lost, overlimit, late, unable (those that belong to no link that
        can be known included) and in_flight; None where there is no relay. See docs/links.md."""
        stats: dict[str, Any] = self.ask({"op": "link-stats"})
        return stats

    def down(self) -> None:
        """Take the lab down; returns when its supervisor has ended and with it all there was."""
        record = state.read_record(self.state)
        try:
            self.ask({"op": "down"})
        except LabError as error:
            if not isinstance(error.__cause__, OSError):  # else it is on its way out already
                raise
        if record is not None and not state.wait_for_end(record.owner, _END_S):
            raise LabError(
                f"the lab {self.name!r} did not end within {_END_S:.0f} s", f"kill -9 {record.owner.pid}"
            )
        state.remove_if_dead(self.state)

    def release(self) -> None:
        """Let the lab live on when this process ends (see `netlab.lab.up.up`, `leashed`)."""
        if self._boss is not None:
            self._boss.sendall(b"+")
            self._boss.close()
            self._boss = None

    # The state directory.

    def events_size(self) -> int:
        """How many bytes of events there are by now: where `events_since` may start later."""
        path = self.state / "events.jsonl"
        return path.stat().st_size if path.exists() else 0

    def events_since(self, offset: int = 0) -> list[Event]:
        """The events that were written from this byte on, in the order of their arrival."""
        path = self.state / "events.jsonl"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(offset)
            return [Event.from_line(line) for line in file if line.endswith(b"\n")]

    def keys(self) -> str:
        """The TLS secrets of all roles until now (NSS key log format)."""
        paths = sorted((self.state / "keys").glob("*.keys"))
        return "".join(path.read_text(encoding="ascii", errors="replace") for path in paths)

    def qlogs(self) -> dict[str, str]:
        """The QUIC connections that have ended, by NODE.ROLE: a qlog document per line."""
        paths = sorted((self.state / "qlog").glob("*.qlog"))
        return {path.stem: text for path in paths if (text := path.read_text(encoding="utf-8"))}

    # The control socket.

    def ask(self, request: Message) -> Any:
        """One request, and what the lab answers to it under "ok"."""
        for answer in self.converse(request, _ANSWER_S):
            if "ok" in answer:
                return answer["ok"]
        raise LabError("the lab gave no answer", "see: netlab ps")

    def converse(self, request: Message, timeout_s: float) -> Generator[Message, None, None]:
        """One request, and every answer to it as it comes."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            self._connect(connection)
            try:
                yield from converse(connection, request, time.monotonic() + timeout_s)
            except TimeoutError:
                what = request["op"]
                raise LabError(f"the lab did not answer {what!r} within {timeout_s:g} s") from None

    def _connect(self, connection: socket.socket) -> None:
        try:
            connection.connect(str(self.state / "control.sock"))
        except OSError as error:
            cause = f"the lab {self.name!r} does not answer: it is only starting, or ending"
            raise LabError(cause, "see: netlab ps") from error


def _only(found: dict[str, bool]) -> str:
    up = [name for name, alive in found.items() if alive]
    if len(up) == 1:
        return up[0]
    if up:
        raise LabError(f"several labs are up: {', '.join(up)}", "say which one you mean")
    raise LabError("no lab is up", "netlab up FILE")


def labs(root: Path = state.ROOT) -> list[dict[str, Any]]:
    """Every lab there is: name, state ("up" or "dead"), pid, topology, created (seconds since 1970).

    HostError without root: only root may look into their directories.
    """
    state.require_root()
    found = []
    for directory, record, alive in state.all_labs(root):
        entry: dict[str, Any] = {"name": directory.name, "state": "up" if alive else "dead"}
        if record is not None:
            entry |= {"pid": record.owner.pid, "topology": record.topology, "created": record.created}
        found.append(entry)
    return found


def gc(root: Path = state.ROOT) -> list[str]:
    """Remove what dead labs left: their state directories. Their names.

    The kernel did the rest when their supervisors died (docs/architecture.md).
    """
    state.require_root()
    return [
        directory.name
        for directory, _, alive in state.all_labs(root)
        if not alive and state.remove_if_dead(directory)
    ]
