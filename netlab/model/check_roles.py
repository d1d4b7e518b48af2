"""Rules about roles: what they refer to exists and listens."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from netlab.model.check_addresses import Owners
from netlab.model.check_commands import check_command
from netlab.model.check_dns import check_aliases, check_anchor
from netlab.model.draft import Draft
from netlab.model.resolve import Resolved
from netlab.model.roles import (
    AppSpec,
    Balanced,
    BalancerSpec,
    CdnSpec,
    ClientSpec,
    CommandSpec,
    DatagramsSpec,
    NameserverSpec,
    OcspSpec,
    ProxySpec,
    Record,
    ResolverSpec,
    RoleSpec,
)
from netlab.model.roles.jwt import Jwt
from netlab.model.suggest import nearest
from netlab.model.topology import Node
from netlab.model.yaml import Path

DNS_PORT = 53


def check_roles(draft: Draft, resolved: Resolved, owners: Owners) -> None:
    """Report roles that share a port, and references to nobody or to a port that is closed."""
    check = _Check(draft, resolved, owners)
    _check_responders(draft, resolved)
    for name, node in resolved.nodes.items():
        _check_ports(draft, name, node)
        for index, resolver in enumerate(node.resolvers):
            check.host(("nodes", name, "resolvers", index), resolver, DNS_PORT)
        for index, spec in enumerate(node.roles):
            path: Path = ("nodes", name, "roles", index)
            for where, upstream in upstreams(spec):
                check.upstream((*path, *where), upstream)
            if isinstance(spec, CdnSpec) and spec.shield is not None:
                check.shield((*path, "shield"), name, spec.shield)
            if isinstance(spec, ResolverSpec):
                for root, text in enumerate(spec.roots):
                    check.host((*path, "roots", root), text, DNS_PORT)
                check_anchor(draft, path, spec, resolved.nodes)
            if isinstance(spec, CommandSpec):
                check_command(draft, path, spec, resolved.nodes)
            if isinstance(spec, NameserverSpec):
                check.zones(path, spec)
                check_aliases(draft, path, spec)


def upstreams(spec: RoleSpec) -> Iterator[tuple[Path, str]]:
    """Whom a role calls, as (path in its spec, "node:port" or "address:port")."""
    match spec:
        case CdnSpec():
            yield ("origin",), spec.origin
            if spec.shield is not None:
                yield ("shield",), spec.shield
        case AppSpec(database=str(database)):
            yield ("database",), database
        case DatagramsSpec() if spec.to:
            yield ("to",), spec.to
        case BalancerSpec():
            yield from _balanced((), spec)
        case ProxySpec():
            for number, route in enumerate(spec.routes):
                yield from _balanced(("routes", number), route)
            if isinstance(spec.jwt, Jwt) and spec.jwt.jwks is not None:
                yield ("jwt", "jwks", "upstream"), spec.jwt.jwks.upstream
        case _:
            return


def _balanced(path: Path, spec: Balanced) -> Iterator[tuple[Path, str]]:
    for index, one in enumerate(spec.upstreams):
        where: Path = (*path, "upstreams", index)
        yield (where, one) if isinstance(one, str) else ((*where, "to"), one.to)


def port_of(spec: RoleSpec) -> int | None:
    """The port on which a role listens; None where it doesn't, or nobody knows."""
    if isinstance(spec, CommandSpec):
        return spec.ready_port
    if isinstance(spec, ClientSpec) or (isinstance(spec, DatagramsSpec) and spec.to):
        return None
    return spec.listen


def _check_ports(draft: Draft, name: str, node: Node) -> None:
    taken: dict[int, str] = {}
    for index, spec in enumerate(node.roles):
        port = port_of(spec)
        if port is None:
            continue
        if port in taken:
            message = f"port {port} of `{name}` is taken by its {taken[port]}"
            draft.add(("nodes", name, "roles", index, "listen"), message, "say `listen:` with another")
        taken.setdefault(port, spec.kind)


def _check_responders(draft: Draft, resolved: Resolved) -> None:
    """Certificates name one place where their status is known."""
    first = ""
    for name, node in resolved.nodes.items():
        for index, spec in enumerate(node.roles):
            if isinstance(spec, OcspSpec) and first:
                message = f"a lab has one OCSP responder, and `{first}` is it"
                draft.add(("nodes", name, "roles", index, "kind"), message, "leave one of them out")
            elif isinstance(spec, OcspSpec):
                first = name


class _Check:
    def __init__(self, draft: Draft, resolved: Resolved, owners: Owners) -> None:
        self.draft = draft
        self.nodes = resolved.nodes
        self.owners = owners
        self.locations = {node.location: None for node in self.nodes.values() if node.location}

    def upstream(self, path: Path, text: str) -> None:
        host, _, port = text.rpartition(":")
        if not 1 <= int(port) <= 65535:
            self.draft.add(path, f"{port} is not a port", "1 to 65535")
        else:
            self.host(path, host.strip("[]"), int(port))

    def shield(self, path: Path, edge: str, text: str) -> None:
        """It is another cdn, as far as that can be known."""
        host, _, port = text.rpartition(":")
        for name in [] if self.draft.is_broken("nodes", host) else self._owners(host.strip("[]")):
            heard = [spec for spec in self.nodes[name].roles if port_of(spec) == int(port)]
            if heard and not isinstance(heard[0], CdnSpec | CommandSpec):
                message = f"a shield is another cdn; port {port} of `{name}` is of its {heard[0].kind}"
                self.draft.add(path, message, "name a cdn, or leave `shield` out")
            elif heard and name == edge:
                self.draft.add(path, f"`{name}` can't be its own shield", "name another cdn")

    def _owners(self, host: str) -> list[str]:
        """The nodes that `host` means, without a report where there are none."""
        if host in self.nodes:
            return [host]
        try:
            return self.owners.nodes.get(ip_address(host), [])
        except ValueError:
            return []

    def host(self, path: Path, host: str, port: int) -> None:
        """`host` is a node or the address of one, and it listens on `port`."""
        names = self._named(path, host)
        if names and not any(self._listens(name, port) for name in names):
            ports = sorted({p for name in names for spec in self.nodes[name].roles if (p := port_of(spec))})
            heard = ", ".join(map(str, ports)) or "no port"
            self.draft.add(path, f"nobody listens on {host} port {port}", f"`{names[0]}` listens on {heard}")

    def _named(self, path: Path, host: str) -> list[str]:
        """The nodes that `host` means; none where it is unknown (reported) or broken (not reported)."""
        if host in self.nodes:
            return [host]
        if self.draft.is_broken("nodes", host):
            return []
        try:
            address = ip_address(host)
        except ValueError:
            self.draft.add(path, f"unknown node `{host}`", nearest(host, self.nodes, "nodes"))
            return []
        owners = self.owners.nodes.get(address, [])
        if not owners and not self.draft.broken:
            known = nearest(host, map(str, self.owners.nodes), "addresses")
            self.draft.add(path, f"nobody has address {host}", known)
        return owners

    def _listens(self, name: str, port: int) -> bool:
        """A program of the user's may listen anywhere, and so may a role that could not be read."""
        node = self.nodes[name]
        unknown = any(isinstance(spec, CommandSpec) for spec in node.roles)
        return (
            unknown
            or self.draft.is_broken("nodes", name, "roles")
            or any(port_of(spec) == port for spec in node.roles)
        )

    def zones(self, path: Path, spec: NameserverSpec) -> None:
        for number, zone in enumerate(spec.zones):
            for index, record in enumerate(zone.records):
                self._record((*path, "zones", number, "records", index), record)

    def _record(self, path: Path, record: Record) -> None:
        address = record.type in ("A", "AAAA")
        if not record.data and not record.geo and not record.weights:
            self.draft.add(path, f"record `{record.name}` has no data", "say `data:`", True)
        if record.weights and (record.data or record.geo):
            message = f"record `{record.name}` has `weights`, and so no `data` and no `geo`"
            self.draft.add((*path, "weights"), message, "make records of them, or leave them out", True)
        for key in ("geo", "weights") if not address else ():
            if getattr(record, key):
                message = f"only A and AAAA records can have `{key}`, not {record.type}"
                self.draft.add((*path, key), message, "", True)
        if address and record.data:
            self._target((*path, "data"), record.data, record.type)
        for target in record.weights if address else ():
            self._target((*path, "weights", target), target, record.type)
        for place, target in record.geo.items():
            where: Path = (*path, "geo", place)
            if place not in self.locations:
                known = nearest(place, self.locations, "locations")
                self.draft.add(where, f"no node is in `{place}`", known, True)
            self._target(where, target, record.type)

    def _target(self, path: Path, target: str, kind: str) -> None:
        """The data of an A or AAAA record: an address of its family, or a node that has one."""
        version = 4 if kind == "A" else 6
        try:
            if ip_address(target).version != version:
                self.draft.add(path, f"{target} is not an IPv{version} address, as {kind} records hold")
        except ValueError:
            for name in self._named(path, target):
                found = {one.version for i in self.nodes[name].interfaces.values() for one in i.addresses}
                if version not in found and not self.draft.is_broken("nodes", name, "interfaces"):
                    self.draft.add(
                        path, f"node `{name}` has no IPv{version} address", f"no {kind} record then"
                    )
