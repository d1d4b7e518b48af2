"""The client's side of QUIC: a connected UDP socket, tickets, 0-RTT, and moving to another address."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakKeyDictionary

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import HandshakeCompleted, QuicEvent
from aioquic.tls import SessionTicket, load_pem_private_key, load_pem_x509_certificates
from cryptography import x509

from netlab.model.event import Flow
from netlab.model.roles import TlsClient
from netlab.net.context import RoleContext
from netlab.net.qlog import ConnectionLog, connection_log
from netlab.net.quic_link import Application, QuicLink
from netlab.net.quic_secrets import secrets_of
from netlab.net.quic_sockets import Reader, connected, lost_if_refused
from netlab.net.quic_trust import trusted_server
from netlab.net.sockets import flow_of
from netlab.net.stream import TlsError
from netlab.pki.rejected import CERTIFICATE_REVOKED, Rejected
from netlab.proto.quic_connection import Connection
from netlab.proto.quic_endpoint import CID_LENGTH, VERSIONS, Address
from netlab.proto.quic_tickets import ClientTickets

_CRYPTO_ERROR = 0x100  # and a TLS alert (RFC 9001 section 4.8)
_CRYPTO_FRAME = 0x06

Use = Callable[["ClientLink"], Application]


class Server(NamedTuple):
    """Whom a connection is to. Tickets are for equal ones."""

    address: str
    port: int
    name: str
    tls: TlsClient


_tickets: WeakKeyDictionary[RoleContext, ClientTickets] = WeakKeyDictionary()


def tickets_of(ctx: RoleContext) -> ClientTickets:
    """The role's store of session tickets."""
    return _tickets.setdefault(ctx, ClientTickets())


async def connect_quic(
    ctx: RoleContext,
    address: str,
    port: int,
    tls: TlsClient,
    server_name: str,
    use: Use,
    *,
    alpn: tuple[str, ...] = ("h3",),
    timeout_s: float = 10.0,
) -> ClientLink:
    """A connection on which `use` makes what runs on it. `server_name` is the SNI and what the server's
    certificate must carry; empty: the address.

    Returns when the handshake is done, or at once where a ticket lets requests go in 0-RTT
    (`link.handshaking`). Raises OSError (also TlsError, TimeoutError).
    """
    link = _prepared(ctx, address, port, tls, server_name or address, alpn)
    try:
        link.application = use(link)
        link.start()
        if not link.zero_rtt:
            async with asyncio.timeout(timeout_s):
                await link.confirmed()
    except BaseException as error:
        link.close(0, str(error) or type(error).__name__)
        raise
    return link


def _prepared(
    ctx: RoleContext, address: str, port: int, tls: TlsClient, name: str, alpn: tuple[str, ...]
) -> ClientLink:
    # A ticket may be used with or without early data.
    key = Server(address, port, name, tls.model_copy(update={"early_data": False}))
    ticket = tickets_of(ctx).take(key) if tls.resume else None
    if ticket is not None and not tls.early_data:
        ticket.max_early_data_size = None
    log = connection_log(tls.quic)
    quic = Connection(
        configuration=_configuration(ctx, tls, name, alpn, ticket, log),
        session_ticket_handler=lambda issued: tickets_of(ctx).keep(key, issued) if tls.resume else None,
    )
    zero_rtt = ticket is not None and ticket.max_early_data_size is not None
    return ClientLink(ctx, quic, log, key, zero_rtt)


def _configuration(
    ctx: RoleContext,
    tls: TlsClient,
    name: str,
    alpn: tuple[str, ...],
    ticket: SessionTicket | None,
    log: ConnectionLog | None,
) -> QuicConfiguration:
    options = tls.quic
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=list(alpn),
        congestion_control_algorithm=options.congestion,
        connection_id_length=CID_LENGTH,
        idle_timeout=options.idle_ns / 1e9,
        max_data=options.connection_bytes,
        max_stream_data=options.stream_bytes,
        server_name=name,
        session_ticket=ticket,
        supported_versions=list(VERSIONS),
        secrets_log_file=secrets_of(ctx),
        quic_logger=log,
        verify_mode=ssl.CERT_NONE,  # it is verified by `quic_trust`, before anything is sent
    )
    identity = ctx.launch.client_identity if tls.certificate else None
    if identity is not None:
        leaf, *chain = load_pem_x509_certificates(identity.chain_pem.encode())
        configuration.certificate, configuration.certificate_chain = leaf, list(chain)
        configuration.private_key = load_pem_private_key(identity.key_pem.encode())
    return configuration


class ClientLink(QuicLink):
    """A connection that we open. `zero_rtt`: what is sent before the handshake's end goes in 0-RTT."""

    side = "client"

    def __init__(
        self, ctx: RoleContext, quic: Connection, log: ConnectionLog | None, server: Server, zero_rtt: bool
    ) -> None:
        super().__init__(ctx, quic, log)
        self.server = server
        self.zero_rtt = zero_rtt
        self.trusted_chain: tuple[x509.Certificate, ...] = ()
        self._socket = connected(server.address, server.port)
        self._flow = flow_of(self._socket, "udp")
        self._reader = Reader()
        self._known = asyncio.Event()  # whether the handshake succeeds
        self._error: OSError | None = None

    @property
    def flow(self) -> Flow:
        return self._flow

    @property
    def _address(self) -> Address:
        """The server's, whatever ours is: moving is our business, and aioquic need not know of it."""
        return Address(self.server.address, self.server.port, "", 0)

    def start(self) -> None:
        """The first flight goes out."""
        self.ctx.emit("connect-start", self.flow)
        self._loop.add_reader(self._socket, self._readable)
        self.quic.connect(self._address, now=self._loop.time())
        self.transmit()

    @property
    def handshaking(self) -> bool:
        return not self._known.is_set()

    async def confirmed(self) -> None:
        """Returns when the handshake is done. Raises OSError (TlsError) where it failed."""
        await self._known.wait()
        if self._error is not None:
            raise self._error
        if self.server.tls.verify and self.server.tls.revocation == "crl":
            await self._check_list()

    async def _check_list(self) -> None:
        try:
            await self.ctx.revocation.check(self)
        except TlsError as error:
            self.close(_CRYPTO_ERROR + CERTIFICATE_REVOKED, str(error))
            raise

    # Datagrams.

    def _readable(self) -> None:
        try:
            for data, _, _ in self._reader.datagrams(self._socket):
                self.feed(data, self._address)
        except ConnectionRefusedError as error:
            if self.tls is None:  # later on it may be anybody's ICMP, and time will tell
                self._error = error
                self.close(0, str(error))
                return
        except OSError:
            pass  # the same for routes that come and go
        self.pump()

    def send_datagram(self, data: bytes, address: Address) -> None:
        lost_if_refused(lambda: self._socket.send(data))

    # The handshake.

    def established(self, event: HandshakeCompleted) -> None:
        tls = self.server.tls
        if tls.verify and not event.session_resumed:
            trusted = trusted_server(self.ctx, tls, self.server.name, self.quic.peer_chain)
            if isinstance(trusted, Rejected):
                self._error = TlsError(trusted.cause, trusted.check)
                self.quic.close(_CRYPTO_ERROR + trusted.alert, _CRYPTO_FRAME, trusted.cause)
                return
            self.trusted_chain = trusted
        self.ctx.emit("connection-opened", self.flow, side=self.side)
        self.say_established(event, self.server.name)
        self._known.set()

    def on_event(self, event: QuicEvent) -> None:
        pass

    # Moving.

    def migrate(self, local: str = "", interface: str = "") -> None:
        """Go on from another address: a new socket, a new connection ID, and a packet that makes the server
        validate the path (RFC 9000 sections 9.2 and 9.5). What is on its way to the old one is lost.

        Raises OSError: not an address of ours, no such interface, no route.
        """
        moved = connected(self.server.address, self.server.port, local, interface)
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._socket, self._flow = moved, flow_of(moved, "udp")
        self._loop.add_reader(self._socket, self._readable)
        self.quic.change_connection_id()
        self.quic.send_ping(0)
        path = f"{self._flow.local}:{self._flow.local_port} {self._flow.remote}:{self._flow.remote_port}"
        self.ctx.emit("quic-migrated", self.flow, side=self.side, path=path)
        self.transmit()

    def on_end(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        if self.tls is None and self._error is None:
            self._error = ConnectionError(f"the QUIC handshake failed: {self.cause}")
        self._known.set()
