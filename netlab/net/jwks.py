"""Bearer tokens at a proxy: checked by keys of its spec, and by a key set that it asks for over HTTP."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

from netlab.errors import InputError
from netlab.model.roles import TlsClient
from netlab.model.roles.jwt import Jwks, Jwt
from netlab.net.context import RoleContext
from netlab.net.pool import ConnectionPool
from netlab.net.sockets import address_port
from netlab.net.upstream import Outgoing, Target, UpstreamError
from netlab.policy.jwt import Accepted, Key, Refused, Verifier, key_of, key_set, lab_key
from netlab.proto.http import Headers, RequestHead

_LONGEST = 256 * 1024
_TIMEOUT_S = 5.0


class TokenCheck:
    """Raises InputError for a key that is too weak or malformed."""

    def __init__(self, ctx: RoleContext, settings: Jwt, pool: ConnectionPool) -> None:
        self._ctx = ctx
        self._jwks = settings.jwks
        self._pool = pool
        self._verifier = Verifier(settings, _own(ctx, settings))
        self._asked_at = float("-inf")
        self._known: tuple[str, ...] | None = None
        self._asking = asyncio.Lock()

    def start(self) -> None:
        """Ask for the key set now, and again and again until the role ends."""
        if self._jwks is not None:
            self._ctx.tasks.create_task(self._keep(self._jwks))

    async def check(self, headers: Headers, now: float) -> Accepted | Refused:
        """As Verifier.check. A token with a key that is not known has the key set asked for again."""
        verdict = self._verifier.check(headers, now)
        if isinstance(verdict, Refused) and verdict.unknown_key and self._jwks is not None:
            await self._learn(self._jwks, self._jwks.cooldown_ns / 1e9)
            verdict = self._verifier.check(headers, now)
        return verdict

    async def _keep(self, jwks: Jwks) -> None:
        while not self._ctx.stopping:
            await self._learn(jwks, 0)
            with suppress(TimeoutError):
                async with self._ctx.idle(jwks.refresh_ns / 1e9):
                    await self._ctx.stopped()

    async def _learn(self, jwks: Jwks, cooldown_s: float) -> None:
        """Where it can't be had, the keys stay that were known."""
        async with self._asking:
            if self._ctx.now() - self._asked_at < cooldown_s:
                return
            self._asked_at = self._ctx.now()
            try:
                keys = await self._asked(jwks)
            except (UpstreamError, ValueError, RecursionError) as error:
                self._ctx.emit("error", cause=f"the key set of {jwks.upstream}{jwks.path}: {error}")
                return
        self._verifier.learn(keys)
        names = tuple(sorted(key.name for key in keys))
        if names != self._known:
            self._known = names
            self._ctx.emit("jwks", keys=names)

    async def _asked(self, jwks: Jwks) -> tuple[Key, ...]:
        tls = TlsClient() if jwks.tls_name else None
        target = Target(*address_port(jwks.upstream), tls, jwks.tls_name)
        host = jwks.tls_name or jwks.upstream
        head = RequestHead("GET", jwks.path, Headers((("Host", host), ("Accept", "application/json"))))
        async with self._pool.exchange(target, Outgoing(head, timeout_s=_TIMEOUT_S)) as response:
            if response.head.status != 200:
                raise ValueError(f"status {response.head.status}")
            body = b""
            async for part in response.body():
                body += part
                if len(body) > _LONGEST:
                    raise ValueError(f"longer than {_LONGEST} bytes")
        return key_set(json.loads(body))


def _own(ctx: RoleContext, settings: Jwt) -> list[Key]:
    """Keys of the spec, and the lab's."""
    found = [lab_key(ctx.launch.jwt_public_pem)] if settings.lab_key else []
    for number, one in enumerate(settings.keys):
        try:
            found.append(key_of({name: value for name, value in one.model_dump().items() if value}))
        except ValueError as error:
            raise InputError(f"`jwt: keys`, number {number + 1}: {error}", "see RFC 7517") from error
    return found
