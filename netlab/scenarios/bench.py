"""The hands of a stimulus: what it can do in a lab while every packet is captured.

Whatever it changes in a lab it changes back, so that a lab that stays up is what it was.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from netlab.errors import LabError, RoleError
from netlab.lab.client import LabClient
from netlab.lab.observing import congestion_control, tcp_connections
from netlab.model.event import Event, Flow
from netlab.model.role_settings import parse_settings
from netlab.model.roles import ClientSpec, Pool, Request, RoleSpec, Subscription
from netlab.model.topology import Topology
from netlab.policy.tracing import new_traceparent
from netlab.scenarios.background import Background
from netlab.scenarios.scenario import Options, Say, Scenario
from netlab.trace.run import RunPhase


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
        fields |= {"parallel": parallel, "pool": pool or Pool()}
        return self.run(node, self._asker(node, requests, **fields), timeout_s)

    def _asker(self, node: str, requests: Sequence[Request], **fields: Any) -> ClientSpec:
        told = {"requests": self.traced(requests), "pool": Pool()}
        return self.client(node).model_copy(update=told | fields)

    def traced(self, requests: Sequence[Request]) -> tuple[Request, ...]:
        """Each with a traceparent, by which the packets tell it from any other of the run."""
        return tuple(
            one if one.traceparent else one.model_copy(update={"traceparent": new_traceparent(self._rng)})
            for one in requests
        )

    @contextmanager
    def asking(
        self,
        node: str,
        requests: Sequence[Request],
        *,
        timeout_s: float = 90.0,
        may_fail: bool = False,
        **fields: Any,
    ) -> Iterator[Callable[[], None]]:
        """As `ask`, beside what is done in this context, which is left when all is answered. It gives a
        call that returns as soon as that is so.

        `may_fail`: a request may get no answer; the events say so. `fields`: more of ClientSpec. Raises
        RoleError, LabError.
        """
        asker = self._asker(node, requests, **fields)
        with self._beside(node, asker, timeout_s, may_fail=may_fail) as role:
            yield lambda: role.wait(timeout_s)

    def run(self, node: str, spec: RoleSpec, timeout_s: float = 90.0) -> list[Event]:
        """Run a role in a node until it ends; its events. Raises RoleError, LabError."""
        events = self.lab.run(node, spec, timeout_s)
        self.asked += events
        return events

    @contextmanager
    def serving(self, node: str, spec: RoleSpec) -> Iterator[None]:
        """A role that runs in a node beside its own while this context lasts; entered when it is ready."""
        with self._beside(node, spec) as server:
            server.wait_for("ready")
            yield

    @contextmanager
    def subscribed(self, node: str, subscription: Subscription) -> Iterator[None]:
        """The node's client with this subscription, in the background: entered when it is subscribed, left
        when it has ended. Raises LabError where it got fewer messages than it wanted."""
        with self._beside(node, self._asker(node, (), subscriptions=(subscription,)), 90.0) as subscriber:
            subscriber.wait_for("subscribed")
            yield

    @contextmanager
    def _beside(
        self, node: str, spec: RoleSpec, timeout_s: float = 0.0, *, may_fail: bool = False
    ) -> Iterator[Background]:
        """A role in the background. It is stopped when the context is left, or has `timeout_s` to end by
        itself; if anything else fails, or the user interrupts, it is ended at once."""
        role = Background(self.lab, node, spec)
        role.start()
        try:
            yield role
            if timeout_s:
                role.join(timeout_s)
            else:
                role.stop()
        except RoleError:
            role.abandon()
            if not (may_fail and any(one.event == "request-failed" for one in role.events)):
                raise
        except BaseException:
            role.abandon()
            raise
        finally:
            self.asked += role.events

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

    def is_ours(self, node: str, kind: str) -> bool:
        """Whether the node has a built-in role of this kind; a `command` may stand in its place."""
        return any(role.kind == kind for role in self.topology.nodes[node].roles)

    @contextmanager
    def role_set(self, role: str, *words: str) -> Iterator[None]:
        """Settings of a running role (NODE, or NODE.ROLE where it has several) changed as `netlab role set`
        would: `role_set("lb.balancer-2", "weights=app-1:3,app-2:1")`. Raises InputError, LabError."""
        before = self.lab.set_role(role, parse_settings(words))["before"]
        try:
            yield
        finally:
            self.lab.set_role(role, before)

    @contextmanager
    def fault(self, *words: str) -> Iterator[None]:
        """A fault as `netlab fault` has it, while this context lasts: `fault("slow", "app-2", "200ms")`.

        Left when it is undone: a role that was killed is ready again. Raises InputError, LabError.
        """
        with self.lab.holding_fault(words):
            yield

    @contextmanager
    def unplugged(self, end: str) -> Iterator[None]:
        """The link without its carrier while this context lasts."""
        link = self.lab.link(end)
        was_down = link.show()["state"] == "down"
        try:
            link.down()
            yield
        finally:
            if not was_down:
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
