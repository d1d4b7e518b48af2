"""netem's options as bytes, and back. Pure.

Layout from <linux/pkt_sched.h>: `struct tc_netem_qopt`, then attributes. Delays are given as 64-bit
nanoseconds (TCA_NETEM_LATENCY64, Linux 4.19 and later) and rates as 64-bit bytes per second, so neither
the clock ticks of 64 ns nor the 32-bit limits of the old fields round anything.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from netlab.fabric.message import attribute, attributes, text
from netlab.model.impairment import Impairment

_TC_H_ROOT = 0xFFFF_FFFF
_TCA_KIND, _TCA_OPTIONS = 1, 2
_RATE, _RATE64, _LATENCY64, _JITTER64 = 6, 8, 10, 11
_U32_MAX = 0xFFFF_FFFF
_TICK_NS = 64  # PSCHED_SHIFT 6, include/net/pkt_sched.h

_tcmsg = struct.Struct("=BxxxiIII")  # family, interface index, handle, parent, info
_qopt = struct.Struct("=IIIIII")  # latency (ticks), limit (packets), loss, gap, duplicate, jitter (ticks)
_rate = struct.Struct("=IiIi")  # bytes per second, packet overhead, cell size, cell overhead
_u64 = struct.Struct("=Q")
_s64 = struct.Struct("=q")


class Netem(NamedTuple):
    """What the kernel holds: `loss` of 2**32 - 1, `rate` in bytes per second (0: unlimited)."""

    delay_ns: int
    jitter_ns: int
    loss: int
    rate: int
    limit: int

    @classmethod
    def of(cls, impairment: Impairment) -> Netem:
        """The nearest that the kernel can hold. A rate is at least a byte per second, never unlimited."""
        return cls(
            impairment.delay_ns,
            impairment.jitter_ns,
            round(impairment.loss * _U32_MAX),
            max(1, round(impairment.rate_bps / 8)) if impairment.rate_bps else 0,
            impairment.limit_packets,
        )

    def __str__(self) -> str:
        return (
            f"delay {self.delay_ns} ns, jitter {self.jitter_ns} ns, loss {self.loss / _U32_MAX:.6%}, "
            f"rate {self.rate * 8} bit/s, limit {self.limit} packets"
        )


def qdisc(index: int, netem: Netem) -> bytes:
    """Body of RTM_NEWQDISC: netem at the root of the interface with this index."""
    head = _tcmsg.pack(0, index, 0, _TC_H_ROOT, 0)
    return head + text(_TCA_KIND, "netem") + attribute(_TCA_OPTIONS, options(netem))


def query(index: int) -> bytes:
    """Body of RTM_GETQDISC: the root of the interface with this index."""
    return _tcmsg.pack(0, index, 0, _TC_H_ROOT, 0)


def options(netem: Netem) -> bytes:
    """The value of TCA_OPTIONS."""
    parts = [
        _qopt.pack(_ticks(netem.delay_ns), netem.limit, netem.loss, 0, 0, _ticks(netem.jitter_ns)),
        attribute(_LATENCY64, _s64.pack(netem.delay_ns)),
        attribute(_JITTER64, _s64.pack(netem.jitter_ns)),
    ]
    if netem.rate:
        if netem.rate > _U32_MAX:
            parts.append(attribute(_RATE64, _u64.pack(netem.rate)))
        parts.append(attribute(_RATE, _rate.pack(min(netem.rate, _U32_MAX), 0, 0, 0)))
    return b"".join(parts)


def parse(message: bytes) -> Netem | None:
    """What a qdisc message from the kernel (its body) holds; None where it is another qdisc."""
    found = attributes(message[_tcmsg.size :])
    if found.get(_TCA_KIND, b"").rstrip(b"\0") != b"netem":
        return None
    data = found[_TCA_OPTIONS]
    latency, limit, loss, _, _, jitter = _qopt.unpack_from(data)
    more = attributes(data[_qopt.size :])
    rate = _rate.unpack_from(more[_RATE])[0] if _RATE in more else 0
    return Netem(
        _s64.unpack(more[_LATENCY64])[0] if _LATENCY64 in more else latency * _TICK_NS,
        _s64.unpack(more[_JITTER64])[0] if _JITTER64 in more else jitter * _TICK_NS,
        loss,
        _u64.unpack(more[_RATE64])[0] if _RATE64 in more else rate,
        limit,
    )


def _ticks(ns: int) -> int:
    return min(ns // _TICK_NS, _U32_MAX)
