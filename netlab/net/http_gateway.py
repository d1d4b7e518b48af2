"""What a CDN edge and a reverse proxy have in common: a request passed on, a response passed back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from netlab.net.exchange import Body, Exchange
from netlab.net.upstream import Response
from netlab.proto.http import Headers, RequestHead, ResponseHead, end_to_end

_WHOLE = 64 * 1024  # responses up to here are passed on in one write
_REPLACED = ("expect", "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip")


def forwarded_head(request: RequestHead, added: Iterable[tuple[str, str]], pseudonym: str) -> RequestHead:
    """What goes to the upstream: end-to-end fields, Via (RFC 9110 section 7.6.3), and `added`, each of
    which replaces what came from outside. What a client says about forwarding is dropped."""
    headers = end_to_end(request.headers).without(*_REPLACED)
    via = request.headers.get("via")
    headers = headers.having("Via", f"{via}, 1.1 {pseudonym}" if via else f"1.1 {pseudonym}")
    for name, value in added:
        headers = headers.having(name, value)
    if request.headers.has("transfer-encoding"):
        headers = headers.without("content-length").plus("Transfer-Encoding", "chunked")
    return request.with_headers(headers)


def request_body(exchange: Exchange) -> AsyncIterator[bytes] | None:
    """The body to stream on; None where the request has none (RFC 9112 section 6.3)."""
    headers = exchange.request.headers
    if headers.has("transfer-encoding") or headers.get("content-length", "0") != "0":
        return exchange.body()
    return None


async def response_body(request: RequestHead, response: Response) -> Body:
    """A short body whole, so that it leaves with its head; a long one as it comes."""
    if request.method == "HEAD" or response.head.status in {204, 304}:
        return await response.read()
    length = response.head.headers.get("content-length")
    return await response.read() if length.isdigit() and int(length) <= _WHOLE else response.body()


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
