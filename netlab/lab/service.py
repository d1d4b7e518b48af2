"""The control socket's side of the supervisor: who may ask, and what each request does."""

from __future__ import annotations

import socket
from collections.abc import Callable

from pydantic import TypeAdapter, ValidationError

from netlab.errors import HostError, InputError, LabError, NetlabError
from netlab.lab.capturing import CaptureService
from netlab.lab.connection import Connection, peer_uid
from netlab.lab.control import Message, decode
from netlab.lab.fault_service import FaultService
from netlab.lab.link_service import LinkService
from netlab.lab.report import status_of
from netlab.lab.role_service import RoleService
from netlab.lab.roster import RoleProcess, RoleState
from netlab.lab.supervisor import Supervisor
from netlab.model.event import Event
from netlab.model.roles import RoleSpec
from netlab.plan.build import certified

_SPEC: TypeAdapter[RoleSpec] = TypeAdapter(RoleSpec)


class Service:
    """Listens on the control socket from the start, so that a lab that is coming up can be taken down."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._lab = supervisor
        self._loop = supervisor.loop
        self._captures = CaptureService(supervisor)
        self._faults = FaultService(supervisor)
        self._one_shots: dict[Connection, OneShot] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(supervisor.order.directory / "control.sock"))
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._loop.watch(self._listener, self._accept)
        self._operations: dict[str, Callable[[Connection, Message], None]] = {
            "status": self._status,
            "down": self._down,
            "run": self._run,
            "finish": self._finish,
            "namespace": self._namespace,
            **self._captures.operations,
            **LinkService(supervisor).operations,
            **RoleService(supervisor).operations,
            **self._faults.operations,
        }

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        connection = Connection(sock)
        if peer_uid(sock) != 0:
            connection.error(HostError("only root may control a lab", "run it with sudo"))
            connection.close()
            return
        self._loop.watch(sock, lambda: self._readable(connection))

    def _readable(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(65536)
            for line in connection.lines.receive(data):
                self._dispatch(connection, line)
        except (OSError, ValueError):  # reset; or no end of a line for megabytes
            data = b""
        if not data:
            self._loop.unwatch(connection.socket)
            connection.close()

    def _dispatch(self, connection: Connection, line: bytes) -> None:
        try:
            request = decode(line)
            operation = self._operations.get(str(request.get("op")))
            if operation is None:
                known = ", ".join(self._operations)
                raise InputError(f"unknown operation {request.get('op')!r}", f"known: {known}")
            operation(connection, request)
        except (KeyError, TypeError, ValueError) as error:
            connection.error(InputError(f"bad request: {error!r}"))
        except NetlabError as error:
            connection.error(error)

    # One method per operation. What can't be answered at once is answered from a callback.

    def _status(self, connection: Connection, _: Message) -> None:
        self._lab.links.counters(lambda counted: connection.ok(status_of(self._lab, counted)))

    def _down(self, connection: Connection, _: Message) -> None:
        connection.ok({"pid": self._lab.order.pid})
        self._lab.stop()

    def _namespace(self, connection: Connection, request: Message) -> None:
        node = self._node(request)
        files = self._lab.files.of(node)
        connection.ok({"files": str(files)}, self._lab.kernel.namespace(node))

    def _node(self, request: Message) -> str:
        node = str(request["node"])
        nodes = self._lab.order.topology.nodes
        if node not in nodes:
            raise LabError(f"the lab has no node {node!r}", f"it has {', '.join(nodes)}")
        return node

    def _run(self, connection: Connection, request: Message) -> None:
        node = self._node(request)
        try:
            spec = _SPEC.validate_python(request["spec"])
        except ValidationError as error:
            raise InputError(f"not the spec of a role: {error}") from error
        if self._lab.phase != "up":
            raise LabError(f"the lab is {self._lab.phase}", "wait until netlab ps shows it as up")
        name = self._role_name(node, spec.kind)
        process = RoleProcess(node, name, spec, certified(spec), one_shot=True)
        shot = OneShot(self._lab, process, connection)
        self._one_shots[connection] = shot
        connection.on_close.append(lambda: self._one_shots.__delitem__(connection))
        shot.start()

    def _finish(self, connection: Connection, _: Message) -> None:
        """After `run` on the same connection: SIGTERM, so that a server drains and ends."""
        if connection not in self._one_shots:
            raise LabError("nothing was run on this connection", "send `run` first")
        self._one_shots[connection].finish()

    def _role_name(self, node: str, kind: str) -> str:
        """The name of the node's role of this kind, so that its log is where one looks for it."""
        same = [role for role in self._lab.roles if role.node == node and role.spec.kind == kind]
        return same[0].role if same and same[0].state is RoleState.ON_DEMAND else f"{kind}-run"

    def end(self) -> None:
        """The lab ends: captures that still run are finished first, so that their files are whole."""
        self._loop.unwatch(self._listener)
        self._listener.close()
        self._captures.end()
        self._faults.end()


class OneShot:
    """A role that `run` starts: its events go to who asked, as they come, and then how it ended."""

    def __init__(self, lab: Supervisor, process: RoleProcess, connection: Connection) -> None:
        self._lab = lab
        self._process = process
        self._connection = connection
        self._runner = lab.need_runner()

    def start(self) -> None:
        self._runner.listeners.append(self._heard)
        self._runner.ended.append(self._ended)
        self._connection.on_close.append(self._abandon)
        try:
            self._lab.start_role(self._process)
        except BaseException:  # whatever it was: nobody may be told of a role that did not start
            self._forget()
            raise

    def finish(self) -> None:
        self._runner.terminate(self._process)

    def _forget(self) -> None:
        if self._heard in self._runner.listeners:
            self._runner.listeners.remove(self._heard)
            self._runner.ended.remove(self._ended)

    def _heard(self, process: RoleProcess, events: list[Event]) -> None:
        if process is self._process:
            for event in events:
                self._connection.progress(event.to_line())

    def _ended(self, process: RoleProcess) -> None:
        if process is not self._process:
            return
        self._forget()
        if process.exit_code == 0:
            self._connection.ok({"status": process.status})
        else:
            self._connection.error(self._lab.role_error(process, process.status))

    def _abandon(self) -> None:
        self._runner.stop(self._process)
