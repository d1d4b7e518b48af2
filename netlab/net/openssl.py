"""What OpenSSL has and pyOpenSSL has no public name for; the only place that reaches behind it."""

# ruff: noqa: SLF001 - see above
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography import x509
from OpenSSL import SSL, crypto
from OpenSSL._util import ffi, lib

from netlab.pki import rejected

# Classical groups: with a post-quantum share the ClientHello takes two segments, which would change every
# count of packets that the guide makes. X25519 first, as browsers did until 2024.
_GROUPS = b"X25519:P-256:P-384"
_OUTGOING = 128 * 1024
RECORD = 16_384  # bytes that a record holds (RFC 8446 section 5.1)
_PARTIAL_WRITE = 1  # SSL_MODE_ENABLE_PARTIAL_WRITE: one record for each call, however much there is
# X.509 errors that make OpenSSL send the alert (ssl_x509err2alert).
_ERRORS = {
    rejected.BAD_CERTIFICATE: 28,  # X509_V_ERR_CERT_REJECTED
    rejected.CERTIFICATE_REVOKED: 23,  # X509_V_ERR_CERT_REVOKED
    rejected.CERTIFICATE_EXPIRED: 10,  # X509_V_ERR_CERT_HAS_EXPIRED
    rejected.UNKNOWN_CA: 20,  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
}
_UNRECOGNIZED_NAME = 112
_nowhere = ffi.new("char **")  # for an address that nobody reads
Chain = Callable[[], list[x509.Certificate]]  # the leaf first, as far as OpenSSL got
Judge = Callable[[SSL.Connection, Chain, int, int], int]  # …, depth, error or 0 ─► the alert, or 0


def prepare(context: SSL.Context) -> None:
    """Classical groups, and writes that are never cut short."""
    if lib.SSL_CTX_set1_curves_list(context._context, _GROUPS) != 1:
        raise RuntimeError("OpenSSL knows none of the groups " + _GROUPS.decode())
    context.clear_mode(_PARTIAL_WRITE)


def set_judge(context: SSL.Context, mode: int, judge: Judge) -> object:
    """As Context.set_verify, with a judge that chooses the alert. Keep the result as long as `context`."""

    def asked(ok: int, store: Any) -> int:
        index = lib.SSL_get_ex_data_X509_STORE_CTX_idx()
        connection = SSL.Connection._reverse_mapping[lib.X509_STORE_CTX_get_ex_data(store, index)]
        error = 0 if ok else lib.X509_STORE_CTX_get_error(store)
        depth = lib.X509_STORE_CTX_get_error_depth(store)
        alert = judge(connection, lambda: _chain(store), depth, error)
        refusal = _ERRORS.get(alert, _ERRORS[rejected.BAD_CERTIFICATE])
        lib.X509_STORE_CTX_set_error(store, refusal if alert else 0)
        return int(alert == 0)

    callback = ffi.callback("int (*)(int, X509_STORE_CTX *)", asked, error=0)
    lib.SSL_CTX_set_verify(context._context, mode, callback)
    return callback


def set_chooser(context: SSL.Context, choose: Callable[[SSL.Connection], bool]) -> object:
    """Have `choose` see the name that a client asks for, and take a context for it; False ends the handshake
    with the alert unrecognized_name (RFC 6066 section 3). Keep the result as long as `context`."""

    def asked(ssl: Any, alert: Any, _: Any) -> int:
        if choose(SSL.Connection._reverse_mapping[ssl]):
            return 0
        alert[0] = _UNRECOGNIZED_NAME
        return int(lib.SSL_TLSEXT_ERR_ALERT_FATAL)

    callback = ffi.callback("int (*)(SSL *, int *, void *)", asked, error=0)
    lib.SSL_CTX_set_tlsext_servername_callback(context._context, callback)
    return callback


def _chain(store: Any) -> list[x509.Certificate]:
    """The chain that OpenSSL has built, leaf first. Its certificates are ours to free: X509 does."""
    stack = lib.X509_STORE_CTX_get1_chain(store)
    if stack == ffi.NULL:
        return []
    numbers = range(lib.sk_X509_num(stack))
    found = [crypto.X509._from_raw_x509_ptr(lib.sk_X509_value(stack, number)) for number in numbers]
    lib.sk_X509_free(stack)
    return [one.to_cryptography() for one in found]


def resumed(connection: SSL.Connection) -> bool:
    """Whether the handshake took up an earlier session."""
    return bool(lib.SSL_session_reused(connection._ssl))


def words(error: int) -> str:
    """What a number of an X.509 verification error means."""
    return bytes(ffi.string(lib.X509_verify_cert_error_string(error))).decode()


def unsent(connection: SSL.Connection) -> int:
    """Bytes that a connection on memory buffers has to send."""
    return int(lib.BIO_get_mem_data(connection._from_ssl, _nowhere))


def write(connection: SSL.Connection, data: bytes) -> None:
    """As Connection.send, which takes four times as long for a small response. Raises SSL.Error."""
    count = lib.SSL_write(connection._ssl, data, len(data))
    if count <= 0:
        connection._raise_ssl_error(connection._ssl, count)


def received(connection: SSL.Connection, data: bytes) -> None:
    """As Connection.bio_write, for bytes: what came from the peer. Memory takes all of it."""
    lib.BIO_write(connection._into_ssl, data, len(data))


class Reader:
    """Reads what connections decrypt, by a buffer of its own; for connections of one thread.

    As Connection.recv, which takes twice as long: it makes a buffer for each call, and an exception for
    each time that there is nothing, which is every other time (measured: 0.7 instead of 1.5 µs with data,
    0.3 instead of 1.5 µs without).
    """

    def __init__(self) -> None:
        self._buffer = ffi.new("char[]", RECORD)
        self._view = ffi.buffer(self._buffer)
        self._outgoing = ffi.new("char[]", _OUTGOING)
        self._outgoing_view = ffi.buffer(self._outgoing)

    def read(self, connection: SSL.Connection, size: int) -> bytes:
        """At most `size` bytes of one record; empty where there is none. Raises SSL.Error."""
        count = lib.SSL_read(connection._ssl, self._buffer, min(size, RECORD))
        if count > 0:
            return bytes(self._view[:count])
        if lib.SSL_get_error(connection._ssl, count) != lib.SSL_ERROR_WANT_READ:
            connection._raise_ssl_error(connection._ssl, count)
        return b""

    def outgoing(self, connection: SSL.Connection) -> bytes:
        """Some of what a connection has to send, as Connection.bio_read; empty where there is nothing."""
        count = lib.BIO_read(connection._from_ssl, self._outgoing, _OUTGOING)
        return bytes(self._outgoing_view[:count]) if count > 0 else b""
