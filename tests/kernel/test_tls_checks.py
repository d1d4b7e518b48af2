"""Certificates that must not be believed: each check fails by its name, and the other side gets an alert."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from netlab.model.launch import Identity, Launch
from netlab.model.roles import CertificateFault, OcspSpec, TlsClient, TlsServer
from netlab.net.stream import TlsError
from netlab.pki import Authority
from netlab.pki.certificate import Validity
from netlab.pki.status import staple
from netlab.pki.verify import pin
from netlab.roles import ocsp
from tests.kit.roles_in_process import Running, context, until
from tests.kit.tls_pair import AUTHORITY, CLIENT_IDENTITY, IDENTITY, NAME, NOW, PORT, Pair, pair

HTTP = 8080
ROOT = x509.load_pem_x509_certificate(AUTHORITY.root_pem.encode())
VERSIONS = ("1.2", "1.3")


def server(version: str, **more: object) -> TlsServer:
    return TlsServer.model_validate({"versions": [version], **more})


async def refused(made: Pair, spec: TlsClient, check: str, words: str, alert: str) -> None:
    """The client refuses the server's certificate, and says why in its event; the server gets the alert."""
    with pytest.raises(TlsError) as caught:
        await made.connect(spec)
    assert (caught.value.check, words in str(caught.value)) == (check, True), caught.value
    failed = made.client.events("tls-failed")[-1]
    assert (failed["side"], failed["check"], failed["cause"]) == ("client", check, str(caught.value))
    await until(lambda: made.server.events("tls-failed"), "the server has the alert")
    assert alert in made.server.events("tls-failed")[-1]["cause"], made.evidence()
    assert made.server.events("tls-failed")[-1]["check"] == ""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("fault", "check", "words", "alert"),
    [
        ("expired", "dates", "expired 20", "certificate expired"),
        ("not-yet-valid", "dates", "is not valid before 20", "certificate expired"),
        ("wrong-name", "name", f"{NAME} is not among", "bad certificate"),
        ("self-signed", "chain", "signed its own certificate", "unknown ca"),
        ("untrusted-root", "chain", "nor a trusted root (netlab test root)", "unknown ca"),
        ("weak-chain", "chain", "RSA with 1024 bits", "bad certificate"),
    ],
)
def test_a_faulty_certificate(
    tmp_path: Path, version: str, fault: CertificateFault, check: str, words: str, alert: str
) -> None:
    async def work(made: Pair) -> None:
        await made.listen(server(version, fault=fault))
        await refused(made, TlsClient(), check, words, alert)
        believing = await made.ask(TlsClient(verify=False))  # who doesn't look is served
        assert believing.tls is not None

    pair(tmp_path, work, AUTHORITY.issue((NAME,), fault=fault))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pin(tmp_path: Path, version: str) -> None:
    async def work(made: Pair) -> None:
        await made.listen(server(version))
        await made.ask(TlsClient(pins=("A" * 43 + "=", pin(ROOT))))
        await refused(
            made, TlsClient(pins=("A" * 43 + "=",)), "pin", "none of the 1 pinned", "bad certificate"
        )

    pair(tmp_path, work)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stapled_status(tmp_path: Path, version: str) -> None:
    async def work(made: Pair) -> None:
        await made.listen(server(version))
        for _ in range(2):
            await made.ask(TlsClient(revocation="staple"))
        first, second = made.client.events("tls-handshake")
        assert (first["resumed"], first["ocsp"]) == (False, True), made.evidence()
        assert (second["resumed"], second["ocsp"]) == (True, False), made.evidence()
        await made.ask(TlsClient(resume=False))
        assert not made.client.events("tls-handshake")[-1]["ocsp"]  # not asked for

    pair(tmp_path, work)


def late() -> Identity:
    """Whose status is of last week."""
    leaf = x509.load_pem_x509_certificate(IDENTITY.chain_pem.encode())
    validity = Validity(NOW - timedelta(days=8), NOW - timedelta(days=1))
    old = staple(leaf, AUTHORITY._intermediate, None, validity)
    return IDENTITY.model_copy(update={"ocsp_der_base64": b64encode(old).decode()})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("identity", "staples", "words"),
    [
        (IDENTITY, False, f"no stapled OCSP status came with the certificate of {NAME}"),
        (AUTHORITY.issue((NAME,), fault="revoked"), True, "(keyCompromise)"),
        (late(), True, "the OCSP response held until"),
    ],
    ids=["none", "revoked", "late"],
)
def test_a_bad_staple(tmp_path: Path, version: str, identity: Identity, staples: bool, words: str) -> None:
    async def work(made: Pair) -> None:
        await made.listen(server(version, staple=staples))
        alert = "bad certificate status response"
        await refused(made, TlsClient(revocation="staple"), "revocation", words, alert)
        await made.ask(TlsClient(revocation="none"))

    pair(tmp_path, work, identity)


async def responder(made: Pair, directory: Path, authority: Authority) -> Running:
    """The OCSP role beside them."""
    launch = Launch(lab="test", node="ca", role="ocsp", spec=OcspSpec(), responder=authority.responder())
    role = context(launch, directory, made.server.ctx.tasks)
    task = made.server.ctx.tasks.create_task(ocsp.serve(OcspSpec(listen=HTTP), role.ctx, ("127.0.0.1",)))
    await until(lambda: task.done() or role.events("ready"), "the responder is ready")
    return role


def trusting(made: Pair, authority: Authority) -> None:
    made.client.ctx.launch = made.client.ctx.launch.model_copy(update={"trust_pem": authority.root_pem})


@pytest.mark.parametrize("version", VERSIONS)
def test_the_list_of_the_revoked(tmp_path: Path, version: str) -> None:
    authority = Authority.create("listed", NOW, f"http://127.0.0.1:{HTTP}")
    good, bad = authority.issue((NAME,)), authority.issue((NAME,), fault="revoked")

    async def work(made: Pair) -> None:
        role = await responder(made, tmp_path, authority)
        trusting(made, authority)
        asked = TlsClient(revocation="crl", resume=False)
        await made.listen(server(version))
        for _ in range(2):
            await made.ask(asked)
        assert len(role.events("request-received")) == 1, role.events()  # it is kept
        made.server.ctx.launch = made.server.ctx.launch.model_copy(update={"identity": bad})
        tls = made.server.ctx.tls_server(server(version, staple=False))
        await made.server.ctx.listen(PORT + 1, _silent, tls=tls)
        again = made.client.ctx.tls_client(TlsClient(revocation="crl"))
        for _ in range(2):  # no session of the first is resumed
            with pytest.raises(TlsError, match=r"was revoked at .* UTC \(keyCompromise\)"):
                await made.client.ctx.connect("127.0.0.1", PORT + 1, tls=again, server_name=NAME)
            assert made.client.events("tls-failed")[-1]["check"] == "revocation"
        role.ctx.stop()

    pair(tmp_path, work, good)


async def _silent(stream: object, peer: object) -> None:
    return None


@pytest.mark.parametrize(
    ("url", "words"),
    [("", "names no revocation list"), ("http://127.0.0.1:1", "can't be had")],
    ids=["nowhere", "dead"],
)
def test_a_list_that_can_not_be_had(tmp_path: Path, url: str, words: str) -> None:
    authority = Authority.create("unlisted", NOW, url)

    async def work(made: Pair) -> None:
        trusting(made, authority)
        await made.listen(TlsServer())
        with pytest.raises(TlsError, match=words):
            await made.connect(TlsClient(revocation="crl"))
        assert made.client.events("tls-failed")[-1]["check"] == "revocation"
        assert made.client.events("tls-handshake") == []

    pair(tmp_path, work, authority.issue((NAME,)))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("shown", "check", "words", "alert"),
    [
        (None, "", "peer did not return a certificate", "certificate required|handshake failure"),
        (
            Authority.create("stranger", NOW).issue(("mallory",), purpose="client"),
            "chain",
            "nor a trusted root",
            "unknown ca",
        ),
        (AUTHORITY.issue((NAME,)), "chain", "is not for a client", "bad certificate"),
        (
            AUTHORITY.issue(("client-a",), purpose="client", fault="expired"),
            "dates",
            "client-a expired",
            "certificate expired",
        ),
    ],
    ids=["none", "stranger", "server's", "expired"],
)
def test_client_certificates(
    tmp_path: Path, version: str, shown: Identity | None, check: str, words: str, alert: str
) -> None:
    async def work(made: Pair) -> None:
        await made.listen(server(version, client_certificates="required"))
        with pytest.raises(TlsError, match=f"alert ({alert})"):
            # In TLS 1.3 the client is done before the server has judged.
            await made.ask(TlsClient(certificate=shown is not None))
        await until(lambda: made.server.events("tls-failed"), "the server says why")
        failed = made.server.events("tls-failed")[0]
        assert (failed["side"], failed["check"]) == ("server", check), made.evidence()
        assert words in failed["cause"], made.evidence()

    pair(tmp_path, work, client_identity=shown)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_optional_client_certificate(tmp_path: Path, version: str) -> None:
    async def work(made: Pair) -> None:
        await made.listen(server(version, client_certificates="optional"))
        await made.ask(TlsClient())
        await made.ask(TlsClient(certificate=True))
        assert [one["peer"] for one in made.server.events("tls-handshake")] == ["", "client-a"]
        shown = [len((await made.ask(TlsClient(resume=False))).peer_chain) for _ in range(1)]
        assert shown == [2]

    pair(tmp_path, work, client_identity=CLIENT_IDENTITY)
