"""The middle tier's figures: the CDN's hits, the layer 4 balancer, failover; each beside its peers."""

from __future__ import annotations

from benchmarks import middle_balancer, middle_cdn, middle_failover
from benchmarks.parts import run

_PARTS = (
    ("CDN: hits over TLS and HTTP/1.1, keep-alive", middle_cdn),
    ("Balancer, layer 4: bulk throughput and added latency", middle_balancer),
    ("Failover by passive check", middle_failover),
)


def main() -> None:
    """All of them, in about a minute."""
    run(_PARTS)


if __name__ == "__main__":
    main()
