"""The client's resilience against servers of ours, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from netlab.model.roles import ClientSpec
from netlab.net.exchange import Exchange
from netlab.proto.http import NO_HEADERS, Headers, ResponseHead
from tests.kit.origin import Site, site
from tests.kit.roles_in_process import Running


class Server:
    """Answers as `script` says, by the number of the request from 1: a status, "hang", "drop", or a delay in
    seconds before 200. `seen`: requests, as they came; `busiest`: the most that were there at once."""

    def __init__(self, script: Callable[[int], int | float | str], headers: Headers = NO_HEADERS) -> None:
        self.script = script
        self.headers = headers
        self.seen: list[Exchange] = []
        self.inside = self.busiest = 0

    async def handle(self, exchange: Exchange) -> None:
        self.seen.append(exchange)
        self.inside += 1
        self.busiest = max(self.busiest, self.inside)
        try:
            await self._answer(exchange, self.script(len(self.seen)))
        finally:
            self.inside -= 1

    async def _answer(self, exchange: Exchange, what: int | float | str) -> None:
        if what == "drop":
            exchange.abort()
        elif what == "hang":
            await asyncio.sleep(2)
            await exchange.respond(ResponseHead(200))
        elif isinstance(what, float):
            await asyncio.sleep(what)
            await exchange.respond(ResponseHead(200), b"late")
        else:
            assert isinstance(what, int)
            await exchange.respond(ResponseHead(what, self.headers), b"")


def spec(port: int, count: int = 1, parallel: int = 1, **resilience: Any) -> ClientSpec:
    request = resilience.pop("request", {})
    requests = [
        {"url": f"http://127.0.0.1:{port}/{number}", "name": str(number), **request}
        for number in range(count)
    ]
    return ClientSpec.model_validate(
        {"requests": requests, "parallel": parallel, "pool": {"per_host": 100}, "resilience": resilience}
    )


FAST = {"base": "10ms", "cap": "50ms", "budget": "100%", "reserve": 100}


def outcome(role: Running) -> list[int | str]:
    """Status or cause, by the order of the requests."""
    found = role.events("request-done", "request-failed")
    ordered = sorted(found, key=lambda one: int(one["name"]))
    return [one["status"] if "status" in one else str(one["cause"]) for one in ordered]


@pytest.mark.parametrize(
    ("method", "headers", "failure", "tries", "status"),
    [
        ("GET", {}, 503, 3, 200),
        ("GET", {}, "drop", 3, 200),
        ("POST", {}, 503, 1, 503),
        ("POST", {"Idempotency-Key": "k1"}, 503, 3, 200),
        ("POST", {"Idempotency-Key": "k1"}, 409, 3, 200),
        ("POST", {}, "drop", 1, None),
        ("DELETE", {}, 429, 3, 200),
        ("GET", {}, 404, 1, 404),
    ],
)
def test_retries_what_may_be_done_twice(
    tmp_path: Path, method: str, headers: dict[str, str], failure: int | str, tries: int, status: int | None
) -> None:
    async def work(made: Site) -> None:
        server = Server(lambda number: failure if number < 3 else 200)
        port = await made.listen(server.handle)
        wanted = {"method": method, "headers": headers}
        role = await made.ask(spec(port, request=wanted, retry={"attempts": 4, **FAST}))
        assert len(server.seen) == tries, role.events()
        (answer,) = outcome(role)
        assert answer == status if status is not None else isinstance(answer, str), role.events()
        traces = [one.traceparent.split("-") for one in server.seen]
        assert len({trace[1] for trace in traces}) == 1, "attempts are steps of one trace"
        assert len({trace[2] for trace in traces}) == tries
        told = role.events("request-retried")
        assert [one["attempt"] for one in told] == list(range(2, tries + 1)), told

    site(tmp_path, work)


def test_retry_after_is_waited_for_and_the_deadline_is_not_passed(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        server = Server(lambda number: 503 if number == 1 else 200, Headers((("Retry-After", "1"),)))
        port = await made.listen(server.handle)
        role = await made.ask(spec(port, retry=FAST))
        assert outcome(role) == [200]
        assert role.events("request-done")[0]["total_ms"] >= 1000, role.events()
        server.seen.clear()
        role = await made.ask(spec(port, retry=FAST, timeouts={"total": "500ms"}))
        assert outcome(role) == [503], "it gives up at once: the next attempt would come too late"
        assert len(server.seen) == 1
        assert role.events("request-done")[0]["total_ms"] < 500, role.events()

    site(tmp_path, work)


def test_a_budget_bounds_the_load_of_retries(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        sent = {}
        for budget, reserve in (("100%", 200), ("10%", 3)):
            server = Server(lambda _: 503)
            port = await made.listen(server.handle)
            retry = {**FAST, "attempts": 4, "budget": budget, "reserve": reserve}
            await made.ask(spec(port, 40, 10, retry=retry))
            sent[budget] = len(server.seen)
        assert sent["100%"] == 160
        assert 40 <= sent["10%"] <= 40 + 3 + 4, sent

    site(tmp_path, work)


def test_timeouts_to_connect_to_read_and_in_all(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        server = Server(lambda _: "hang")
        port = await made.listen(server.handle)
        role = await made.ask(spec(port, timeouts={"read": "150ms"}))
        (cause,) = outcome(role)
        assert cause == f"127.0.0.1:{port} did not answer in time"
        limits = {"read": "150ms", "total": "400ms"}
        role = await made.ask(spec(port, timeouts=limits, retry={**FAST, "attempts": 50}))
        (cause,) = outcome(role)
        assert str(cause).startswith("no whole response in 0.4"), cause
        assert len(role.events("deadline-exceeded")) == 1
        silent = socket.socket()  # its queue of one is full soon, and then it answers no SYN
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        full = [socket.socket() for _ in range(2)]
        for one in full:
            one.setblocking(False)
            one.connect_ex(silent.getsockname())
        role = await made.ask(spec(silent.getsockname()[1], timeouts={"connect": "300ms"}))
        (cause,) = outcome(role)
        assert str(cause).endswith("no connection in 0.3 s"), cause
        for one in (silent, *full):
            one.close()

    site(tmp_path, work)


def test_a_hedge_wins_where_the_first_is_slow(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        server = Server(lambda number: "hang" if number == 1 else 200)
        port = await made.listen(server.handle)
        role = await made.ask(spec(port, 4, hedge={"after": "300ms"}))
        assert outcome(role) == [200] * 4
        assert len(server.seen) == 5, "one was slow"
        assert len(role.events("hedged")) == 1
        assert role.events("request-done")[0]["total_ms"] < 1800, role.events()
        server.seen.clear()
        role = await made.ask(spec(port, request={"method": "POST"}, hedge={"after": "300ms"}))
        assert outcome(role) == [200]
        assert len(server.seen) == 1, "a POST is not sent twice"
        slow = Server(lambda _: 0.7)
        port = await made.listen(slow.handle)
        role = await made.ask(spec(port, hedge={"after": "300ms", "most": 3}))
        assert outcome(role) == [200]
        assert 2 <= len(slow.seen) <= 4
        assert role.events("request-done")[0]["bytes"] == 4, (
            "the winner's body is read, the losers are given up"
        )

    site(tmp_path, work)


def test_the_breaker_opens_tests_and_closes(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        server, pause = Server(lambda number: 503 if number <= 4 else 200), Server(lambda _: 0.02)
        ports = [await made.listen(one.handle) for one in (server, pause)]
        # Every second request goes to another server, which takes its time; it has a breaker of its own.
        requests = [{"url": f"http://127.0.0.1:{ports[n % 2]}/", "name": str(n)} for n in range(60)]
        breaker = {"failures": 3, "open": "200ms"}
        role = await made.ask(
            ClientSpec.model_validate({"requests": requests, "resilience": {"breaker": breaker}})
        )
        states = [one["state"] for one in role.events("breaker-changed")]
        assert states == ["open", "half-open", "open", "half-open", "closed"], role.events("breaker-changed")
        found = outcome(role)
        assert found[1::2] == [200] * 30, "the other upstream is not concerned"
        assert found.count(503) == 4, found
        refused = [one for one in found[::2] if isinstance(one, str)]
        assert refused, found
        assert all("the circuit breaker is open" in one for one in refused), refused
        assert len(server.seen) == 30 - len(refused), "what is refused sends no packet"

    site(tmp_path, work)


def test_a_bulkhead_keeps_the_slow_from_taking_all(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        slow, fast = Server(lambda _: 1.0), Server(lambda _: 200)
        ports = [await made.listen(one.handle) for one in (slow, fast)]
        urls = [f"http://127.0.0.1:{ports[0]}/"] * 12 + [f"http://127.0.0.1:{ports[1]}/"] * 4
        for bulkhead in (None, {"limit": 40, "of": {f"127.0.0.1:{ports[0]}": 4}}):
            requests = [{"url": url, "name": str(number)} for number, url in enumerate(urls)]
            role = await made.ask(
                ClientSpec.model_validate(
                    {
                        "requests": requests,
                        "parallel": 16,
                        "pool": {"total": 8, "per_host": 8},
                        "resilience": {"bulkhead": bulkhead},
                    }
                )
            )
            found = outcome(role)
            took = [one["total_ms"] for one in role.events("request-done") if int(one["name"]) >= 12]
            if bulkhead is None:
                assert min(took) > 900, "the pool's connections are all waiting for the slow one"
                assert found == [200] * 16
            else:
                assert max(took) < 900, took
                assert found.count(200) == 8, found
                assert len(role.events("bulkhead-full")) == 8
                assert slow.busiest >= 4

    site(tmp_path, work)


def test_a_bulkhead_s_queue(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        server = Server(lambda _: 0.3)
        port = await made.listen(server.handle)
        role = await made.ask(spec(port, 8, 8, bulkhead={"limit": 2, "queue": 4, "wait": "450ms"}))
        found = outcome(role)
        assert server.busiest == 2
        assert found.count(200) == 4, "two at once, two after them; two more wait too long, two don't fit"
        assert len(role.events("bulkhead-full")) == 4, role.events()
        assert server.inside == 0

    site(tmp_path, work)


def test_the_deadline_is_said_and_shrinks(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        server = Server(lambda number: 503 if number < 3 else 200)
        port = await made.listen(server.handle)
        retry = {**FAST, "jitter": "none", "base": "100ms", "cap": "100ms"}
        role = await made.ask(spec(port, retry=retry, timeouts={"total": "2s"}, deadline=True))
        assert outcome(role) == [200]
        said = [int(one.request.headers.get("request-timeout")) for one in server.seen]
        assert 1500 < said[0] <= 2000, said
        assert said[0] - said[1] >= 100, said
        assert said[1] - said[2] >= 100, said

    site(tmp_path, work)


def test_who_gives_up_in_the_queue_leaves_no_place_taken(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        server = Server(lambda number: "hang" if number == 1 else 200)
        port = await made.listen(server.handle)
        bulkhead = {"limit": 1, "queue": 20, "wait": "10s"}
        role = await made.ask(spec(port, 12, 6, bulkhead=bulkhead, timeouts={"total": "500ms"}))
        found = outcome(role)
        late = [one for one in found[:6] if isinstance(one, str)]
        assert len(late) == 6, "one hangs, five wait for it, and all have the same deadline"
        assert all(one.startswith("no whole response in 0.5") for one in late), late
        assert found[6:] == [200] * 6, found

    site(tmp_path, work)


def test_a_body_is_bounded_too_and_what_fails_within_it_is_not_sent_again(tmp_path: Path) -> None:
    async def drip(exchange: Exchange) -> None:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"x" * 10
                await asyncio.sleep(0.05)

        seen.append(exchange)
        await exchange.respond(ResponseHead(200), parts())

    seen: list[Exchange] = []

    async def work(made: Site) -> None:
        port = await made.listen(drip)
        role = await made.ask(spec(port, timeouts={"read": "500ms", "total": "5s"}))
        assert outcome(role) == [200], "each part is in time"
        role = await made.ask(spec(port, timeouts={"total": "300ms"}, retry=FAST))
        (cause,) = outcome(role)
        assert str(cause).startswith("no whole response in 0.3"), cause
        assert len(seen) == 2

    site(tmp_path, work)
