"""A server of HTTP in the test's own process, on loopback, and raw sockets that talk to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec, HttpVersion
from netlab.net.connection import Peer
from netlab.net.exchange import Handler, Timeouts
from netlab.net.http_server import BOTH, serve_http
from netlab.net.stream import Stream
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.roles_in_process import Running, context

PORT = 8000
Work = Callable[[Running], Coroutine[Any, Any, None]]


def serving(
    directory: Path,
    handler: Handler,
    work: Work,
    timeouts: Timeouts | None = None,
    versions: tuple[HttpVersion, ...] = BOTH,
) -> None:
    """Run `work` beside a server on PORT; at the end every connection has to be closed."""

    async def main() -> None:
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            launch = Launch(lab="test", node="n", role="r", spec=ClientSpec())
            server = context(launch, directory, tasks)

            async def handle(stream: Stream, peer: Peer) -> None:
                await serve_http(server.ctx, stream, peer, handler, timeouts, versions)

            await server.ctx.listen(PORT, handle)
            try:
                await work(server)
            finally:
                await server.ctx.drain()
            opened, closed = (
                {tuple(event["flow"]) for event in server.events(kind)}
                for kind in ("connection-opened", "connection-closed")
            )
            assert opened == closed, server.events()

    loopback_up()
    asyncio.run(main())


async def talk(*parts: bytes, eof: bool = False) -> bytes:
    """What the server says to `parts` until it closes; it closes by itself, or the test fails."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if eof:
            writer.write_eof()
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
