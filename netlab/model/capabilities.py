"""What a machine offers, as `doctor` shows it and the plan needs it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`netem`: the kernel has sch_netem. `nft`: the path of the nft program, empty if there is none.

    `ipv6`: the kernel has IPv6 (its sysctls exist).
    """

    netem: bool
    nft: str = "/usr/sbin/nft"
    ipv6: bool = True
