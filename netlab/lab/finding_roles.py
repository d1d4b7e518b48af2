"""Which role of a lab that is up a user means, and asking it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from netlab.errors import InputError, LabError, NetlabError
from netlab.lab.control import Message, decode_error
from netlab.lab.roster import RoleProcess, RoleState
from netlab.model.suggest import nearest

if TYPE_CHECKING:
    from netlab.lab.supervisor import Supervisor

_ANSWER_S = 5.0


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
    failed: Callable[[NetlabError], object],
) -> None:
    """Ask a running role; `done` hears its answer, or `failed` why there is none (after five seconds)."""
    heard: list[bool] = []

    def once(answer: Message) -> None:
        if heard:
            return
        heard.append(True)
        if "ok" in answer:
            done(answer["ok"])
        elif isinstance(answer["error"], dict):
            error = decode_error(answer["error"])
            assert isinstance(error, NetlabError)  # as a role answers with nothing else
            failed(error)
        else:
            failed(lab.role_error(process, process.status or "ended before it answered"))

    def too_late() -> None:
        cause = f"{process.node}: role {process.role} did not answer within {_ANSWER_S:.0f} s"
        document = {"kind": "LabError", "cause": cause, "remedy": "is it paused? netlab fault list"}
        once({"error": document})

    assert process.talk is not None  # as it runs
    process.talk.ask(request, once)
    lab.loop.after(_ANSWER_S, too_late)
