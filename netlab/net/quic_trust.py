"""Whether the peer's certificates are believed, by the same rules as in TLS over TCP."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from cryptography import x509

from netlab.model.roles import TlsClient, TlsServer
from netlab.net.context import RoleContext
from netlab.pki.rejected import Rejected
from netlab.pki.verify import Expected, verify, verify_status

_CERTIFICATE_REQUIRED = 116  # RFC 8446 section 6.2

Chain = tuple[x509.Certificate, ...]


def _roots(ctx: RoleContext) -> Chain:
    return tuple(x509.load_pem_x509_certificates(ctx.launch.trust_pem.encode()))


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def trusted_server(ctx: RoleContext, tls: TlsClient, name: str, shown: Chain) -> Chain | Rejected:
    """The path from the server's certificate to the root, or why there is none.

    aioquic asks for no OCSP status, so one that must come in the handshake never does.
    """
    trusted = verify(shown, Expected(_roots(ctx), name, _now(), tls.pins))
    if isinstance(trusted, Rejected):
        return trusted
    if tls.revocation == "staple":
        rejected = verify_status(trusted, _now(), tls.revocation)
        if rejected is not None:
            return Rejected(rejected.check, f"{rejected} (QUIC here carries no OCSP status)", rejected.alert)
    return trusted


def refused_client(ctx: RoleContext, tls: TlsServer, shown: Chain) -> Rejected | None:
    """Why the client may not go on; None where it may."""
    if tls.client_certificates == "none" or (tls.client_certificates == "optional" and not shown):
        return None
    if not shown:
        return Rejected("chain", "the client showed no certificate", _CERTIFICATE_REQUIRED)
    trusted = verify(shown, Expected(_roots(ctx), "", _now(), purpose="client"))
    return trusted if isinstance(trusted, Rejected) else None
