"""The CDN edge: TLS to the client, a shared cache, TLS to the origin."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from netlab.model.roles import CdnSpec
from netlab.net.body_copy import BodyCopy
from netlab.net.context import RoleContext
from netlab.net.edge_answer import EdgeAnswers
from netlab.net.edge_gate import Gate
from netlab.net.edge_origin import CONDITIONS, Origin
from netlab.net.edge_store import EdgeStore
from netlab.net.exchange import Exchange
from netlab.net.flight import Flight, FromCache, Passing
from netlab.net.http_gateway import (
    WHOLE,
    host_of,
    is_short,
    outgoing,
    relayed_head,
    response_body,
)
from netlab.net.http_listen import listen_http
from netlab.net.shared_body import SharedBody
from netlab.net.upstream import Outgoing, Response, UpstreamError
from netlab.policy.cache import Hit, Miss, Revalidate
from netlab.policy.cache_control import request_directives, seconds
from netlab.policy.cache_key import Key
from netlab.policy.cache_status import forwarded
from netlab.policy.cdn_loop import is_loop
from netlab.policy.edge_settings import changed
from netlab.policy.purge import is_soft, purge_condition
from netlab.policy.stored import Stored, is_error, shareable, storable
from netlab.proto.http import Headers, RequestHead, ResponseHead

_LARGEST_SHARE = 8  # of the cache that one response may take: one part in so many


async def serve(spec: CdnSpec, ctx: RoleContext) -> None:
    """Serve until told to stop."""
    edge = _Edge(spec, ctx)
    await edge.open()
    ctx.on_settings(edge.settings)
    ctx.ready(await listen_http(ctx, spec.listen, spec.http, spec.tls, edge.handle))
    await ctx.stopped()
    await ctx.drain()
    await edge.close()


class _Edge:
    def __init__(self, spec: CdnSpec, ctx: RoleContext) -> None:
        self._ctx = ctx
        self._spec = spec
        self._names = frozenset(name.lower() for name in spec.names)
        self._cache = EdgeStore(ctx, spec)
        self._largest = spec.cache_bytes // _LARGEST_SHARE
        self._answers = EdgeAnswers(ctx, spec, self._cache)
        self._origin = Origin(ctx, spec)
        self._gate = Gate(ctx, spec) if spec.rate_limits or spec.bots or spec.functions else None
        self._flights: dict[Key, Flight] = {}

    async def open(self) -> None:
        await self._cache.open()

    async def close(self) -> None:
        await self._origin.close()
        await self._cache.close()

    def settings(self, settings: Mapping[str, str]) -> dict[str, str]:
        """What an operator changes while it runs. Raises InputError."""
        self._spec, before = changed(self._spec, settings, self._ctx.addresses_of)
        for part in (self._cache, self._answers, self._origin):
            part.configure(self._spec)
        return before

    async def handle(self, exchange: Exchange) -> None:
        request = exchange.request
        if host_of(request) not in self._names:
            await self._answers.say(exchange, 421, f"{request.authority} is not served here")
            return
        if is_loop(request.headers, self._ctx.launch.node):
            await self._answers.say(exchange, 508, "this request has been here before")
            return
        if self._gate is not None:
            admitted = await self._gate.admit(exchange)
            if admitted is None:
                return
            exchange, request = admitted, admitted.request
        try:
            if exchange.protocol:
                await self._origin.tunnel(exchange)
            elif request.method == "PURGE":
                await self._purge(exchange)
            else:
                await self._answer(exchange)
        except UpstreamError as error:
            self._ctx.emit("error", cause=str(error))
            if exchange.begun:
                exchange.abort()
            else:
                await self._answers.say(exchange, error.status, "the origin does not answer")

    async def _purge(self, exchange: Exchange) -> None:
        request, address = exchange.request, ip_address(exchange.peer.address)
        if not any(address in network for network in self._spec.purge):
            await self._answers.say(exchange, 403, "PURGE is not allowed from here")
            return
        condition = purge_condition(self._cache.key_of(request), request.headers)
        try:
            behind = await self._origin.purge_shield(request, exchange.peer.address)
        finally:
            count = self._cache.purge(condition, time.time(), soft=is_soft(request.headers))
            self._flights.clear()  # who asks from now on gets nothing that was made before
        own = Headers((("Content-Type", "application/json"), ("Cache-Control", "no-store")))
        head = self._answers.advertised(exchange, ResponseHead(200, own))
        told = {"purged": count} | ({"shield": behind} if behind is not None else {})
        await exchange.respond(head, json.dumps(told).encode())

    async def _answer(self, exchange: Exchange) -> None:
        request = exchange.request
        if exchange.has_body and request.method in {"GET", "HEAD"}:
            # The origin may obey the body, which is no part of the key.
            await self._ask_alone(exchange, Miss("bypass"))
            return
        if self._cache.on_disk:
            await self._cache.load(request)
        found = self._cache.look_up(request, time.time())
        if isinstance(found, Hit):
            await self._hit(exchange, found)
            return
        self._emit("cache-miss", request, cause=found.cause)
        if found.only_cached:
            await self._answers.say(exchange, 504, "not in the cache")
        elif _is_plain(request, found):
            await self._ask_together(exchange, found)
        else:
            await self._ask_alone(exchange, found)

    def _emit(self, event: str, request: RequestHead, **data: Any) -> None:
        key = "https://" + "".join(self._cache.key_of(request))
        self._ctx.emit(event, key=key, traceparent=request.headers.get("traceparent"), **data)

    async def _hit(self, exchange: Exchange, found: Hit) -> None:
        now = time.time()
        self._emit("cache-hit", exchange.request, age_s=int(found.stored.age(now)))
        if found.refresh and self._cache.key_of(exchange.request) not in self._flights:
            self._start(exchange, Revalidate(found.stored, "stale"), kept=True)
        await self._answers.hit(exchange, found.stored, now)

    # A request that others may wait for too.

    def _start(self, exchange: Exchange, found: Revalidate | Miss, *, kept: bool = False) -> Flight:
        # A HEAD that finds something stale has it refreshed for everybody.
        flight = Flight(replace(exchange.request, method="GET"), kept=kept)
        key, address = self._cache.key_of(exchange.request), exchange.peer.address
        self._flights[key] = flight

        async def work(flight: Flight) -> None:
            try:
                await self._fetch(flight, found, address)
            finally:
                self._land(flight)

        flight.start(self._ctx, work)
        return flight

    def _land(self, flight: Flight) -> None:
        """Nobody joins it from now on."""
        key = self._cache.key_of(flight.request)
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _ask_together(self, exchange: Exchange, found: Revalidate | Miss) -> None:
        flight = self._flights.get(self._cache.key_of(exchange.request))
        joined = flight is not None and not flight.given_up
        if flight is None or flight.given_up:
            flight = self._start(exchange, found)
        with flight.interest():
            decision = await flight.decision()
            if not joined or self._answers_too(exchange.request, flight, decision):
                await self._share(exchange, decision, joined)
                return
        await self._ask_alone(exchange, found)

    def _answers_too(self, request: RequestHead, flight: Flight, decision: FromCache | Passing) -> bool:
        if isinstance(decision, FromCache):
            now = time.time()
            found = self._cache.look_up(request, now)
            return isinstance(found, Hit | Revalidate) and found.stored is decision.stored
        return decision.body.joinable and shareable(
            request, flight.request, decision.response.head, time.time()
        )

    async def _share(self, exchange: Exchange, decision: FromCache | Passing, joined: bool) -> None:
        if isinstance(decision, FromCache):
            await self._answers.from_cache(exchange, decision)
            return
        status = decision.status + "; collapsed" * joined
        head = self._answers.marked(exchange, relayed_head(decision.response.head), status)
        whole = decision.body.whole()
        if whole is not None and len(whole) <= WHOLE:
            await self._answers.relay(exchange, decision.response, head, whole)
            return
        with decision.body.reader() as parts:
            await self._answers.relay(exchange, decision.response, head, parts)

    async def _fetch(self, flight: Flight, found: Revalidate | Miss, address: str) -> None:
        """Raises UpstreamError."""
        asked_at = time.time()
        head = self._origin.head(flight.request, address, found)
        if isinstance(found, Miss):
            head = head.with_headers(head.headers.without(*CONDITIONS))
        try:
            async with self._origin.exchange(Outgoing(head)) as response:
                settled = self._settled(flight.request, found, response.head, asked_at)
                if settled is not None:
                    await response.read()
                    flight.decide(settled)
                    return
                if response.head.status != 304:
                    await self._fly(flight, found, response, asked_at)
                    return
        except UpstreamError as error:
            if flight.decided:
                raise
            flight.decide(self._instead(flight.request, found, error))
            return
        await self._fetch(flight, Miss("stale"), address)  # that 304 was about another response

    async def _fly(
        self, flight: Flight, found: Revalidate | Miss, response: Response, asked_at: float
    ) -> None:
        """A short body is read first, so that it leaves with its head; a long one streams."""
        head, request = response.head, flight.request
        limit = self._limit(request, head, found)
        if not limit or not shareable(request, request, head, time.time()):
            self._land(flight)
        short = is_short(response)
        body = SharedBody(max(limit, WHOLE) if short else limit)
        passing = Passing(response, body, forwarded(found.cause, head.status, stored=limit > 0))
        if short:
            await body.add(await response.read())
            body.end()
            self._keep(request, head, body.whole() if limit else None, asked_at)
            self._land(flight)
            flight.decide(passing)
            return
        flight.kept = limit > 0
        flight.decide(passing)
        if not limit:
            flight.release()
        try:
            async for part in response.body():
                if not body.joinable:
                    flight.release()
                await body.add(part)
        except UpstreamError as error:
            body.end(error)
            return
        body.end()
        self._keep(request, head, body.whole() if limit else None, asked_at)

    def _limit(self, request: RequestHead, head: ResponseHead, found: Revalidate | Miss) -> int:
        """How much of a response's body is kept: nothing of what is not stored, or is known to be too
        long."""
        length = head.headers.get("content-length")
        long = length.isdigit() and int(length) > self._largest
        return self._largest if storable(request, head) and found.cause != "bypass" and not long else 0

    def _settled(
        self, request: RequestHead, found: Revalidate | Miss, head: ResponseHead, asked_at: float
    ) -> FromCache | None:
        """What is stored, where the origin has confirmed it, or fails."""
        if isinstance(found, Miss):
            return None
        status, now = forwarded(found.cause, head.status), time.time()
        if head.status == 304:
            entry = self._cache.refresh(request, found.stored, head, asked_at, now)
            if entry is None:
                return None
            self._emit("cache-stored", request, lifetime_s=entry.lifetime_s)
            return FromCache(entry, status, validated=True)
        if is_error(head.status) and self._tolerates_errors(request, found.stored, now):
            return FromCache(found.stored, status, validated=False)
        return None

    def _instead(self, request: RequestHead, found: Revalidate | Miss, error: UpstreamError) -> FromCache:
        """What is stored and stale, in place of an origin that does not answer. Raises UpstreamError."""
        if isinstance(found, Miss):
            raise error
        if self._tolerates_errors(request, found.stored, time.time()):
            return FromCache(found.stored, forwarded(found.cause), validated=False)
        if found.stored.never_stale:  # RFC 9111 section 5.2.2.2
            raise UpstreamError(str(error), 504) from error
        raise error

    def _tolerates_errors(self, request: RequestHead, entry: Stored, now: float) -> bool:
        """By the response, or the request (RFC 5861 section 4)."""
        asked = seconds(request_directives(request.headers).get("stale-if-error", "0"))
        default_s = self._spec.stale_if_error_ns / 1e9
        return entry.stale_for("stale-if-error", now, default_s) or entry.stale_for("", now, asked)

    # A request that is nobody else's.

    async def _ask_alone(self, exchange: Exchange, found: Revalidate | Miss) -> None:
        asked_at = time.time()
        head = self._origin.head(exchange.request, exchange.peer.address, found)
        try:
            async with self._origin.exchange(outgoing(exchange, head)) as response:
                settled = self._settled(exchange.request, found, response.head, asked_at)
                if settled is not None:
                    await response.read()
                    await self._answers.from_cache(exchange, settled)
                    return
                if response.head.status != 304 or isinstance(found, Miss):
                    await self._passed_on(exchange, found, response, asked_at)
                    return
        except UpstreamError as error:
            if exchange.begun:
                raise
            await self._answers.from_cache(exchange, self._instead(exchange.request, found, error))
            return
        await self._ask_alone(exchange, Miss("stale"))

    async def _passed_on(
        self, exchange: Exchange, found: Revalidate | Miss, response: Response, asked_at: float
    ) -> None:
        request = exchange.request
        now = time.time()
        if self._cache.invalidate(request, response.head, now):
            self._flights.pop(self._cache.key_of(request), None)
        self._cache.head_seen(request, response.head, asked_at, now)
        limit = self._limit(request, response.head, found)
        status = forwarded(found.cause, response.head.status, stored=limit > 0)
        head = self._answers.marked(exchange, relayed_head(response.head), status)
        copy = BodyCopy(limit)
        body = await response_body(request, response)
        if isinstance(body, bytes):
            copy.add(body)
            self._keep(request, response.head, copy.whole() if limit else None, asked_at)
            await self._answers.relay(exchange, response, head, body)
        else:
            await self._answers.relay(exchange, response, head, copy.while_passing(body))
            self._keep(request, response.head, copy.whole() if limit else None, asked_at)

    def _keep(self, request: RequestHead, head: ResponseHead, body: bytes | None, asked_at: float) -> None:
        """None: the body is not to be kept, or was too long."""
        if body is None:
            return
        entry = self._cache.store(request, head, body, asked_at, time.time())
        if entry is not None:
            self._emit("cache-stored", request, lifetime_s=entry.lifetime_s)


def _is_plain(request: RequestHead, found: Revalidate | Miss) -> bool:
    """Whether the answer may be another request's too."""
    if request.method != "GET" or found.cause in {"request", "partial"}:
        return False
    conditional = any(request.headers.has(name) for name in CONDITIONS)
    if isinstance(found, Miss) and conditional:
        return False
    return not request_directives(request.headers).keys() & {"no-cache", "no-store"}
