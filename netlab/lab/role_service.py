"""The control socket's operations on roles that run: restart them, show and change their settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from netlab.errors import InputError, LabError
from netlab.lab.connection import Connection
from netlab.lab.control import Message, decode_error
from netlab.lab.restarting import Restart
from netlab.lab.roster import RoleProcess, RoleState, host_pid
from netlab.model.suggest import nearest

if TYPE_CHECKING:
    from netlab.lab.supervisor import Supervisor

_ANSWER_S = 10.0


class RoleService:
    """One method per operation. `role` in a request is a node, or node.role where it has several."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._lab = supervisor
        self.operations: dict[str, Callable[[Connection, Message], None]] = {
            "restart": self._restart,
            "role-show": self._show,
            "role-set": self._set,
        }

    def _restart(self, connection: Connection, request: Message) -> None:
        node, name = str(request["node"]), str(request["role"])
        roles = roles_of(self._lab, node)
        found = [role for role in roles if role.role == name]
        if not found:
            known = ", ".join(role.role for role in roles) or "none"
            raise LabError(f"node {node} has no role {name!r}", f"its roles: {known}")
        Restart(self._lab, found[0], connection).start()

    def _show(self, connection: Connection, request: Message) -> None:
        """{"role"}: a list, of all roles of the node where it names none of them."""
        node, name = split_role(self._lab, str(request["role"]))
        connection.ok([_document(role) for role in roles_of(self._lab, node) if name in ("", role.role)])

    def _set(self, connection: Connection, request: Message) -> None:
        """{"role", "settings": {key: value}}: answers with the role and with the values before."""
        settings = {str(key): str(value) for key, value in dict(request["settings"]).items()}
        process = find_role(self._lab, str(request["role"]))
        if not settings:
            raise InputError("no setting is given", f"netlab role set {request['role']} KEY=VALUE")
        if process.spec.kind == "command":
            raise InputError(
                f"{process.node}: role {process.role} is a program, whose settings netlab can't change",
                f"change the program's own, as by: netlab exec {process.node} -- COMMAND",
            )

        def answered(before: Any) -> None:
            process.settings.update(settings)
            connection.ok({**_document(process), "before": before})

        told = {"op": "set", "settings": settings, "nodes": self._lab.order.plan.addresses}
        ask_role(self._lab, process, told, answered, connection.error)


def split_role(lab: Supervisor, text: str) -> tuple[str, str]:
    """NODE.ROLE or NODE ─► node, and role or "". Raises InputError where there is no such node or role."""
    nodes = lab.order.topology.nodes
    node, role = text, ""
    if node not in nodes:
        node, _, role = text.rpartition(".")
    if node not in nodes:
        raise InputError(f"the lab has no node {text!r}", nearest(text, nodes, "it has"))
    known = [one.role for one in roles_of(lab, node)]
    if role and role not in known:
        raise InputError(f"node {node} has no role {role!r}", nearest(role, known, "its roles"))
    return node, role


def find_role(lab: Supervisor, text: str) -> RoleProcess:
    """The role that NODE.ROLE means, or NODE where it has only one; it runs.

    Raises InputError where none is meant or several are, LabError where it doesn't run.
    """
    node, name = split_role(lab, text)
    found = [role for role in roles_of(lab, node) if name in ("", role.role)]
    if not found:
        raise InputError(f"node {node} has no role", "name a node that has one (see: netlab ps)")
    if len(found) > 1:
        choices = ", ".join(f"{node}.{role.role}" for role in found)
        raise InputError(f"node {node} has several roles", f"say which one: {choices}")
    process = found[0]
    if process.state is not RoleState.READY:
        status = process.status or process.state
        raise LabError(f"{node}: role {process.role} does not run: {status}", "see: netlab ps")
    return process


def roles_of(lab: Supervisor, node: str) -> list[RoleProcess]:
    """Of the topology; those that `run` started aside."""
    return [role for role in lab.roles if role.node == node]


def ask_role(
    lab: Supervisor,
    process: RoleProcess,
    request: Message,
    done: Callable[[Any], object],
    failed: Callable[[Exception], object],
) -> None:
    """Ask a running role; `done` hears its answer, or `failed` why there is none (after ten seconds)."""
    heard: list[bool] = []

    def once(answer: Message) -> None:
        if heard:
            return
        heard.append(True)
        if "ok" in answer:
            done(answer["ok"])
        elif isinstance(answer["error"], dict):
            failed(decode_error(answer["error"]))
        else:
            failed(lab.role_error(process, process.status or "ended before it answered"))

    def too_late() -> None:
        cause = f"{process.node}: role {process.role} did not answer within {_ANSWER_S:.0f} s"
        document = {"kind": "LabError", "cause": cause, "remedy": "is it paused? netlab fault list"}
        once({"error": document})

    assert process.talk is not None  # as it runs
    process.talk.ask(request, once)
    lab.loop.after(_ANSWER_S, too_late)


def _document(process: RoleProcess) -> dict[str, Any]:
    return {
        "node": process.node,
        **process.to_json(host_pid(process.pid) if process.pid else 0),
        "spec": process.spec.model_dump(mode="json", by_alias=True),
        "settings": dict(process.settings),
    }
