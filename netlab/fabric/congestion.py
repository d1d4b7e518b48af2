"""Which congestion control a node's connections use.

The sysctl takes, outside of the host's own namespace, only what the host allows for all
(net.ipv4.tcp_allowed_congestion_control); a route's attribute (RTAX_CC_ALGO, ip-route(8) `congctl`) takes
all that the kernel has. So this sets it on routes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from netlab.errors import InputError
from netlab.fabric.enter import enter, in_thread

_MAIN = 254
_AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


def control_routes(namespace: int, algorithm: str) -> None:
    """Connections that go by a router of this namespace, and are made from now on, use `algorithm`; ""
    takes it off again. IPv4 and IPv6.

    Raises InputError where the kernel has no such algorithm, KernelError where it can't be entered.
    """
    known = _AVAILABLE.read_text(encoding="ascii").split()
    if algorithm and algorithm not in known:
        raise InputError(f"this kernel has no congestion control {algorithm!r}", f"it has {', '.join(known)}")
    in_thread(lambda: _replace(namespace, algorithm))


def _replace(namespace: int, algorithm: str) -> None:
    from pyroute2 import IPRoute  # slow to import, and only some scenarios need it

    enter(namespace)
    with IPRoute() as routes:
        for route in routes.get_routes(table=_MAIN):
            if route.get_attr("RTA_GATEWAY") is not None:
                routes.route("replace", **_again(route, algorithm))


def _again(route: Any, algorithm: str) -> dict[str, Any]:
    """The same route, with the algorithm or without one."""
    destination = route.get_attr("RTA_DST")
    found: dict[str, Any] = {
        "family": route["family"],
        "dst": f"{destination}/{route['dst_len']}" if destination else "default",
        "gateway": route.get_attr("RTA_GATEWAY"),
        "oif": route.get_attr("RTA_OIF"),
        "proto": route["proto"],
    }
    if route.get_attr("RTA_PRIORITY") is not None:
        found["priority"] = route.get_attr("RTA_PRIORITY")
    if algorithm:
        found["metrics"] = {"cc_algo": algorithm}
    return found
