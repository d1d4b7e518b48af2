"""Revocation: OCSP responses and lists, as our authority makes them and as others might."""

from __future__ import annotations

import random
from base64 import b64decode
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from netlab.model.launch import Identity
from netlab.pki import Authority
from netlab.pki.certificate import Party, Validity, leaf_extensions
from netlab.pki.rejected import BAD_CERTIFICATE_STATUS_RESPONSE, CERTIFICATE_REVOKED, Rejected
from netlab.pki.revocation import check_crl, check_ocsp
from netlab.pki.status import Responder, Revocation, revocation_list, staple
from netlab.pki.verify import verify_status
from tests.kit.certificates import DAY, NAME, NOW, VALID, Chain, authority, chain, leaf, replaced

GOOD = chain()
REVOKED = Revocation(NOW - DAY, "keyCompromise")
LEAF, ISSUER = GOOD.leaf.shown, GOOD.intermediate.shown
FIRST, LAST = VALID.first, VALID.last
SKEW = timedelta(minutes=5)
SECOND = timedelta(seconds=1)


def refused(verdict: Rejected | None, words: str, alert: int = BAD_CERTIFICATE_STATUS_RESPONSE) -> None:
    assert verdict is not None
    assert (verdict.check, verdict.alert) == ("revocation", alert), verdict
    assert words in verdict.cause, verdict


def made(
    signer: Party, *shown: x509.Certificate, about: x509.Certificate = LEAF, by_name: bool = False
) -> bytes:
    """A good status of `about`, signed by `signer`, with certificates that go along."""
    builder = ocsp.OCSPResponseBuilder().add_response(
        about, ISSUER, hashes.SHA256(), ocsp.OCSPCertStatus.GOOD, FIRST, LAST, None, None
    )
    encoding = ocsp.OCSPResponderEncoding.NAME if by_name else ocsp.OCSPResponderEncoding.HASH
    builder = builder.responder_id(encoding, signer.shown)
    if shown:
        builder = builder.certificates(list(shown))
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def delegate(
    issuer: Party = GOOD.intermediate, validity: Validity = VALID, *usages: x509.ObjectIdentifier
) -> Party:
    extensions = leaf_extensions("ocsp", (), "")
    if usages:
        extensions = iter(replaced(extensions, (x509.ExtendedKeyUsage(usages), False)))
    return Party.create("responder").certified(issuer, validity, *extensions)


def test_a_status_by_the_issuer() -> None:
    assert check_ocsp(staple(LEAF, GOOD.intermediate, None, VALID), LEAF, ISSUER, NOW) is None
    assert check_ocsp(made(GOOD.intermediate), LEAF, ISSUER, NOW) is None
    assert check_ocsp(made(GOOD.intermediate, by_name=True), LEAF, ISSUER, NOW) is None


def test_a_revoked_certificate() -> None:
    verdict = check_ocsp(staple(LEAF, GOOD.intermediate, REVOKED, VALID), LEAF, ISSUER, NOW)
    words = f"the certificate of {NAME} was revoked at 2026-11-19 12:00:00 UTC (keyCompromise)"
    refused(verdict, words, CERTIFICATE_REVOKED)


def test_a_delegated_responder() -> None:
    by = delegate()
    assert check_ocsp(made(by, by.shown), LEAF, ISSUER, NOW) is None
    assert check_ocsp(made(by, authority("other").shown, by.shown, by_name=True), LEAF, ISSUER, NOW) is None


@pytest.mark.parametrize(
    ("by", "shown", "words"),
    [
        (delegate(), False, "signed neither by intermediate nor by whom it delegated"),
        (delegate(GOOD.root), True, "signed neither by"),  # an authority above may not
        (delegate(authority("stranger")), True, "signed neither by"),
        (authority("stranger"), False, "signed neither by"),
        (leaf(GOOD.intermediate), True, "is not for an OCSP responder"),
        (
            delegate(GOOD.intermediate, VALID, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE),
            True,
            "is not for a",
        ),
        (delegate(GOOD.intermediate, Validity(NOW - 2 * DAY, NOW - DAY)), True, "responder expired"),
    ],
)
def test_a_responder_without_the_right(by: Party, shown: bool, words: str) -> None:
    response = made(by, by.shown) if shown else made(by)
    refused(check_ocsp(response, LEAF, ISSUER, NOW), words)


def test_who_claims_to_be_the_issuer() -> None:
    forger = Party.create("intermediate")
    forger = forger.certified(forger, VALID)
    refused(
        check_ocsp(made(forger, by_name=True), LEAF, ISSUER, NOW), "signature is not that of intermediate"
    )


def test_an_rsa_issuer() -> None:
    root = authority("root")
    issuer = authority("rsa", root, 0, rsa.generate_private_key(65_537, 2048))
    own = Chain(root, issuer, leaf(issuer))
    status = staple(own.leaf.shown, issuer, None, VALID)
    assert check_ocsp(status, own.leaf.shown, issuer.shown, NOW) is None
    refused(check_ocsp(status, own.leaf.shown, ISSUER, NOW), "signed neither")


def test_another_certificates_status() -> None:
    other = leaf(GOOD.intermediate)
    refused(
        check_ocsp(made(GOOD.intermediate, about=other.shown), LEAF, ISSUER, NOW), "about another certificate"
    )


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (FIRST, ""),
        (FIRST - SKEW, ""),
        (FIRST - SKEW - SECOND, "from the future"),
        (LAST + SKEW, ""),
        (LAST + SKEW + SECOND, "held until 2026-11-21 12:00:00 UTC"),
    ],
)
def test_freshness(now: datetime, words: str) -> None:
    lists = revocation_list(GOOD.intermediate, {}, VALID)
    for verdict in (
        check_ocsp(staple(LEAF, GOOD.intermediate, None, VALID), LEAF, ISSUER, now),
        check_crl(lists, LEAF, ISSUER, now),
    ):
        if words:
            refused(verdict, words)
        else:
            assert verdict is None


def test_a_status_without_an_end() -> None:
    builder = ocsp.OCSPResponseBuilder().add_response(
        LEAF, ISSUER, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, FIRST, None, None, None
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, ISSUER)
    endless = builder.sign(GOOD.intermediate.key, hashes.SHA256()).public_bytes(Encoding.DER)
    refused(check_ocsp(endless, LEAF, ISSUER, NOW), "nextUpdate")


def test_rubbish_and_refusals() -> None:
    refused(check_ocsp(b"", LEAF, ISSUER, NOW), "can't be read")
    refused(check_ocsp(b"\x30\x03\x0a\x01\x00", LEAF, ISSUER, NOW), "can't be read")
    later = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    refused(check_ocsp(later.public_bytes(Encoding.DER), LEAF, ISSUER, NOW), "says try_later")
    refused(check_crl(b"", LEAF, ISSUER, NOW), "can't be read")


@pytest.mark.parametrize("missing", range(1, 270, 7))
def test_a_status_that_was_cut(missing: int) -> None:
    whole = staple(LEAF, GOOD.intermediate, None, VALID)
    assert check_ocsp(whole[:-missing], LEAF, ISSUER, NOW) is not None


def flipped(data: bytes, count: int, seed: int) -> bytes:
    """With `count` bits changed."""
    rng = random.Random(seed)
    changed = bytearray(data)
    for place in rng.sample(range(len(data)), count):
        changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def test_nothing_that_was_changed_is_believed() -> None:
    """Nor does it raise. Certificates go along, so that these are changed too."""
    by = delegate()
    status, listing = made(by, by.shown), revocation_list(GOOD.intermediate, {5: REVOKED}, VALID)
    for seed in range(600):
        count = 1 + seed % 4
        verdict = check_ocsp(flipped(status, count, seed), LEAF, ISSUER, NOW)
        assert verdict is not None or count == 1, seed  # a certificate's own signature may not be looked at
        assert check_crl(flipped(listing, count, seed), LEAF, ISSUER, NOW) is not None, seed


def test_lists() -> None:
    other = leaf(GOOD.intermediate)
    listing = revocation_list(GOOD.intermediate, {other.shown.serial_number: REVOKED}, VALID)
    assert check_crl(listing, LEAF, ISSUER, NOW) is None
    refused(
        check_crl(listing, other.shown, ISSUER, NOW),
        "2026-11-19 12:00:00 UTC (keyCompromise)",
        CERTIFICATE_REVOKED,
    )


def test_lists_by_others() -> None:
    stranger = authority("stranger")
    refused(check_crl(revocation_list(stranger, {}, VALID), LEAF, ISSUER, NOW), "is not by intermediate")
    namesake = authority("intermediate")
    refused(check_crl(revocation_list(namesake, {}, VALID), LEAF, ISSUER, NOW), "signature is not that of")
    server = leaf(authority("root"))
    refused(check_crl(revocation_list(server, {}, VALID), LEAF, server.shown, NOW), "cRLSign")


def test_a_list_of_changes_alone() -> None:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ISSUER.subject)
        .last_update(FIRST)
        .next_update(LAST)
        .add_extension(x509.DeltaCRLIndicator(1), critical=True)
    )
    delta = builder.sign(GOOD.intermediate.key, hashes.SHA256()).public_bytes(Encoding.DER)
    refused(check_crl(delta, LEAF, ISSUER, NOW), "not understood (2.5.29.27)")


def test_what_is_asked_for() -> None:
    status = staple(LEAF, GOOD.intermediate, None, VALID)
    revoked = staple(LEAF, GOOD.intermediate, REVOKED, VALID)
    empty = revocation_list(GOOD.intermediate, {}, VALID)
    assert verify_status(GOOD.trusted, NOW, "none") is None
    assert verify_status(GOOD.trusted, NOW, "staple", status) is None
    assert verify_status(GOOD.trusted, NOW, "crl", crl=empty) is None
    refused(verify_status(GOOD.trusted, NOW, "none", revoked), "revoked", CERTIFICATE_REVOKED)
    refused(verify_status(GOOD.trusted, NOW, "staple"), "no stapled OCSP status")
    verdict = verify_status(GOOD.trusted, NOW, "crl", status)
    assert verdict is not None
    assert "no revocation list is known" in verdict.cause


def test_a_certificate_that_must_be_stapled() -> None:
    feature = x509.TLSFeature([x509.TLSFeatureType.status_request])
    strict = chain((feature, False))
    refused(verify_status(strict.trusted, NOW, "none"), "which must have one (RFC 7633)")
    status = staple(strict.leaf.shown, strict.intermediate, None, VALID)
    assert verify_status(strict.trusted, NOW, "none", status) is None


# The responder.

URL = "http://192.0.2.1:80"


def parsed(identity: Identity) -> tuple[x509.Certificate, x509.Certificate]:
    first, second = x509.load_pem_x509_certificates(identity.chain_pem.encode())
    return first, second


def request(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    algorithm: hashes.HashAlgorithm,
    nonce: bytes = b"",
) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, algorithm)
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384()])
def test_the_responder_answers(algorithm: hashes.HashAlgorithm) -> None:
    authority = Authority.create("lab", NOW, URL)
    good, bad = parsed(authority.issue(("a",))), parsed(authority.issue(("b",), fault="revoked"))
    responder = Responder(authority.responder())
    answer = responder.respond(request(*good, algorithm, b"n" * 32), VALID)
    assert check_ocsp(answer, *good, NOW) is None
    nonce = ocsp.load_der_ocsp_response(answer).extensions.get_extension_for_class(x509.OCSPNonce)
    assert nonce.value.nonce == b"n" * 32
    refused(
        check_ocsp(responder.respond(request(*bad, algorithm), VALID), *bad, NOW),
        "revoked",
        CERTIFICATE_REVOKED,
    )


def test_the_responder_does_not_know_and_does_not_understand() -> None:
    authority = Authority.create("lab", NOW, URL)
    responder = Responder(authority.responder())
    later = parsed(authority.issue(("a",)))  # issued after the responder was told
    answer = responder.respond(request(*later, hashes.SHA1()), VALID)
    refused(check_ocsp(answer, *later, NOW), "doesn't know the certificate of a")
    foreign = responder.respond(request(LEAF, ISSUER, hashes.SHA1()), VALID)
    assert ocsp.load_der_ocsp_response(foreign).response_status == ocsp.OCSPResponseStatus.UNAUTHORIZED
    long = request(*later, hashes.SHA1(), b"n" * 129)
    for data in (b"", b"rubbish", b"\x30\x00", request(*later, hashes.SHA1())[:-3], long):
        response = ocsp.load_der_ocsp_response(responder.respond(data, VALID))
        assert response.response_status == ocsp.OCSPResponseStatus.MALFORMED_REQUEST, data


def test_the_responders_list() -> None:
    authority = Authority.create("lab", NOW, URL)
    good, bad = parsed(authority.issue(("a",))), parsed(authority.issue(("b",), fault="revoked"))
    listing = b64decode(authority.responder().crl_der_base64)
    assert check_crl(listing, *good, NOW) is None
    refused(check_crl(listing, *bad, NOW), "revoked", CERTIFICATE_REVOKED)
    keys = authority.responder().model_dump_json()
    assert keys.count("PRIVATE KEY") == 2, "the delegate's key alone leaves the authority"
