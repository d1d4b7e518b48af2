"""Where an address or a network is, for answers by location."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network


class Locations:
    """Networks ─► locations, by the longest prefix."""

    def __init__(self, networks: dict[str, str]) -> None:
        parsed = [(ip_network(text), location) for text, location in networks.items()]
        self._networks: list[tuple[IPv4Network | IPv6Network, str]] = sorted(
            parsed, key=lambda pair: pair[0].prefixlen, reverse=True
        )

    def of(self, address: str) -> str:
        """The location of `address`; empty where no network holds it."""
        ip = ip_address(address)
        return next((where for network, where in self._networks if ip in network), "")

    def of_network(self, asked: IPv4Network | IPv6Network) -> str:
        """The location of all of `asked`: of the smallest network around it; else the one location of the
        networks in it. Empty where there is none, or where there are several."""
        for network, where in self._networks:
            if _within(asked, network):
                return where
        inside = {where for network, where in self._networks if _within(network, asked)}
        return inside.pop() if len(inside) == 1 else ""


def _within(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    return (
        inner.version == outer.version
        and inner.prefixlen >= outer.prefixlen
        and inner.network_address in outer
    )
