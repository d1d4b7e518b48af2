"""What OpenSSL has and pyOpenSSL has no public name for; the only place that reaches behind it."""

# ruff: noqa: SLF001 - see above
from __future__ import annotations

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

# Classical groups: with a post-quantum share the ClientHello takes two segments, which would change every
# count of packets that the guide makes. X25519 first, as browsers did until 2024.
_GROUPS = b"X25519:P-256:P-384"
_PARTIAL_WRITE = 1  # SSL_MODE_ENABLE_PARTIAL_WRITE: one record for each call, however much there is


def prepare(context: SSL.Context) -> None:
    """Classical groups, and writes that are never cut short."""
    if lib.SSL_CTX_set1_curves_list(context._context, _GROUPS) != 1:
        raise RuntimeError("OpenSSL knows none of the groups " + _GROUPS.decode())
    context.clear_mode(_PARTIAL_WRITE)


def resumed(connection: SSL.Connection) -> bool:
    """Whether the handshake took up an earlier session."""
    return bool(lib.SSL_session_reused(connection._ssl))


def words(error: int) -> str:
    """What a number of an X.509 verification error means."""
    return bytes(ffi.string(lib.X509_verify_cert_error_string(error))).decode()
