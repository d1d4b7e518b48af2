"""Who is at the other end of a connection that a peer opened."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from netlab.errors import RemoteProtocolError
from netlab.net.stream import TcpStream
from netlab.proto.proxy_protocol import HeaderReader

Networks = tuple[IPv4Network | IPv6Network, ...]


class Peer(NamedTuple):
    """The client as far as this connection knows: the socket's peer, or whom a PROXY header names."""

    address: str
    port: int


async def opened_by_peer(stream: TcpStream, believed: Networks) -> Peer | None:
    """Read the PROXY header, where there must be one: peers in `believed` alone may say who the client is.
    Bytes after it stay in the stream. Without any network nobody says it.

    None where the peer closed without a byte, as bare health checks do.
    Raises RemoteProtocolError where the header is missing or malformed, or the peer is not believed.
    """
    socket_peer = Peer(stream.flow.remote, stream.flow.remote_port)
    if not believed:
        return socket_peer
    if not any(_plain(socket_peer.address) in network for network in believed):
        raise RemoteProtocolError(f"{socket_peer.address} is not in `proxy_protocol_from`")
    reader = HeaderReader()
    header = None
    while header is None:
        data = await stream.read()
        if not data and not reader.buffered():
            return None
        if not data:
            raise RemoteProtocolError("the connection ended before its PROXY header did")
        header = reader.receive(data)
    stream.unread(reader.trailing())
    return Peer(header.source, header.source_port) if header.source else socket_peer


def _plain(address: str) -> IPv4Address | IPv6Address:
    found = ip_address(address)
    return getattr(found, "ipv4_mapped", None) or found
