"""An HTTP server in the test's process, on loopback, and a client's context beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec, HttpVersion, TlsClient, TlsServer
from netlab.net.exchange import Exchange
from netlab.net.http_listen import listen_http
from netlab.net.upstream import Target
from netlab.pki import Authority
from netlab.proto.http import Headers, ResponseHead
from netlab.roles import client as client_role
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.roles_in_process import Running, context, running, until

NAME = "localhost"
ADDRESS = "127.0.0.1"
NOW = datetime.fromtimestamp(Path("/proc/self").stat().st_mtime, UTC)
AUTHORITY = Authority.create("test", NOW)
IDENTITY = AUTHORITY.issue((NAME, ADDRESS))
Handler = Callable[[Exchange], Awaitable[None]]


async def echo(exchange: Exchange) -> None:
    """GET: the target. POST: how many bytes came. Target /large/N: a body of N bytes, as it is taken."""
    if exchange.request.method == "POST":
        size = sum([len(part) async for part in exchange.body()])
        await exchange.respond(ResponseHead(200), str(size).encode())
    elif exchange.request.target.startswith("/large/"):
        size = int(exchange.request.target.removeprefix("/large/"))
        length = Headers((("Content-Length", str(size)),))
        await exchange.respond(ResponseHead(200, length), zeros(size))
    else:
        await exchange.respond(ResponseHead(200), exchange.request.target.encode())


async def zeros(size: int) -> AsyncIterator[bytes]:
    part = bytes(65_536)
    for start in range(0, size, len(part)):
        yield part[: size - start]


@dataclass
class Site:
    """A server and a client's context. `port` is the server's."""

    directory: Path
    server: Running
    client: Running

    async def listen(
        self, handler: Handler = echo, *versions: HttpVersion, tls: TlsServer | None = None, port: int = 0
    ) -> int:
        """The port that it got. Without versions 1.1 and 2."""
        return await listen_http(self.server.ctx, port, versions or ("1.1", "2"), tls, handler)

    def target(self, port: int, *versions: HttpVersion, tls: TlsClient | None = None) -> Target:
        return Target(ADDRESS, port, tls, NAME, versions or ("1.1",))

    async def ask(self, spec: ClientSpec, **launch: Any) -> Running:
        """The client role's run, to its end."""
        launch = {"trust_pem": AUTHORITY.root_pem, "bearer_token": "", "resolvers": (), **launch}

        async def serve(spec: Any, ctx: Any, _: tuple[str, ...]) -> None:
            await client_role.serve(spec, ctx)

        name = f"client-{len(list(self.directory.glob('client-*')))}"
        async with running(serve, spec, self.directory, name, (), **launch) as role:
            await until(lambda: _all_answered(role, len(spec.requests)), "all requests are answered")
        return role

    def evidence(self) -> str:
        return "\n".join(str(one) for one in (*self.server.events(), "client:", *self.client.events()))


def _all_answered(role: Running, count: int) -> bool:
    return len(role.events("request-done", "request-failed")) == count


def site(directory: Path, work: Callable[[Site], Coroutine[Any, Any, None]]) -> None:
    """Run `work` beside both contexts; then no task of theirs may be left that hangs."""

    async def main() -> None:
        async with asyncio.timeout(40), _site(directory) as made:
            await work(made)

    loopback_up()
    asyncio.run(main())


@asynccontextmanager
async def _site(directory: Path) -> AsyncIterator[Site]:
    async with asyncio.TaskGroup() as tasks:
        contexts = []
        for node in ("server", "caller"):
            launch = Launch(
                lab="test",
                node=node,
                role="r",
                spec=ClientSpec(),
                trust_pem=AUTHORITY.root_pem,
                identity=IDENTITY,
            )
            contexts.append(context(launch, directory, tasks))
        try:
            yield Site(directory, *contexts)
        finally:
            for one in reversed(contexts):
                await one.ctx.drain()
