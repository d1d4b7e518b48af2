"""A cross-connect as bytes, as <linux/pkt_cls.h> and <linux/tc_act/tc_mirred.h> lay them out."""

from __future__ import annotations

import sys

import pytest

from netlab.fabric import crossing

LITTLE = pytest.mark.skipif(sys.byteorder != "little", reason="the bytes are of a little-endian machine")


@LITTLE
def test_the_ingress_qdisc() -> None:
    expected = "00000000 21000000 0000ffff f1ffffff 00000000 0c000100 696e6772657373 00"
    assert crossing.ingress(33) == bytes.fromhex(expected)


@LITTLE
def test_the_redirection_of_everything() -> None:
    expected = (
        "00000000 20000000 00000000 0000ffff 00030100"  # index 32, ffff:, priority 1 and ETH_P_ALL
        "08000100 75333200"  # TCA_KIND u32
        "50000280"  # TCA_OPTIONS
        "14000500 01000000 00000000 00000000 00000000"  # TCA_U32_SEL: terminal, no keys
        "38000780 34000180"  # TCA_U32_ACT, the first action
        "0b000100 6d6972726564 0000"  # TCA_ACT_KIND mirred
        "24000280 20000200"  # TCA_ACT_OPTIONS, TCA_MIRRED_PARMS
        "00000000 00000000 04000000 00000000 00000000 01000000 21000000"  # stolen, out of index 33
    )
    assert crossing.redirect(32, 33).hex() == bytes.fromhex(expected).hex()
