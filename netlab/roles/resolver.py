"""A recursive, caching resolver: carries the datagrams of `netlab.policy.dns_recursion`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address

from netlab.errors import InputError, RemoteProtocolError
from netlab.model.event import Flow
from netlab.model.roles import ResolverSpec
from netlab.net import sockets
from netlab.net.context import RoleContext
from netlab.net.dns_client import PORT, TcpQuery, UdpQuery
from netlab.net.dns_server import Answered, dns_server
from netlab.policy.dns_iteration import Result
from netlab.policy.dns_query import refusal
from netlab.policy.dns_recursion import Done, Recursion, Send
from netlab.proto.dns import Message, ResourceRecord, decode, reply
from netlab.proto.dns_dnssec import dnskey, signature
from netlab.proto.dns_edns import Subnet, subnet_of
from netlab.proto.dns_names import ROOT, fold


async def serve(spec: ResolverSpec, ctx: RoleContext, hosts: tuple[str, ...] = sockets.EVERYWHERE) -> None:
    """Until the role is stopped. Raises LabError where the port is taken."""
    resolver = _Resolver(spec, ctx)
    ctx.on_settings(resolver.settings)
    async with dns_server(ctx, spec.listen, resolver.answer, hosts, dot=spec.dot, doh=spec.doh) as port:
        ctx.ready(port, roots=list(spec.roots))
        await ctx.stopped()


class _Resolver:
    def __init__(self, spec: ResolverSpec, ctx: RoleContext) -> None:
        self._ctx = ctx
        self._ecs = spec.ecs
        self._machine = Recursion(
            spec.roots,
            ctx.rng,
            _versions(ctx.launch.addresses),
            minimise=spec.minimise,
            stale_s=spec.serve_stale_ns / 1e9,
            anchor=_anchor(spec, ctx),
            epoch=ctx.now_ns() / 1e9 - ctx.now(),
        )
        self._waiting: dict[int, asyncio.Future[Done]] = {}

    def settings(self, wanted: dict[str, str]) -> dict[str, str]:
        """What an operator changes: `ecs`, `minimise`; `flush` forgets a zone (`.`: everything).

        Raises InputError.
        """
        before = {"ecs": _word(self._ecs), "minimise": _word(self._machine.minimise), "flush": ""}
        for key in wanted:
            if key not in before:
                raise InputError(f"a resolver has no setting `{key}`", f"it has {', '.join(before)}")
        zone = wanted.get("flush", "")
        if zone and not _is_zone(zone):
            raise InputError(f"flush={zone} is no name of a zone", "such as flush=example.com, or flush=.")
        switches = {key: _switch(key, text) for key, text in wanted.items() if key != "flush"}
        self._ecs = switches.get("ecs", self._ecs)
        self._machine.minimise = switches.get("minimise", self._machine.minimise)
        if zone:
            self._machine.flush(zone)
        return {key: before[key] for key in wanted}

    async def answer(self, query: Message, flow: Flow) -> Answered:
        """The response to a client's query."""
        refused = refusal(query, recursion_available=True)
        if refused is not None:
            return Answered(refused)
        assert query.question is not None  # or it was refused
        if not query.recursion_desired or query.question.cls != "IN":
            return Answered(
                reply(query, "REFUSED", recursion_available=True), cause="recursion of class IN only"
            )
        subnet = self._subnet(query, flow)
        checks = not query.checking_disabled
        ticket = self._machine.ask(query.question, self._ctx.now(), subnet, checks=checks)
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = future
        self._carry()
        done = await future
        return Answered(_response(query, subnet, done.result), done.cached, done.result.cause)

    def _subnet(self, query: Message, flow: Flow) -> Subnet | None:
        """For whom name servers are asked: whom the client names, or itself (RFC 7871 section 7.1.1)."""
        if not self._ecs:
            return None
        told = query.subnet
        if told is None:
            return subnet_of(flow.remote)
        if not told.network.prefixlen:
            return None  # the client wants nobody to be told
        return subnet_of(str(told.network.network_address), told.network.prefixlen)

    def _carry(self) -> None:
        """Do what the machine wants done now."""
        for send in self._machine.outgoing(self._ctx.now()):
            self._ctx.tasks.create_task(self._exchange(send))
        for done in self._machine.finished():
            future = self._waiting.pop(done.ticket)
            if not future.done():  # cancelled: its client has gone
                future.set_result(done)

    async def _exchange(self, send: Send) -> None:
        try:
            async with asyncio.timeout_at(send.until):
                if send.tcp:
                    async with TcpQuery(self._ctx, send.server, PORT) as tcp:
                        await self._over(tcp, send)
                else:
                    with UdpQuery(send.server, PORT) as udp:
                        await self._over(udp, send)
        except (OSError, RemoteProtocolError):  # silent, unreachable, closed: the machine knows a way on
            self._machine.fail(send.exchange, self._ctx.now())
        self._carry()

    async def _over(self, link: UdpQuery | TcpQuery, send: Send) -> None:
        asked = send.question
        self._ctx.emit("dns-query", link.flow, side="client", qname=asked.name, qtype=asked.type)
        await link.send(send.data)
        while self._machine.waits(send.exchange):
            data = await link.receive()
            self._machine.receive(send.exchange, data, self._ctx.now())
        self._emit_answer(decode(data), send, link.flow)

    def _emit_answer(self, response: Message, send: Send, flow: Flow) -> None:
        self._ctx.emit(
            "dns-answer",
            flow,
            side="client",
            qname=send.question.name,
            qtype=send.question.type,
            rcode=response.rcode,
            answers=[one.data for one in response.answers],
            authority=[f"{one.name} {one.type} {one.data}" for one in response.authority],
            cached=False,
        )


def _word(switch: bool) -> str:
    return "true" if switch else "false"


def _is_zone(text: str) -> bool:
    """RFC 1035 section 2.3.4."""
    labels = text.removesuffix(".").split(".")
    return text == "." or (len(text) <= 254 and all(1 <= len(label) <= 63 for label in labels))


def _switch(key: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise InputError(f"`{key}` is true or false, not {text!r}", f"say {key}=true")
    return text == "true"


def _response(query: Message, subnet: Subnet | None, result: Result) -> Message:
    """A client that named a subnet is told for which part of it the answer is right."""
    told = None
    if query.subnet is not None and subnet is not None:
        told = replace(query.subnet, scope=min(result.scope, query.subnet.network.prefixlen))
    beside, below = _evidence(result) if query.dnssec_ok else ([], [])
    return replace(
        reply(query, "NOERROR", recursion_available=True),
        rcode=result.rcode,
        answers=(*result.answers, *beside),
        authority=(*result.authority, *below),
        authentic=result.authentic and (query.dnssec_ok or query.authentic),  # RFC 6840 section 5.8
        subnet=told,
        errors=result.errors,
    )


def _evidence(result: Result) -> tuple[list[ResourceRecord], list[ResourceRecord]]:
    """The signatures of the answer's records, and what belongs into the authority section."""
    answered = {(fold(one.name), one.type) for one in result.answers}
    beside: list[ResourceRecord] = []
    below: list[ResourceRecord] = []
    for one in dict.fromkeys(result.evidence):
        is_beside = one.type == "RRSIG" and (fold(one.name), signature(one).covered) in answered
        (beside if is_beside else below).append(one)
    return beside, below


def _anchor(spec: ResolverSpec, ctx: RoleContext) -> tuple[ResourceRecord, ...]:
    """The root's key. Raises InputError where the lab's root is not signed."""
    if not spec.dnssec:
        return ()
    pem = ctx.launch.signed_zones.get(ROOT)
    if pem is None:
        raise InputError(
            "the resolver is to validate, and the lab's root zone is not signed",
            "say `dnssec: true` in the zone `.`, and in those below it",
        )
    return (dnskey(ROOT, pem, 0),)


def _versions(addresses: tuple[str, ...]) -> set[int]:
    """The IP versions of the node's addresses; both where they aren't known."""
    return {ip_address(address.partition("/")[0]).version for address in addresses} or {4, 6}
