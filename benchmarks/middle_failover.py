"""Failover by passive check: an upstream of the proxy is killed under load, and GETs go on.

Clients ask one request after another, each on its own connection, through a proxy with three app roles
behind it; then one app is killed. What clients saw comes from their answers, what the proxy tried from its
events.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.middle_load import NAME
from benchmarks.protocols_load import Side, free_port, print_verdict, role
from netlab.model.roles import AppSpec, Passive, ProxySpec, Route
from netlab.pki.authority import Authority

ATTEMPTS = 1  # that may fail, of one request
_CLIENTS = 8
_SECONDS = 2.0
_KILLED_AFTER_S = 0.7


@dataclass(slots=True)
class Result:
    """Requests answered by 200, those not, failed attempts in all, and the most of one request."""

    answered: int = 0
    failed: int = 0
    attempts: int = 0
    most: int = 0


def failover() -> Result:
    """Measure."""
    authority = Authority.create("bench", datetime.now(UTC))  # noqa: TID251 - certificates of today
    with ExitStack() as stack:
        events = Path(stack.enter_context(TemporaryDirectory())) / "events.jsonl"
        ports = [free_port() for _ in range(3)]
        apps = [stack.enter_context(role("app", AppSpec(listen=port), port)) for port in ports]
        route = Route(
            upstreams=tuple(f"127.0.0.1:{port}" for port in ports),
            next_upstream=("error", "timeout"),
            passive=Passive(failures=1),
        )
        port = free_port()
        spec = ProxySpec(listen=port, names=(NAME,), http=("1.1",), routes=(route,))
        identity = authority.issue((NAME,))
        proxy = stack.enter_context(role("proxy", spec, port, events=events, identity=identity))
        result = asyncio.run(_load(proxy.port, apps[0], authority.root_pem))
        lines = [json.loads(line) for line in events.read_text().splitlines()]
    return _counted(result, lines)


async def _load(port: int, victim: Side, trust_pem: str) -> Result:
    result = Result()
    context = ssl.create_default_context(cadata=trust_pem)
    loop = asyncio.get_running_loop()
    until = loop.time() + _SECONDS
    loop.call_later(_KILLED_AFTER_S, os.kill, victim.pid, signal.SIGKILL)
    async with asyncio.timeout(_SECONDS + 20), asyncio.TaskGroup() as clients:
        for number in range(_CLIENTS):
            clients.create_task(_client(number, port, context, until, result))
    return result


async def _client(number: int, port: int, context: ssl.SSLContext, until: float, result: Result) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)
    loop = asyncio.get_running_loop()
    count = 0
    while loop.time() < until:
        count += 1
        trace = f"00-{number + 1:016x}{count:016x}-{count:016x}-01"
        writer.write(f"GET /health HTTP/1.1\r\nHost: {NAME}\r\ntraceparent: {trace}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        if head.startswith(b"HTTP/1.1 200"):
            result.answered += 1
        else:
            result.failed += 1
    writer.close()


def _counted(result: Result, events: list[dict[str, object]]) -> Result:
    """An attempt that failed is followed by another choice of an upstream for the same request."""
    chosen = Counter(
        str(one["traceparent"]).split("-")[1] for one in events if one["event"] == "upstream-chosen"
    )
    result.attempts = sum(count - 1 for count in chosen.values())
    result.most = max(chosen.values(), default=1) - 1
    return result


def main() -> None:
    """Print what was measured, beside the targets."""
    found = failover()
    print(f"{found.answered} GETs answered, {found.attempts} attempts failed, {_CLIENTS} clients at once")
    print_verdict(f"{found.failed} GETs failed", "none", met=not found.failed)
    print_verdict(
        f"{found.most} failed attempts of one request at most",
        f"at most {ATTEMPTS}",
        met=0 < found.most <= ATTEMPTS,
    )


if __name__ == "__main__":
    main()
