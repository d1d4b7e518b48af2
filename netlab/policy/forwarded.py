"""Who is the client behind proxies, and what a proxy says about it (X-Forwarded-For)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from netlab.proto.http import Headers, members

Trusted = tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """`client`: the nearest address that no trusted proxy vouches beyond. `forwarded_for`: the value to
    send on: what was believed, and the peer."""

    client: str
    forwarded_for: str


def resolve(peer: str, headers: Headers, trusted: Trusted) -> Chain:
    """Believe X-Forwarded-For only where `peer` is trusted, and there from the right: each entry was
    written by the one to its right, so the first untrusted one is the client. What stands left of it may be
    invented, and is dropped.
    """
    believed = [peer]
    entries = members(headers.get("x-forwarded-for"))
    while _is_trusted(believed[0], trusted) and entries:
        address = _address(entries.pop())
        if address is None:
            break  # a proxy wrote nonsense: nothing beyond it can be believed
        believed.insert(0, str(address))
    return Chain(believed[0], ", ".join(believed))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(text: str, trusted: Trusted) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in trusted)
