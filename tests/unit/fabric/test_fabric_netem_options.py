"""netem's options: bytes as <linux/pkt_sched.h> lays them out, and back."""

from __future__ import annotations

import struct
import sys

import pytest

from netlab.fabric import netem
from netlab.fabric.message import attribute, text
from netlab.fabric.netem import Netem
from netlab.model.impairment import Impairment

LITTLE = pytest.mark.skipif(sys.byteorder != "little", reason="the bytes are of a little-endian machine")


@LITTLE
def test_the_bytes_of_delay_jitter_loss_and_rate() -> None:
    impairment = Impairment(20_000_000, 1_000_000, 0.5, 10_000_000, 100)
    expected = (
        "b4c40400",  # latency: 20 ms in ticks of 64 ns = 312,500
        "64000000",  # limit
        "00000080",  # loss: half of 2**32 - 1, rounded to even
        "00000000",  # gap
        "00000000",  # duplicate
        "093d0000",  # jitter: 15,625 ticks
        "0c000a00 002d3101 00000000",  # TCA_NETEM_LATENCY64: 20,000,000
        "0c000b00 40420f00 00000000",  # TCA_NETEM_JITTER64: 1,000,000
        "14000600 d0121300 00000000 00000000 00000000",  # TCA_NETEM_RATE: 1,250,000 byte/s
    )
    assert netem.options(Netem.of(impairment)) == b"".join(bytes.fromhex(text) for text in expected)


@LITTLE
def test_the_whole_message() -> None:
    body = netem.qdisc(7, Netem.of(Impairment()))
    assert body[:20].hex(" ", 4) == "00000000 07000000 00000000 ffffffff 00000000"
    assert body[20:32] == b"\x0a\x00\x01\x00netem\x00\x00\x00"
    assert struct.unpack_from("<HH", body, 32) == (len(body) - 32, 2)


@pytest.mark.parametrize(
    "impairment",
    [
        Impairment(),
        Impairment(delay_ns=20_000_000),
        Impairment(delay_ns=1),
        Impairment(delay_ns=400_000_000_000, jitter_ns=300_000_000_000),  # past 32 bits of ticks
        Impairment(loss=0.001),
        Impairment(loss=1.0),
        Impairment(rate_bps=8),
        Impairment(rate_bps=100_000_000),
        Impairment(rate_bps=100_000_000_000),  # past 32 bits of bytes per second
        Impairment(20_000_000, 1_000_000, 0.01, 10_000_000, 50),
    ],
)
def test_what_is_encoded_is_read_back(impairment: Impairment) -> None:
    wanted = Netem.of(impairment)
    held = netem.parse(netem.qdisc(7, wanted))
    assert held == wanted
    assert held is not None
    assert (held.delay_ns, held.jitter_ns) == (impairment.delay_ns, impairment.jitter_ns)
    assert held.rate * 8 == impairment.rate_bps
    assert held.loss / (2**32 - 1) == pytest.approx(impairment.loss, abs=1e-9)
    assert held.limit == impairment.limit_packets


def test_the_smallest_rate_is_not_unlimited() -> None:
    assert Netem.of(Impairment(rate_bps=1)).rate == 1


def test_an_old_kernels_answer_has_only_ticks() -> None:
    options = struct.pack("=IIIIII", 312_500, 1000, 0, 0, 0, 15_625)
    message = struct.pack("=BxxxiIII", 0, 7, 0, 0xFFFFFFFF, 0) + text(1, "netem") + attribute(2, options)
    assert netem.parse(message) == Netem(20_000_000, 1_000_000, 0, 0, 1000)


def test_another_qdisc_is_none() -> None:
    message = struct.pack("=BxxxiIII", 0, 7, 0, 0xFFFFFFFF, 0) + text(1, "noqueue")
    assert netem.parse(message) is None


def test_an_error_can_say_it_in_words() -> None:
    assert str(Netem.of(Impairment(1_000, 10, 0.5, 80, 5))) == (
        "delay 1000 ns, jitter 10 ns, loss 50.000000%, rate 80 bit/s, limit 5 packets"
    )
