"""What a handshake learns of its peer's certificate, and whether it is believed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Literal

from cryptography import x509
from OpenSSL import SSL

from netlab.net import openssl
from netlab.pki.rejected import Rejected, label
from netlab.pki.verify import Expected, verify, verify_status


class PeerCheck:
    """Judges the peer's certificate while the handshake runs, so that it fails with an alert.

    OpenSSL judges first, from the root to the leaf, and has its own alerts for what it finds; when it has
    found nothing, ours decides. `rejected` is what failed, in words; `chain` what the peer showed.
    """

    def __init__(
        self,
        roots: tuple[x509.Certificate, ...],
        name: str = "",
        pins: tuple[str, ...] = (),
        purpose: Literal["server", "client"] = "server",
        revocation: Literal["none", "staple", "crl"] = "none",
    ) -> None:
        self._roots = roots
        self._name = name
        self._pins = pins
        self._purpose = purpose
        self._revocation: Literal["none", "staple", "crl"] = revocation
        self._seen: dict[int, x509.Certificate] = {}
        self.rejected: Rejected | None = None
        self.trusted: tuple[x509.Certificate, ...] = ()  # leaf to root
        self.stapled = False  # a good OCSP status came with it

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)

    def certificate(
        self, connection: SSL.Connection, certificate: x509.Certificate, error: int, depth: int, ok: bool
    ) -> bool:
        """OpenSSL's question about one certificate of the chain: False ends the handshake."""
        self._seen[depth] = certificate
        if ok and depth > 0:
            return True
        expected = Expected(self._roots, self._name, self.now(), self._pins, self._purpose)
        verdict = verify(self._presented(connection), expected)
        if not isinstance(verdict, Rejected):
            self.trusted = verdict
            if ok:
                return True
            verdict = Rejected("chain", f"certificate {depth} of the chain: {openssl.words(error)}")
        self.rejected = verdict
        return False

    def _presented(self, connection: SSL.Connection) -> list[x509.Certificate]:
        """A server does not know its client's chain before the handshake's end, but what was seen of it."""
        shown = connection.get_peer_cert_chain(as_cryptography=True)
        return list(shown) if shown else [self._seen[depth] for depth in sorted(self._seen)]

    def staple(self, connection: SSL.Connection, staple: bytes) -> bool:
        """OpenSSL's question about the OCSP response (empty: none). A resumed session has none to judge."""
        if openssl.resumed(connection):
            return True
        self.rejected = verify_status(self.trusted, self.now(), self._revocation, staple)
        self.stapled = self.rejected is None
        return self.stapled

    def name_of(self, shown: tuple[x509.Certificate, ...]) -> str:
        """Whom the first certificate names; empty without one."""
        return label(shown[0]) if shown else ""
