"""TLS session tickets of QUIC: what a process remembers so that later connections resume, or send 0-RTT.

Each is used once: a server that took one twice would take replayed 0-RTT twice (RFC 8446 section 8.1), and a
client that used one twice could be recognised by it (appendix C.4).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable

from aioquic.tls import SessionTicket

_PER_SERVER = 4


class ServerTickets:
    """Tickets that a server gave out; the oldest are forgotten first."""

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._tickets: OrderedDict[bytes, SessionTicket] = OrderedDict()

    def keep(self, ticket: SessionTicket) -> None:
        self._tickets[ticket.ticket] = ticket
        if len(self._tickets) > self._limit:
            self._tickets.popitem(last=False)

    def take(self, name: bytes) -> SessionTicket | None:
        """The ticket that a client shows, once."""
        return self._tickets.pop(name, None)


class ClientTickets:
    """Tickets that servers gave, by whom they are for; the servers asked last are remembered."""

    def __init__(self, limit: int = 1024) -> None:
        self._limit = limit
        self._tickets: OrderedDict[Hashable, deque[SessionTicket]] = OrderedDict()

    def keep(self, server: Hashable, ticket: SessionTicket) -> None:
        self._tickets.setdefault(server, deque(maxlen=_PER_SERVER)).append(ticket)
        self._tickets.move_to_end(server)
        if len(self._tickets) > self._limit:
            self._tickets.popitem(last=False)

    def take(self, server: Hashable) -> SessionTicket | None:
        """The newest that is still valid."""
        kept = self._tickets.get(server, deque())
        while kept:
            ticket = kept.pop()
            if ticket.is_valid:
                return ticket
        return None
