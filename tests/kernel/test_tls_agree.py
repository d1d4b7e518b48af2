"""What TLS ends agree on: version, cipher, ALPN, name, session; and that both leave every secret."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from netlab.errors import InputError, LabError, LocalProtocolError
from netlab.model.roles import TlsClient, TlsServer
from netlab.net.stream import TlsError
from netlab.net.tls import ServerContext
from netlab.net.tls_context import KeyLog
from tests.kit.roles_in_process import until
from tests.kit.tls_pair import AUTHORITY, CLIENT_IDENTITY, IDENTITY, NAME, PORT, Pair, echo, pair

MATRIX = list(product(("1.2", "1.3"), (True, False), ("none", "optional", "required")))


@pytest.mark.parametrize(("version", "tickets", "certificates"), MATRIX)
def test_versions_sessions_and_client_certificates(
    tmp_path: Path, version: str, tickets: bool, certificates: str
) -> None:
    server = TlsServer.model_validate(
        {"versions": [version], "tickets": tickets, "client_certificates": certificates}
    )

    async def work(made: Pair) -> None:
        await made.listen(server)
        for _ in range(3):
            await made.ask(TlsClient(certificate=True))
        await until(lambda: len(made.server.events("tls-handshake")) == 3, "three handshakes")
        for number, ends in enumerate(made.handshakes()):
            for end in ends:
                assert end["version"] == f"TLSv{version}", made.evidence()
                assert end["resumed"] == (tickets and number > 0), made.evidence()
                assert end["server_name"] == NAME
                assert end["alpn"] == "http/1.1"
                assert end["cipher"]
            assert ends[0]["cipher"] == ends[1]["cipher"]
            assert ends[1]["peer"] == NAME
            assert ends[0]["peer"] == ("" if certificates == "none" else "client-a"), made.evidence()

    pair(tmp_path, work, client_identity=CLIENT_IDENTITY)


def test_a_client_that_does_not_resume_starts_anew(tmp_path: Path) -> None:
    async def work(made: Pair) -> None:
        await made.listen(TlsServer())
        for _ in range(2):
            await made.ask(TlsClient(resume=False))
        assert [one["resumed"] for one in made.client.events("tls-handshake")] == [False, False]

    pair(tmp_path, work)


def test_sessions_belong_to_a_name_and_survive_an_abort(tmp_path: Path) -> None:
    async def work(made: Pair) -> None:
        await made.listen(TlsServer())
        stream = await made.connect()
        await stream.write(b"word")
        assert await stream.read() == b"word"
        stream.abort()
        await made.ask(name="127.0.0.1")
        await made.ask()
        found = [(one["server_name"], one["resumed"]) for one in made.client.events("tls-handshake")]
        # An address is no SNI (RFC 6066 section 3).
        assert found == [(NAME, False), ("", False), (NAME, True)], made.evidence()

    pair(tmp_path, work)


@pytest.mark.parametrize(
    ("version", "labels"),
    [
        ("1.2", {"CLIENT_RANDOM"}),
        (
            "1.3",
            {
                "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
                "SERVER_HANDSHAKE_TRAFFIC_SECRET",
                "CLIENT_TRAFFIC_SECRET_0",
                "SERVER_TRAFFIC_SECRET_0",
                "EXPORTER_SECRET",
            },
        ),
    ],
)
def test_both_sides_leave_the_same_secrets(tmp_path: Path, version: str, labels: set[str]) -> None:
    async def work(made: Pair) -> None:
        await made.listen(TlsServer.model_validate({"versions": [version]}))
        await made.ask()
        await made.ask()  # a resumed one has secrets of its own
        await until(lambda: len(made.server.events("tls-handshake")) == 2, "two handshakes")

    pair(tmp_path, work)
    server, client = (
        set((tmp_path / f"{node}.keys").read_text().splitlines()) for node in ("server", "client")
    )
    assert server == client
    for random in {line.split()[1] for line in client}:
        assert {line.split()[0] for line in client if line.split()[1] == random} == labels, client
    assert len({line.split()[1] for line in client}) == 2


@pytest.mark.parametrize(
    ("versions", "ciphers", "chosen"),
    [
        ("1.2", ["ECDHE-ECDSA-CHACHA20-POLY1305"], "ECDHE-ECDSA-CHACHA20-POLY1305"),
        ("1.2", ["ECDHE-ECDSA-AES128-GCM-SHA256"], "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("1.3", ["TLS_AES_128_GCM_SHA256"], "TLS_AES_128_GCM_SHA256"),
        ("1.3", ["TLS_CHACHA20_POLY1305_SHA256"], "TLS_CHACHA20_POLY1305_SHA256"),
    ],
)
@pytest.mark.parametrize("side", ["server", "client"])
def test_the_cipher_that_a_side_asks_for(
    tmp_path: Path, versions: str, ciphers: list[str], chosen: str, side: str
) -> None:
    spec = {"versions": [versions], "ciphers": ciphers}

    async def work(made: Pair) -> None:
        await made.listen(TlsServer.model_validate(spec) if side == "server" else TlsServer())
        await made.ask(TlsClient.model_validate(spec) if side == "client" else None)
        assert made.client.events("tls-handshake")[0]["cipher"] == chosen

    pair(tmp_path, work)


def test_only_aead_with_ephemeral_keys_is_offered(tmp_path: Path) -> None:
    async def work(made: Pair) -> None:
        await made.listen(TlsServer())
        stream = await made.connect()
        offered = stream._ssl.get_cipher_list()
        assert len(offered) >= 7, offered
        for name in offered:
            assert "GCM" in name or "CHACHA20" in name, offered
            assert name.startswith(("TLS_", "ECDHE-")), offered
        await stream.close()

    pair(tmp_path, work)


def test_ciphers_without_one_in_common(tmp_path: Path) -> None:
    async def work(made: Pair) -> None:
        await made.listen(TlsServer(versions=("1.2",), ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256",)))
        with pytest.raises(TlsError, match="alert handshake failure"):
            await made.connect(TlsClient(ciphers=("ECDHE-ECDSA-CHACHA20-POLY1305",), versions=("1.2",)))
        assert "no shared cipher" in made.server.events("tls-failed")[0]["cause"]

    pair(tmp_path, work)


@pytest.mark.parametrize("name", ["NO-SUCH-CIPHER", "TLS_NO_SUCH"])
def test_a_cipher_that_does_not_exist(name: str) -> None:
    with pytest.raises(InputError, match=name):
        ServerContext(TlsServer(ciphers=(name,)), (IDENTITY,), (), KeyLog(""))


@pytest.mark.parametrize(
    ("ours", "theirs", "chosen"),
    [
        (("h2", "http/1.1"), ("http/1.1", "h2"), "h2"),
        (("h2", "http/1.1"), ("http/1.1",), "http/1.1"),
        (("h2",), (), ""),
        ((), ("h2",), ""),
    ],
)
def test_alpn(tmp_path: Path, ours: tuple[str, ...], theirs: tuple[str, ...], chosen: str) -> None:
    async def work(made: Pair) -> None:
        await made.listen(TlsServer(), alpn=ours)
        stream = await made.connect(alpn=theirs)
        assert stream.tls is not None
        assert stream.tls.alpn == chosen
        await stream.close()

    pair(tmp_path, work)


def test_alpn_without_one_in_common(tmp_path: Path) -> None:
    async def work(made: Pair) -> None:
        await made.listen(TlsServer(), alpn=("h2",))
        with pytest.raises(TlsError, match="alert no application protocol"):
            await made.connect(alpn=("http/1.1",))
        assert "http/1.1" in made.server.events("tls-failed")[0]["cause"], made.evidence()

    pair(tmp_path, work)


@pytest.mark.parametrize(
    ("server", "client"), [(("1.3",), ("1.2",)), (("1.2",), ("1.3",))], ids=["older", "newer"]
)
def test_no_version_in_common(tmp_path: Path, server: tuple[str, ...], client: tuple[str, ...]) -> None:
    async def work(made: Pair) -> None:
        await made.listen(TlsServer.model_validate({"versions": server}))
        with pytest.raises(TlsError, match="alert protocol version"):
            await made.connect(TlsClient.model_validate({"versions": client}))
        assert "unsupported protocol" in made.server.events("tls-failed")[0]["cause"], made.evidence()

    pair(tmp_path, work)


def test_the_name_chooses_among_certificates(tmp_path: Path) -> None:
    other = AUTHORITY.issue(("*.cdn.example.com",))

    async def work(made: Pair) -> None:
        context = ServerContext(TlsServer(), (IDENTITY, other), ("http/1.1",), KeyLog(""), AUTHORITY.root_pem)
        await made.server.ctx.listen(PORT, echo, tls=context)
        for name in (NAME, "a.cdn.example.com"):
            for _ in range(2):
                stream = await made.ask(TlsClient(revocation="staple"), name)
                assert stream.tls is not None
                assert stream.tls.peer == (NAME if name == NAME else "*.cdn.example.com"), made.evidence()
        resumed = [one["resumed"] for one in made.client.events("tls-handshake")]
        assert resumed == [False, True, False, True], made.evidence()
        with pytest.raises(TlsError) as caught:
            await made.connect(name="b.example.com")
        assert caught.value.check == "name"

    pair(tmp_path, work)


def test_a_role_without_a_certificate(tmp_path: Path) -> None:
    async def work(made: Pair) -> None:
        with pytest.raises(LocalProtocolError, match="certificate"):
            made.client.ctx.tls_client(TlsClient(certificate=True))

    pair(tmp_path, work)


def test_a_name_that_is_not_ascii(tmp_path: Path) -> None:
    async def work(made: Pair) -> None:
        await made.listen(TlsServer())
        with pytest.raises(TlsError, match="A-labels"):
            await made.connect(name="bücher.example")
        await until(lambda: made.server.events("connection-closed"), "the server is rid of it")

    pair(tmp_path, work)


def test_a_key_log_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"can't write TLS secrets to .*: No such file"):
        ServerContext(TlsServer(), (IDENTITY,), (), KeyLog(str(tmp_path / "none" / "keys")))
