"""An HTTP/3 server and its clients in one event loop, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec, TlsClient, TlsServer
from netlab.net.exchange import Exchange, Handler, Timeouts
from netlab.net.http3_client import Http3Connection, open_http3
from netlab.net.http3_server import serve_http3
from netlab.net.upstream import Outgoing, Target
from netlab.pki.authority import Authority
from netlab.proto.http import Headers, RequestHead, ResponseHead
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.roles_in_process import Running, context

NAME = "h3.example.com"


async def echo(exchange: Exchange) -> None:
    """The request's body, as it comes; for GET its target."""
    if exchange.request.method == "POST":
        await exchange.respond(ResponseHead(200), exchange.body())
    else:
        await exchange.respond(ResponseHead(200), exchange.request.target.encode())


@dataclass
class Pair:
    """The server's context, the client's, and where the server is."""

    server: Running
    client: Running
    port: int
    tls: TlsClient = field(default_factory=TlsClient)

    def target(self, address: str = "127.0.0.1", tls: TlsClient | None = None) -> Target:
        return Target(address, self.port, tls or self.tls, NAME, ("3",))

    @asynccontextmanager
    async def connection(
        self, address: str = "127.0.0.1", tls: TlsClient | None = None
    ) -> AsyncIterator[Http3Connection]:
        made = await open_http3(self.client.ctx, self.target(address, tls), 5.0)
        try:
            yield made
        finally:
            made.abort()


async def ask(connection: Http3Connection, path: str = "/", **more: Any) -> tuple[int, bytes]:
    """Status and body of one request."""
    async with connection.exchange(request(path, **more)) as response:
        return response.head.status, await response.read()


def request(path: str = "/", method: str = "GET", body: AsyncIterator[bytes] | None = None) -> Outgoing:
    head = RequestHead(method, path, Headers((("Host", NAME),)))
    return Outgoing(head, body, timeout_s=10)


Work = Callable[[Pair], Coroutine[Any, Any, None]]


def paired(
    directory: Path,
    work: Work,
    handler: Handler = echo,
    tls: TlsServer | None = None,
    timeouts: Timeouts | None = None,
) -> None:
    """Run `work` beside a server; then the server drains."""
    loopback_up()
    asyncio.run(_paired(directory, work, handler, tls or TlsServer(), timeouts))


async def _paired(
    directory: Path, work: Work, handler: Handler, tls: TlsServer, timeouts: Timeouts | None
) -> None:
    authority = Authority.create("test", datetime.now(UTC))  # noqa: TID251 - certificates are of today
    trust = authority.root_pem
    async with asyncio.timeout(40), asyncio.TaskGroup() as tasks:
        made = Launch(
            lab="test", node="server", role="app", spec=ClientSpec(), trust_pem=trust,
            identity=authority.issue((NAME,)),
        )  # fmt: skip
        server = context(made, directory, tasks)
        identity = authority.issue(("client",), purpose="client")
        made = Launch(
            lab="test", node="client", role="client", spec=ClientSpec(), trust_pem=trust,
            client_identity=identity,
        )  # fmt: skip
        client = context(made, directory, tasks)
        port = await serve_http3(server.ctx, 0, handler, tls, timeouts)
        try:
            await work(Pair(server, client, port))
        finally:
            client.ctx.stop()
            await server.ctx.drain()
