"""What a CDN saves: hits, misses, validation, stale answers, purges, variants, the shield, and the share of a
Zipf load that the origin never sees (guide 8.3)."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator, Sequence

from netlab.model.event import Event
from netlab.model.roles import Pool, Request
from netlab.scenarios.bench import Bench
from netlab.scenarios.cdn_claims import cdn_claims
from netlab.scenarios.cdn_read import EDGES, INTERFACE, LONDON, SHIELD, TOKYO, Talk, read_talk
from netlab.scenarios.measured import Asked, failures
from netlab.scenarios.scenario import Scenario
from netlab.trace.findings import Findings
from netlab.trace.recording import Recording
from netlab.trace.table import Row, Spread, Table

OBJECTS, LOAD = 60, {LONDON: 500, TOKYO: 250}
_EXPONENT = 1.0  # of the popularity of the objects: the nth is asked 1/n as often as the first
_PAIRS = 5
_TOGETHER = 6
_SEED = 8
_FRESH_S = 3
_EDGE, _ORIGIN = "https://api.example.com", "https://origin.example.com"


def stimulus(bench: Bench) -> None:
    """Every run has names of its own, so that caches that were there before know none of them."""
    ask = _Asker(bench, secrets.token_hex(4))
    with bench.phase("latency"):
        bench.say("the same objects from the origin, through the edge, and from its cache")
        ask.latency()
    with bench.phase("validate"):
        bench.say("what has become stale: with a validator, and while it may be used")
        ask.stale()
    with bench.phase("change"):
        bench.say("a purge; two languages; six who ask at once; Tokyo after London")
        ask.changes()
    with bench.phase("zipf"):
        bench.say(f"{sum(LOAD.values())} requests for {OBJECTS} objects from London and Tokyo")
        ask.load()


class _Asker:
    def __init__(self, bench: Bench, run: str) -> None:
        self._bench = bench
        self._run = run
        self._http = bench.http[0]

    def _request(self, name: str, path: str, query: str, *, base: str = _EDGE, **more: object) -> Request:
        url = f"{base}/cached/{self._run}-{path}?{query}"
        return Request.model_validate({"name": name, "url": url, "http": self._http, **more})

    def _ask(self, node: str, *requests: Request, parallel: int = 1) -> list[Event]:
        pool = Pool(per_host=_TOGETHER)
        return self._bench.ask(node, requests, parallel=parallel, pool=pool, timeout_s=120)

    def latency(self) -> None:
        """Each connection is opened by a request that is not measured."""
        told = "max_age=3600&size=10000"
        numbers = range(1, _PAIRS + 1)
        self._ask(
            LONDON,
            self._request("warm-origin", "warm", told, base=_ORIGIN),
            *(self._request(f"direct/{n}", f"l{n}", told, base=_ORIGIN) for n in numbers),
            self._request("warm-edge", "warm", told),
            *(self._request(f"miss/{n}", f"l{n}", told) for n in numbers),
            *(self._request(f"hit/{n}", f"l{n}", told) for n in numbers),
        )

    def stale(self) -> None:
        """Both become stale after a while in which a client can start and ask."""
        validated, tolerated = (f"max_age={_FRESH_S}&{more}&size=20000" for more in ("etag=1", "swr=60"))
        self._ask(
            LONDON,
            self._request("validate/first", "etag", validated),
            self._request("swr/first", "swr", tolerated),
        )
        time.sleep(_FRESH_S + 0.2)
        self._ask(
            LONDON,
            self._request("warm-stale", "warm", "max_age=3600&size=10000"),
            self._request("validate/again", "etag", validated),
            self._request("swr/stale", "swr", tolerated),
        )
        time.sleep(0.4)
        self._ask(LONDON, self._request("swr/after", "swr", tolerated))

    def changes(self) -> None:
        fresh = "max_age=3600&size=5000"
        again = self._request("purge/first", "purge", fresh)
        named: tuple[tuple[str, dict[str, str]], ...]
        named = ("purge/hit", {}), ("purge/purge", {"method": "PURGE"}), ("purge/after", {})
        varied = f"{fresh}&vary=Accept-Language&etag=1"
        self._ask(
            LONDON,
            again,
            *(self._request(name, "purge", fresh, **more) for name, more in named),
            *(
                self._request(f"vary/{name}", "vary", varied, headers={"Accept-Language": language})
                for name, language in (("en", "en"), ("de", "de"), ("en-again", "en"))
            ),
        )
        together = [self._request(f"together/{n}", "together", fresh) for n in range(1, _TOGETHER + 1)]
        self._ask(LONDON, *together, parallel=_TOGETHER)
        self._ask(LONDON, self._request("shield/london", "shield", fresh))
        self._ask(TOKYO, self._request("shield/tokyo", "shield", fresh))

    def load(self) -> None:
        weights = [1 / rank**_EXPONENT for rank in range(1, OBJECTS + 1)]
        chance = random.Random(_SEED)  # noqa: S311 - the same load in every run
        for node, count in LOAD.items():
            chosen = chance.choices(range(1, OBJECTS + 1), weights, k=count)
            requests = (
                self._request(f"zipf-{node}/{number}", f"z{one}", "max_age=3600&size=2000")
                for number, one in enumerate(chosen, 1)
            )
            self._ask(node, *requests, parallel=_TOGETHER)


def judge(read: Recording) -> Findings:
    talk = read_talk(read)
    return Findings(
        (_latencies(talk), _offload(talk)),
        cdn_claims(talk, read.run.flaws),
        failed=tuple(cause for node in EDGES for cause in failures(read, node)),
    )


def _latencies(talk: Talk) -> Table:
    ways = {"direct": "from the origin", "miss": "a miss of the edge", "hit": "a hit of the edge"}
    rows = []
    for prefix, title in ways.items():
        group = talk.group(prefix)
        waits = Spread.of([wait / 1e6 for one in group if (wait := one.span.wait_ns) is not None])
        sent = None if prefix == "direct" else _sent_on(talk, group)
        frames = group[0].span.request_frames if group else ()
        rows.append(Row((title, len(group), waits.text() if waits else None, sent), frames))
    return Table(
        "10 kB asked in London, on connections that stand",
        ("way", "requests", "first byte after, ms", "sent on"),
        tuple(rows),
        ("first byte after: from the request's first byte, at the client.",),
    )


def _sent_on(talk: Talk, group: Sequence[Asked]) -> int | None:
    counts = [talk.back(one.name) for one in group]
    return None if None in counts else sum(len(one or ()) for one in counts)


def _offload(talk: Talk) -> Table:
    return Table(
        f"{OBJECTS} objects, the nth asked 1/n as often as the first",
        ("cache", "requests", "sent on", "answered here, %"),
        tuple(_offload_rows(talk)),
        ("the shield gets what the edges send on, so the origin gets what the shield sends on.",),
    )


def _offload_rows(talk: Talk) -> Iterator[Row]:
    for node, edge in EDGES.items():
        group = talk.group(f"zipf-{node}")
        sent = _sent_on(talk, group)
        frames = group[0].span.request_frames if group else ()
        yield Row((edge, len(group), sent, _percent(len(group), sent)), frames)
    if SHIELD in talk.caches:
        group = tuple(one for node in EDGES for one in talk.group(f"zipf-{node}"))
        came = _sent_on(talk, group)
        backs = [talk.back(one.name, SHIELD) for one in group]
        sent = None if None in backs else sum(len(one or ()) for one in backs)
        yield Row((SHIELD, came, sent, _percent(came, sent)))


def _percent(count: int | None, sent: int | None) -> float | None:
    return round(100 * (1 - sent / count), 1) if count and sent is not None else None


SCENARIO = Scenario(
    "cdn",
    "a CDN's hits, misses, stale answers, purges and variants, its shield, and its share of a Zipf load",
    stimulus,
    judge,
    http=("1.1", "2", "3"),
    single=("http",),
    interfaces=lambda topology: tuple(
        f"{node}:{INTERFACE}" for node in (*EDGES, *EDGES.values(), SHIELD) if node in topology.nodes
    ),
    topology="middle",
    needs={
        LONDON: "it asks",
        TOKYO: "it asks",
        "edge-london": "it answers London",
        "edge-tokyo": "it answers Tokyo",
    },
)
