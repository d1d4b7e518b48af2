"""The stub resolver of a node's programs: asks the node's resolvers, and remembers for the TTL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from typing import Literal

from netlab.errors import LabError, NetlabError, RemoteProtocolError
from netlab.model.event import Flow
from netlab.model.roles import DnsClient
from netlab.net.context import RoleContext
from netlab.net.dns_ways import Way, way_of
from netlab.net.eyeballs import Addresses
from netlab.net.upstream import UpstreamError
from netlab.policy.dns_cache import Cache, Entry, Rank
from netlab.policy.dns_search import candidates
from netlab.proto.dns import EDNS_UDP_BYTES, Message, Question

TIMEOUT_S = 2.0
TRIES = 3

AddressType = Literal["A", "AAAA"]
_NO_HTTPS_S = 300  # how long the absence of an HTTPS record is believed


class Stub:
    """Looks names up at `resolvers` (the node's by default), the first one first (resolv.conf(5)).

    Each resolver gets TIMEOUT_S and, if none answers, another try, TRIES in all. `close` ends connections.
    """

    def __init__(
        self,
        ctx: RoleContext,
        resolvers: Iterable[str] | None = None,
        settings: DnsClient | None = None,
    ) -> None:
        self._ctx = ctx
        self._settings = settings or DnsClient()
        resolvers = resolvers or self._settings.resolvers or None
        self._resolvers = tuple(ctx.launch.resolvers if resolvers is None else resolvers)
        self._way: Way = way_of(ctx, self._settings, TIMEOUT_S)
        self._worked: dict[str, str] = {}  # name ─► the address that took the last connection
        self._versions = tuple(
            sorted({ip_address(one.partition("/")[0]).version for one in ctx.launch.addresses} or {4})
        )
        self._cache = Cache()
        self._asking: dict[tuple[str, str, str], asyncio.Lock] = {}

    async def lookup(self, name: str, type_: AddressType = "A") -> list[str]:
        """The addresses of `name`, in the order of the answer; an address is its own answer.

        A second lookup within the TTL sends no packet. Raises RemoteProtocolError, status 502, with the
        cause ("NXDOMAIN for x"), and LabError where the node has no resolver.
        """
        try:
            return [str(ip_address(name.strip("[]")))]
        except ValueError:
            pass  # a name
        for candidate in candidates(name, self._settings.search, self._settings.ndots):
            entry = await self._entry(Question(candidate, type_))
            if entry.records:
                return [one.data for one in entry.records]
        what = "NXDOMAIN" if entry.rcode == "NXDOMAIN" else f"no {type_} record"
        raise RemoteProtocolError(f"{what} for {name}", status=502)

    def addresses(self, name: str) -> Addresses:
        """The lookups of the addresses of `name`, of each IP version that this node has."""
        try:
            versions: tuple[int, ...] = (ip_address(name.strip("[]")).version,)
        except ValueError:
            versions = self._versions

        def worked(address: str) -> None:
            self._worked[name] = address

        async def lookup(version: int) -> list[str]:
            return await self.lookup(name, "A" if version == 4 else "AAAA")

        return Addresses(self._ctx, lookup, versions, self._worked.get(name, ""), worked)

    async def ask(self, question: Question) -> Entry:
        """What a resolver says now, whatever is known already. Raises as `lookup` does."""
        return await self._ask(question)

    async def close(self) -> None:
        """End the connections to resolvers."""
        await self._way.close()

    async def https(self, name: str) -> tuple[tuple[str, ...], int]:
        """The data of the HTTPS records (RFC 9460) of `name`, and for how many seconds that is so.

        None where there are none; nor where nobody answers, as a client can do without (section 3.1).
        """
        try:
            entry = await self._entry(Question(name, "HTTPS"))
        except NetlabError:  # the events have said so
            return (), _NO_HTTPS_S
        data = tuple(one.data for one in entry.records)
        return data, min((one.ttl for one in (*entry.records, *entry.soa)), default=_NO_HTTPS_S)

    async def _entry(self, question: Question) -> Entry:
        """From the cache or a resolver. Who asks while another asks the same waits for that answer."""
        lock = self._asking.setdefault(question.key, asyncio.Lock())
        async with lock:
            entry = self._cache.get(question.name, question.type, self._ctx.now())
            if entry is None:
                return await self._ask(question)
            self._cached(question, entry)
            return entry

    def _cached(self, question: Question, entry: Entry) -> None:
        self._ctx.emit("dns-query", side="client", qname=question.name, qtype=question.type, cached=True)
        self._emit_answer(question, entry.rcode, [one.data for one in entry.records], None, cached=True)

    async def _ask(self, question: Question) -> Entry:
        """Ask one resolver after the other, again and again, until one knows."""
        if not self._resolvers:
            raise LabError(
                f"{self._ctx.launch.node} can't look up {question.name}: it has no resolver",
                "give the node `resolvers`, or an address in place of the name",
            )
        trouble: dict[str, str] = {}
        for _ in range(TRIES):
            for server in self._resolvers:
                try:
                    response = await self._exchange(server, question)
                except (OSError, RemoteProtocolError, UpstreamError) as error:
                    trouble[server] = str(error) or f"no answer in {TIMEOUT_S:g} s"
                    continue
                if response.rcode in ("NOERROR", "NXDOMAIN"):
                    return self._keep(question, response)
                trouble[server] = response.rcode
        causes = ", ".join(f"{server}: {cause}" for server, cause in trouble.items())
        raise RemoteProtocolError(f"no answer for {question.name} ({causes})", status=502)

    async def _exchange(self, server: str, question: Question) -> Message:
        query = Message(
            self._ctx.rng.getrandbits(16), question, recursion_desired=True, edns_bytes=EDNS_UDP_BYTES
        )

        def asking(flow: Flow) -> None:
            self._ctx.emit(
                "dns-query", flow, side="client", qname=question.name, qtype=question.type, cached=False
            )

        response, flow = await self._way.ask(server, query, asking)
        answers = [one.data for one in response.answers]
        self._emit_answer(question, response.rcode, answers, flow, cached=False)
        return response

    def _emit_answer(
        self, asked: Question, rcode: str, answers: list[str], flow: Flow | None, *, cached: bool
    ) -> None:
        self._ctx.emit(
            "dns-answer",
            flow,
            side="client",
            qname=asked.name,
            qtype=asked.type,
            rcode=rcode,
            answers=answers,
            cached=cached,
        )

    def _keep(self, question: Question, response: Message) -> Entry:
        """The answer under the name that was asked, for the lowest TTL on the way to it."""
        now = self._ctx.now()
        ttl = min((one.ttl for one in response.answers), default=0)
        found = tuple(
            replace(one, name=question.name, ttl=ttl) for one in response.answers if one.type == question.type
        )
        if found:
            self._cache.store(found, Rank.ANSWER, now)
            return Entry(found)
        soas = [one for one in response.authority if one.type == "SOA"]
        if soas:
            self._cache.store_negative(question.name, question.type, response.rcode, soas[0], now)
        return Entry((), response.rcode, tuple(soas[:1]))
