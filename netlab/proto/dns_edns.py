"""Options of EDNS (RFC 6891) that netlab speaks: client subnet (RFC 7871) and extended errors (RFC 8914)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

import dns.edns

SOURCE_BITS = {4: 24, 6: 56}  # as much of an address as is told (RFC 7871 section 11.1)


@dataclass(frozen=True, slots=True)
class Subnet:
    """Where the question comes from, `network`, its prefix being the source prefix length.

    `scope`: of an answer, the length of the prefix for which it is right; 0: for everybody.
    """

    network: IPv4Network | IPv6Network
    scope: int = 0

    @property
    def scoped(self) -> IPv4Network | IPv6Network:
        """The network for which the answer is right: never less than what was told (RFC 7871, 7.3.1)."""
        return self.network.supernet(new_prefix=min(self.scope, self.network.prefixlen))


@dataclass(frozen=True, slots=True)
class ExtendedError:
    """Why an answer is as it is: a code of RFC 8914 section 4, and words."""

    code: int
    text: str = ""


# Codes of RFC 8914 section 4.
STALE_ANSWER, DNSSEC_BOGUS, STALE_NXDOMAIN, NOT_READY, NO_REACHABLE_AUTHORITY, NETWORK_ERROR = (
    3,
    6,
    19,
    14,
    22,
    23,
)
CACHED_ERROR, NOT_AUTHORITATIVE, NOT_SUPPORTED = 13, 20, 21


def subnet_of(address: str, bits: int | None = None) -> Subnet:
    """The network of `address`, with no more bits than SOURCE_BITS, or than `bits`."""
    whole = ip_network(address.partition("%")[0])  # without the zone of a link-local address
    most = SOURCE_BITS[whole.version]
    return Subnet(whole.supernet(new_prefix=most if bits is None else min(bits, most)))


def to_options(subnet: Subnet | None, errors: Iterable[ExtendedError]) -> list[dns.edns.Option]:
    options: list[dns.edns.Option] = [
        dns.edns.EDEOption(dns.edns.EDECode.make(one.code), one.text or None) for one in errors
    ]
    if subnet is not None:
        network = subnet.network
        options.append(dns.edns.ECSOption(str(network.network_address), network.prefixlen, subnet.scope))
    return options


def from_options(
    options: Iterable[dns.edns.Option],
) -> tuple[Subnet | None, tuple[ExtendedError, ...]]:
    """Others are ignored (RFC 6891 section 6.1.2). Raises ValueError where one is malformed."""
    known = tuple(options)
    return next(_subnets(known), None), tuple(
        ExtendedError(int(one.code), one.text or "") for one in known if isinstance(one, dns.edns.EDEOption)
    )


def _subnets(options: tuple[dns.edns.Option, ...]) -> Iterator[Subnet]:
    for one in options:
        if isinstance(one, dns.edns.ECSOption):
            # Bits past the prefix must be 0: ip_network refuses others (RFC 7871 section 6).
            yield Subnet(ip_network(f"{one.address}/{one.srclen}"), one.scopelen)
