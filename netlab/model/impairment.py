"""What a link does to frames in one direction, in tc-netem's vocabulary."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Impairment:
    """One direction of a link. The zero value is a perfect wire.

    A frame is queued (at most `limit_packets`, the rest dropped at the tail), lost with probability
    `loss` (0 to 1; a lost frame takes no time on the line), serialised at `rate_bps` (frame length as
    on the interface, without preamble, FCS and gap; 0: unlimited), then delayed by `delay_ns` plus a
    uniform jitter within ± `jitter_ns`. Jitter may reorder frames, as in netem.
    """

    delay_ns: int = 0
    jitter_ns: int = 0
    loss: float = 0.0
    rate_bps: int = 0
    limit_packets: int = 1000

    @property
    def perfect(self) -> bool:
        """True where a plain veth does the same."""
        return not (self.delay_ns or self.jitter_ns or self.loss or self.rate_bps)
