"""The verifier: each check, at its boundaries, by its name and in words."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from netlab.pki.certificate import Extension, Party, Validity, authority_extensions, leaf_extensions
from netlab.pki.chain import Purpose
from netlab.pki.rejected import BAD_CERTIFICATE, CERTIFICATE_EXPIRED, UNKNOWN_CA, Rejected
from netlab.pki.verify import Expected, crl_urls, must_staple, pin, verify
from tests.kit.certificates import DAY, NAME, NOW, VALID, Chain, authority, chain, leaf, replaced, without

GOOD = chain()
SECOND = timedelta(seconds=1)


def judged(
    made: Chain,
    name: str = NAME,
    now: datetime = NOW,
    pins: tuple[str, ...] = (),
    purpose: Purpose = "server",
    roots: tuple[x509.Certificate, ...] = (),
    presented: tuple[x509.Certificate, ...] | None = None,
) -> tuple[x509.Certificate, ...] | Rejected:
    shown = made.presented if presented is None else presented
    return verify(shown, Expected(roots or (made.root.shown,), name, now, pins, purpose))


def refused(verdict: object, check: str, words: str, alert: int = BAD_CERTIFICATE) -> None:
    assert isinstance(verdict, Rejected), verdict
    assert (verdict.check, verdict.alert) == (check, alert), verdict
    assert words in verdict.cause, verdict
    assert str(verdict) == verdict.cause


def usage(**more: bool) -> x509.KeyUsage:
    none = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**(none | more))


def test_a_good_chain_in_any_order() -> None:
    assert judged(GOOD) == GOOD.trusted
    other = authority("other")
    shuffled = (GOOD.leaf.shown, other.shown, GOOD.root.shown, GOOD.intermediate.shown)
    assert judged(GOOD, presented=shuffled) == GOOD.trusted
    assert judged(GOOD, name="") == GOOD.trusted


def test_a_leaf_right_below_the_root_and_the_root_itself() -> None:
    root = authority("root")
    below = leaf(root)
    made = Chain(root, root, below)
    assert judged(made, presented=(below.shown,)) == (below.shown, root.shown)
    own = Party.create("own")
    own = own.certified(own, VALID, *leaf_extensions("server", (NAME,), ""))
    assert judged(made, roots=(own.shown,), presented=(own.shown,)) == (own.shown,)


def test_nobody_to_trust() -> None:
    refused(judged(GOOD, presented=()), "chain", "no certificate", UNKNOWN_CA)
    refused(
        judged(GOOD, roots=(authority("another").shown,)),
        "chain",
        "intermediate is signed by root, which is not in the chain, nor a trusted root (another)",
        UNKNOWN_CA,
    )
    refused(judged(GOOD, presented=GOOD.presented[:1]), "chain", "signed by intermediate", UNKNOWN_CA)


def test_a_root_of_the_same_name_with_another_key() -> None:
    refused(
        judged(GOOD, roots=(authority("root").shown,)),
        "chain",
        "the signature on the certificate of intermediate is not that of root",
        UNKNOWN_CA,
    )


def test_who_signs_themselves() -> None:
    own = Party.create("own")
    own = own.certified(own, VALID, *leaf_extensions("server", (NAME,), ""))
    refused(judged(GOOD, presented=(own.shown,)), "chain", "own signed its own certificate", UNKNOWN_CA)


def test_authorities_that_sign_in_a_circle() -> None:
    one, two = Party.create("one"), Party.create("two")
    first = one.certified(two, VALID, *authority_extensions(5))
    second = two.certified(one, VALID, *authority_extensions(5))
    made = Chain(authority("root"), first, leaf(first))
    shown = (made.leaf.shown, first.shown, second.shown)
    refused(judged(made, presented=shown), "chain", "the signature", UNKNOWN_CA)


def test_a_chain_that_is_too_long() -> None:
    issuers = [authority("root", path_length=20)]
    for number in range(10):
        issuers.append(authority(f"authority {number}", issuers[-1], 20))
    end = leaf(issuers[-1])
    made = Chain(issuers[0], issuers[-1], end)
    shown = (end.shown, *(one.shown for one in issuers))
    refused(judged(made, presented=shown), "chain", "more than 8 certificates")


def under(*extensions: Extension, replacing: bool = True) -> Chain:
    """With an intermediate of other extensions."""
    root = authority("root")
    made = authority_extensions(path_length=0)
    given = replaced(made, *extensions) if replacing else extensions
    intermediate = Party.create("intermediate").certified(root, VALID, *given)
    return Chain(root, intermediate, leaf(intermediate))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (under((x509.BasicConstraints(False, None), True)), "is no authority's"),
        (
            under(*without(authority_extensions(0), x509.BasicConstraints), replacing=False),
            "is no authority's",
        ),
        (under((usage(crl_sign=True), True)), "keyCertSign"),
        (chain((usage(key_cert_sign=True), True)), "digitalSignature"),
        (chain((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)), "is not for a server"),
        (chain((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)), "is not for a server"),
        (
            chain((x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)),
            "critical extension that is not understood (1.2.3.4)",
        ),
    ],
)
def test_what_a_certificate_may_be_used_for(made: Chain, words: str) -> None:
    refused(judged(made), "chain", words)


@pytest.mark.parametrize(
    "made",
    [
        chain((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)),
        chain((x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False)),
        under(*without(authority_extensions(0), x509.KeyUsage), replacing=False),
    ],
)
def test_what_is_allowed(made: Chain) -> None:
    assert judged(made) == made.trusted


def test_a_client_is_no_server_and_a_server_no_client() -> None:
    refused(judged(GOOD, purpose="client"), "chain", "is not for a client")
    made = chain((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False))
    assert judged(made, purpose="client") == made.trusted


def test_path_lengths() -> None:
    root = authority("root", path_length=0)
    intermediate = authority("intermediate", root, path_length=0)
    made = Chain(root, intermediate, leaf(intermediate))
    refused(judged(made), "chain", "root allows 0 authorities below it, and has 1")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (rsa.generate_private_key(65_537, 1024), "RSA with 1024 bits, at least 2048"),
        (ec.generate_private_key(ec.SECP224R1()), "secp224r1, at least 256 bits"),
    ],
)
def test_weak_keys(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, words: str) -> None:
    root = authority("root")
    weak = authority("weak", root, 0, key)
    refused(judged(Chain(root, weak, leaf(weak))), "chain", words)
    intermediate = authority("intermediate", root, 0)
    refused(judged(Chain(root, intermediate, leaf(intermediate, key=key))), "chain", words)


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65_537, 2048), ec.generate_private_key(ec.SECP384R1())]
)
def test_strong_keys(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    root = authority("root")
    intermediate = authority("intermediate", root, 0, key)
    made = Chain(root, intermediate, leaf(intermediate))
    assert judged(made) == made.trusted


def test_edwards_curves() -> None:
    root = authority("root")
    key = ed25519.Ed25519PrivateKey.generate()
    made = Party.create(NAME, key)  # type: ignore[arg-type] # our own authority makes no such keys
    made = made.certified(root, VALID, *leaf_extensions("server", (NAME,), ""))
    assert judged(Chain(root, root, made), presented=(made.shown,)) == (made.shown, root.shown)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (NOW - DAY, ""),
        (NOW + DAY, ""),
        (
            NOW - DAY - SECOND,
            "is not valid before 2026-11-19 12:00:00 UTC; it is 2026-11-19 11:59:59 UTC (1 s",
        ),
        (NOW + DAY + SECOND, "expired 2026-11-21 12:00:00 UTC; it is 2026-11-21 12:00:01 UTC (1 s too late)"),
        (NOW + 11 * DAY, "10 days too late"),
        (NOW - DAY - timedelta(minutes=150), "2 hours too early"),
    ],
)
def test_dates(now: datetime, words: str) -> None:
    verdict = judged(GOOD, now=now)
    if words:
        refused(verdict, "dates", words, CERTIFICATE_EXPIRED)
    else:
        assert verdict == GOOD.trusted


def test_the_intermediates_dates_count_too() -> None:
    root = authority("root")
    past = Validity(NOW - 2 * DAY, NOW - DAY)
    old = Party.create("old").certified(root, past, *authority_extensions(0))
    refused(judged(Chain(root, old, leaf(old))), "dates", "certificate of old expired", CERTIFICATE_EXPIRED)


def test_names() -> None:
    refused(
        judged(GOOD, name="b.example.com"),
        "name",
        f"b.example.com is not among the certificate's names ({NAME})",
    )
    many = chain(names=tuple(f"{letter}.example.com" for letter in "abcdefg"))
    refused(judged(many), "name", "e.example.com and 2 more)")
    refused(judged(chain(names=())), "name", "(none)")


def test_pins() -> None:
    for certificate in GOOD.trusted:
        assert judged(GOOD, pins=("A" * 43 + "=", pin(certificate))) == GOOD.trusted
    refused(judged(GOOD, pins=("A" * 43 + "=",)), "pin", "none of the 1 pinned keys", 46)


def test_a_pin_is_of_the_key_not_of_the_certificate() -> None:
    again = leaf(GOOD.intermediate, key=GOOD.leaf.key)
    assert again.shown != GOOD.leaf.shown
    assert pin(again.shown) == pin(GOOD.leaf.shown)


def test_what_a_certificate_says_of_its_status() -> None:
    assert not must_staple(GOOD.leaf.shown)
    feature = x509.TLSFeature([x509.TLSFeatureType.status_request])
    assert must_staple(chain((feature, False)).leaf.shown)
    assert crl_urls(GOOD.leaf.shown) == ()
    party = Party.create(NAME).certified(
        GOOD.intermediate, VALID, *leaf_extensions("server", (NAME,), "http://192.0.2.1:80")
    )
    assert crl_urls(party.shown) == ("http://192.0.2.1:80/authority.crl",)


def test_names_that_can_not_be_read() -> None:
    broken = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x05a")
    refused(judged(chain((broken, False), names=())), "chain", "can't be read")
