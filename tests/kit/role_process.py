"""Roles as processes, by the process contract, in the network namespace of the test."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netlab.model.launch import Launch
from netlab.model.roles import RoleSpec
from tests.kit.poll import poll_until


class RoleProcess:
    """One role that runs: its events so far, its log, its end."""

    def __init__(self, directory: Path, launch: Launch) -> None:
        self.node = launch.node
        self._events = directory / f"{launch.node}.events"
        self._log = directory / f"{launch.node}.log"
        self.keylog = directory / f"{launch.node}.keys"
        reader, writer = os.pipe()
        self._control, control = socket.socketpair()
        events = os.open(self._events, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        environment = {
            **os.environ,
            "NETLAB_SPEC_FD": str(reader),
            "NETLAB_EVENTS_FD": str(events),
            "NETLAB_CONTROL_FD": str(control.fileno()),
            "SSLKEYLOGFILE": str(self.keylog),
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "netlab.roles"],
                env=environment,
                pass_fds=(reader, events, control.fileno()),
                stdout=log,
                stderr=log,
            )
        os.close(reader)
        os.close(events)
        control.close()
        with os.fdopen(writer, "w") as document:
            document.write(launch.model_dump_json())

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Its events so far, of these kinds (all without any)."""
        lines = self._events.read_text().splitlines() if self._events.exists() else []
        found = [json.loads(line) for line in lines]
        return [one for one in found if not kinds or one["event"] in kinds]

    def tell(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the role answers to a request of the supervisor (netlab.net.role_control)."""
        self._control.settimeout(10)
        self._control.sendall(json.dumps(request).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            data = self._control.recv(65536)
            assert data, self.evidence()
            answer += data
        return dict(json.loads(answer))

    def set(self, nodes: dict[str, list[str]] | None = None, **settings: str) -> dict[str, Any]:
        """`netlab role set`: {"ok": values before} or {"error": …}. `nodes`: the addresses of names."""
        return self.tell({"op": "set", "settings": settings, "nodes": nodes or {}})

    def close(self) -> None:
        self._control.close()

    def log(self) -> str:
        return self._log.read_text()

    def evidence(self) -> str:
        """Events and log, for assertions that fail."""
        events = "\n".join(map(str, self.events()))
        return f"{self.node}: status {self.process.poll()}\n{events}\n{self.log()}"

    def wait_for(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """At least `count` events of this kind; AssertionError with the evidence after 15 s."""

        def come() -> list[dict[str, Any]]:
            found = self.events(kind)
            assert len(found) >= count or self.process.poll() is None, self.evidence()
            return found if len(found) >= count else []

        return poll_until(come, f"{self.node} says {kind} {count} times", timeout_s=15)

    def wait(self, timeout_s: float = 15) -> int:
        """Its exit status."""
        return self.process.wait(timeout_s)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()


class Roles:
    """Starts roles; they end with the test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.started: list[RoleProcess] = []

    def start(self, node: str, spec: RoleSpec, *, ready: bool = True, **launch: Any) -> RoleProcess:
        """Start a role and wait until it is ready."""
        made = Launch(lab="test", node=node, role=spec.kind, spec=spec, **launch)
        role = RoleProcess(self._directory, made)
        self.started.append(role)
        if ready:
            role.wait_for("ready")
        return role

    def run(self, node: str, spec: RoleSpec, **launch: Any) -> RoleProcess:
        """Start a role and wait for its end."""
        role = self.start(node, spec, ready=False, **launch)
        role.wait()
        return role


@contextmanager
def roles(directory: Path) -> Iterator[Roles]:
    """Roles in this thread's network namespace, with the loopback interface up."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    made = Roles(directory)
    try:
        yield made
    finally:
        for role in reversed(made.started):
            if role.process.poll() is None:
                role.process.kill()
            role.process.wait()
            role.close()
