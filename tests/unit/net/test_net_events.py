"""The event writer: in order, whole, in few writes, and never lost where the process can still act."""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import Iterator

import pytest

from netlab.errors import LocalProtocolError
from netlab.model.event import Event, Flow
from netlab.net.events import EventWriter

FLOW = Flow("tcp", "192.0.2.1", 80, "2001:db8::1", 5000)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def waiting(reader: int) -> bytes:
    """What can be read now."""
    os.set_blocking(reader, False)
    try:
        return os.read(reader, 1 << 20)
    except BlockingIOError:
        return b""


def test_a_line_is_as_the_model_has_it(pipe: tuple[int, int]) -> None:
    writer = EventWriter(pipe[1], 'a"ü', "app")
    writer.emit("ready", port=80)
    writer.emit("connection-opened", FLOW, 7, side="client")
    writer.emit("error", FLOW, 8, cause='a "b" \n ü', where=FLOW)
    writer.emit("ready")
    lines = waiting(pipe[0]).splitlines()
    assert [Event.from_line(line) for line in lines[1:3]] == [
        Event(7, 'a"ü', "app", "connection-opened", FLOW, {"side": "client"}),
        Event(8, 'a"ü', "app", "error", FLOW, {"cause": 'a "b" \n ü', "where": list(FLOW)}),
    ]
    for line in lines:
        event = Event.from_line(line)
        assert event.to_line().encode() == line
        assert event.time_ns > 0
    with pytest.raises(LocalProtocolError):
        writer.emit("no such event")


def test_events_of_one_iteration_leave_at_its_end_and_in_order(pipe: tuple[int, int]) -> None:
    async def main() -> None:
        writer = EventWriter(pipe[1], "n", "r")
        for number in range(3):
            writer.emit("ready", port=number)
        assert waiting(pipe[0]) == b""
        await asyncio.sleep(0)
        assert [Event.from_line(line).data["port"] for line in waiting(pipe[0]).splitlines()] == [0, 1, 2]
        writer.emit("ready", port=3)
        writer.flush()
        assert waiting(pipe[0]).count(b"\n") == 1
        await asyncio.sleep(0)
        assert waiting(pipe[0]) == b"", "nothing twice"

    asyncio.run(main())


def test_many_events_do_not_wait_for_the_iteration(pipe: tuple[int, int]) -> None:
    async def main() -> None:
        writer = EventWriter(pipe[1], "n", "r")
        for _ in range(40):
            writer.emit("error", cause="x" * 1000)
        assert waiting(pipe[0]).count(b"\n") > 30

    asyncio.run(main())


@pytest.mark.parametrize("blocking", [True, False])
def test_a_full_pipe_loses_nothing(pipe: tuple[int, int], blocking: bool) -> None:
    reader, end = pipe
    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(end, blocking)
    found: list[bytes] = []

    def read() -> None:
        while sum(part.count(b"\n") for part in found) < 200:
            found.append(os.read(reader, 1000))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    writer = EventWriter(end, "n", "r")
    for number in range(200):
        writer.emit("error", cause="x" * 1000, number=number)
    thread.join(10)
    assert not thread.is_alive()
    lines = b"".join(found).splitlines()
    assert [Event.from_line(line).data["number"] for line in lines] == list(range(200))
