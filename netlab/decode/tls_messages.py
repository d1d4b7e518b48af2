"""Names of TLS handshake messages and alerts (RFC 8446, sections 4 and 6; RFC 5246; RFC 6066)."""

from __future__ import annotations

from netlab.decode.tls_hello import RETRY_RANDOM

CLIENT_HELLO, SERVER_HELLO, ENCRYPTED_EXTENSIONS, FINISHED, KEY_UPDATE = 1, 2, 8, 20, 24

_MESSAGES = {
    0: "HelloRequest",
    1: "ClientHello",
    2: "ServerHello",
    4: "NewSessionTicket",
    5: "EndOfEarlyData",
    8: "EncryptedExtensions",
    11: "Certificate",
    12: "ServerKeyExchange",
    13: "CertificateRequest",
    14: "ServerHelloDone",
    15: "CertificateVerify",
    16: "ClientKeyExchange",
    20: "Finished",
    22: "CertificateStatus",
    24: "KeyUpdate",
    25: "CompressedCertificate",
}
_ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}


def name_of(kind: int, body: bytes) -> str:
    """A handshake message's name; a HelloRetryRequest is a ServerHello with a certain random."""
    if kind == SERVER_HELLO and body[2:34] == RETRY_RANDOM:
        return "HelloRetryRequest"
    return _MESSAGES.get(kind, f"type {kind}")


def alert_name(description: int) -> str:
    """ "close_notify" for 0; "alert 255" for one without a name."""
    return _ALERTS.get(description, f"alert {description}")
