"""Every scenario that `netlab trace` runs and `netlab report` reads again."""

from __future__ import annotations

from netlab.scenarios import handshake, hol, migrate, multiplex, objects, push, rest, tcp, udp, websocket
from netlab.scenarios.scenario import Scenario

_ALL = (
    Scenario(
        "rest",
        "one request for user 42: straight from the origin, through the CDN, and from its cache",
        rest.stimulus,
        rest.judge,
        http=("1.1", "2", "3"),
        tls=("1.2", "1.3"),
        cold=True,
        check_more=rest.client_of,
    ),
    Scenario(
        "handshake",
        "round trips before the first byte: TLS 1.2, TLS 1.3, resumed, QUIC, QUIC 0-RTT, at 50 ms",
        handshake.stimulus,
        handshake.judge,
        http=("1.1", "2", "3"),
        tls=("1.2", "1.3", "resumed", "0rtt"),
        repeats=5,
        interfaces=lambda _: (f"{handshake.CLIENT}:eth0", "lb:public", "proxy:eth0"),
        needs={handshake.CLIENT: "it asks", "transit-eu": "its line is made 50 ms", "lb": "", "proxy": ""},
    ),
    Scenario(
        "multiplex",
        "4 and 100 small objects at once: HTTP/1.1 on 1 and 6 connections, HTTP/2, HTTP/3",
        multiplex.stimulus,
        multiplex.judge,
        http=("1.1", "2", "3"),
        tls=("1.2", "1.3"),
        repeats=3,
        interfaces=lambda _: (f"{objects.CLIENT}:{objects.INTERFACE}", "lb:public"),
        needs={objects.CLIENT: "it asks", "lb": "it is asked", "transit-eu": "its line is made longer"},
    ),
    Scenario(
        "hol",
        "head-of-line blocking: 50 objects at once under 0 to 5% loss, and which streams wait for what",
        hol.stimulus,
        hol.judge,
        http=("1.1", "2", "3"),
        tls=("1.2", "1.3"),
        repeats=3,
        interfaces=lambda _: (f"{objects.CLIENT}:{objects.INTERFACE}", ":".join(hol.SERVER)),
        needs={objects.CLIENT: "it asks", "home-router": "its line loses packets", "lb": "it is asked"},
    ),
    Scenario(
        "tcp",
        "what TCP does: handshake, slow start, repair of losses, flow control; reno, cubic and bbr",
        tcp.stimulus,
        tcp.judge,
        repeats=3,
        interfaces=lambda _: (f"{tcp.CLIENT}:eth0", f"{tcp.SERVER}:eth0"),
        needs={tcp.CLIENT: "it downloads", tcp.SERVER: "it serves", "home-router": "its line loses packets"},
    ),
    Scenario(
        "udp",
        "loss that nobody repairs: UDP beside TCP and QUIC on a line that loses 2%",
        udp.stimulus,
        udp.judge,
        repeats=3,
        interfaces=lambda _: (f"{udp.CLIENT}:{udp.INTERFACE}", ":".join(udp.SERVER), f"{udp.FAR}:eth0"),
        needs={
            udp.CLIENT: "it sends",
            udp.FAR: "it counts",
            "home-router": "its line loses packets",
            "lb": "",
        },
    ),
    Scenario(
        "migrate",
        "from Wi-Fi to LTE in the middle of a download: QUIC goes on, TCP does not",
        migrate.stimulus,
        migrate.judge,
        http=("3", "2"),
        interfaces=lambda _: (
            f"{migrate.CLIENT}:{migrate.WIFI}",
            f"{migrate.CLIENT}:{migrate.LTE}",
            "lb:public",
            "proxy:eth0",
        ),
        needs={migrate.CLIENT: "it moves", "lb": "it is asked", "proxy": "it answers"},
    ),
    Scenario(
        "websocket",
        "London and Tokyo on one channel: the server pushes to both; frame sizes, and each message's latency",
        websocket.stimulus,
        websocket.judge,
        http=("1.1", "2", "3"),
        interfaces=lambda _: ("client-a:eth0", "client-b:wwan0", "lb:public", "proxy:eth0"),
        needs={"client-a": "it talks", "client-b": "it listens"},
    ),
    Scenario(
        "push",
        "what a message costs by WebSocket, server-sent events, long polling and polling",
        push.stimulus,
        push.judge,
        http=("1.1", "2", "3"),
        interfaces=lambda _: ("client-a:eth0", "client-b:wwan0"),
        needs={"client-a": "it listens", "client-b": "it talks"},
    ),
)
SCENARIOS = {scenario.name: scenario for scenario in _ALL}
