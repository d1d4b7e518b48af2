"""netem's options as bytes, and back. Pure.

Layout from <linux/pkt_sched.h>: `struct tc_netem_qopt`, then attributes. Delays are given as 64-bit
nanoseconds (TCA_NETEM_LATENCY64, Linux 4.19 and later) and rates as 64-bit bytes per second, so neither
the clock ticks of 64 ns nor the 32-bit limits of the old fields round anything. What is rounded:
probabilities, to the nearest 1/(2**32 - 1), and rates, to the nearest byte per second.

Every attribute is sent every time, because a change (netem_change of net/sched/sch_netem.c) leaves alone
what is not sent. The kernel gives back all of them but the table of a distribution (TCA_NETEM_DELAY_DIST):
that one cannot be read back; the kernel has known it since 2.6.
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass, field, fields

from netlab.fabric.message import attribute, attributes, text, u32
from netlab.model import distributions
from netlab.model.impairment import FourState, GilbertElliott, Impairment

ROOT_HANDLE, CHILD_HANDLE = 0x1_0000, 0x2_0000  # 1: and 2:, as tc shows them
ROOT, CHILD = 0xFFFF_FFFF, ROOT_HANDLE | 1  # parents: of the interface, and of the first netem

_TCA_KIND, _TCA_OPTIONS = 1, 2
_CORRELATION, _TABLE, _REORDER, _CORRUPT, _LOSS, _RATE, _ECN, _RATE64 = range(1, 9)
_LATENCY64, _JITTER64, _SLOT = 10, 11, 12
_SEED = 14  # Linux 6.6 and later
_LOSS_GI, _LOSS_GE = 1, 2
_NESTED = 0x8000
_U32_MAX = 0xFFFF_FFFF
_TICK_NS = 64  # PSCHED_SHIFT 6, include/net/pkt_sched.h
_SCALE = 8192  # NETEM_DIST_SCALE: a table's unit of jitter

_tcmsg = struct.Struct("=BxxxiIII")  # family, interface index, handle, parent, info
_qopt = struct.Struct("=IIIIII")  # latency (ticks), limit (packets), loss, gap, duplicate, jitter (ticks)
_three = struct.Struct("=III")
_pair = struct.Struct("=II")
_rate = struct.Struct("=IiIi")  # bytes per second, packet overhead, cell size, cell overhead
_slot = struct.Struct("=qqiiqq")  # least and most ns, packets, bytes, and a distribution that we don't use
_gi, _ge = struct.Struct("=IIIII"), struct.Struct("=IIII")
_u64, _s64 = struct.Struct("=Q"), struct.Struct("=q")

# Every value once: what netem does without a table. To take a table away, the kernel must be given another.
UNIFORM = tuple(range(-_SCALE, _SCALE))


@dataclass(frozen=True, slots=True)
class Netem:
    """What the kernel holds: probabilities and correlations of 2**32 - 1, `rate` in bytes per second.

    `loss_model`: p13, p31, p32, p14, p23 or p, r, h, 1-k, as tc_netem_gimodel and tc_netem_gemodel have
    them. `slot`: least and most ns, packets, bytes. `table` is not compared, since it can't be read back.
    """

    delay_ns: int = 0
    jitter_ns: int = 0
    limit: int = 1000
    loss: int = 0
    loss_model: tuple[int, ...] = ()
    duplicate: int = 0
    delay_correlation: int = 0
    loss_correlation: int = 0
    duplicate_correlation: int = 0
    corrupt: int = 0
    corrupt_correlation: int = 0
    gap: int = 0
    reorder: int = 0
    reorder_correlation: int = 0
    rate: int = 0
    overhead: int = 0
    cell: int = 0
    cell_overhead: int = 0
    ecn: int = 0
    slot: tuple[int, int, int, int] = (0, 0, 0, 0)
    seed: int | None = None
    table: tuple[int, ...] = field(default=(), compare=False, repr=False)

    def differences(self, held: Netem) -> list[str]:
        """What of this the kernel does not hold, one text for each: "jitter_ns 2147483647 instead of …"."""
        wrong = []
        for one in fields(self):
            ours, theirs = getattr(self, one.name), getattr(held, one.name)
            seed = one.name == "seed" and ours is None  # then the kernel takes one of its own
            if one.compare and ours != theirs and not seed:
                wrong.append(f"{one.name} {theirs} instead of {ours}")
        return wrong


def stages(impairment: Impairment, *, split: bool = False) -> tuple[Netem, ...]:
    """One netem, or two of which the first is the line and the second, its child, the propagation.

    A single netem adds a frame's time on the line after its delay, and each frame waits for the last to
    arrive (tfifo_enqueue's time_to_send): with a rate, jitter would hold the line up, and vanish where
    frames queue. Two of them queue, serialise, then propagate, as the model says. A constant delay is the
    same either way; it is split too, so that a later change finds two. But netem refuses to duplicate
    where there are two. `split`: two in any case.
    """
    whole = _of(impairment)
    varies = impairment.jitter_ns or impairment.reorder or impairment.slot
    moves = varies or (impairment.delay_ns and not impairment.duplicate)
    if not (split or (impairment.rate_bps and moves)):
        return (whole,)
    return _line(whole), _propagation(whole)


def _line(whole: Netem) -> Netem:
    return Netem(
        limit=whole.limit,
        loss=whole.loss,
        loss_model=whole.loss_model,
        loss_correlation=whole.loss_correlation,
        duplicate=whole.duplicate,
        duplicate_correlation=whole.duplicate_correlation,
        corrupt=whole.corrupt,
        corrupt_correlation=whole.corrupt_correlation,
        rate=whole.rate,
        overhead=whole.overhead,
        cell=whole.cell,
        cell_overhead=whole.cell_overhead,
        ecn=whole.ecn,
        seed=whole.seed,
    )


def _propagation(whole: Netem) -> Netem:
    return Netem(
        whole.delay_ns,
        whole.jitter_ns,
        whole.limit,
        delay_correlation=whole.delay_correlation,
        gap=whole.gap,
        reorder=whole.reorder,
        reorder_correlation=whole.reorder_correlation,
        slot=whole.slot,
        seed=whole.seed,
        table=whole.table,
    )


def _of(impairment: Impairment) -> Netem:
    """The nearest that the kernel can hold. A rate is at least a byte per second, never unlimited."""
    slot = impairment.slot
    return Netem(
        delay_ns=impairment.delay_ns,
        jitter_ns=impairment.jitter_ns,
        limit=impairment.limit_packets,
        loss=0 if impairment.loss_model else _share(impairment.loss),
        loss_model=_model(impairment.loss_model),
        duplicate=_share(impairment.duplicate),
        delay_correlation=_share(impairment.delay_correlation),
        loss_correlation=_share(impairment.loss_correlation),
        duplicate_correlation=_share(impairment.duplicate_correlation),
        corrupt=_share(impairment.corrupt),
        corrupt_correlation=_share(impairment.corrupt_correlation),
        gap=max(1, impairment.reorder_gap) if impairment.reorder else 0,  # gap 0 would turn it off
        reorder=_share(impairment.reorder),
        reorder_correlation=_share(impairment.reorder_correlation),
        rate=max(1, round(impairment.rate_bps / 8)) if impairment.rate_bps else 0,
        overhead=impairment.rate_overhead_bytes,
        cell=impairment.cell_bytes,
        cell_overhead=impairment.cell_overhead_bytes,
        ecn=int(impairment.ecn),
        slot=(slot.min_ns, slot.max_ns, slot.packets, slot.bytes) if slot else (0, 0, 0, 0),
        seed=impairment.seed,
        table=impairment.table or _table(impairment),
    )


def _table(impairment: Impairment) -> tuple[int, ...]:
    """The named distribution's; empty where it is uniform, which netem does without one."""
    if impairment.distribution == "uniform" or not impairment.jitter_ns:
        return ()
    return distributions.table(impairment.distribution)


def _share(probability: float) -> int:
    return round(probability * _U32_MAX)


def _model(model: GilbertElliott | FourState | None) -> tuple[int, ...]:
    match model:
        case FourState(p13, p31, p32, p23, p14):
            return tuple(map(_share, (p13, p31, p32, p14, p23)))
        case GilbertElliott(p, r, bad_loss, good_loss):
            return tuple(map(_share, (p, r, 1 - bad_loss, good_loss)))
        case None:
            return ()


def qdisc(index: int, parent: int, handle: int, netem: Netem) -> bytes:
    """Body of RTM_NEWQDISC: netem as `handle` under `parent` at the interface with this index."""
    head = _tcmsg.pack(0, index, handle, parent, 0)
    return head + text(_TCA_KIND, "netem") + attribute(_TCA_OPTIONS, options(netem))


def query(index: int, parent: int) -> bytes:
    """Body of RTM_GETQDISC: what is under `parent` at the interface with this index."""
    return _tcmsg.pack(0, index, 0, parent, 0)


def options(netem: Netem) -> bytes:
    """The value of TCA_OPTIONS."""
    parts = [
        _qopt.pack(
            _ticks(netem.delay_ns),
            netem.limit,
            netem.loss,
            netem.gap,
            netem.duplicate,
            _ticks(netem.jitter_ns),
        ),
        attribute(_LATENCY64, _s64.pack(netem.delay_ns)),
        attribute(_JITTER64, _s64.pack(netem.jitter_ns)),
        attribute(
            _CORRELATION,
            _three.pack(netem.delay_correlation, netem.loss_correlation, netem.duplicate_correlation),
        ),
        attribute(_REORDER, _pair.pack(netem.reorder, netem.reorder_correlation)),
        attribute(_CORRUPT, _pair.pack(netem.corrupt, netem.corrupt_correlation)),
        attribute(
            _RATE, _rate.pack(min(netem.rate, _U32_MAX), netem.overhead, netem.cell, netem.cell_overhead)
        ),
        u32(_ECN, netem.ecn),
        attribute(_SLOT, _slot.pack(*netem.slot, 0, 0)),
    ]
    if netem.rate > _U32_MAX:
        parts.append(attribute(_RATE64, _u64.pack(netem.rate)))
    if netem.loss_model:  # the kernel goes back to random loss where there is none
        kind, layout = (_LOSS_GI, _gi) if len(netem.loss_model) == 5 else (_LOSS_GE, _ge)
        parts.append(attribute(_LOSS | _NESTED, attribute(kind, layout.pack(*netem.loss_model))))
    if netem.table:
        parts.append(attribute(_TABLE, struct.pack(f"={len(netem.table)}h", *netem.table)))
    if netem.seed is not None:
        parts.append(attribute(_SEED, _u64.pack(netem.seed)))
    return b"".join(parts)


def parse(message: bytes) -> Netem | None:
    """What a qdisc message from the kernel (its body) holds; None where it is another qdisc.

    Zero stands for what the message has no attribute for.
    """
    found = attributes(message[_tcmsg.size :])
    if found.get(_TCA_KIND, b"").rstrip(b"\0") != b"netem":
        return None
    data = found[_TCA_OPTIONS]
    latency, limit, loss, gap, duplicate, jitter = _qopt.unpack_from(data)
    more = attributes(data[_qopt.size :])
    correlations = _three.unpack(more.get(_CORRELATION, bytes(_three.size)))
    reorder = _pair.unpack(more.get(_REORDER, bytes(_pair.size)))
    corrupt = _pair.unpack(more.get(_CORRUPT, bytes(_pair.size)))
    rate = _rate.unpack(more.get(_RATE, bytes(_rate.size)))
    slot = _slot.unpack(more.get(_SLOT, bytes(_slot.size)))
    return Netem(
        delay_ns=_number(more, _LATENCY64, _s64, latency * _TICK_NS),
        jitter_ns=_number(more, _JITTER64, _s64, jitter * _TICK_NS),
        limit=limit,
        loss=loss,
        loss_model=_parse_model(more.get(_LOSS, b"")),
        duplicate=duplicate,
        delay_correlation=correlations[0],
        loss_correlation=correlations[1],
        duplicate_correlation=correlations[2],
        corrupt=corrupt[0],
        corrupt_correlation=corrupt[1],
        gap=gap,
        reorder=reorder[0],
        reorder_correlation=reorder[1],
        rate=_number(more, _RATE64, _u64, rate[0]),
        overhead=rate[1],
        cell=rate[2],
        cell_overhead=rate[3],
        ecn=int.from_bytes(more.get(_ECN, b""), sys.byteorder),
        slot=slot[:4],
        seed=_u64.unpack(more[_SEED])[0] if _SEED in more else None,
    )


def _number(found: dict[int, bytes], kind: int, layout: struct.Struct, otherwise: int) -> int:
    return int(layout.unpack(found[kind])[0]) if kind in found else otherwise


def _parse_model(data: bytes) -> tuple[int, ...]:
    found = attributes(data)
    if _LOSS_GI in found:
        return _gi.unpack(found[_LOSS_GI])
    return _ge.unpack(found[_LOSS_GE]) if _LOSS_GE in found else ()


def _ticks(ns: int) -> int:
    return min(ns // _TICK_NS, _U32_MAX)
