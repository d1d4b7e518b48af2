"""The figures of every protocol, each beside a peer on the same machine in the same call.

Peers: hypercorn on its default worker's loop (asyncio), which the targets are against, and on uvloop;
the `websockets` library; nginx, where it is installed.
"""

from __future__ import annotations

from benchmarks import (
    protocols_http1,
    protocols_http2,
    protocols_http3,
    protocols_proxy,
    protocols_websocket,
)
from benchmarks.parts import run

_PARTS = (
    ("HTTP/1.1: requests on keep-alive connections", protocols_http1),
    ("HTTP/2: requests on multiplexed connections", protocols_http2),
    ("HTTP/3: requests on multiplexed connections", protocols_http3),
    ("WebSocket: many at once, and a broadcast", protocols_websocket),
    ("One proxy hop", protocols_proxy),
)


def main() -> None:
    """All of them, in about two minutes."""
    run(_PARTS)


if __name__ == "__main__":
    main()
