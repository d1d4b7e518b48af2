"""An independent HTTP/3 client, niquests on qh3, against netlab's server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import niquests

from netlab.model.roles import Quic, TlsServer
from netlab.net.exchange import Exchange
from netlab.proto.http import Headers, ResponseHead
from tests.kit.http3_pair import NAME, Pair, paired


async def handler(exchange: Exchange) -> None:
    body = b"".join([part async for part in exchange.body()])
    fields = Headers((("x-method", exchange.request.method), ("x-path", exchange.request.target)))
    await exchange.respond(ResponseHead(200, fields), body or b"hello")


def session_to(pair: Pair, directory: Path) -> niquests.Session:
    (directory / "trust.pem").write_text(pair.client.ctx.launch.trust_pem)
    session = niquests.Session(resolver=f"in-memory://default?hosts={NAME}:127.0.0.1")
    session.quic_cache_layer[(NAME, pair.port)] = ("", pair.port)
    return session


def asking(pair: Pair, directory: Path) -> list[tuple[int | None, int | None, bytes | None]]:
    with session_to(pair, directory) as session:
        url, trust = f"https://{NAME}:{pair.port}", str(directory / "trust.pem")
        answers = [session.get(f"{url}/{number}", verify=trust) for number in range(20)]
        answers.append(session.post(f"{url}/post", data=b"x" * 500_000, verify=trust))
        return [(one.http_version, one.status_code, one.content) for one in answers]


def test_niquests(tmp_path: Path) -> None:
    async def work(pair: Pair) -> None:
        answers = await asyncio.to_thread(asking, pair, tmp_path)
        assert answers == [(30, 200, b"hello")] * 20 + [(30, 200, b"x" * 500_000)]
        assert not pair.server.events("error")

    for retry in (False, True):
        directory = tmp_path / str(retry)
        directory.mkdir()
        paired(directory, work, handler, TlsServer(quic=Quic(retry=retry)))
