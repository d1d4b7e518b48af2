"""A proxy's route as a layer 7 balancer: sticky cookies, active checks, draining and weights at run time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.client import HTTPResponse, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import create_default_context
from typing import Any

from netlab.model.roles import Health, ProxySpec, Route, Server, Sticky
from netlab.pki import Authority
from tests.kit.role_process import RoleProcess, Roles, roles

AUTHORITY = Authority.create("test", datetime.fromtimestamp(Path("/proc/self").stat().st_mtime, UTC))


class Named(ThreadingHTTPServer):
    """Answers with its name; `status` of /health."""

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.status = 200

    @property
    def upstream(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Named

    def do_GET(self) -> None:
        body = self.server.name.encode()
        self.send_response(self.server.status if self.path == "/health" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Nothing."""


@contextmanager
def named(*names: str) -> Iterator[list[Named]]:
    with ExitStack() as stack:
        servers = [stack.enter_context(Named(name)) for name in names]
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(server.shutdown)
        yield servers


def start(started: Roles, *upstreams: str | Server, node: str = "proxy", **fields: Any) -> RoleProcess:
    spec = ProxySpec(names=("127.0.0.1",), http=("1.1",), routes=(Route(upstreams=upstreams, **fields),))
    return started.start(node, spec, identity=AUTHORITY.issue(("127.0.0.1",)), seed=7)


def ask(cookie: str = "") -> tuple[str, HTTPResponse]:
    """Who answers, and the response."""
    connection = HTTPSConnection(
        "127.0.0.1", 443, timeout=10, context=create_default_context(cadata=AUTHORITY.root_pem)
    )
    connection.request("GET", "/", headers={"Cookie": cookie} if cookie else {})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return body, response


def who(cookie: str = "", times: int = 6) -> str:
    return "".join(ask(cookie)[0] for _ in range(times))


def test_a_cookie_ties_a_client_to_its_upstream_also_after_a_restart(tmp_path: Path) -> None:
    with named("a", "b") as servers, roles(tmp_path) as started:
        upstreams = [one.upstream for one in servers]
        proxy = start(started, *upstreams, sticky=Sticky(cookie="lb"))
        first, response = ask()
        field = response.headers["Set-Cookie"]
        cookie = field.partition(";")[0]
        assert "HttpOnly" in field
        assert who(cookie) == first * 6
        assert ask(cookie)[1].headers["Set-Cookie"] is None, "it has it already"
        assert set(who()) == {"a", "b"}, "without the cookie, in turn"
        proxy.stop()
        start(started, *upstreams, node="again", sticky=Sticky(cookie="lb"))
        assert who(cookie) == first * 6
        assert set(who("lb=0123456789abcdef01234567")) == {"a", "b"}, "nobody has given that out"


def test_a_client_whose_upstream_is_gone_gets_another_and_a_new_cookie(tmp_path: Path) -> None:
    with named("a", "b") as servers, roles(tmp_path) as started:
        route: dict[str, Any] = {"sticky": Sticky(cookie="lb"), "next_upstream": ("error",)}
        start(started, *(one.upstream for one in servers), **route)
        first, response = ask()
        cookie = response.headers["Set-Cookie"].partition(";")[0]
        gone = next(one for one in servers if one.name == first)
        gone.shutdown()
        gone.server_close()
        other, response = ask(cookie)
        assert {first, other} == {"a", "b"}
        again = response.headers["Set-Cookie"].partition(";")[0]
        assert again != cookie
        assert who(again, 3) == other * 3


def test_active_checks_take_an_upstream_out_and_back(tmp_path: Path) -> None:
    with named("a", "b") as servers, roles(tmp_path) as started:
        health = Health(http="/health", interval="20ms", rise=1, fall=1)
        proxy = start(started, *(one.upstream for one in servers), health=health)
        assert set(who()) == {"a", "b"}
        servers[0].status = 500
        proxy.wait_for("health-changed")
        assert who() == "bbbbbb"
        servers[0].status = 200
        proxy.wait_for("health-changed", 2)
        assert set(who()) == {"a", "b"}


def test_nobody_left_is_a_503(tmp_path: Path) -> None:
    with named("a") as servers, roles(tmp_path) as started:
        health = Health(http="/health", interval="20ms", rise=1, fall=1)
        proxy = start(started, servers[0].upstream, health=health)
        servers[0].status = 500
        proxy.wait_for("health-changed")
        assert ask()[1].status == 503, proxy.evidence()


def test_weights_and_drains_change_while_it_runs(tmp_path: Path) -> None:
    with named("a", "b") as servers, roles(tmp_path) as started:
        a, b = (one.upstream for one in servers)
        proxy = start(started, a, Server(to=b, weight=3), algorithm="weighted")
        assert who(times=8) == "babbbabb", proxy.evidence()
        assert proxy.set(weights=f"{a}:3,{b}:1") == {"ok": {"weights": f"{a}:1,{b}:3"}}
        assert Counter(who(times=8)) == {"a": 6, "b": 2}
        proxy.set(drain=a)
        assert who() == "bbbbbb"
        assert "no upstream here" in proxy.set({"a": ["10.0.0.1"]}, drain="a")["error"]["cause"]
