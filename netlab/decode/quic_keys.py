"""QUIC packet protection: Initial secrets, header protection, AEAD, key updates.

Sources: RFC 9001, sections 5 and 6 (QUIC v1); RFC 9369, section 3.3 (v2).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from netlab.decode.tls_keys import SUITES_13, Suite, expand_label

V1, V2 = 0x00000001, 0x6B3343CF
VERSIONS = {V1: "QUIC v1", V2: "QUIC v2"}

_SALTS = {
    V1: bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
    V2: bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"),
}
_PREFIX = {V1: "quic ", V2: "quicv2 "}
_INITIAL_SUITE = SUITES_13[0x1301]

Mask = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Keys:
    """What opens packets of one direction and one encryption level.

    `generation` counts key updates from 0; the header's key is that of generation 0 (RFC 9001, 6.1).
    """

    secret: bytes
    suite: Suite
    version: int = V1
    generation: int = 0
    mask: Mask | None = None
    previous: Keys | None = None  # those before the latest update

    @cached_property
    def _aead(self) -> AESGCM | ChaCha20Poly1305:
        key = expand_label(self.secret, _PREFIX[self.version] + "key", self.suite.key_length, self.suite.hash)
        return ChaCha20Poly1305(key) if self.suite.chacha else AESGCM(key)

    @cached_property
    def _iv(self) -> int:
        name = _PREFIX[self.version] + "iv"
        return int.from_bytes(expand_label(self.secret, name, 12, self.suite.hash), "big")

    @cached_property
    def header_mask(self) -> Mask:
        """5 bytes of mask for a sample of 16 bytes (RFC 9001, sections 5.4.3 and 5.4.4)."""
        if self.mask is not None:
            return self.mask
        key = expand_label(self.secret, _PREFIX[self.version] + "hp", self.suite.key_length, self.suite.hash)
        if self.suite.chacha:
            return lambda sample: Cipher(algorithms.ChaCha20(key, sample), None).encryptor().update(bytes(5))
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - as RFC 9001, 5.4.3 says
        return lambda sample: encryptor.update(sample)[:5]

    def open(self, number: int, header: bytes, sealed: bytes) -> bytes | None:
        """The plain payload of packet `number`; None where these keys don't open it."""
        nonce = (self._iv ^ number).to_bytes(12, "big")
        try:
            return self._aead.decrypt(nonce, sealed, header)
        except (InvalidTag, ValueError):
            return None

    @cached_property
    def next(self) -> Keys:
        """The keys after a key update (RFC 9001, section 6.1; the label is of the version)."""
        label = _PREFIX[self.version] + "ku"
        secret = expand_label(self.secret, label, len(self.secret), self.suite.hash)
        return Keys(secret, self.suite, self.version, self.generation + 1, self.header_mask, self)


def initial_keys(destination: bytes, version: int) -> tuple[Keys, Keys]:
    """The client's and the server's Initial keys, from the destination ID of the client's first packet
    (after Retry: of its next one). RFC 9001, section 5.2."""
    secret = hmac.digest(_SALTS[version], destination, "sha256")
    client, server = (expand_label(secret, f"{side} in", 32, "sha256") for side in ("client", "server"))
    return Keys(client, _INITIAL_SUITE, version), Keys(server, _INITIAL_SUITE, version)
