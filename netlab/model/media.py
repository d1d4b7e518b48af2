"""Media: named link profiles, with the layer 1 facts that views show.

A figure is what an unloaded link of that kind typically does, one way; `source` says where it is from.
A link may override any of it. Rates are given as the user's end sees them: `up` is from the first end
of a link to the second, so write the user's end first.
"""

from __future__ import annotations

from dataclasses import dataclass

from netlab.model.impairment import Impairment

_MS = 1_000_000
_US = 1_000
_MBIT = 1_000_000
_GBIT = 1_000_000_000

DEFAULT = "ethernet-1g"


@dataclass(frozen=True, slots=True)
class Medium:
    """`line_rate_bps` is the signalling rate of layer 1 where the link itself isn't shaped to it."""

    name: str
    title: str
    up: Impairment
    down: Impairment
    mtu: int
    line_rate_bps: int
    encoding: str
    symbol: str
    source: str


def _symmetric(delay_ns: int = 0, jitter_ns: int = 0, rate_bps: int = 0) -> tuple[Impairment, Impairment]:
    one = Impairment(delay_ns=delay_ns, jitter_ns=jitter_ns, rate_bps=rate_bps)
    return one, one


def _access(delay_ns: int, jitter_ns: int, up_bps: int, down_bps: int) -> tuple[Impairment, Impairment]:
    return (
        Impairment(delay_ns=delay_ns, jitter_ns=jitter_ns, rate_bps=up_bps),
        Impairment(delay_ns=delay_ns, jitter_ns=jitter_ns, rate_bps=down_bps),
    )


media: dict[str, Medium] = {
    medium.name: medium
    for medium in (
        Medium(
            "ethernet-1g",
            "Gigabit Ethernet, 1000BASE-T",
            *_symmetric(),
            1500,
            _GBIT,
            "4D-PAM5 at 125 Mbaud on four pairs",
            "voltage on twisted pair (Cat 5e or better)",
            "IEEE 802.3-2022 clause 40; left unshaped: 100 m of cable are 0.5 us, below what a veth adds",
        ),
        Medium(
            "ethernet-100m",
            "Fast Ethernet, 100BASE-TX",
            *_symmetric(rate_bps=100 * _MBIT),
            1500,
            100 * _MBIT,
            "4B5B and MLT-3 at 125 Mbaud",
            "voltage on twisted pair (Cat 5)",
            "IEEE 802.3-2022 clauses 24 and 25",
        ),
        Medium(
            "wifi-6",
            "Wi-Fi 6, 802.11ax, 80 MHz, two streams, near the access point",
            *_symmetric(1 * _MS, 500 * _US, 600 * _MBIT),
            1500,
            1_201 * _MBIT,
            "OFDMA, up to 1024-QAM",
            "radio at 5 GHz",
            "IEEE 802.11ax-2021 table 27-111 (1,201 Mbit/s PHY rate); about half of it is left above the MAC",
        ),
        Medium(
            "fiber",
            "Fibre to the home, XGS-PON, a 1 Gbit/s product",
            *_symmetric(1 * _MS, 100 * _US, _GBIT),
            1500,
            9_953_280_000,
            "NRZ, TDMA upstream",
            "light at 1270 nm up and 1577 nm down in single-mode fibre",
            "ITU-T G.9807.1 (line rate; a 20 km reach is 0.1 ms of light, upstream grants add the rest)",
        ),
        Medium(
            "dsl",
            "VDSL2 with vectoring, profile 17a, a 100/40 Mbit/s product",
            *_access(8 * _MS, 500 * _US, 40 * _MBIT, 100 * _MBIT),
            1492,
            150 * _MBIT,
            "DMT, up to 15 bit a tone, trellis code",
            "voltage on a telephone pair, up to 17.7 MHz",
            "ITU-T G.993.2 and G.998.4 (interleaving or retransmission: 8 ms); PPPoE MTU: RFC 2516 section 7",
        ),
        Medium(
            "cable",
            "Cable, DOCSIS 3.1",
            *_access(10 * _MS, 3 * _MS, 50 * _MBIT, _GBIT),
            1500,
            10 * _GBIT,
            "OFDM, up to 4096-QAM down; OFDMA up",
            "radio frequency in coaxial cable, to 1.2 GHz",
            "CableLabs CM-SP-PHYv3.1; request and grant cycles of 2 ms and more upstream",
        ),
        Medium(
            "lte",
            "LTE, 20 MHz, category 6",
            *_access(20 * _MS, 5 * _MS, 20 * _MBIT, 80 * _MBIT),
            1500,
            300 * _MBIT,
            "OFDMA down, SC-FDMA up, up to 64-QAM",
            "radio at 0.7 to 2.6 GHz",
            "3GPP TS 36.306 table 4.1-1 (peak); TR 25.913 section 6.2 and field reports: 40 ms of round trip",
        ),
        Medium(
            "5g",
            "5G NR, 100 MHz at 3.5 GHz, stand-alone",
            *_access(8 * _MS, 2 * _MS, 75 * _MBIT, 500 * _MBIT),
            1500,
            1_500 * _MBIT,
            "OFDM, up to 256-QAM",
            "radio at 3.5 GHz",
            "3GPP TS 38.306 section 4.1.2 (peak); ITU-R M.2410 (4 ms in the radio part); the core adds",
        ),
        Medium(
            "satellite",
            "Geostationary satellite",
            *_access(280 * _MS, 10 * _MS, 3 * _MBIT, 25 * _MBIT),
            1500,
            50 * _MBIT,
            "APSK (DVB-S2X)",
            "radio at 11 to 30 GHz",
            "two legs of 35,786 km at the speed of light are 239 ms (RFC 2488 section 2); framing adds 40 ms",
        ),
    )
}
