"""Real TLS bytes without a network: two ends in memory, with a key log."""

from __future__ import annotations

import datetime as dt
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass
class Pair:
    """A client and a server of one connection. `keys` is the client's key log."""

    client: ssl.SSLObject
    server: ssl.SSLObject
    to_server: ssl.MemoryBIO
    to_client: ssl.MemoryBIO
    client_in: ssl.MemoryBIO
    server_in: ssl.MemoryBIO
    keylog: Path

    @property
    def keys(self) -> str:
        return self.keylog.read_text()

    def handshake(self) -> tuple[bytes, bytes, bytes]:
        """The bytes of ClientHello, of the server's flight, and of the client's Finished (TLS 1.3)."""
        _step(self.client)
        hello = self.to_server.read()
        self.server_in.write(hello)
        _step(self.server)
        flight = self.to_client.read()
        self.client_in.write(flight)
        _step(self.client)
        finished = self.to_server.read()
        self.server_in.write(finished)
        _step(self.server)
        return hello, flight, finished

    def request(self, data: bytes) -> bytes:
        self.client.write(data)
        sent = self.to_server.read()
        self.server_in.write(sent)
        assert self.server.read(65536) == data
        return sent

    def response(self, data: bytes) -> bytes:
        """Starts with the session tickets that the server has waiting."""
        self.server.write(data)
        return self.to_client.read()


def contexts(
    directory: Path, name: str, version: str = "1.3", alpn: tuple[str, ...] = ("http/1.1",)
) -> tuple[ssl.SSLContext, ssl.SSLContext, Path]:
    """Of a client and of a server called `name`, and the client's key log, a new file in `directory`."""
    keylog = directory / f"{name}-{len(list(directory.iterdir()))}.keys"
    certificate = directory / f"{name}.pem"
    certificate.write_bytes(certificate_pem(name))
    client = ssl.create_default_context(cafile=str(certificate))
    client.keylog_filename = str(keylog)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    for context in (client, server):
        context.minimum_version = context.maximum_version = _VERSIONS[version]
        context.set_alpn_protocols(list(alpn))
    return client, server, keylog


def tls_pair(directory: Path, name: str) -> Pair:
    """A TLS 1.3 pair for the server `name`; the key log is a new file in `directory`."""
    client_context, server_context, keylog = contexts(directory, name)
    client_in, client_out, server_in, server_out = (ssl.MemoryBIO() for _ in range(4))
    client = client_context.wrap_bio(client_in, client_out, server_hostname=name)
    server = server_context.wrap_bio(server_in, server_out, server_side=True)
    return Pair(client, server, client_out, server_out, client_in, server_in, keylog)


def _step(end: ssl.SSLObject) -> None:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return


@lru_cache
def certificate_pem(name: str) -> bytes:
    """Key and self-signed certificate, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - a certificate must be valid when the test runs
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
