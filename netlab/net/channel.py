"""Channels: what one subscriber says, all get. Within this process, or through PostgreSQL by several."""

from __future__ import annotations

import asyncio
import json

from netlab.net.context import RoleContext
from netlab.net.postgres import Database, Listener
from netlab.net.websocket import WebSocket
from netlab.policy.channel import KEPT, ChannelMessage, History
from netlab.proto.websocket import Message, Prepared

TOPIC = "netlab_channels"
MAX_CHANNELS = 1000
_ANNOUNCED = 64  # receivers of a message up to which each has an event of its own
_IN_NOTIFY = 5000  # bytes of text that go along with NOTIFY, whose payload is below 8000 bytes
_KEPT_IN_TABLE = 1000

# A channel's first number is the time in ms, so that no number comes again after its history was lost.
# The counter's row is locked until the end of the statement, so numbers become visible in their order.
_PUBLISH = (
    "WITH next AS (INSERT INTO channels AS c (name, last_id)"
    " VALUES (%s, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)"
    " ON CONFLICT (name) DO UPDATE SET last_id = c.last_id + 1 RETURNING last_id),"
    " stored AS (INSERT INTO channel_messages (channel, id, sent_ns, body)"
    " SELECT %s, last_id, %s, %s FROM next RETURNING id),"
    " old AS (DELETE FROM channel_messages WHERE channel = %s"
    " AND id <= (SELECT last_id FROM next) - %s)"
    " SELECT id, pg_notify(%s, json_build_object('channel', %s::text, 'id', id, 'sent_ns', %s::bigint,"
    " 'text', %s::text)::text) FROM stored"
)
_READ = (
    "SELECT id, sent_ns, body FROM channel_messages WHERE channel = %s AND id > %s ORDER BY id DESC LIMIT %s"
)


class Channel:
    """One channel of this process: its history, and who listens."""

    def __init__(self, name: str, ctx: RoleContext) -> None:
        self.name = name
        self._ctx = ctx
        self.history = History()
        self._sockets: set[WebSocket] = set()
        self._news = asyncio.Event()

    @property
    def last_id(self) -> int:
        return self.history.last_id

    def since(self, last_id: int) -> list[ChannelMessage]:
        return self.history.since(last_id)

    async def news(self) -> None:
        """Returns when a message has come after this call."""
        await self._news.wait()

    def join(self, websocket: WebSocket, since: int | None) -> None:
        """The socket gets what comes; with `since`, first what is kept of what it has missed."""
        for message in self.history.since(since) if since is not None else ():
            websocket.offer(_prepared(message), channel=self.name, id=message.id)
        self._sockets.add(websocket)

    def leave(self, websocket: WebSocket) -> None:
        self._sockets.discard(websocket)

    def deliver(self, message: ChannelMessage) -> None:
        """To all who listen; a message that is known already is passed over."""
        if not self.history.add(message):
            return
        prepared = _prepared(message)
        announce = len(self._sockets) <= _ANNOUNCED
        sent = 0
        for websocket in tuple(self._sockets):
            sent += websocket.offer(prepared, announce=announce, channel=self.name, id=message.id)
        news, self._news = self._news, asyncio.Event()
        news.set()
        self._ctx.emit("published", channel=self.name, id=message.id, receivers=sent)

    def load(self, messages: list[ChannelMessage]) -> None:
        """What was published before anybody asked."""
        for message in messages:
            self.history.add(message)


def _prepared(message: ChannelMessage) -> Prepared:
    return Prepared(Message(message.to_json().encode()))


class Channels:
    """All channels of a process."""

    def __init__(self, ctx: RoleContext, database: Database | None = None) -> None:
        self._ctx = ctx
        self._database = database
        self._channels: dict[str, Channel] = {}
        self._loading: dict[str, asyncio.Lock] = {}
        self._missed: set[str] = set()  # names of those of which a notice came while they were read
        self._listener: Listener | None = None

    async def start(self) -> None:
        """Hear what other processes publish. Returns when the database has confirmed it."""
        if self._database is not None:
            self._listener = Listener(self._ctx, self._database, TOPIC, self._heard, self._catch_up)
            await self._listener.start()

    async def close(self) -> None:
        if self._listener is not None:
            await self._listener.close()

    async def get(self, name: str) -> Channel | None:
        """The channel, with the last messages that the database has. None where there are too many.

        Raises DatabaseGoneError."""
        found = self._channels.get(name)
        if found is not None and name not in self._loading:
            return found
        if found is None:
            if len(self._channels) >= MAX_CHANNELS:
                return None
            found = self._channels[name] = Channel(name, self._ctx)
        if self._database is not None:
            await self._load(found)
        return found

    async def _load(self, channel: Channel) -> None:
        lock = self._loading.setdefault(channel.name, asyncio.Lock())
        async with lock:
            while channel.name in self._loading:
                self._missed.discard(channel.name)
                channel.load(await self._after(channel))
                if channel.name not in self._missed:
                    del self._loading[channel.name]

    async def publish(self, channel: Channel, text: str, traceparent: str = "") -> ChannelMessage:
        """Give the message its number and send it to all, of every process. Raises DatabaseGoneError."""
        sent_ns = self._ctx.now_ns()
        if self._database is None:
            number = channel.last_id + 1 if channel.last_id else sent_ns // 1_000_000
            message = ChannelMessage(number, sent_ns, text)
            channel.deliver(message)
            return message
        along = text if len(text.encode()) <= _IN_NOTIFY else None
        name = channel.name
        rows = await self._database.query(
            _PUBLISH,
            (name, name, sent_ns, text, name, _KEPT_IN_TABLE, TOPIC, name, sent_ns, along),
            traceparent,
        )
        return ChannelMessage(int(rows[0][0]), sent_ns, text)

    async def _heard(self, payload: str) -> None:
        """What PostgreSQL notified: a message, or that there is one which is too long for a notice."""
        document = json.loads(payload)
        channel = self._channels.get(document["channel"])
        if channel is None:
            return  # nobody asked for it yet
        if channel.name in self._loading:
            self._missed.add(channel.name)
            return
        number = int(document["id"])
        if document["text"] is None or number > channel.last_id + 1:
            await self._deliver_from_table(channel)
        else:
            channel.deliver(ChannelMessage(number, int(document["sent_ns"]), document["text"]))

    async def _catch_up(self) -> None:
        """After a time in which nothing could be heard."""
        for channel in list(self._channels.values()):
            if channel.name not in self._loading:
                await self._deliver_from_table(channel)

    async def _deliver_from_table(self, channel: Channel) -> None:
        for message in await self._after(channel):
            channel.deliver(message)

    async def _after(self, channel: Channel) -> list[ChannelMessage]:
        """What the database has that this process has not."""
        assert self._database is not None  # as there are notices
        rows = await self._database.query(_READ, (channel.name, channel.last_id, KEPT), "")
        return [ChannelMessage(int(number), int(sent_ns), text) for number, sent_ns, text in reversed(rows)]
