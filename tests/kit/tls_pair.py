"""A TLS server and a TLS client in the test's process, on loopback, each with its own context of a role."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from netlab.model.launch import Identity, Launch
from netlab.model.roles import ClientSpec, TlsClient, TlsServer
from netlab.net.connection import Peer
from netlab.net.stream import Stream
from netlab.net.tls import TlsStream
from netlab.pki import Authority
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.roles_in_process import Running, context

NAME = "api.example.com"
PORT = 8443
NOW = datetime.fromtimestamp(Path("/proc/self").stat().st_mtime, UTC)
AUTHORITY = Authority.create("test", NOW)
IDENTITY = AUTHORITY.issue((NAME, "127.0.0.1"))
CLIENT_IDENTITY = AUTHORITY.issue(("client-a",), purpose="client")
Handler = Callable[[Stream, Peer], Awaitable[None]]


async def echo(stream: Stream, _: Peer) -> None:
    while data := await stream.read():
        await stream.write(data)


@dataclass
class Pair:
    """Both ends. `alpn` of the server and of each connection are the caller's."""

    server: Running
    client: Running

    async def listen(
        self, spec: TlsServer, handler: Handler = echo, alpn: tuple[str, ...] = ("http/1.1",)
    ) -> None:
        await self.server.ctx.listen(PORT, handler, tls=self.server.ctx.tls_server(spec, alpn))

    async def connect(
        self, spec: TlsClient | None = None, name: str = NAME, alpn: tuple[str, ...] = ("http/1.1",)
    ) -> TlsStream:
        tls = self.client.ctx.tls_client(spec or TlsClient(), alpn)
        stream = await self.client.ctx.connect("127.0.0.1", PORT, tls=tls, server_name=name)
        assert isinstance(stream, TlsStream)
        return stream

    async def ask(self, spec: TlsClient | None = None, name: str = NAME) -> TlsStream:
        """A connection, one word there and back, and its end."""
        stream = await self.connect(spec, name)
        try:
            await stream.write(b"word")
            assert await stream.read() == b"word"
        finally:
            await stream.close()
        return stream

    def handshakes(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """(server's, client's) event of each."""
        ends = (self.server.events("tls-handshake"), self.client.events("tls-handshake"))
        return list(zip(*ends, strict=True))

    def evidence(self) -> str:
        return "\n".join(map(str, self.server.events() + self.client.events()))


def pair(
    directory: Path,
    work: Callable[[Pair], Coroutine[Any, Any, None]],
    identity: Identity = IDENTITY,
    client_identity: Identity | None = None,
) -> None:
    """Run `work`. Key logs are `server.keys` and `client.keys` in `directory`."""

    async def main() -> None:
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            ends = []
            for node in ("server", "client"):
                launch = Launch(
                    lab="test",
                    node=node,
                    role=node,
                    spec=ClientSpec(),
                    trust_pem=AUTHORITY.root_pem,
                    identity=identity,
                    client_identity=client_identity,
                )
                os.environ["SSLKEYLOGFILE"] = str(directory / f"{node}.keys")
                ends.append(context(launch, directory, tasks))
            del os.environ["SSLKEYLOGFILE"]
            made = Pair(*ends)
            try:
                await work(made)
            finally:
                await made.server.ctx.drain()

    loopback_up()
    asyncio.run(main())
