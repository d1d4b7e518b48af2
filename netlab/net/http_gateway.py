"""What a CDN edge and a reverse proxy have in common: a request passed on, a response passed back, whatever
version of HTTP each side speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from netlab.net.exchange import Body, Exchange
from netlab.net.upstream import Outgoing, Response
from netlab.proto.http import Headers, RequestHead, ResponseHead, end_to_end

WHOLE = 64 * 1024  # responses up to here are passed on in one write
_REPLACED = ("expect", "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip")
# What upstreams believe of a gateway. CGI and its heirs read X_Forwarded_For as X-Forwarded-For, too.
_BELIEVED = frozenset({*_REPLACED, "x-auth-subject", "x-request-id"})
_RECEIVED = {"2": "2.0", "3": "3.0"}  # as Via has them, which wants a minor version (RFC 9110 section 7.6.3)


def forwarded_head(request: RequestHead, added: Iterable[tuple[str, str]], pseudonym: str) -> RequestHead:
    """What goes to the upstream: end-to-end fields, Via (RFC 9110 section 7.6.3), and `added`, each of
    which replaces what came from outside. What a client says about forwarding is dropped."""
    headers = _unfeigned(end_to_end(request.headers).without(*_REPLACED))
    headers = headers.having("Via", _via(request.headers, request.version, pseudonym))
    for name, value in added:
        headers = headers.having(name, value)
    return request.with_headers(headers)


def _unfeigned(headers: Headers) -> Headers:
    """Without fields that look like those that a gateway sets to who takes `_` for `-`."""
    if not any("_" in name for name, _ in headers):
        return headers
    return Headers(
        (name, value)
        for name, value in headers
        if "_" not in name or name.lower().replace("_", "-") not in _BELIEVED
    )


def _via(headers: Headers, version: str, pseudonym: str) -> str:
    before, own = headers.get("via"), f"{_RECEIVED.get(version, version)} {pseudonym}"
    return f"{before}, {own}" if before else own


def outgoing(exchange: Exchange, head: RequestHead) -> Outgoing:
    """The request to send on: its body streams through, and its trailers follow it."""
    if not exchange.has_body:
        return Outgoing(head)
    return Outgoing(head, _request_body(exchange), lambda: end_to_end(exchange.trailers))


async def _request_body(exchange: Exchange) -> AsyncIterator[bytes]:
    async for part in exchange.body():
        yield part


async def response_body(request: RequestHead, response: Response) -> Body:
    """A short body whole, so that it leaves with its head; a long one as it comes."""
    if request.method == "HEAD" or response.head.status in {204, 304}:
        return await response.read()
    return await response.read() if is_short(response) else response.body()


def is_short(response: Response) -> bool:
    """Whether the whole body is worth waiting for."""
    length = response.head.headers.get("content-length")
    bodiless = response.head.status in {204, 304}
    return bodiless or (length.isdigit() and int(length) <= WHOLE)


async def relay(exchange: Exchange, response: Response, head: ResponseHead, body: Body) -> None:
    """Pass the response on: what came before it (RFC 9110 section 15.2) first, then `head` and `body`, then
    its trailers. 100 is each connection's own affair."""
    for interim in response.informational:
        if interim.status != 100:
            await exchange.inform(relayed_head(interim))
    await exchange.respond(head, body, lambda: end_to_end(response.trailers))


def relayed_head(response: ResponseHead) -> ResponseHead:
    return response.with_headers(end_to_end(response.headers))


def plain_text(status: int, text: str, *fields: tuple[str, str]) -> tuple[ResponseHead, bytes]:
    """A response of the gateway's own; nobody may store it."""
    body = f"{text}\n".encode()
    own = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))
    return ResponseHead(status, Headers((*own, *fields))), body


def host_of(request: RequestHead) -> str:
    """The Host field's name, without the port, in lower case."""
    host = request.authority.lower()
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
