"""The hands of a stimulus: what it can do in a lab while every packet is captured.

Whatever it changes in a lab it changes back, so that a lab that stays up is what it was.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from netlab.errors import LabError, RoleError
from netlab.lab.client import LabClient
from netlab.lab.observing import congestion_control, tcp_connections
from netlab.model.event import Event, Flow
from netlab.model.roles import ClientSpec, Pool, Request, RoleSpec, Subscription
from netlab.model.topology import Topology
from netlab.policy.tracing import new_traceparent
from netlab.scenarios.scenario import Options, Say, Scenario
from netlab.trace.run import RunPhase

_READY_S = 20.0


class Bench:
    """`asked` are the events of one-shot roles; the lab's log has them too, but later."""

    def __init__(
        self, lab: LabClient, scenario: Scenario, options: Options, topology: Topology, say: Say
    ) -> None:
        self.lab = lab
        self.options = options
        self.topology = topology
        self.say = say
        self.repeats = options.repeat or scenario.repeats
        self.http = options.http or scenario.http
        self.tls = options.tls or scenario.tls
        # Every process of a role has the same seed; the requests of a run must not be taken for each other.
        self._rng = random.Random(time.time_ns())  # noqa: S311 - identifiers, no secrets
        self.phases: list[RunPhase] = []
        self.asked: list[Event] = []
        self._failure: BaseException | None = None  # of what runs in the background

    def client(self, node: str) -> ClientSpec:
        """The client role of a node. Raises LabError where it has none."""
        for role in self.topology.nodes[node].roles:
            if isinstance(role, ClientSpec):
                return role
        raise LabError(f"node {node} has no client role", "give it `roles: [{kind: client}]`")

    @contextmanager
    def phase(self, name: str, **settings: str) -> Iterator[None]:
        """A part of the stimulus that the judge can tell from others."""
        started = time.time_ns()
        yield
        self.phases.append(
            RunPhase(name=name, started_ns=started, ended_ns=time.time_ns(), settings=settings)
        )

    def ask(
        self,
        node: str,
        requests: Sequence[Request],
        *,
        parallel: int = 1,
        pool: Pool | None = None,
        timeout_s: float = 90.0,
        **fields: Any,
    ) -> list[Event]:
        """Run the node's client with these requests, in a process of its own; its events.

        `fields`: more of ClientSpec. Raises RoleError, LabError.
        """
        told = tuple(
            one if one.traceparent else one.model_copy(update={"traceparent": new_traceparent(self._rng)})
            for one in requests
        )
        spec = self.client(node).model_copy(
            update={"requests": told, "parallel": parallel, "pool": pool or Pool(), **fields}
        )
        return self.run(node, spec, timeout_s)

    def attempt(self, node: str, requests: Sequence[Request], timeout_s: float = 90.0) -> None:
        """As `ask`, where a request may get no answer: the events say so."""
        offset = self.lab.events_size()
        try:
            self.ask(node, requests, timeout_s=timeout_s)
        except RoleError:
            if not any(one.event == "request-failed" for one in self.lab.events_since(offset)):
                raise

    def run(self, node: str, spec: RoleSpec, timeout_s: float = 90.0) -> list[Event]:
        """Run a role in a node until it ends; its events. Raises RoleError, LabError."""
        events = self.lab.run(node, spec, timeout_s)
        self.asked += events
        return events

    @contextmanager
    def serving(self, node: str, spec: RoleSpec) -> Iterator[None]:
        """A role that runs in a node beside its own while this context lasts; entered when it is ready."""
        server = _Server(self.lab, node, spec)
        server.start()
        try:
            yield
        finally:
            self.asked += server.stop()

    @contextmanager
    def subscribed(self, node: str, subscription: Subscription) -> Iterator[None]:
        """The node's client with this subscription, in the background: entered when it is subscribed, left
        when it has ended. Raises LabError where it got fewer messages than it wanted."""
        offset = self.lab.events_size()
        waiting = threading.Thread(target=lambda: self._subscribe(node, subscription), daemon=True)
        self._failure = None
        waiting.start()
        deadline = time.monotonic() + _READY_S
        while not self._is_subscribed(offset, node) and self._failure is None:
            if time.monotonic() > deadline:
                raise LabError(f"{node} is not subscribed after {_READY_S:.0f} s", f"see: netlab logs {node}")
            time.sleep(0.02)
        if self._failure is None:
            yield
        waiting.join()
        if self._failure is not None:
            raise self._failure

    def _subscribe(self, node: str, subscription: Subscription) -> None:
        try:
            self.ask(node, (), subscriptions=(subscription,))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._failure = error

    def _is_subscribed(self, offset: int, node: str) -> bool:
        return any(one.event == "subscribed" and one.node == node for one in self.lab.events_since(offset))

    @contextmanager
    def link(self, end: str, *words: str, direction: str = "both") -> Iterator[None]:
        """What the link that ends at `end` does, changed as `netlab link set` would."""
        link = self.lab.link(end)
        before = link.show()
        try:
            link.set(*words, direction=direction)
            yield
        finally:
            link.restore(before)

    @contextmanager
    def unplugged(self, end: str) -> Iterator[None]:
        """The link without its carrier while this context lasts."""
        link = self.lab.link(end)
        link.down()
        try:
            yield
        finally:
            link.up()

    @contextmanager
    def congestion(self, node: str, algorithm: str) -> Iterator[None]:
        """Connections that the node opens or accepts from now on are controlled by this algorithm."""
        with congestion_control(self.lab, node, algorithm):
            yield

    @contextmanager
    def tcp_info(self, node: str, port: int, every_s: float = 0.01) -> Iterator[None]:
        """What the node's kernel knows of its connections at `port`, as events `tcp-info`."""
        with tcp_connections(self.lab, node, port, every_s) as found:
            yield
        for one in found:
            flow = Flow("tcp", one.local, one.local_port, one.remote, one.remote_port)
            data = {
                name: value
                for name, value in one._asdict().items()
                if name not in {"time_ns", "local", "local_port", "remote", "remote_port"}
            }
            self.asked.append(Event(one.time_ns, node, "kernel", "tcp-info", flow, data))


class _Server:
    """A one-shot role that serves, on a thread that waits for its end."""

    def __init__(self, lab: LabClient, node: str, spec: RoleSpec) -> None:
        self._lab = lab
        self._node = node
        self._spec = spec
        self._events: list[Event] = []
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name=f"serving {node}", daemon=True)

    def start(self) -> None:
        """Returns when the role says that it is ready. Raises LabError where it does not."""
        self._thread.start()
        if not self._ready.wait(_READY_S) and self._failure is None:
            self._stop.set()
            raise LabError(f"{self._node}: the {self._spec.kind} is not ready after {_READY_S:.0f} s")
        if self._failure is not None:
            raise self._failure

    def stop(self) -> list[Event]:
        """Its events. Raises what ended it before."""
        self._stop.set()
        self._thread.join(_READY_S)
        if self._failure is not None:
            raise self._failure
        return self._events

    def _serve(self) -> None:
        try:
            for event in self._lab.serve(self._node, self._spec, self._stop):
                self._events.append(event)
                if event.event == "ready":
                    self._ready.set()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._failure = error
        finally:
            self._ready.set()
