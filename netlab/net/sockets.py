"""Sockets: bound for listening on both IP versions, and connected with their five-tuple known at once."""

from __future__ import annotations

import errno
import os
import resource
import socket
from ipaddress import ip_address

from netlab.errors import LabError
from netlab.model.event import Flow

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - a node's role serves on every interface of its node
_BACKLOG = 1024


def allow_open_files() -> None:
    """As many descriptors as this process may have at most: each connection takes one, and the usual 1024
    are fewer than the WebSockets that one process can hold."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def flow_of(sock: socket.socket, protocol: str = "tcp") -> Flow:
    """The five-tuple of a connected socket, our end first."""
    local, remote = sock.getsockname(), sock.getpeername()
    return Flow(protocol, local[0], local[1], remote[0], remote[1])


def family_of(address: str) -> socket.AddressFamily:
    """Raises ValueError where `address` is no IP address: names are resolved before."""
    return socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET


def address_port(upstream: str) -> tuple[str, int]:
    """The parts of "192.0.2.1:80" or "[2001:db8::1]:80" (the pattern of model.roles.Upstream)."""
    address, _, port = upstream.rpartition(":")
    return address.strip("[]"), int(port)


def bound(port: int, kind: socket.SocketKind, hosts: tuple[str, ...] = EVERYWHERE) -> list[socket.socket]:
    """Non-blocking sockets on `port` of each host; port 0 takes one free port for all.

    A kernel without IPv6 is no error. Raises LabError where the port is taken or not allowed.
    """
    sockets: list[socket.socket] = []
    try:
        for host in hosts:
            sock = _bound(host, port or (sockets[0].getsockname()[1] if sockets else 0), kind)
            if sock is not None:
                sockets.append(sock)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise LabError(
            f"can't listen on port {port}: {os.strerror(error.errno or 0)}",
            "another role or program of this node has the port; give one of them another `listen`",
        ) from error
    return sockets


def _bound(host: str, port: int, kind: socket.SocketKind) -> socket.socket | None:
    family = family_of(host)
    try:
        sock = socket.socket(family, kind)
    except OSError as error:
        if family == socket.AF_INET6 and error.errno == errno.EAFNOSUPPORT:
            return None
        raise
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Accepted ones inherit these. Nagle's delay would be measured as the network's.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def connecting(address: str, port: int) -> tuple[socket.socket, Flow]:
    """A non-blocking socket whose SYN has left, and its five-tuple (the kernel has chosen our end).

    Raises OSError where the kernel refuses at once: no route, no address.
    """
    sock = socket.socket(family_of(address), socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    status = sock.connect_ex((address, port))
    if status not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(status, os.strerror(status))
    local = sock.getsockname()
    return sock, Flow("tcp", local[0], local[1], address, port)
