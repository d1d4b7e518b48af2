"""A cdn role in the test's process, before an origin of raw bytes, with clients of raw bytes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlab.model.roles import CdnSpec, TlsServer
from netlab.net.connection import Peer
from netlab.net.context import RoleContext
from netlab.net.stream import Stream
from netlab.roles import cdn
from tests.kit.origin import AUTHORITY, IDENTITY, NAME, Site, site
from tests.kit.role_process import RoleProcess, roles
from tests.kit.roles_in_process import Running, running

PORT = 8443
_TRUST: dict[str, Any] = {"trust_pem": AUTHORITY.root_pem, "identity": IDENTITY}
Script = Callable[[str, Stream], Awaitable[None]]  # a request's head, and where the answer goes


@dataclass
class Edge:
    """`asked`: the heads of the requests that the origin got."""

    role: Running | RoleProcess
    spec: CdnSpec
    directory: Path
    asked: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def beside(self, node: str, port: int, **spec: Any) -> AsyncIterator[Edge]:
        """Another edge before the same origin."""
        described = self.spec.model_copy(update={"listen": port, **spec})
        async with running(_serve, described, self.directory, node, (), **_TRUST) as role:
            yield Edge(role, described, self.directory, self.asked)

    @asynccontextmanager
    async def process(self, port: int, **spec: Any) -> AsyncIterator[Edge]:
        """Another edge before the same origin, in a process of its own."""
        described = self.spec.model_copy(update={"listen": port, **spec})
        with roles(self.directory) as started:
            role = await asyncio.to_thread(lambda: started.start(f"process-{port}", described, **_TRUST))
            yield Edge(role, described, self.directory, self.asked)

    async def open(self, data: bytes) -> asyncio.StreamWriter:
        """A connection on which `data` has been sent, and of which nobody reads."""
        return (await self._sent(data))[1]

    async def talk(self, data: bytes) -> bytes:
        """All that the edge says until it closes."""
        reader, writer = await self._sent(data)
        try:
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.transport.abort()

    async def _sent(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.create_default_context(cadata=AUTHORITY.root_pem)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.spec.listen, ssl=context, server_hostname=NAME
        )
        writer.write(data)
        return reader, writer

    async def ask(self, target: str, *fields: str, method: str = "GET", body: str = "") -> Answer:
        lines = (f"{method} {target} HTTP/1.1", f"Host: {NAME}", "Connection: close", *fields)
        said = await self.talk(("\r\n".join((*lines, "", "")) + body).encode())
        return Answer.read(said)


@dataclass(frozen=True)
class Answer:
    status: int
    fields: dict[str, str]
    body: bytes

    @classmethod
    def read(cls, said: bytes) -> Answer:
        head, _, body = said.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:])
        fields = {name.lower(): value.strip() for name, _, value in pairs}
        assert lines[0].startswith("HTTP/1.1 "), said
        return cls(int(lines[0].split()[1]), fields, body)

    @property
    def cache(self) -> str:
        return self.fields.get("cache-status", "")


def http(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """A response with its length."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", "")
    return "\r\n".join(lines).encode() + body


async def _serve(spec: CdnSpec, ctx: RoleContext, _: tuple[str, ...]) -> None:
    await cdn.serve(spec, ctx)


def edge(directory: Path, script: Script, work: Callable[[Edge], Awaitable[None]], **spec: Any) -> None:
    """Run `work` beside the edge; each request that it sends on is answered by `script`."""

    async def main(made: Site) -> None:
        asked: list[str] = []

        async def origin(stream: Stream, peer: Peer) -> None:
            del peer
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = await stream.read()
                    if not data:
                        return
                    buffer += data
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                asked.append(head.decode("latin-1"))
                await script(asked[-1], stream)

        tls = made.server.ctx.tls_server(TlsServer())
        port = await made.server.ctx.listen(0, origin, tls=tls)

        described = CdnSpec(
            listen=PORT, names=(NAME,), http=("1.1",), origin=f"127.0.0.1:{port}", origin_name=NAME, **spec
        )
        async with running(_serve, described, directory, "cdn", (), **_TRUST) as role:
            await work(Edge(role, described, directory, asked))

    site(directory, main)
