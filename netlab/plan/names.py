"""Names in role specs become addresses: of a node's several, the one that its caller can reach."""

from __future__ import annotations

from ipaddress import ip_address

from netlab.errors import InputError
from netlab.model.placeholders import fill
from netlab.model.roles import (
    AppSpec,
    Balanced,
    BalancerSpec,
    CdnSpec,
    CommandSpec,
    DatagramsSpec,
    NameserverSpec,
    ProxySpec,
    Record,
    ResolverSpec,
    RoleSpec,
    Server,
)
from netlab.model.roles.jwt import Jwt
from netlab.model.topology import Address, Topology
from netlab.plan.routes import CONNECTED, UNREACHABLE, Routes


class Names:
    """Resolves names for a caller. `routes`: family ─► the ways of that family."""

    def __init__(self, topology: Topology, routes: dict[int, Routes]) -> None:
        self.numbers = {name: number for number, name in enumerate(topology.nodes)}
        self.routes = routes
        self.addresses: dict[str, list[Address]] = {
            name: [address.ip for one in node.interfaces.values() for address in one.addresses]
            for name, node in topology.nodes.items()
        }

    def address(self, caller: str, host: str, version: int = 0) -> str:
        """The address of `host` for `caller`: on a common subnet first, then by IPv4, then in order.

        `host` may be an address already. `version` 4 or 6 allows only that family. Raises InputError
        where no address of it can be reached.
        """
        if host not in self.addresses:
            return str(ip_address(host))
        if host == caller:
            return "127.0.0.1" if version != 6 else "::1"
        ways = [
            (way != CONNECTED, address.version, index, str(address))
            for index, address in enumerate(self.addresses[host])
            if not version or address.version == version
            if (way := self._way(caller, address)) != UNREACHABLE
        ]
        if not ways:
            family = f"IPv{version} " if version else ""
            raise InputError(
                f"{caller} has no way to any {family}address of {host}",
                "link them by way of routers; what is behind address translation can't be called",
            )
        return min(ways)[3]

    def _way(self, caller: str, address: Address) -> int:
        found = self.routes.get(address.version)
        return found.toward(self.numbers[caller], int(address)) if found else UNREACHABLE

    def upstream(self, caller: str, text: str) -> str:
        """`app-1:8080` ─► `10.0.1.50:8080`; IPv6 in brackets."""
        host, _, port = text.rpartition(":")
        address = self.address(caller, host.strip("[]"))
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    def spec(self, caller: str, spec: RoleSpec) -> RoleSpec:
        """`spec` with every name of a node replaced by an address."""
        match spec:
            case CdnSpec():
                shield = self.upstream(caller, spec.shield) if spec.shield is not None else None
                told = {"origin": self.upstream(caller, spec.origin), "shield": shield}
                return spec.model_copy(update=told)
            case AppSpec(database=str(database)):
                return spec.model_copy(update={"database": self.upstream(caller, database)})
            case DatagramsSpec() if spec.to:
                return spec.model_copy(update={"to": self.upstream(caller, spec.to)})
            case BalancerSpec():
                return spec.model_copy(update=self._balanced(caller, spec))
            case ProxySpec():
                routes = tuple(
                    route.model_copy(update=self._balanced(caller, route)) for route in spec.routes
                )
                return spec.model_copy(update={"routes": routes, "jwt": self._jwt(caller, spec.jwt)})
            case ResolverSpec():
                roots = tuple(self.address(caller, root) for root in spec.roots)
                return spec.model_copy(update={"roots": roots})
            case NameserverSpec() | CommandSpec():
                return self._texts(caller, spec)
            case _:
                return spec

    def _jwt(self, caller: str, jwt: bool | Jwt) -> bool | Jwt:
        if isinstance(jwt, bool) or jwt.jwks is None:
            return jwt
        found = jwt.jwks.model_copy(update={"upstream": self.upstream(caller, jwt.jwks.upstream)})
        return jwt.model_copy(update={"jwks": found})

    def _balanced(self, caller: str, spec: Balanced) -> dict[str, tuple[str | Server, ...]]:
        found = (
            self.upstream(caller, one)
            if isinstance(one, str)
            else one.model_copy(update={"to": self.upstream(caller, one.to)})
            for one in spec.upstreams
        )
        return {"upstreams": tuple(found)}

    def _texts(self, caller: str, spec: NameserverSpec | CommandSpec) -> RoleSpec:
        """Where names are within what users write as text."""
        if isinstance(spec, NameserverSpec):
            return self._nameserver(caller, spec)
        return self._command(caller, spec)

    def _command(self, caller: str, spec: CommandSpec) -> CommandSpec:
        def filled(text: str) -> str:
            return fill(text, lambda name: self.address(caller, name) if name in self.addresses else None)

        return spec.model_copy(
            update={
                "argv": tuple(filled(word) for word in spec.argv),
                "env": {name: filled(text) for name, text in spec.env.items()},
                "files": {name: filled(text) for name, text in spec.files.items()},
            }
        )

    def _nameserver(self, caller: str, spec: NameserverSpec) -> NameserverSpec:
        zones = tuple(
            zone.model_copy(update={"records": tuple(self._record(caller, one) for one in zone.records)})
            for zone in spec.zones
        )
        return spec.model_copy(update={"zones": zones})

    def _record(self, caller: str, record: Record) -> Record:
        if record.type not in ("A", "AAAA"):
            return record
        version = 4 if record.type == "A" else 6
        return record.model_copy(
            update={
                "data": self._published(caller, record.data, version) if record.data else "",
                "geo": {place: self._published(caller, one, version) for place, one in record.geo.items()},
                "weights": {self._published(caller, one, version): n for one, n in record.weights.items()},
            }
        )

    def _published(self, caller: str, host: str, version: int) -> str:
        """What a name server says of a node. Of itself it says the address that others can ask."""
        if host == caller:
            return next(str(one) for one in self.addresses[host] if one.version == version)
        return self.address(caller, host, version)
