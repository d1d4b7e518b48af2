"""A balancer as a process: HTTP checks, passive checks, backups, draining, settings, resets, slow readers."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from netlab.model.roles import BalancerSpec, Health, Passive, ProxySpec, Route, Server
from netlab.pki import Authority
from netlab.proto.proxy_protocol import SIGNATURE
from tests.kit.poll import poll_until
from tests.kit.role_process import RoleProcess, Roles, roles

PORT = 8443
RESET = struct.pack("ii", 1, 0)


@contextmanager
def server(work: Callable[[socket.socket], None]) -> Iterator[str]:
    """Does `work` with each connection, in a thread; its name as an upstream."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_closing, args=(work, sock), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _closing(work: Callable[[socket.socket], None], sock: socket.socket) -> None:
    with sock:
        try:
            work(sock)
        except OSError:
            return


def naming(name: bytes) -> Callable[[socket.socket], None]:
    """Says its name to whoever says something, and again."""

    def work(sock: socket.socket) -> None:
        while sock.recv(100):
            sock.sendall(name)

    return work


def reset(sock: socket.socket) -> None:
    if sock.recv(100):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def start(
    started: Roles, *upstreams: str | Server, launch: dict[str, Any] | None = None, **fields: Any
) -> RoleProcess:
    fields.setdefault("health", Health(interval="10s", fall=3))
    spec = BalancerSpec(listen=PORT, upstreams=upstreams, **fields)
    return started.start("balancer", spec, **(launch or {}))


def ask(source: str = "127.0.0.1") -> bytes:
    """Who answers."""
    with socket.create_connection(("127.0.0.1", PORT), timeout=10, source_address=(source, 0)) as sock:
        sock.sendall(b"who?")
        try:
            return sock.recv(100)
        except ConnectionResetError:
            return b"reset"


@contextmanager
def three_servers() -> Iterator[tuple[str, ...]]:
    """Servers that answer a, b and c."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(server(naming(name))) for name in (b"a", b"b", b"c"))


def test_an_http_check_looks_at_the_status(tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        status = 200
        asked: ClassVar[set[str]] = set()

        def do_GET(self) -> None:
            self.asked.add(f"{self.path} {self.headers['Host']}")
            self.send_response(self.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http, roles(tmp_path) as started:
        threading.Thread(target=http.serve_forever, args=(0.05,)).start()
        try:
            name = f"127.0.0.1:{http.server_address[1]}"
            health = Health(http="/health", expect=(200, 204), interval="20ms", rise=2, fall=2)
            balancer = start(started, name, health=health)
            Handler.status = 503
            change = balancer.wait_for("health-changed")[0]
            assert change["cause"] == "GET /health was answered 503", change
            assert not change["healthy"]
            Handler.status = 204
            assert balancer.wait_for("health-changed", 2)[1]["healthy"], balancer.evidence()
            assert Handler.asked == {f"/health {name}"}
        finally:
            http.shutdown()


def test_a_check_of_http_needs_an_answer_in_time(tmp_path: Path) -> None:
    with server(lambda sock: time.sleep(5)) as silent, roles(tmp_path) as started:
        health = Health(http="/", interval="20ms", timeout="50ms", rise=1, fall=1)
        balancer = start(started, silent, health=health)
        assert "in time" in balancer.wait_for("health-changed")[0]["cause"], balancer.evidence()


def test_a_check_within_tls_behind_a_proxy_header(tmp_path: Path) -> None:
    """As of a balancer before a proxy: LOCAL, then TLS to its name, then the request."""
    authority = Authority.create("test", datetime.fromtimestamp(Path("/proc/self").stat().st_mtime, UTC))
    with roles(tmp_path) as started:
        route = Route(upstreams=("127.0.0.1:1",))
        spec = ProxySpec(
            listen=9443,
            names=("api.example",),
            http=("1.1",),
            routes=(route,),
            proxy_protocol_from=("127.0.0.0/8",),
        )
        proxy = started.start("proxy", spec, identity=authority.issue(("api.example",)))
        health = Health(
            http="/", expect=(502,), tls_name="api.example", interval="20ms", timeout="2s", rise=1, fall=1
        )
        upstream = "127.0.0.1:9443"
        balancer = start(
            started, upstream, health=health, proxy_protocol=True, launch={"trust_pem": authority.root_pem}
        )
        proxy.wait_for("request-received", 3)
        assert not balancer.events("health-changed"), balancer.evidence()
        proxy.stop()
        change = balancer.wait_for("health-changed")[0]
        assert "refused" in change["cause"], change


def test_the_zone_of_the_balancer_is_preferred(tmp_path: Path) -> None:
    with three_servers() as three, roles(tmp_path) as started:
        far = Server(to=three[0], zone="east")
        near = [Server(to=one, zone="west") for one in three[1:]]
        balancer = start(started, far, *near, zone="west", spill=50, passive=Passive(failures=1))
        assert b"".join(ask() for _ in range(6)) == b"bcbcbc"
        balancer.set(drain=",".join(three[1:]))
        assert {ask() for _ in range(3)} == {b"a"}


def test_a_zone_is_a_location_where_nothing_else_is_said(tmp_path: Path) -> None:
    with three_servers() as three, roles(tmp_path) as started:
        locations = {"127.0.0.0/8": "London"}
        far = Server(to=three[0], zone="Tokyo")
        start(started, far, *three[1:], zone="London", launch={"locations": locations})
        assert b"".join(ask() for _ in range(4)) == b"bcbc"


def test_each_refused_connection_goes_to_the_next_and_the_first_failure_ejects(tmp_path: Path) -> None:
    """Port 1 refuses: one failed attempt, which no client sees."""
    with three_servers() as three, roles(tmp_path) as started:
        passive = Passive(failures=1, ejection="1m")
        balancer = start(started, "127.0.0.1:1", *three[:2], passive=passive)
        assert b"".join(ask() for _ in range(6)) == b"aababa"
        assert len(balancer.events("error")) == 1, balancer.evidence()
        changes = balancer.events("health-changed")
        assert [(one["upstream"], one["healthy"]) for one in changes] == [("127.0.0.1:1", False)]


def test_a_reset_before_the_first_byte_is_a_failure(tmp_path: Path) -> None:
    with three_servers() as three, server(reset) as bad, roles(tmp_path) as started:
        balancer = start(started, bad, three[0], passive=Passive(failures=2, ejection="1m"))
        seen = [ask() for _ in range(8)]
        assert seen == [b"reset", b"a", b"reset", b"a", b"a", b"a", b"a", b"a"], balancer.evidence()
        assert "before its first byte" in balancer.events("health-changed")[0]["cause"]


def test_an_end_before_the_first_byte_is_a_failure_if_the_client_waits(tmp_path: Path) -> None:
    """A process that is killed ends its connections; a client that gives up is no failure of the upstream."""

    def work(sock: socket.socket) -> None:
        sock.recv(100)
        time.sleep(0.3)

    with three_servers() as three, server(work) as mute, roles(tmp_path) as started:
        balancer = start(started, mute, three[0], passive=Passive(failures=1, ejection="1m"))
        with socket.create_connection(("127.0.0.1", PORT), timeout=10) as sock:
            sock.sendall(b"who?")
            balancer.wait_for("upstream-chosen")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        balancer.wait_for("connection-closed", 2)
        assert ask() == b"a"
        assert not balancer.events("health-changed"), balancer.evidence()
        assert b"".join(ask() for _ in range(4)) == b"aaa", "the first was for the mute one"
        assert [one["upstream"] for one in balancer.events("health-changed")] == [mute]


def test_that_end_counts_at_once_and_not_when_the_client_goes_too(tmp_path: Path) -> None:
    def work(sock: socket.socket) -> None:
        sock.recv(100)

    with three_servers() as three, server(work) as mute, roles(tmp_path) as started:
        balancer = start(started, mute, three[0], passive=Passive(failures=1, ejection="1m"))
        with socket.create_connection(("127.0.0.1", PORT), timeout=10) as sock:
            sock.sendall(b"who?")
            assert sock.recv(100) == b"", "the end is passed on"
            balancer.wait_for("health-changed")
            assert [ask(), ask()] == [b"a", b"a"], balancer.evidence()


def test_backups_answer_when_the_others_are_down(tmp_path: Path) -> None:
    with three_servers() as three, roles(tmp_path) as started:
        start(started, three[0], Server(to=three[1], backup=True))
        assert {ask() for _ in range(4)} == {b"a"}
    again = tmp_path / "again"
    again.mkdir()
    with three_servers() as three, roles(again) as started:
        start(started, "127.0.0.1:1", Server(to=three[1], backup=True))
        assert {ask() for _ in range(4)} == {b"b"}


def test_a_drained_upstream_keeps_its_connections_and_gets_no_new_ones(tmp_path: Path) -> None:
    with three_servers() as three, roles(tmp_path) as started:
        balancer = start(started, *three)
        with ExitStack() as stack:
            open_ones = [
                stack.enter_context(socket.create_connection(("127.0.0.1", PORT), timeout=10))
                for _ in range(3)
            ]
            assert _answers(open_ones) == [b"a", b"b", b"c"]
            assert balancer.set(drain=three[1]) == {"ok": {"drain": ""}}
            assert {ask() for _ in range(6)} == {b"a", b"c"}
            assert _answers(open_ones) == [b"a", b"b", b"c"]
        assert balancer.set(drain="") == {"ok": {"drain": three[1]}}
        assert {ask() for _ in range(6)} == {b"a", b"b", b"c"}


def _answers(socks: list[socket.socket]) -> list[bytes]:
    found = []
    for sock in socks:
        sock.sendall(b"who?")
        found.append(sock.recv(100))
    return found


def test_weights_and_algorithm_change_by_the_names_of_nodes(tmp_path: Path) -> None:
    with three_servers() as three, roles(tmp_path) as started:
        balancer = start(started, *three[:2])
        nodes = {"app-1": ["127.0.0.1"], "app-9": ["10.9.9.9"]}
        told = balancer.set(nodes, weights=f"{three[0]}:3", algorithm="weighted")
        weights = f"{three[0]}:1,{three[1]}:1"
        assert told == {"ok": {"algorithm": "round-robin", "weights": weights}}
        assert b"".join(ask() for _ in range(8)) == b"aabaaaba"
        balancer.set(nodes, weights="app-1:2")
        assert Counter(ask() for _ in range(8)) == {b"a": 4, b"b": 4}
        for settings, cause in [
            ({"drain": "app-9"}, "app-9 is no upstream here"),
            ({"drain": "app-7"}, "no node 'app-7'"),
            ({"colour": "red"}, "no setting colour"),
        ]:
            assert cause in balancer.set(nodes, **settings)["error"]["cause"]
        assert balancer.set(nodes, algorithm="ip-hash")["ok"] == {"algorithm": "weighted"}
        answers = {source: {ask(source) for _ in range(3)} for source in ("127.0.0.1", "127.0.0.7")}
        assert all(len(found) == 1 for found in answers.values()), answers


def test_where_udp_is_passed_connections_are_not_counted(tmp_path: Path) -> None:
    with three_servers() as three, roles(tmp_path) as started:
        balancer = start(started, *three, udp=True)
        told = balancer.set(algorithm="least-connections")
        assert "UDP" in told["error"]["cause"], told
        assert balancer.set(algorithm="consistent-hash") == {"ok": {"algorithm": "round-robin"}}


def test_a_reset_reaches_the_other_side(tmp_path: Path) -> None:
    ended: list[str] = []

    def work(sock: socket.socket) -> None:
        try:
            while sock.recv(100):
                sock.sendall(b"x")
            ended.append("closed")
        except ConnectionResetError:
            ended.append("reset")

    with server(work) as name, roles(tmp_path) as started:
        balancer = start(started, name)
        with socket.create_connection(("127.0.0.1", PORT), timeout=10) as sock:
            sock.sendall(b"hello")
            assert sock.recv(1) == b"x"
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        poll_until(lambda: "reset" in ended, "the server sees the reset", timeout_s=10)
        causes = [one["cause"] for one in balancer.wait_for("connection-closed", 2)]
        assert sum("reset" in cause for cause in causes) == 2, causes


def test_a_slow_reader_holds_the_sender_back(tmp_path: Path) -> None:
    """64 MB offered, nothing read: only what sockets hold is taken; then all of it comes."""
    total = 64 * 1024 * 1024
    sent = [0]

    def work(sock: socket.socket) -> None:
        sock.recv(1)
        data = memoryview(bytes(range(256)) * 4096)
        while sent[0] < total:
            sock.sendall(data)
            sent[0] += len(data)

    with server(work) as name, roles(tmp_path) as started:
        balancer = start(started, name)
        with socket.create_connection(("127.0.0.1", PORT), timeout=10) as sock:
            sock.sendall(b"!")
            poll_until(lambda: sent[0], "the server begins", timeout_s=10)
            before = -1
            while before != sent[0]:
                before = sent[0]
                time.sleep(0.3)
            assert sent[0] < total / 2, sent
            assert _memory_mb(balancer) < 150, "the balancer holds no more than a buffer"
            got, at = 0, 0
            while data := sock.recv(1 << 20):
                assert data[0] == got % 256, got
                got += len(data)
                at += 1
            assert got == total


def _memory_mb(role: RoleProcess) -> float:
    pages = int(Path(f"/proc/{role.process.pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def test_the_upstream_hears_who_the_client_is(tmp_path: Path) -> None:
    def work(sock: socket.socket) -> None:
        data = sock.recv(1000)
        sock.sendall(data[:16] + data[16:20])

    with server(work) as name, roles(tmp_path) as started:
        start(started, name, proxy_protocol=True)
        answer = ask("127.0.0.9")
        assert answer.startswith(SIGNATURE)
        assert answer.endswith(socket.inet_aton("127.0.0.9"))


def test_on_sigterm_open_connections_have_time_to_end(tmp_path: Path) -> None:
    with server(naming(b"a")) as name, roles(tmp_path) as started:
        balancer = start(started, name)
        with socket.create_connection(("127.0.0.1", PORT), timeout=10) as sock:
            assert _answers([sock]) == [b"a"]
            balancer.process.terminate()
            poll_until(_refused, "it accepts no more", timeout_s=10)
            assert _answers([sock]) == [b"a"]
        assert balancer.wait() == 0, balancer.evidence()


def _refused() -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", PORT)) != 0
