"""A proxy's route, and an edge, with resilience: what the upstream gets, and what the client."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from netlab.model.roles import ProxySpec, Resilience, Route
from netlab.net.stream import Stream
from tests.kernel.test_proxy_failover import AUTHORITY, upstream
from tests.kit.edge import Edge, edge
from tests.kit.role_process import RoleProcess, roles


class Got:
    """What an upstream has got: headers and bodies, by time. `script`: the status of the nth request."""

    def __init__(self, script: Callable[[int], int], late_s: float = 0.0) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.script = script
        self.late_s = late_s

    def handler(self) -> type[BaseHTTPRequestHandler]:
        got = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                got.requests.append((headers, self.rfile.read(size)))
                status = got.script(len(got.requests))
                time.sleep(got.late_s)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_GET  # noqa: N815 - http.server's name

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                """Nothing: the proxy's events are the evidence."""

        return Handler


@contextmanager
def proxy(tmp_path: Path, got: Got, **resilience: Any) -> Iterator[RoleProcess]:
    with upstream(got.handler()) as there, roles(tmp_path) as started:
        route = Route.model_validate({"upstreams": (there,), "resilience": resilience})
        spec = ProxySpec(names=("127.0.0.1",), routes=(route,))
        yield started.start("proxy", spec, identity=AUTHORITY.issue(("127.0.0.1",)))


def ask(method: str = "GET", body: str = "", **headers: str) -> int:
    """The status."""
    context = ssl.create_default_context(cadata=AUTHORITY.root_pem)
    fields = {"Host": "127.0.0.1", "Content-Length": str(len(body)), "Connection": "close", **headers}
    lines = [f"{method} / HTTP/1.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    with (
        socket.create_connection(("127.0.0.1", 443), timeout=10) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1") as inside,
    ):
        inside.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        return int(inside.recv(65_536).split()[1])


def test_retries_with_the_body_where_a_key_allows_it(tmp_path: Path) -> None:
    got = Got(lambda number: 503 if number in (1, 2, 4, 5) else 200)
    with proxy(tmp_path, got, retry={"attempts": 3, "base": "10ms"}) as role:
        assert ask() == 200, role.evidence()
        assert len(got.requests) == 3
        assert ask("POST", "tea", Idempotency_Key="k") == 200, role.evidence()
        assert [body for _, body in got.requests[3:]] == [b"tea"] * 3, "the whole body each time"
        got.script = lambda _: 503
        assert ask("POST", "tea") == 503, "without a key it is not sent twice, and the answer is passed on"
        assert len(got.requests) == 7
        assert len(role.events("request-retried")) == 4, role.evidence()


def test_an_open_breaker_answers_503_without_the_upstream(tmp_path: Path) -> None:
    got = Got(lambda _: 500)
    with proxy(tmp_path, got, breaker={"failures": 3, "open": "30s"}) as role:
        assert [ask() for _ in range(6)] == [500, 500, 500, 503, 503, 503], role.evidence()
        assert len(got.requests) == 3
        assert [one["state"] for one in role.events("breaker-changed")] == ["open"], role.evidence()


def test_the_deadline_goes_on_shorter_and_is_kept(tmp_path: Path) -> None:
    got = Got(lambda _: 200)
    with proxy(tmp_path, got) as role:
        assert ask(Request_Timeout="2000") == 200, role.evidence()
        assert 0 < int(got.requests[0][0]["request-timeout"]) <= 2000
        assert ask() == 200
        assert "request-timeout" not in got.requests[1][0], "nobody has set one"
        got.late_s = 1.0
        began = time.monotonic()
        assert ask(Request_Timeout="200") == 504, role.evidence()
        assert time.monotonic() - began < 0.9
        assert ask(Request_Timeout="0") == 504
        assert len(got.requests) == 3, "what is too late already goes nowhere"
        role.wait_for("deadline-exceeded", 2)


def test_an_edge_asks_a_failing_origin_again_for_all_who_wait(tmp_path: Path) -> None:
    answers = [503, 503, 200]

    async def script(head: str, stream: Stream) -> None:
        assert "request-timeout" not in head.lower(), "one answer is for many: no client's deadline bounds it"
        status = answers.pop(0)
        said = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nCache-Control: max-age=9\r\n\r\n"
        await stream.write(said.encode())

    async def work(made: Edge) -> None:
        found = await asyncio.gather(*(made.ask("/a", "Request-Timeout: 1000") for _ in range(4)))
        assert [one.status for one in found] == [200] * 4
        assert len(made.asked) == 3, made.asked
        assert len(made.role.events("request-retried")) == 2

    retry = {"attempts": 3, "base": "10ms"}
    edge(tmp_path, script, work, resilience=Resilience.model_validate({"retry": retry}))
