"""What a running role is told: new settings, as JSON lines on the process contract's descriptor
NETLAB_CONTROL_FD.

A request is `{"op": "set", "settings": {key: value}, "nodes": {name: [address]}}`. The answer is
`{"ok": {key: the value before}}` or `{"error": {"kind", "cause", "remedy", "fields"}}`, as on the lab's
control socket.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import socket
from collections.abc import Callable, MutableMapping
from typing import Any

from netlab.errors import InputError, LabError, LocalProtocolError, NetlabError
from netlab.model.suggest import nearest

Settings = dict[str, str]
Handler = Callable[[Settings], Settings]
ENVIRONMENT = "NETLAB_CONTROL_FD"
_LINE = 1024 * 1024  # bytes


class RoleControl:
    """The role's end. `operations` by their names; each gets the request, and returns what is answered."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._handler: Handler | None = None
        self._nodes: dict[str, tuple[str, ...]] = {}
        self.operations: dict[str, Callable[[dict[str, Any]], object]] = {"set": self._set}

    def on_settings(self, handler: Handler) -> None:
        """See RoleContext.on_settings."""
        self._handler = handler

    def addresses_of(self, name: str) -> tuple[str, ...]:
        """See RoleContext.addresses_of."""
        if name in self._nodes:
            return self._nodes[name]
        try:
            return (str(ipaddress.ip_address(name)),)
        except ValueError:
            raise InputError(f"the lab has no node {name!r}", nearest(name, self._nodes, "nodes")) from None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What to answer to a request; the error is an answer too."""
        try:
            operation = self.operations.get(str(request.get("op")))
            if operation is None:
                raise LabError(f"role {self._role} knows no operation {request.get('op')!r}")
            return {"ok": operation(request)}
        except NetlabError as error:
            document = {"kind": type(error).__name__, "cause": error.cause, "remedy": error.remedy}
            return {"error": {**document, "fields": {}}}

    def _set(self, request: dict[str, Any]) -> Settings:
        if self._handler is None:
            raise InputError(
                f"role {self._role} has no settings that can change while it runs",
                "change the topology, and bring the lab up again",
            )
        self._nodes = {name: tuple(found) for name, found in request.get("nodes", {}).items()}
        settings = {str(key): str(value) for key, value in request["settings"].items()}
        before = self._handler(settings)
        if before.keys() != settings.keys():
            raise LocalProtocolError(f"asked for {sorted(settings)}, the role answered {sorted(before)}")
        return before


def control_socket(environment: MutableMapping[str, str]) -> socket.socket | None:
    """The descriptor that the environment names. Programs that the role starts get neither.

    Raises ValueError, OSError where it is none.
    """
    text = environment.pop(ENVIRONMENT, "")
    if not text:
        return None
    os.set_inheritable(int(text), False)
    return socket.socket(fileno=int(text))


async def serve_control(sock: socket.socket, control: RoleControl) -> None:
    """Answer until the supervisor is gone."""
    sock.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=sock, limit=_LINE)
    try:
        while line := await reader.readline():
            writer.write(json.dumps(control.answer(json.loads(line)), separators=(",", ":")).encode() + b"\n")
            await writer.drain()
    except ConnectionError:
        pass  # nobody waits for an answer any more
    finally:
        writer.close()
