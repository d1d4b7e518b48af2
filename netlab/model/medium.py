"""A medium: what a kind of link typically does, and the physics of its layer 1."""

from __future__ import annotations

from dataclasses import dataclass

from netlab.model.impairment import Impairment


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """`up` and `down`: what it does to frames, without the distance where that counts (`ns_per_km`).

    `line_rate_bps`: of layer 1 below its framing, where the link isn't shaped to less; a frame takes
    `extra_bytes` more there. `ns_per_km`: how long a signal takes; 0 where the delay isn't the distance's.
    `length_m`: the distance where the user says none; `reach_m`: the longest, 0 for no bound.
    `sources`: where each figure is from.
    """

    name: str
    title: str
    up: Impairment
    down: Impairment
    mtu: int = 1500
    line_rate_bps: int
    extra_bytes: int = 0
    encoding: str
    symbol: str
    ns_per_km: int = 0
    length_m: int = 0
    reach_m: int = 0
    sources: tuple[str, ...]

    def propagation_ns(self, length_m: int) -> int:
        """How long a signal takes over `length_m`."""
        return round(length_m * self.ns_per_km / 1000)

    def serialisation_ns(self, frame_bytes: int, direction: Impairment | None = None) -> int:
        """How long a frame's bits take: at the rate of `direction` where it has one, else at line rate."""
        if direction is not None and direction.rate_bps:
            return serialisation_ns(direction, frame_bytes)
        return round((frame_bytes + self.extra_bytes) * 8 * 1_000_000_000 / self.line_rate_bps)


def serialisation_ns(one: Impairment, frame_bytes: int) -> int:
    """How long a frame's bits take at the impairment's rate, in its cells; 0 without a rate."""
    if not one.rate_bps:
        return 0
    length = frame_bytes + one.rate_overhead_bytes
    if one.cell_bytes:
        length = -(-length // one.cell_bytes) * (one.cell_bytes + one.cell_overhead_bytes)
    return round(length * 8 * 1_000_000_000 / one.rate_bps)
