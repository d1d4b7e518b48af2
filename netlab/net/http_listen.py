"""Listening for HTTP: TCP for versions 1.1 and 2, and UDP of the same port for 3."""

from __future__ import annotations

from netlab.model.roles import HttpVersion, TlsServer
from netlab.net.connection import Networks, Peer
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange, Handler, Timeouts
from netlab.net.http_server import alpn_of, serve_http
from netlab.net.stream import Stream
from netlab.proto.http import ResponseHead

ALT_SVC_S = 86_400  # for how long a client may remember that there is HTTP/3


async def listen_http(
    ctx: RoleContext,
    port: int,
    versions: tuple[HttpVersion, ...],
    tls: TlsServer | None,
    handler: Handler,
    *,
    proxy_from: Networks = (),
    timeouts: Timeouts | None = None,
) -> int:
    """Serve `handler` in these versions until the role stops; the port's number.

    Without `tls`: HTTP/1.1, and HTTP/2 by prior knowledge. `proxy_from`: as of
    RoleContext.listen, and for TCP alone.
    Raises LabError where the port can't be had.
    """
    handler = ctx.http_faults.before(handler)
    over_tcp = tuple(version for version in versions if version != "3")

    async def handle(stream: Stream, peer: Peer) -> None:
        await serve_http(ctx, stream, peer, handler, timeouts, over_tcp)

    if over_tcp:
        context = ctx.tls_server(tls, alpn_of(versions)) if tls is not None else None
        port = await ctx.listen(port, handle, tls=context, proxy_from=proxy_from)
    if "3" in versions and tls is not None:
        from netlab.net.http3_server import serve_http3  # aioquic is slow to import, and not all need it

        port = await serve_http3(ctx, port, handler, tls, timeouts)
    return port


class Advertised:
    """A role's own fields on every response over TLS: Alt-Svc (RFC 7838) tells clients of HTTP/2 and 1.1
    that there is HTTP/3 on the same port; Strict-Transport-Security (RFC 6797), that TLS is the only way."""

    def __init__(self, versions: tuple[HttpVersion, ...], hsts_s: int) -> None:
        self._http3 = "3" in versions
        self._hsts_s = hsts_s

    def on(self, exchange: Exchange, head: ResponseHead) -> ResponseHead:
        """`head` with these fields; what an upstream said of itself in their place is dropped."""
        headers = head.headers.without("alt-svc", "strict-transport-security")
        if self._hsts_s:
            headers = headers.plus("Strict-Transport-Security", f"max-age={self._hsts_s}")
        if self._http3 and exchange.request.version != "3":
            port = exchange.flow.local_port
            headers = headers.plus("Alt-Svc", f'h3=":{port}"; ma={ALT_SVC_S}')
        return head.with_headers(headers)
