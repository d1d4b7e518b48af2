"""The cdn's cache through live sockets, before origins that do odd things."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_network
from pathlib import Path

import pytest

from netlab.net.stream import Stream
from tests.kit.edge import Edge, edge, http
from tests.kit.roles_in_process import until

FRESH = "Cache-Control: max-age=300"
LARGE = bytes(range(256)) * 1024


def target(head: str) -> str:
    return head.split()[1]


def test_hit_conditions_and_ranges_from_one_stored_response(tmp_path: Path) -> None:
    async def script(_: str, stream: Stream) -> None:
        await stream.write(http(b"0123456789", FRESH, 'ETag: "a"', "Content-Type: text/plain"))

    async def work(made: Edge) -> None:
        first = await made.ask("/x")
        assert (first.status, first.body) == (200, b"0123456789")
        assert first.cache == "cdn; fwd=uri-miss; fwd-status=200; stored"
        hit = await made.ask("/x")
        assert hit.cache.startswith("cdn; hit; ttl="), hit
        assert (await made.ask("/x", 'If-None-Match: W/"a"')).status == 304
        head = await made.ask("/x", method="HEAD")
        assert (head.status, head.body, head.fields["content-length"]) == (200, b"", "10")
        part = await made.ask("/x", "Range: bytes=-3")
        assert (part.status, part.body, part.fields["content-range"]) == (206, b"789", "bytes 7-9/10")
        several = await made.ask("/x", "Range: bytes=0-0,9-9")
        assert several.fields["content-type"].startswith("multipart/byteranges; boundary="), several
        missing = await made.ask("/x", "Range: bytes=10-")
        assert (missing.status, missing.fields["content-range"]) == (416, "bytes */10")
        assert len(made.asked) == 1, made.asked

    edge(tmp_path, script, work)


@pytest.mark.parametrize("chunked", [False, True])
def test_many_misses_are_one_request_to_the_origin(tmp_path: Path, chunked: bool) -> None:
    """The body streams: followers have its beginning before the origin has sent its end."""
    go = asyncio.Event()

    async def script(_: str, stream: Stream) -> None:
        if not chunked:
            await go.wait()
            await stream.write(http(LARGE, FRESH))
            return
        await stream.write(f"HTTP/1.1 200 OK\r\n{FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        half = len(LARGE) // 2
        for part in (LARGE[:half], LARGE[half:]):
            await stream.write(b"%x\r\n%b\r\n" % (len(part), part))
            await go.wait()
        await stream.write(b"0\r\n\r\n")

    async def work(made: Edge) -> None:
        asking = [asyncio.ensure_future(made.ask("/x")) for _ in range(8)]
        await until(lambda: len(made.role.events("cache-miss")) == 8, "all have missed")
        go.set()
        answers = await asyncio.gather(*asking)
        assert len(made.asked) == 1, made.asked
        for one in answers:
            assert one.status == 200
            assert LARGE[:1000] in one.body
            assert len(one.body) >= len(LARGE)
        assert sum("collapsed" in one.cache for one in answers) == 7
        assert "hit" in (await made.ask("/x")).cache

    edge(tmp_path, script, work)


def test_what_is_not_for_others_is_not_shared(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def script(_: str, stream: Stream) -> None:
        await go.wait()
        await stream.write(http(b"mine", "Cache-Control: private"))

    async def work(made: Edge) -> None:
        asking = [asyncio.ensure_future(made.ask("/x")) for _ in range(4)]
        await until(lambda: len(made.role.events("cache-miss")) == 4, "all have missed")
        go.set()
        answers = await asyncio.gather(*asking)
        assert [one.body for one in answers] == [b"mine"] * 4
        assert not any("collapsed" in one.cache for one in answers)
        assert len(made.asked) == 4, made.asked

    edge(tmp_path, script, work)


@pytest.mark.parametrize("size", [100, 200_000])
def test_a_body_that_ends_early_is_never_stored_as_whole(tmp_path: Path, size: int) -> None:
    async def script(head: str, stream: Stream) -> None:
        await stream.write(http(bytes(size), FRESH)[:-10])
        await stream.close()

    async def work(made: Edge) -> None:
        for _ in range(2):
            said = await made.talk(b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            body = said.partition(b"\r\n\r\n")[2]
            assert said.startswith(b"HTTP/1.1 502") or len(body) < size, said[:200]
        assert made.role.events("cache-stored") == []
        assert len(made.asked) >= 2

    edge(tmp_path, script, work)


def test_a_client_that_leaves_does_not_stop_the_others(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def script(_: str, stream: Stream) -> None:
        answer = http(LARGE, FRESH)
        await stream.write(answer[:100_000])
        await go.wait()
        await stream.write(answer[100_000:])

    async def work(made: Edge) -> None:
        leader = asyncio.ensure_future(made.ask("/x"))
        await until(lambda: made.asked, "the leader's request is at the origin")
        follower = asyncio.ensure_future(made.ask("/x"))
        await until(lambda: len(made.role.events("cache-miss")) == 2, "both have missed")
        leader.cancel()
        go.set()
        assert (await follower).body == LARGE
        assert len(made.asked) == 1

    edge(tmp_path, script, work)


def test_stale_while_revalidate_and_stale_if_error(tmp_path: Path) -> None:
    answers = iter(
        [
            http(b"one", "Cache-Control: max-age=0, stale-while-revalidate=60"),
            http(b"two", "Cache-Control: max-age=0, stale-if-error=60"),
            http(b"no", status="503 Service Unavailable"),
        ]
    )

    async def script(_: str, stream: Stream) -> None:
        answer = next(answers, None)
        if answer is None:
            await stream.close()
        else:
            await stream.write(answer)

    async def work(made: Edge) -> None:
        assert (await made.ask("/x")).body == b"one"
        assert (await made.ask("/x")).body == b"one"
        await until(lambda: len(made.role.events("cache-stored")) == 2, "refreshed behind the client's back")
        failing = await made.ask("/x")
        assert (failing.status, failing.body) == (200, b"two"), failing
        assert "fwd=stale; fwd-status=503" in failing.cache
        assert (await made.ask("/x")).body == b"two", "also where there is no answer at all"

    edge(tmp_path, script, work)


def test_a_304_about_something_else_is_asked_again_without_conditions(tmp_path: Path) -> None:
    async def script(head: str, stream: Stream) -> None:
        if "if-none-match" in head.lower():
            await stream.write(b'HTTP/1.1 304 Not Modified\r\nETag: "other"\r\n\r\n')
        else:
            await stream.write(http(b"x", "Cache-Control: max-age=0", 'ETag: "a"'))

    async def work(made: Edge) -> None:
        for _ in range(2):
            answer = await made.ask("/x")
            assert (answer.status, answer.body) == (200, b"x")
        assert len(made.asked) == 3, made.asked

    edge(tmp_path, script, work)


def test_purge_from_listed_networks_only(tmp_path: Path) -> None:
    async def script(head: str, stream: Stream) -> None:
        await stream.write(http(target(head).encode(), FRESH, "Cache-Tag: shoes, all"))

    async def work(made: Edge) -> None:
        async def purged(where: str, *fields: str) -> int:
            answer = await made.ask(where, *fields, method="PURGE")
            assert answer.status == 200, answer
            return int(json.loads(answer.body)["purged"])

        for path in ("/a/1", "/a/2", "/b"):
            await made.ask(path)
        assert await purged("/a/1") == 1
        assert await purged("/a/*") == 1
        assert await purged("/", "Cache-Tag: shoes", "Soft-Purge: 1") == 1
        assert "fwd=stale" in (await made.ask("/b")).cache

    edge(tmp_path, script, work, purge=(ip_network("127.0.0.0/8"),))


def test_purge_is_refused_to_others(tmp_path: Path) -> None:
    async def script(_: str, stream: Stream) -> None:
        await stream.write(http(b"x", FRESH))

    async def work(made: Edge) -> None:
        await made.ask("/a")
        assert (await made.ask("/a", method="PURGE")).status == 403
        assert "hit" in (await made.ask("/a")).cache

    edge(tmp_path, script, work)


def test_poison_is_not_stored_for_others(tmp_path: Path) -> None:
    """Fields outside the key, a GET with a body, an absolute form, two Hosts."""

    async def script(head: str, stream: Stream) -> None:
        if "content-length: 4" in head.lower():
            await stream.read()
        await stream.write(http(head.encode(), FRESH))

    async def work(made: Edge) -> None:
        clean = await made.ask("/x", "X-Forwarded-Host: evil", "X-Original-URL: /admin", "X-Host: evil")
        assert b"evil" not in clean.body
        assert b"/admin" not in clean.body
        more = ("X-Forwarded-Prefix", "X-Forwarded-Path", "X-Forwarded-SSL", "X-Original-Host")
        other = await made.ask("/p", *(f"{name}: evil" for name in more), "X_Forwarded_Host: evil")
        assert b"evil" not in other.body, other
        fat = await made.ask("/y", "Content-Length: 4", body="evil")
        assert fat.cache == "cdn; fwd=bypass; fwd-status=200", fat
        assert "fwd=uri-miss" in (await made.ask("/y")).cache
        absolute = await made.ask("https://localhost/x")
        assert "hit" in absolute.cache, absolute
        assert (await made.ask("https://evil.example/x")).status == 421
        assert (await made.ask("/x", "Host: evil")).status == 400

    edge(tmp_path, script, work)


def test_an_unsafe_method_makes_the_stored_useless(tmp_path: Path) -> None:
    async def script(head: str, stream: Stream) -> None:
        if head.startswith("POST"):
            await stream.write(http(b"", "Content-Location: /y", status="201 Created"))
        else:
            await stream.write(http(b"x", FRESH))

    async def work(made: Edge) -> None:
        for path in ("/x", "/y", "/z"):
            await made.ask(path)
        assert (await made.ask("/x", "Content-Length: 0", method="POST")).status == 201
        caches = [(await made.ask(path)).cache for path in ("/x", "/y", "/z")]
        assert ["hit" in one for one in caches] == [False, False, True], caches

    edge(tmp_path, script, work)


def test_a_purge_counts_for_what_is_on_its_way(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def script(head: str, stream: Stream) -> None:
        number = "one" if "one" in head else "two"
        await go.wait()
        await stream.write(http(number.encode(), FRESH))

    async def work(made: Edge) -> None:
        first = asyncio.ensure_future(made.ask("/x", "X-Number: one"))
        await until(lambda: made.asked, "the first request is at the origin")
        assert (await made.ask("/x", method="PURGE")).status == 200
        second = asyncio.ensure_future(made.ask("/x", "X-Number: two"))
        await until(lambda: len(made.asked) == 2, "the second does not wait for the first")
        go.set()
        assert [(await one).body for one in (first, second)] == [b"one", b"two"]
        hit = await made.ask("/x")
        assert "hit" in hit.cache
        assert hit.body == b"two"

    edge(tmp_path, script, work, purge=(ip_network("127.0.0.0/8"),))


def test_a_head_refreshes_what_is_stale_for_everybody(tmp_path: Path) -> None:
    async def script(head: str, stream: Stream) -> None:
        told = f"Cache-Control: max-age={0 if len(asked) == 0 else 60}, stale-while-revalidate=60"
        asked.append(head.split(maxsplit=1)[0])
        await stream.write(http(f"{len(asked)}".encode(), told))

    asked: list[str] = []

    async def work(made: Edge) -> None:
        await made.ask("/x")
        assert "hit; ttl=" in (await made.ask("/x", method="HEAD")).cache
        await until(lambda: len(made.role.events("cache-stored")) == 2, "it is refreshed")
        assert (await made.ask("/x")).body == b"2"
        assert asked == ["GET", "GET"]

    edge(tmp_path, script, work)


def test_a_refresh_that_may_not_be_stored_holds_no_connection(tmp_path: Path) -> None:
    """Nobody reads its long body, so it is given up."""
    ended = asyncio.Event()

    async def script(_: str, stream: Stream) -> None:
        if not begun:
            begun.append(True)
            await stream.write(http(b"1", "Cache-Control: max-age=0, stale-while-revalidate=60"))
            return
        try:
            await stream.write(http(bytes(20_000_000), "Cache-Control: no-store"))
            await stream.read()
        finally:
            ended.set()

    begun: list[bool] = []

    async def work(made: Edge) -> None:
        await made.ask("/x")
        assert (await made.ask("/x")).body == b"1"
        await until(ended.is_set, "the edge gave the refresh up")

    edge(tmp_path, script, work)


def test_a_request_can_put_up_with_what_is_stale(tmp_path: Path) -> None:
    """RFC 5861 section 4; unless the response must not be used so."""
    broken = False

    async def script(head: str, stream: Stream) -> None:
        rule = "max-age=0, must-revalidate" if target(head) == "/strict" else "max-age=0"
        status = "503 Gone" if broken else "200 OK"
        await stream.write(http(b"old", f"Cache-Control: {rule}", 'ETag: "1"', status=status))

    async def work(made: Edge) -> None:
        nonlocal broken
        for path in ("/x", "/strict"):
            await made.ask(path)
        broken = True
        tolerant = "Cache-Control: stale-if-error=60"
        assert (await made.ask("/x")).status == 503
        assert (await made.ask("/x", tolerant)).body == b"old"
        assert (await made.ask("/x", "Cache-Control: stale-if-error=0")).status == 503
        assert (await made.ask("/strict", tolerant)).status == 503

    edge(tmp_path, script, work)
