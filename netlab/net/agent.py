"""A user agent's way to an origin: https where the host wants it (HSTS), the version of HTTP, the address.

HTTP/3 is learnt from Alt-Svc (RFC 7838) or HTTPS records (RFC 9460); QUIC then races against TCP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

from netlab.model.roles import HttpVersion, TlsClient
from netlab.net.context import RoleContext
from netlab.net.exchange import Tunnel
from netlab.net.eyeballs import Addresses, first_connected
from netlab.net.pool import ConnectionPool, Lease
from netlab.net.racing import race
from netlab.net.stub import Stub
from netlab.net.upstream import Outgoing, Response, Target, UpstreamError
from netlab.policy import alt_svc, hsts, https_record
from netlab.policy.alt_svc import Alternative
from netlab.policy.cache_control import seconds
from netlab.policy.retry import IDEMPOTENT
from netlab.policy.version import HEAD_START_S, Broken, Choice, choose
from netlab.proto.http import Headers, RequestHead, ResponseHead
from netlab.proto.url import Url


@dataclass(slots=True)
class Progress:
    """What a request, whichever attempt, is waiting for at the moment."""

    stage: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `body` makes its body, anew for each attempt. `http`: the one version to speak.

    `timeout_s` bounds the wait for a connection that is free; `connect_s` and `read_s` are as of Target and
    of Outgoing. `progress` is shared by the request's attempts.
    """

    url: Url
    head: RequestHead
    tls: TlsClient
    body: Callable[[], AsyncIterator[bytes]] | None = None
    http: HttpVersion | None = None
    fresh: bool = False
    timeout_s: float = 30.0
    connect_s: float = 5.0
    read_s: float = 30.0
    progress: Progress = field(default_factory=Progress)

    @property
    def traceparent(self) -> str:
        return self.head.headers.get("traceparent")


@dataclass(frozen=True, slots=True)
class _Way:
    """A connection to the origin, or to an alternative of it."""

    target: Target
    lease: Lease
    alternative: Alternative | None = None


class UserAgent:
    """Remembers, for its life, what origins say of themselves: HSTS, Alt-Svc, QUIC that got nowhere."""

    def __init__(
        self, ctx: RoleContext, pool: ConnectionPool, stub: Stub, *, https_records: bool = False
    ) -> None:
        self._ctx = ctx
        self._pool = pool
        self._stub = stub
        self._https_records = https_records
        self._asked_until: dict[str, float] = {}  # by name: how long its HTTPS records need not be asked
        self._alternatives = alt_svc.Cache()
        self._strict = hsts.Store()
        self._broken = Broken()

    def secured(self, url: Url) -> Url:
        """The URL to ask: with https where the host wants that (RFC 6797 section 8.3)."""
        left_s = 0 if url.secure else self._strict.left_s(url.host, self._ctx.now())
        if not left_s:
            return url
        made = url.made_secure(hsts.secure_port(url.port))
        self._ctx.emit("hsts", host=url.host, max_age_s=left_s, url=f"{made.origin}{made.target}")
        return made

    @asynccontextmanager
    async def exchange(self, asked: Asked) -> AsyncIterator[Response]:
        """Send the request; the final response's head is there on entry.

        What was too early for a server (425, RFC 8470 section 5.2), or misdirected at an alternative (421,
        RFC 7838 section 6), is sent once more; and to the origin what an alternative did not answer, which
        QUIC may notice only then: with 0-RTT a connection is there before any packet came back. Raises
        UpstreamError, NetlabError, OSError.
        """
        async with AsyncExitStack() as stack:
            response = await self._attempt(stack, asked, last=False)
            if response is None:
                response = await self._attempt(stack, asked, last=True)
                assert response is not None  # as it was the last
            yield response

    async def tunnel(self, asked: Asked, head: RequestHead) -> tuple[ResponseHead, Tunnel | None]:
        """Ask for `head.protocol` on a connection to the origin (see ClientConnection.tunnel), in
        `asked.http`, or HTTP/1.1. Raises UpstreamError, NetlabError, OSError."""
        url, failure = asked.url, UpstreamError(f"{asked.url.host} has no address")
        async with self._stub.addresses(url.host) as looked_up:
            found = await looked_up.ready()
        for address in found:
            tls = asked.tls if url.secure else None
            target = Target(address, url.port, tls, url.host, (asked.http or "1.1",), asked.connect_s)
            try:
                return await self._pool.tunnel(target, head, asked.timeout_s)
            except UpstreamError as error:
                failure = error
                if not error.unsent:
                    break
        raise failure

    async def _attempt(self, stack: AsyncExitStack, asked: Asked, *, last: bool) -> Response | None:
        """None where the request is to be sent again."""
        async with AsyncExitStack() as attempt:
            way = await self._way(asked, early=not last)
            asked.progress.stage = f"waiting for the response of {way.target}"
            head = _with_alt_used(asked.head, way)
            outgoing = Outgoing(head, asked.body and asked.body(), timeout_s=asked.read_s)
            exchange = self._pool.exchange(way.target, outgoing, fresh=asked.fresh, lease=way.lease)
            flow = way.lease.connection.flow
            try:
                response = await attempt.enter_async_context(exchange)
            except UpstreamError as error:
                if last or not _may_fall_back(asked, way, error):
                    raise
                cause = str(error)
                self._broken.failed(_server(asked.url, way.alternative), cause, self._ctx.now())
            else:
                self._learn_from(asked, response)
                cause = "" if last else self._again(asked, way, response)
                if not cause:
                    asked.progress.stage = "reading the response's body"
                    await stack.enter_async_context(attempt.pop_all())
                    return response
        self._ctx.emit("request-retried", flow, attempt=2, cause=cause, traceparent=asked.traceparent)
        return None

    def _again(self, asked: Asked, way: _Way, response: Response) -> str:
        """Why the request is to be sent again; empty: it isn't."""
        if response.head.status == 421 and way.alternative is not None:
            self._alternatives.drop(asked.url.origin)
            return f"421: {way.target} is no alternative of {asked.url.origin}"
        if response.head.status == 425 and asked.tls.early_data:
            return "425: too early; now without early data"
        return ""

    # What responses say of their origin.

    def _learn_from(self, asked: Asked, response: Response) -> None:
        """Only what came over TLS whose certificate was checked counts (RFC 6797 section 8.1, RFC 7838
        section 2.1)."""
        if asked.url.secure and asked.tls.verify:
            self._learn_strict(asked.url.host, response)
            self._learn_alternatives(asked.url.origin, response.head.headers)

    def _learn_strict(self, host: str, response: Response) -> None:
        now = self._ctx.now()
        known = self._strict.left_s(host, now) > 0
        values = response.head.headers.all("strict-transport-security")
        policy = self._strict.note(host, values, now, secure=True)
        if policy is not None and known != (policy.max_age_s > 0):
            self._ctx.emit(
                "hsts",
                response.flow,
                host=host,
                max_age_s=policy.max_age_s,
                include_subdomains=policy.include_subdomains,
            )

    def _learn_alternatives(self, origin: str, headers: Headers) -> None:
        found = alt_svc.parse(headers.get("alt-svc")) if headers.has("alt-svc") else None
        if found is not None:
            self._store(origin, found, "Alt-Svc", seconds(headers.get("age", "0")))

    def _store(self, origin: str, found: tuple[Alternative, ...], source: str, age_s: int = 0) -> None:
        now = self._ctx.now()
        news = found != self._alternatives.get(origin, now)
        self._alternatives.store(origin, found, now, age_s)
        if news:
            self._ctx.emit(
                "alt-svc",
                origin=origin,
                alternatives=[str(one) for one in found],
                max_age_s=max((one.max_age_s for one in found), default=0),
                source=source,
            )

    # Where the origin is.

    async def _looked_up(self, asked: Asked, addresses: Addresses) -> None:
        """Until there is an address to begin with. HTTPS records are asked for at the same time."""
        url = asked.url
        asked.progress.stage = f"looking up {url.host}"
        if not (self._https_records and url.secure and self._unasked(url)):
            await addresses.ready()
            return
        asking = self._ctx.tasks.create_task(self._ask_https(url))
        try:
            await addresses.ready()
            await asking
        finally:
            asking.cancel()

    def _unasked(self, url: Url) -> bool:
        try:
            ip_address(url.host)
        except ValueError:
            return self._asked_until.get(url.origin, 0.0) <= self._ctx.now()
        return False

    async def _ask_https(self, url: Url) -> None:
        name = url.host if url.port == 443 else f"_{url.port}._https.{url.host}"  # RFC 9460 section 9.1
        records, ttl_s = await self._stub.https(name)
        self._asked_until[url.origin] = self._ctx.now() + ttl_s
        found = https_record.alternatives(records, url.port, ttl_s)
        if found and not self._alternatives.get(url.origin, self._ctx.now()):
            self._store(url.origin, found, "HTTPS record")

    # The way to it.

    async def _way(self, asked: Asked, *, early: bool) -> _Way:
        async with self._stub.addresses(asked.url.host) as addresses:
            await self._looked_up(asked, addresses)
            return await self._chosen(asked, addresses, early=early)

    async def _chosen(self, asked: Asked, addresses: Addresses, *, early: bool) -> _Way:
        known = self._alternatives.get(asked.url.origin, self._ctx.now())
        told = next((one for one in known if one.protocol == "h3"), None)
        broken = "" if told is None else self._broken.cause(_server(asked.url, told), self._ctx.now())
        choice = choose(asked.http, tls=asked.url.secure, told=told is not None, broken=broken)
        tls = asked.tls if early or not asked.fresh else asked.tls.model_copy(update={"early_data": False})
        if choice.quic and choice.tcp and told is not None:
            return await self._raced(asked, tls, told, choice, addresses)
        if choice.quic:
            return await self._by_quic(asked, tls, told, addresses)
        if choice.avoided:
            self._fell_back(asked, "3", None, f"not tried again yet: {choice.avoided}")
        return await self._by_tcp(asked, tls, choice, addresses)

    async def _raced(
        self, asked: Asked, tls: TlsClient, told: Alternative, choice: Choice, addresses: Addresses
    ) -> _Way:
        started = self._ctx.now()
        outcome = await race(
            lambda: self._by_quic(asked, tls, told, addresses),
            lambda: self._by_tcp(asked, tls, choice, addresses),
            HEAD_START_S,
            lambda way: self._pool.release(way.lease),
        )
        server = _server(asked.url, told)
        if outcome.first:
            self._broken.worked(server)
            return outcome.won
        after_ms = (self._ctx.now() - started) * 1000
        cause = str(outcome.lost or f"no answer by QUIC in {after_ms:.0f} ms, when TCP was there")
        self._broken.failed(server, cause, self._ctx.now())
        self._fell_back(asked, "3", outcome.won.lease, cause)
        return outcome.won

    async def _by_quic(
        self, asked: Asked, tls: TlsClient, told: Alternative | None, addresses: Addresses
    ) -> _Way:
        host, port = _server(asked.url, told)
        secure = tls if asked.url.secure else None

        def target_at(address: str) -> Target:
            return Target(address, port, secure, asked.url.host, ("3",), asked.connect_s)

        if host == asked.url.host:
            target, lease = await self._leased(asked, addresses, target_at)
        else:
            async with self._stub.addresses(host) as others:
                await others.ready()
                target, lease = await self._leased(asked, others, target_at)
        return _Way(target, lease, told)

    async def _by_tcp(self, asked: Asked, tls: TlsClient, choice: Choice, addresses: Addresses) -> _Way:
        url = asked.url
        secure = tls if url.secure else None

        def target_at(address: str) -> Target:
            return Target(address, url.port, secure, url.host, choice.tcp, asked.connect_s)

        target, lease = await self._leased(asked, addresses, target_at)
        connection = lease.connection
        if not lease.reused and choice.tcp == ("2", "1.1") and connection.version == "1.1":
            chosen = connection.tls.alpn if connection.tls is not None else ""
            self._fell_back(asked, "2", lease, f"{target} chose {chosen or 'nothing'} by ALPN")
        return _Way(target, lease)

    async def _leased(
        self, asked: Asked, addresses: Addresses, target_at: Callable[[str], Target]
    ) -> tuple[Target, Lease]:
        """A connection to the first address that takes one (RFC 8305)."""

        async def attempt(address: str) -> tuple[Target, Lease]:
            target = target_at(address)
            asked.progress.stage = f"connecting to {target}{' by QUIC' if '3' in target.versions else ''}"
            return target, await self._pool.lease(target, asked.head, asked.timeout_s, fresh=asked.fresh)

        def discard(found: tuple[Target, Lease]) -> None:
            self._pool.release(found[1])

        return await first_connected(self._ctx, addresses, attempt, discard)

    def _fell_back(self, asked: Asked, wanted: HttpVersion, lease: Lease | None, cause: str) -> None:
        self._ctx.emit(
            "fallback",
            lease.connection.flow if lease is not None else None,
            wanted=wanted,
            version=lease.connection.version if lease is not None else "",
            cause=cause,
            traceparent=asked.traceparent,
        )


def _server(url: Url, told: Alternative | None) -> tuple[str, int]:
    """Whom QUIC goes to: host and port."""
    return (url.host, url.port) if told is None else (told.host.strip("[]") or url.host, told.port)


def _may_fall_back(asked: Asked, way: _Way, error: UpstreamError) -> bool:
    """Can the origin itself be asked, after an alternative failed (RFC 7838 section 2.4)?"""
    repeatable = error.unsent or asked.head.method in IDEMPOTENT
    return way.alternative is not None and asked.http is None and repeatable


def _with_alt_used(head: RequestHead, way: _Way) -> RequestHead:
    """The alternative is told by which name it was found (RFC 7838 section 5)."""
    if way.alternative is None:
        return head
    host = way.alternative.host or head.authority.rpartition(":")[0] or head.authority
    return head.with_headers(head.headers.having("Alt-Used", f"{host}:{way.alternative.port}"))
