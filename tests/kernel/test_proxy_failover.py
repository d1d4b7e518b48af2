"""Failover by passive check: one failed attempt, and no GET of a client fails."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from netlab.model.roles import Passive, ProxySpec, Route
from netlab.pki import Authority
from tests.kit.role_process import roles

AUTHORITY = Authority.create("test", datetime.fromtimestamp(Path("/proc/self").stat().st_mtime, UTC))


class _Good(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Nothing: the proxy's events are the evidence."""


class _Broken(_Good):
    status = 503


class _Dead(_Good):
    def do_GET(self) -> None:
        """Reads the request and ends the connection: it may have acted on it."""
        self.close_connection = True

    do_POST = do_GET  # noqa: N815 - http.server's name


@contextmanager
def upstream(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def ask(method: str) -> bytes:
    """The status line."""
    context = ssl.create_default_context(cadata=AUTHORITY.root_pem)
    with (
        socket.create_connection(("127.0.0.1", 443), timeout=10) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1") as inside,
    ):
        request = f"{method} / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        inside.sendall(request.encode())
        return inside.recv(65_536)[:12]


@pytest.mark.parametrize("handler", [_Dead, _Broken])
@pytest.mark.parametrize(("method", "repeated"), [("GET", True), ("POST", False)])
def test_one_failed_attempt(
    tmp_path: Path, handler: type[BaseHTTPRequestHandler], method: str, repeated: bool
) -> None:
    with upstream(handler) as bad, upstream(_Good) as good, roles(tmp_path) as started:
        route = Route(
            upstreams=(bad, good), next_upstream=("error", "timeout", "http_5xx"), passive=Passive(failures=1)
        )
        spec = ProxySpec(names=("127.0.0.1",), routes=(route,))
        proxy = started.start("proxy", spec, identity=AUTHORITY.issue(("127.0.0.1",)))
        answers = [ask(method) for _ in range(6)]
        failed = [answer for answer in answers if answer != b"HTTP/1.1 200"]
        assert len(failed) == (0 if repeated else 1), f"{answers}\n{proxy.evidence()}"
        chosen = [one["upstream"] for one in proxy.events("upstream-chosen")]
        assert chosen.count(bad) == 1, proxy.evidence()
        assert [one["upstream"] for one in proxy.events("health-changed")] == [bad], proxy.evidence()
