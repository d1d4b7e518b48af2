"""Rules about zones and resolvers that the nodes' addresses have no part in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from netlab.model.draft import Draft
from netlab.model.roles import NameserverSpec, Record, ResolverSpec
from netlab.model.topology import Node
from netlab.model.yaml import Path


def check_aliases(draft: Draft, path: Path, spec: NameserverSpec) -> None:
    """Report names that have an alias and other records (RFC 2181 section 10.1)."""
    for number, zone in enumerate(spec.zones):
        at = Counter(_name(one) for one in zone.records)
        for index, record in enumerate(zone.records):
            if record.type == "CNAME" and at[_name(record)] > 1:
                message = f"`{record.name}` has a CNAME and other records"
                where: Path = (*path, "zones", number, "records", index)
                draft.add(where, message, "an alias stands alone at its name", True)


def check_anchor(draft: Draft, path: Path, spec: ResolverSpec, nodes: Mapping[str, Node]) -> None:
    """Report a resolver that validates where no root zone of the lab is signed."""
    signed = any(
        zone.dnssec and zone.name == "."
        for node in nodes.values()
        for role in node.roles
        if isinstance(role, NameserverSpec)
        for zone in role.zones
    )
    if spec.dnssec and not signed and not draft.broken:
        message = "a resolver that validates needs a root zone that is signed"
        draft.add((*path, "dnssec"), message, "say `dnssec: true` in the zone `.`", True)


def _name(record: Record) -> str:
    return record.name.lower()
