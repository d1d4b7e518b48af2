"""The client: asks URLs in order, each on a new connection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

from netlab.errors import InputError, NetlabError
from netlab.model.roles import ClientSpec, Request
from netlab.net.context import RoleContext
from netlab.net.http1_server import as_mapping
from netlab.net.http_client import fetch
from netlab.net.stub import Stub
from netlab.net.upstream import Response, Target, UpstreamError
from netlab.policy.tracing import new_traceparent
from netlab.proto.http import Headers, RequestHead

_PORTS = {"http": 80, "https": 443}


async def serve(spec: ClientSpec, ctx: RoleContext) -> None:
    """Exit status 0 where each request had a response, of whatever status."""
    ctx.ready()
    if not spec.requests:
        await ctx.stopped()
        return
    client = _Client(spec, ctx)
    answered = [await client.ask(request) for request in spec.requests]
    ctx.exit_status = 0 if all(answered) else 1


@dataclass(frozen=True, slots=True)
class _Url:
    scheme: str
    host: str
    port: int
    authority: str  # as in Host
    target: str


def _parse(url: str) -> _Url:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        host = parts.hostname or ""
    except (ValueError, KeyError) as error:
        raise InputError(f"{url!r} is not an http or https URL") from error
    if not host:
        raise InputError(f"{url!r} names no host")
    query = f"?{parts.query}" if parts.query else ""
    authority = parts.netloc.rpartition("@")[2]
    return _Url(parts.scheme, host, port, authority, (parts.path or "/") + query)


class _Client:
    def __init__(self, spec: ClientSpec, ctx: RoleContext) -> None:
        self._spec = spec
        self._ctx = ctx
        self._stub = Stub(ctx)  # one for all requests: the second knows the name already
        if ctx.launch.trust_pem:
            ctx.tls_client(
                spec.tls
            )  # made before the first click, as a browser has read its trust store by then

    async def ask(self, request: Request) -> bool:
        """True where there was a response."""
        name = request.name or request.url
        traceparent = request.traceparent or new_traceparent(self._ctx.rng)
        self._ctx.emit("request-start", name=name, url=request.url, traceparent=traceparent)
        started = self._ctx.now()
        try:
            async with asyncio.timeout(request.timeout_ns / 1e9):
                await self._exchange(name, request, traceparent, started)
        except TimeoutError:
            return self._failed(name, f"no response in {request.timeout_ns / 1e9:g} s")
        except (NetlabError, OSError, UpstreamError) as error:
            return self._failed(name, str(error))
        return True

    def _failed(self, name: str, cause: str) -> bool:
        self._ctx.emit("request-failed", name=name, cause=cause)
        return False

    def _head(self, request: Request, url: _Url, traceparent: str) -> RequestHead:
        headers = Headers(
            (
                ("Host", url.authority),
                ("User-Agent", self._spec.user_agent),
                ("Accept", "application/json"),
            )
        )
        if self._ctx.launch.bearer_token:
            headers = headers.plus("Authorization", f"Bearer {self._ctx.launch.bearer_token}")
        headers = headers.plus("traceparent", traceparent)
        for field, value in request.headers.items():
            headers = headers.having(field, value)
        return RequestHead(request.method, url.target, headers)

    async def _exchange(self, name: str, request: Request, traceparent: str, started: float) -> None:
        """Try the host's addresses until one takes the connection."""
        url = _parse(request.url)
        head = self._head(request, url, traceparent)
        context = (request.tls or self._spec.tls) if url.scheme == "https" else None
        failure = UpstreamError(f"{url.host} has no address")
        for address in await self._stub.lookup(url.host):
            target = Target(address, url.port, context, url.host)
            try:
                async with fetch(self._ctx, target, head) as response:
                    await self._finish(name, response, started)
            except UpstreamError as error:
                failure = error
                if not error.unsent:
                    break
            else:
                return
        raise failure

    async def _finish(self, name: str, response: Response, started: float) -> None:
        body = await response.read()
        self._ctx.emit(
            "request-done",
            name=name,
            status=response.head.status,
            bytes=len(body),
            headers=as_mapping(response.head.headers),
            total_ms=round((self._ctx.now() - started) * 1000, 3),
        )
