"""QUIC transport parameters by name (RFC 9000, section 18.2; RFC 9221; RFC 9287; RFC 9368)."""

from __future__ import annotations

from netlab.decode.quic_packet import Reader

_NUMBERS = {
    0x01: "max_idle_timeout",
    0x03: "max_udp_payload_size",
    0x04: "initial_max_data",
    0x05: "initial_max_stream_data_bidi_local",
    0x06: "initial_max_stream_data_bidi_remote",
    0x07: "initial_max_stream_data_uni",
    0x08: "initial_max_streams_bidi",
    0x09: "initial_max_streams_uni",
    0x0A: "ack_delay_exponent",
    0x0B: "max_ack_delay",
    0x0E: "active_connection_id_limit",
    0x20: "max_datagram_frame_size",
}
_OCTETS = {
    0x00: "original_destination_connection_id",
    0x02: "stateless_reset_token",
    0x0C: "disable_active_migration",
    0x0D: "preferred_address",
    0x0F: "initial_source_connection_id",
    0x10: "retry_source_connection_id",
    0x11: "version_information",
    0x2AB2: "grease_quic_bit",
}

Parameters = dict[str, int | bytes]


def parameters(data: bytes) -> Parameters:
    """Of the extension's body. Unknown ones are called "0x…". Raises ValueError where it ends too early."""
    reader, found = Reader(data), Parameters()
    while reader.left():
        kind = reader.varint()
        value = reader.take(reader.varint())
        if kind in _NUMBERS:
            found[_NUMBERS[kind]] = Reader(value).varint()
        else:
            found[_OCTETS.get(kind, f"{kind:#x}")] = value
    return found
