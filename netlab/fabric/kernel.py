"""Carries out the kernel operations of a Plan: namespaces, links, addresses, routes, sysctls, filters.

Fast because nothing waits for anything that it doesn't need: messages of one namespace are sent together,
and before them the veths that they may be about. Nothing has a name outside: namespaces are held by
descriptors of this process, and links are born inside them.
"""

from __future__ import annotations

import errno
import itertools
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from typing import assert_never

from netlab.errors import HostError, KernelError, LabError
from netlab.fabric import crossing, message, ruleset, sysctl
from netlab.fabric.carrier import wait_for_addresses, wait_for_carrier
from netlab.fabric.changes import Flags, flags
from netlab.fabric.describe import describe
from netlab.fabric.enter import CLONE_NEWNET, enter, in_thread, unshare
from netlab.fabric.impair import Netems
from netlab.fabric.namespace import Namespace
from netlab.fabric.netlink import BATCH_BYTES, Batch
from netlab.fabric.offload import Offloads
from netlab.model.impairment import Impairment
from netlab.plan.ops import (
    AddAddress,
    AddNeighbour,
    AddRoute,
    CreateBridge,
    CreateNamespace,
    CreateVeth,
    CrossConnect,
    LoadRuleset,
    Operation,
    Port,
    SetOffloads,
    SetQdisc,
    SetSysctl,
    StartRole,
    StartWire,
)

_CARRIER_S = 10.0
_FIRST_INDEX = 32  # below it are lo and what modules put into every namespace (tunl0, sit0, …)
_SPARE_DESCRIPTORS = 256
_PROGRESS_STEPS = 50


class Kernel:
    """The kernel objects of one lab. Not thread-safe, and synchronous."""

    def __init__(self) -> None:
        self._namespaces: dict[str, Namespace] = {}
        self._links = Batch()  # veths: each is of two namespaces, so any namespace's socket will do
        self._silent: list[CreateNamespace] = []  # their lo is still down
        self._new: list[tuple[Namespace, str]] = []
        self._ipv6: dict[str, Namespace] = {}
        self._peers: dict[tuple[str, str], tuple[str, str]] = {}
        self._offloads = Offloads()
        self._netems = Netems()
        self._switched: dict[tuple[str, str], bool] = {}
        self._stopped = False
        # Interface indices are chosen here, so that the kernel need not be asked for them, and no two are
        # the same in the lab: where both ends of a veth have one index, Linux (linkwatch_urgent_event)
        # takes up to a second to notice the carrier.
        self._free_indices = itertools.count(_FIRST_INDEX)

    def apply(self, operations: Iterable[Operation], progress: Callable[[int], None] | None = None) -> None:
        """Carry out the kernel's operations (StartWire and StartRole are the lab's: TypeError).

        Returns when all are done and every new link carries frames. `progress` hears from another thread
        how many are under way, and at last their number.

        KernelError names the operation that the kernel refused; LabError one that makes no sense or that
        nft refused; HostError what the machine lacks. What was made until then stays until `close`.
        """
        todo = tuple(operations)
        _allow_descriptors(2 * (len(self._namespaces) + sum(type(op) is CreateNamespace for op in todo)))
        self._stopped = False
        in_thread(lambda: self._apply(todo, progress or _nobody), self._stop)

    def namespace(self, node: str) -> int:
        """The descriptor (close-on-exec) of the node's network namespace. LabError if there is no such node.

        It stays this object's: don't close it.
        """
        return self._find(node).fd

    def set_link(self, node: str, interface: str, *, up: bool) -> None:
        """Bring an interface up or down. LabError if there is none of that name; KernelError if refused."""
        namespace, index = self._existing(node, interface)
        what = f"bring {node}:{interface} {'up' if up else 'down'}"
        body = message.set_up(index, up=up)
        namespace.socket.request(what, message.RTM_SETLINK, message.NLM_F_REQUEST, body)

    def flags(self, node: str, interface: str) -> Flags:
        """Whether an interface is up and has a carrier. LabError if there is none; KernelError if gone."""
        namespace, index = self._existing(node, interface)
        body = message.one_link(index)
        what = f"look at {node}:{interface}"
        answers = namespace.socket.request(what, message.RTM_GETLINK, message.NLM_F_REQUEST, body)
        return flags(answers[0].payload)

    def set_impairment(self, node: str, interface: str, impairment: Impairment) -> None:
        """Impair by netem what `interface` sends, from now on; frames that are on their way keep their times.

        LabError if there is no such interface, or where the kernel holds another value than it was given;
        HostError where this kernel has no netem, or not all of what is asked for; KernelError if refused.
        """
        namespace, index = self._existing(node, interface)
        self._netems.set((node, interface), namespace.socket, index, impairment)

    def close(self) -> None:
        """Let go of every namespace. When no process is in one, the kernel destroys it soon after."""
        while self._namespaces:
            self._namespaces.popitem()[1].close()

    def _stop(self) -> None:
        self._stopped = True

    def _find(self, node: str) -> Namespace:
        try:
            return self._namespaces[node]
        except KeyError:
            raise LabError(f"there is no node {node}") from None

    def _existing(self, node: str, interface: str) -> tuple[Namespace, int]:
        """The node's namespace and the interface's index. LabError if there is none of that name."""
        namespace = self._find(node)
        if interface not in namespace.indices:
            raise LabError(f"{node} has no interface {interface}", f"it has {', '.join(namespace.indices)}")
        return namespace, namespace.indices[interface]

    def _apply(self, operations: Sequence[Operation], progress: Callable[[int], None]) -> None:
        step = len(operations) // _PROGRESS_STEPS + 1
        for done, operation in enumerate(operations):
            if done % step == 0:
                progress(done)
            if self._stopped:
                return
            try:
                self._begin(operation)
            except ValueError as error:
                raise LabError(f"{describe(operation)}: {error}") from error
            except OSError as error:
                raise KernelError(describe(operation), error.errno or 0) from error
        self._finish()
        progress(len(operations))

    def _finish(self) -> None:
        body = message.set_up(message.LOOPBACK)
        for operation in self._silent:
            self._queue(operation.node, operation, message.RTM_SETLINK, message.NLM_F_REQUEST, body)
        self._silent.clear()
        for namespace in self._namespaces.values():
            self._flush(namespace)
        deadline = time.monotonic() + _CARRIER_S
        wait_for_carrier(self._new, deadline)
        wait_for_addresses(self._ipv6.values(), deadline)
        self._new.clear()
        self._ipv6.clear()

    def _begin(self, operation: Operation) -> None:  # noqa: C901 - one case for each operation
        match operation:
            case AddRoute():  # first, because most operations are routes
                body = message.route(operation.to, operation.via, operation.metric)
                self._queue(operation.node, operation, message.RTM_NEWROUTE, message.CREATE, body)
            case AddAddress(node, interface, address):
                body = message.address(self._index(node, interface), address)
                self._queue(node, operation, message.RTM_NEWADDR, message.CREATE, body)
                if ":" in address:
                    self._ipv6[node] = self._namespaces[node]
            case AddNeighbour(node, interface, address, mac):
                body = message.neighbour(self._index(node, interface), address, mac)
                self._queue(node, operation, message.RTM_NEWNEIGH, message.CREATE, body)
            case SetSysctl(node, key, value):
                enter(self._flushed(node).fd)
                sysctl.write(key, value)
            case CreateVeth():
                self._create_veth(operation)
            case CreateNamespace():
                self._create_namespace(operation)
            case SetOffloads():
                self._set_offloads(operation)
            case CreateBridge():
                self._create_bridge(operation)
            case LoadRuleset(node, text):
                enter(self._flushed(node).fd)
                ruleset.load(text, describe(operation))
            case SetQdisc(node, interface, impairment):
                route = self._flushed(node).socket
                self._netems.set((node, interface), route, self._index(node, interface), impairment)
            case CrossConnect():
                self._cross_connect(operation)
            case StartWire() | StartRole():
                raise TypeError(f"{describe(operation)}: not an operation of the kernel")
            case _:
                assert_never(operation)

    def _create_namespace(self, operation: CreateNamespace) -> None:
        if operation.node in self._namespaces:
            raise FileExistsError(errno.EEXIST, operation.node)
        unshare(CLONE_NEWNET)
        self._namespaces[operation.node] = Namespace(operation.node)
        self._silent.append(operation)

    def _create_veth(self, operation: CreateVeth) -> None:
        """One end comes up with the link; the other can't, before the first is there (veth_open of Linux)."""
        a, b = operation.a, operation.b
        peer = self._end(b, up=False)
        self._links.add(operation, message.RTM_NEWLINK, message.CREATE, self._end(a, up=True, peer=peer))
        body = message.set_up(self._index(b.node, b.interface))
        self._queue(b.node, operation, message.RTM_SETLINK, message.NLM_F_REQUEST, body)
        self._peers[a.node, a.interface] = b.node, b.interface
        self._peers[b.node, b.interface] = a.node, a.interface
        for port in (a, b):
            self._new.append((self._namespaces[port.node], port.interface))

    def _end(self, port: Port, *, up: bool, peer: bytes = b"") -> bytes:
        namespace = self._find(port.node)
        namespace.indices[port.interface] = index = next(self._free_indices)
        info = message.veth(peer) if peer else b""
        return message.link(
            port.interface, index, up=up, mac=port.mac, mtu=port.mtu, namespace_fd=namespace.fd, info=info
        )

    def _create_bridge(self, operation: CreateBridge) -> None:
        node, name = operation.node, operation.interface
        ports = [self._index(node, port) for port in operation.ports]
        self._find(node).indices[name] = bridge = next(self._free_indices)
        body = message.link(name, bridge, up=True, mac=operation.mac, info=message.bridge())
        self._queue(node, operation, message.RTM_NEWLINK, message.CREATE, body)
        for port in ports:
            body = message.set_master(port, bridge)
            self._queue(node, operation, message.RTM_SETLINK, message.NLM_F_REQUEST, body)

    def _cross_connect(self, operation: CrossConnect) -> None:
        node = operation.node
        a, b = self._index(node, operation.a), self._index(node, operation.b)
        for index, to in ((a, b), (b, a)):
            self._queue(node, operation, message.RTM_NEWQDISC, message.CREATE, crossing.ingress(index))
            self._queue(
                node, operation, crossing.RTM_NEWTFILTER, message.CREATE, crossing.redirect(index, to)
            )

    def _set_offloads(self, operation: SetOffloads) -> None:
        """At both ends; where a Plan has an operation for either end, the second finds nothing to do."""
        end = operation.node, operation.interface
        for node, interface in (end, self._peers.get(end, end)):
            if self._switched.get((node, interface)) is not operation.enabled:
                namespace = self._find(node)
                self._links.send(namespace.socket)
                if (node, interface) not in self._peers:  # a bridge; a veth is there now
                    self._flush(namespace)
                self._offloads.set(namespace.socket.fileno(), interface, enabled=operation.enabled)
                self._switched[node, interface] = operation.enabled

    def _index(self, node: str, interface: str) -> int:
        try:
            return self._find(node).indices[interface]
        except KeyError:
            raise OSError(errno.ENODEV, f"{node}:{interface}") from None

    def _queue(self, node: str, operation: Operation, kind: int, flags: int, body: bytes) -> None:
        namespace = self._find(node)
        namespace.batch.add(operation, kind, flags, body)
        if len(namespace.batch) > BATCH_BYTES:
            self._flush(namespace)

    def _flushed(self, node: str) -> Namespace:
        namespace = self._find(node)
        self._flush(namespace)
        return namespace

    def _flush(self, namespace: Namespace) -> None:
        """Send what waits for this namespace, and first all veths, since it may be about their ends."""
        self._links.send(namespace.socket)
        namespace.batch.send(namespace.socket)


def _nobody(done: int) -> None:
    """Hears of progress and does nothing with it."""


def _allow_descriptors(count: int) -> None:
    """Raise this process's own limit of open files, if need be. HostError where its hard limit is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _SPARE_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise HostError(
            f"the lab needs {needed} open files, and this process may have {hard}", "ulimit -Hn 65536"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
