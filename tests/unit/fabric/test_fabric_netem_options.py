"""netem's options: bytes as <linux/pkt_sched.h> lays them out, and back."""

from __future__ import annotations

import struct
import sys
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.fabric import netem
from netlab.fabric.message import attribute, text
from netlab.fabric.netem import Netem
from netlab.model.impairment import FourState, GilbertElliott, Impairment, Slot

LITTLE = pytest.mark.skipif(sys.byteorder != "little", reason="the bytes are of a little-endian machine")


def one(impairment: Impairment) -> Netem:
    (netem_,) = netem.stages(impairment)
    return netem_


@LITTLE
def test_the_bytes_of_every_option() -> None:
    expected = (
        "b4c40400",  # latency: 20 ms in ticks of 64 ns = 312,500
        "64000000",  # limit
        "00000080",  # loss: half of 2**32 - 1, rounded to even
        "05000000",  # gap
        "ffffff3f",  # duplicate
        "093d0000",  # jitter: 15,625 ticks
        "0c000a00 002d3101 00000000",  # TCA_NETEM_LATENCY64: 20,000,000
        "0c000b00 40420f00 00000000",  # TCA_NETEM_JITTER64: 1,000,000
        "10000100 00000080 00000000 ffffffff",  # TCA_NETEM_CORR: delay, loss, duplicates
        "0c000300 ffffffff 00000080",  # TCA_NETEM_REORDER: probability, correlation
        "0c000400 00000080 ffffffff",  # TCA_NETEM_CORRUPT
        "14000600 d0121300 ecffffff 35000000 05000000",  # TCA_NETEM_RATE: byte/s, -20, 53, 5
        "08000700 01000000",  # TCA_NETEM_ECN
        "2c000c00 e8030000 00000000 d0070000 00000000 08000000 b80b0000 " + "00" * 16,  # TCA_NETEM_SLOT
        "08000200 0080ff7f",  # TCA_NETEM_DELAY_DIST: -32768, 32767
        "0c000e00 07000000 00000000",  # TCA_NETEM_PRNG_SEED
    )
    everything = Netem(
        20_000_000,
        1_000_000,
        100,
        loss=0x8000_0000,
        duplicate=0x3FFF_FFFF,
        delay_correlation=0x8000_0000,
        duplicate_correlation=0xFFFF_FFFF,
        gap=5,
        reorder=0xFFFF_FFFF,
        reorder_correlation=0x8000_0000,
        corrupt=0x8000_0000,
        corrupt_correlation=0xFFFF_FFFF,
        rate=1_250_000,
        overhead=-20,
        cell=53,
        cell_overhead=5,
        ecn=1,
        slot=(1000, 2000, 8, 3000),
        table=(-32768, 32767),
        seed=7,
    )
    assert netem.options(everything) == b"".join(bytes.fromhex(text) for text in expected)


@LITTLE
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        # TCA_NETEM_LOSS, nested; NETEM_LOSS_GI: p13, p31, p32, p14, p23
        (
            FourState(1.0, 0.0, 1.0, 0.0, 1.0),
            "1c000580 18000100 ffffffff 00000000" + "ff" * 8 + "00" * 4,
        ),
        # NETEM_LOSS_GE: p, r, h = 1 - the loss in the bad state, 1-k = the loss in the good one
        (GilbertElliott(1.0, 0.0, 1.0, 0.0), "18000580 14000200 ffffffff 00000000 00000000 00000000"),
        (GilbertElliott(0.0, 1.0, 0.0, 1.0), "18000580 14000200 00000000 ffffffff ffffffff ffffffff"),
    ],
)
def test_the_bytes_of_loss_models(model: FourState | GilbertElliott, expected: str) -> None:
    wanted = one(Impairment(loss=0.3, loss_model=model))
    assert netem.options(wanted).endswith(bytes.fromhex(expected))
    assert wanted.loss == 0  # the model takes its place


@LITTLE
def test_the_whole_message() -> None:
    body = netem.qdisc(7, netem.CHILD, netem.CHILD_HANDLE, Netem())
    assert body[:20].hex(" ", 4) == "00000000 07000000 00000200 01000100 00000000"
    assert body[20:32] == b"\x0a\x00\x01\x00netem\x00\x00\x00"
    assert struct.unpack_from("<HH", body, 32) == (len(body) - 32, 2)


SHARES = st.floats(0, 1)
MODELS = st.builds(GilbertElliott, SHARES, SHARES, SHARES, SHARES) | st.builds(
    FourState, SHARES, SHARES, SHARES, SHARES, SHARES
)
IMPAIRMENTS = st.builds(
    Impairment,
    delay_ns=st.integers(0, 1 << 50),
    jitter_ns=st.integers(0, (1 << 31) - 1),
    loss=SHARES,
    rate_bps=st.integers(0, 10**12),
    limit_packets=st.integers(1, (1 << 32) - 1),
    delay_correlation=SHARES,
    loss_model=st.none() | MODELS,
    duplicate=SHARES,
    corrupt=SHARES,
    reorder=SHARES,
    reorder_gap=st.integers(0, 1000),
    rate_overhead_bytes=st.integers(-1000, 1000),
    cell_bytes=st.integers(0, 10_000),
    slot=st.none() | st.builds(Slot, st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(0, 9)),
    ecn=st.booleans(),
    seed=st.none() | st.integers(0, (1 << 64) - 1),
)


@given(IMPAIRMENTS)
def test_what_is_encoded_is_read_back(impairment: Impairment) -> None:
    for stage in netem.stages(impairment):
        held = netem.parse(netem.qdisc(7, netem.ROOT, netem.ROOT_HANDLE, stage))
        assert held == stage


@given(IMPAIRMENTS)
def test_two_stages_share_out_the_whole(impairment: Impairment) -> None:
    """What the line does and what the propagation does is what was asked, each once."""
    line, propagation = netem.stages(impairment, split=True)
    whole = netem._of(impairment)
    for field in fields(Netem):
        both = {getattr(line, field.name), getattr(propagation, field.name)}
        assert getattr(whole, field.name) in both, field.name
        assert both <= {getattr(whole, field.name), getattr(Netem(), field.name)}, field.name


@pytest.mark.parametrize(
    ("impairment", "count"),
    [
        (Impairment(delay_ns=5, jitter_ns=3, reorder=0.5), 1),
        (Impairment(rate_bps=80), 1),
        (Impairment(rate_bps=80, delay_ns=5), 2),
        (Impairment(rate_bps=80, delay_ns=5, jitter_ns=3), 2),
        (Impairment(rate_bps=80, delay_ns=5, duplicate=0.1), 1),  # the same in one, and two can't duplicate
        (Impairment(rate_bps=80, delay_ns=5, jitter_ns=3, duplicate=0.1), 2),  # the kernel will refuse
    ],
)
def test_a_line_and_its_propagation_are_two(impairment: Impairment, count: int) -> None:
    assert len(netem.stages(impairment)) == count


def test_the_smallest_rate_is_not_unlimited() -> None:
    assert one(Impairment(rate_bps=1)).rate == 1


def test_reorder_needs_a_gap_and_has_none_without() -> None:
    assert one(Impairment(delay_ns=9, reorder=0.5)).gap == 1
    assert one(Impairment(delay_ns=9, reorder_gap=4)).gap == 0


def test_an_old_kernels_answer_has_only_ticks() -> None:
    options = struct.pack("=IIIIII", 312_500, 1000, 0, 0, 0, 15_625)
    message = struct.pack("=BxxxiIII", 0, 7, 0, 0xFFFFFFFF, 0) + text(1, "netem") + attribute(2, options)
    assert netem.parse(message) == Netem(20_000_000, 1_000_000)


def test_another_qdisc_is_none() -> None:
    message = struct.pack("=BxxxiIII", 0, 7, 0, 0xFFFFFFFF, 0) + text(1, "noqueue")
    assert netem.parse(message) is None


def test_what_the_kernel_does_not_hold_is_named() -> None:
    wanted, held = Netem(delay_ns=5, jitter_ns=7, ecn=1), Netem(delay_ns=5, jitter_ns=6, seed=99)
    assert wanted.differences(held) == ["jitter_ns 6 instead of 7", "ecn 0 instead of 1"]
    assert replace(wanted, table=(1, 2)).differences(wanted) == []
