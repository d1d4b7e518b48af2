"""Requests by which a client would take a gateway away from all others."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.errors import LocalProtocolError
from netlab.net.exchange import Exchange
from netlab.net.stream import Stream
from netlab.proto.http import Headers, ResponseHead
from tests.kit.edge import Answer, Edge, edge, http
from tests.kit.origin import NAME
from tests.kit.proxy import Proxy, proxied

NAMED = "Host, Content-Length, Authorization, Via, CDN-Loop"


def _raw(*fields: str, method: str = "GET", target: str = "/x", body: str = "") -> bytes:
    return ("\r\n".join((f"{method} {target} HTTP/1.1", f"Host: {NAME}", *fields, "", "")) + body).encode()


ODD = {
    "names-host": _raw(f"Connection: close, {NAMED}", "Authorization: Bearer x"),
    "names-length": _raw(f"Connection: close, {NAMED}", "Content-Length: 3", method="POST", body="abc"),
    "upgrade": _raw("Connection: close, Upgrade", "Upgrade: websocket"),
    "upgrade-with-body": _raw(
        "Connection: close, Upgrade", "Upgrade: websocket", "Content-Length: 3", body="abc"
    ),
    "upgrade-to-something": _raw("Connection: close, Upgrade", "Upgrade: something"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_edge_serves_others_after_it(tmp_path: Path, name: str) -> None:
    async def script(head: str, stream: Stream) -> None:
        if not head.startswith("abc"):  # a body, which this origin does not read
            await stream.write(http(b"body", "Connection: close"))
        await stream.close()

    async def work(made: Edge) -> None:
        first = Answer.read(await made.talk(ODD[name]))
        assert first.status == (502 if "upgrade" in name else 200), first
        again = await made.ask("/y")
        assert (again.status, again.body) == (200, b"body"), made.role.events()
        if name == "names-host":
            assert f"\r\nHost: {NAME}\r\n" in made.asked[0]
            assert "Authorization: Bearer x" in made.asked[0]

    edge(tmp_path, script, work)


@pytest.mark.parametrize("name", ODD)
def test_a_proxy_serves_others_after_it(tmp_path: Path, name: str) -> None:
    async def work(made: Proxy) -> None:
        first = Answer.read(await made.talk(ODD[name]))
        assert first.status == (502 if "upgrade" in name else 200), (first, made.evidence())
        again = await made.ask("/y")
        assert (again.status, again.body) == (200, b"/y"), made.evidence()

    proxied(tmp_path, work)


def test_a_refused_upgrade_keeps_its_status_without_the_body(tmp_path: Path) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.respond(ResponseHead(404, Headers((("X-Why", "none"),))), b"no such channel")

    async def work(made: Proxy) -> None:
        for _ in range(2):
            said = Answer.read(await made.talk(ODD["upgrade"]))
            assert (said.status, said.body) == (404, b""), (said, made.evidence())
            assert said.fields["x-why"] == "none"
            assert said.fields["content-length"] == "0"

    proxied(tmp_path, work, answer=answer)


def test_fields_that_upstreams_believe_come_in_no_other_spelling(tmp_path: Path) -> None:
    async def work(made: Proxy) -> None:
        feigned = ("X_Auth_Subject: root", "x-auth_subject: root", "X_Forwarded-For: 192.0.2.1")
        await made.ask("/x", *feigned, "X_Mine: kept")
        names = {name.lower() for name, _ in made.seen[0].headers}
        assert "x_mine" in names
        assert not {name for name in names if "_" in name} - {"x_mine"}, made.evidence()

    proxied(tmp_path, work)


def test_a_bug_that_one_client_finds_ends_its_connection_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LocalProtocolError("a bug")

    async def script(head: str, stream: Stream) -> None:
        await stream.write(http(head.split()[1].encode()))

    async def work(made: Edge) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("netlab.net.http1_cycle.Cycle.send", broken)
            assert (await made.ask("/x")).status == 502  # of a request that others may wait for
            assert await made.talk(_raw("Connection: close", method="POST")) == b""
        assert (await made.ask("/y")).body == b"/y"
        assert [one["cause"] for one in made.role.events("error")] == ["a bug", "a bug"]

    edge(tmp_path, script, work)
