"""What a proxy asks of requests, through live sockets: limits, tokens, the firewall; and what the upstream
never sees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from netlab.model.roles import HttpVersion, TlsClient
from netlab.model.roles.jwt import TokenFault
from netlab.net.exchange import Exchange
from netlab.net.http_listen import listen_http
from netlab.net.pool import ConnectionPool
from netlab.net.upstream import Outgoing, Target
from netlab.pki import TokenKey
from netlab.proto.http import Headers, RequestHead, ResponseHead
from tests.kit.origin import NAME
from tests.kit.proxy import PORT, Proxy, proxied
from tests.kit.roles_in_process import until

LAB = TokenKey.create()


def bearer(fault: TokenFault = "none") -> str:
    return f"Authorization: Bearer {LAB.token('alice', datetime.fromtimestamp(time(), UTC), fault)}"


# How often.


def test_a_limit_by_client_says_so_and_stops_what_is_more(tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        answers = [await proxy.ask() for _ in range(5)]
        assert [one.status for one in answers] == [200, 200, 200, 429, 429], proxy.evidence()
        assert answers[0].fields["ratelimit-policy"] == '"default";q=3;w=60'
        assert answers[0].fields["ratelimit"].startswith('"default";r=2;t=')
        assert answers[3].fields["ratelimit"].startswith('"default";r=0;t=')
        assert int(answers[3].fields["retry-after"]) in range(15, 21), answers[3]
        assert len(proxy.seen) == 3, proxy.evidence()
        assert (await proxy.ask(source="127.0.0.2")).status == 200
        assert [one["client"] for one in proxy.role.events("rate-limited")] == ["127.0.0.1"] * 2

    proxied(tmp_path, work, rate_limits=[{"quota": 3, "window": "60s"}])


def test_limits_by_key_and_of_a_route(tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        keys = [await proxy.ask("/api/", f"X-Key: {key}") for key in ("a", "a", "b", "a")]
        assert [one.status for one in keys] == [200, 200, 200, 429], proxy.evidence()
        assert (await proxy.ask("/", "X-Key: a")).status == 200
        assert (await proxy.ask("/")).fields.get("ratelimit") is None

    limit = {"name": "key", "algorithm": "sliding-window", "quota": 2, "window": "60s", "by": "header:X-Key"}
    proxied(tmp_path, work, {"path": "/api/", "rate_limits": [limit]}, {})


# Who.


@pytest.mark.parametrize("fault", ["expired", "wrong-key", "alg-none", "hs256-public-key", "not-yet-valid"])
def test_bad_tokens_are_refused_and_the_upstream_never_sees_them(tmp_path: Path, fault: TokenFault) -> None:
    async def work(proxy: Proxy) -> None:
        refused = await proxy.ask("/private", bearer(fault))
        assert refused.status == 401, proxy.evidence()
        assert refused.fields["www-authenticate"] == 'Bearer realm="netlab", error="invalid_token"'
        assert proxy.seen == []
        assert (await proxy.ask("/private")).status == 401
        assert (await proxy.ask("/private", bearer(), "X-Auth-Subject: root")).status == 200
        assert proxy.seen[0].headers.all("x-auth-subject") == ["alice"]
        assert (await proxy.ask("/public/", "X-Auth-Subject: root")).status == 200
        assert not proxy.seen[1].headers.has("x-auth-subject")
        assert (await proxy.ask("/public/../private")).status == 400

    routes: tuple[dict[str, Any], ...] = ({}, {"path": "/public/", "jwt": False})
    proxied(tmp_path, work, *routes, jwt=True, launch={"jwt_public_pem": LAB.public_pem})


def test_keys_come_from_a_key_set_and_rotate(tmp_path: Path) -> None:
    old, new = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65_537, 2048)
    published: list[dict[str, Any]] = []
    asked: list[str] = []

    async def keys(exchange: Exchange) -> None:
        asked.append(exchange.request.target)
        await exchange.respond(ResponseHead(200), json.dumps({"keys": published}).encode())

    def token(key: Any, algorithm: str, name: str) -> str:
        claims = {"iss": "idp", "sub": name, "exp": time() + 60}
        return f"Authorization: Bearer {jwt.encode(claims, key, algorithm, {'kid': name})}"

    def jwk(name: str, key: Any) -> dict[str, Any]:
        kind = jwt.algorithms.ECAlgorithm if name == "old" else jwt.algorithms.RSAAlgorithm
        return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"}

    async def work(proxy: Proxy) -> None:
        await listen_http(proxy.site.server.ctx, 8090, ("1.1",), None, keys)
        first, second = token(old, "ES256", "old"), token(new, "RS256", "new")
        published[:] = [jwk("old", old)]
        assert (await proxy.ask("/", first)).status == 200, proxy.evidence()  # its key was asked for
        assert (await proxy.ask("/", second)).status == 401
        published[:] = [jwk("old", old), jwk("new", new)]
        assert (await proxy.ask("/", second)).status == 200, proxy.evidence()
        assert (await proxy.ask("/", first)).status == 200  # the old one until it is taken out
        published[:] = [jwk("new", new)]
        await until(lambda: proxy.role.events("jwks")[-1]["keys"] == ["new"], "the old key is gone")
        assert (await proxy.ask("/", first)).status == 401, proxy.evidence()
        assert (await proxy.ask("/", second)).status == 200
        assert set(asked) == {"/keys"}

    settings = {
        "lab_key": False,
        "issuer": "idp",
        "jwks": {"upstream": "127.0.0.1:8090", "path": "/keys", "refresh": "300ms", "cooldown": 0},
    }
    proxied(tmp_path, work, jwt=settings)


def test_a_key_set_that_is_gone_leaves_the_keys_that_were_known(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = {**jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k"}
    says: list[tuple[int, bytes]] = [(200, json.dumps({"keys": [public]}).encode())]

    async def keys(exchange: Exchange) -> None:
        status, body = says[0]
        await exchange.respond(ResponseHead(status), body)

    async def work(proxy: Proxy) -> None:
        await listen_http(proxy.site.server.ctx, 8090, ("1.1",), None, keys)
        claims = {"iss": "netlab", "sub": "a", "exp": time() + 60}
        token = f"Authorization: Bearer {jwt.encode(claims, key, 'ES256', {'kid': 'k'})}"
        await until(lambda: proxy.role.events("jwks"), "the keys are known")
        assert (await proxy.ask("/", token)).status == 200, proxy.evidence()
        for bad in ((500, b""), (200, b"not JSON"), (200, b"[" * 100_000), (200, b"x" * 300_000)):
            says[0] = bad
            before = len(proxy.role.events("error"))
            await until(lambda: len(proxy.role.events("error")) > before + 1, f"it sees {bad[:20]!r}")  # noqa: B023
            assert (await proxy.ask("/", token)).status == 200, proxy.evidence()

    jwks = {"upstream": "127.0.0.1:8090", "refresh": "50ms"}
    proxied(tmp_path, work, jwt={"lab_key": False, "jwks": jwks})


# What.

FORM = "Content-Type: application/x-www-form-urlencoded"


def test_the_firewall_stops_attacks_before_the_upstream(tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        attack = "/search?q=%27%20or%20%271%27=%271"
        assert (await proxy.ask(attack)).status == 403, proxy.evidence()
        assert (await proxy.ask("/f", FORM, method="POST", body="a=%3Cscript%3E")).status == 403
        assert proxy.seen == []
        (first, _) = proxy.role.events("waf-matched")
        assert first["rules"] == ["sqli-tautology in query", "sqli-compare in query"], first
        body = "text=" + "O%27Brien+" * 5000  # looked at in part, passed on whole
        assert (await proxy.ask("/f", FORM, method="POST", body=body)).status == 200, proxy.evidence()
        assert proxy.bodies == [body.encode()]
        assert (await proxy.ask(f"/raw{attack}")).status == 200

    proxied(tmp_path, work, {}, {"path": "/raw/", "waf": False}, waf={})


def test_the_firewall_reports_only(tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        assert (await proxy.ask("/?q=<script>")).status == 200, proxy.evidence()
        (told,) = proxy.role.events("waf-matched")
        assert (told["blocked"], told["rules"]) == (
            False,
            ["xss-script in query", "xss-script-word in query"],
        )

    proxied(tmp_path, work, waf={"mode": "report"})


# How long.


def test_heads_that_are_long(tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        assert (await proxy.ask("/", *(f"X-{n}: a" for n in range(8)))).status == 200, proxy.evidence()
        assert (await proxy.ask("/", *(f"X-{n}: a" for n in range(9)))).status == 431
        assert (await proxy.ask("/", f"X-Long: {'x' * 1000}")).status == 431
        assert len(proxy.seen) == 1

    proxied(tmp_path, work, limits={"fields": 10, "head_bytes": 1000})


@pytest.mark.parametrize("upstream", ["1.1", "2"])
def test_bodies_that_are_long(tmp_path: Path, upstream: Any) -> None:
    async def work(proxy: Proxy) -> None:
        assert (await proxy.ask(method="POST", body="x" * 100_000)).status == 200, proxy.evidence()
        assert (await proxy.ask(method="POST", body="x" * 100_001)).status == 413, proxy.evidence()
        assert len(proxy.bodies) == 1
        chunks = b"".join(b"4000\r\n" + b"x" * 0x4000 + b"\r\n" for _ in range(7)) + b"0\r\n\r\n"
        head = (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert (await proxy.talk(head + chunks)).startswith(b"HTTP/1.1 413"), proxy.evidence()
        assert len(proxy.bodies) == 1, "it came to no end at the upstream"
        assert (await proxy.ask()).status == 200

    proxied(tmp_path, work, upstream=upstream, limits={"body_bytes": 100_000})


# How slowly.

SLOW = {"head": "300ms", "body": "300ms", "idle": "300ms"}
HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"


@pytest.mark.parametrize(
    ("begun", "answer"),
    [(b"GET / HTTP/1.1\r\nHost:", b"HTTP/1.1 408"), (HEAD + b"abc", b"HTTP/1.1 408"), (b"", b"")],
)
def test_a_slow_client(tmp_path: Path, begun: bytes, answer: bytes) -> None:
    async def work(proxy: Proxy) -> None:
        said = await proxy.talk(begun)
        assert said[: len(answer) or 1] == answer, (said, proxy.evidence())

    proxied(tmp_path, work, timeouts=SLOW)


@pytest.mark.parametrize("version", ["2", "3"])
def test_a_slow_body_of_a_stream_ends_that_stream(tmp_path: Path, version: HttpVersion) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"abc"
        await asyncio.sleep(30)

    async def work(proxy: Proxy) -> None:
        pool = ConnectionPool(proxy.site.client.ctx)
        target = Target("127.0.0.1", PORT, TlsClient(), NAME, (version,))
        head = RequestHead("POST", "/", Headers((("Host", NAME), ("Content-Length", "9"))))
        began = asyncio.get_running_loop().time()
        async with pool.exchange(target, Outgoing(head, stalling())) as response:
            assert response.head.status == 408, proxy.evidence()
        assert 0.2 < asyncio.get_running_loop().time() - began < 5
        plain = RequestHead("GET", "/", Headers((("Host", NAME),)))
        async with pool.exchange(target, Outgoing(plain)) as response:
            assert response.head.status == 200, proxy.evidence()
        await pool.close()
        assert proxy.bodies == [], "the upstream got no whole body"

    proxied(tmp_path, work, timeouts=SLOW, http=[version])


def test_a_client_that_keeps_moving_has_time(tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        reader, writer = await proxy.connect()
        writer.write(HEAD)
        for byte in b"123456789":
            await asyncio.sleep(0.08)
            writer.write(bytes((byte,)))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200"), proxy.evidence()
        writer.transport.abort()

    proxied(tmp_path, work, timeouts=SLOW)


# Answers for a moment.


def test_a_micro_cache_asks_once(tmp_path: Path) -> None:
    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.2)
        fields = (("Set-Cookie", "a=b"),) if exchange.request.path == "/own" else ()
        await exchange.respond(ResponseHead(200, Headers(fields)), b"answer")

    async def work(proxy: Proxy) -> None:
        together = await asyncio.gather(*(proxy.ask("/page") for _ in range(8)))
        assert {(one.status, one.body) for one in together} == {(200, b"answer")}, proxy.evidence()
        assert len(proxy.seen) == 1, proxy.evidence()
        assert len({one.fields["x-request-id"] for one in together}) == 8
        await asyncio.gather(*(proxy.ask("/page", "Cookie: a=b") for _ in range(2)))
        await asyncio.gather(*(proxy.ask("/own") for _ in range(2)))
        assert len(proxy.seen) == 5, proxy.evidence()
        await asyncio.sleep(1.1)
        await proxy.ask("/page")
        assert len(proxy.seen) == 6, proxy.evidence()

    proxied(tmp_path, work, {"micro_cache": "1s"}, answer=slow)


def test_a_micro_cache_holds_nobody_up_behind_a_stream(tmp_path: Path) -> None:
    async def stream(exchange: Exchange) -> None:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(20):
                yield f"data: {number}\n\n".encode()
                await asyncio.sleep(0.1)

        await asyncio.sleep(0.2)
        await exchange.respond(ResponseHead(200), parts())

    async def first_event(proxy: Proxy) -> float:
        began = asyncio.get_running_loop().time()
        reader, writer = await proxy.connect()
        writer.write(f"GET /events HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        await reader.readuntil(b"data: 0")
        writer.transport.abort()
        return asyncio.get_running_loop().time() - began

    async def work(proxy: Proxy) -> None:
        waits = await asyncio.gather(*(first_event(proxy) for _ in range(3)))
        assert max(waits) < 1.5, (waits, proxy.evidence())  # the stream takes two seconds
        assert len(proxy.seen) == 3, proxy.evidence()

    proxied(tmp_path, work, {"micro_cache": "1s"}, answer=stream)
