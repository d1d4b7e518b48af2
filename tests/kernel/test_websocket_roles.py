"""WebSockets and channels of the app role, with independent clients: the `websockets` library and curl."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from netlab.model.roles import AppSpec
from netlab.proto.websocket import frame
from tests.kit.poll import poll_until
from tests.kit.postgres import binaries, postgres
from tests.kit.role_process import RoleProcess, Roles, roles

URL = "ws://127.0.0.1:8080"
HTTP = "http://127.0.0.1:8080"
MASK = b"\x11\x22\x33\x44"
_DEADLINE_S = 10


@contextmanager
def app(directory: Path) -> Iterator[RoleProcess]:
    """An app without a database. It must say nothing on stderr, and survive."""
    with roles(directory) as started:
        role = started.start("app", AppSpec())
        yield role
        assert role.stop() == 0, role.evidence()
        assert role.log() == ""


def curl(*arguments: str) -> str:
    argv = ["curl", "-sS", "--max-time", "10", *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def publish(channel: str, text: str, port: int = 8080) -> int:
    """The message's number."""
    url = f"http://127.0.0.1:{port}/channels/{channel}"
    return int(json.loads(curl("--data-binary", text, url))["id"])


async def received(client: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(_DEADLINE_S):
        return dict(json.loads(await client.recv()))


@pytest.mark.parametrize("compression", ["deflate", None])
def test_echo_with_an_independent_client(tmp_path: Path, compression: str | None) -> None:
    async def talk() -> None:
        async with connect(f"{URL}/echo", compression=compression, max_size=None) as client:
            for message in ("", "Grüße " * 50, b"\x00\xff" * 100, "x" * 3_000_000):
                await client.send(message)
                assert await client.recv() == message
            await client.send(["frag", "men", "ted"])
            assert await client.recv() == "fragmented"
            await (await client.ping(b"are you there"))
        assert client.close_code == 1000

    with app(tmp_path) as role:
        asyncio.run(talk())
        (opened,) = role.events("websocket-opened")
        assert ("permessage-deflate" in opened["extensions"]) is (compression == "deflate"), opened
        (closed,) = role.wait_for("websocket-closed")
        assert (closed["code"], closed["cause"]) == (1000, "closed by the peer")


def test_a_channel_says_to_all_what_any_says(tmp_path: Path) -> None:
    async def talk() -> None:
        async with connect(f"{URL}/channels/news/ws") as first, connect(f"{URL}/channels/news/ws") as second:
            await first.send("hello")
            one, other = await received(first), await received(second)
            assert one == other
            assert one["text"] == "hello"
            number = await asyncio.to_thread(publish, "news", "by POST")
            assert (await received(first))["id"] == number == one["id"] + 1
            await second.send(b"binary")
            async with asyncio.timeout(_DEADLINE_S):
                await received(second)  # what was posted
                with pytest.raises(ConnectionClosed):
                    await second.recv()
            assert second.close_code == 1003
        async with connect(f"{URL}/channels/news/ws?since={one['id']}") as third:
            assert (await received(third))["text"] == "by POST"
        async with connect(f"{URL}/channels/other/ws") as fourth:
            await fourth.send("nobody else hears it")
            assert (await received(fourth))["text"] == "nobody else hears it"

    with app(tmp_path) as role:
        asyncio.run(talk())
        assert [event["receivers"] for event in role.wait_for("published", 3)] == [2, 2, 1]
        sent = role.events("websocket-sent")
        assert {event["channel"] for event in sent} == {"news", "other"}


def test_an_event_stream_resumes(tmp_path: Path) -> None:
    with app(tmp_path):
        first = publish("news", "one\nline more")
        publish("news", "two")
        stream = subprocess.run(
            [
                "curl",
                "-sSN",
                "--max-time",
                "1",
                "-H",
                f"Last-Event-ID: {first}",
                f"{HTTP}/channels/news/events",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert stream.returncode == 28, stream  # curl's own timeout: the stream goes on
        lines = stream.stdout.splitlines()
        assert lines[:3] == ["retry: 1000", "", f"id: {first + 1}"], stream.stdout
        assert json.loads(lines[3].removeprefix("data: "))["text"] == "two"


def test_long_polling_holds_until_there_is_news(tmp_path: Path) -> None:
    with app(tmp_path) as role:
        number = publish("news", "old")
        poll = f"{HTTP}/channels/news/poll?since={number}"
        assert json.loads(curl(f"{HTTP}/channels/news/poll?since={number - 1}"))[0]["text"] == "old"
        with subprocess.Popen(["curl", "-sS", poll], stdout=subprocess.PIPE, text=True) as waiting:
            role.wait_for("request-received", 3)
            assert waiting.poll() is None
            publish("news", "new")
            output, _ = waiting.communicate(timeout=_DEADLINE_S)
        assert [message["text"] for message in json.loads(output)] == ["new"]
        assert [one["text"] for one in json.loads(curl(f"{HTTP}/channels/news/messages"))] == ["old", "new"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("-X", "DELETE", f"{HTTP}/channels/news"), 405),
        ((f"{HTTP}/channels/news",), 405),
        ((f"{HTTP}/channels/",), 404),
        ((f"{HTTP}/channels/a%2fb/poll",), 404),
        ((f"{HTTP}/channels/news/poll?since=x",), 400),
        ((f"{HTTP}/channels/news/poll?since=1&since=2",), 400),
        (("-d", "x" * 70_000, f"{HTTP}/channels/news"), 413),
        (("--data-binary", "@-", f"{HTTP}/channels/news"), 400),
        ((f"{HTTP}/channels/news/ws",), 426),
        ((f"{HTTP}/slow?ms=-1",), 400),
        ((f"{HTTP}/objects/1?size=99999999",), 400),
        ((f"{HTTP}/sink",), 405),
    ],
)
def test_what_is_refused(tmp_path: Path, arguments: tuple[str, ...], status: int) -> None:
    with app(tmp_path):
        argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "10", *arguments]
        answered = subprocess.run(argv, input=b"\xff\xfe", capture_output=True, check=True).stdout
        assert int(answered) == status


def test_bodies_to_measure_with(tmp_path: Path) -> None:
    with app(tmp_path) as role:
        made, back = tmp_path / "made", tmp_path / "back"
        curl("-o", str(made), f"{HTTP}/bytes/50000000")
        assert made.stat().st_size == 50_000_000
        curl("-T", str(made), "-X", "POST", "-o", str(back), f"{HTTP}/echo")
        told = json.loads(curl("-T", str(back), "-X", "POST", f"{HTTP}/sink"))
        digest = subprocess.run(["sha256sum", str(made)], check=True, capture_output=True, text=True).stdout
        assert told == {"bytes": 50_000_000, "sha256": digest.split()[0]}
        status = Path(f"/proc/{role.process.pid}/status").read_text()
        (peak_kib,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        assert peak_kib < 100 * 1024, status
        for number in (7, 7, 8):
            curl("-o", str(tmp_path / f"object-{number}"), f"{HTTP}/objects/{number}?size=100")
        seven, eight = (tmp_path / "object-7").read_bytes(), (tmp_path / "object-8").read_bytes()
        assert len(seven) == len(eight) == 100
        assert seven != eight


# Peers that break the rules, on bare sockets.


def handshake(*fields: str, path: str = "/echo", version: str | None = "13", key: bool = True) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket", *fields]
    if version is not None:
        lines.append(f"Sec-WebSocket-Version: {version}")
    if key:
        lines.append("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    return "\r\n".join((*lines, "", "")).encode()


@contextmanager
def opened(path: str = "/echo") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", 8080), timeout=_DEADLINE_S) as sock:
        sock.sendall(handshake(path=path))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield sock


def rest(sock: socket.socket) -> bytes:
    """All that comes until the peer ends the connection."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            found += data
    return found


@pytest.mark.parametrize(
    ("request_", "status", "field"),
    [
        (handshake(version="8"), b"426", b"Sec-WebSocket-Version: 13"),
        (handshake(version=None), b"400", b"Sec-WebSocket-Version: 13"),
        (handshake(key=False), b"400", b""),
        (handshake("Sec-WebSocket-Extensions: a; ="), b"400", b""),
    ],
)
def test_handshakes_that_lie(tmp_path: Path, request_: bytes, status: bytes, field: bytes) -> None:
    with app(tmp_path), socket.create_connection(("127.0.0.1", 8080), timeout=_DEADLINE_S) as sock:
        sock.sendall(request_)
        sock.shutdown(socket.SHUT_WR)
        answer = rest(sock)
        assert answer.split()[1] == status, answer
        assert field.lower() in answer.lower(), answer


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(1, b"unmasked"), 1002),
        (frame(1, b"\xff", mask=MASK), 1007),
        (b"\x89\xfe\x00\x7e" + MASK + bytes(126), 1002),
        (b"\x83\x80" + MASK, 1002),
        (b"\xc1\x80" + MASK, 1002),
        (frame(8, b"\x03\xee", mask=MASK), 1002),
        (b"\x82\xff" + struct.pack("!Q", 1 << 40) + MASK, 1009),
    ],
)
def test_frames_that_break_the_rules(tmp_path: Path, data: bytes, code: int) -> None:
    with app(tmp_path) as role:
        with opened() as sock:
            sock.sendall(frame(1, b"first", mask=MASK) + data)
            answer = rest(sock)
            first = frame(1, b"first")
            assert answer.startswith(first), answer
            close = answer.removeprefix(first)
            assert close[0] == 0x88, answer
            assert struct.unpack("!H", close[2:4]) == (code,), answer
        role.wait_for("websocket-closed")
        role.wait_for("connection-closed")


def test_a_flood_of_pings_by_a_peer_that_reads_nothing_costs_no_memory(tmp_path: Path) -> None:
    with app(tmp_path) as role, opened() as sock:
        ping = frame(9, bytes(125), mask=MASK) * 500
        sock.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 * 1024 * 1024:
                sent += sock.send(ping)
        assert sent < 64 * 1024 * 1024, "the app reads on, though its answers are not read"
        status = Path(f"/proc/{role.process.pid}/status").read_text()
        (kib,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        assert kib < 150 * 1024, status


def test_a_subscriber_too_slow_is_cut_off_and_others_are_not_held_up(tmp_path: Path) -> None:
    async def talk() -> None:
        text = "x" * 60_000
        async with connect(f"{URL}/channels/busy/ws") as client:
            for _ in range(200):
                await client.send(text)
                assert (await received(client))["text"] == text

    with app(tmp_path) as role, opened("/channels/busy/ws"):
        asyncio.run(talk())
        slow = [one for one in role.wait_for("websocket-closed") if "too slow" in one["cause"]]
        assert len(slow) == 1, role.evidence()


def test_a_role_that_stops_says_going_away(tmp_path: Path) -> None:
    async def talk(role: RoleProcess) -> int | None:
        async with connect(f"{URL}/channels/news/ws") as client, connect(f"{URL}/echo") as other:
            role.process.terminate()
            async with asyncio.timeout(_DEADLINE_S):
                await asyncio.gather(client.wait_closed(), other.wait_closed())
            assert other.close_code == 1001
            return client.close_code

    with roles(tmp_path) as started:
        role = started.start("app", AppSpec())
        assert asyncio.run(talk(role)) == 1001
        assert role.wait() == 0, role.evidence()


def test_an_app_may_have_as_many_open_files_as_the_machine_allows(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        few = sum(1 for _ in Path("/proc/self/fd").iterdir()) + 128  # the test's own process needs some, too
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(few, hard), hard))
        with app(tmp_path) as role:
            assert resource.prlimit(role.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Several app processes on one channel.


@contextmanager
def two_apps(directory: Path) -> Iterator[Roles]:
    with roles(directory) as started:
        for number in (1, 2):
            started.start(f"app-{number}", AppSpec(listen=8080 + number, database="127.0.0.1:5432"))
        yield started


@pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed")
def test_a_channel_through_postgresql(tmp_path: Path) -> None:
    async def talk() -> list[int]:
        async with (
            connect("ws://127.0.0.1:8081/channels/news/ws") as one,
            connect("ws://127.0.0.1:8082/channels/news/ws") as two,
        ):
            numbers = []
            for text in ("short", "y" * 20_000):  # the second is too long for a notice
                await one.send(text)
                first, second = await received(one), await received(two)
                assert first == second
                assert first["text"] == text
                numbers.append(int(first["id"]))
            return numbers

    with postgres() as server, two_apps(tmp_path) as started:
        numbers = asyncio.run(talk())
        assert numbers[1] == numbers[0] + 1
        # one that starts later knows what was said
        started.start("app-3", AppSpec(listen=8083, database="127.0.0.1:5432"))
        known = json.loads(curl("http://127.0.0.1:8083/channels/news/messages"))
        assert [message["id"] for message in known] == numbers
        # a database that restarts: what was said meanwhile by others is not lost
        server.stop()
        server.start()
        poll_until(lambda: posts("after", 8081), "app-1 has its database again", timeout_s=15)

        def heard() -> bool:
            found = json.loads(curl("http://127.0.0.1:8082/channels/news/messages"))
            return bool(found[-1]["text"] == "after")

        poll_until(heard, "app-2 hears app-1", timeout_s=15)


def posts(text: str, port: int) -> bool:
    argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", text]
    url = f"http://127.0.0.1:{port}/channels/news"
    return subprocess.run([*argv, url], capture_output=True, check=True).stdout == b"201"
