"""The status of a lab as a document: what `ps --json` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netlab.lab.link_report import Counted, link_summary, relay_totals
from netlab.lab.roster import host_pid

if TYPE_CHECKING:
    from netlab.lab.supervisor import Supervisor


def status_of(lab: Supervisor, counted: Counted) -> dict[str, Any]:
    """`counted`: by the relay. PIDs are the host's, so that they mean something to who reads them."""
    order = lab.order
    return {
        "name": order.name,
        "state": lab.phase,
        "healthy": all(role.healthy for role in lab.roles) and all(_is_well(lab)) and not _lost_events(lab),
        "pid": order.pid,
        "backend": order.plan.backend,
        "seed": order.seed,
        "nodes": [_node(lab, name) for name in order.topology.nodes],
        "links": [link_summary(lab.links, link) for link in lab.links.all],
        "relay": relay_totals(counted),
        "relay_restarts": lab.links.relay_restarts,
        "processes": [
            {"name": helper.name, "pid": host_pid(helper.pid), "state": helper.status or "running"}
            for helper in lab.helpers
            if helper.alive or helper.name != "recorder"
        ],
        "captures": list(lab.captures),
        "faults": list(lab.faults),
        "events_lost": _lost_events(lab),
    }


def _is_well(lab: Supervisor) -> list[bool]:
    """The zygote and the relay live as long as the lab; a recorder ends with its capture."""
    return [helper.alive for helper in lab.helpers if helper.name != "recorder"]


def _lost_events(lab: Supervisor) -> int:
    """How many there was no room for."""
    return lab.runner.lost_events if lab.runner is not None else 0


def _node(lab: Supervisor, name: str) -> dict[str, Any]:
    node = lab.order.topology.nodes[name]
    return {
        "node": name,
        "kind": node.kind,
        "location": node.location,
        "addresses": list(lab.order.plan.addresses.get(name, ())),
        "roles": [
            role.to_json(host_pid(role.pid) if role.pid else 0) for role in lab.roles if role.node == name
        ],
    }
