"""TCP_INFO of a node's connections, looked at from outside."""

from __future__ import annotations

import os
import socket
import threading

from netlab.fabric.tcp_info import sampling
from tests.kernel.test_dns_roles import loopback_up
from tests.kit.poll import poll_until


def test_a_connection_is_seen_with_its_window_and_what_it_sent() -> None:
    loopback_up()
    namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with sampling(namespace, port, 0.005) as found, socket.create_connection(("127.0.0.1", port)) as one:
            accepted, _ = server.accept()
            reader = threading.Thread(target=lambda: [None for _ in iter(lambda: one.recv(65_536), b"")])
            reader.start()
            accepted.sendall(bytes(1_000_000))
            poll_until(lambda: found and found[-1].sent_bytes >= 1_000_000, "all of it is counted")
            accepted.close()
            reader.join()
    os.close(namespace)
    last = found[-1]
    assert (last.local, last.local_port) == ("127.0.0.1", port)
    assert last.cwnd >= 10, last  # RFC 6928: the initial window
    assert last.state in {"open", "disorder", "cwr", "recovery", "loss"}
    assert last.mss > 500, last
    assert last.peer_window > 0, last


def test_other_connections_are_left_out() -> None:
    loopback_up()
    namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            with sampling(namespace, client.getsockname()[1], 0.005) as found:
                poll_until(lambda: len(found) >= 2, "two looks")
            accepted.close()
    os.close(namespace)
    assert {one.remote_port for one in found} == {port}, found
