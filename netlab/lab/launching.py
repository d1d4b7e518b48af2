"""What a role is told when it starts, and the files of its node: all that is decided before a fork."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from netlab.model.launch import Identity, Launch, ResponderLaunch
from netlab.model.roles import (
    ClientSpec,
    NameserverSpec,
    OcspSpec,
    ProxySpec,
    ResolverSpec,
    RoleSpec,
    TlsClient,
    TlsServer,
)
from netlab.plan.ops import Plan, StartRole
from netlab.proto.dns_names import fold

if TYPE_CHECKING:
    from netlab.pki import Authority, TokenKey

NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"


@dataclass
class Launches:
    """Makes launch documents. The certificate authority and the token key are made when first needed."""

    lab: str
    plan: Plan
    seed: int
    now: datetime
    _identities: dict[tuple[str, str], tuple[Identity, ...]] = field(default_factory=dict)
    _zones: dict[str, tuple[str, str]] = field(default_factory=dict)

    @cached_property
    def authority(self) -> Authority:
        from netlab.pki import Authority

        return Authority.create(self.lab, self.now, self._responder_url())

    def _responder_url(self) -> str:
        """Where certificates say that their status is known; empty where the lab has no responder."""
        for start in self._starts():
            if isinstance(start.spec, OcspSpec):
                address = self.plan.addresses[start.node][0]
                host = f"[{address}]" if ":" in address else address
                return f"http://{host}:{start.spec.listen}"
        return ""

    def _starts(self) -> Iterator[StartRole]:
        return (op for op in self.plan.operations if isinstance(op, StartRole))

    @cached_property
    def _tokens(self) -> TokenKey:
        from netlab.pki import TokenKey

        return TokenKey.create()

    @cached_property
    def trust_pem(self) -> str:
        """The lab's root certificate; empty where nothing in the lab was made to speak TLS."""
        needed = any(op.names or op.spec.kind != "command" for op in self._starts())
        return self.authority.root_pem if needed else ""

    def document(self, node: str, role: str, spec: RoleSpec, names: tuple[str, ...], now: datetime) -> Launch:
        """`names`: what the role's certificate must carry; empty: it gets none."""
        checks = isinstance(spec, ProxySpec) and (spec.jwt or any(route.jwt for route in spec.routes))
        identity, *more = self._served(node, role, spec, names) if names else (None,)
        return Launch(
            lab=self.lab,
            node=node,
            role=role,
            spec=spec,
            addresses=self.plan.addresses.get(node, ()),
            resolvers=self.plan.resolvers.get(node, ()),
            locations=self.plan.locations,
            trust_pem=self.trust_pem if spec.kind == "command" else self.authority.root_pem,
            identity=identity,
            more_identities=tuple(one for one in more if one is not None),
            client_identity=self.authority.issue((node,), purpose="client") if _shows(spec) else None,
            responder=self._responder() if isinstance(spec, OcspSpec) else None,
            zone_keys={zone: self._zone_keys(zone)[0] for zone in _signed_zones(spec)},
            signed_zones=self._published() if _uses_dnssec(spec) else {},
            jwt_public_pem=self._tokens.public_pem if checks else "",
            bearer_token=self._bearer(spec, now),
            seed=role_seed(self.seed, node, role),
        )

    def _zone_keys(self, zone: str) -> tuple[str, str]:
        """The private and the public half of a zone's key, the same whenever its server starts."""
        if zone not in self._zones:
            from netlab.proto.dns_dnssec import new_key

            self._zones[zone] = new_key()
        return self._zones[zone]

    def _published(self) -> dict[str, str]:
        """The public keys of the lab's zones that are signed."""
        zones = [zone for start in self._starts() for zone in _signed_zones(start.spec)]
        return {zone: self._zone_keys(zone)[1] for zone in (*zones, *self._zones)}

    def _bearer(self, spec: RoleSpec, now: datetime) -> str:
        if not isinstance(spec, ClientSpec) or not spec.bearer:
            return ""
        return self._tokens.token(spec.bearer, now, spec.bearer_fault)

    def _served(self, node: str, role: str, spec: RoleSpec, names: tuple[str, ...]) -> tuple[Identity, ...]:
        """At least one; the same whenever a role is started again."""
        found = self._identities.get((node, role))
        if found is None:
            tls = getattr(spec, "tls", None)
            fault = tls.fault if isinstance(tls, TlsServer) else "none"
            groups = spec.name_groups if isinstance(spec, ProxySpec) else (names,)
            found = tuple(self.authority.issue(group, fault=fault) for group in groups)
            self._identities[node, role] = found
        return found

    def _responder(self) -> ResponderLaunch:
        """It starts before the others, so what they will get is made now."""
        for start in self._starts():
            if start.names:
                self._served(start.node, start.role, start.spec, start.names)
        return self.authority.responder()


def _signed_zones(spec: RoleSpec) -> tuple[str, ...]:
    if not isinstance(spec, NameserverSpec):
        return ()
    return tuple(fold(zone.name) for zone in spec.zones if zone.dnssec)


def _uses_dnssec(spec: RoleSpec) -> bool:
    return bool(_signed_zones(spec)) or (isinstance(spec, ResolverSpec) and spec.dnssec)


def _shows(spec: BaseModel) -> bool:
    """Whether a role calls with a certificate of its own: any TlsClient within its spec says so."""
    if isinstance(spec, TlsClient):
        return spec.certificate
    values = [value for _, value in spec]
    inner = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
    return any(isinstance(one, BaseModel) and _shows(one) for one in inner)


def role_seed(seed: int, node: str, role: str) -> int:
    """Another seed for every role, the same in every run of the lab's seed."""
    digest = hashlib.sha256(f"{seed}/{node}/{role}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def resolv_conf(resolvers: tuple[str, ...]) -> str:
    """resolv.conf(5). Without a resolver, names outside of /etc/hosts are not found."""
    if not resolvers:
        return "# this node has no resolver\n"
    return "".join(f"nameserver {address}\n" for address in resolvers)


def hosts(addresses: dict[str, tuple[str, ...]]) -> str:
    """hosts(5): every node of the lab by its name."""
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    lines += [f"{address} {node}" for node, found in addresses.items() for address in found]
    return "\n".join(lines) + "\n"


class NodeFiles:
    """`files/NODE/`: resolv.conf, hosts, nsswitch.conf, trust.pem. Written when a node first needs them.

    hosts may be long and is the same for all: one file, linked.
    """

    def __init__(self, directory: Path, plan: Plan, trust_pem: str) -> None:
        self._directory = directory
        self._plan = plan
        self._trust_pem = trust_pem

    def of(self, node: str) -> Path:
        place = self._directory / node
        if not place.exists():
            shared = self._shared()
            making = self._directory / f"{node}.new"
            making.mkdir(mode=0o755)
            making.chmod(0o755)  # an overlay over /etc takes its mode
            for path in shared:
                (making / path.name).hardlink_to(path)
            _write(making / "resolv.conf", resolv_conf(self._plan.resolvers.get(node, ())))
            making.rename(place)
        return place

    def _shared(self) -> list[Path]:
        place = self._directory / "@shared"  # no node can have this name
        if not place.exists():
            place.mkdir(mode=0o700)
            _write(place / "hosts", hosts(self._plan.addresses))
            _write(place / "nsswitch.conf", NSSWITCH)
            _write(place / "trust.pem", self._trust_pem)
        return sorted(place.iterdir())


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
