"""What a reverse proxy does before an application sees a request: header fields hop by hop, tokens, rate
limits, an application firewall, routes (guide 1.2, 3.7)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from urllib.parse import quote

from netlab.model.roles import Request
from netlab.model.roles.jwt import TokenFault
from netlab.scenarios.answers import refuse_failed
from netlab.scenarios.bench import Bench
from netlab.scenarios.measured import failures
from netlab.scenarios.proxy_claims import BAD_TOKENS, SPOOFED, proxy_claims
from netlab.scenarios.proxy_read import (
    CLIENTS,
    INTERFACE,
    MANY,
    PROXY,
    WAY,
    Talk,
    answer,
    frames,
    read_talk,
)
from netlab.scenarios.scenario import Scenario
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Table

_TRAVELLER, _MEMBER, _EAGER, _OTHER = CLIENTS
LIMITED = 12
ATTACKS = {
    "SQL injection": "' OR '1'='1",
    "SQL, UNION": "1 UNION SELECT name, password FROM users--",
    "XSS": "<script>alert(document.cookie)</script>",
    "traversal": "../../../etc/passwd",
    "command": "; cat /etc/passwd",
}
BENIGN = {
    "a name": "O'Brien",
    "words of SQL": "select shoes from our union store",
    "text": "fish & chips; cat food",
}
_FAULTS: tuple[TokenFault, ...] = ("expired", "wrong-key", "alg-none", "hs256-public-key")


def stimulus(bench: Bench) -> None:
    """Where the proxy is not our role, only what any proxy does is asked of it."""
    http = bench.http[0]
    with bench.phase("headers"):
        bench.say(f"one request through the edge, and what every hop says in its headers, HTTP/{http}")
        _headers(bench)
    if not bench.is_ours(PROXY, "proxy"):
        bench.say(f"{PROXY} is a program: its tokens, limits and firewall are not asked for")
        return
    with bench.phase("tokens"):
        bench.say(f"tokens: a good one, and {len(BAD_TOKENS)} that are none")
        _tokens(bench)
    with bench.phase("limits"):
        bench.say(f"{LIMITED} requests at a route with a rate limit")
        _limits(bench)
    with bench.phase("canary"):
        bench.say(f"{len(MANY)} clients at a host of which a third go to another version")
        _canary(bench)
    with bench.phase("firewall"):
        bench.say(f"{len(ATTACKS)} attacks, and {len(BENIGN)} texts that look like it")
        _firewall(bench)


def _request(bench: Bench, name: str, host: str, query: str = "size=100", **headers: str) -> Request:
    fields = {key.replace("_", "-"): value for key, value in headers.items()}
    url = f"https://{host}.example.com/objects/1?{query}"
    return Request(url=url, name=name, headers=fields, http=bench.http[0])


def _headers(bench: Bench) -> None:
    """A name that no cache knows, and what a client may make up."""
    run = f"size=100&run={secrets.token_hex(4)}"
    made_up = {"X-Forwarded-For": SPOOFED, "Forwarded": f"for={SPOOFED}", "X-Real-IP": SPOOFED}
    one = _request(bench, "headers/1", "api", run, **made_up)
    refuse_failed(bench.ask(_TRAVELLER, (one,)))


def _tokens(bench: Bench) -> None:
    good = _request(bench, "token-good/1", "members")
    refuse_failed(bench.ask(_MEMBER, (good,)))
    refuse_failed(bench.ask(_MEMBER, (_request(bench, "token-none/1", "members"),), bearer=""))
    for fault in _FAULTS:
        one = _request(bench, f"token-{fault}/1", "members")
        refuse_failed(bench.ask(_MEMBER, (one,), bearer_fault=fault))


def _limits(bench: Bench) -> None:
    eager = [_request(bench, f"limit/{number}", "limited") for number in range(1, LIMITED + 1)]
    refuse_failed(bench.ask(_EAGER, eager))
    refuse_failed(bench.ask(_OTHER, (_request(bench, "limit-other/1", "limited"),)))


def _canary(bench: Bench) -> None:
    for node in MANY:
        if node in bench.topology.nodes:
            asked = [_request(bench, f"canary/{node}/{number}", "canary") for number in (1, 2, 3)]
            refuse_failed(bench.ask(node, asked))


def _firewall(bench: Bench) -> None:
    texts = [("waf-attack", text) for text in ATTACKS.values()]
    texts += [("waf-benign", text) for text in BENIGN.values()]
    asked = [
        _request(bench, f"{kind}/{number}", "members", f"size=100&text={quote(text)}")
        for number, (kind, text) in enumerate(texts, 1)
    ]
    refuse_failed(bench.ask(_MEMBER, asked))


def judge(read: Recording) -> Findings:
    talk = read_talk(read)
    return Findings(
        tuple(_tables(talk)),
        proxy_claims(talk, read.run.flaws),
        failed=tuple(cause for node in MANY for cause in failures(read, node)),
    )


def _tables(talk: Talk) -> Iterator[Table]:
    yield _hops(talk)
    if talk.group("token-good"):
        yield _decisions(talk)


def _hops(talk: Talk) -> Table:
    names = ("x-forwarded-for", "forwarded", "via", "x-request-id", "traceparent")
    rows = [
        Row(
            (
                hop.node,
                "TLS" if hop.encrypted else "plain",
                *(_short(hop.headers.get(name)) for name in names),
            ),
            hop.span.request_frames,
        )
        for hop in talk.hops
    ]
    return Table(
        "one request, as every hop sent it",
        ("sent by", "in", "X-Forwarded-For", "Forwarded", "Via", "X-Request-Id", "parent"),
        tuple(rows),
        (
            "X-Request-Id: its beginning. parent: of traceparent, the id of the step that sent it.",
            f"{SPOOFED} is what the client made up.",
        ),
    )


def _short(value: str) -> str:
    """Of ids a beginning: what tells them apart."""
    pieces = value.split("-")
    if len(pieces) == 4 and len(pieces[1]) == 32:
        return pieces[2]
    return value[:8] if len(value) == 32 and value.isalnum() else value or "–"


def _decisions(talk: Talk) -> Table:
    groups = [("token-good", "a good token")]
    groups += [(f"token-{kind}", title) for kind, title in BAD_TOKENS.items()]
    groups += [("limit", "more than the quota"), ("limit-other", "another client there")]
    groups += [("canary", "a host with a canary")]
    groups += [("waf-attack", "attacks"), ("waf-benign", "texts that look like it")]
    rows = []
    for prefix, title in groups:
        group = talk.group(prefix)
        statuses = [one.span.status for one in group]
        told = ", ".join(f"{statuses.count(code)} × {code}" for code in sorted(set(statuses)))
        seen = sum(bool(talk.app_of(one)) for one in group)
        said = answer(group[-1]).get("ratelimit") if group else ""
        rows.append(Row((title, len(group), told or None, seen, said or "–"), frames(group)))
    return Table(
        "what the proxy passed on",
        ("asked with", "requests", "answers", "seen by apps", "last RateLimit"),
        tuple(rows),
        ("seen by apps: requests found in the packets at an app's interface.",),
    )


SCENARIO = Scenario(
    "proxy",
    "what a reverse proxy does before an app sees a request: headers, tokens, limits, firewall, routes",
    stimulus,
    judge,
    http=("1.1", "2", "3"),
    single=("http",),
    interfaces=lambda topology: tuple(
        f"{node}:{INTERFACE}" for node in topology.nodes if node in (*MANY, *WAY) or node.startswith("app-")
    ),
    topology="middle",
    needs={
        **dict.fromkeys(CLIENTS, "it asks"),
        "edge-london": "it passes on what is asked",
        PROXY: "it decides",
    },
)
