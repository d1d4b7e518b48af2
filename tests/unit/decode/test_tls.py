"""Decryption of real TLS conversations, made in memory by OpenSSL."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from netlab.decode.frame import ACK, SYN
from netlab.decode.stream import Stream
from netlab.decode.tls import KeyLog, TlsSession, decrypt, hello_offset
from netlab.proto import proxy_protocol
from tests.kit import tls_dialogue

_CONF = """openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = default
[default]
Ciphersuites = {suite}
Groups = X25519:P-256:P-384
"""


class Dialogue(NamedTuple):
    client: bytes
    server: bytes
    keys: str
    cipher: str
    requests: bytes
    responses: bytes

    def session(self) -> TlsSession:
        return decrypt(self.client, self.server, KeyLog.parse(self.keys))


@cache
def dialogue(version: str, cipher: str, *server_group: str) -> Dialogue:
    suite = cipher if version == "1.3" else "TLS_AES_256_GCM_SHA384"
    with TemporaryDirectory() as directory:
        conf = Path(directory, "openssl.cnf")
        conf.write_text(_CONF.format(suite=suite))
        program = tls_dialogue.__file__
        done = subprocess.run(
            [sys.executable, program, directory, version, cipher, *server_group],
            env=os.environ | {"OPENSSL_CONF": str(conf)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    data = {name: bytes.fromhex(found[name]) for name in ("client", "server", "requests", "responses")}
    return Dialogue(keys=found["keys"], cipher=found["cipher"], **data)


def default() -> Dialogue:
    return dialogue("1.3", "TLS_AES_256_GCM_SHA384")


SUITES_13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
SUITES_12 = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}


@pytest.mark.parametrize("suite", SUITES_13)
def test_tls_13(suite: str) -> None:
    made = dialogue("1.3", suite)
    session = made.session()
    assert session.undecrypted == ""
    assert (session.version, session.cipher) == ("TLS 1.3", suite)
    assert (session.sni, session.alpn, session.resumed) == ("api.example.com", "http/1.1", False)
    assert session.client_plain.data == made.requests
    assert session.server_plain.data == made.responses
    names = [(message.direction, message.name) for message in session.messages]
    assert names == [
        ("client", "ClientHello"),
        ("client", "Finished"),
        ("server", "ServerHello"),
        ("server", "EncryptedExtensions"),
        ("server", "Certificate"),
        ("server", "CertificateVerify"),
        ("server", "Finished"),
        ("server", "NewSessionTicket"),
        ("server", "NewSessionTicket"),
    ]


@pytest.mark.parametrize(("cipher", "name"), SUITES_12.items())
def test_tls_12(cipher: str, name: str) -> None:
    made = dialogue("1.2", cipher)
    session = made.session()
    assert session.undecrypted == ""
    assert (session.version, session.cipher) == ("TLS 1.2", name)
    assert (session.sni, session.alpn) == ("api.example.com", "http/1.1")
    assert session.client_plain.data == made.requests
    assert session.server_plain.data == made.responses
    assert [message.name for message in session.messages if message.direction == "client"] == [
        "ClientHello",
        "ClientKeyExchange",
        "Finished",
    ]


def test_every_plaintext_byte_leads_to_its_record() -> None:
    made = default()
    session = made.session()
    plain = session.server_plain
    start, end = plain.stream_range(0, 1)
    assert made.server[start : start + 3] == b"\x17\x03\x03"
    assert end - start == 5 + int.from_bytes(made.server[start + 3 : start + 5], "big")
    assert plain.stream_range(len(plain) - 1, len(plain))[1] == len(made.server)
    whole = plain.stream_range(0, len(plain))
    assert whole == (start, len(made.server))
    with pytest.raises(IndexError):
        plain.stream_range(0, len(plain) + 1)


def test_messages_lie_on_records() -> None:
    made = default()
    for message in made.session().messages:
        data = made.client if message.direction == "client" else made.server
        assert data[message.start] in (22, 23), message
        assert message.end <= len(data)
    hello = made.session().messages[0]
    assert (hello.start, hello.end) == (0, 5 + int.from_bytes(made.client[3:5], "big"))


def expand(secret: bytes, label: str, length: int) -> bytes:
    """HKDF-Expand-Label of RFC 8446, section 7.1, with SHA-384, by cryptography's HKDF."""
    name = b"tls13 " + label.encode()
    info = struct.pack(">HB", length, len(name)) + name + b"\0"
    return HKDFExpand(SHA384(), length, info).derive(secret)


def sealed(secret: bytes, number: int, kind: int, content: bytes) -> bytes:
    """A TLS 1.3 record of AES-256-GCM, with some padding (RFC 8446, section 5.2)."""
    nonce = int.from_bytes(expand(secret, "iv", 12), "big") ^ number
    inner = content + bytes((kind,)) + bytes(5)
    head = struct.pack(">BHH", 23, 0x0303, len(inner) + 16)
    return head + AESGCM(expand(secret, "key", 32)).encrypt(nonce.to_bytes(12, "big"), inner, head)


def test_a_key_update() -> None:
    made = default()
    words = [line.split() for line in made.keys.splitlines()]
    secret = next(bytes.fromhex(word[2]) for word in words if word[0] == "CLIENT_TRAFFIC_SECRET_0")
    update = sealed(secret, 2, 22, b"\x18\0\0\1\0")  # the two requests were records 0 and 1
    after = sealed(expand(secret, "traffic upd", 48), 0, 23, b"after the update")
    session = decrypt(made.client + update + after, made.server, KeyLog.parse(made.keys))
    assert session.undecrypted == ""
    assert session.client_plain.data == made.requests + b"after the update"
    sent = [message for message in session.messages if message.direction == "client"]
    assert sent[-1][:4] == ("KeyUpdate", "client", len(made.client), len(made.client + update))


def test_an_alert() -> None:
    made = default()
    words = [line.split() for line in made.keys.splitlines()]
    secret = next(bytes.fromhex(word[2]) for word in words if word[0] == "CLIENT_TRAFFIC_SECRET_0")
    session = decrypt(made.client + sealed(secret, 2, 21, b"\1\0"), made.server, KeyLog.parse(made.keys))
    (alert,) = session.alerts
    assert alert.name == "close_notify"
    assert (alert.level, alert.description, alert.direction, alert.start) == (
        1,
        0,
        "client",
        len(made.client),
    )


def test_streams_lead_from_plaintext_to_frames() -> None:
    made = default()
    client, server = Stream(), Stream()
    for stream, data in ((client, made.client), (server, made.server)):
        stream.add(1, 77, b"", SYN)
        for position in range(0, len(data), 100):
            stream.add(2 + position // 100, 78 + position, data[position : position + 100], ACK)
    session = decrypt(client, server, KeyLog.parse(made.keys))
    start, end = session.client_plain.stream_range(0, 12)
    assert session.client_plain.data[:12] == b"GET /user/42"
    assert client.frames_of(start, end) == tuple(range(2 + start // 100, 3 + (end - 1) // 100))


def test_a_gap_in_the_capture_is_told() -> None:
    made = default()
    client, server = Stream(), Stream()
    client.add(1, 0, made.client[:100], ACK)
    client.add(2, 150, made.client[150:], ACK)
    server.add(3, 0, made.server, ACK)
    session = decrypt(client, server, KeyLog.parse(made.keys))
    assert session.undecrypted == "the client's stream ends within its ClientHello"
    client = Stream()
    client.add(1, 0, made.client[:-10], ACK)
    client.add(2, len(made.client) - 5, made.client[-5:], ACK)
    session = decrypt(client, server, KeyLog.parse(made.keys))
    assert session.undecrypted.startswith("the capture lacks bytes")
    assert session.client_plain.data.startswith(b"GET /user/42")


def test_a_proxy_header_before_the_hello_is_skipped() -> None:
    made = default()
    for header in (
        proxy_protocol.encode(proxy_protocol.Header("192.0.2.1", 5, "192.0.2.2", 443)),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 5 443\r\n",
    ):
        session = decrypt(header + made.client, made.server, KeyLog.parse(made.keys))
        assert session.start == len(header)
        assert session.client_plain.data == made.requests
        assert session.messages[0].start == len(header)


def test_a_hello_retry_request() -> None:
    made = dialogue("1.3", "TLS_AES_128_GCM_SHA256", "secp384r1")
    session = made.session()
    assert session.undecrypted == ""
    assert session.client_plain.data == made.requests
    names = [message.name for message in session.messages]
    assert names.count("ClientHello") == 2
    assert names.count("ServerHello") == names.count("HelloRetryRequest") == 1


def _one_bit_off(keys: str) -> str:
    return "\n".join(line[:-1] + ("0" if line[-1] != "0" else "1") for line in keys.splitlines())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda keys: "", "the key log has no secrets for the client random"),
        (lambda keys: "# comment\nnonsense\nA zz 00\n", "the key log has no secrets for the client random"),
        (_one_bit_off, "the logged secret does not open the client's record at byte"),
    ],
)
def test_without_the_right_keys_the_session_says_why(change: Callable[[str], str], reason: str) -> None:
    made = default()
    session = decrypt(made.client, made.server, KeyLog.parse(change(made.keys)))
    assert session.undecrypted.startswith(reason)
    assert session.client_plain.data == b""
    assert (session.sni, session.cipher) == ("api.example.com", "TLS_AES_256_GCM_SHA384")
    assert session.messages[0].name == "ClientHello"


def test_what_is_not_tls() -> None:
    session = decrypt(b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", KeyLog())
    assert session.undecrypted == "the client's stream does not start with a TLS ClientHello"
    assert hello_offset(b"") is None
    assert hello_offset(b"\x16\x03\x01") is None


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_random_bytes_never_raise(client: bytes, server: bytes) -> None:
    decrypt(client, server, KeyLog())
    decrypt(b"\x16\x03\x01\x00\x50\x01" + client, b"\x16\x03\x03\x00\x40\x02" + server, KeyLog())


@given(st.data())
def test_damaged_conversations_never_raise(data: st.DataObject) -> None:
    made = default()
    streams = []
    for whole in (made.client, made.server):
        damaged = bytearray(whole)
        for place, value in data.draw(
            st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4)
        ):
            damaged[place % len(damaged)] = value
        streams.append(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    session = decrypt(streams[0], streams[1], KeyLog.parse(made.keys))
    assert made.requests.startswith(session.client_plain.data)
    assert made.responses.startswith(session.server_plain.data)
