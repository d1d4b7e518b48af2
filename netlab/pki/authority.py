"""A private certification authority: root ─► intermediate ─► a leaf for each server and client (RFC 5280)."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import rsa

from netlab.errors import LocalProtocolError
from netlab.model.launch import Identity, ResponderLaunch, Standing
from netlab.model.roles import CertificateFault
from netlab.pki.certificate import Party, Validity, authority_extensions, leaf_extensions
from netlab.pki.status import Revocation, revocation_list, staple

_BEFORE = timedelta(hours=1)  # of grace for clocks that differ
_AFTER = timedelta(days=7)
_DAY = timedelta(days=1)
_WEAK_BITS = 1024  # RSA; 2048 is the least that is believed (CA/Browser Forum BR 6.1.5)
_WRONG_NAME = "another-name.invalid"


@dataclass(frozen=True, slots=True)
class Authority:
    """A lab's authority. Keys are EC P-256; validity is an hour back to seven days ahead of `now`.

    It remembers what it issued, so that an OCSP responder can tell. `responder_url` goes into the leaves;
    empty: there is no responder.
    """

    root_pem: str
    _root: Party
    _intermediate: Party
    _lab: str
    _now: datetime
    _responder_url: str
    _standings: dict[int, Revocation | None] = field(default_factory=dict)

    @classmethod
    def create(cls, lab: str, now: datetime, responder_url: str = "") -> Authority:
        """`now` must know its time zone. `responder_url` without its last slash: "http://192.0.2.1:80"."""
        validity = Validity(now - _BEFORE, now + _AFTER)
        root = Party.create(f"netlab {lab} root")
        root = root.certified(root, validity, *authority_extensions(path_length=1))
        intermediate = Party.create(f"netlab {lab} intermediate")
        intermediate = intermediate.certified(root, validity, *authority_extensions(path_length=0))
        return cls(root.pem, root, intermediate, lab, now, responder_url)

    def issue(
        self,
        names: tuple[str, ...],
        *,
        purpose: Literal["server", "client"] = "server",
        fault: CertificateFault = "none",
    ) -> Identity:
        """A certificate for DNS names (also `*.example.com`) and addresses, with its chain, key and status.

        `fault`: what is wrong with it. Raises LocalProtocolError where there is no name.
        """
        if not names:
            raise LocalProtocolError("a certificate needs a name")
        if fault == "untrusted-root":
            stranger = Authority.create(f"{self._lab} stranger", self._now, self._responder_url)
            return stranger.issue(names, purpose=purpose)
        if fault == "wrong-name":
            names = (_WRONG_NAME,)
        leaf = Party.create(names[0])
        extensions = leaf_extensions(purpose, names, self._responder_url)
        if fault == "self-signed":
            leaf = leaf.certified(leaf, self._validity(fault), *extensions)
            return Identity(chain_pem=leaf.pem, key_pem=leaf.key_pem)
        issuer = self._weak() if fault == "weak-chain" else self._intermediate
        leaf = leaf.certified(issuer, self._validity(fault), *extensions)
        return self._identity(leaf, issuer, fault)

    def _identity(self, leaf: Party, issuer: Party, fault: CertificateFault) -> Identity:
        revoked = Revocation(self._now, "keyCompromise") if fault == "revoked" else None
        self._standings[leaf.shown.serial_number] = revoked
        status = staple(leaf.shown, issuer, revoked, self._validity())
        return Identity(
            chain_pem=leaf.pem + issuer.pem,
            key_pem=leaf.key_pem,
            ocsp_der_base64=b64encode(status).decode(),
        )

    def _validity(self, fault: CertificateFault = "none") -> Validity:
        if fault == "expired":
            return Validity(self._now - _AFTER, self._now - _DAY)
        if fault == "not-yet-valid":
            return Validity(self._now + _DAY, self._now + _AFTER)
        return Validity(self._now - _BEFORE, self._now + _AFTER)

    def _weak(self) -> Party:
        key = rsa.generate_private_key(65_537, _WEAK_BITS)  # too short on purpose
        weak = Party.create(f"netlab {self._lab} weak intermediate", key)
        return weak.certified(self._root, self._validity(), *authority_extensions(path_length=0))

    def responder(self) -> ResponderLaunch:
        """What an OCSP responder needs to answer for all that has been issued so far, on our behalf."""
        validity = self._validity()
        delegate = Party.create(f"netlab {self._lab} OCSP responder")
        delegate = delegate.certified(self._intermediate, validity, *leaf_extensions("ocsp", (), ""))
        revoked = {serial: one for serial, one in self._standings.items() if one is not None}
        return ResponderLaunch(
            identity=Identity(chain_pem=delegate.pem, key_pem=delegate.key_pem),
            issuer_pem=self._intermediate.pem,
            standings=tuple(_standing(serial, one) for serial, one in self._standings.items()),
            crl_der_base64=b64encode(revocation_list(self._intermediate, revoked, validity)).decode(),
        )


def _standing(serial: int, revoked: Revocation | None) -> Standing:
    if revoked is None:
        return Standing(serial=f"{serial:x}")
    return Standing(serial=f"{serial:x}", revoked_at=revoked.at.isoformat(), reason=revoked.reason)
