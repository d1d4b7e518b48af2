"""HTTP/2 by independent clients: curl and nghttp (both nghttp2), over TLS and by prior knowledge."""

from __future__ import annotations

import asyncio
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec, TlsServer
from netlab.net.connection import Peer
from netlab.net.exchange import Exchange
from netlab.net.http2_server import serve_http2
from netlab.net.stream import Stream
from netlab.pki.authority import Authority
from netlab.proto.http import Headers, RequestHead, ResponseHead
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.roles_in_process import Running, context

NOW = datetime.fromtimestamp(Path("/proc/self").stat().st_mtime, UTC)
PLAIN, SECURE = 8000, 8443
BIG = bytes(range(256)) * 20_000


async def answer(exchange: Exchange) -> None:
    request = exchange.request
    if request.method == "POST":
        body = b"".join([part async for part in exchange.body()])
        await exchange.respond(ResponseHead(200), f"{len(body)} bytes".encode())
    elif request.target == "/big":
        await exchange.respond(ResponseHead(200), BIG, lambda: Headers((("x-trailer", "last"),)))
    elif request.target == "/push":
        style = RequestHead("GET", "/style.css", Headers((("Host", request.authority),)))
        await exchange.push(style, ResponseHead(200), b"p {}")
        await exchange.respond(ResponseHead(200), b"pushing")
    else:
        await exchange.respond(ResponseHead(200), request.target.encode())


def against(directory: Path, *argv: str) -> tuple[str, Running]:
    """What a program says that talks to a server on PLAIN, and over TLS on SECURE."""
    found: list[str] = []

    async def main() -> Running:
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            identity = Authority.create("test", NOW).issue(("a.example",))
            server = context(
                Launch(lab="test", node="n", role="r", spec=ClientSpec(), identity=identity), directory, tasks
            )

            async def handle(stream: Stream, peer: Peer) -> None:
                await serve_http2(server.ctx, stream, peer, answer)

            await server.ctx.listen(PLAIN, handle)
            await server.ctx.listen(SECURE, handle, tls=server.ctx.tls_server(TlsServer(), ("h2",)))
            program = await asyncio.create_subprocess_exec(
                *argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            said, _ = await program.communicate()
            found.append(said.decode("latin-1"))
            await server.ctx.drain()
        return server

    loopback_up()
    server = asyncio.run(main())
    return found[0], server


CURL = ("curl", "-sS", "-k", "--max-time", "10", "--resolve", f"a.example:{SECURE}:127.0.0.1")
URL = f"https://a.example:{SECURE}"


def test_curl_by_prior_knowledge(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{PLAIN}/x?y=z"
    said, server = against(tmp_path, *CURL, "--http2-prior-knowledge", "-i", url)
    assert said.startswith("HTTP/2 200"), said
    assert said.endswith("/x?y=z"), said
    assert server.events("error") == []


def test_curl_over_tls_takes_a_big_body(tmp_path: Path) -> None:
    said, server = against(tmp_path, *CURL, "--http2", "-i", f"{URL}/big")
    assert said.startswith("HTTP/2 200"), said[:500]
    assert BIG.decode("latin-1") in said
    assert server.events("error") == []


@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
def test_curl_sends_a_big_body(tmp_path: Path, expect: str) -> None:
    (tmp_path / "body").write_bytes(BIG)
    upload = ("--data-binary", f"@{tmp_path}/body", "-H", expect)
    said, server = against(tmp_path, *CURL, "--http2", *upload, f"{URL}/")
    assert said == f"{len(BIG)} bytes"
    assert server.events("error") == []


def test_curl_asks_in_parallel_on_one_connection(tmp_path: Path) -> None:
    said, server = against(tmp_path, *CURL, "--http2", "-Z", "--parallel-max", "50", f"{URL}/[1-50]")
    assert {int(found) for found in re.findall(r"/(\d+)", said)} == set(range(1, 51)), said
    assert len(server.events("connection-opened")) < 50, "they share"
    assert server.events("error") == []


@pytest.mark.needs("nghttp")
def test_nghttp_takes_a_push(tmp_path: Path) -> None:
    said, server = against(tmp_path, "nghttp", "-v", "--no-dep", f"http://127.0.0.1:{PLAIN}/push")
    assert "PUSH_PROMISE" in said, said
    assert "p {}" in said, said
    assert server.events("error") == []
    assert [event.get("pushed", False) for event in server.events("response-sent")].count(True) == 1


@pytest.mark.needs("nghttp")
def test_nghttp_takes_trailers_within_small_windows(tmp_path: Path) -> None:
    windows = ("--window-bits=10", "--connection-window-bits=11", "--null-out")
    said, server = against(tmp_path, "nghttp", "-v", *windows, f"http://127.0.0.1:{PLAIN}/big")
    assert "x-trailer: last" in said, said[-1000:]
    assert server.events("response-sent")[0]["bytes"] == len(BIG)
    assert server.events("error") == []


@pytest.mark.needs("nghttp")
def test_nghttp_with_trailers_continuation_and_old_priorities(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(BIG[:100_000])
    more = ("--trailer=x-end: 1", "--continuation", "--padding=100", f"--data={tmp_path}/body")
    said, server = against(tmp_path, "nghttp", "-v", *more, f"http://127.0.0.1:{PLAIN}/")
    assert "100000 bytes" in said, said
    assert re.search(r"recv GOAWAY", said) is None, said
    assert server.events("error") == []
