"""A program for nodes of a lab: traffic whose payload says which packet it is. It needs the standard library.

    serve                                    echo UDP on port 7000 and TCP on port 7001, IPv4 and IPv6
    send NAME SERVER AT COUNT                from the time AT: COUNT numbered datagrams from port 5000, a
                                             marker with NAME before every tenth; and a TCP connection that
                                             sends COUNT numbered records with NAME in each

Two senders' datagrams are the same, number by number, but for the markers.
"""

from __future__ import annotations

import socket
import sys
import threading
import time

UDP_PORT, TCP_PORT, FROM_PORT = 7000, 7001, 5000
MARKER = b"marker "
_PACE_S = 0.002
_RECORDS = 20  # in one write


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _echo_datagrams(family: socket.AddressFamily) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("", UDP_PORT))
        while True:
            data, sender = sock.recvfrom(2048)
            sock.sendto(data, sender)


def _echo_stream(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(65_536):
            connection.sendall(data)


def serve() -> None:
    for family in (socket.AF_INET, socket.AF_INET6):
        threading.Thread(target=_echo_datagrams, args=(family,), daemon=True).start()
    with socket.create_server(("", TCP_PORT), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_echo_stream, args=(connection,), daemon=True).start()


def _datagrams(name: str, server: str, at: float, count: int) -> None:
    """The socket isn't connected, so that Linux gives these packets no IP identification."""
    with socket.socket(_family(server), socket.SOCK_DGRAM) as sock:
        sock.bind(("", FROM_PORT))
        for number in range(count):
            time.sleep(max(0.0, at + number * _PACE_S - time.time()))
            if number % 10 == 0:
                sock.sendto(MARKER + name.encode(), (server, UDP_PORT))
            sock.sendto(b"%08d" % number, (server, UDP_PORT))
        time.sleep(0.5)  # so that the port stays open for the last answers


def _stream(name: str, server: str, at: float, count: int) -> None:
    time.sleep(max(0.0, at - time.time()))
    records = [b"%s %011d\n" % (name.encode(), number) for number in range(count)]
    with socket.create_connection((server, TCP_PORT), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def send() -> None:
            for place in range(0, count, _RECORDS):
                sock.sendall(b"".join(records[place : place + _RECORDS]))
                time.sleep(_PACE_S)
            sock.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        answered = b""
        while data := sock.recv(65_536):
            answered += data
        sender.join()
        assert answered == b"".join(records), "the echo is another"


def send(name: str, server: str, at: float, count: int) -> None:
    stream = threading.Thread(target=_stream, args=(name, server, at, 4 * count))
    stream.start()
    _datagrams(name, server, at, count)
    stream.join()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        send(sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5]))
