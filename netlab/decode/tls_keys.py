"""TLS secrets and what opens records with them.

Sources: the NSS key log format (draft-ietf-tls-keylogfile); RFC 8446, sections 5.2, 5.3, 7.1 to 7.3
(TLS 1.3); RFC 5246, sections 5 and 6.3, RFC 5288 and RFC 7905 (TLS 1.2 with AEAD).
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

# What a client's or server's protected records in one epoch need: (record's head, body) ─► plaintext.
# It counts the records itself. Raises cryptography's InvalidTag where the secret is another one.
Opener = Callable[[bytes, bytes], bytes]


class Suite(NamedTuple):
    """A cipher suite: IANA name, hash, key length in bytes, whether it is ChaCha20-Poly1305."""

    name: str
    hash: str
    key_length: int
    chacha: bool = False


SUITES_13 = {
    0x1301: Suite("TLS_AES_128_GCM_SHA256", "sha256", 16),
    0x1302: Suite("TLS_AES_256_GCM_SHA384", "sha384", 32),
    0x1303: Suite("TLS_CHACHA20_POLY1305_SHA256", "sha256", 32, chacha=True),
}
SUITES_12 = {
    0x009C: Suite("TLS_RSA_WITH_AES_128_GCM_SHA256", "sha256", 16),
    0x009D: Suite("TLS_RSA_WITH_AES_256_GCM_SHA384", "sha384", 32),
    0x009E: Suite("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "sha256", 16),
    0x009F: Suite("TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "sha384", 32),
    0xC02B: Suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "sha256", 16),
    0xC02C: Suite("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "sha384", 32),
    0xC02F: Suite("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "sha256", 16),
    0xC030: Suite("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "sha384", 32),
    0xCCA8: Suite("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "sha256", 32, chacha=True),
    0xCCA9: Suite("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "sha256", 32, chacha=True),
}


@dataclass(frozen=True, slots=True)
class KeyLog:
    """Secrets by label ("CLIENT_TRAFFIC_SECRET_0") and the client's random."""

    secrets: dict[tuple[str, bytes], bytes] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> KeyLog:
        """Of lines `LABEL CLIENT_RANDOM SECRET` in hex; comments and other lines are left out."""
        secrets: dict[tuple[str, bytes], bytes] = {}
        for line in text.splitlines():
            words = line.split()
            if len(words) != 3 or words[0].startswith("#"):
                continue
            try:
                secrets[words[0], bytes.fromhex(words[1])] = bytes.fromhex(words[2])
            except ValueError:
                continue
        return cls(secrets)

    def secret(self, label: str, client_random: bytes) -> bytes | None:
        """The secret, or None where the log doesn't have it."""
        return self.secrets.get((label, client_random))


def expand_label(secret: bytes, label: str, length: int, hash_name: str) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446, section 7.1)."""
    name = b"tls13 " + label.encode()
    info = struct.pack(">HB", length, len(name)) + name + b"\0"
    made, block, counter = b"", b"", 1
    while len(made) < length:
        block = hmac.digest(secret, block + info + bytes((counter,)), hash_name)
        made += block
        counter += 1
    return made[:length]


def next_secret(secret: bytes, suite: Suite) -> bytes:
    """The traffic secret after a KeyUpdate (RFC 8446, section 7.2)."""
    return expand_label(secret, "traffic upd", len(secret), suite.hash)


def open_13(secret: bytes, suite: Suite) -> Opener:
    """Opens the TLS 1.3 records of one traffic secret (RFC 8446, sections 5.2 and 5.3)."""
    aead = _aead(suite, expand_label(secret, "key", suite.key_length, suite.hash))
    iv = int.from_bytes(expand_label(secret, "iv", 12, suite.hash), "big")
    number = 0

    def opener(head: bytes, body: bytes) -> bytes:
        nonlocal number
        nonce = (iv ^ number).to_bytes(12, "big")
        number += 1
        return aead.decrypt(nonce, body, head)

    return opener


def open_12(master: bytes, client_random: bytes, server_random: bytes, suite: Suite) -> tuple[Opener, Opener]:
    """Open the client's and the server's records of TLS 1.2 (RFC 5246, section 6.3)."""
    size, iv_size = suite.key_length, 12 if suite.chacha else 4
    seed = b"key expansion" + server_random + client_random
    block = _prf_12(master, seed, 2 * (size + iv_size), suite.hash)
    keys, ivs = block[: 2 * size], block[2 * size :]
    return (
        _opener_12(suite, keys[:size], ivs[:iv_size]),
        _opener_12(suite, keys[size:], ivs[iv_size:]),
    )


def _opener_12(suite: Suite, key: bytes, iv: bytes) -> Opener:
    aead = _aead(suite, key)
    number = 0

    def opener(head: bytes, body: bytes) -> bytes:
        nonlocal number
        sequence = number.to_bytes(8, "big")
        if suite.chacha:
            nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(12, "big")
        else:
            nonce, body = iv + body[:8], body[8:]
        number += 1
        length = struct.pack(">H", max(len(body) - 16, 0))
        return aead.decrypt(nonce, body, sequence + head[:3] + length)

    return opener


def _prf_12(secret: bytes, seed: bytes, length: int, hash_name: str) -> bytes:
    """P_hash of RFC 5246, section 5; the label is in `seed` already."""
    made, a = b"", seed
    while len(made) < length:
        a = hmac.digest(secret, a, hash_name)
        made += hmac.digest(secret, a + seed, hash_name)
    return made[:length]


def _aead(suite: Suite, key: bytes) -> AESGCM | ChaCha20Poly1305:
    return ChaCha20Poly1305(key) if suite.chacha else AESGCM(key)
