"""Who is the client behind proxies, and what a proxy says about it: X-Forwarded-For, -Proto and -Host, and
Forwarded (RFC 7239)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from netlab.proto.http import Headers, members

Trusted = tuple[IPv4Network | IPv6Network, ...]
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # noqa: S105 - of HTTP's grammar
_PAIR = re.compile(rf'({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*+)")')
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]+)?")
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?")
_REQUEST_ID = re.compile(r"[0-9A-Za-z._=+/-]{1,128}")


@dataclass(frozen=True, slots=True)
class Chain:
    """`addresses`: what was believed, from the client on, and at its end the peer. `proto`, `host`: what the
    client asked for, as far as that is believed."""

    addresses: tuple[str, ...]
    proto: str = "https"
    host: str = ""

    @property
    def client(self) -> str:
        """The nearest address that no trusted proxy vouches beyond."""
        return self.addresses[0]

    @property
    def forwarded_for(self) -> str:
        """The value of X-Forwarded-For to send on."""
        return ", ".join(self.addresses)

    def forwarded(self, by: str, proto: str, host: str) -> str:
        """The value of Forwarded to send on; `by`, `proto` and `host` are of this hop's own element
        (section 5). What earlier hops said beside `for` is known of the first alone."""
        elements = [f"for={_node(address)}" for address in self.addresses]
        if len(elements) > 1:
            elements[0] += _said("host", self.host) + f";proto={self.proto}"
        elements[-1] += f";by=_{by}" + _said("host", host) + f";proto={proto}"
        return ", ".join(elements)


def resolve(peer: str, headers: Headers, trusted: Trusted, *, proto: str = "https", host: str = "") -> Chain:
    """Believe what was forwarded only where `peer` is trusted, and there from the right: each entry was
    written by the one to its right, so the first untrusted one is the client. What stands left of it may be
    invented, and is dropped. X-Forwarded-For counts; Forwarded where there is none. `proto`, `host`: of
    this hop.
    """
    if not _is_trusted(peer, trusted):
        return Chain((peer,), proto, host)
    elements = None if headers.has("x-forwarded-for") else _elements(headers)
    if elements is None:
        entries = [_address(one) for one in members(headers.get("x-forwarded-for"))]
        said = {"proto": headers.get("x-forwarded-proto"), "host": headers.get("x-forwarded-host")}
    else:
        entries = [_for(one) for one in elements]
        said = {}
    believed = [peer]
    while _is_trusted(believed[0], trusted) and entries:
        address = entries.pop()
        if address is None:
            break  # a proxy wrote nonsense: nothing beyond it can be believed
        believed.insert(0, str(address))
        said = said if elements is None else elements[len(entries)]
    return Chain(tuple(believed), _proto(said, proto), _host(said, host))


def request_id(peer: str, headers: Headers, trusted: Trusted, made: str) -> str:
    """X-Request-Id as a trusted peer gave it, else `made`."""
    given = headers.get("x-request-id")
    return given if _is_trusted(peer, trusted) and _REQUEST_ID.fullmatch(given) else made


def _proto(said: dict[str, str], own: str) -> str:
    found = said.get("proto", "").lower()
    return found if found in {"http", "https"} else own


def _host(said: dict[str, str], own: str) -> str:
    found = said.get("host", "")
    return found if _HOST.fullmatch(found) else own


def _elements(headers: Headers) -> list[dict[str, str]] | None:
    """Of Forwarded, the parameters in lower case; None where there is none. A malformed element is empty."""
    if not headers.has("forwarded"):
        return None
    return [_pairs(element) for element in members(headers.get("forwarded"))]


def _pairs(element: str) -> dict[str, str]:
    """RFC 7239 section 4; a parameter comes once."""
    found: dict[str, str] = {}
    at = 0
    while match := _PAIR.match(element, at):
        name = match[1].lower()
        if name in found:
            return {}
        found[name] = match[2] or re.sub(r"\\(.)", r"\1", match[3] or "")
        at = match.end()
        if at == len(element):
            return found
        if element[at] != ";":
            return {}
        at += 1
    return {}


def _for(element: dict[str, str]) -> IPv4Address | IPv6Address | None:
    """The node without its port; an obfuscated one, or "unknown", is nobody (section 6)."""
    node = _NODE.fullmatch(element.get("for", ""))
    return None if node is None else _address(node[1] or node[2])


def _node(address: str) -> str:
    return f'"[{address}]"' if ":" in address else address


def _said(name: str, value: str) -> str:
    if not value:
        return ""
    return f";{name}={value}" if re.fullmatch(_TOKEN, value) else f';{name}="{value}"'


@lru_cache(maxsize=1024)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(text: str, trusted: Trusted) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in trusted)
