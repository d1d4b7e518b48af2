"""Many small objects at once, over each version of HTTP: what `multiplex` and `hol` have in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from netlab.model.roles import HttpVersion, Pool, Request, TlsClient
from netlab.scenarios.answers import refuse_failed
from netlab.scenarios.bench import Bench
from netlab.scenarios.measured import Asked
from netlab.trace.connection import Connection

CLIENT = "client-a"
INTERFACE = "eth0"
URL = "https://origin.example.com/objects/{number}?size={size}"


@dataclass(frozen=True, slots=True)
class Way:
    """A version of HTTP, and how many connections a client may open with it."""

    title: str
    http: HttpVersion
    connections: int


WAYS = (
    Way("HTTP/1.1 × 1", "1.1", 1),
    Way("HTTP/1.1 × 6", "1.1", 6),
    Way("HTTP/2", "2", 1),
    Way("HTTP/3", "3", 1),
)


def ways(http: Iterable[HttpVersion], tls: TlsClient) -> tuple[Way, ...]:
    """Those of these versions that exist with this TLS: QUIC has no 1.2 (RFC 9001 section 4.2)."""
    chosen = set(http) if "1.3" in tls.versions else set(http) - {"3"}
    return tuple(way for way in WAYS if way.http in chosen)


def ask_all(bench: Bench, prefix: str, way: Way, count: int, size: int, tls: TlsClient) -> None:
    """One client that wants `count` objects of `size` bytes at once, with no connection open yet.

    The requests are called "PREFIX/1" and so on. Raises LabError where one got no answer.
    """
    requests = [
        Request(
            name=f"{prefix}/{number}",
            url=URL.format(number=number, size=size),
            http=way.http,
            tls=tls,
            timeout="120s",
        )
        for number in range(1, count + 1)
    ]
    pool = Pool(per_host=way.connections)
    refuse_failed(bench.ask(CLIENT, requests, parallel=count, pool=pool, timeout_s=180))


@dataclass(frozen=True, slots=True)
class Page:
    """The objects that one client got, with the connections that brought them."""

    asked: tuple[Asked, ...]

    @property
    def connections(self) -> tuple[Connection, ...]:
        return tuple({id(one.connection): one.connection for one in self.asked}.values())

    @property
    def start_ns(self) -> int:
        """The first packet."""
        return min(one.start.time_ns for one in self.connections)

    @property
    def all_ns(self) -> int:
        """From the first packet until the last object was whole."""
        return max(one.span.done.time_ns for one in self.asked if one.span.done) - self.start_ns

    @property
    def first_ns(self) -> int:
        """From the first packet until the first object was whole."""
        return min(one.span.done.time_ns for one in self.asked if one.span.done) - self.start_ns

    @property
    def at_once(self) -> int:
        """The most requests that one connection had open at a time."""
        return max(_overlap(spans) for spans in self._spans().values())

    @property
    def frames(self) -> tuple[int, ...]:
        """Evidence: the first packet, and the one with which the last object was whole."""
        last = max((one.span.done for one in self.asked if one.span.done), default=None)
        first = min(one.start for one in self.connections)
        return (first.frame, last.frame) if last is not None else (first.frame,)

    def _spans(self) -> dict[int, list[tuple[int, int]]]:
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for one in self.asked:
            if one.span.done is not None:
                found[id(one.connection)].append((one.span.asked.time_ns, one.span.done.time_ns))
        return found


def _overlap(spans: Sequence[tuple[int, int]]) -> int:
    """At one instant, an end comes before a beginning."""
    changes = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def pages(found: Iterable[Asked]) -> Iterator[tuple[str, Page]]:
    """By the prefix of their names, in the order of their first request. Pages that the capture does not
    show to their end are left out."""
    groups: dict[str, list[Asked]] = defaultdict(list)
    for one in found:
        groups[one.name.rpartition("/")[0]].append(one)
    for prefix, members in groups.items():
        if all(one.span.done is not None for one in members):
            yield prefix, Page(tuple(members))
