"""One node's network namespace, as its maker holds it."""

from __future__ import annotations

import os

from netlab.fabric.message import LOOPBACK
from netlab.fabric.netlink import Batch, RouteSocket


class Namespace:
    """The namespace's descriptor, its netlink socket, the index of each interface, and what to send next.

    Made by a thread that is in the namespace. Nothing else holds it: when the descriptor and the socket are
    closed and no process is in it, the kernel destroys it.
    """

    __slots__ = ("batch", "fd", "indices", "node", "socket")

    def __init__(self, node: str) -> None:
        self.node = node
        self.socket = RouteSocket()
        self.fd = self.socket.namespace()
        self.indices = {"lo": LOOPBACK}
        self.batch = Batch()

    def close(self) -> None:
        self.socket.close()
        os.close(self.fd)
