"""Where a proxy sends requests and what it says there, and its certificates, through live sockets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from netlab.model.roles import HttpVersion, ProxySpec, TlsClient, TlsServer
from netlab.net.exchange import Exchange
from netlab.net.http_listen import listen_http
from netlab.net.pool import ConnectionPool
from netlab.net.upstream import Outgoing, Target, UpstreamError
from netlab.proto.http import Headers, RequestHead, ResponseHead
from tests.kit.origin import AUTHORITY, NAME
from tests.kit.proxy import PORT, Proxy, proxied

LOOPBACK = "127.0.0.0/30"


def test_routes_by_host_method_and_header(tmp_path: Path) -> None:
    def arm(name: str, **match: Any) -> dict[str, Any]:
        return {**match, "request_headers": {"set": {"X-Arm": name}}}

    async def work(proxy: Proxy) -> None:
        asked: list[tuple[tuple[str, ...], dict[str, str], str]] = [
            (("/",), {}, "any"),
            (("/api/x",), {}, "api"),
            (("/api/x",), {"method": "POST"}, "post"),
            (("/api/x", "X-Beta: 1"), {}, "beta"),
            (("/api/x",), {"host": "other.example"}, "host"),
        ]
        for arguments, options, _ in asked:
            assert (await proxy.ask(*arguments, **options)).status == 200, proxy.evidence()
        arms = [head.headers.get("x-arm") for head in proxy.seen]
        assert arms == [name for *_, name in asked], proxy.evidence()

    routes = (
        arm("any"),
        arm("api", path="/api/"),
        arm("post", path="/api/", methods=["POST"]),
        arm("beta", path="/api/", headers={"X-Beta": "1"}),
        arm("host", hosts=["other.example"]),
    )
    proxied(tmp_path, work, *routes, names=[NAME, "other.example"])


def test_a_canary_keeps_its_clients(tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        arms: dict[str, Counter[str]] = {}
        for number in range(60):
            client = f"203.0.113.{number % 30}"
            await proxy.ask("/", f"X-Forwarded-For: {client}")
            arms.setdefault(client, Counter())[proxy.seen[-1].headers.get("x-arm")] += 1
        assert all(len(found) == 1 for found in arms.values()), arms
        canary = sum("canary" in found for found in arms.values())
        assert 2 <= canary <= 16, arms  # of 30, a quarter

    old = {"weight": 3, "request_headers": {"set": {"X-Arm": "old"}}}
    new = {"weight": 1, "request_headers": {"set": {"X-Arm": "canary"}}}
    proxied(tmp_path, work, old, new, trusted=[LOOPBACK])


def test_header_rules_both_ways(tmp_path: Path) -> None:
    async def answer(exchange: Exchange) -> None:
        fields = (("Server", "secret/1.0"), ("X-Kept", "1"))
        await exchange.respond(ResponseHead(200, Headers(fields)), b"")

    async def work(proxy: Proxy) -> None:
        found = await proxy.ask("/a?b=c", "X-Internal: forged", "X-Debug: 1")
        (head,) = proxy.seen
        assert head.headers.get("x-internal") == "127.0.0.1 GET /a", proxy.evidence()
        assert not head.headers.has("x-debug")
        assert "server" not in found.fields
        assert found.fields["x-kept"] == "1"
        assert found.fields["x-trace"] == f"id {found.fields['x-request-id']}"
        assert head.headers.get("x-request-id") == found.fields["x-request-id"]

    rules = {
        "request_headers": {"set": {"X-Internal": "{client} {method} {path}"}, "remove": ["X-Debug"]},
        "response_headers": {"remove": ["Server"], "add": {"X-Trace": "id {request_id}"}},
    }
    proxied(tmp_path, work, rules, answer=answer)


def test_what_strangers_say_of_the_client_is_dropped(tmp_path: Path) -> None:
    said = (
        "X-Forwarded-For: 6.6.6.6, 203.0.113.9",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: evil.example",
        "Forwarded: for=6.6.6.6",
        "X-Request-Id: given-1",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )

    async def work(proxy: Proxy) -> None:
        stranger = await proxy.ask("/", *said, source="127.0.0.9")
        trusted = await proxy.ask("/", *said, source="127.0.0.1")
        one, other = (head.headers for head in proxy.seen)
        names = ("x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-host")
        assert [one.get(name) for name in names] == ["127.0.0.9", "127.0.0.9", "https", NAME]
        assert one.get("forwarded") == f"for=127.0.0.9;by=_proxy;host={NAME};proto=https"
        assert one.get("x-request-id") == stranger.fields["x-request-id"] != "given-1"
        chain = "203.0.113.9, 127.0.0.1"
        assert [other.get(name) for name in names] == [chain, "203.0.113.9", "http", "evil.example"]
        assert other.get("forwarded") == (
            f"for=203.0.113.9;host=evil.example;proto=http, for=127.0.0.1;by=_proxy;host={NAME};proto=https"
        )
        assert other.get("x-request-id") == trusted.fields["x-request-id"] == "given-1"
        for headers in (one, other):
            assert headers.get("traceparent").startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
            assert "00f067aa0ba902b7" not in headers.get("traceparent")

    proxied(tmp_path, work, trusted=[LOOPBACK])


# Certificates.


async def status(proxy: Proxy, name: str, version: HttpVersion, tls: TlsClient | None = None) -> int:
    """Of a request by a client that believes a certificate for `name` alone. Raises UpstreamError."""
    pool = ConnectionPool(proxy.site.client.ctx)
    target = Target("127.0.0.1", PORT, tls or TlsClient(), name, (version,))
    head = RequestHead("GET", "/", Headers((("Host", name),)))
    try:
        async with pool.exchange(target, Outgoing(head)) as response:
            await response.read()
            return response.head.status
    finally:
        await pool.close()


NAMES = [NAME, "a.example", "b.example", "c.example"]
GROUPS = ((NAME,), ("a.example", "b.example"), ("c.example",))
CERTIFICATES = tuple(AUTHORITY.issue(names) for names in GROUPS)


@pytest.mark.parametrize("version", ["1.1", "2", "3"])
def test_the_certificate_is_chosen_by_name(tmp_path: Path, version: HttpVersion) -> None:
    async def work(proxy: Proxy) -> None:
        for name in NAMES:
            assert await status(proxy, name, version) == 200, proxy.evidence()
        with pytest.raises(UpstreamError, match=r"name|hostname"):
            await status(proxy, "d.example", version)

    proxied(tmp_path, work, identities=CERTIFICATES, names=NAMES, http=[version])


@pytest.mark.parametrize("version", ["1.1", "2", "3"])
def test_an_unknown_name_is_refused_by_an_alert(tmp_path: Path, version: HttpVersion) -> None:
    async def work(proxy: Proxy) -> None:
        assert await status(proxy, "c.example", version) == 200, proxy.evidence()
        with pytest.raises(UpstreamError) as refused:
            await status(proxy, "d.example", version)
        told = str(refused.value)
        assert "unrecognized name" in told or "d.example" in told or "112" in told, told

    refusing = {"unknown_name": "refuse"}
    proxied(tmp_path, work, identities=CERTIFICATES, names=NAMES, http=[version], tls=refusing)


def test_certificates_are_of_names_that_are_served() -> None:
    routes = [{"upstreams": ["127.0.0.1:1"]}]
    made = ProxySpec.model_validate({"names": NAMES, "routes": routes, "certificates": [["b.example"]]})
    assert made.name_groups == ((NAME, "a.example", "c.example"), ("b.example",))
    for groups, says in (([["x.example"]], "not in `names`"), ([["a.example"], ["a.example"]], "two certif")):
        with pytest.raises(ValidationError, match=says):
            ProxySpec.model_validate({"names": NAMES, "routes": routes, "certificates": groups})


@pytest.mark.parametrize("name", ["up.example", "wrong.example"])
def test_an_upstream_over_tls_is_verified_and_shown_a_certificate(tmp_path: Path, name: str) -> None:
    seen: list[str] = []

    async def upstream(exchange: Exchange) -> None:
        seen.append(exchange.request.target)
        await exchange.respond(ResponseHead(200), b"")

    async def work(proxy: Proxy) -> None:
        ctx = proxy.site.server.ctx
        object.__setattr__(ctx, "launch", ctx.launch.model_copy(update={"identity": identity}))
        await listen_http(ctx, 8091, ("1.1",), TlsServer(client_certificates="required"), upstream)
        with_certificate, without = await proxy.ask("/with"), await proxy.ask("/without")
        assert without.status == 502, proxy.evidence()
        assert with_certificate.status == (200 if name == "up.example" else 502), proxy.evidence()
        assert seen == (["/with"] if name == "up.example" else []), proxy.evidence()

    identity = AUTHORITY.issue(("up.example",))
    to = {"upstreams": ("127.0.0.1:8091",), "tls_name": name}
    routes = ({**to, "path": "/with", "exact": True, "tls": {"certificate": True}}, to)
    shown = AUTHORITY.issue(("proxy",), purpose="client")
    proxied(tmp_path, work, *routes, launch={"client_identity": shown})


def test_names_may_be_patterns_of_one_label(tmp_path: Path) -> None:
    async def work(proxy: Proxy) -> None:
        hosts = ("a.example", "x.a.example", "X.A.EXAMPLE:443", "y.x.a.example", "b.example")
        statuses = [(await proxy.ask("/", host=host)).status for host in hosts]
        assert statuses == [421, 200, 200, 421, 421], proxy.evidence()

    proxied(tmp_path, work, names=[NAME, "*.a.example"])


# What is no plain request.


def test_a_long_body_passes_as_it_comes(tmp_path: Path) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(50_000)
            await asyncio.sleep(0.01)

    async def answer(exchange: Exchange) -> None:
        await exchange.respond(ResponseHead(200, Headers((("Content-Length", "200000"),))), parts())

    async def work(proxy: Proxy) -> None:
        for _ in range(2):
            assert len((await proxy.ask()).body) == 200_000, proxy.evidence()

    proxied(tmp_path, work, answer=answer)


def test_events_and_tunnels_pass_through(tmp_path: Path) -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.protocol:
            tunnel = await exchange.tunnel()
            await tunnel.write(b"hello " + await tunnel.read())
            await tunnel.close()
            return

        async def events() -> AsyncIterator[bytes]:
            for number in range(3):
                yield f"data: {number}\n\n".encode()
                await asyncio.sleep(0.15)

        await exchange.respond(ResponseHead(200, Headers((("Content-Type", "text/event-stream"),))), events())

    async def work(proxy: Proxy) -> None:
        reader, writer = await proxy.connect()
        writer.write(f"GET /events HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        began = asyncio.get_running_loop().time()
        await reader.readuntil(b"data: 0")
        first = asyncio.get_running_loop().time() - began
        await reader.readuntil(b"data: 2")
        whole = asyncio.get_running_loop().time() - began
        assert first < whole - 0.2, "the first event did not wait for the last"
        writer.transport.abort()
        reader, writer = await proxy.connect()
        lines = ("GET /ws HTTP/1.1", f"Host: {NAME}", "Connection: Upgrade", "Upgrade: echo", "", "")
        writer.write("\r\n".join(lines).encode())
        assert b" 101 " in await reader.readline(), proxy.evidence()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"you")
        assert await reader.readexactly(9) == b"hello you", proxy.evidence()
        writer.transport.abort()

    proxied(tmp_path, work, answer=answer, waf={}, rate_limits=[{"quota": 100}])
