"""A channel through every role: each way of getting its messages, over each version, and after a break."""

from __future__ import annotations

import threading

import pytest

from netlab.lab.client import LabClient
from netlab.model.event import Event
from netlab.model.roles import ClientSpec, HttpVersion, Subscription
from tests.e2e.conftest import Lab
from tests.kit.chain import chain
from tests.kit.poll import poll_until

URL = "https://www.example/channels/news"
WAYS = ("websocket", "sse", "long-poll", "poll")


def subscribe(way: str, http: HttpVersion = "1.1", **fields: object) -> Subscription:
    spec = {"url": URL, "way": way, "http": http, "interval": "100ms", "publish_interval": "50ms", **fields}
    return Subscription.model_validate(spec)


def told(events: list[Event], *kinds: str) -> list[Event]:
    return [event for event in events if event.event in kinds]


def test_every_way_over_every_version(lab: Lab) -> None:
    lab.up(chain())
    client = LabClient.connect(lab.name)
    for http in ("1.1", "2", "3"):
        for way in WAYS:
            spec = subscribe(way, http, count=3, duration="10s", publish=("one", "zwei", "三"))
            events = client.run("client", ClientSpec(subscriptions=(spec,)), 20)
            got = told(events, "message")
            assert [event.data["bytes"] for event in got] == [3, 4, 3], (way, http, events)
            ids = [event.data["id"] for event in got]
            assert ids == sorted(set(ids)), (way, http, ids)
            assert told(events, "reconnect") == [], (way, http, events)
    seen = {
        (event.node, event.data.get("version", "1.1"))
        for event in client.events_since()
        if event.event == "websocket-opened"
    }
    assert seen == {("client", "1.1"), ("client", "2"), ("client", "3"), ("app", "1.1")}, seen


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_missed_over_a_break(lab: Lab, way: str) -> None:
    """The proxy ends in the middle, and comes again: the subscriber comes back and gets what it missed."""
    lab.up(chain())
    client = LabClient.connect(lab.name)
    offset = client.events_size()
    failures: list[BaseException] = []

    def listen() -> None:
        spec = subscribe(way, count=6, duration="25s")
        try:
            client.run("client", ClientSpec(subscriptions=(spec,)), 40)
        except BaseException as error:
            failures.append(error)

    def publish(*texts: str) -> None:
        spec = Subscription.model_validate(
            {
                "url": URL,
                "way": "poll",
                "publish": texts,
                "publish_interval": "10ms",
                "interval": "50ms",
                "count": len(texts),
                "duration": "10s",
                "name": "publisher",
            }
        )
        client.run("client", ClientSpec(subscriptions=(spec,)), 20)

    def got() -> list[int]:
        return [
            int(event.data["id"])
            for event in client.events_since(offset)
            if event.event == "message" and event.data["name"] == URL
        ]

    thread = threading.Thread(target=listen)
    thread.start()
    poll_until(lambda: told(client.events_since(offset), "subscribed"), "it is subscribed", 10)
    publish("1", "2", "3")
    poll_until(lambda: len(got()) == 3, f"three have come by {way}", 10)
    client.restart("proxy", "proxy")
    publish("4", "5", "6")
    thread.join()
    events = client.events_since(offset)
    assert not failures, (failures, told(events, "request-failed", "reconnect", "error"))
    ids = got()
    assert len(ids) == 6, ids
    assert ids == sorted(set(ids)), ids


def test_too_few_messages_are_a_failure(lab: Lab) -> None:
    lab.up(chain())
    client = LabClient.connect(lab.name)
    offset = client.events_size()
    with pytest.raises(Exception, match="exited with 1"):
        client.run("client", ClientSpec(subscriptions=(subscribe("sse", count=1, duration="1s"),)), 20)
    (failed,) = told(client.events_since(offset), "request-failed")
    assert failed.data["cause"] == "0 of 1 messages in 1 s", failed
