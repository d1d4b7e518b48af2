"""Whole requests as a capture: client behind NAT, resolver, CDN edge, balancer, proxy, app, database.

Times are chosen, so that a test knows what must come out. Real TLS bytes, made in memory.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from netlab.model.event import Event
from netlab.model.impairment import Impairment
from netlab.proto import dns, proxy_protocol
from netlab.trace.run import Run, RunCapture, RunLink, RunNode
from tests.kit.tls_bytes import tls_pair
from tests.kit.wire_capture import MS, End, Point, Tcp, Wire
from tests.kit.wire_capture import Path as WirePath

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
URL = "https://origin.example.com/user/42"
CLICK = 1_700_000_000_000_000_000
_BODY = b'{"id":42,"name":"Ada"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY

CLIENT, HOME = "192.168.1.10", "203.0.113.5"
BALANCER, BALANCER_INSIDE, PROXY = "93.184.216.34", "10.0.0.2", "10.0.0.3"
APP, DATABASE = "10.0.1.50", "10.0.2.10"
RESOLVER, ROOT, EDGE = "198.51.100.53", "198.41.0.4", "151.101.1.1"


def run() -> Run:
    """The nodes of the story."""
    nodes = {
        "client-a": RunNode(location="London", roles=("client",), addresses=(CLIENT,)),
        "home-router": RunNode(kind="router", location="London", addresses=("192.168.1.1", HOME)),
        "resolver": RunNode(location="London", roles=("resolver",), addresses=(RESOLVER,)),
        "ns-root": RunNode(roles=("nameserver",), addresses=(ROOT,)),
        "edge-london": RunNode(location="London", roles=("cdn",), addresses=(EDGE,)),
        "lb": RunNode(location="US East", roles=("balancer",), addresses=(BALANCER, BALANCER_INSIDE)),
        "proxy": RunNode(location="US East", roles=("proxy",), addresses=(PROXY,)),
        "app-1": RunNode(location="US East", roles=("app",), addresses=(APP,)),
        "db": RunNode(location="US East", roles=("database",), addresses=(DATABASE,)),
    }
    links = (
        RunLink(
            ends=("client-a:eth0", "home-router:lan"),
            medium="wifi-6",
            up=Impairment(rate_bps=600_000_000),
            down=Impairment(rate_bps=600_000_000),
        ),
        RunLink(ends=("app-1:eth0", "cloud:app-1"), medium="ethernet-1g"),
    )
    return Run(
        scenario="rest",
        lab="internet",
        topology="internet",
        started_ns=CLICK,
        ended_ns=CLICK + 1000 * MS,
        nodes=nodes,
        links=links,
        capture=RunCapture(packets=0, dropped=0),
    )


def outside_path(port: int, mapped: int) -> WirePath:
    """From the client to the balancer: 20 ms one way, NAT and two routers between."""
    inside, outside, server = End(CLIENT, port), End(HOME, mapped), End(BALANCER, 443)
    return (
        Point("client-a", "eth0", inside, server, 0),
        Point("home-router", "lan", inside, server, 1 * MS),
        Point("home-router", "wan", outside, server, 1 * MS + 10_000, 1),
        Point("cloud", "wan", outside, server, 19 * MS, 1),
        Point("cloud", "lb", outside, server, 19 * MS + 10_000, 2),
        Point("lb", "eth0", outside, server, 20 * MS, 2),
    )


def direct_path(nodes: tuple[str, str], client: End, server: End, one_way_ns: int) -> WirePath:
    return (
        Point(nodes[0], "eth0", client, server, 0),
        Point(nodes[1], "eth0", client, server, one_way_ns),
    )


def edge_path(port: int, mapped: int) -> WirePath:
    """From the client to the CDN edge in London: 2.5 ms one way."""
    inside, outside, server = End(CLIENT, port), End(HOME, mapped), End(EDGE, 443)
    return (
        Point("client-a", "eth0", inside, server, 0),
        Point("home-router", "lan", inside, server, 1 * MS),
        Point("home-router", "wan", outside, server, 1 * MS + 10_000, 1),
        Point("edge-london", "eth0", outside, server, 2_500_000, 1),
    )


@dataclass
class Story:
    """One request. `name`: direct (to the origin), miss or hit (through the edge).

    Every one of a capture needs ports of its own. `wire` has the packets, `keys` the key log.
    """

    directory: Path
    click: int = CLICK
    name: str = "direct"
    trace_id: str = TRACE_ID
    port: int = 40_000
    mapped: int = 40_000
    server_ms: int = 8
    dns: bool = True
    lost: bool = False  # the request's packet, at the home router; it is sent again 300 ms later
    wire: Wire = field(default_factory=Wire)
    keys: str = ""
    end_ns: int = 0

    @property
    def url(self) -> str:
        return URL if self.name == "direct" else URL.replace("origin", "api")

    def traceparent(self) -> str:
        return f"00-{self.trace_id}-00f067aa0ba902b7-01"

    def event(self) -> Event:
        data = {"name": self.name, "url": self.url, "traceparent": self.traceparent()}
        return Event(self.click, "client-a", "client", "request-start", None, data)

    def tell(self) -> Story:
        at = self.click + MS
        if self.dns:
            at = self._lookup(at)
        if self.name == "direct":
            self.end_ns = self._origin(at, outside_path(self.port, self.mapped), HOME)
        else:
            self.end_ns = self._edge(at)
        return self

    def _edge(self, at: int) -> int:
        front = Tcp(self.wire, edge_path(self.port, self.mapped))
        tls = tls_pair(self.directory, "api.example.com")
        opened = front.handshake(at)
        hello, flight, finished = tls.handshake()
        arrived = front.send(front.send(opened, True, hello), False, flight)
        head = f"GET /user/42 HTTP/1.1\r\nHost: api.example.com\r\ntraceparent: {self.traceparent()}\r\n"
        heard = front.send(arrived, True, finished + tls.request(head.encode() + b"\r\n"))
        answered = heard + 200_000
        if self.name == "miss":
            path = direct_path(("edge-london", "lb"), End(EDGE, self.port + 1), End(BALANCER, 443), 20 * MS)
            answered = self._origin(answered, path, EDGE) + 100_000
        done = front.send(answered, False, tls.response(ANSWER))
        self.keys += tls.keys
        return done

    def _lookup(self, at: int) -> int:
        """5 ms one way to the resolver, 10 ms from there to the root: 30 ms in all."""
        client = direct_path(("client-a", "resolver"), End(CLIENT, 50_000), End(RESOLVER, 53), 5 * MS)
        root = direct_path(("resolver", "ns-root"), End(RESOLVER, 50_001), End(ROOT, 53), 10 * MS)
        for ident, path in ((self.port, client), (self.port + 1, root)):
            question = dns.Question(urlsplit(self.url).hostname or "")
            query = dns.Message(ident, question, recursion_desired=True)
            answer = dns.Message(
                ident,
                question,
                response=True,
                answers=(dns.record(f"{question.name}.", "A", 300, BALANCER),),
            )
            start, answered = (at, at + 25 * MS) if path is client else (at + 5 * MS, at + 15 * MS)
            self.wire.udp(path, start, True, dns.encode(query))
            self.wire.udp(path, answered, False, dns.encode(answer))
        return at + 30 * MS

    def _origin(self, at: int, path: WirePath, asker: str) -> int:
        """From `asker` through the balancer to the proxy, which ends TLS; when the answer is back."""
        tls = tls_pair(self.directory, "origin.example.com")
        head = f"GET /user/42 HTTP/1.1\r\nHost: origin.example.com\r\ntraceparent: {self.traceparent()}\r\n"
        front = Tcp(self.wire, path, client_seq=self.port * 1000, server_seq=self.port * 2000)
        ends = End(BALANCER_INSIDE, self.port + 2), End(PROXY, 443)
        back = Tcp(self.wire, direct_path(("lb", "proxy"), *ends, 100_000), client_seq=self.port * 3000)
        opened = front.handshake(at)
        joined = back.handshake(opened + 20 * MS)
        source = path[-1].client
        forwarded = proxy_protocol.encode(proxy_protocol.Header(*source, *path[-1].server))

        hello, flight, finished = tls.handshake()
        arrived = front.send(opened, True, hello)
        arrived = back.send(max(arrived, joined), True, forwarded + hello)
        arrived = back.send(arrived, False, flight)
        arrived = front.send(arrived, False, flight)
        front.segment(arrived, True, 24, finished)
        request = tls.request(head.encode() + b"\r\n")
        if self.lost:
            Tcp(self.wire, path[:3], front.client_seq, front.server_seq).segment(arrived, True, 24, request)
            arrived += 300 * MS
        heard = front.send(arrived + 1000, True, request)
        back.segment(heard, True, 24, finished)
        heard = back.send(heard + 1000, True, request)
        answered = self._inside(heard, head, asker)
        sealed = tls.response(ANSWER)
        arrived = front.send(back.send(answered, False, sealed), False, sealed)
        front.close(arrived + 5 * MS)
        self.keys += tls.keys
        return arrived

    def _inside(self, heard: int, head: str, asker: str) -> int:
        """Proxy to app to database and back; the app's pool has its connection already."""
        app_path = direct_path(("proxy", "app-1"), End(PROXY, self.port + 3), End(APP, 8080), 100_000)
        app = Tcp(self.wire, app_path, client_seq=self.port * 4000, server_seq=80_000)
        database_path = direct_path(("app-1", "db"), End(APP, self.port + 4), End(DATABASE, 5432), 100_000)
        database = Tcp(self.wire, database_path, client_seq=self.port * 5000, server_seq=95_000)
        opened = app.handshake(heard + 100_000)
        asked = app.send(opened, True, f"{head}X-Forwarded-For: {asker}\r\n\r\n".encode())
        sent = database.send(asked + MS, True, query(self.traceparent()))
        back = database.send(sent + self.server_ms * MS, False, rows())
        done = app.send(back + MS, False, ANSWER)
        return done + 100_000


def query(traceparent: str) -> bytes:
    """Parse, Bind, Describe, Execute and Sync, as an extended query is sent."""
    sql = f"SELECT id, name FROM users WHERE id = $1 /*traceparent='{traceparent}'*/".encode()
    return b"".join(
        (
            pg(b"P", b"\0" + sql + b"\0\0\0"),
            pg(b"B", b"\0\0\0\0" + struct.pack("!HI", 1, 2) + b"42" + b"\0\0"),
            pg(b"D", b"P\0"),
            pg(b"E", b"\0\0\0\0\0"),
            pg(b"S", b""),
        )
    )


def rows() -> bytes:
    return b"".join(
        (
            pg(b"1", b""),
            pg(b"2", b""),
            pg(b"D", struct.pack("!HI", 1, 2) + b"42"),
            pg(b"C", b"SELECT 1\0"),
            pg(b"Z", b"I"),
        )
    )


def pg(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def three(directory: Path, start: int = CLICK) -> tuple[Wire, str, tuple[Event, ...]]:
    """Direct, miss and hit in one capture: its packets, key log and events. The hit has no lookup."""
    wire, keys, events, click = Wire(), "", [], start
    for number, name in enumerate(("direct", "miss", "hit")):
        port, trace_id = 40_000 + 10 * number, f"{number + 1:032x}"
        story = Story(
            directory, click, name, trace_id, port=port, mapped=port, dns=name != "hit", wire=wire
        ).tell()
        keys += story.keys
        events.append(story.event())
        click = story.end_ns + 20 * MS
    return wire, keys, tuple(events)
