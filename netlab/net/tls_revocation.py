"""Getting the revocation list that a certificate names, and looking there, once the handshake is done.

The list is asked for over plain HTTP, as lists are: it is signed.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from cryptography import x509

from netlab.errors import NetlabError
from netlab.net.stream import TlsError
from netlab.net.upstream import Target, UpstreamError
from netlab.pki.verify import crl_urls, verify_status
from netlab.proto.http import Headers, RequestHead

if TYPE_CHECKING:
    from netlab.net.context import RoleContext

_KEPT_S = 300.0
_LONGEST = 4 * 1024 * 1024  # bytes of a list


class Checked(Protocol):
    """A connection whose peer's certificate was believed: the path from it to the root."""

    @property
    def trusted_chain(self) -> tuple[x509.Certificate, ...]: ...


class RevocationLists:
    """What has been fetched, kept for five minutes."""

    def __init__(self, ctx: RoleContext) -> None:
        self._ctx = ctx
        self._lists: dict[str, tuple[float, bytes]] = {}

    async def check(self, stream: Checked) -> None:
        """Raises TlsError where the peer's certificate was revoked, or where that can't be found out."""
        trusted = stream.trusted_chain
        if not trusted:  # a resumed session, checked when it began
            return
        urls = crl_urls(trusted[0])
        if not urls:
            raise TlsError("the certificate names no revocation list (CRL distribution point)", "revocation")
        found = await self._get(urls[0])
        rejected = verify_status(trusted, datetime.fromtimestamp(time.time(), UTC), "crl", crl=found)
        if rejected is not None:
            raise TlsError(rejected.cause, rejected.check)

    async def _get(self, url: str) -> bytes:
        kept = self._lists.get(url)
        if kept is not None and self._ctx.now() - kept[0] < _KEPT_S:
            return kept[1]
        try:
            data = await self._fetch(url)
        except (UpstreamError, NetlabError, OSError, ValueError) as error:
            raise TlsError(f"the revocation list {url} can't be had: {error}", "revocation") from error
        self._lists[url] = self._ctx.now(), data
        return data

    async def _fetch(self, url: str) -> bytes:
        from netlab.net.http_client import fetch  # it is built on the context, which has us

        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("it is no http URL")
        target = Target(str(ip_address(parts.hostname)), parts.port or 80)
        head = RequestHead("GET", parts.path or "/", Headers((("Host", parts.netloc),)))
        data = b""
        async with fetch(self._ctx, target, head) as response:
            if response.head.status != 200:
                raise ValueError(f"status {response.head.status}")
            async for part in response.body():
                data += part
                if len(data) > _LONGEST:
                    raise ValueError(f"it has more than {_LONGEST} bytes")
        return data
