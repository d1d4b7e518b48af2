"""Media: named link profiles, with a source for each figure.

A figure is what an unloaded link of that kind typically does, one way. A link may override any of it.
Rates are given as the user's end sees them: `up` is from the first end of a link to the second, so write
the user's end first. Where no standard or measurement gives a figure, it says `assumed` and from what.
"""

from __future__ import annotations

from netlab.model.impairment import Impairment
from netlab.model.medium import Medium

_MS = 1_000_000
_US = 1_000
_MBIT = 1_000_000
_GBIT = 1_000_000_000

DEFAULT = "ethernet-1g"

_UNSHAPED = Impairment()
_ETHERNET_EXTRA = 8 + 4 + 12  # preamble and start delimiter, frame check sequence, gap (IEEE 802.3, 3.1)


def _air(delay_ns: int, jitter_ns: int, rate_bps: int) -> Impairment:
    return Impairment(delay_ns=delay_ns, jitter_ns=jitter_ns, rate_bps=rate_bps)


media: dict[str, Medium] = {
    medium.name: medium
    for medium in (
        Medium(
            name="ethernet-100m",
            title="Fast Ethernet, 100BASE-TX",
            up=Impairment(rate_bps=100 * _MBIT),
            down=Impairment(rate_bps=100 * _MBIT),
            line_rate_bps=100 * _MBIT,
            encoding="4B5B and MLT-3 at 125 Mbaud",
            symbol="voltage on twisted pair (Cat 5)",
            ns_per_km=5_560,
            extra_bytes=_ETHERNET_EXTRA,
            reach_m=100,
            sources=(
                "rate, encoding: IEEE 802.3-2022 clauses 24 and 25",
                "propagation: IEEE 802.3-2022 clause 29, category 5: 1.112 bit times a metre, both ways",
            ),
        ),
        Medium(
            name="ethernet-1g",
            title="Gigabit Ethernet, 1000BASE-T",
            up=_UNSHAPED,
            down=_UNSHAPED,
            line_rate_bps=_GBIT,
            encoding="4D-PAM5 at 125 Mbaud on four pairs",
            symbol="voltage on twisted pair (Cat 5e or better)",
            ns_per_km=5_700,
            extra_bytes=_ETHERNET_EXTRA,
            reach_m=100,
            sources=(
                "rate, encoding: IEEE 802.3-2022 clause 40; left unshaped, as a veth is",
                "propagation: IEEE 802.3-2022 section 40.7: at most 570 ns for the link segment of 100 m",
            ),
        ),
        Medium(
            name="ethernet-10g",
            title="10 Gigabit Ethernet, 10GBASE-T",
            up=_UNSHAPED,
            down=_UNSHAPED,
            line_rate_bps=10 * _GBIT,
            encoding="64B/65B, LDPC, DSQ128 (PAM16) at 800 Mbaud on four pairs",
            symbol="voltage on twisted pair (Cat 6A)",
            ns_per_km=5_700,
            extra_bytes=_ETHERNET_EXTRA,
            reach_m=100,
            sources=(
                "rate, encoding: IEEE 802.3-2022 clause 55; left unshaped, as a veth is",
                "propagation: IEEE 802.3-2022 section 55.7: at most 570 ns for the link segment of 100 m",
            ),
        ),
        Medium(
            name="wifi-5",
            title="Wi-Fi 5, 802.11ac, 80 MHz, two streams, near the access point",
            up=_air(2 * _MS, 1 * _MS, 400 * _MBIT),
            down=_air(2 * _MS, 1 * _MS, 400 * _MBIT),
            line_rate_bps=867 * _MBIT,
            encoding="OFDM, up to 256-QAM",
            symbol="radio at 5 GHz",
            sources=(
                "line rate: IEEE 802.11-2020 section 21.5: 866.7 Mbit/s (VHT-MCS 9, two streams)",
                "rate: assumed: about half of the line rate is left above the MAC",
                "delay, jitter: assumed: a few waits for the channel of some 0.5 ms each",
            ),
        ),
        Medium(
            name="wifi-6",
            title="Wi-Fi 6, 802.11ax, 80 MHz, two streams, near the access point",
            up=_air(1 * _MS, 500 * _US, 600 * _MBIT),
            down=_air(1 * _MS, 500 * _US, 600 * _MBIT),
            line_rate_bps=1_201 * _MBIT,
            encoding="OFDMA, up to 1024-QAM",
            symbol="radio at 5 GHz",
            sources=(
                "line rate: IEEE 802.11ax-2021 section 27.5: 1,201 Mbit/s (HE-MCS 11, two streams)",
                "rate: assumed: about half of the line rate is left above the MAC",
                "delay, jitter: assumed: one or two waits for a quiet channel",
            ),
        ),
        Medium(
            name="fiber",
            title="Single-mode fibre, 10GBASE-LR optics, amplified where it is long",
            up=_UNSHAPED,
            down=_UNSHAPED,
            line_rate_bps=10 * _GBIT,
            extra_bytes=_ETHERNET_EXTRA,
            encoding="64B/66B, NRZ at 10.3125 Gbaud",
            symbol="light at 1310 nm in single-mode fibre",
            ns_per_km=4_897,
            length_m=10_000,
            sources=(
                "rate, encoding, 10 km if none is said: IEEE 802.3-2022 clauses 49 and 52 (10GBASE-LR)",
                "propagation: group index 1.468 of ITU-T G.652 fibre, over the speed of light: 4.897 us/km",
            ),
        ),
        Medium(
            name="ftth",
            title="Fibre to the home, XGS-PON, a 1 Gbit/s product",
            up=_air(1 * _MS, 100 * _US, _GBIT),
            down=_air(1 * _MS, 100 * _US, _GBIT),
            line_rate_bps=9_953_280_000,
            encoding="NRZ, TDMA upstream",
            symbol="light at 1270 nm up and 1577 nm down in single-mode fibre",
            sources=(
                "line rate: ITU-T G.9807.1",
                "delay: assumed: 20 km are 0.1 ms of light; grants and first hops are the rest",
                "rate: a product",
            ),
        ),
        Medium(
            name="dsl",
            title="VDSL2 with vectoring, profile 17a, a 100/40 Mbit/s product",
            up=_air(8 * _MS, 500 * _US, 40 * _MBIT),
            down=_air(8 * _MS, 500 * _US, 100 * _MBIT),
            mtu=1492,
            line_rate_bps=150 * _MBIT,
            encoding="DMT, up to 15 bit a tone, trellis code",
            symbol="voltage on a telephone pair, up to 17.7 MHz",
            sources=(
                "line rate, encoding: ITU-T G.993.2 (profile 17a)",
                "delay: interleaving of 8 ms, ITU-T G.993.2 (`delay_max`); or retransmission, G.998.4",
                "rates: a product; MTU: PPPoE, RFC 2516 section 7",
            ),
        ),
        Medium(
            name="cable",
            title="Cable, DOCSIS 3.1",
            up=_air(10 * _MS, 3 * _MS, 50 * _MBIT),
            down=_air(10 * _MS, 3 * _MS, _GBIT),
            line_rate_bps=10 * _GBIT,
            encoding="OFDM, up to 4096-QAM down; OFDMA up",
            symbol="radio frequency in coaxial cable, to 1.2 GHz",
            sources=(
                "line rate, encoding: CableLabs CM-SP-PHYv3.1",
                "delay, jitter: assumed: request and grant cycles of 2 ms and more upstream",
                "rates: a product",
            ),
        ),
        Medium(
            name="lte",
            title="LTE, 20 MHz, category 6",
            up=_air(20 * _MS, 5 * _MS, 20 * _MBIT),
            down=_air(20 * _MS, 5 * _MS, 80 * _MBIT),
            line_rate_bps=300 * _MBIT,
            encoding="OFDMA down, SC-FDMA up, up to 64-QAM",
            symbol="radio at 0.7 to 2.6 GHz",
            sources=(
                "line rate: 3GPP TS 36.306 table 4.1-1 (peak of category 6)",
                "delay: 3GPP TR 25.913 section 6.2 (radio part); assumed: 40 ms of round trip with the core",
                "rates: assumed: a quarter of the peak, shared with others",
            ),
        ),
        Medium(
            name="5g",
            title="5G NR, 100 MHz at 3.5 GHz, stand-alone",
            up=_air(8 * _MS, 2 * _MS, 75 * _MBIT),
            down=_air(8 * _MS, 2 * _MS, 500 * _MBIT),
            line_rate_bps=1_500 * _MBIT,
            encoding="OFDM, up to 256-QAM",
            symbol="radio at 3.5 GHz",
            sources=(
                "line rate: 3GPP TS 38.306 section 4.1.2 (peak)",
                "delay: ITU-R M.2410 (4 ms in the radio part); assumed: as much again in the core",
                "rates: assumed: a third of the peak, shared with others",
            ),
        ),
        Medium(
            name="satellite-leo",
            title="Satellites in low orbit, at 550 km",
            up=_air(16 * _MS, 5 * _MS, 10 * _MBIT),
            down=_air(16 * _MS, 5 * _MS, 100 * _MBIT),
            line_rate_bps=600 * _MBIT,
            encoding="OFDM of 1024 subcarriers in 240 MHz",
            symbol="radio at 10.7 to 12.7 GHz down, 14 to 14.5 GHz up",
            sources=(
                "delay: two legs of 550 to 1,100 km are 4 to 7 ms of it",
                "delay: Starlink, Improving Starlink's Latency, 2024: 33 ms median round trip in the US",
                "rates: Ookla Speedtest, Starlink in the US, Q4 2021: medians of 105 Mbit/s down, 12 up",
                "encoding: Humphreys et al., Signal Structure of the Starlink Ku-Band Downlink, TAES 2023",
                "jitter, line rate: assumed",
            ),
        ),
        Medium(
            name="satellite-geo",
            title="Geostationary satellite",
            up=_air(280 * _MS, 10 * _MS, 3 * _MBIT),
            down=_air(280 * _MS, 10 * _MS, 25 * _MBIT),
            line_rate_bps=50 * _MBIT,
            encoding="APSK (DVB-S2X)",
            symbol="radio at 11 to 30 GHz",
            sources=(
                "delay: two legs of 35,786 km at the speed of light are 239 ms (RFC 2488 section 2)",
                "delay: assumed: framing and the gateway add 40 ms",
                "encoding: ETSI EN 302 307-2; rates: a product; jitter, line rate: assumed",
            ),
        ),
    )
}
