"""What a machine offers, as `doctor` shows it and the plan needs it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`netem`: the kernel has sch_netem, and what puts it in the middle of a link (sch_ingress, cls_u32,
    act_mirred). `netem_seed`: its netem takes a seed (Linux 6.6 and later).

    `nft`: the path of the nft program, empty if there is none. `ipv6`: the kernel has IPv6 (its sysctls).
    """

    netem: bool
    netem_seed: bool = True
    nft: str = "/usr/sbin/nft"
    ipv6: bool = True
