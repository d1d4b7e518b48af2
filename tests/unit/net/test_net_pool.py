"""The pool over connections without sockets: turns, retries, cancellation, the end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec, Pool, TlsClient
from netlab.net.pool import ConnectionPool
from netlab.net.upstream import Outgoing, Target, UpstreamError
from netlab.proto.http import Headers, RequestHead
from tests.kit.fake_connection import FakeServer
from tests.kit.roles_in_process import Running, context, until

ONE = Target("192.0.2.1", 80, server_name="one.example")
TWO = Target("192.0.2.2", 80, server_name="two.example")
SECURE = Target("192.0.2.1", 443, TlsClient(), "one.example", ("2", "1.1"))
GET = Outgoing(RequestHead("GET", "/", Headers((("traceparent", "tp"),))))


class Bench:
    """A pool, the server behind it, its events."""

    def __init__(self, running: Running, server: FakeServer, limits: Pool | None) -> None:
        self.running = running
        self.server = server
        self.pool = ConnectionPool(running.ctx, limits, dialer=server.dial)

    async def get(self, target: Target = ONE, request: Outgoing = GET, *, fresh: bool = False) -> bytes:
        async with self.pool.exchange(target, request, fresh=fresh) as response:
            return await response.read()

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        return self.running.events(*kinds)


Work = Callable[[Bench], Coroutine[Any, Any, None]]


def run(
    directory: Path, work: Work, server: Callable[[], FakeServer] = FakeServer, limits: Pool | None = None
) -> None:
    """`work`, and afterwards nothing may be left."""

    async def main() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            launch = Launch(lab="test", node="n", role="r", spec=ClientSpec())
            running = context(launch, directory, tasks)
            bench = Bench(running, server(), limits)
            await work(bench)
            await bench.pool.close()
            assert bench.server.alive() == []
            assert repr(bench.pool) == "0 active, 0 idle"
            assert bench.server.opening == 0

    asyncio.run(main())


def test_one_after_another_on_one_connection(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        assert [await bench.get() for _ in range(3)] == [b"hello"] * 3
        assert len(bench.server.made) == 1
        assert repr(bench.pool) == "0 active, 1 idle"
        reused = bench.events("connection-reused")
        assert [(one["version"], one["requests"], one["traceparent"]) for one in reused] == [
            ("1.1", 2, "tp"),
            ("1.1", 3, "tp"),
        ]

    run(tmp_path, work)


def test_the_seventh_waits_and_says_so(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.server.go.clear()
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(bench.get())
            await until(lambda: len(bench.server.requests) == 6, "six requests are under way")
            assert repr(bench.pool) == "6 active, 0 idle, 2 waiting"
            bench.server.go.set()
        assert len(bench.server.made) == 6
        waits = bench.events("pool-wait")
        assert [(one["limit"], one["waiting"]) for one in waits] == [("per-host", 1), ("per-host", 2)]

    run(tmp_path, work)


def test_http2_shares(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(bench.get(SECURE))
        assert len(bench.server.made) == 1
        assert bench.server.made[0].state.requests == 20

    run(tmp_path, work, lambda: FakeServer("2"))


def test_a_capacity_that_grows_lets_waiting_requests_go(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.server.go.clear()
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(bench.get(SECURE))
            await until(lambda: len(bench.server.requests) == 1, "one is under way")
            bench.server.made[0].state.capacity = 3
            await until(lambda: len(bench.server.requests) == 3, "all are")
            bench.server.go.set()

    run(tmp_path, work, lambda: FakeServer("2", capacity=1))


def test_a_dead_idle_connection_is_not_used(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.get()
        bench.server.made[0].break_down()
        assert repr(bench.pool) == "0 active, 0 idle"
        await bench.get()
        assert len(bench.server.made) == 2
        await until(lambda: bench.server.made[0].ended, "the dead one is closed")

    run(tmp_path, work)


def body_of(*parts: bytes) -> AsyncIterator[bytes]:
    async def parts_of() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return parts_of()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_failed_unsent_on_a_used_connection_is_sent_again(tmp_path: Path, method: str) -> None:
    async def work(bench: Bench) -> None:
        await bench.get()
        bench.server.failures = [UpstreamError("stale", unsent=True)]
        body = body_of(b"a", b"b") if method == "POST" else None
        assert await bench.get(request=Outgoing(RequestHead(method, "/"), body)) == b"hello"
        first, second = bench.server.made
        if method == "POST":
            assert (first.bodies, second.bodies) == ([b"ab"], [b"ab"])
        (retried,) = bench.events("request-retried")
        assert (retried["attempt"], retried["cause"]) == (2, "stale")

    run(tmp_path, work)


@pytest.mark.parametrize(
    ("method", "error", "again"),
    [
        ("GET", UpstreamError("the connection ended"), True),
        ("PUT", UpstreamError("the connection ended"), True),
        ("POST", UpstreamError("the connection ended"), False),
        ("GET", UpstreamError("silent", 504), False),
    ],
)
def test_what_may_have_been_acted_on_is_repeated_only_where_that_is_harmless(
    tmp_path: Path, method: str, error: UpstreamError, again: bool
) -> None:
    async def work(bench: Bench) -> None:
        await bench.get()
        bench.server.failures = [error]
        request = Outgoing(RequestHead(method, "/"))
        if again:
            await bench.get(request=request)
        else:
            with pytest.raises(UpstreamError, match=str(error)):
                await bench.get(request=request)
        assert len(bench.events("request-retried")) == again

    run(tmp_path, work)


def test_a_new_connection_s_failure_is_final(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.server.failures = [UpstreamError("refused stream", unsent=True)]
        with pytest.raises(UpstreamError, match="refused stream"):
            await bench.get()
        await bench.get()
        bench.server.failures = [UpstreamError("one", unsent=True), UpstreamError("two", unsent=True)]
        with pytest.raises(UpstreamError, match="two"):
            await bench.get()

    run(tmp_path, work)


def test_a_stream_that_http2_refused_is_asked_for_again_on_the_same_connection(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.server.failures = [UpstreamError("REFUSED_STREAM", unsent=True)]
        assert await bench.get(SECURE) == b"hello"
        assert len(bench.server.made) == 1
        assert len(bench.events("request-retried")) == 1

    run(tmp_path, work, lambda: FakeServer("2"))


@pytest.mark.parametrize("seed", range(5))
def test_a_storm_of_requests_failures_and_cancellations_leaves_nothing(tmp_path: Path, seed: int) -> None:
    async def work(bench: Bench) -> None:
        rng = random.Random(seed)
        bench.server.delay_s = {"1.1": 0.001, "2": 0.002, "3": 0.001}

        async def one(number: int) -> None:
            target = (ONE, TWO, SECURE)[number % 3]
            with suppress(UpstreamError):
                async with bench.pool.exchange(target, GET, fresh=rng.random() < 0.2):
                    await asyncio.sleep(rng.random() * 0.004)

        tasks = [asyncio.ensure_future(one(number)) for number in range(300)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0.0005)
            rng.choice(tasks).cancel()
            if bench.server.alive() and rng.random() < 0.3:
                rng.choice(bench.server.alive()).break_down()
            if rng.random() < 0.3:
                bench.server.failures.append(UpstreamError("stale", unsent=rng.random() < 0.5))
        bench.server.failures.clear()
        assert repr(bench.pool).startswith("0 active"), repr(bench.pool)
        assert "waiting" not in repr(bench.pool), repr(bench.pool)
        assert [await bench.get(target) for target in (ONE, TWO, SECURE)] == [b"hello"] * 3

    run(tmp_path, work, FakeServer, limits=Pool(total=7, per_host=3))


def test_a_long_body_that_was_taken_can_t_be_sent_again(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.get()
        bench.server.failures = [UpstreamError("stale", unsent=True)]
        request = Outgoing(RequestHead("POST", "/"), body_of(b"x" * 60_000, b"y" * 60_000))
        with pytest.raises(UpstreamError, match="stale"):
            await bench.get(request=request)
        assert not bench.events("request-retried")

    run(tmp_path, work)


def test_a_fresh_request_leaves_no_connection(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.get()
        await bench.get(fresh=True)
        assert len(bench.server.made) == 2
        assert repr(bench.pool) == "0 active, 1 idle"
        await until(lambda: bench.server.made[1].ended, "the fresh one is closed")

    run(tmp_path, work)


def test_a_connection_that_can_t_be_opened(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        with pytest.raises(UpstreamError, match="refused") as caught:
            await bench.get()
        assert caught.value.unsent

    run(tmp_path, work, lambda: FakeServer(refuse={"1.1": "refused"}))


@pytest.mark.parametrize("moment", ["opening", "waiting", "under-way", "response"])
def test_cancellation_leaves_nothing(tmp_path: Path, moment: str) -> None:
    async def work(bench: Bench) -> None:
        server, entered = bench.server, asyncio.Event()

        async def victim() -> None:
            async with bench.pool.exchange(ONE, GET):
                entered.set()
                await asyncio.Event().wait()

        (server.open if moment == "opening" else server.go).clear()
        if moment == "response":
            server.go.set()
        holder = asyncio.ensure_future(bench.get()) if moment == "waiting" else None
        await asyncio.sleep(0)
        task = asyncio.ensure_future(victim())
        reached = {
            "opening": lambda: server.opening == 1,
            "waiting": lambda: bench.events("pool-wait"),
            "under-way": lambda: len(server.requests) == 1,
            "response": entered.is_set,
        }[moment]
        await until(reached, moment)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if moment == "opening":
            assert repr(bench.pool) == "0 active, 0 idle"
            await until(lambda: server.cancelled == 1, "it is given up")
            server.open.set()
        server.go.set()
        if holder is not None:
            await holder
        assert "active" in repr(bench.pool)
        assert repr(bench.pool).startswith("0 active"), repr(bench.pool)
        assert await bench.get() == b"hello", "the pool goes on"

    run(tmp_path, work, limits=Pool(per_host=1))


def test_cancelled_in_the_moment_of_the_grant(tmp_path: Path) -> None:
    """The future has its result, and the task is cancelled before it runs on."""

    async def work(bench: Bench) -> None:
        bench.server.go.clear()
        holder = asyncio.ensure_future(bench.get())
        await until(lambda: bench.server.requests, "the connection is taken")
        task = asyncio.ensure_future(bench.get())
        await until(lambda: bench.events("pool-wait"), "the second waits")
        bench.server.go.set()
        while not holder.done():
            await asyncio.sleep(0)
            if repr(bench.pool).startswith("1 active") and "waiting" not in repr(bench.pool):
                task.cancel()
        await asyncio.wait({task})
        await until(lambda: repr(bench.pool) == "0 active, 1 idle", repr(bench.pool))

    run(tmp_path, work, limits=Pool(per_host=1))


def test_who_waits_too_long_is_told_for_what(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.server.go.clear()
        holder = asyncio.ensure_future(bench.get())
        await until(lambda: bench.server.requests, "the connection is taken")
        short = Outgoing(GET.head, timeout_s=0.05)
        with pytest.raises(UpstreamError, match=r"free in 0.05 s \(per-host; 1 active"):
            await bench.get(request=short)
        assert repr(bench.pool) == "1 active, 0 idle"
        bench.server.go.set()
        await holder

    run(tmp_path, work, limits=Pool(per_host=1))


def test_the_total_makes_idle_ones_of_others_leave(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.get(ONE)
        await bench.get(TWO)
        assert repr(bench.pool) == "0 active, 1 idle"
        await until(lambda: bench.server.made[0].ended, "the first is closed")

    run(tmp_path, work, limits=Pool(total=1))


def test_idle_connections_end_in_time(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.get()
        began = bench.running.ctx.now()
        await until(lambda: bench.server.made[0].ended, "it is closed")
        assert 0.15 <= bench.running.ctx.now() - began < 5, "200 ms, and what a busy machine adds"
        assert repr(bench.pool) == "0 active, 0 idle"

    run(tmp_path, work, limits=Pool.model_validate({"idle": "200ms"}))


def test_a_role_that_stops_keeps_no_connection(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.get(TWO)
        bench.server.go.clear()
        task = asyncio.ensure_future(bench.get(ONE))
        await until(lambda: len(bench.server.requests) == 2, "one is under way")
        bench.running.ctx.stop()
        await until(lambda: bench.server.made[0].ended, "the idle one ends")
        assert not bench.server.made[1].ended
        bench.server.go.set()
        assert await task == b"hello"
        await until(lambda: bench.server.made[1].ended, "the other one ends with its request")

    run(tmp_path, work)


def test_closing_the_pool_fails_who_waits(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.server.open.clear()
        task = asyncio.ensure_future(bench.get())
        await until(lambda: bench.server.opening, "it is being opened")
        await bench.pool.close()
        with pytest.raises(UpstreamError, match="the pool is closed"):
            await task
        with pytest.raises(UpstreamError, match="the pool is closed"):
            await bench.get()

    run(tmp_path, work)


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_tunnel_holds_its_connection_until_both_sides_have_ended(tmp_path: Path, version: Any) -> None:
    async def work(bench: Bench) -> None:
        target = ONE if version == "1.1" else SECURE
        await bench.get(target)
        _, tunnel = await bench.pool.tunnel(target, RequestHead("GET", "/", protocol="websocket"))
        assert tunnel is not None
        assert len(bench.server.made) == (2 if version == "1.1" else 1)
        assert repr(bench.pool).startswith("1 active")
        await tunnel.close()
        assert repr(bench.pool).startswith("1 active")
        assert await tunnel.read() == b""
        assert repr(bench.pool) == "0 active, 1 idle"
        tunnel.abort()
        assert repr(bench.pool) == "0 active, 1 idle"

    run(tmp_path, work, lambda: FakeServer(version))
