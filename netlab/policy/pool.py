"""A connection pool's decisions: which connection a request goes on, when one is opened, and when one ends.

The guide's 9.2 gives the limits. A request goes on an open connection that has room (the one used last,
so that the others can become idle and end), else on a new one within the limits, else it waits its turn.
HTTP/2 and HTTP/3 share one connection per target up to its capacity (RFC 9113 section 9.1). Where only the
handshake will tell whether connections can be shared, the first one is waited for.

`now` is in seconds of any steady clock. Calls change the state at once; `settle` returns what to do.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from netlab.model.roles import Pool


@dataclass(eq=False, slots=True)
class Slot:
    """A place in the pool, for one connection to `key`. `number` counts them in the order of opening."""

    key: Hashable
    host: Hashable
    number: int
    opened_at: float
    shared: bool
    alone: bool  # for one request only
    owner: Ticket | None = None  # for whom it is being opened, where nobody else may have it
    state: Literal["connecting", "open", "leaving", "gone"] = "connecting"
    capacity: int = 1
    active: int = 0
    requests: int = 0
    used_at: float = 0.0
    cause: str = ""

    @property
    def idle(self) -> bool:
        return self.state == "open" and not self.active

    @property
    def has_room(self) -> bool:
        return self.state == "open" and not self.alone and self.active < self.capacity


@dataclass(eq=False, slots=True)
class Ticket:
    """A request's place in the queue.

    `shares`: the connection it wants can be shared; None where the handshake tells. `after`: only on
    connections with a greater number. `limit`: what it waits for: "connecting", "capacity", "per-host" or
    "total". `slot` is where it goes, once that is granted.
    """

    key: Hashable
    host: Hashable
    shares: bool | None
    alone: bool = False
    after: int = 0
    dial: Slot | None = None
    slot: Slot | None = None
    limit: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """The request goes on this open connection. `reused`: others have gone on it before."""

    ticket: Ticket
    slot: Slot
    reused: bool


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a connection; then say `opened` or `failed`."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class Close:
    """End a connection (one that is being opened: stop that). It is out of the pool already."""

    slot: Slot
    cause: str


Action = Grant | Dial | Close


class Machine:
    """The pool's state. Each change is followed by `settle`."""

    def __init__(self, limits: Pool) -> None:
        self._limits = limits
        self._idle_s = limits.idle_ns / 1e9
        self._lifetime_s = limits.lifetime_ns / 1e9
        self._slots: dict[Hashable, list[Slot]] = {}  # by key
        self._exclusive: dict[Hashable, int] = {}  # connections by host that are not shared
        self._total = 0
        self._number = 0
        self._waiting: dict[Ticket, None] = {}  # in the order of asking
        self._shares: dict[Hashable, bool] = {}  # what handshakes have told
        self._actions: list[Action] = []
        self._keeping = True

    def __repr__(self) -> str:
        slots = [slot for slots in self._slots.values() for slot in slots]
        counts = {
            "active": sum(slot.active > 0 for slot in slots),
            "idle": sum(slot.idle for slot in slots),
            "connecting": sum(slot.state == "connecting" for slot in slots),
            "waiting": self.waiting,
        }
        always = ("active", "idle")
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count or name in always)

    @property
    def waiting(self) -> int:
        """How many requests a limit keeps from having a connection, open or being opened."""
        return sum(ticket.limit != "connecting" for ticket in self._waiting)

    @property
    def empty(self) -> bool:
        """No connection is open or being opened."""
        return not self._total

    # Requests.

    def ask(
        self, key: Hashable, host: Hashable, shares: bool | None, *, alone: bool = False, after: int = 0
    ) -> Ticket:
        """A request for `key` enters the queue. `host`: of what the limit for HTTP/1.1 counts.

        `alone`: on a new connection that serves it only.
        """
        ticket = Ticket(key, host, shares, alone, after)
        self._waiting[ticket] = None
        return ticket

    def newer_than(self, slot: Slot) -> int:
        """`after` for a request that failed on `slot`, so that it goes on a new connection.

        Where connections are shared, requests that failed together meet on the same new one, and one that
        was refused (REFUSED_STREAM) may go on the same; else what was opened before may be as dead as `slot`.
        """
        if not slot.shared:
            return self._number
        return slot.number - (slot.state == "open")

    def cancel(self, ticket: Ticket) -> None:
        """The request waits no more. What was being opened for it alone is given up."""
        if self._waiting.pop(ticket, self) is self:
            return
        dial = ticket.dial
        if dial is not None and dial.state == "connecting" and not self._awaited(dial):
            self._leave(dial, "nobody waits for it any more")

    def release(self, slot: Slot, now: float) -> None:
        """A request on `slot` is over."""
        slot.active -= 1
        slot.used_at = now
        if slot.active or slot.state == "gone":
            return
        if slot.alone:
            self._leave(slot, "it was for one request")
        elif slot.state == "leaving":
            self._leave(slot, slot.cause)
        elif not self._keeping:
            self._leave(slot, "the pool keeps none")

    # Connections.

    def opened(self, slot: Slot, *, shared: bool, capacity: int, now: float) -> None:
        """A connection that `Dial` asked for is open."""
        self._shares[slot.key] = shared
        if slot.state == "gone":
            return
        self._count(slot, -1)
        slot.shared = shared
        self._count(slot, 1)
        slot.capacity = capacity
        slot.state = "open"
        slot.opened_at = slot.used_at = now
        if not self._keeping and not self._awaited(slot):
            self._leave(slot, "the pool keeps none")

    def failed(self, slot: Slot) -> list[Ticket]:
        """It could not be opened. The requests that waited for just this leave the queue."""
        losers = [ticket for ticket in self._waiting if ticket.dial is slot]
        for ticket in losers:
            del self._waiting[ticket]
        if slot.state != "gone":
            self._forget(slot)
        return losers

    def changed(self, slot: Slot, *, capacity: int, closed: bool, cause: str) -> None:
        """The connection itself says how many may be active, and whether it takes new requests."""
        if slot.state not in ("open", "leaving"):
            return
        slot.capacity = capacity
        if closed:
            self._retire(slot, cause)

    def stop(self) -> None:
        """Keep no connection from now on: idle ones end, others when their requests are over."""
        self._keeping = False
        for slot in self._all():
            if slot.idle:
                self._leave(slot, "the pool keeps none")

    def expire(self, now: float) -> None:
        """Take out what was idle for too long, or is too old."""
        for slot in self._all():
            self._check_age(slot, now)

    def deadline(self) -> float | None:
        """When `expire` has something to do next; None if never."""
        return min((self._ends_at(slot) for slot in self._all() if slot.state == "open"), default=None)

    # The queue.

    def settle(self, now: float) -> list[Action]:
        """Serve the queue in order as far as connections and limits allow; all that is to be done now."""
        blocked: dict[Hashable, str] = {}  # keys that get nothing in this pass, and why
        for ticket in tuple(self._waiting):
            plain = not (ticket.alone or ticket.after)
            if plain and ticket.dial is None and ticket.key in blocked:
                ticket.limit = blocked[ticket.key]
            elif not self._serve(ticket, now) and plain and ticket.dial is None:
                blocked[ticket.key] = ticket.limit
        actions, self._actions = self._actions, []
        return actions

    def _serve(self, ticket: Ticket, now: float) -> bool:
        """False where the ticket goes on waiting."""
        slot = self._usable(ticket, now)
        if slot is not None:
            self._grant(ticket, slot, now)
            return True
        if ticket.dial is not None and ticket.dial.state == "connecting":
            return False
        ticket.dial = self._joinable(ticket)
        if ticket.dial is not None:
            ticket.limit = "connecting"
            return False
        ticket.limit = self._limit(ticket)
        if not ticket.limit:
            self._dial(ticket, now)
        return False

    def _usable(self, ticket: Ticket, now: float) -> Slot | None:
        """An open connection with room, the one used last first."""
        for slot in self._of(ticket.key):
            self._check_age(slot, now)
        dial = ticket.dial
        if dial is not None and dial.owner is ticket:
            return dial if dial.state == "open" else None
        fitting = [slot for slot in self._of(ticket.key) if slot.has_room and self._fits(slot, ticket)]
        return max(fitting, key=lambda slot: (slot.used_at, slot.number), default=None)

    def _fits(self, slot: Slot, ticket: Ticket) -> bool:
        return not ticket.alone and slot.owner is None and slot.number > ticket.after

    def _joinable(self, ticket: Ticket) -> Slot | None:
        """A connection being opened that this request may wait for."""
        may_share = self._may_share(ticket)
        for slot in self._of(ticket.key):
            joinable = slot.state == "connecting" and self._fits(slot, ticket)
            if joinable and (may_share is not False or not self._awaited(slot)):
                return slot
        return None

    def _may_share(self, ticket: Ticket) -> bool | None:
        return self._shares.get(ticket.key) if ticket.shares is None else ticket.shares

    def _limit(self, ticket: Ticket) -> str:
        """What stands against a new connection; empty: nothing. Idle ones of others make way."""
        shares = self._may_share(ticket)
        if shares and not ticket.alone and self._shared_open(ticket):
            return "capacity"
        full = not shares and self._exclusive.get(ticket.host, 0) >= self._limits.per_host
        if full and not self._evict(ticket.host):
            return "per-host"
        if self._total >= self._limits.total and not self._evict(None):
            return "total"
        return ""

    def _shared_open(self, ticket: Ticket) -> bool:
        return any(
            slot.shared and slot.state == "open" and not slot.alone and self._fits(slot, ticket)
            for slot in self._of(ticket.key)
        )

    def _evict(self, host: Hashable | None) -> bool:
        """End the connection that has been idle longest, of `host` (None: of any)."""
        idle = [
            slot
            for slot in self._all()
            if slot.idle and slot.owner is None and (host is None or (slot.host == host and not slot.shared))
        ]
        if not idle:
            return False
        self._leave(min(idle, key=lambda slot: (slot.used_at, slot.number)), "it made way for another")
        return True

    def _dial(self, ticket: Ticket, now: float) -> None:
        self._number += 1
        shared = bool(self._may_share(ticket))
        slot = Slot(ticket.key, ticket.host, self._number, now, shared, ticket.alone)
        slot.owner = ticket if ticket.alone else None
        self._slots.setdefault(slot.key, []).append(slot)
        self._count(slot, 1)
        self._total += 1
        ticket.dial = slot
        ticket.limit = "connecting"
        self._actions.append(Dial(slot))

    def _grant(self, ticket: Ticket, slot: Slot, now: float) -> None:
        del self._waiting[ticket]
        self._pass_on(ticket, slot)
        slot.owner = None
        slot.active += 1
        slot.requests += 1
        slot.used_at = now
        ticket.slot = slot
        self._actions.append(Grant(ticket, slot, reused=slot.requests > 1))

    def _pass_on(self, ticket: Ticket, slot: Slot) -> None:
        """Whoever waited for `slot` to open now waits for what `ticket` waited for."""
        if ticket.dial is slot or ticket.dial is None or slot.shared:
            return
        loser = next((other for other in self._waiting if other.dial is slot), None)
        if loser is not None:
            loser.dial = ticket.dial

    # Slots.

    def _of(self, key: Hashable) -> tuple[Slot, ...]:
        return tuple(self._slots.get(key, ()))

    def _all(self) -> list[Slot]:
        return [slot for slots in self._slots.values() for slot in slots]

    def _awaited(self, slot: Slot) -> bool:
        return any(ticket.dial is slot for ticket in self._waiting)

    def _ends_at(self, slot: Slot) -> float:
        old = slot.opened_at + self._lifetime_s
        return old if slot.active else min(old, slot.used_at + self._idle_s)

    def _check_age(self, slot: Slot, now: float) -> None:
        if slot.state != "open" or now < self._ends_at(slot) or slot.owner is not None:
            return
        age, idle = now - slot.opened_at, now - slot.used_at
        if age >= self._lifetime_s:
            self._retire(slot, f"it is {age:.0f} s old")
        else:
            self._retire(slot, f"it was idle for {idle:.0f} s")

    def _retire(self, slot: Slot, cause: str) -> None:
        """It takes no new requests; it ends when the last is over."""
        slot.state = "leaving"
        slot.cause = cause
        if not slot.active:
            self._leave(slot, cause)

    def _leave(self, slot: Slot, cause: str) -> None:
        self._forget(slot)
        self._actions.append(Close(slot, cause))

    def _forget(self, slot: Slot) -> None:
        slot.state = "gone"
        self._slots[slot.key].remove(slot)
        if not self._slots[slot.key]:
            del self._slots[slot.key]
        self._count(slot, -1)
        self._total -= 1

    def _count(self, slot: Slot, by: int) -> None:
        if slot.shared:
            return
        count = self._exclusive.pop(slot.host, 0) + by
        if count:
            self._exclusive[slot.host] = count
