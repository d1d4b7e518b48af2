"""The recursive resolver as a machine: questions and datagrams in, datagrams and results out; time passed in.

Against forged responses (RFC 5452): a random id per query, a socket (so a random source port) per query,
and a response counts only if it comes to that socket with that id and that question.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from random import Random

from netlab.errors import RemoteProtocolError
from netlab.policy.dns_cache import Cache
from netlab.policy.dns_iteration import Ask, Iteration, Result, Steps
from netlab.policy.dns_servers import Servers
from netlab.policy.dns_special import special
from netlab.proto.dns import EDNS_UDP_BYTES, Message, Question, ResourceRecord, decode, encode
from netlab.proto.dns_edns import CACHED_ERROR, ExtendedError, Subnet
from netlab.proto.dns_names import is_within

FAILURE_TTL_S = 5.0  # how long a failure is remembered (RFC 9520 section 3.2: 1 s to 5 minutes)
_FAILURES = 1000
_Key = tuple[str, str, str, str, bool]  # of a question, for whom, whether it is judged


@dataclass(frozen=True, slots=True)
class Send:
    """Send `data` to port 53 of `server` from a new socket, over TCP where `tcp`.

    What comes back on the socket goes to `Recursion.receive` with the same `exchange`; where nothing
    has come at the time `until`, `Recursion.fail` (or `expire`) goes on.
    """

    exchange: int
    server: str
    question: Question
    data: bytes
    tcp: bool
    until: float


@dataclass(frozen=True, slots=True)
class Done:
    """The end of one `ask`. `cached`: no query had to be sent."""

    ticket: int
    question: Question
    result: Result
    cached: bool


@dataclass(slots=True)
class _Job:
    key: _Key
    question: Question
    steps: Steps[Result]
    tickets: list[int]
    cached: bool = True


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: _Job
    ask: Ask
    id: int
    until: float


class Recursion:
    """Resolves from the addresses `roots` down. `versions`: the IP versions that it can send (4, 6).
    `minimise`: by RFC 9156. `stale_s`: so long after their time answers may help out (RFC 8767).
    `anchor`: the root's DNSKEY records, from which answers are validated (RFC 4035), none without; `epoch`:
    what is to be added to `now` for the time of day.

    Equal questions at one time share one resolution. `discarded` counts responses that did not fit.
    """

    def __init__(
        self,
        roots: Iterable[str],
        rng: Random,
        versions: Iterable[int] = (4, 6),
        cache: Cache | None = None,
        *,
        minimise: bool = False,
        stale_s: float = 0.0,
        anchor: tuple[ResourceRecord, ...] = (),
        epoch: float = 0.0,
    ) -> None:
        self.cache = Cache(stale_s=stale_s) if cache is None else cache
        self.discarded = 0
        self._roots = tuple(str(ip_address(root)) for root in roots)
        self._rng = rng
        self._versions = frozenset(versions)
        self.minimise = minimise
        self._stale = stale_s > 0
        self._anchor = anchor
        self._epoch = epoch
        self._servers = Servers(rng)
        self._now = 0.0
        self._numbers = 0
        self._jobs: dict[_Key, _Job] = {}
        self._failures: OrderedDict[_Key, tuple[float, Result]] = OrderedDict()
        self._waiting: dict[int, _Waiting] = {}
        self._outgoing: list[Send] = []
        self._done: list[Done] = []

    def ask(
        self, question: Question, now: float, subnet: Subnet | None = None, *, checks: bool = True
    ) -> int:
        """Resolve `question`, for an asker of `subnet` where servers are to be told that (RFC 7871); the
        ticket that its `Done` will have, perhaps at once. `checks`: False for an asker that validates by
        itself (CD)."""
        self._now = now
        ticket = self._number()
        key = (*question.key, str(subnet.network) if subnet is not None else "", checks)
        job = self._jobs.get(key)
        if job is not None:
            job.tickets.append(ticket)
            return ticket
        known = special(question) or self._failure(key)
        if known is not None:
            self._done.append(Done(ticket, question, known, cached=True))
            return ticket
        way = Iteration(
            self.cache,
            self._roots,
            self._versions,
            self._rng,
            self._servers,
            lambda: self._now,
            subnet,
            self.minimise,
            self._stale,
            self._anchor,
            checks,
            self._epoch,
        )
        job = _Job(key, question, way.resolve(question), [ticket])
        self._jobs[key] = job
        self._advance(job, None)
        return ticket

    def flush(self, zone: str) -> None:
        """Forget what is known of `zone` and all below it, also that it could not be resolved."""
        self.cache.flush(zone)
        for key in [key for key in self._failures if is_within(key[0], zone)]:
            del self._failures[key]

    def _failure(self, key: _Key) -> Result | None:
        """That the question could not be resolved a short time ago (RFC 9520)."""
        until, result = self._failures.get(key, (0.0, None))
        if result is None or until <= self._now:
            self._failures.pop(key, None)
            return None
        return replace(result, errors=(*result.errors, ExtendedError(CACHED_ERROR)))

    def receive(self, exchange: int, data: bytes, now: float) -> None:
        """A datagram, or a message over TCP, that came to the exchange's socket."""
        self._now = now
        waiting = self._waiting.get(exchange)
        response = _response(data)
        if waiting is None or response is None or not _fits(response, waiting):
            self.discarded += 1
            return
        del self._waiting[exchange]
        self._advance(waiting.job, response)

    def fail(self, exchange: int, now: float) -> None:
        """The exchange's socket failed (unreachable, refused, closed): go on without waiting."""
        self._now = now
        waiting = self._waiting.pop(exchange, None)
        if waiting is not None:
            self._advance(waiting.job, None)

    def outgoing(self, now: float) -> list[Send]:
        """What is to be sent now; each once."""
        self._now = now
        out, self._outgoing = self._outgoing, []
        return out

    def finished(self) -> list[Done]:
        """The questions that are resolved or have failed since the last call."""
        done, self._done = self._done, []
        return done

    def waits(self, exchange: int) -> bool:
        """Whether the exchange's socket is still of use."""
        return exchange in self._waiting

    def deadline(self) -> float | None:
        """When `expire` is due."""
        return min((one.until for one in self._waiting.values()), default=None)

    def expire(self, now: float) -> None:
        """Give up what has waited for too long."""
        for exchange in [number for number, one in self._waiting.items() if one.until <= now]:
            self.fail(exchange, now)

    def buffered(self) -> int:
        """Questions that are not resolved yet."""
        return len(self._jobs)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _advance(self, job: _Job, response: Message | None) -> None:
        try:
            ask = job.steps.send(response)
        except StopIteration as end:
            self._finish(job, end.value)
            return
        job.cached = False
        number, message_id = self._number(), self._rng.getrandbits(16)
        until = self._now + ask.timeout_s
        self._waiting[number] = _Waiting(job, ask, message_id, until)
        size = EDNS_UDP_BYTES if ask.edns else None
        query = Message(message_id, ask.question, edns_bytes=size, subnet=ask.subnet, dnssec_ok=ask.dnssec)
        self._outgoing.append(Send(number, ask.server, ask.question, encode(query), ask.tcp, until))

    def _finish(self, job: _Job, result: Result) -> None:
        del self._jobs[job.key]
        if result.rcode == "SERVFAIL":
            self._failures[job.key] = (self._now + FAILURE_TTL_S, result)
            if len(self._failures) > _FAILURES:
                self._failures.popitem(last=False)
        self._done += [Done(ticket, job.question, result, job.cached) for ticket in job.tickets]


def _response(data: bytes) -> Message | None:
    try:
        message = decode(data)
    except RemoteProtocolError:
        return None  # perhaps forged: the real one may still come, else the time runs out
    return message if message.response else None


def _fits(response: Message, waiting: _Waiting) -> bool:
    """Same id, question and subnet; who could not read the question repeats none (RFC 1035, 4.1.1)."""
    if response.id != waiting.id:
        return False
    if response.question is None:
        return response.rcode != "NOERROR"
    told, back = waiting.ask.subnet, response.subnet
    if back is not None and (told is None or back.network != told.network):  # RFC 7871 section 7.3
        return False
    return response.question.key == waiting.ask.question.key
