"""What this machine offers, found by trying it where nothing of it stays."""

from __future__ import annotations

import errno
from pathlib import Path

from netlab.errors import HostError, KernelError
from netlab.fabric import crossing, message, netem
from netlab.fabric.enter import CLONE_NEWNET, in_thread, unshare
from netlab.fabric.impair import holding
from netlab.fabric.netlink import RouteSocket
from netlab.fabric.ruleset import find_nft
from netlab.model.capabilities import Capabilities

_LO = message.LOOPBACK
_SEEDED = netem.Netem(delay_ns=1_000_000, seed=1)
_IPV6 = Path("/proc/sys/net/ipv6")


def probe() -> Capabilities:
    """Try netem in a namespace that vanishes, and look for nft and IPv6. HostError without root."""
    try:
        netem_there, seed = in_thread(_netem)
        return Capabilities(netem=netem_there, netem_seed=seed, nft=find_nft(), ipv6=_IPV6.exists())
    except KernelError as error:
        if error.errno == errno.EPERM:
            raise HostError(f"this needs root ({error})", "run it with sudo") from error
        raise


def _netem() -> tuple[bool, bool]:
    """Whether the kernel can impair a link in its middle, and whether by a seed.

    In a thread that ends here, and its namespace with it.
    """
    unshare(CLONE_NEWNET)
    route = RouteSocket()
    try:
        _try(route, message.RTM_NEWQDISC, netem.qdisc(_LO, netem.ROOT, netem.ROOT_HANDLE, _SEEDED))
        _try(route, message.RTM_NEWQDISC, crossing.ingress(_LO))
        _try(route, crossing.RTM_NEWTFILTER, crossing.redirect(_LO, _LO))
        held = holding(route, _LO, netem.ROOT)
    except KernelError as error:
        if error.errno == errno.ENOENT:
            return False, False
        raise
    finally:
        route.close()
    return True, held is not None and held.seed == _SEEDED.seed


def _try(route: RouteSocket, kind: int, body: bytes) -> None:
    route.request("try netem", kind, message.CREATE, body)
