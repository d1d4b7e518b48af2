"""Who is at the other end of a connection that a peer opened."""

from __future__ import annotations

from typing import NamedTuple

from netlab.errors import RemoteProtocolError
from netlab.net.stream import TcpStream
from netlab.proto.proxy_protocol import HeaderReader


class Peer(NamedTuple):
    """The client as far as this connection knows: the socket's peer, or whom a PROXY header names."""

    address: str
    port: int


async def opened_by_peer(stream: TcpStream, proxy_protocol: bool) -> Peer | None:
    """Read the PROXY header, if there must be one. Bytes after it stay in the stream.

    None where the peer closed without a byte, as bare health checks do.
    Raises RemoteProtocolError where the header is missing or malformed.
    """
    socket_peer = Peer(stream.flow.remote, stream.flow.remote_port)
    if not proxy_protocol:
        return socket_peer
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
