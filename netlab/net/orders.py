"""What must not be done twice: POST /orders makes an order, GET /orders counts them, GET /orders/N has one.

With an Idempotency-Key the same request gets the same answer (draft-ietf-httpapi-idempotency-key-header-07,
section 2): `policy.idempotency` decides. `?ms=N` answers so much later than the order is made.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass

from netlab.net.answers import answer_json, read_body, refuse
from netlab.net.context import RoleContext
from netlab.net.exchange import Exchange
from netlab.net.sample_bodies import MAX_SLOW_MS, number_of
from netlab.policy.idempotency import Known, Refused, Store, key_of

KEPT, LIFETIME_S = 10_000, 86_400.0
MAX_BODY = 64 * 1024
_PATH = re.compile(r"/orders(?:/([0-9]{1,18}))?")


@dataclass(frozen=True, slots=True)
class _Order:
    number: int
    bytes: int


class Orders:
    """Of one process: another one counts its own, and knows none of these keys."""

    def __init__(self, ctx: RoleContext) -> None:
        self._ctx = ctx
        self._count = 0
        self._store = Store(KEPT, LIFETIME_S)

    async def handle(self, exchange: Exchange) -> bool:
        """False where it is asked for something else."""
        found = _PATH.fullmatch(exchange.request.path)
        if found is None:
            return False
        method = exchange.request.method
        if found[1] is None and method == "POST":
            await self._ordered(exchange)
        elif method not in {"GET", "HEAD"}:
            allowed = "GET, HEAD" if found[1] else "GET, HEAD, POST"
            await refuse(exchange, 405, f"only {allowed}", ("Allow", allowed))
        elif found[1] is None:
            await answer_json(exchange, {"count": self._count})
        elif 0 < int(found[1]) <= self._count:
            await answer_json(exchange, {"order": int(found[1])})
        else:
            await refuse(exchange, 404, "no such order")
        return True

    async def _ordered(self, exchange: Exchange) -> None:
        body = await read_body(exchange, MAX_BODY)
        if body is None:
            await refuse(exchange, 413, f"at most {MAX_BODY} bytes")
            return
        try:
            late_s = number_of(exchange, "ms", 0, MAX_SLOW_MS) / 1000
        except ValueError as error:
            await refuse(exchange, 400, str(error))
            return
        headers = exchange.request.headers
        if not headers.has("idempotency-key"):
            order = self._make(body)
            await asyncio.sleep(late_s)
            await _answer(exchange, order)
        elif key := key_of(headers.get("idempotency-key")):
            await self._once(exchange, (headers.get("x-auth-subject"), key), body, late_s)
        else:
            await refuse(exchange, 400, "an Idempotency-Key has 1 to 255 printable characters of ASCII")

    async def _once(self, exchange: Exchange, key: tuple[str, str], body: bytes, late_s: float) -> None:
        target = exchange.request.target.encode()
        fingerprint = hashlib.sha256(target + b"\0" + body).digest()
        match self._store.begin(key, fingerprint, self._ctx.now()):
            case Refused(status, cause):
                again = [("Retry-After", "1")] if status in (409, 503) else []
                await refuse(exchange, status, cause, *again)
            case Known(answer):
                assert isinstance(answer, _Order)  # as `_finish` stores
                await _answer(exchange, answer, ("Idempotent-Replayed", "true"))
            case _:
                # It has acted from here on, whether or not the client stays for the answer.
                working = self._ctx.tasks.create_task(self._finish(key, self._make(body), late_s))
                await _answer(exchange, await asyncio.shield(working))

    async def _finish(self, key: tuple[str, str], order: _Order, late_s: float) -> _Order:
        await asyncio.sleep(late_s)
        self._store.finish(key, order, self._ctx.now())
        return order

    def _make(self, body: bytes) -> _Order:
        self._count += 1
        return _Order(self._count, len(body))


async def _answer(exchange: Exchange, order: _Order, *fields: tuple[str, str]) -> None:
    document = {"order": order.number, "bytes": order.bytes}
    await answer_json(exchange, document, ("Location", f"/orders/{order.number}"), *fields, status=201)
