"""A proxy before upstreams that are slow, at each stage: TLS that does not come, a head, the next part of a
body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from netlab.net.connection import Peer
from netlab.net.exchange import Exchange
from netlab.net.stream import Stream
from netlab.proto.http import Headers, ResponseHead
from tests.kit.origin import NAME
from tests.kit.proxy import Proxy, proxied

QUICK = {"resilience": {"timeouts": {"connect": "300ms", "read": "300ms"}}}


async def elapsed(begun: float) -> float:
    return asyncio.get_running_loop().time() - begun


def test_an_upstream_that_is_silent_when_connected(tmp_path: Path) -> None:
    async def silent(stream: Stream, peer: Peer) -> None:
        del peer
        while await stream.read():
            pass

    async def work(proxy: Proxy) -> None:
        await proxy.site.server.ctx.listen(8092, silent)
        begun = asyncio.get_running_loop().time()
        assert (await proxy.ask()).status == 504, proxy.evidence()
        assert 0.2 < await elapsed(begun) < 3

    proxied(tmp_path, work, {**QUICK, "upstreams": ("127.0.0.1:8092",), "tls_name": NAME})


def test_an_upstream_whose_head_is_late(tmp_path: Path) -> None:
    async def late(exchange: Exchange) -> None:
        await asyncio.sleep(1.0 if exchange.request.path == "/late" else 0.1)
        await exchange.respond(ResponseHead(200), b"here")

    async def work(proxy: Proxy) -> None:
        begun = asyncio.get_running_loop().time()
        assert (await proxy.ask("/late")).status == 504, proxy.evidence()
        assert 0.2 < await elapsed(begun) < 0.9
        assert (await proxy.ask("/")).body == b"here", proxy.evidence()

    proxied(tmp_path, work, QUICK, answer=late)


def test_an_upstream_that_stalls_within_its_body(tmp_path: Path) -> None:
    async def parts(pause_s: float) -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(50_000)
            await asyncio.sleep(pause_s)

    async def answer(exchange: Exchange) -> None:
        length = Headers((("Content-Length", "200000"),))
        pause_s = 1.0 if exchange.request.path == "/stalls" else 0.1
        await exchange.respond(ResponseHead(200, length), parts(pause_s))

    async def work(proxy: Proxy) -> None:
        steady = await proxy.ask("/")
        assert (steady.status, len(steady.body)) == (200, 200_000), proxy.evidence()
        begun = asyncio.get_running_loop().time()
        cut = await proxy.ask("/stalls")
        assert cut.status == 200
        assert len(cut.body) < 200_000, "what is missing is seen to be missing"
        assert await elapsed(begun) < 0.9, proxy.evidence()

    proxied(tmp_path, work, QUICK, answer=answer)
