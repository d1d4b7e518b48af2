"""What a client asks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from netlab.model.roles.dns import DnsClient, Lookup
from netlab.model.roles.jwt import TokenFault
from netlab.model.roles.resilience import Resilience
from netlab.model.roles.spec import HttpVersion, Spec
from netlab.model.roles.tls import Pool, TlsClient
from netlab.model.units import DurationNs, RateBps


class Request(Spec):
    """One request of a client, in order. `traceparent` is made up (W3C Trace Context) if empty.

    `http`: the one version to speak; without it the client offers 2 and 1.1 by ALPN, and takes 3 where
    Alt-Svc or an HTTPS record has told of it. `fresh`: on a new connection, which nobody uses after it.
    `upload_bytes`: send a body of so many bytes, made while it is sent, in place of `body`. `read_rate`:
    read the response no faster, so that flow control holds the server back.
    """

    url: str
    name: str = ""
    method: str = "GET"
    headers: dict[str, str] = Field({})
    body: str = ""
    upload_bytes: Annotated[int, Field(ge=0)] = 0
    read_rate_bps: RateBps | None = Field(None, alias="read_rate")
    http: HttpVersion | None = None
    tls: TlsClient | None = None
    fresh: StrictBool = False
    traceparent: str = ""
    timeout_ns: DurationNs = Field(30_000_000_000, alias="timeout")


class Subscription(Spec):
    """What a client wants of a channel of an app, `url`: …/channels/NAME. It comes back by itself after a
    break, and asks for what it missed.

    `way`: a WebSocket, server-sent events, long polling, or polling every `interval`. It ends when `count`
    messages have come, and fails where fewer came in `duration`; `count` 0: it ends with `duration`.
    `publish`: texts that it sends to the channel, the first `publish_after` it is subscribed, then one
    every `publish_interval`. `http`, `tls`: as of a request; a WebSocket goes over 1.1 if nothing is said.
    """

    url: str
    name: str = ""
    way: Literal["websocket", "sse", "long-poll", "poll"] = "websocket"
    http: HttpVersion | None = None
    tls: TlsClient | None = None
    interval_ns: DurationNs = Field(1_000_000_000, alias="interval")
    count: Annotated[int, Field(ge=0)] = 0
    duration_ns: DurationNs = Field(30_000_000_000, alias="duration")
    publish: tuple[str, ...] = ()
    publish_after_ns: DurationNs = Field(0, alias="publish_after")
    publish_interval_ns: DurationNs = Field(1_000_000_000, alias="publish_interval")


class ClientSpec(Spec):
    """Asks URLs, `parallel` at a time, one every `interval` at most, and gets what channels say. Without
    either it waits for a scenario.

    `bearer`: send `Authorization: Bearer` with a token that the lab signs for this subject.
    `bearer_fault`: the token is bad in this way, for showing what a proxy does.
    `pool`: connections are kept and used again within these limits. `tls`: for requests that say nothing.
    `resilience`: timeouts, retries and more for every request; `host:port` of its URL is its upstream.
    `dns`: how names are looked up. `lookups`: names to look up, before all else. `https_records`: ask the
    DNS for these too, as browsers do, which tell of HTTP/3 before any response.
    """

    kind: Literal["client"] = "client"
    requests: tuple[Request, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    parallel: Annotated[int, Field(ge=1)] = 1
    interval_ns: DurationNs = Field(0, alias="interval")
    bearer: str = ""
    bearer_fault: TokenFault = "none"
    user_agent: str = "netlab-client"
    tls: TlsClient = TlsClient()
    pool: Pool = Pool()
    resilience: Resilience = Resilience()
    dns: DnsClient = DnsClient()
    lookups: tuple[Lookup, ...] = ()
    https_records: StrictBool = False
