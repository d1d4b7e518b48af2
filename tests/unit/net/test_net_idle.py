"""One timer for all waits of a connection."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from netlab.model.event import Flow
from netlab.model.launch import Launch
from netlab.model.roles import ClientSpec
from netlab.net.context import RoleContext
from netlab.net.idle import IdleWatch
from netlab.net.stream import TcpStream

Work = Callable[[RoleContext, IdleWatch, TcpStream, asyncio.StreamReader], Awaitable[None]]


def watched(timeout_s: float, work: Work) -> None:
    async def main() -> None:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            launch = Launch(lab="test", node="n", role="r", spec=ClientSpec())
            ctx = RoleContext(launch, descriptor, tasks)
            reader = asyncio.StreamReader()
            flow = Flow("tcp", "127.0.0.1", 1, "127.0.0.1", 2)
            stream = TcpStream(reader, None, flow)  # type: ignore[arg-type]  # nothing is written
            watch = IdleWatch(ctx, stream, timeout_s)
            try:
                await work(ctx, watch, stream, reader)
            finally:
                watch.close()
        assert not ctx.waiting
        os.close(descriptor)

    asyncio.run(main())


async def _timed_out(watch: IdleWatch, stream: TcpStream) -> bool:
    try:
        with watch:
            await stream.read()
    except TimeoutError:
        return True
    return False


def test_a_read_that_takes_too_long_is_ended() -> None:
    async def work(_: RoleContext, watch: IdleWatch, stream: TcpStream, reader: asyncio.StreamReader) -> None:
        assert await _timed_out(watch, stream)

    watched(0.05, work)


def test_each_wait_has_the_whole_time() -> None:
    """Three reads of 300 ms each, of 500 ms allowed: no one is ended, though together they take longer."""

    async def work(_: RoleContext, watch: IdleWatch, stream: TcpStream, reader: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()
        for _number in range(3):
            loop.call_later(0.3, reader.feed_data, b"x")
            assert not await _timed_out(watch, stream)
        begun = loop.time()
        assert await _timed_out(watch, stream)
        assert loop.time() - begun > 0.45, "the last wait had less than its time"

    watched(0.5, work)


def test_what_is_done_between_waits_takes_as_long_as_it_likes() -> None:
    async def work(_: RoleContext, watch: IdleWatch, stream: TcpStream, reader: asyncio.StreamReader) -> None:
        reader.feed_data(b"x")
        assert not await _timed_out(watch, stream)
        await asyncio.sleep(0.12)
        reader.feed_data(b"y")
        assert not await _timed_out(watch, stream)

    watched(0.05, work)


def test_the_role_s_end_ends_the_wait_but_not_what_has_come() -> None:
    async def work(
        ctx: RoleContext, watch: IdleWatch, stream: TcpStream, reader: asyncio.StreamReader
    ) -> None:
        asyncio.get_running_loop().call_later(0.02, ctx.stop)
        assert await _timed_out(watch, stream)

    async def later(
        ctx: RoleContext, watch: IdleWatch, stream: TcpStream, reader: asyncio.StreamReader
    ) -> None:
        reader.feed_data(b"x")
        ctx.stop()
        assert not await _timed_out(watch, stream)
        assert await _timed_out(watch, stream)

    watched(60, work)
    watched(60, later)


def test_a_role_may_stop_while_a_wait_is_just_ending() -> None:
    async def work(
        ctx: RoleContext, watch: IdleWatch, stream: TcpStream, reader: asyncio.StreamReader
    ) -> None:
        loop = asyncio.get_running_loop()
        failures: list[Exception] = []

        def stop_between_the_timer_and_its_task() -> None:
            if not any(timer.expired() for timer in ctx._idle):
                loop.call_soon(stop_between_the_timer_and_its_task)
                return
            try:
                ctx.stop()
            except RuntimeError as error:
                failures.append(error)

        loop.call_soon(stop_between_the_timer_and_its_task)
        try:
            async with ctx.idle(0.02):
                await asyncio.Event().wait()
        except TimeoutError:
            assert ctx.stopping
        assert not failures, failures

    watched(60, work)
