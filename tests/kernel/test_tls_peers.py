"""TLS with programs that are not ours (openssl, curl), with rubbish, with much data and with a sudden end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import resource
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from netlab.model.roles import TlsServer
from netlab.net.connection import Peer
from netlab.net.stream import Stream, TlsError
from netlab.net.tls import TlsStream
from tests.kit.roles_in_process import until
from tests.kit.tls_pair import AUTHORITY, CLIENT_IDENTITY, NAME, PORT, Pair, pair

MIB = 1024 * 1024


async def run(*argv: str, data: bytes = b"") -> str:
    """A program's output, both kinds, whatever its status."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(15):
            output, _ = await process.communicate(data)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode(errors="replace")


async def dialogue(argv: tuple[str, ...], *steps: tuple[bytes, str]) -> None:
    """Write to a program, and wait for what it then must print, step by step."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    output = ""
    try:
        for data, wanted in steps:
            process.stdin.write(data)
            output = ""
            async with asyncio.timeout(10):
                while wanted not in output:
                    part = await process.stdout.read(4096)
                    assert part, f"no {wanted!r} in {output!r}"
                    output += part.decode(errors="replace")
    except TimeoutError as error:
        raise AssertionError(f"no {wanted!r} in {output!r}") from error
    finally:
        process.stdin.close()
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def respond(stream: Stream, _: Peer) -> None:
    """HTTP enough for curl."""
    request = b""
    while b"\r\n\r\n" not in request:
        data = await stream.read()
        if not data:
            return
        request += data
    await stream.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")


def files(directory: Path) -> dict[str, str]:
    """Root, client's chain and key as files."""
    texts = {
        "root": AUTHORITY.root_pem,
        "chain": CLIENT_IDENTITY.chain_pem,
        "key": CLIENT_IDENTITY.key_pem,
    }
    for name, text in texts.items():
        (directory / f"{name}.pem").write_text(text)
    return {name: str(directory / f"{name}.pem") for name in texts}


def s_client(root: str, *more: str) -> tuple[str, ...]:
    place = ("-connect", f"127.0.0.1:{PORT}", "-servername", NAME)
    return ("openssl", "s_client", *place, "-CAfile", root, "-verify_return_error", "-ign_eof", *more)


def commanded(root: str, *more: str) -> tuple[str, ...]:
    """An s_client that takes commands, one letter each."""
    return tuple(one for one in s_client(root, *more) if one != "-ign_eof")


REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_openssl_sees_the_status_and_resumes(tmp_path: Path, version: str) -> None:
    flag = "-tls1_" + version[-1]
    session = str(tmp_path / "session.pem")

    async def work(made: Pair) -> None:
        await made.listen(TlsServer(), respond)
        root = files(tmp_path)["root"]
        first = await run(*s_client(root, flag, "-status", "-sess_out", session), data=REQUEST)
        assert "OCSP Response Status: successful" in first, first
        assert "Cert Status: good" in first, first
        assert "Verify return code: 0 (ok)" in first, first
        assert "hello" in first, first
        assert "Compression: NONE" in first, first
        second = await run(*s_client(root, flag, "-sess_in", session), data=REQUEST)
        assert re.search(r"^Reused, TLSv1", second, re.MULTILINE), second
        assert [one["resumed"] for one in made.server.events("tls-handshake")] == [False, True]

    pair(tmp_path, work)


@pytest.mark.parametrize(
    ("flags", "alert"),
    [
        (("-tls1", "-cipher", "ALL:@SECLEVEL=0"), "alert protocol version"),
        (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "alert protocol version"),
        (("-tls1_2", "-cipher", "AES128-SHA"), "alert handshake failure"),
        (("-alpn", "spdy/1"), "alert no application protocol"),
        (("-tls1_2", "-fallback_scsv"), "alert inappropriate fallback"),
    ],
)
def test_openssl_is_refused(tmp_path: Path, flags: tuple[str, ...], alert: str) -> None:
    async def work(made: Pair) -> None:
        await made.listen(TlsServer(), respond)
        output = await run(*s_client(files(tmp_path)["root"], *flags), data=REQUEST)
        assert alert in output, output
        await until(lambda: made.server.events("tls-failed"), "the server says why")

    pair(tmp_path, work)


def test_renegotiation_is_refused(tmp_path: Path) -> None:
    async def work(made: Pair) -> None:
        await made.listen(TlsServer(), respond)
        argv = commanded(files(tmp_path)["root"], "-tls1_2")
        await dialogue(argv, (b"", "Verify return code: 0"), (b"R\n", "no renegotiation"))

    pair(tmp_path, work)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_with_a_client_certificate(tmp_path: Path, version: str) -> None:
    async def work(made: Pair) -> None:
        await made.listen(TlsServer(client_certificates="required"), respond)
        place = files(tmp_path)
        url = (f"https://{NAME}:{PORT}/", "--resolve", f"{NAME}:{PORT}:127.0.0.1")
        argv = ("curl", "-sS", "--cacert", place["root"], f"--tlsv{version}", "--tls-max", version, *url)
        shown = await run(*argv, "--cert", place["chain"], "--key", place["key"])
        assert shown == "hello", shown
        without = await run(*argv)
        assert "alert" in without, without
        assert made.server.events("tls-handshake")[0]["peer"] == "client-a"

    pair(tmp_path, work)


def hello() -> bytes:
    """A ClientHello, from Python's own ssl module."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


HELLO = hello()


@pytest.mark.parametrize(
    ("data", "alert"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", True),
        (b"\x80\x00\x00\x00\x00\x00", True),
        (b"\x16\x03\x01\xff\xff" + bytes(100), True),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", True),  # a hello of one byte
        (b"\x17\x03\x03\x00\x20" + bytes(32), True),  # application data first
        (b"\x15\x03\x03\x00\x02\x02\x28", False),  # an alert
        (HELLO[:60], False),
        (HELLO[:5], False),
        (HELLO + b"\x17\x03\x03\x00\x20" + bytes(32), True),
        (HELLO[:9] + b"\x03\x00" + HELLO[11:], True),  # SSL 3.0
    ],
    ids=["http", "ssl2", "long", "short", "data", "alert", "cut", "head", "undecryptable", "ssl3"],
)
def test_rubbish_gets_an_alert(tmp_path: Path, data: bytes, alert: bool) -> None:
    async def work(made: Pair) -> None:
        await made.listen(TlsServer())
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        writer.write(data)
        writer.write_eof()
        answer = b""
        try:
            async with asyncio.timeout(10):
                while part := await reader.read(65_536):
                    answer += part
        except ConnectionResetError:
            assert not alert or answer, "no answer before the reset"
        writer.close()
        await until(lambda: made.server.events("connection-closed"), "the connection ends")
        assert len(made.server.events("tls-failed")) == 1, made.evidence()
        # In TLS 1.3 it may be encrypted: two bytes, their type and a tag of 16.
        assert not alert or b"\x15\x03" in answer or answer[-24:-19] == b"\x17\x03\x03\x00\x13", answer
        await made.ask()  # and the next is served

    pair(tmp_path, work)


def test_hellos_that_were_changed_on_the_way(tmp_path: Path) -> None:
    """Whatever they say, the server goes on, and says why each failed."""

    async def work(made: Pair) -> None:
        await made.listen(TlsServer(client_certificates="optional"))
        rng = random.Random(1)
        for _ in range(300):
            data = bytearray(HELLO)
            for place in rng.sample(range(len(data)), rng.randint(1, 8)):
                data[place] = rng.randrange(256)
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
            writer.write(data)
            writer.write_eof()
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionResetError):
                    await reader.read()
            writer.close()
        closed = made.server.events
        await until(lambda: len(closed("connection-closed")) == 300, "all of them are done")
        assert len(closed("tls-failed")) == 300, made.evidence()
        await made.ask()

    pair(tmp_path, work)


def test_a_client_that_gets_rubbish(tmp_path: Path) -> None:
    async def work(made: Pair) -> None:
        async def rubbish(stream: Stream, _: Peer) -> None:
            await stream.read()
            await stream.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        await made.server.ctx.listen(PORT, rubbish)
        with pytest.raises(TlsError):
            await made.connect()
        assert made.client.events("tls-failed")[0]["side"] == "client"

    pair(tmp_path, work)


def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    async def work(made: Pair) -> None:
        async def gone(stream: Stream, _: Peer) -> None:
            await stream.read()

        await made.server.ctx.listen(PORT, gone)
        with pytest.raises(ConnectionError, match="during the TLS handshake"):
            await made.connect()

    pair(tmp_path, work)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_much_data_is_held_back_by_a_slow_reader(tmp_path: Path, version: str) -> None:
    size = 64 * MIB
    block = bytes(range(256)) * (size // 2048)

    async def work(made: Pair) -> None:
        go = asyncio.Event()
        got = bytearray()

        async def slow(stream: Stream, _: Peer) -> None:
            await go.wait()
            while data := await stream.read():
                assert len(data) <= 65_536
                got.extend(data[:1])
                counted[0] += len(data)
            await stream.write(b"done")

        counted = [0]
        await made.listen(TlsServer.model_validate({"versions": [version]}), slow)
        stream = await made.connect()

        async def send() -> None:
            for _ in range(size // len(block)):
                await stream.write(block)
            stream._ssl.shutdown()
            await stream._flush()

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sending = made.client.ctx.tasks.create_task(send())
        await asyncio.wait({sending}, timeout=0.3)
        assert not sending.done()  # it is held back
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 8 * 1024, f"{grown} KiB more while nobody read"
        go.set()
        await sending
        assert await stream.read() == b"done"
        assert counted[0] == size
        await stream.close()

    pair(tmp_path, work)


async def _end_by_close_notify(stream: TlsStream) -> None:
    await stream.close()


async def _end_by_tcp(stream: TlsStream) -> None:
    await stream._inner.close()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(("end", "clean"), [(_end_by_close_notify, True), (_end_by_tcp, False)])
def test_the_end_of_a_stream(
    tmp_path: Path, version: str, end: Callable[[TlsStream], Awaitable[None]], clean: bool
) -> None:
    """close_notify is the end; a connection that just ends was cut (RFC 8446 section 6.1)."""

    async def work(made: Pair) -> None:
        seen: list[object] = []

        async def watch(stream: Stream, _: Peer) -> None:
            try:
                while data := await stream.read():
                    seen.append(data)
                seen.append("end")
            except TlsError as error:
                seen.append(str(error))

        await made.listen(TlsServer.model_validate({"versions": [version]}), watch)
        stream = await made.connect()
        await stream.write(b"word")
        await end(stream)
        await until(lambda: len(seen) == 2, "the stream's end")
        last = "end" if clean else "the peer closed the connection without ending TLS (close_notify)"
        assert seen == [b"word", last]

    pair(tmp_path, work)


def test_a_record_that_was_changed_on_the_way(tmp_path: Path) -> None:
    async def work(made: Pair) -> None:
        failures: list[str] = []

        async def watch(stream: Stream, _: Peer) -> None:
            for _again in range(2):
                try:
                    await stream.read()
                except TlsError as error:
                    failures.append(str(error))

        await made.listen(TlsServer(), watch)
        stream = await made.connect()
        stream._ssl.send(b"word")
        data = bytearray(stream._ssl.bio_read(1000))
        data[-1] ^= 1
        await stream._inner.write(bytes(data))
        with pytest.raises(TlsError, match="alert bad record mac"):
            await stream.read()
        assert failures == ["decryption failed or bad record mac"] * 2, failures
        await stream.close()

    pair(tmp_path, work)


def test_keys_can_be_updated(tmp_path: Path) -> None:
    """RFC 8446 section 4.6.3; openssl's `K` asks for both sides' new keys."""

    async def work(made: Pair) -> None:
        await made.listen(TlsServer(), respond)
        argv = commanded(files(tmp_path)["root"], "-tls1_3")
        await dialogue(argv, (b"", "Verify return code: 0"), (b"K\n", "KEYUPDATE"), (REQUEST, "hello"))

    pair(tmp_path, work)


def test_a_client_that_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netlab.net.context._HANDSHAKE_TIMEOUT_S", 0.2)

    async def work(made: Pair) -> None:
        await made.listen(TlsServer())
        for data in (b"", HELLO[:20]):
            reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
            writer.write(data)
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            writer.close()
        assert len(made.server.events("connection-closed")) == 2

    pair(tmp_path, work)
