"""A user agent's choice of scheme, version and connection, over connections without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec, TlsClient
from netlab.net.agent import Asked, UserAgent
from netlab.net.pool import ConnectionPool
from netlab.net.stub import Stub
from netlab.net.upstream import UpstreamError
from netlab.proto.http import Headers, RequestHead
from netlab.proto.url import parse_url
from tests.kit.fake_connection import FakeServer
from tests.kit.roles_in_process import Running, context

H3 = Headers((("Alt-Svc", 'h3=":443"; ma=60'),))


class _Names(Stub):
    """Knows two names and an HTTPS record, and asks nobody."""

    records: tuple[str, ...] = ()

    async def lookup(self, name: str, type_: Any = "A") -> list[str]:
        return {"one.example": ["192.0.2.1"], "alt.example": ["192.0.2.9"]}.get(name, [name])

    async def https(self, name: str) -> tuple[tuple[str, ...], int]:
        return (self.records, 60) if name == "one.example" else ((), 60)


class Bench:
    def __init__(self, running: Running, server: FakeServer) -> None:
        self.running = running
        self.server = server
        self.pool = ConnectionPool(running.ctx, dialer=server.dial)
        self.names = _Names(running.ctx)
        self.agent = UserAgent(running.ctx, self.pool, self.names, https_records=True)

    async def get(
        self, url: str = "https://one.example/", method: str = "GET", **fields: Any
    ) -> tuple[int, str]:
        """Status and version."""
        parsed = self.agent.secured(parse_url(url))
        head = RequestHead(
            method, parsed.target, Headers((("Host", parsed.authority),)), scheme=parsed.scheme
        )
        asked = Asked(parsed, head, fields.pop("tls", TlsClient()), **fields)
        async with self.agent.exchange(asked) as response:
            await response.read()
            return response.head.status, response.head.version

    async def told(self) -> None:
        """After a response that tells of HTTP/3."""
        self.server.answers = [(200, H3)]
        assert await self.get() == (200, self.server.version)

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        return self.running.events(*kinds)


def run(
    directory: Path,
    work: Callable[[Bench], Coroutine[Any, Any, None]],
    server: Callable[[], FakeServer] = lambda: FakeServer("2"),
) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            launch = Launch(lab="test", node="n", role="r", spec=ClientSpec())
            bench = Bench(context(launch, directory, tasks), server())
            await work(bench)
            assert repr(bench.pool).startswith("0 active"), repr(bench.pool)
            await bench.pool.close()
            assert bench.server.alive() == []
            assert bench.server.opening == 0

    asyncio.run(main())


def test_alpn_first_and_http3_once_the_origin_told(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.told()
        (told,) = bench.events("alt-svc")
        assert (told["origin"], told["alternatives"]) == ("https://one.example", ['h3=":443"'])
        assert await bench.get() == (200, "3")
        assert bench.server.requests[1][1].headers.get("alt-used") == "one.example:443"
        assert len(bench.server.made) == 2, "QUIC won in its head start, so no TCP was opened for it"
        assert await bench.get() == (200, "3")
        assert not bench.events("fallback")

    run(tmp_path, work)


def test_an_https_record_tells_before_any_response(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.names.records = ('1 alt.example. alpn="h3" port=8443',)
        assert await bench.get() == (200, "3")
        target = bench.server.made[0].target
        assert (target.address, target.port) == ("192.0.2.9", 8443)
        assert target.server_name == "one.example", "the certificate must be the origin's"

    run(tmp_path, work)


def test_where_udp_is_blocked_tcp_wins_and_that_is_remembered(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.told()
        assert await bench.get() == (200, "2")
        (fallback,) = bench.events("fallback")
        assert (fallback["wanted"], fallback["version"]) == ("3", "2")
        assert "no answer by QUIC in" in fallback["cause"]
        assert bench.server.cancelled == 1, "QUIC was given up"
        began = bench.running.ctx.now()
        assert await bench.get() == (200, "2")
        assert bench.running.ctx.now() - began < 0.25, "no second race"
        assert "not tried again yet" in bench.events("fallback")[1]["cause"]

    run(tmp_path, work, lambda: FakeServer("2", delay_s={"3": 60.0}))


def test_quic_that_fails_at_once_is_not_waited_for(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.told()
        began = bench.running.ctx.now()
        assert await bench.get() == (200, "2")
        assert bench.running.ctx.now() - began < 0.25, "before the head start was over"
        assert bench.events("fallback")[0]["cause"] == "certificate expired"

    run(tmp_path, work, lambda: FakeServer("2", refuse={"3": "certificate expired"}))


def test_where_nothing_works_both_causes_are_told(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.names.records = ('1 . alpn="h3"',)
        with pytest.raises(UpstreamError, match=r"refused; before that, by QUIC: unreachable"):
            await bench.get()

    run(tmp_path, work, lambda: FakeServer("2", refuse={"3": "unreachable", "2": "refused"}))


def test_a_slow_quic_that_is_ready_before_tcp_wins(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.names.records = ('1 . alpn="h3"',)
        assert await bench.get() == (200, "3")
        assert bench.server.cancelled == 1, "TCP was given up"

    run(tmp_path, work, lambda: FakeServer("2", delay_s={"3": 0.4, "2": 10.0}))


def test_the_one_version_that_was_asked_for(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.told()
        for version in ("1.1", "2", "3"):
            await bench.get(http=version)
        assert [one.target.versions for one in bench.server.made[1:]] == [("1.1",), ("2",), ("3",)]

    run(tmp_path, work)


def test_http3_alone_fails_with_its_cause(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        with pytest.raises(UpstreamError, match="UDP is blocked"):
            await bench.get(http="3")
        assert [one.version for one in bench.server.made] == []

    run(tmp_path, work, lambda: FakeServer("2", refuse={"3": "UDP is blocked"}))


def test_alpn_that_gives_less_is_told(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.get()
        await bench.get()
        (fallback,) = bench.events("fallback")
        assert (fallback["wanted"], fallback["version"]) == ("2", "1.1")

    run(tmp_path, work, FakeServer)


def test_cancelled_while_both_race(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.names.records = ('1 . alpn="h3"',)
        bench.server.open.clear()
        task = asyncio.ensure_future(bench.get())
        while bench.server.opening < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert repr(bench.pool) == "0 active, 0 idle"

    run(tmp_path, work)


def test_both_ready_in_the_same_moment_leaves_no_lease(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.names.records = ('1 . alpn="h3"',)
        bench.server.open.clear()
        task = asyncio.ensure_future(bench.get(fresh=True))
        while bench.server.opening < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        bench.server.open.set()
        assert await task == (200, "3")
        assert repr(bench.pool) == "0 active, 0 idle"

    run(tmp_path, work)


def test_a_misdirected_request_goes_to_the_origin_itself(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.told()
        bench.server.answers = [(421, Headers())]
        assert await bench.get() == (200, "2")
        assert "421" in bench.events("request-retried")[0]["cause"]
        assert await bench.get() == (200, "2"), "the alternative is forgotten"

    run(tmp_path, work)


@pytest.mark.parametrize(
    ("unsent", "method", "again"), [(True, "POST", True), (False, "GET", True), (False, "POST", False)]
)
def test_an_alternative_that_does_not_answer(tmp_path: Path, unsent: bool, method: str, again: bool) -> None:
    """With 0-RTT a QUIC connection is there before UDP is known to get through."""

    async def work(bench: Bench) -> None:
        await bench.told()
        bench.server.failures = [UpstreamError("no answer by QUIC", unsent=unsent)] * (1 + unsent)
        if again:
            assert await bench.get(method=method) == (200, "2")
            assert bench.events("request-retried")[-1]["cause"] == "no answer by QUIC"
            assert await bench.get() == (200, "2"), "that is remembered"
        else:
            with pytest.raises(UpstreamError, match="no answer by QUIC"):
                await bench.get(method=method)

    run(tmp_path, work)


@pytest.mark.parametrize("early", [True, False])
def test_too_early_is_sent_again(tmp_path: Path, early: bool) -> None:
    async def work(bench: Bench) -> None:
        bodies = []

        def body() -> AsyncIterator[bytes]:
            async def parts() -> AsyncIterator[bytes]:
                bodies.append(1)
                yield b"x"

            return parts()

        bench.server.answers = [(425, Headers()), (200, Headers())]
        tls = TlsClient(early_data=early)
        status, _ = await bench.get(http="3", tls=tls, fresh=True, body=body)
        assert status == (200 if early else 425)
        assert len(bodies) == (2 if early else 1)
        if early:
            first, second = bench.server.made
            assert first.target.tls is not None
            assert second.target.tls is not None
            assert (first.target.tls.early_data, second.target.tls.early_data) == (True, False)
            assert "425" in bench.events("request-retried")[0]["cause"]

    run(tmp_path, work)


def test_hsts(tmp_path: Path) -> None:
    strict = Headers((("Strict-Transport-Security", "max-age=60; includeSubDomains"),))

    async def work(bench: Bench) -> None:
        bench.server.answers = [(200, strict)]
        await bench.get("http://one.example/", http="1.1")
        assert not bench.events("hsts"), "over plain http it says nothing"
        bench.server.answers = [(200, strict)]
        await bench.get(tls=TlsClient(verify=False))
        assert not bench.events("hsts"), "nor over TLS whose certificate is not checked"
        bench.server.answers = [(200, strict), (200, strict)]
        await bench.get()
        await bench.get()
        (said,) = bench.events("hsts")
        assert (said["host"], said["max_age_s"]) == ("one.example", 60)
        await bench.get("http://one.example/path?query")
        assert bench.server.requests[-1][1].scheme == "https"
        assert bench.server.requests[-1][0].target.port == 443
        made_https = bench.events("hsts")[1]
        assert made_https["url"] == "https://one.example/path?query"
        assert (
            bench.agent.secured(parse_url("http://a.one.example:8080/")).origin
            == "https://a.one.example:8080"
        )

    run(tmp_path, work)


def test_alt_svc_that_clears(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.told()
        bench.server.answers = [(200, Headers((("alt-svc", "clear"),)))]
        assert await bench.get() == (200, "3")
        assert await bench.get() == (200, "2")
        assert bench.events("alt-svc")[1]["alternatives"] == []

    run(tmp_path, work)
