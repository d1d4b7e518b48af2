"""UDP traffic: datagrams sent at a pace, and counted where they arrive. Nobody sends one again."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from itertools import pairwise

from netlab.model.event import Flow
from netlab.model.roles import DatagramsSpec
from netlab.net import sockets
from netlab.net.context import RoleContext
from netlab.proto.numbered import Numbered, decode, encode

_BUFFER = 1024 * 1024  # bytes of receive buffer: what is lost shall be lost by the network


async def serve(spec: DatagramsSpec, ctx: RoleContext) -> None:
    """With `to`: send, then end. Else: count until told to stop."""
    if spec.to:
        ctx.ready()
        await _send(spec, ctx)
        return
    counter = _Counter(ctx)
    counter.listen(spec.listen)
    ctx.ready(spec.listen)
    await ctx.stopped()
    counter.close()


async def _send(spec: DatagramsSpec, ctx: RoleContext) -> None:
    address, port = sockets.address_port(spec.to)
    loop, sent = asyncio.get_running_loop(), 0
    with socket.socket(sockets.family_of(address), socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((address, port))
        flow = sockets.flow_of(sock, "udp")
        started = loop.time()
        for number in range(spec.count):
            # By the clock and not by pauses: one that was too long is made up for.
            await asyncio.sleep(max(0.0, started + number * spec.interval_ns / 1e9 - loop.time()))
            with suppress(ConnectionRefusedError):  # ICMP about an earlier one: UDP sends on
                await loop.sock_sendall(sock, encode(number, time.time_ns(), spec.size))
            sent += 1
            if ctx.stopping:
                break
    ctx.emit("datagrams", flow, sent=sent)


class _Counter:
    """Counts by sender."""

    def __init__(self, ctx: RoleContext) -> None:
        self._ctx = ctx
        self._sockets: list[socket.socket] = []
        self._seen: dict[Flow, list[Numbered]] = {}

    def listen(self, port: int) -> None:
        """Raises LabError where the port can't be had."""
        self._sockets = sockets.bound(port, socket.SOCK_DGRAM)
        for sock in self._sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            asyncio.get_running_loop().add_reader(sock, self._readable, sock)

    def _readable(self, sock: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                data, remote = sock.recvfrom(65_535)
                found = decode(data)
                local = sock.getsockname()
                flow = Flow("udp", local[0], local[1], remote[0], remote[1])
                if found is not None:
                    self._seen.setdefault(flow, []).append(found)

    def close(self) -> None:
        """Say what came, and end."""
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        for flow, seen in self._seen.items():
            numbers = {one.sequence for one in seen}
            late = sum(after.sequence < before.sequence for before, after in pairwise(seen))
            self._ctx.emit(
                "datagrams",
                flow,
                received=len(seen),
                duplicates=len(seen) - len(numbers),
                out_of_order=late,
                first=min(numbers),
                last=max(numbers),
                lost=max(numbers) - min(numbers) + 1 - len(numbers),
            )
