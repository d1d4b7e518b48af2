"""What a handshake learns of its peer's certificate, and whether it is believed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Literal

from cryptography import x509
from OpenSSL import SSL

from netlab.net import openssl
from netlab.pki.chain import UNREADABLE
from netlab.pki.rejected import Rejected, label
from netlab.pki.verify import Expected, verify, verify_status


class PeerCheck:
    """Judges the peer's certificate while the handshake runs, so that it fails with an alert.

    OpenSSL builds a chain and asks about each certificate in it, from the root to the leaf. What it finds
    wrong stays wrong; our verifier finds the words, and what OpenSSL doesn't look for. `rejected` is what
    failed; `trusted` the chain, leaf to root, where nothing has.
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
        self.rejected: Rejected | None = None
        self.trusted: tuple[x509.Certificate, ...] = ()
        self.stapled = False  # a good OCSP status came with it

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)

    def judge(self, chain: openssl.Chain, depth: int, error: int) -> int:
        """OpenSSL's question about one certificate of the chain, with what it found wrong (0: nothing): the
        alert that ends the handshake, or 0."""
        if depth > 0 and not error:
            return 0
        expected = Expected(self._roots, self._name, self.now(), self._pins, self._purpose)
        try:
            verdict = verify(chain(), expected)
        except UNREADABLE as failure:  # what OpenSSL could read, and cryptography can't
            verdict = Rejected("chain", f"a certificate can't be read: {failure}")
        if not isinstance(verdict, Rejected):
            self.trusted = verdict
            if not error:
                return 0
            verdict = Rejected("chain", f"certificate {depth} of the chain: {openssl.words(error)}")
        self.rejected = verdict
        return verdict.alert

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
