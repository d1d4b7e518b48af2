"""Launch documents and node files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from netlab.lab.launching import Launches, NodeFiles, hosts, resolv_conf, role_seed
from netlab.model.roles import (
    ClientSpec,
    CommandSpec,
    OcspSpec,
    ProxySpec,
    Request,
    Route,
    TlsClient,
    TlsServer,
)
from netlab.pki.names import names_of
from netlab.pki.verify import crl_urls
from netlab.plan.ops import Plan, StartRole

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADDRESSES = {"a": ("10.0.0.1", "2001:db8::1"), "b": ("10.0.0.2",)}
COMMAND = CommandSpec(argv=("true",))
PROXY = ProxySpec(names=("api.example.com",), routes=(Route(upstreams=("10.0.0.9:80",)),), jwt=True)


def launches(*starts: StartRole, seed: int = 1) -> Launches:
    plan = Plan("lab", starts, (), ADDRESSES, {"a": ("10.0.0.53",)}, {"10.0.0.0/24": "London"}, "none")
    return Launches("lab", plan, seed, NOW)


def test_a_proxy_gets_its_certificate_and_the_key_of_tokens() -> None:
    made = launches(StartRole("b", "proxy", PROXY, ("api.example.com",)))
    document = made.document("b", "proxy", PROXY, ("api.example.com",), NOW)
    assert document.identity is not None
    assert document.identity.chain_pem.count("BEGIN CERTIFICATE") == 2
    assert "PUBLIC KEY" in document.jwt_public_pem
    assert document.bearer_token == ""
    assert document.trust_pem == made.trust_pem != ""
    assert document.addresses == ("10.0.0.2",)
    assert document.locations == {"10.0.0.0/24": "London"}


def test_groups_of_names_have_certificates_of_their_own() -> None:
    names = ("a.example", "b.example", "c.example")
    spec = PROXY.model_copy(update={"names": names, "jwt": False, "certificates": (("b.example",),)})
    document = launches(StartRole("b", "proxy", spec, names)).document("b", "proxy", spec, names, NOW)
    shown = [
        names_of(x509.load_pem_x509_certificate(one.chain_pem.encode()))
        for one in (document.identity, *document.more_identities)
        if one is not None
    ]
    assert [set(one) for one in shown] == [{"a.example", "c.example"}, {"b.example"}]
    assert document.jwt_public_pem == ""
    route = PROXY.routes[0].model_copy(update={"jwt": True})
    spec = spec.model_copy(update={"routes": (route,)})
    assert "PUBLIC KEY" in launches().document("b", "proxy", spec, names, NOW).jwt_public_pem


def test_a_client_gets_a_token_only_if_it_is_to_send_one() -> None:
    made = launches()
    silent = made.document("a", "client", ClientSpec(), (), NOW)
    assert (silent.bearer_token, silent.identity, silent.jwt_public_pem) == ("", None, "")
    assert silent.resolvers == ("10.0.0.53",)
    assert made.document("a", "client", ClientSpec(bearer="42"), (), NOW).bearer_token.count(".") == 2


def test_a_lab_of_programs_alone_has_no_authority() -> None:
    made = launches(StartRole("a", "command", COMMAND))
    assert made.document("a", "command", COMMAND, (), NOW).trust_pem == ""
    assert "authority" not in vars(made)


def test_a_client_that_shows_a_certificate_gets_one() -> None:
    made = launches()
    for spec in (
        ClientSpec(tls=TlsClient(certificate=True)),
        ClientSpec(requests=(Request(url="https://b/", tls=TlsClient(certificate=True)),)),
    ):
        document = made.document("a", "client", spec, (), NOW)
        assert document.client_identity is not None
        leaf = x509.load_pem_x509_certificate(document.client_identity.chain_pem.encode())
        assert names_of(leaf) == ("a",)
    assert made.document("a", "client", ClientSpec(), (), NOW).client_identity is None


def test_a_responder_knows_what_the_others_will_get() -> None:
    bad = PROXY.model_copy(update={"tls": TlsServer(fault="revoked")})
    made = launches(
        StartRole("a", "ocsp", OcspSpec(listen=8000)),
        StartRole("b", "proxy", PROXY, ("api.example.com",)),
        StartRole("b", "proxy-2", bad, ("api.example.com",)),
    )
    responder = made.document("a", "ocsp", OcspSpec(listen=8000), (), NOW).responder
    assert responder is not None
    assert [one.reason for one in responder.standings] == ["", "keyCompromise"]
    found = [made.document("b", role, spec, ("api.example.com",), NOW) for role, spec in
             (("proxy", PROXY), ("proxy-2", bad), ("proxy", PROXY))]  # fmt: skip
    assert found[0].identity == found[2].identity != found[1].identity  # also after a restart
    assert found[0].identity is not None
    assert found[0].responder is None
    leaf = x509.load_pem_x509_certificate(found[0].identity.chain_pem.encode())
    assert f"{leaf.serial_number:x}" == responder.standings[0].serial
    assert crl_urls(leaf) == ("http://10.0.0.1:8000/authority.crl",)
    assert found[0].identity.ocsp_der_base64


def test_seeds_differ_by_role_and_repeat() -> None:
    seeds = {role_seed(1, "a", "app"), role_seed(1, "b", "app"), role_seed(2, "a", "app")}
    assert len(seeds) == 3
    assert role_seed(1, "a", "app") in seeds


def test_the_files_of_a_node(tmp_path: Path) -> None:
    files = NodeFiles(tmp_path, launches().plan, "PEM")
    place = files.of("a")
    assert files.of("a") == place
    assert (place / "resolv.conf").read_text() == resolv_conf(("10.0.0.53",)) == "nameserver 10.0.0.53\n"
    assert (files.of("b") / "resolv.conf").read_text().startswith("#")
    assert (place / "hosts").read_text() == hosts(ADDRESSES)
    assert "2001:db8::1 a\n" in hosts(ADDRESSES)
    assert (place / "trust.pem").read_text() == "PEM"
    assert "files dns" in (place / "nsswitch.conf").read_text()
