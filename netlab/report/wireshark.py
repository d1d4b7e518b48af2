"""A Wireshark profile for a run: columns that say where a packet was seen, colours by hop.

Wireshark reads it from the directory that WIRESHARK_CONFIG_DIR names, so the user's own is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable

_COLUMNS = (
    ("No.", "%m"),
    ("Time", "%t"),
    ("Interface", "%Cus:frame.interface_name:0:R"),
    ("Source", "%s"),
    ("Destination", "%d"),
    ("Protocol", "%p"),
    ("Length", "%L"),
    ("Request", "%Cus:http.traceparent or http2.headers.traceparent:0:R"),
    ("Info", "%i"),
)
# Pale, so that black text stays readable; neighbours on a path get different ones.
_COLOURS = (
    (65535, 61680, 58853),
    (59110, 64250, 61680),
    (60652, 61166, 65535),
    (65535, 65021, 57054),
    (62965, 59110, 64250),
    (58853, 64250, 65535),
    (64250, 61680, 65535),
    (61680, 65535, 58853),
)
DEINTERLACING = (4, 4)  # the version of Wireshark that can tell a packet's sightings apart


def preferences(version: tuple[int, ...]) -> str:
    """The file `preferences` for this version of Wireshark (also of tshark)."""
    columns = ",\n\t".join(f'"{title}", "{content}"' for title, content in _COLUMNS)
    lines = [
        "# Of a netlab run; `netlab open` makes it.",
        f"gui.column.format:\n\t{columns}",
        "nameres.network_name: TRUE",
        "nameres.use_external_name_resolver: FALSE",
        "nameres.dns_pkt_addr_resolution: FALSE",
        "tcp.check_checksum: TRUE",
    ]
    if version >= DEINTERLACING:
        lines.append("protocols.conversation_deinterlacing_key: .MI")
    return "\n".join(lines) + "\n"


def colour_filters(interfaces: Iterable[str]) -> str:
    """The file `colorfilters`: a colour for each interface, in their order."""
    lines = ["# Of a netlab run: a colour for each interface."]
    for number, name in enumerate(interfaces):
        red, green, blue = _COLOURS[number % len(_COLOURS)]
        lines.append(f'@{name}@frame.interface_name == "{name}"@[{red},{green},{blue}][0,0,0]')
    return "\n".join(lines) + "\n"
