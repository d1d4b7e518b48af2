"""Which route takes a request.

The order is the Gateway API's: the most telling host first (a name, then a pattern, the longer the better,
then any), then a whole path before the longest beginning of one, then a method, then the most header fields.
Routes that match the same are arms of one: a client stays in its arm, and where weights change only as
many clients move as they must.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from hashlib import blake2b
from urllib.parse import unquote

from netlab.model.roles.routing import Matched
from netlab.proto.http import RequestHead

_DOTS = re.compile(r"(?:^|/)\.\.?(?:/|$)")


def climbs(path: str) -> bool:
    """Whether a path has segments `.` or `..`, encoded or not. Clients resolve them before they ask (RFC 3986
    section 5.2.4); where a proxy and an upstream don't see the same path, a route's checks can be avoided."""
    return "." in path.replace("%2e", ".").replace("%2E", ".") and bool(
        _DOTS.search(unquote(path, errors="replace").replace("\\", "/"))
    )


class Router:
    """Chooses among routes."""

    def __init__(self, routes: Sequence[Matched]) -> None:
        groups: dict[tuple[str, Hashable], list[int]] = {}
        for number, route in enumerate(routes):
            for host in route.hosts or ("",):
                groups.setdefault((host.lower(), _rest(route)), []).append(number)
        arms = [_Arms(routes, numbers, host) for (host, _), numbers in groups.items()]
        self._arms = sorted(arms, key=lambda one: one.rank, reverse=True)

    def choose(self, request: RequestHead, host: str, client: str) -> int | None:
        """The route's number; None where none takes the request. `host` is in lower case; `client` is who
        stays in an arm."""
        found = (one for one in self._arms if one.total and one.takes(request, host))
        arms = next(found, None)
        return None if arms is None else arms.of(client)


class _Arms:
    """Routes that match the same, each with its weight."""

    def __init__(self, routes: Sequence[Matched], numbers: Sequence[int], host: str) -> None:
        self._route = routes[numbers[0]]
        self._host = host
        self._suffix = host.removeprefix("*")
        self._weights = [(number, routes[number].weight) for number in numbers]
        self.total = sum(weight for _, weight in self._weights)

    @property
    def rank(self) -> tuple[bool, int, bool, int, bool, int]:
        route = self._route
        named = bool(self._host) and not self._host.startswith("*")
        return named, len(self._host), route.exact, len(route.path), bool(route.methods), len(route.headers)

    def takes(self, request: RequestHead, host: str) -> bool:
        route, path = self._route, request.path
        if self._host and host != self._host:
            pattern = self._suffix != self._host
            if not (pattern and host.endswith(self._suffix) and host != self._suffix):
                return False
        if path != route.path and (route.exact or not path.startswith(route.path)):
            return False
        if route.methods and request.method not in route.methods:
            return False
        return all(_has(request, name, value) for name, value in route.headers.items())

    def of(self, client: str) -> int:
        if len(self._weights) == 1:
            return self._weights[0][0]
        digest = blake2b(client.encode(), digest_size=8).digest()
        at = int.from_bytes(digest, "big") / 2**64 * self.total
        for number, weight in self._weights:
            at -= weight
            if at < 0:
                return number
        return next(number for number, weight in reversed(self._weights) if weight)


def _has(request: RequestHead, name: str, value: str) -> bool:
    found = request.headers.all(name)
    return bool(found) if not value else value in found


def _rest(route: Matched) -> Hashable:
    """What it matches, beside the host."""
    fields = frozenset((name.lower(), value) for name, value in route.headers.items())
    return route.path, route.exact, frozenset(route.methods), fields
