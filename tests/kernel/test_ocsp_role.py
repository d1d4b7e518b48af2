"""The OCSP responder as a process, asked by openssl and curl, and by our client through a revoked server."""

from __future__ import annotations

import subprocess
import time
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from netlab.model.launch import Identity
from netlab.model.roles import OcspSpec, ProxySpec, Route, TlsServer
from netlab.pki import Authority
from netlab.pki.rejected import Rejected
from netlab.pki.revocation import check_ocsp
from tests.kit.role_process import Roles, roles
from tests.kit.tls_pair import NAME, NOW

PORT = 8080
URL = f"http://127.0.0.1:{PORT}"
AUTHORITY = Authority.create("test", NOW, URL)
GOOD, REVOKED = AUTHORITY.issue((NAME,)), AUTHORITY.issue((NAME,), fault="revoked")


def start(started: Roles) -> None:
    started.start("ca", OcspSpec(listen=PORT), responder=AUTHORITY.responder())


def run(*argv: str) -> bytes:
    done = subprocess.run(argv, capture_output=True, timeout=20, check=False)
    return done.stdout + done.stderr


def parsed(pem: str) -> tuple[x509.Certificate, x509.Certificate]:
    first, second = x509.load_pem_x509_certificates(pem.encode())
    return first, second


@pytest.mark.parametrize(("identity", "status"), [(GOOD, b"good"), (REVOKED, b"revoked")])
def test_openssl_asks(tmp_path: Path, identity: Identity, status: bytes) -> None:
    leaf, issuer = parsed(identity.chain_pem)
    for name, certificate in (("leaf", leaf), ("issuer", issuer)):
        (tmp_path / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "root.pem").write_text(AUTHORITY.root_pem)
    files = {name: str(tmp_path / f"{name}.pem") for name in ("leaf", "issuer", "root")}
    with roles(tmp_path) as started:
        start(started)
        place = ("-url", URL, "-CAfile", files["root"])
        shown = ("-issuer", files["issuer"], "-cert", files["leaf"], "-verify_other", files["issuer"])
        output = run("openssl", "ocsp", *place, *shown)
        assert b"Response verify OK" in output, output
        assert b"leaf.pem: " + status in output, output
        assert (b"keyCompromise" in output) == (status == b"revoked"), output


def test_curl_gets_a_status_and_the_list(tmp_path: Path) -> None:
    leaf, issuer = parsed(GOOD.chain_pem)
    builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA1())
    request = builder.build().public_bytes(Encoding.DER)
    (tmp_path / "request").write_bytes(request)
    post = ("-H", "Content-Type: application/ocsp-request", "--data-binary", f"@{tmp_path / 'request'}", URL)
    with roles(tmp_path) as started:
        start(started)
        encoded = b64encode(request).decode()
        for how in ((f"{URL}/{quote(encoded, safe='')}",), (f"{URL}/{encoded}",), post):
            head, _, body = run("curl", "-sSi", *how).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            assert b"application/ocsp-response" in head, head
            assert b"max-age=3600" in head, head
            assert not isinstance(
                check_ocsp(body, leaf, issuer, datetime.fromtimestamp(time.time(), UTC)), Rejected
            )
        crl = run("curl", "-sS", f"{URL}/authority.crl")
        (tmp_path / "list").write_bytes(crl)
        text = run("openssl", "crl", "-inform", "DER", "-in", str(tmp_path / "list"), "-noout", "-text")
        assert f"{parsed(REVOKED.chain_pem)[0].serial_number:X}".encode() in text, text
        assert b"Key Compromise" in text, text


@pytest.mark.parametrize(
    ("how", "status"),
    [
        (("-X", "PUT", "-d", "x", URL), b"405"),
        (("-d", "x", URL), b"415"),
        (("-H", "Content-Type: application/ocsp-request", "-d", "x" * 20_000, URL), b"413"),
        ((URL,), b"404"),
        ((f"{URL}/%FF%00",), b"404"),
        (("-H", "Content-Type: application/ocsp-request", "-d", "rubbish", URL), b"200"),
        (("-I", f"{URL}/authority.crl"), b"200"),
    ],
)
def test_bad_requests(tmp_path: Path, how: tuple[str, ...], status: bytes) -> None:
    with roles(tmp_path) as started:
        start(started)
        answer = run("curl", "-sSi", *how)
        assert answer.startswith(b"HTTP/1.1 " + status), answer
        for role in started.started:
            assert role.stop() == 0, role.evidence()
            assert role.log() == "", role.log()


def test_a_revoked_server_staples_that_it_is(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text(AUTHORITY.root_pem)
    with roles(tmp_path) as started:
        spec = ProxySpec(
            names=(NAME,), routes=(Route(upstreams=("127.0.0.1:1",)),), tls=TlsServer(fault="revoked")
        )
        started.start("proxy", spec, identity=REVOKED)
        argv = ("curl", "-sS", "--cacert", str(tmp_path / "root.pem"), "--resolve", f"{NAME}:443:127.0.0.1")
        assert b"keycompromise" in run(*argv, "--cert-status", f"https://{NAME}/").lower()
        assert b"upstream" in run(*argv, "--http1.1", f"https://{NAME}/")
