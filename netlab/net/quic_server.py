"""The server's side of QUIC: UDP sockets, the endpoint's table, a link for each connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (
    ConnectionIdIssued,
    ConnectionIdRetired,
    HandshakeCompleted,
    ProtocolNegotiated,
    QuicEvent,
)
from aioquic.tls import load_pem_private_key, load_pem_x509_certificates

from netlab.errors import LocalProtocolError
from netlab.model.event import Flow
from netlab.model.roles import TlsServer
from netlab.net import sockets
from netlab.net.context import RoleContext
from netlab.net.datagrams import ask_for_destination, destination, from_address
from netlab.net.qlog import ConnectionLog, connection_log
from netlab.net.quic_link import Application, QuicLink
from netlab.net.quic_secrets import secrets_of
from netlab.net.quic_sockets import Reader, enlarge, lost_if_refused
from netlab.net.quic_trust import refused_client
from netlab.pki.names import matches
from netlab.proto.quic_connection import Connection, QuicIdentity, ServerTls
from netlab.proto.quic_endpoint import CID_LENGTH, VERSIONS, Address, Answer, Endpoint, Opening
from netlab.proto.quic_tickets import ServerTickets

_CRYPTO_ERROR = 0x100  # and a TLS alert (RFC 9001 section 4.8)
_HANDSHAKE_S = 10.0
_CLOSING_S = 3.0  # more than three probe timeouts on any path that is not very slow

Serve = Callable[["ServerLink"], Application]


async def listen_quic(
    ctx: RoleContext,
    port: int,
    serve: Serve,
    tls: TlsServer,
    *,
    alpn: tuple[str, ...] = ("h3",),
    hosts: tuple[str, ...] = sockets.EVERYWHERE,
    limit: int = 10_000,
) -> int:
    """Accept QUIC connections until the role stops; the port's number (a free one for 0).

    `serve` is called for each as soon as it is known which protocol it speaks, which is before the
    handshake's end: 0-RTT may follow. Raises LabError where the port can't be had.
    """
    listener = Listener(ctx, serve, tls, alpn, limit)
    return listener.open(port, hosts)


class Listener:
    """The sockets and connections of one port."""

    def __init__(
        self, ctx: RoleContext, serve: Serve, tls: TlsServer, alpn: tuple[str, ...], limit: int
    ) -> None:
        self.ctx = ctx
        self.serve = serve
        self.tls = tls
        self.endpoint: Endpoint[ServerLink] = Endpoint(retry=tls.quic.retry, limit=limit)
        self._alpn = alpn
        self._tickets = ServerTickets()
        self._secrets = secrets_of(ctx)
        self._identities = _identities(ctx)
        self._sockets: list[socket.socket] = []
        self._reader = Reader()
        self._changed = asyncio.Event()

    def open(self, port: int, hosts: tuple[str, ...]) -> int:
        loop = asyncio.get_running_loop()
        self._sockets = sockets.bound(port, socket.SOCK_DGRAM, hosts)
        for index, sock in enumerate(self._sockets):
            ask_for_destination(sock)
            enlarge(sock)
            loop.add_reader(sock, self._readable, index)
        self.ctx.in_flight(self._until_stopped())
        return int(self._sockets[0].getsockname()[1])

    async def _until_stopped(self) -> None:
        """Then connections end when what is in flight on them is done; new ones are refused."""
        try:
            await self.ctx.stopped()
            self.endpoint.accepting = False
            for link in self.endpoint.connections:
                link.stop()
            while self.endpoint.connections:
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._close()

    def _close(self) -> None:
        for link in self.endpoint.connections:
            link.close(0, "the role has ended")
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock)
            sock.close()
        self._sockets = []

    # Datagrams.

    def _readable(self, index: int) -> None:
        sock = self._sockets[index]
        port = sock.getsockname()[1]
        touched: dict[ServerLink, None] = {}
        try:
            for data, control, sender in self._reader.datagrams(sock):
                scope = sender[3] if len(sender) > 3 else 0
                address = Address(sender[0], sender[1], destination(control), port, index, scope)
                link = self._received(data, address)
                if link is not None:
                    touched[link] = None
        except OSError:
            pass  # ICMP about an earlier answer, to whom does not matter: QUIC's own timers decide
        for link in touched:
            link.pump()

    def _received(self, data: bytes, address: Address) -> ServerLink | None:
        found = self.endpoint.receive(data, address, asyncio.get_running_loop().time())
        if isinstance(found, Answer):
            self.send(found.datagram, address)
            return None
        link = self._opened(found, address) if isinstance(found, Opening) else found
        if link is not None:
            link.feed(data, address)
        return link

    def send(self, data: bytes, address: Address) -> None:
        """From the address that the client has sent to."""
        if not self._sockets:
            return
        sock = self._sockets[address.socket]
        to = (
            (address.remote, address.remote_port, 0, address.scope)
            if ":" in address.remote
            else (address.remote, address.remote_port)
        )
        lost_if_refused(lambda: sock.sendmsg([data], from_address(sock, address.local), 0, to))

    # Connections.

    def _opened(self, opening: Opening, address: Address) -> ServerLink:
        log = connection_log(self.tls.quic)
        quic = Connection(
            configuration=self._configuration(log),
            original_destination_connection_id=opening.original_destination,
            retry_source_connection_id=opening.retry_source,
            session_ticket_fetcher=self._tickets.take if self.tls.tickets else None,
            session_ticket_handler=self._tickets.keep if self.tls.tickets else None,
            server_tls=ServerTls(
                self.tls.early_data, self.tls.client_certificates != "none", self._identity_of
            ),
        )
        link = ServerLink(self, quic, log, address)
        self.endpoint.add(opening.destination, link)
        self.endpoint.add(quic.host_cid, link)
        return link

    def _identity_of(self, name: str) -> QuicIdentity | None:
        """As net.tls_context.ServerContext chooses."""
        for found in self._identities:
            if name and matches(found[0], name):
                return found
        return None if name and self.tls.unknown_name == "refuse" else self._identities[0]

    def _configuration(self, log: ConnectionLog | None) -> QuicConfiguration:
        options = self.tls.quic
        certificate, chain, key = self._identities[0]
        return QuicConfiguration(
            is_client=False,
            alpn_protocols=list(self._alpn),
            certificate=certificate,
            certificate_chain=chain,
            private_key=key,
            congestion_control_algorithm=options.congestion,
            connection_id_length=CID_LENGTH,
            idle_timeout=options.idle_ns / 1e9,
            max_data=options.connection_bytes,
            max_stream_data=options.stream_bytes,
            supported_versions=list(VERSIONS),
            secrets_log_file=self._secrets,
            quic_logger=log,
        )

    def ended(self, link: ServerLink) -> None:
        self.endpoint.remove(link, link.farewell, asyncio.get_running_loop().time() + _CLOSING_S)
        self._changed.set()


class ServerLink(QuicLink):
    """A connection that a client opened."""

    side = "server"

    def __init__(
        self, listener: Listener, quic: Connection, log: ConnectionLog | None, address: Address
    ) -> None:
        super().__init__(listener.ctx, quic, log)
        self._listener = listener
        self._address = address
        self._deadline = asyncio.get_running_loop().call_later(_HANDSHAKE_S, self._too_slow)
        self.ctx.emit("connection-opened", self.flow, side=self.side)

    def _too_slow(self) -> None:
        self.close(0, "the handshake took too long")

    @property
    def flow(self) -> Flow:
        address = self._address
        return Flow("udp", address.local, address.local_port, address.remote, address.remote_port)

    def send_datagram(self, data: bytes, address: Address) -> None:
        self._listener.send(data, address)

    def pump(self) -> None:
        self._follow()
        super().pump()

    def _follow(self) -> None:
        """Where the client sends from now (RFC 9000 section 9)."""
        now = self.quic.get_peer_address()
        if now is None or now == self._address or not isinstance(now, Address):
            return
        self._address = now
        if self.tls is not None:
            path = f"{now.local}:{now.local_port} {now.remote}:{now.remote_port}"
            self.ctx.emit("quic-migrated", self.flow, side=self.side, path=path)

    def on_event(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionIdIssued):
            self._listener.endpoint.add(event.connection_id, self)
        elif isinstance(event, ConnectionIdRetired):
            self._listener.endpoint.retire(event.connection_id)
        elif isinstance(event, ProtocolNegotiated):
            self.application = self._listener.serve(self)

    def established(self, event: HandshakeCompleted) -> None:
        self._deadline.cancel()
        rejected = refused_client(self.ctx, self._listener.tls, self.quic.peer_chain)
        if rejected is not None and not event.session_resumed:
            self.quic.close(_CRYPTO_ERROR + rejected.alert, 0x06, str(rejected))
            return
        self.say_established(event, "")

    def stop(self) -> None:
        """The role stops."""
        if self.application is not None:
            self.application.stopping()
        else:
            self.close(0, "the role stops")

    def on_end(self) -> None:
        self._deadline.cancel()
        self._listener.ended(self)


def _identities(ctx: RoleContext) -> list[QuicIdentity]:
    if ctx.launch.identity is None:
        raise LocalProtocolError(f"role {ctx.launch.role} serves QUIC and got no certificate")
    found: list[QuicIdentity] = []
    for identity in (ctx.launch.identity, *ctx.launch.more_identities):
        leaf, *chain = load_pem_x509_certificates(identity.chain_pem.encode())
        found.append((leaf, list(chain), load_pem_private_key(identity.key_pem.encode())))
    return found
