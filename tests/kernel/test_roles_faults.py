"""Bad peers, missing programs, taken ports, signals: no role crashes, and each says what happened."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from netlab.model.roles import (
    AppSpec,
    BalancerSpec,
    ClientSpec,
    CommandSpec,
    Health,
    ProxySpec,
    Request,
    Route,
    TlsServer,
)
from netlab.pki import Authority
from netlab.proto.proxy_protocol import Header, encode
from tests.kit.poll import poll_until
from tests.kit.role_process import RoleProcess, Roles, roles

AUTHORITY = Authority.create("test", datetime.fromtimestamp(Path("/proc/self").stat().st_mtime, UTC))
HELLO = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def start_proxy(started: Roles, *balancers: str) -> RoleProcess:
    """With an upstream where nobody listens."""
    believed = tuple(ip_network(one) for one in balancers)
    spec = ProxySpec(
        names=("127.0.0.1",), routes=(Route(upstreams=("127.0.0.1:1",)),), proxy_protocol_from=believed
    )
    return started.start("proxy", spec, identity=AUTHORITY.issue(("127.0.0.1",)))


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))


def all_of(sock: socket.socket) -> bytes:
    """Everything until the end, or until a reset."""
    data = b""
    try:
        while part := sock.recv(65_536):
            data += part
    except ConnectionError:
        pass
    return data


def over_tls(sock: socket.socket, data: bytes) -> bytes:
    context = ssl.create_default_context(cadata=AUTHORITY.root_pem)
    with context.wrap_socket(sock, server_hostname="127.0.0.1") as inside:
        inside.sendall(data)
        return all_of(inside)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x00\xff nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 100_000, b"431"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\n\r\n", b"501"),
        (HELLO.replace(b"127.0.0.1", b"other.example"), b"421"),
        (HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), b"502"),
    ],
    ids=["garbage", "no-host", "long-head", "coding", "other-host", "dead-upstream"],
)
def test_bad_requests_are_answered(tmp_path: Path, data: bytes, status: bytes) -> None:
    with roles(tmp_path) as started:
        proxy = start_proxy(started)
        if b"other" in data:
            data = data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        answer = over_tls(connect(443), data)
        assert answer.startswith(b"HTTP/1.1 " + status), f"{answer!r}\n{proxy.evidence()}"
        proxy.wait_for("connection-closed")
        assert proxy.stop() == 0, proxy.evidence()
        assert proxy.log() == "", proxy.log()


def test_bytes_that_are_no_tls(tmp_path: Path) -> None:
    with roles(tmp_path) as started:
        proxy = start_proxy(started)
        for data in (HELLO, b"\x16\x03\x01\xff\xff" + bytes(100), b"\x80"):
            with connect(443) as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                all_of(sock)
        connect(443).close()  # and nothing at all
        proxy.wait_for("connection-closed", 4)
        assert len(proxy.events("tls-failed")) == 3, proxy.evidence()
        assert proxy.stop() == 0, proxy.evidence()


def test_an_old_tls_version_is_refused(tmp_path: Path) -> None:
    with roles(tmp_path) as started:
        spec = ProxySpec(
            names=("127.0.0.1",),
            routes=(Route(upstreams=("127.0.0.1:1",)),),
            tls=TlsServer(versions=("1.3",)),
        )
        proxy = started.start("proxy", spec, identity=AUTHORITY.issue(("127.0.0.1",)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(cadata=AUTHORITY.root_pem)
        with pytest.raises(ssl.SSLError), connect(443) as sock:
            context.wrap_socket(sock, server_hostname="127.0.0.1")
        assert "unsupported protocol" in proxy.wait_for("tls-failed")[0]["cause"], proxy.evidence()


def test_the_proxy_header_names_the_client_and_must_be_there(tmp_path: Path) -> None:
    with roles(tmp_path) as started:
        proxy = start_proxy(started, "127.0.0.1/32")
        with connect(443) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n")
            all_of(sock)
        assert "PROXY header" in proxy.wait_for("error")[0]["cause"], proxy.evidence()
        sock = connect(443)
        sock.sendall(encode(Header("203.0.113.5", 4000, "127.0.0.1", 443)))
        assert over_tls(sock, HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert proxy.events("request-received"), proxy.evidence()


def test_a_proxy_header_of_a_stranger_is_not_believed(tmp_path: Path) -> None:
    with roles(tmp_path) as started:
        proxy = start_proxy(started, "127.0.0.8/29", "2001:db8::/32")
        for source, says in (("127.0.0.1", "not in `proxy_protocol_from`"), ("127.0.0.16", "127.0.0.16")):
            with connect(443, source) as sock:
                sock.sendall(encode(Header("203.0.113.5", 4000, "127.0.0.1", 443)))
                assert all_of(sock) == b""
            assert says in proxy.wait_for("error")[-1]["cause"], proxy.evidence()
        sock = connect(443, "127.0.0.9")
        sock.sendall(encode(Header("203.0.113.5", 4000, "127.0.0.1", 443)))
        assert over_tls(sock, HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert len(proxy.events("request-received")) == 1, proxy.evidence()


def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    with roles(tmp_path) as started:
        start_proxy(started)
        spec = ProxySpec(names=("a",), routes=(Route(upstreams=("127.0.0.1:1",)),))
        other = started.run("other", spec, identity=AUTHORITY.issue(("a",)))
        assert other.wait() == 1
        assert other.log().startswith("error: can't listen on port 443: Address already in use"), other.log()
        assert other.log().count("\n") == 1


def test_an_app_without_a_database_can_be_stopped(tmp_path: Path) -> None:
    with roles(tmp_path) as started:
        app = started.start("app", AppSpec(database="127.0.0.1:5432"), ready=False)
        app.wait_for("connect-start", 2)
        assert app.events("ready") == []
        assert app.stop() == 0, app.evidence()


def test_a_client_says_why_it_failed(tmp_path: Path) -> None:
    with roles(tmp_path) as started:
        requests = tuple(
            Request(url=url) for url in ("http://127.0.0.1:1/", "ftp://127.0.0.1/", "http://nowhere.example/")
        )
        client = started.run("client", ClientSpec(requests=requests))
        assert client.wait() == 1
        causes = [one["cause"] for one in client.events("request-failed")]
        assert "refused" in causes[0], causes
        assert "not an http or https URL" in causes[1], causes
        assert "no resolver" in causes[2], causes
        assert client.log() == ""


def start_balancer(started: Roles, *ports: int) -> RoleProcess:
    upstreams = tuple(f"127.0.0.1:{port}" for port in ports)
    health = Health(interval="20ms", rise=2, fall=2)
    return started.start("balancer", BalancerSpec(listen=8443, upstreams=upstreams, health=health))


def serve_once(listener: socket.socket, body: bytes) -> threading.Thread:
    """Reads to the end of the request, then answers: only a half-close lets it."""

    def work() -> None:
        while True:
            sock, _ = listener.accept()
            with sock:
                got = all_of(sock)
                if got:
                    sock.sendall(got + body)
                    return

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_splice_passes_a_half_close_and_a_long_answer(tmp_path: Path) -> None:
    with roles(tmp_path) as started, socket.create_server(("127.0.0.1", 7001)) as listener:
        listener.settimeout(20)
        balancer = start_balancer(started, 1, 7001)
        body = bytes(range(256)) * 40_000  # more than all buffers on the way
        thread = serve_once(listener, body)
        with connect(8443) as sock:
            sock.sendall(b"question")
            sock.shutdown(socket.SHUT_WR)
            assert all_of(sock) == b"question" + body, balancer.evidence()
        thread.join()
        assert balancer.wait_for("upstream-chosen")[0]["upstream"] == "127.0.0.1:7001"


def test_a_balancer_notices_who_comes_and_goes(tmp_path: Path) -> None:
    with roles(tmp_path) as started:
        balancer = start_balancer(started, 7001)
        changes = balancer.wait_for("health-changed")
        assert [one["healthy"] for one in changes] == [False], changes
        with connect(8443) as sock:
            assert all_of(sock) == b"", "no upstream: the connection is reset"
        with socket.create_server(("127.0.0.1", 7001)):
            changes = balancer.wait_for("health-changed", 2)
            assert [one["healthy"] for one in changes] == [False, True], changes


def test_a_command_ends_as_its_program_does(tmp_path: Path) -> None:
    with roles(tmp_path) as started:
        command = started.run(
            "command", CommandSpec(argv=("sh", "-c", "echo $WORD; exit 7"), env={"WORD": "hi"})
        )
        assert command.wait() == 7
        assert command.log() == "hi\n"
        missing = started.run("missing", CommandSpec(argv=("no-such-program",)))
        assert missing.wait() == 127
        assert missing.log().startswith("error: can't run no-such-program: No such file"), missing.log()


def test_a_command_is_ready_when_its_port_accepts_and_ends_on_sigterm(tmp_path: Path) -> None:
    with roles(tmp_path) as started:
        argv = (sys.executable, "-m", "http.server", "8000", "--bind", "127.0.0.1")
        command = started.start("web", CommandSpec(argv=argv, ready_port=8000))
        connect(8000).close()
        assert command.stop() == 0, command.evidence()

        def closed() -> bool:
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", 8000)) != 0

        assert poll_until(closed, "the program has ended")


def test_a_command_has_the_descriptors_of_the_contract(tmp_path: Path) -> None:
    program = "import os; os.write(int(os.environ['NETLAB_EVENTS_FD']), b'{\"its\": \"own\"}\\n')"
    with roles(tmp_path) as started:
        role = started.start("writer", CommandSpec(argv=(sys.executable, "-c", program)), ready=False)
        assert role.wait() == 0, role.log()
        lines = (tmp_path / "writer.events").read_text().splitlines()
    assert '{"its": "own"}' in lines, lines
