"""TLS contexts: versions, ciphers, ALPN, certificates, tickets, stapling, and the key log."""

from __future__ import annotations

import os
import weakref
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from netlab.errors import InputError, LabError, LocalProtocolError
from netlab.model.launch import Identity
from netlab.model.roles import TlsClient, TlsServer
from netlab.net import openssl
from netlab.net.stream import TlsError
from netlab.net.tls_peer import PeerCheck
from netlab.pki.names import matches

# AEAD with ephemeral keys, as RFC 9325 section 4.2 wants; these the trace room decrypts.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
_SESSIONS = 1024  # that a client keeps
_SESSION_LIFETIME_S = 7200


class KeyLog:
    """TLS secrets into a file (NSS key log format), appended line by line; nothing with an empty path."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def install(self, context: SSL.Context) -> None:
        """Raises LabError where the file can't be opened."""
        if not self._path:
            return
        if self._fd < 0:
            try:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise LabError(
                    f"can't write TLS secrets to {self._path}: {os.strerror(error.errno or 0)}",
                    "give SSLKEYLOGFILE a file that the role may write, or leave it out",
                ) from error
            weakref.finalize(self, os.close, self._fd)
        context.set_keylog_callback(self._write)

    def _write(self, _: SSL.Connection, line: bytes) -> None:
        os.write(self._fd, line + b"\n")


def keylog_path() -> str:
    """The key log file that the process contract gives; empty if none."""
    return os.environ.get("SSLKEYLOGFILE", "")


class ServerContext:
    """How a role serves TLS. Several identities: SNI chooses (RFC 6066 section 3); the first is the default.

    `trust_pem`: whom client certificates must come from, where the spec asks for them.
    Raises InputError for ciphers that don't exist.
    """

    def __init__(
        self, spec: TlsServer, identities: Sequence[Identity], alpn: tuple[str, ...], keylog: KeyLog,
        trust_pem: str = "",
    ) -> None:  # fmt: skip
        self.spec = spec
        self.reader = openssl.Reader()
        self.alpn = tuple(name.encode() for name in alpn)
        self._roots = _certificates(trust_pem)
        self._keylog = keylog
        self._judges: list[object] = []
        self._choosers: list[object] = []
        self._contexts = [self._context(identity) for identity in identities]

    def peer_check(self, _: str) -> PeerCheck:
        """Who judges one client's certificate."""
        return PeerCheck(self._roots, purpose="client")

    def connection(self, peer: PeerCheck) -> SSL.Connection:
        """A TLS engine on memory buffers; `peer` checks and learns."""
        connection = SSL.Connection(self._contexts[0][0], None)
        connection.set_app_data(peer)
        connection.set_accept_state()
        return connection

    def _context(self, identity: Identity) -> tuple[SSL.Context, x509.Certificate]:
        context = _prepared(SSL.TLS_SERVER_METHOD, self.spec, self._keylog)
        leaf = _use(context, identity)
        if self.alpn:
            context.set_alpn_select_callback(self._choose_alpn)
        self._choosers.append(openssl.set_chooser(context, self._choose_identity))
        context.set_session_id(b"netlab")
        # Tickets carry the sessions, so there is nothing to keep here. Without them nothing can be resumed:
        # in TLS 1.3 OpenSSL then hands out references to sessions that it has not kept.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_timeout(_SESSION_LIFETIME_S)
        if not self.spec.tickets:
            context.set_options(SSL.OP_NO_TICKET)
        if self.spec.staple and identity.ocsp_der_base64:
            staple = b64decode(identity.ocsp_der_base64)
            context.set_ocsp_server_callback(lambda _connection, _data: staple)
        if self.spec.client_certificates != "none":
            self._ask_for_certificates(context)
        return context, leaf

    def _ask_for_certificates(self, context: SSL.Context) -> None:
        mode = SSL.VERIFY_PEER
        if self.spec.client_certificates == "required":
            mode |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        self._judges.append(openssl.set_judge(context, mode, _checked))
        _believe(context, self._roots)
        for root in self._roots:  # so that the client knows which certificate to show
            context.add_client_ca(root)

    def _choose_alpn(self, connection: SSL.Connection, offered: list[bytes]) -> bytes:
        """Ours that comes first. None in common: the alert no_application_protocol (RFC 7301 section 3.2)."""
        for name in self.alpn:
            if name in offered:
                return name
        raise TlsError(f"no common protocol: the client offers {b', '.join(offered)!r} by ALPN")

    def _choose_identity(self, connection: SSL.Connection) -> bool:
        """False: no certificate is for the name, and the client is to hear that."""
        name = (connection.get_servername() or b"").decode("ascii", "replace")
        for context, leaf in self._contexts:
            if name and matches(leaf, name):
                if context is not connection.get_context():
                    connection.set_context(context)
                return True
        return not (name and self.spec.unknown_name == "refuse")


class ClientContext:
    """How a role asks over TLS, with the sessions that it can resume, by (address, port, name).

    A session may be resumed by several connections at once, as a browser's parallel connections do.
    Raises InputError for ciphers that don't exist.
    """

    def __init__(
        self, spec: TlsClient, trust_pem: str, alpn: tuple[str, ...], keylog: KeyLog,
        identity: Identity | None = None,
    ) -> None:  # fmt: skip
        if not trust_pem:
            raise LocalProtocolError("a TLS client needs the lab's root certificate, and has none")
        self.spec = spec
        self.reader = openssl.Reader()
        self.lists = spec.verify and spec.revocation == "crl"  # to be looked at after a handshake
        self._sessions: OrderedDict[tuple[str, int, str], SSL.Session] = OrderedDict()
        self._context = _prepared(SSL.TLS_CLIENT_METHOD, spec, keylog)
        self.roots = _certificates(trust_pem)
        _believe(self._context, self.roots)
        if alpn:
            self._context.set_alpn_protos([name.encode() for name in alpn])
        if spec.certificate:
            if identity is None:
                raise LocalProtocolError("a TLS client is to show a certificate, and has none")
            _use(self._context, identity)
        if spec.verify:
            self._judge = openssl.set_judge(self._context, SSL.VERIFY_PEER, _checked)
        if spec.verify and spec.revocation == "staple":
            self._context.set_ocsp_client_callback(_checked_staple)

    def peer_check(self, name: str) -> PeerCheck:
        """Who judges the certificate of one server, that was asked for as `name`."""
        return PeerCheck(self.roots, name, self.spec.pins, "server", self.spec.revocation)

    def connection(self, peer: PeerCheck, key: tuple[str, int, str], server_name: str) -> SSL.Connection:
        """A TLS engine on memory buffers. `server_name` goes out as SNI; empty: none does."""
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(peer)
        connection.set_connect_state()
        if server_name:
            connection.set_tlsext_host_name(server_name.encode("ascii"))
        if self.spec.verify and self.spec.revocation == "staple":
            connection.request_ocsp()
        session = self._sessions.get(key) if self.spec.resume else None
        if session is not None:
            connection.set_session(session)
        return connection

    def keep(self, key: tuple[str, int, str], connection: SSL.Connection) -> None:
        """Keep the connection's session for the next one."""
        session = connection.get_session() if self.spec.resume else None
        if session is not None:
            self._sessions[key] = session
            self._sessions.move_to_end(key)
            if len(self._sessions) > _SESSIONS:
                self._sessions.popitem(last=False)

    def forget(self, key: tuple[str, int, str]) -> None:
        """Take up no session with this peer."""
        self._sessions.pop(key, None)


def _prepared(method: int, spec: TlsServer | TlsClient, keylog: KeyLog) -> SSL.Context:
    context = SSL.Context(method)
    openssl.prepare(context)
    context.set_options(_OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    versions = sorted(_VERSIONS[version] for version in spec.versions)
    context.set_min_proto_version(versions[0])
    context.set_max_proto_version(versions[-1])
    _set_ciphers(context, spec)
    keylog.install(context)
    return context


def _set_ciphers(context: SSL.Context, spec: TlsServer | TlsClient) -> None:
    modern = [name for name in spec.ciphers if name.startswith("TLS_")]
    older = [name for name in spec.ciphers if not name.startswith("TLS_")]
    level = ":@SECLEVEL=0" if isinstance(spec, TlsServer) and spec.fault == "weak-chain" else ""
    try:
        if modern:
            context.set_tls13_ciphersuites(":".join(modern).encode())
        context.set_cipher_list(((":".join(older) or _CIPHERS) + level).encode())
    except SSL.Error as error:
        raise InputError(
            f"OpenSSL has not all of these ciphers: {', '.join(spec.ciphers)}", "see `openssl ciphers -v`"
        ) from error


def _use(context: SSL.Context, identity: Identity) -> x509.Certificate:
    leaf, *others = x509.load_pem_x509_certificates(identity.chain_pem.encode())
    context.use_certificate(leaf)
    for other in others:
        context.add_extra_chain_cert(other)
    key = load_pem_private_key(identity.key_pem.encode(), None)
    context.use_privatekey(key)  # type: ignore[arg-type] # one of the kinds that pki makes
    return leaf


def _certificates(pem: str) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificates(pem.encode())) if pem else ()


def _believe(context: SSL.Context, roots: tuple[x509.Certificate, ...]) -> None:
    store = context.get_cert_store()
    assert store is not None  # every context has one
    for root in roots:
        store.add_cert(crypto.X509.from_cryptography(root))


def _checked(connection: SSL.Connection, chain: openssl.Chain, depth: int, error: int) -> int:
    peer: PeerCheck = connection.get_app_data()
    return peer.judge(chain, depth, error)


def _checked_staple(connection: SSL.Connection, staple: bytes, _: object) -> bool:
    peer: PeerCheck = connection.get_app_data()
    return peer.staple(connection, staple)
