"""Opening a WebSocket: accepted by a server, or asked for by a client (see proto.websocket_handshake)."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace

from netlab.errors import RemoteProtocolError
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange, Tunnel
from netlab.net.upstream import UpstreamError
from netlab.net.websocket import KeepAlive, WebSocket
from netlab.proto.http import Headers, RequestHead, ResponseHead
from netlab.proto.websocket import MAX_MESSAGE
from netlab.proto.websocket_handshake import Refused, answer, ask, concluded

Opener = Callable[[RequestHead], Awaitable[tuple[ResponseHead, Tunnel | None]]]


async def accept(
    ctx: RoleContext,
    exchange: Exchange,
    *,
    subprotocols: tuple[str, ...] = (),
    compress: bool = True,
    takeover: bool = True,
    max_message: int = MAX_MESSAGE,
    timing: KeepAlive | None = None,
) -> WebSocket | None:
    """The WebSocket that `exchange` asks for; None where the request breaks the handshake's rules, and
    has been answered so. `takeover`: our compressed messages may refer to earlier ones."""
    agreed = answer(exchange.request, subprotocols, compress=compress, server_takeover=takeover)
    if isinstance(agreed, Refused):
        fields = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))
        head = ResponseHead(agreed.status, Headers((*fields, *agreed.headers)))
        await exchange.respond(head, f"{agreed.cause}\n".encode())
        return None
    tunnel = await exchange.tunnel(agreed.headers)
    ctx.emit(
        "websocket-opened",
        tunnel.flow,
        side="server",
        url=exchange.request.target,
        version=exchange.request.version,
        extensions=agreed.extensions,
        traceparent=exchange.traceparent,
    )
    return WebSocket(ctx, tunnel, client=False, agreed=agreed, max_message=max_message, timing=timing)


class NotAcceptedError(UpstreamError):
    """The server answered something else than was asked for."""

    def __init__(self, cause: str, response: ResponseHead) -> None:
        super().__init__(cause)
        self.response = response


async def open_websocket(
    ctx: RoleContext,
    opener: Opener,
    head: RequestHead,
    *,
    subprotocols: tuple[str, ...] = (),
    compress: bool = True,
    max_message: int = MAX_MESSAGE,
    timing: KeepAlive | None = None,
) -> WebSocket:
    """A WebSocket through `opener`: `ClientConnection.tunnel`, or a pool's for a target. `head` is a GET
    with the caller's own fields; those of the handshake are added. Raises UpstreamError,
    NotAcceptedError."""
    fields = ask(head.headers, os.urandom(16), subprotocols, compress=compress)
    head = replace(head, headers=fields, protocol="websocket")
    response, tunnel = await opener(head)
    if tunnel is None:
        raise NotAcceptedError(f"the server answered {response.status} instead of a WebSocket", response)
    try:
        agreed = concluded(replace(head, version=response.version), response)
    except RemoteProtocolError as error:
        tunnel.abort()
        raise NotAcceptedError(str(error), response) from error
    ctx.emit(
        "websocket-opened",
        tunnel.flow,
        side="client",
        url=head.target,
        version=response.version,
        extensions=agreed.extensions,
        traceparent=head.headers.get("traceparent"),
    )
    return WebSocket(ctx, tunnel, client=True, agreed=agreed, max_message=max_message, timing=timing)
