"""Which route takes a request, which arm of it a client is in, and what rules do to header fields."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from netlab.model.roles.routing import HeaderRules, Matched
from netlab.policy import header_rules
from netlab.policy.routing import Router, climbs
from netlab.proto.http import Headers, RequestHead

ROUTES = (
    Matched(),
    Matched(path="/api/"),
    Matched(path="/api/v2", exact=True),
    Matched(path="/api/", methods=("POST",)),
    Matched(path="/api/", headers={"X-Beta": "1"}),
    Matched(path="/api/", headers={"X-Beta": "1", "X-Any": ""}),
    Matched(hosts=("*.example.com",)),
    Matched(hosts=("www.example.com",), path="/static/"),
    Matched(hosts=("*.www.example.com",)),
)
CLIENTS = [f"203.0.{number // 250}.{number % 250}" for number in range(2000)]


def chosen(
    target: str, host: str = "other.example", method: str = "GET", *fields: tuple[str, str]
) -> int | None:
    return Router(ROUTES).choose(RequestHead(method, target, Headers(fields)), host, "192.0.2.1")


@pytest.mark.parametrize(
    ("request_", "route"),
    [
        (("/",), 0),
        (("/api",), 0),
        (("/api/x",), 1),
        (("/api/v2",), 2),
        (("/api/v2?a=/static/",), 2),
        (("/api/v2/",), 1),
        (("/api/x", "other.example", "POST"), 3),
        (("/api/x", "other.example", "POST", ("x-beta", "1")), 3),
        (("/api/x", "other.example", "GET", ("x-beta", "1")), 4),
        (("/api/x", "other.example", "GET", ("X-Beta", "1"), ("x-any", "thing")), 5),
        (("/api/x", "other.example", "GET", ("X-Beta", "2")), 1),
        (("/api/x", "a.example.com"), 6),
        (("/", "example.com"), 0),
        (("/", ".example.com"), 0),
        (("/static/a.css", "www.example.com"), 7),
        (("/", "www.example.com"), 6),
        (("/static/", "a.www.example.com"), 8),
    ],
)
def test_the_most_telling_route_takes_it(request_: tuple[str, ...], route: int) -> None:
    assert chosen(*request_) == route  # type: ignore[arg-type]


def test_nobody_takes_it() -> None:
    router = Router((Matched(path="/a"), Matched(path="/b", weight=0)))
    assert router.choose(RequestHead("GET", "/c"), "h", "c") is None
    assert router.choose(RequestHead("GET", "/b"), "h", "c") is None


def arms(*weights: int) -> list[int | None]:
    router = Router([Matched(path="/", weight=weight) for weight in weights])
    return [router.choose(RequestHead("GET", "/"), "h", client) for client in CLIENTS]


def test_a_canary_gets_its_share_and_keeps_its_clients() -> None:
    tenth = arms(90, 10)
    assert tenth == arms(90, 10)
    assert 150 <= tenth.count(1) <= 250, tenth.count(1)
    fifth = arms(80, 20)
    assert all(after == 1 for before, after in zip(tenth, fifth, strict=True) if before == 1)
    assert set(arms(1, 0)) == {0}
    assert set(arms(0, 1)) == {1}


@pytest.mark.parametrize(
    ("path", "does"),
    [
        ("/a/../b", True),
        ("/..", True),
        ("/a/.", True),
        ("/a/%2e%2E/b", True),
        ("/a/..%2fb", True),
        ("/a\\..\\b", True),
        ("/a..b/c.d", False),
        ("/.well-known/x", False),
        ("/...", False),
    ],
)
def test_paths_that_climb(path: str, does: bool) -> None:
    assert climbs(path) == does


def test_rules_remove_set_and_add_in_this_order() -> None:
    rules = HeaderRules(
        remove=("X-Old", "x-secret"),
        set={"X-Client": "{client} asks {host}", "X-Old": "new"},
        add={"X-Seen": "{request_id}"},
    )
    before = Headers((("x-old", "1"), ("X-Secret", "s"), ("X-Seen", "a"), ("x-client", "forged")))
    values = {"client": "192.0.2.1", "host": "a.example", "request_id": "{client}"}
    assert list(header_rules.apply(rules, before, values)) == [
        ("X-Seen", "a"),
        ("x-client", "192.0.2.1 asks a.example"),
        ("X-Old", "new"),
        ("X-Seen", "{client}"),
    ]
    assert header_rules.apply(HeaderRules(), before, {}) is before


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"set": {"X-A": "{clinet}"}}, "no variable `{clinet}`"),
        ({"remove": ["Content-Length"]}, "frames the message"),
        ({"add": {"X-A": "a\r\nX-B: b"}}, "pattern"),
        ({"set": {"X A": "a"}}, "pattern"),
    ],
)
def test_rules_that_make_no_sense(rules: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        HeaderRules.model_validate(rules)
