"""One request through every role, each a process: client ─► cdn ─► balancer ─► proxy ─► app ─► database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from netlab.model.launch import Identity
from netlab.model.roles import (
    AppSpec,
    BalancerSpec,
    CdnSpec,
    ClientSpec,
    Health,
    ProxySpec,
    Request,
    Route,
)
from netlab.pki import Authority, TokenKey
from tests.kit.postgres import Postgres, binaries, postgres
from tests.kit.role_process import RoleProcess, Roles, roles

pytestmark = pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed")
CDN, BALANCER, PROXY, APP = 443, 8443, 9443, 8080
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
EXPECTED = (
    '{"id":42,"name":"Alice Johnson","email":"alice@example.com","status":"active",'
    '"created_at":"2023-05-15T10:30:00Z"}'
)


@dataclass(frozen=True)
class Chain:
    roles: Roles
    database: Postgres
    authority: Authority
    key: TokenKey
    cdn: RoleProcess
    balancer: RoleProcess
    proxy: RoleProcess
    app: RoleProcess

    def ask(self, name: str, *requests: Request, token: str | None = None) -> RoleProcess:
        """A client's run, to its end."""
        bearer = self.key.token("alice", now()) if token is None else token
        trust = self.authority.root_pem
        return self.roles.run(name, ClientSpec(requests=requests), trust_pem=trust, bearer_token=bearer)

    def evidence(self) -> str:
        return "\n\n".join(role.evidence() for role in self.roles.started)


def now() -> datetime:
    return datetime.fromtimestamp(Path("/proc/self").stat().st_mtime, UTC)


@contextmanager
def chain(directory: Path) -> Iterator[Chain]:
    authority, key = Authority.create("test", now()), TokenKey.create()

    def identity(*names: str) -> Identity:
        return authority.issue(names)

    with postgres() as database, roles(directory) as started:
        app = started.start("app", AppSpec(database="127.0.0.1:5432", allow=("alice",)))
        proxy = started.start(
            "proxy",
            ProxySpec(
                listen=PROXY,
                names=("127.0.0.1", "origin.example.com"),
                routes=(Route(path="/user/", upstreams=("127.0.0.1:1", f"127.0.0.1:{APP}")),),
                jwt=True,
                proxy_protocol_from=(ip_network("127.0.0.1/32"),),
                trusted=(ip_network("127.0.0.1/32"),),
            ),
            identity=identity("origin.example.com"),
            jwt_public_pem=key.public_pem,
        )
        balancer = started.start(
            "balancer",
            BalancerSpec(
                listen=BALANCER,
                upstreams=("127.0.0.1:1", f"127.0.0.1:{PROXY}"),
                proxy_protocol=True,
                health=Health(interval="50ms", fall=2),
            ),
        )
        cdn = started.start(
            "cdn",
            CdnSpec(names=("127.0.0.1",), origin=f"127.0.0.1:{BALANCER}", origin_name="origin.example.com"),
            identity=identity("127.0.0.1"),
            trust_pem=authority.root_pem,
        )
        yield Chain(started, database, authority, key, cdn, balancer, proxy, app)


def get(path: str, name: str = "", **fields: str) -> Request:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return Request(url=f"https://127.0.0.1{path}", name=name, headers=headers, traceparent=TRACEPARENT)


def done(client: RoleProcess) -> list[dict[str, Any]]:
    return client.events("request-done")


def test_a_miss_reaches_the_database_and_a_hit_does_not(tmp_path: Path) -> None:
    with chain(tmp_path) as made:
        client = made.ask("client", get("/user/42", "miss"), get("/user/42", "hit"))
        assert client.wait() == 0, made.evidence()
        miss, hit = done(client)
        assert (miss["name"], miss["status"], miss["bytes"]) == ("miss", 200, len(EXPECTED)), made.evidence()
        etag = hashlib.sha256(EXPECTED.encode()).hexdigest()[:40]
        assert miss["headers"]["etag"] == f'"{etag}"', "the body is the guide's"
        assert miss["headers"]["cache-control"] == "public, max-age=300"
        assert miss["headers"]["cache-status"] == "cdn; fwd=uri-miss; fwd-status=200; stored"
        assert hit["headers"]["cache-status"].startswith("cdn; hit; ttl="), hit
        assert int(hit["headers"]["age"]) <= 15, hit
        assert len(made.app.events("sql-query")) == 1
        assert "ERROR" not in made.database.log(), made.database.log()
        statement = "SELECT id, name, email, status, created_at FROM users WHERE id = $1 /*traceparent='00-"
        assert f"{statement}{TRACE}-" in made.database.log(), made.database.log()


def test_every_role_knows_the_trace_and_who_the_client_is(tmp_path: Path) -> None:
    with chain(tmp_path) as made:
        client = made.ask("client", get("/user/42", x_forwarded_for="6.6.6.6", x_auth_subject="root"))
        assert client.wait() == 0, made.evidence()
        spans = []
        for role in (made.cdn, made.proxy, made.app):
            (received,) = role.events("request-received")
            version, trace, span, flags = received["traceparent"].split("-")
            assert (version, trace, flags) == ("00", TRACE, "01"), received
            spans.append(span)
        assert len(set(spans)) == 3, "each step has a parent id of its own"
        (at_app,) = made.app.events("request-received")
        fields = at_app["headers"]
        assert fields["x-forwarded-for"] == "127.0.0.1, 127.0.0.1", "what the client claims is dropped"
        assert fields["x-real-ip"] == "127.0.0.1"
        assert fields["x-auth-subject"] == "alice"
        assert fields["x-forwarded-proto"] == "https"
        assert fields["via"] == "2.0 cdn, 1.1 proxy"


def test_flows_of_both_ends_mirror(tmp_path: Path) -> None:
    with chain(tmp_path) as made:
        client = made.ask("client", get("/user/42"))
        (opened,) = client.events("connection-opened")
        (accepted,) = made.cdn.events("connection-opened")[:1]
        _, local, local_port, remote, remote_port = opened["flow"]
        assert accepted["flow"] == ["tcp", remote, remote_port, local, local_port], made.evidence()
        (handshake,) = client.events("tls-handshake")
        assert (handshake["version"], handshake["alpn"]) == ("TLSv1.3", "h2"), handshake
        assert "CLIENT_TRAFFIC_SECRET_0" in client.keylog.read_text()
        assert "SERVER_TRAFFIC_SECRET_0" in made.proxy.keylog.read_text()
        (chosen,) = made.balancer.events("upstream-chosen")
        assert chosen["upstream"] == f"127.0.0.1:{PROXY}"


def test_tokens_and_ids_that_are_wrong(tmp_path: Path) -> None:
    with chain(tmp_path) as made:
        strangers = TokenKey.create().token("alice", now())
        refused = made.ask("stranger", get("/user/42"), token=strangers)
        assert done(refused)[0]["status"] == 401, made.evidence()
        assert done(refused)[0]["headers"]["www-authenticate"].startswith("Bearer "), done(refused)
        assert len(made.proxy.events("jwt-refused")) == 1
        bob = made.ask("bob", get("/user/42"), token=made.key.token("bob", now()))
        assert done(bob)[0]["status"] == 403, made.evidence()
        paths = ("/user/7", "/user/x", "/other", f"/user/{'9' * 30}", "/user/-1", "/user/1%27")
        client = made.ask("client", *(get(path) for path in paths))
        assert [one["status"] for one in done(client)] == [404, 400, 404, 404, 400, 400], made.evidence()


def test_the_app_survives_the_database(tmp_path: Path) -> None:
    with chain(tmp_path) as made:
        made.database.stop()
        gone = made.ask("first", get("/user/42"))
        assert done(gone)[0]["status"] == 503, made.evidence()
        made.database.start()
        back = made.ask("second", get("/user/42"))
        assert done(back)[0]["status"] == 200, made.evidence()


def test_a_dead_app_is_a_502(tmp_path: Path) -> None:
    with chain(tmp_path) as made:
        assert made.app.stop() == 0, made.app.evidence()
        client = made.ask("client", get("/user/42"))
        assert client.wait() == 0
        assert done(client)[0]["status"] == 502, made.evidence()


def test_health_checks_are_told_apart_and_leave_no_error(tmp_path: Path) -> None:
    with chain(tmp_path) as made:
        (changed,) = made.balancer.wait_for("health-changed")
        assert (changed["upstream"], changed["healthy"]) == ("127.0.0.1:1", False)
        checks = [one for one in made.balancer.events("connection-opened") if "purpose" in one]
        assert {one["purpose"] for one in checks} == {"health-check"}
        made.proxy.wait_for("connection-closed", 3)
        assert made.proxy.events("error", "tls-failed") == [], made.proxy.evidence()


def test_everyone_drains_on_sigterm(tmp_path: Path) -> None:
    with chain(tmp_path) as made:
        made.ask("client", get("/user/42"))
        for role in (made.cdn, made.balancer, made.proxy, made.app):
            assert role.stop() == 0, role.evidence()
            assert role.log() == "", role.evidence()


def test_a_certificate_of_a_stranger_is_refused(tmp_path: Path) -> None:
    with chain(tmp_path) as made:
        other = Authority.create("other", now())
        client = made.roles.run("client", ClientSpec(requests=(get("/user/42"),)), trust_pem=other.root_pem)
        assert client.wait() == 1
        (failed,) = client.events("request-failed")
        assert "nor a trusted root" in failed["cause"], failed
        made.cdn.wait_for("tls-failed")
        document = json.dumps(made.cdn.events("tls-failed"))
        assert "alert" in document.lower(), document
