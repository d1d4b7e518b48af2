"""The cdn before origins that lie, go on for too long, or have a clock of their own."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from netlab.net.stream import Stream
from tests.kit.edge import Edge, edge, http
from tests.kit.origin import NAME
from tests.kit.roles_in_process import until

FRESH = "Cache-Control: max-age=300"


def test_bytes_behind_a_response_are_nobody_s_answer(tmp_path: Path) -> None:
    """Content-Length says less than comes: response splitting, on a connection that would be reused."""

    async def script(head: str, stream: Stream) -> None:
        path = head.split()[1].encode()
        await stream.write(http(path, FRESH) + http(b"evil", FRESH))

    async def work(made: Edge) -> None:
        for path in ("/a", "/b", "/c", "/a", "/b", "/c"):
            answer = await made.ask(path)
            assert (answer.status, answer.body) == (200, path.encode()), answer

    edge(tmp_path, script, work)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\nCache-Control: max-age=9\r\n\r\nbody!",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\nCache-Control: max-age=9\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=9\r\n\r\n4\r\nbody\r\nzz",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=9\r\n\r\n4\r\nbo",
        b"HTTP/1.1 \x00\r\n\r\n",
        b"",
    ],
)
def test_rubbish_is_never_stored(tmp_path: Path, answer: bytes) -> None:
    async def script(_: str, stream: Stream) -> None:
        await stream.write(answer)
        await stream.close()

    async def work(made: Edge) -> None:
        for _ in range(2):
            said = await made.talk(b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            whole = said.endswith((b"0\r\n\r\n", b"body"))
            assert said.startswith(b"HTTP/1.1 502") or not whole, said
        assert made.role.events("cache-stored") == []

    edge(tmp_path, script, work)


@pytest.mark.parametrize("told", [True, False])
def test_what_is_too_large_passes_and_is_not_stored(tmp_path: Path, told: bool) -> None:
    """With its length, or found out only while it comes."""
    body = bytes(range(256)) * 4096

    async def script(_: str, stream: Stream) -> None:
        if told:
            await stream.write(http(body, FRESH))
        else:
            lines = ("HTTP/1.1 200 OK", FRESH, "Connection: close", "", "")
            await stream.write("\r\n".join(lines).encode() + body)
            await stream.close()

    async def work(made: Edge) -> None:
        for _ in range(2):
            answer = await made.ask("/x")
            assert "fwd=uri-miss" in answer.cache
            if told:
                assert answer.body == body
            else:
                assert answer.body.endswith(b"0\r\n\r\n")
                assert len(answer.body) > len(body)
        assert made.role.events("cache-stored") == []

    edge(tmp_path, script, work, cache_bytes=1_000_000)


@pytest.mark.parametrize(
    ("skew_s", "age", "hit"), [(-100, 100, True), (-400, 400, False), (3600, 0, True), (0, 0, True)]
)
def test_an_origin_with_a_clock_of_its_own(tmp_path: Path, skew_s: int, age: int, hit: bool) -> None:
    """A Date in the past is age; one in the future is none (RFC 9111 section 4.2.3)."""

    async def script(_: str, stream: Stream) -> None:
        date = formatdate(time.time() + skew_s, usegmt=True)
        await stream.write(http(b"x", FRESH, f"Date: {date}"))

    async def work(made: Edge) -> None:
        await made.ask("/x")
        second = await made.ask("/x")
        assert ("; hit;" in second.cache) is hit, second
        if hit:
            assert age <= int(second.fields["age"]) <= age + 15, second

    edge(tmp_path, script, work)


def test_a_client_that_reads_nothing_stops_nobody(tmp_path: Path) -> None:
    body = bytes(4_000_000)

    async def script(_: str, stream: Stream) -> None:
        await stream.write(http(body, FRESH))

    async def work(made: Edge) -> None:
        slow = await made.open(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: made.asked, "the slow one's request is at the origin")
        answers = await asyncio.gather(*(made.ask("/x") for _ in range(3)))
        assert [len(one.body) for one in answers] == [len(body)] * 3
        assert len(made.asked) == 1
        slow.transport.abort()

    edge(tmp_path, script, work)


def test_a_request_does_not_go_round(tmp_path: Path) -> None:
    async def script(head: str, stream: Stream) -> None:
        await stream.write(http(head.lower().encode()))

    async def work(made: Edge) -> None:
        assert b"cdn-loop: shield, cdn\r\n" in (await made.ask("/x", "CDN-Loop: shield")).body
        assert (await made.ask("/x", "CDN-Loop: cdn, shield")).status == 508
        assert len(made.asked) == 1

    edge(tmp_path, script, work)


def test_an_origin_that_answers_before_the_request_is_done(tmp_path: Path) -> None:
    """The answer is the client's, and the next request gets its own."""

    async def script(head: str, stream: Stream) -> None:
        if head.startswith("POST"):
            await stream.write(http(b"too much", "Connection: close", status="413 Content Too Large"))
            await stream.close()
            return
        await stream.write(http(b"next", "Cache-Control: max-age=60"))

    async def work(made: Edge) -> None:
        refused = await made.ask("/x", "Content-Length: 8000000", method="POST", body="x" * 100_000)
        assert (refused.status, refused.body) == (413, b"too much"), refused
        assert (await made.ask("/x")).body == b"next"

    edge(tmp_path, script, work)


def test_many_ranges_cost_no_more_than_the_whole(tmp_path: Path) -> None:
    body = bytes(range(250)) * 40

    async def script(_: str, stream: Stream) -> None:
        await stream.write(http(body, "Cache-Control: max-age=60"))

    async def work(made: Edge) -> None:
        await made.ask("/x")
        apart = ",".join(f"{2 * n}-{2 * n}" for n in range(1300))
        same = ",".join(["0-"] * 1300)
        for ranges in (apart, same):
            answer = await made.ask("/x", f"Range: bytes={ranges}")
            assert (answer.status, answer.body) == (200, body), answer.status
        assert len(made.asked) == 1, made.asked

    edge(tmp_path, script, work)


def test_that_there_is_nothing_is_believed_for_a_while(tmp_path: Path) -> None:
    async def script(_: str, stream: Stream) -> None:
        await stream.write(http(b"none", status="404 Not Found"))

    async def work(made: Edge) -> None:
        for cache in ("fwd=uri-miss", "hit; ttl="):
            answer = await made.ask("/x")
            assert answer.status == 404
            assert cache in answer.cache, answer

    edge(tmp_path, script, work, negative="10s")


def test_what_comes_before_a_response_comes_before_it_here_too(tmp_path: Path) -> None:
    """RFC 9110 section 15.2: a proxy forwards 1xx, known to it or not; 100 it answers by itself."""

    async def script(_: str, stream: Stream) -> None:
        early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
        await stream.write(early + b"HTTP/1.1 199 Of Ours\r\nX-Step: 2\r\n\r\n" + http(b"done", "ETag: 1"))

    async def work(made: Edge) -> None:
        said = await made.talk(b"GET /x HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % NAME.encode())
        statuses = [line.split()[1] for line in said.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        assert statuses == [b"103", b"199", b"200"], said
        assert b"Link: </a.css>" in said, said
        assert b"X-Step: 2" in said, said

    edge(tmp_path, script, work)
