"""The figures of every protocol, each beside a peer on the same machine in the same call.

Peers: hypercorn on its default worker's loop (asyncio), which the targets are against, and on uvloop;
the `websockets` library; nginx, where it is installed.
"""

from __future__ import annotations

import os

from benchmarks import (
    protocols_http1,
    protocols_http2,
    protocols_http3,
    protocols_proxy,
    protocols_websocket,
)

_PARTS = (
    ("HTTP/1.1: requests on keep-alive connections", protocols_http1),
    ("HTTP/2: requests on multiplexed connections", protocols_http2),
    ("HTTP/3: requests on multiplexed connections", protocols_http3),
    ("WebSocket: many at once, and a broadcast", protocols_websocket),
    ("One proxy hop", protocols_proxy),
)


def main() -> None:
    """All of them, in about two minutes."""
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores; load average before: {', '.join(f'{one:.2f}' for one in os.getloadavg())}")
    for title, module in _PARTS:
        print(f"\n{title}", flush=True)
        module.main()


if __name__ == "__main__":
    main()
