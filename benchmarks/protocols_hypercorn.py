"""The peer of the benchmarks: hypercorn with the app role's answer to GET /health, over any version; /cached
may be stored. Arguments: port, loop (asyncio, uvloop), and a certificate and key for TLS and QUIC."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

_BODY = b'{"status":"ok"}'
_HEADERS = [
    (b"Content-Type", b"application/json"),
    (b"Cache-Control", b"no-store"),
    (b"ETag", b'"a29ee2b15c494311c52521766e44af56a3ad2248"'),
    (b"Content-Length", str(len(_BODY)).encode()),
]
_STORABLE = [
    (b"Cache-Control", b"max-age=3600") if name == b"Cache-Control" else (name, value)
    for name, value in _HEADERS
]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An ASGI application."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    headers = _STORABLE if scope["path"] == "/cached" else _HEADERS
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})


async def _lifespan(receive: Any, send: Any) -> None:
    for kind in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{kind}.complete"})


def main() -> None:
    """Serve until SIGTERM."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    port, loop, *files = sys.argv[1:]
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.include_server_header = False
    config.accesslog = None
    config.loglevel = "WARNING"
    config.keep_alive_max_requests = 10**9  # it would say GOAWAY after 1000
    if files:
        config.certfile, config.keyfile = files
        config.quic_bind = config.bind
    serving = serve(app, config)  # type: ignore[arg-type]
    if loop == "uvloop":
        import uvloop

        uvloop.run(serving)
    else:
        asyncio.run(serving)


if __name__ == "__main__":
    main()
