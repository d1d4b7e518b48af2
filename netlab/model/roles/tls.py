"""How a side does TLS, QUIC and its connections."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from netlab.model.roles.spec import Spec, TlsVersion
from netlab.model.units import DurationNs

CertificateFault = Literal[
    "none",
    "expired",
    "not-yet-valid",
    "wrong-name",
    "self-signed",
    "untrusted-root",
    "weak-chain",
    "revoked",
]


class Quic(Spec):
    """How a side does QUIC. `congestion`: its congestion control. `idle`: a connection on which nothing
    comes for so long ends. `stream_bytes`, `connection_bytes`: how much may come beyond what was read, per
    stream and in all. `retry`: a server has clients prove their address first, for one more round trip.
    `qlog`: record each connection for qvis; it costs a quarter of the speed, and memory until its end."""

    congestion: Literal["reno", "cubic"] = "cubic"
    idle_ns: DurationNs = Field(60_000_000_000, alias="idle")
    stream_bytes: Annotated[int, Field(ge=16_384)] = 1024 * 1024
    connection_bytes: Annotated[int, Field(ge=16_384)] = 2 * 1024 * 1024
    retry: StrictBool = False
    qlog: StrictBool = False


class TlsServer(Spec):
    """How a server does TLS. `versions`: those it accepts (QUIC is always 1.3). `ciphers`: names of
    OpenSSL's, those of TLS 1.3 start with TLS_; empty: all with AES-GCM or ChaCha20 and ephemeral keys.
    `client_certificates`: whether clients must show one of the lab's. `tickets`: sessions can be resumed.
    `staple`: send the certificate's OCSP status, to clients that ask for it. `early_data`: QUIC accepts
    0-RTT requests, where they are safe (RFC 8470). `unknown_name`: a client that asks for a name that is in
    no certificate gets the `first`, or the alert unrecognized_name. `fault`: the certificate is bad in this
    way, for showing what clients do."""

    versions: Annotated[tuple[TlsVersion, ...], Field(min_length=1)] = ("1.2", "1.3")
    ciphers: tuple[str, ...] = ()
    client_certificates: Literal["none", "optional", "required"] = "none"
    tickets: StrictBool = True
    staple: StrictBool = True
    early_data: StrictBool = True
    unknown_name: Literal["first", "refuse"] = "first"
    fault: CertificateFault = "none"
    quic: Quic = Quic()


class TlsClient(Spec):
    """How a client does TLS. `versions`, `ciphers`: as for a server. `resume`: use session tickets.
    `early_data`: QUIC sends safe requests in 0-RTT. `certificate`: show one if asked.
    `revocation`: `staple` needs an OCSP status in the handshake, `crl` gets the authority's list (from an
    `ocsp` role of the lab) and looks there; a session that is resumed was checked when it began.
    `pins`: base64 SHA-256 of public keys (RFC 7469), one of which must be in the chain.
    `verify`: false accepts any certificate, for showing what that does."""

    versions: Annotated[tuple[TlsVersion, ...], Field(min_length=1)] = ("1.2", "1.3")
    ciphers: tuple[str, ...] = ()
    resume: StrictBool = True
    early_data: StrictBool = False
    certificate: StrictBool = False
    revocation: Literal["none", "staple", "crl"] = "none"
    pins: tuple[str, ...] = ()
    verify: StrictBool = True
    quic: Quic = Quic()


class Pool(Spec):
    """Limits of a connection pool (the guide's 9.2): connections in all, connections per host for
    HTTP/1.1 (HTTP/2 and 3 share one), how long one may be idle, and how old."""

    total: Annotated[int, Field(ge=1)] = 100
    per_host: Annotated[int, Field(ge=1)] = 6
    idle_ns: DurationNs = Field(30_000_000_000, alias="idle")
    lifetime_ns: DurationNs = Field(600_000_000_000, alias="lifetime")
