"""The control socket's operations on roles that run: restart them, show and change their settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from netlab.errors import InputError, LabError, NetlabError
from netlab.lab.connection import Connection
from netlab.lab.control import Message
from netlab.lab.finding_roles import ask_role, find_role, roles_of, split_role
from netlab.lab.restarting import Restart
from netlab.lab.roster import RoleProcess, host_pid
from netlab.model.suggest import nearest

if TYPE_CHECKING:
    from netlab.lab.supervisor import Supervisor


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
        known_nodes = self._lab.order.topology.nodes
        if node not in known_nodes:
            raise LabError(f"the lab has no node {node!r}", nearest(node, known_nodes, "it has"))
        found = [role for role in roles if role.role == name]
        if not found:
            known = ", ".join(role.role for role in roles) or "none"
            raise LabError(f"node {node} has no role {name!r}", f"its roles: {known}")

        def restarted(error: NetlabError | None) -> None:
            if error is not None:
                connection.error(error)
            else:
                connection.ok({"status": str(found[0].state)})

        Restart(self._lab, found[0], restarted).start()

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


def _document(process: RoleProcess) -> dict[str, Any]:
    return {
        "node": process.node,
        **process.to_json(host_pid(process.pid) if process.pid else 0),
        "spec": process.spec.model_dump(mode="json", by_alias=True),
        "settings": dict(process.settings),
    }
