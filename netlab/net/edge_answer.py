"""What an edge sends to clients: from its cache, or of what passes, in the form that they want."""

from __future__ import annotations

import time

from netlab.model.roles import CdnSpec
from netlab.net.context import RoleContext
from netlab.net.edge_forms import in_form
from netlab.net.edge_store import EdgeStore
from netlab.net.exchange import Body, Exchange
from netlab.net.flight import FromCache
from netlab.net.http_gateway import plain_text, relay
from netlab.net.http_listen import Advertised
from netlab.net.upstream import Response
from netlab.policy.cache_answer import answer, is_whole_answer
from netlab.policy.cache_status import hit, marked
from netlab.policy.compression import compressible, varying
from netlab.policy.stored import Stored
from netlab.proto.http import ResponseHead

_MOST_READY = 3  # heads of one response that are kept: one for each version


class EdgeAnswers:
    """Every response has the edge's Cache-Status, and what the edge says of itself."""

    def __init__(self, ctx: RoleContext, spec: CdnSpec, store: EdgeStore) -> None:
        self._node = ctx.launch.node
        self._store = store
        self._advertised = Advertised(spec.http, spec.hsts_s)
        self.configure(spec)

    def configure(self, spec: CdnSpec) -> None:
        """Take what may change while the edge runs."""
        self._compress = spec.compress

    async def say(self, exchange: Exchange, status: int, text: str) -> None:
        """An answer of the edge's own."""
        head, body = plain_text(status, text)
        await exchange.respond(self.advertised(exchange, head), body)

    def advertised(self, exchange: Exchange, head: ResponseHead) -> ResponseHead:
        return self._advertised.on(exchange, head)

    def marked(self, exchange: Exchange, head: ResponseHead, status: str) -> ResponseHead:
        return self._advertised.on(exchange, marked(head, self._node, status))

    async def hit(self, exchange: Exchange, entry: Stored, now: float) -> None:
        """The whole of a response, as most ask for it, has a head that is the same for a second, so it is
        made once in it."""
        if not is_whole_answer(exchange.request, entry):
            await self.from_cache(exchange, FromCache(entry, hit(entry, now), validated=False))
            return
        form, compress = self._form(exchange, entry)
        key = f"{exchange.request.version} {compress}", int(entry.age(now)), int(entry.remaining(now))
        head = form.ready.get(key)
        if head is None:
            head, _ = answer(exchange.request, form, now)
            head = self.marked(exchange, varying(head) if compress else head, hit(entry, now))
            if len(form.ready) >= _MOST_READY:
                form.ready.clear()
            form.ready[key] = head
        await exchange.respond(head, form.body)

    async def from_cache(self, exchange: Exchange, found: FromCache) -> None:
        form, compress = self._form(exchange, found.stored)
        head, body = answer(exchange.request, form, time.time(), validated=found.validated)
        head = varying(head) if compress else head
        await exchange.respond(self.marked(exchange, head, found.status), body)

    def _form(self, exchange: Exchange, entry: Stored) -> tuple[Stored, bool]:
        """And whether it has another form."""
        if not self._compress or (entry.packed is None and not compressible(entry.head)):
            return entry, False
        return self._store.form_of(exchange.request, entry), True

    async def relay(self, exchange: Exchange, response: Response, head: ResponseHead, body: Body) -> None:
        """As http_gateway's."""
        if self._compress and exchange.request.method == "GET" and compressible(head):
            head, body = in_form(exchange.request, head, body)
        await relay(exchange, response, head, body)
