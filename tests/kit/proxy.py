"""A proxy role in the test's process, before an upstream of the test's, with clients of raw bytes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlab.model.launch import Identity
from netlab.model.roles import HttpVersion, ProxySpec
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange, Handler
from netlab.net.http_listen import listen_http
from netlab.proto.http import RequestHead, ResponseHead
from netlab.roles import proxy as proxy_role
from tests.kit.edge import Answer
from tests.kit.origin import AUTHORITY, IDENTITY, NAME, Site, site
from tests.kit.roles_in_process import Running, running

PORT = 8443


@dataclass
class Proxy:
    """`seen`: the heads of the requests that the upstream got, and their bodies."""

    role: Running
    site: Site
    seen: list[RequestHead] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def connect(
        self, name: str = NAME, source: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.create_default_context(cadata=AUTHORITY.root_pem)
        return await asyncio.open_connection(
            "127.0.0.1", PORT, ssl=context, server_hostname=name, local_addr=(source, 0)
        )

    async def talk(self, data: bytes, source: str = "127.0.0.1") -> bytes:
        """All that the proxy says until it closes."""
        reader, writer = await self.connect(source=source)
        try:
            writer.write(data)
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.transport.abort()

    async def ask(
        self,
        target: str = "/",
        *fields: str,
        method: str = "GET",
        body: str = "",
        host: str = NAME,
        source: str = "127.0.0.1",
    ) -> Answer:
        length = (f"Content-Length: {len(body)}",) if body else ()
        lines = (f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *length, *fields)
        return Answer.read(await self.talk(("\r\n".join((*lines, "", "")) + body).encode(), source))

    def evidence(self) -> str:
        return "\n".join(map(str, (*self.role.events(), "seen:", *self.seen)))


async def _echo(exchange: Exchange) -> None:
    await exchange.respond(ResponseHead(200), exchange.request.target.encode())


def proxied(
    directory: Path,
    work: Callable[[Proxy], Awaitable[None]],
    *routes: dict[str, Any],
    answer: Handler = _echo,
    upstream: HttpVersion = "1.1",
    identities: tuple[Identity, ...] = (),
    launch: dict[str, Any] | None = None,
    **spec: Any,
) -> None:
    """Run `work` beside the proxy with these routes (one, without any); requests that it passes on are
    answered by `answer`, the target if nothing is said."""

    async def main(made: Site) -> None:
        seen: list[RequestHead] = []
        bodies: list[bytes] = []

        async def origin(exchange: Exchange) -> None:
            seen.append(exchange.request)
            if exchange.has_body:
                bodies.append(b"".join([part async for part in exchange.body()]))
            await answer(exchange)

        port = await listen_http(made.server.ctx, 0, ("1.1", "2"), None, origin)
        to = {"upstreams": (f"127.0.0.1:{port}",), "http": upstream}
        described = ProxySpec.model_validate(
            {
                "listen": PORT,
                "names": (NAME,),
                "http": ("1.1",),
                "routes": [{**to, **route} for route in routes or ({},)],
                **spec,
            }
        )

        async def serve(spec: ProxySpec, ctx: RoleContext, _: tuple[str, ...]) -> None:
            await proxy_role.serve(spec, ctx)

        told = {
            "trust_pem": AUTHORITY.root_pem,
            "identity": identities[0] if identities else IDENTITY,
            "more_identities": identities[1:],
            "jwt_public_pem": "",
            "locations": {},
            "client_identity": None,
            **(launch or {}),
        }
        async with running(serve, described, directory, "proxy", (), **told) as role:
            await work(Proxy(role, made, seen, bodies))

    site(directory, main)
