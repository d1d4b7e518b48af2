"""What this machine offers, found by trying it where nothing of it stays."""

from __future__ import annotations

import errno
from pathlib import Path

from netlab.errors import HostError, KernelError
from netlab.fabric import message, netem
from netlab.fabric.enter import CLONE_NEWNET, in_thread, unshare
from netlab.fabric.netlink import RouteSocket
from netlab.fabric.ruleset import find_nft
from netlab.model.capabilities import Capabilities

_IPV6 = Path("/proc/sys/net/ipv6")


def probe() -> Capabilities:
    """Try netem in a namespace that vanishes, and look for nft and IPv6. HostError without root."""
    try:
        return Capabilities(netem=in_thread(_has_netem), nft=find_nft(), ipv6=_IPV6.exists())
    except KernelError as error:
        if error.errno == errno.EPERM:
            raise HostError(f"this needs root ({error})", "run it with sudo") from error
        raise


def _has_netem() -> bool:
    """In a thread that ends here, and its namespace with it."""
    unshare(CLONE_NEWNET)
    route = RouteSocket()
    try:
        body = netem.qdisc(message.LOOPBACK, netem.ROOT, netem.ROOT_HANDLE, netem.Netem(delay_ns=1_000_000))
        route.request("try netem", message.RTM_NEWQDISC, message.CREATE, body)
    except KernelError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    finally:
        route.close()
    return True
