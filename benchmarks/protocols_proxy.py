"""What one proxy hop adds to a request on a keep-alive connection.

One client asks client ─TLS─► app and client ─TLS─► proxy ─► app in turn, one request at a time, each on its
own connection; nginx in the proxy's place is the peer, where it is installed. The client is blocking and
plain, so that it adds little, and the same to each way.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import statistics
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.nginx import configured
from benchmarks.protocols_load import Side, free_port, print_verdict, program, role
from netlab.model.launch import Identity
from netlab.model.roles import AppSpec, ProxySpec, Route
from netlab.pki.authority import Authority

TARGET_MS = 1.0
REQUESTS = 3000  # on each way
_WARM = 200
_NAME = "bench.example.com"
_PASSED = """
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $remote_addr;
"""


class _Way:
    """One connection to one server, and how long its answers took."""

    def __init__(self, side: Side, trust_pem: str) -> None:
        self.name = side.name
        self.took_ms: list[float] = []
        context = ssl.create_default_context(cadata=trust_pem)
        tcp = socket.create_connection(("127.0.0.1", side.port), 10)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(tcp, server_hostname=_NAME)
        fields = f"Host: {_NAME}:{side.port}\r\nUser-Agent: load\r\nAccept: */*"
        self._request = f"GET /health HTTP/1.1\r\n{fields}\r\n\r\n".encode()

    def ask(self) -> None:
        """One request; raises RuntimeError where its response is no 200."""
        begun = time.perf_counter()
        self._socket.sendall(self._request)
        self._receive()
        self.took_ms.append((time.perf_counter() - begun) * 1000)

    def _receive(self) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{self.name}: not a 200: {head!r}")
        size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(body) < size:
            body += self._more()

    def _more(self) -> bytes:
        data = self._socket.recv(65_536)
        if not data:
            raise RuntimeError(f"{self.name} closed the connection")
        return data

    def close(self) -> None:
        self._socket.close()


def main() -> None:
    """Print each way's median and 99th percentile, and what the proxies add to the median."""
    authority = Authority.create("bench", datetime.now(UTC))  # noqa: TID251 - certificates of today
    identity = authority.issue((_NAME,))
    with ExitStack() as stack:
        sides = _servers(stack, identity)
        ways = [_Way(side, authority.root_pem) for side in sides]
        for _ in range(_WARM + REQUESTS):
            for way in ways:
                way.ask()
        for way in ways:
            way.close()
            del way.took_ms[:_WARM]
    _print(ways)


def _servers(stack: ExitStack, identity: Identity) -> list[Side]:
    """The app by TLS; then the proxies in front of an app by plain HTTP."""
    direct, plain, port = free_port(), free_port(), free_port()
    app = role("app", AppSpec(listen=direct, names=(_NAME,), http=("1.1",)), direct, identity=identity)
    sides = [stack.enter_context(app)]
    stack.enter_context(role("upstream", AppSpec(listen=plain), plain))
    route = Route(upstreams=(f"127.0.0.1:{plain}",))
    spec = ProxySpec(listen=port, names=(_NAME,), http=("1.1",), routes=(route,))
    sides.append(stack.enter_context(role("proxy role", spec, port, identity=identity)))
    if nginx := shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        sides.append(_nginx(stack, nginx, identity, plain))
    else:
        print("nginx is not installed, so there is no peer (Debian: nginx-light)")
    return sides


def _nginx(stack: ExitStack, path: str, identity: Identity, upstream: int) -> Side:
    directory = Path(stack.enter_context(TemporaryDirectory()))
    directory.chmod(0o755)  # its workers are another user
    (directory / "chain.pem").write_text(identity.chain_pem)
    (directory / "key.pem").write_text(identity.key_pem)
    port = free_port()
    before = f"  upstream app {{ server 127.0.0.1:{upstream}; keepalive 8; }}"
    return stack.enter_context(program("nginx", [path, *configured(directory, port, _PASSED, before)], port))


def _print(ways: list[_Way]) -> None:
    medians = {way.name: statistics.median(way.took_ms) for way in ways}
    direct, proxy = list(medians)[:2]
    for way in ways:
        p99 = statistics.quantiles(way.took_ms, n=100)[98]
        added = medians[way.name] - medians[direct]
        more = "" if way.name == direct else f"   adds {added:5.3f} ms"
        print(f"{way.name:24} median {medians[way.name]:6.3f} ms   p99 {p99:7.3f} ms{more}")
    added = medians[proxy] - medians[direct]
    print_verdict(f"one proxy hop adds {added:.3f} ms", f"under {TARGET_MS:g} ms", met=added < TARGET_MS)


if __name__ == "__main__":
    main()
