"""URLs of HTTP (RFC 3986, RFC 9110 section 4.2): what a client needs of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

from netlab.errors import InputError

_PORTS = {"http": 80, "https": 443}
_KEPT = "/?%:@!$&'()*+,;=~-._"  # of a path and query; the rest is percent-encoded (RFC 3986 section 3.3)
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+(%[a-z0-9]+)?")


@dataclass(frozen=True, slots=True)
class Url:
    """`host` without the brackets of an IPv6 address; `target`: path and query, as on a request line."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """As in the field Host: without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port, as browsers write it (RFC 6454 section 6.2)."""
        return f"{self.scheme}://{self.authority}"

    def made_secure(self, port: int) -> Url:
        """The https URL with the same host and target."""
        return replace(self, scheme="https", port=port)


def parse_url(url: str) -> Url:
    """Raises InputError where it is no http or https URL, or has no host. User and fragment are dropped."""
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else _PORTS[parts.scheme]
        host = parts.hostname or ""
    except (ValueError, KeyError) as error:
        raise InputError(f"{url!r} is not an http or https URL") from error
    if parts.scheme not in _PORTS:
        raise InputError(f"{url!r} is not an http or https URL")
    if not host or not 1 <= port <= 65_535:
        raise InputError(f"{url!r} names no host" if not host else f"{url!r} has no port that can be asked")
    query = f"?{parts.query}" if parts.query else ""
    return Url(parts.scheme, _ascii(url, host), port, quote((parts.path or "/") + query, safe=_KEPT))


def _ascii(url: str, host: str) -> str:
    """International names as the DNS has them (RFC 5890)."""
    try:
        name = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise InputError(f"{url!r} names no host: {error}") from error
    if not _HOST.fullmatch(name):
        raise InputError(f"{url!r} names no host: {name!r} has characters that no name has")
    return name
