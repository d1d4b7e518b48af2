"""A real TLS conversation in memory, by Python's ssl module; run as a program, it prints what was sent.

As a program of its own because OpenSSL takes the TLS 1.3 cipher suite only from its configuration
file, which it reads once in a process.

Usage: tls_dialogue.py DIRECTORY {1.2|1.3} CIPHERS [SERVER_GROUP]   (with OPENSSL_CONF in the environment)
"""

from __future__ import annotations

import datetime as dt
import json
import ssl
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "api.example.com"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def certificate(directory: Path) -> Path:
    """A self-signed certificate and its key for NAME, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start.replace(year=2120))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


class Peer:
    """One end: its TLS object, and all that it has sent."""

    def __init__(self, context: ssl.SSLContext, server_side: bool) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server_side else NAME
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side, name)
        self.sent = b""

    def flush_to(self, other: Peer) -> None:
        data = self.outgoing.read()
        self.sent += data
        other.incoming.write(data)


def contexts(directory: Path, version: str, ciphers: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    path = certificate(directory)
    client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client.load_verify_locations(path)
    client.keylog_filename = str(directory / "keys.log")
    server.load_cert_chain(path)
    for context in (client, server):
        context.minimum_version = context.maximum_version = VERSIONS[version]
        context.set_alpn_protocols(["http/1.1"])
        if version == "1.2":
            context.set_ciphers(ciphers)
    return client, server


def handshake(client: Peer, server: Peer) -> None:
    done: set[Peer] = set()
    while len(done) < 2:
        for peer, other in ((client, server), (server, client)):
            try:
                peer.tls.do_handshake()
                done.add(peer)
            except ssl.SSLWantReadError:
                pass
            peer.flush_to(other)


def converse(client: Peer, server: Peer, requests: list[bytes], responses: list[bytes]) -> None:
    for request, response in zip(requests, responses, strict=True):
        for peer, other, data in ((client, server, request), (server, client, response)):
            peer.tls.write(data)
            peer.flush_to(other)
            got = b""
            while len(got) < len(data):
                got += other.tls.read(len(data))
            assert got == data


def main() -> None:
    directory, version, ciphers = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    client_context, server_context = contexts(directory, version, ciphers)
    for group in sys.argv[4:]:
        server_context.set_ecdh_curve(group)
    client, server = Peer(client_context, server_side=False), Peer(server_context, server_side=True)
    handshake(client, server)
    requests = [b"GET /user/42 HTTP/1.1\r\n\r\n", b"GET /big HTTP/1.1\r\n\r\n"]
    responses = [b"HTTP/1.1 200 OK\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n\r\n" + bytes(range(256)) * 200]
    converse(client, server, requests, responses)
    json.dump(
        {
            "client": client.sent.hex(),
            "server": server.sent.hex(),
            "keys": (directory / "keys.log").read_text(),
            "cipher": (client.tls.cipher() or ("",))[0],
            "requests": b"".join(requests).hex(),
            "responses": b"".join(responses).hex(),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
