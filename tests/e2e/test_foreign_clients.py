"""Clients that aren't netlab's, inside a lab: curl, nghttp and headless Chromium, over HTTP/1.1, 2 and 3."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from netlab.lab.client import LabClient
from tests.e2e.conftest import Done, Lab
from tests.e2e.test_trace_rest import a_lab
from tests.kit.browser import chromium
from tests.kit.chain import chain

URL = "https://www.example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    for lab in a_lab(tmp_path_factory.mktemp("site")):
        lab.up(chain("2", "1.1"))
        yield lab
        lab.netlab("down", lab.name)


def inside(lab: Lab, *argv: str, timeout_s: float = 60) -> Done:
    """Run a program in the client's node."""
    return lab.netlab("exec", "client", "--lab", lab.name, "--", *argv, timeout_s=timeout_s)


def seen(lab: Lab, offset: int, *kinds: str) -> list[dict[str, Any]]:
    """What the edge said since then."""
    events = LabClient.connect(lab.name).events_since(offset)
    return [one.data | {"event": one.event} for one in events if one.node == "cdn" and one.event in kinds]


def offset(lab: Lab) -> int:
    return LabClient.connect(lab.name).events_size()


# curl


@pytest.mark.needs("curl")
@pytest.mark.parametrize(("option", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
def test_curl_gets_posts_and_asks_heads(site: Lab, option: str, version: str) -> None:
    form = "%{http_version} %{http_code} %{size_download}"
    curl = ("curl", "-sS", option, "-o", "/dev/null", "-w", form)
    assert inside(site, *curl, f"{URL}/bytes/3000000").stdout == f"{version} 200 3000000"
    assert inside(site, *curl, "-I", f"{URL}/bytes/7").stdout.startswith(f"{version} 200")
    assert inside(site, *curl, f"{URL}/nowhere").stdout.startswith(f"{version} 404")
    echo = inside(site, "curl", "-sS", option, "-d", "grüße", f"{URL}/echo")
    assert echo.stdout == "grüße", echo
    big = site.directory / "upload"
    big.write_bytes(bytes(2_000_000))
    sunk = inside(site, "curl", "-sS", option, "-H", "Expect: 100-continue", "-T", str(big), f"{URL}/sink")
    assert json.loads(sunk.stdout)["sha256"] == hashlib.sha256(bytes(2_000_000)).hexdigest(), sunk


@pytest.mark.needs("curl")
def test_curl_reuses_a_connection_and_gets_an_event_stream(site: Lab) -> None:
    form = "%{num_connects} "
    done = inside(
        site,
        "curl",
        "-sS",
        "-o",
        "/dev/null",
        "-o",
        "/dev/null",
        "-w",
        form,
        f"{URL}/health",
        f"{URL}/health",
    )
    assert done.stdout == "1 0 ", done
    stream = inside(site, "curl", "-sSN", "--max-time", "1", f"{URL}/channels/curl/events")
    assert stream.stdout.startswith("retry: "), stream


@pytest.mark.needs("curl")
def test_curl_believes_the_lab_s_root_and_nobody_else(site: Lab) -> None:
    done = inside(site, "curl", "-sS", "--cacert", "/etc/ssl/certs/ca-certificates.crt", f"{URL}/health")
    assert done.status == 60, done  # curl's "can't be authenticated with known CA certificates"


# nghttp


@pytest.mark.needs("nghttp")
def test_nghttp_has_many_streams_on_one_connection(site: Lab) -> None:
    start = offset(site)
    done = inside(site, "nghttp", "-ns", *(f"{URL}/objects/{number}?size=3000" for number in range(40)))
    assert done.status == 0, done
    rows = [line for line in done.stdout.splitlines() if "/objects/" in line]
    assert len(rows) == 40, done
    assert {line.split()[4] for line in rows} == {"200"}, rows
    assert len(seen(site, start, "tls-handshake")) == 1, "one connection"


@pytest.mark.needs("nghttp")
def test_nghttp_goes_on_with_small_windows(site: Lab) -> None:
    """Flow control: 16 KiB for a stream, 32 KiB for the connection."""
    done = inside(site, "nghttp", "-nv", "-w", "14", "-W", "15", f"{URL}/bytes/500000")
    assert done.status == 0, done
    sizes = [
        int(line.partition("length=")[2].partition(",")[0])
        for line in done.stdout.splitlines()
        if "recv DATA frame" in line
    ]
    assert sum(sizes) == 500_000, sizes


# Chromium


def leaf_pin(lab: Lab) -> str:
    """The edge's certificate as Chromium's command line takes it: base64 SHA-256 of its public key."""
    shown = inside(lab, "openssl", "s_client", "-connect", "www.example:443", "-servername", "www.example")
    start = shown.stdout.index("-----BEGIN CERTIFICATE-----")
    pem = shown.stdout[start : shown.stdout.index("-----END CERTIFICATE-----") + 25]
    key = x509.load_der_x509_certificate(ssl.PEM_cert_to_DER_cert(pem)).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


def browse(lab: Lab, url: str, *options: str) -> str:
    """The page's document after its scripts have run, as text."""
    program = chromium()
    assert program is not None
    profile = lab.directory / f"profile-{secrets.token_hex(4)}"
    done = inside(
        lab,
        program,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        # Lab addresses are private ones, which pages from elsewhere may not reach without asking the user.
        "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets",
        f"--user-data-dir={profile}",
        f"--ignore-certificate-errors-spki-list={leaf_pin(lab)}",
        *options,
        "--dump-dom",
        url,
        timeout_s=90,
    )
    assert done.status == 0, done
    return html.unescape(done.stdout)


@pytest.mark.needs("chromium")
@pytest.mark.parametrize(
    ("options", "version"),
    [
        (("--disable-quic", "--disable-http2"), "1.1"),
        (("--disable-quic",), "2"),
        (("--origin-to-force-quic-on=www.example:443",), "3"),
    ],
)
def test_chromium_speaks_each_version(site: Lab, options: tuple[str, ...], version: str) -> None:
    start = offset(site)
    assert '{"status":"ok"}' in browse(site, f"{URL}/health", *options)
    asked = [one for one in seen(site, start, "request-received") if one["target"] == "/health"]
    assert [one.get("version", "1.1") for one in asked] == [version], asked
    assert "Chrom" in asked[0]["headers"]["user-agent"], asked


# The slow frame keeps the page loading until the talk is over; only then is it printed.
PAGE = """data:text/html,<body><p id=said></p><iframe src=https://www.example/slow?ms=2500></iframe><script>
const socket = new WebSocket('wss://www.example/channels/browser/ws');
socket.onopen = () => socket.send('from a browser');
socket.onmessage = event => { said.innerText = event.data + ' ' + socket.extensions; };
socket.onerror = () => { said.innerText = 'error'; };
</script>"""


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("options", [("--disable-http2",), ()], ids=["1.1", "any"])
def test_chromium_talks_on_a_websocket(site: Lab, options: tuple[str, ...]) -> None:
    """Sent by the browser, published by the app, and pushed back, compressed as the browser offers."""
    start = offset(site)
    page = PAGE.replace("\n", " ")
    document = browse(site, page, "--disable-quic", *options)
    assert '"text":"from a browser"' in document, document
    assert "permessage-deflate" in document, document
    opened = LabClient.connect(site.name).events_since(start)
    assert any(one.event == "websocket-opened" and one.node == "app" for one in opened)


@pytest.mark.needs("chromium")
def test_what_chromium_spoke_is_in_the_key_log(site: Lab) -> None:
    """`exec` gives programs SSLKEYLOGFILE, so captures of a browser's connections can be read."""
    keys = Path("/run/netlab") / site.name / "keys" / "client.exec.keys"
    before = keys.read_text() if keys.exists() else ""
    browse(site, f"{URL}/health", "--disable-quic")
    added = keys.read_text()[len(before) :]
    assert "CLIENT_TRAFFIC_SECRET_0" in added, added[:200]
