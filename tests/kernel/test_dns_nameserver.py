"""The name server as any client of DNS sees it: header, sizes, connections."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from netlab.model.roles import NameserverSpec, Record, Zone
from netlab.net import dns_server
from netlab.proto.dns import FrameCodec, Message, Question, decode, encode
from netlab.roles import nameserver
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.roles_in_process import Running, running

AT = "127.0.0.5"
ZONE = Zone(
    name="example.com",
    records=(
        Record(name="@", type="NS", data="ns"),
        Record(name="ns", type="A", data=AT),
        Record(name="www", type="A", data="192.0.2.1"),
        *(Record(name="cut", type="NS", data=f"ns{number}.cut") for number in range(13)),
        *(Record(name=f"ns{number}.cut", type="A", data=f"192.0.2.{number}") for number in range(13)),
        *(Record(name=f"ns{number}.cut", type="AAAA", data=f"2001:db8::{number}") for number in range(13)),
        *(Record(name="big", type="TXT", data=f'"{number:0200}"') for number in range(12)),
    ),
)


def served(directory: Path, work: Callable[[Running], Awaitable[None]]) -> None:
    async def main() -> None:
        spec = NameserverSpec(zones=(ZONE,))
        async with asyncio.timeout(30), running(nameserver.serve, spec, directory, "ns", (AT,)) as server:
            await work(server)

    loopback_up()
    asyncio.run(main())


def udp(*datagrams: bytes, replies: int = 1) -> list[bytes]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        for data in datagrams:
            sock.sendto(data, (AT, 53))
        return [sock.recv(65_535) for _ in range(replies)]


@pytest.mark.parametrize(("offered", "most"), [(None, 512), (400, 512), (700, 700), (65_000, 1232)])
def test_udp_answers_are_no_longer_than_the_asker_takes(
    tmp_path: Path, offered: int | None, most: int
) -> None:
    async def work(_: Running) -> None:
        query = Message(7, Question("big.example.com", "TXT"), edns_bytes=offered)
        (data,) = await asyncio.to_thread(udp, encode(query))
        response = decode(data)
        assert len(data) <= most
        assert response.truncated
        assert (response.edns_bytes is None) == (offered is None), "OPT answers OPT"
        with socket.create_connection((AT, 53), 5) as sock:
            sock.sendall(FrameCodec().send(encode(query)))
            whole = decode(await asyncio.to_thread(_frame, sock))
        assert (whole.truncated, len(whole.answers)) == (False, 12)

    served(tmp_path, work)


def _frame(sock: socket.socket) -> bytes:
    with sock.makefile("rb") as stream:
        return stream.read(struct.unpack("!H", stream.read(2))[0])


def test_a_referral_without_room_for_its_glue_is_truncated(tmp_path: Path) -> None:  # RFC 9471
    async def work(_: Running) -> None:
        query = Message(7, Question("www.cut.example.com"))
        small, large = [
            decode(data)
            for data in await asyncio.to_thread(
                udp, encode(query), encode(replace(query, id=8, edns_bytes=1232)), replies=2
            )
        ]
        assert (small.truncated, large.truncated) == (True, False)
        assert len(large.additional) == 26

    served(tmp_path, work)


def test_header_and_refusals_on_the_wire(tmp_path: Path) -> None:
    async def work(_: Running) -> None:
        question = Question("WwW.eXample.Com")
        sent = [
            encode(Message(1, question, recursion_desired=True)),
            encode(Message(2, opcode="STATUS")),
            encode(Message(3)),  # no question
            encode(Message(4, question, edns_bytes=1232, edns_version=9)),
            encode(Message(5, Question("www.example.net"))),
            encode(Message(6, Question("version.bind", "TXT", "CH"))),
            encode(Message(7, question))[:20],  # cut off
        ]
        found = {}
        for data in await asyncio.to_thread(udp, *sent, replies=len(sent)):
            response = decode(data)
            found[response.id] = response
        assert [found[number].rcode for number in range(1, 8)] == [
            "NOERROR", "NOTIMP", "FORMERR", "BADVERS", "REFUSED", "REFUSED", "FORMERR",
        ]  # fmt: skip
        first = found[1]
        assert (first.authoritative, first.recursion_desired, first.recursion_available) == (
            True,
            True,
            False,
        )
        assert first.question == question, "in the case in which it was asked"

    served(tmp_path, work)


def test_many_queries_at_once_on_one_connection(tmp_path: Path) -> None:
    async def work(server: Running) -> None:
        reader, writer = await asyncio.open_connection(AT, 53)
        codec = FrameCodec()
        count = 3 * dns_server.PIPELINE_LIMIT
        for number in range(count):
            writer.write(codec.send(encode(Message(number, Question("www.example.com")))))
        writer.write_eof()
        messages = codec.receive(await reader.read(-1))
        assert {decode(one).id for one in messages} == set(range(count))
        writer.close()
        assert len(server.events("connection-opened")) == 1

    served(tmp_path, work)


def test_a_silent_or_slow_client_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_server, "TCP_IDLE_S", 0.3)

    async def work(_: Running) -> None:
        reader, writer = await asyncio.open_connection(AT, 53)
        for octet in FrameCodec().send(encode(Message(1, Question("www.example.com")))):
            if writer.is_closing() or reader.at_eof():
                break
            writer.write(bytes([octet]))  # bytes now and then don't count as a query
            await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            with suppress(ConnectionResetError):  # where a last octet came after it had closed
                assert await reader.read() == b""
        writer.close()

    served(tmp_path, work)


def test_rubbish_never_stops_it(tmp_path: Path) -> None:
    async def work(_: Running) -> None:
        rng = random.Random(8)
        good = encode(Message(9, Question("www.example.com"), edns_bytes=1232))
        loop = b"\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"
        rubbish = [rng.randbytes(rng.randrange(60)) for _ in range(200)] + [loop]
        for _turn in range(300):
            spoilt = bytearray(good)
            for _change in range(rng.randrange(1, 4)):
                spoilt[rng.randrange(2, len(spoilt))] = rng.randrange(256)
            rubbish.append(bytes(spoilt))

        def flood() -> Message:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for number, data in enumerate(rubbish):
                    sock.sendto(data, (AT, 53))
                    if number % 50 == 0:
                        udp(good)  # no more than the socket's queue holds
            return decode(udp(good)[0])

        assert [one.data for one in (await asyncio.to_thread(flood)).answers] == ["192.0.2.1"]

    served(tmp_path, work)
