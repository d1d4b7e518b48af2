"""Role specs: what a user writes about a process in a node. A closed set plus `command`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from netlab.model.roles.app import AppSpec, DatabaseSpec
from netlab.model.roles.balancer import BalancerSpec
from netlab.model.roles.balancing import Algorithm, Balanced, Health, Passive, Server
from netlab.model.roles.cdn import CacheKey, CdnSpec
from netlab.model.roles.client import ClientSpec, Request, Subscription
from netlab.model.roles.dns import DnsClient, Lookup, NameserverSpec, Record, RecordType, ResolverSpec, Zone
from netlab.model.roles.limits import RateLimit
from netlab.model.roles.others import CommandSpec, DatagramsSpec, OcspSpec
from netlab.model.roles.proxy import ProxySpec, Route, Sticky
from netlab.model.roles.resilience import Breaker, Bulkhead, Hedge, Resilience, Retry, Shed, Timeouts
from netlab.model.roles.spec import HttpVersion, Port, TlsVersion, Upstream
from netlab.model.roles.tls import CertificateFault, Pool, Quic, TlsClient, TlsServer

RoleSpec = Annotated[
    ClientSpec
    | ResolverSpec
    | NameserverSpec
    | CdnSpec
    | BalancerSpec
    | ProxySpec
    | AppSpec
    | DatabaseSpec
    | OcspSpec
    | DatagramsSpec
    | CommandSpec,
    Field(discriminator="kind"),
]

__all__ = [
    "Algorithm",
    "AppSpec",
    "Balanced",
    "BalancerSpec",
    "Breaker",
    "Bulkhead",
    "CacheKey",
    "CdnSpec",
    "CertificateFault",
    "ClientSpec",
    "CommandSpec",
    "DatabaseSpec",
    "DatagramsSpec",
    "DnsClient",
    "Health",
    "Hedge",
    "HttpVersion",
    "Lookup",
    "NameserverSpec",
    "OcspSpec",
    "Passive",
    "Pool",
    "Port",
    "ProxySpec",
    "Quic",
    "RateLimit",
    "Record",
    "RecordType",
    "Request",
    "Resilience",
    "ResolverSpec",
    "Retry",
    "RoleSpec",
    "Route",
    "Server",
    "Shed",
    "Sticky",
    "Subscription",
    "Timeouts",
    "TlsClient",
    "TlsServer",
    "TlsVersion",
    "Upstream",
    "Zone",
]
