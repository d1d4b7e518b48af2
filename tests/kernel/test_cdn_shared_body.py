"""A body that several read: from the beginning while all is kept, and no faster than the slowest then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from netlab.net.shared_body import SharedBody
from netlab.net.upstream import UpstreamError

PART = bytes(64 * 1024)


async def taken(parts: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in parts])


def test_who_comes_late_gets_all_of_what_is_kept() -> None:
    async def main() -> None:
        body = SharedBody(100)
        await body.add(b"one")
        with body.reader() as early, body.reader() as late:
            reading = asyncio.ensure_future(taken(early))
            await body.add(b"two")
            body.end()
            assert await reading == b"onetwo"
            assert await taken(late) == b"onetwo"
        assert body.whole() == b"onetwo"

    asyncio.run(main())


def test_the_source_waits_for_the_slowest_and_nothing_is_kept() -> None:
    async def main() -> None:
        body = SharedBody(0)

        async def fill() -> None:
            for _ in range(100):
                await body.add(PART)
            body.end()

        filling = asyncio.ensure_future(fill())
        with body.reader() as fast, body.reader() as slow:
            quick = asyncio.ensure_future(taken(fast))
            for _ in range(50):
                await asyncio.sleep(0)
            assert not filling.done()
            assert sum(len(part) for part in body._parts.values()) <= 5 * len(PART)
            assert not body.joinable
            assert len(await taken(slow)) == 100 * len(PART)
            assert len(await quick) == 100 * len(PART)
        await filling
        assert body.whole() is None

    asyncio.run(asyncio.wait_for(main(), 20))


def test_an_end_that_is_none_reaches_all() -> None:
    async def main() -> None:
        body = SharedBody(100)
        await body.add(b"one")
        body.end(UpstreamError("cut"))
        assert body.whole() is None
        assert not body.joinable
        with body.reader() as parts:
            assert await anext(parts) == b"one"
            with pytest.raises(UpstreamError, match="cut"):
                await anext(parts)

    asyncio.run(main())


def test_a_reader_that_leaves_holds_nobody_back() -> None:
    async def main() -> None:
        body = SharedBody(0)
        with body.reader():
            filling = asyncio.ensure_future(body.add(bytes(1_000_000)))
            with body.reader() as parts:
                assert len(await anext(parts)) == 1_000_000
            await asyncio.sleep(0)
            assert not filling.done(), "the other reader has taken nothing"
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)

    asyncio.run(main())
