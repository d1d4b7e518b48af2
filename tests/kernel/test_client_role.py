"""The client role against servers of ours: versions, order, reuse, long bodies, HTTP/3 found and lost."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from netlab.model.roles import ClientSpec, Request, TlsServer
from netlab.net.exchange import Exchange
from netlab.proto.http import Headers, ResponseHead
from tests.kit.origin import Site, echo, site
from tests.kit.role_process import roles
from tests.kit.roles_in_process import Running


def spec(*requests: Request | dict[str, Any], **fields: Any) -> ClientSpec:
    return ClientSpec.model_validate({"requests": requests, **fields})


def done(role: Running) -> list[dict[str, Any]]:
    """Their request-done events; a request that failed is the test's failure."""
    assert not role.events("request-failed"), role.events()
    return role.events("request-done")


@pytest.mark.parametrize(
    ("tls", "http", "spoken"),
    [
        (False, None, "1.1"),
        (False, "2", "2"),
        (True, None, "2"),
        (True, "1.1", "1.1"),
        (True, "2", "2"),
        (True, "3", "3"),
    ],
)
def test_versions_and_reuse(tmp_path: Path, tls: bool, http: str | None, spoken: str) -> None:
    async def work(made: Site) -> None:
        port = await made.listen(echo, "1.1", "2", "3", tls=TlsServer() if tls else None)
        url = f"http{'s' if tls else ''}://127.0.0.1:{port}/path?query"
        requests: list[dict[str, Any]] = [
            {"url": url, "http": http, "name": f"request {number}"} for number in range(3)
        ]
        requests.append({"url": url, "http": http, "fresh": True, "name": "fresh"})
        role = await made.ask(spec(*requests))
        assert role.ctx.exit_status == 0
        answers = done(role)
        assert [one["version"] for one in answers] == [spoken] * 4
        assert [one["reused"] for one in answers] == [False, True, True, False]
        assert {(one["status"], one["bytes"]) for one in answers} == {(200, len("/path?query"))}
        assert len({tuple(one["flow"]) for one in answers}) == 2, "the fresh one has a connection of its own"
        assert [one["name"] for one in role.events("request-start")] == [one["name"] for one in answers]

    site(tmp_path, work)


def test_some_at_a_time_start_in_order(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        together = asyncio.Semaphore(0)
        arrived: list[str] = []

        async def gather(exchange: Exchange) -> None:
            """Answers when three are there."""
            arrived.append(exchange.request.target)
            if len(arrived) % 3 == 0:
                together.release()
                together.release()
            else:
                await together.acquire()
            await exchange.respond(ResponseHead(200))

        port = await made.listen(gather)
        urls = [f"http://127.0.0.1:{port}/{number}" for number in range(9)]
        role = await made.ask(spec(*({"url": url} for url in urls), parallel=3))
        assert len(done(role)) == 9
        assert [one["url"] for one in role.events("request-start")] == urls
        flying = most = 0
        for one in role.events("request-start", "request-done"):
            flying += 1 if one["event"] == "request-start" else -1
            most = max(most, flying)
        assert most == 3

    site(tmp_path, work)


def highest_memory(*, forget: bool = False) -> int:
    """The most that this process had in memory, in bytes; with `forget`, since now (proc(5))."""
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("http", ["1.1", "2", "3"])
def test_long_bodies_are_not_kept(tmp_path: Path, http: str) -> None:
    """32 MiB up and 32 MiB down, in less than 32 MiB of memory for both sides together."""
    size = 32 * 1024 * 1024

    async def work(made: Site) -> None:
        port = await made.listen(echo, "1.1", "2", "3", tls=TlsServer())
        url = f"https://127.0.0.1:{port}"
        warm = {"url": f"{url}/", "http": http}
        up = {"url": f"{url}/", "http": http, "method": "POST", "upload_bytes": size}
        down = {"url": f"{url}/large/{size}", "http": http}
        await made.ask(spec(warm))
        before = highest_memory(forget=True)
        role = await made.ask(spec(up, down))
        grown = highest_memory() - before
        uploaded, downloaded = done(role)
        assert uploaded["bytes"] == len(str(size))
        assert downloaded["bytes"] == size
        assert grown < size, f"{grown} bytes more than before"

    site(tmp_path, work)


@pytest.mark.parametrize("http", ["1.1", "2", "3"])
def test_a_slow_reader_holds_the_server_back(tmp_path: Path, http: str) -> None:
    async def work(made: Site) -> None:
        port = await made.listen(echo, "1.1", "2", "3", tls=TlsServer())
        request = {"url": f"https://127.0.0.1:{port}/large/1000000", "http": http, "read_rate": "16mbit"}
        (answer,) = done(await made.ask(spec(request)))
        # 1 MB at 16 Mbit/s is half a second; a busy machine makes it longer, nothing shorter.
        assert 490 <= answer["total_ms"] < 10_000, answer
        assert answer["bytes"] == 1_000_000

    site(tmp_path, work)


@pytest.mark.parametrize("http", ["1.1", "2", "3"])
def test_a_request_s_body_and_what_comes_before_and_after_a_response(tmp_path: Path, http: str) -> None:
    link = Headers((("link", "</style.css>; rel=preload"),))

    async def hints(exchange: Exchange) -> None:
        body = b"".join([part async for part in exchange.body()])
        await exchange.inform(ResponseHead(103, link))
        fields = Headers((("Transfer-Encoding", "chunked"),)) if http == "1.1" else Headers()

        async def parts() -> Any:
            yield body

        await exchange.respond(ResponseHead(200, fields), parts(), lambda: Headers((("checksum", "7"),)))

    async def work(made: Site) -> None:
        port = await made.listen(hints, "1.1", "2", "3", tls=TlsServer())
        request = {"url": f"https://127.0.0.1:{port}/", "http": http, "method": "PUT", "body": "hellö"}
        (answer,) = done(await made.ask(spec(request)))
        assert answer["bytes"] == len("hellö".encode())
        assert answer["informational"] == [{"status": 103, "headers": dict(link)}]
        assert answer["trailers"] == {"checksum": "7"}

    site(tmp_path, work)


def telling(port_of: list[int]) -> Any:
    """A handler that tells of HTTP/3 and of HSTS."""

    async def tell(exchange: Exchange) -> None:
        fields = (("Alt-Svc", f'h3=":{port_of[0]}"; ma=60'), ("Strict-Transport-Security", "max-age=60"))
        await exchange.respond(ResponseHead(200, Headers(fields)), b"told")

    return tell


def test_http3_once_the_server_told_of_it(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        ports = [0]
        ports[0] = await made.listen(telling(ports), "1.1", "2", "3", tls=TlsServer())
        url = f"https://localhost:{ports[0]}/"
        dns = {"resolvers": ("127.0.0.1",)}
        role = await made.ask(spec(*[{"url": url.replace("localhost", "127.0.0.1")}] * 3), **dns)
        assert [one["version"] for one in done(role)] == ["2", "3", "3"]
        assert [one["reused"] for one in done(role)] == [False, False, True]
        assert len(role.events("alt-svc")) == 1
        assert not role.events("fallback")
        assert not role.events("hsts"), "an IP address has no HSTS"

    site(tmp_path, work)


def block_udp() -> None:
    """As a firewall that drops: nobody is told."""
    chain = "type filter hook input priority 0; meta l4proto udp drop;"
    rules = f"table inet blocked {{\n chain input {{\n {chain}\n }}\n}}\n"
    subprocess.run(["nft", "-f", "-"], input=rules.encode(), check=True)


def test_where_udp_is_blocked_the_client_falls_back_and_remembers(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        block_udp()
        ports = [0]
        ports[0] = await made.listen(telling(ports), "1.1", "2", "3", tls=TlsServer())
        url = f"https://127.0.0.1:{ports[0]}/"
        role = await made.ask(spec({"url": url}, {"url": url}, {"url": url}))
        assert [one["version"] for one in done(role)] == ["2", "2", "2"]
        first, second = role.events("fallback")
        assert (first["wanted"], first["version"]) == ("3", "2")
        assert "no answer by QUIC in" in first["cause"]
        assert "not tried again yet" in second["cause"]
        raced, again = done(role)[1:]
        assert 250 <= raced["total_ms"] < 5000, "QUIC had its head start"
        assert again["total_ms"] < raced["total_ms"]

    site(tmp_path, work)


def test_0_rtt_into_nowhere_falls_back_to_tcp(tmp_path: Path) -> None:
    """The connection is there at once, as a ticket allows it, and nobody answers on it."""

    async def work(made: Site) -> None:
        ports = [0]
        tell = telling(ports)

        async def handle(exchange: Exchange) -> None:
            if exchange.request.target == "/block":
                block_udp()
            await tell(exchange)

        ports[0] = await made.listen(handle, "1.1", "2", "3", tls=TlsServer())
        url = f"https://127.0.0.1:{ports[0]}"
        early: list[dict[str, Any]] = [
            {"url": f"{url}/", "fresh": True},
            {"url": f"{url}/", "fresh": True},
            {"url": f"{url}/", "fresh": True},
            {"url": f"{url}/block", "http": "1.1"},
            {"url": f"{url}/", "fresh": True},
        ]
        role = await made.ask(spec(*early, tls={"early_data": True}))
        assert [one["version"] for one in done(role)] == ["2", "3", "3", "1.1", "2"], role.events()
        assert [one["early_data"] for one in role.events("quic-handshake")] == [False, True]
        (again,) = role.events("request-retried")
        assert "no answer by QUIC in 5 s" in again["cause"]
        assert 5000 <= done(role)[-1]["total_ms"] < 20_000

    site(tmp_path, work)


def test_http3_alone_fails_with_its_cause_where_udp_is_blocked(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        block_udp()
        port = await made.listen(echo, "1.1", "2", "3", tls=TlsServer())
        url = f"https://127.0.0.1:{port}/"
        role = await made.ask(
            spec({"url": url, "http": "3"}, {"url": url, "http": "3", "timeout": "300ms"}, parallel=2)
        )
        causes = {one["cause"] for one in role.events("request-failed")}
        assert len(causes) == 2, causes
        assert any("no answer by QUIC in 5 s; UDP may be blocked" in cause for cause in causes), causes
        assert any(
            cause.startswith("no response in 0.3 s: it was connecting to") and "by QUIC" in cause
            for cause in causes
        ), causes
        assert role.ctx.exit_status == 1

    site(tmp_path, work)


def test_which_check_of_the_certificate_failed(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        port = await made.listen(echo, "1.1", "2", "3", tls=TlsServer())
        pinned = {"pins": ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}
        url = f"https://127.0.0.1:{port}/"
        requests = [{"url": url, "tls": pinned, "http": http} for http in (None, "3")]
        role = await made.ask(spec(*requests))
        failed = role.events("request-failed")
        assert [one["check"] for one in failed] == ["pin", "pin"], failed

    site(tmp_path, work)


def test_what_can_t_be_asked(tmp_path: Path) -> None:
    async def work(made: Site) -> None:
        urls = (
            "ftp://127.0.0.1/",
            "http:///",
            "https://127.0.0.1:99999/",
            "http://127.0.0.1:1/",
            "http://nowhere.example/",
        )
        requests: list[dict[str, Any]] = [{"url": url} for url in urls]
        requests.append({"url": "http://127.0.0.1:1/", "http": "3"})
        role = await made.ask(spec(*requests))
        causes = [one["cause"] for one in role.events("request-failed")]
        wanted = (
            "not an http or https URL",
            "names no host",
            "is not an http",
            "refused",
            "no resolver",
            "HTTP/3 needs TLS",
        )
        assert len(causes) == len(wanted)
        for cause, words in zip(causes, wanted, strict=True):
            assert words in cause, causes
        assert role.ctx.exit_status == 1

    site(tmp_path, work)


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_a_client_that_is_told_to_end_within_requests(tmp_path: Path, http: str) -> None:
    """As a process: some requests are under way, others wait, and nothing of it is a traceback."""
    with roles(tmp_path) as started, socket.create_server(("127.0.0.1", 8000)) as silent:
        silent.settimeout(10)
        request = {"url": "http://127.0.0.1:8000/", "http": http}
        client = started.start("client", spec(*[request] * 20, parallel=12))
        with silent.accept()[0]:
            client.wait_for("request-sent", 6)
            client.process.send_signal(signal.SIGTERM)
            client.wait()
        assert client.log() == "", client.evidence()
