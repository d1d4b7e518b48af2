"""QUIC decoded from real datagrams, which aioquic made in memory; and from rubbish."""

from __future__ import annotations

import random
from functools import cache

import pytest
from aioquic.tls import CipherSuite
from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.decode.quic import Datagram, QuicConnection, QuicTracker, quic_connections
from netlab.decode.tls_keys import KeyLog
from tests.kit.quic_bytes import CLIENT, MS, NAME, SERVER, Network, Tickets, network

V1, V2 = 1, 0x6B3343CF


def fetched(*paths: str, **options: object) -> Network:
    made = network(**options)  # type: ignore[arg-type]
    made.connect()
    made.fetch(*paths)
    return made


def at(made: Network, place: str = "client") -> QuicConnection:
    (found,) = quic_connections(made.capture(place), made.keys)
    return found


@cache
def default() -> Network:
    return fetched("/a", "/b")


@pytest.mark.parametrize("place", ["client", "server"])
@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize("suite", list(CipherSuite)[:3])
def test_every_packet_is_opened(suite: CipherSuite, version: int, place: str) -> None:
    found = at(fetched("/a", "/b", suite=suite, version=version), place)
    assert found.problems == ()
    assert (found.client, found.server) == (CLIENT, SERVER)
    assert (found.version, found.cipher) == ("QUIC v1" if version == V1 else "QUIC v2", f"TLS_{suite.name}")
    assert (found.sni, found.alpn, found.resumed, found.early_data) == (NAME, "h3", False, "")
    assert found.streams[0, "server"].data.endswith(b"answer to /a")
    assert found.streams[0, "client"].finished
    assert {(one.sender, one.type) for one in found.packets} == {
        (sender, kind) for sender in ("client", "server") for kind in ("Initial", "Handshake", "1-RTT")
    }


def test_handshake_messages_have_their_frames() -> None:
    found = at(default())
    handshake = [one for one in found.messages if one.space != "Application"]
    assert [(one.sender, one.name) for one in handshake] == [
        ("client", "ClientHello"),
        ("server", "ServerHello"),
        ("server", "EncryptedExtensions"),
        ("server", "Certificate"),
        ("server", "CertificateVerify"),
        ("server", "Finished"),
        ("client", "Finished"),
    ]
    packets = {one.frame: one for one in found.packets}
    for message in found.messages:
        assert message.frames, message
        assert {packets[number].sender for number in message.frames} == {message.sender}


def test_packets_have_their_frames_and_sizes() -> None:
    found = at(default())
    first = found.packets[0]
    assert (first.type, first.number, [one.name for one in first.frames]) == ("Initial", 0, ["CRYPTO"])
    for packet in found.packets:
        assert packet.number >= 0
        ends = [0, *(one.end for one in packet.frames)]
        assert [one.start for one in packet.frames] == ends[:-1]
        assert packet.header_length + ends[-1] + 16 == packet.size
    acks = [one for packet in found.packets for one in packet.frames if one.name == "ACK"]
    assert acks
    assert all(one.ranges[0][1] == one.integer("largest_acknowledged") for one in acks)


def test_transport_parameters() -> None:
    found = at(default())
    server = found.parameters["server"]
    assert server["original_destination_connection_id"] == found.packets[0].sealed.destination
    assert isinstance(server["initial_max_data"], int)
    assert "stateless_reset_token" in server
    assert "stateless_reset_token" not in found.parameters["client"]


def test_early_data() -> None:
    tickets = Tickets()
    fetched("/a", tickets=tickets).settle(100 * MS)
    made = fetched("/early", tickets=tickets)
    for place in ("client", "server"):
        found = at(made, place)
        assert (found.resumed, found.early_data, found.problems) == (True, "accepted", ())
        early = [one for one in found.packets if one.type == "0-RTT"]
        assert any(one.name == "STREAM" for packet in early for one in packet.frames)
        assert not any(one.name == "Certificate" for one in found.messages)


def test_early_data_that_the_server_rejects() -> None:
    tickets = Tickets()
    fetched("/a", tickets=tickets).settle(100 * MS)
    tickets.server.clear()
    made = fetched("/early", tickets=tickets)
    found = at(made)
    assert (found.resumed, found.early_data, found.problems) == (False, "rejected", ())


def test_retry() -> None:
    found = at(fetched("/a", retry=True))
    assert (found.retry, found.problems) == (True, ())
    types = [one.type for one in found.packets]
    assert types[:3] == ["Initial", "Retry", "Initial"]
    assert found.packets[2].sealed.token == found.packets[1].sealed.token != b""
    assert found.streams[0, "server"].data.endswith(b"answer to /a")


def test_version_negotiation() -> None:
    found = at(fetched("/a", negotiate=V2))
    assert (found.negotiated, found.version, found.problems) == (True, "QUIC v2", ())
    assert found.packets[1].type == "Version Negotiation"
    assert found.packets[1].sealed.versions == (V2,)


def test_key_updates() -> None:
    made = fetched("/a")
    for path in ("/b", "/c", "/d"):
        made.settle(200 * MS)
        made.client.request_key_update()
        made.fetch(path)
    found = at(made, "server")
    assert found.problems == ()
    assert {one.generation for one in found.packets if one.sender == "client"} == {0, 1, 2, 3}
    assert all(one.key_phase == one.generation % 2 for one in found.packets)
    assert found.streams[12, "client"].finished


def test_a_packet_that_a_key_update_overtook() -> None:
    made = fetched("/a")
    made.settle(200 * MS)
    made.ask("/slow")
    made._flush()
    made.settle(40 * MS)
    made.client.request_key_update()
    made.fetch("/b")
    seen = list(made.capture("server"))
    own = [one for one in at(made, "server").packets if one.sender == "client" and one.type == "1-RTT"]
    old = max(one.frame for one in own if not one.generation)
    new = min(one.frame for one in own if one.generation)
    assert old < new
    overtaken = next(one for one in seen if one.frame == old)
    seen.remove(overtaken)
    seen.insert(next(row for row, one in enumerate(seen) if one.frame == new) + 1, overtaken)
    (again,) = quic_connections(seen, made.keys)
    assert again.problems == ()
    assert [one.generation for one in again.packets if one.frame in (old, new)] == [1, 0]


def test_a_client_that_migrates() -> None:
    made = fetched("/a")
    made.settle(200 * MS)
    made.client_address = ("198.51.100.9", 6000)
    made.client.change_connection_id()
    made.fetch("/b")
    made.settle(200 * MS)
    for place in ("client", "server"):
        found = at(made, place)
        assert [one.client for one in found.paths] == [CLIENT, ("198.51.100.9", 6000)]
        assert found.problems == ()
        names = [one.name for packet in found.packets for one in packet.frames]
        assert "PATH_CHALLENGE" in names
        assert "PATH_RESPONSE" in names
        assert found.streams[4, "server"].data.endswith(b"answer to /b")


def test_lost_packets_are_missing_and_their_bytes_come_again() -> None:
    rng = random.Random(7)
    made = fetched(
        *(f"/{number}" for number in range(4)),
        lost_down=lambda number, _: number > 4 and rng.random() < 0.05,
        answer=lambda _: bytes(60_000),
    )
    sent, received = at(made, "server"), at(made, "client")
    there = {one.number for one in sent.packets if one.sender == "server" and one.type == "1-RTT"}
    here = {one.number for one in received.packets if one.sender == "server" and one.type == "1-RTT"}
    lost = {number for number in there - here if number < max(here)}
    assert lost
    assert {number for _, number in received.missing("server")} == lost
    assert received.missing("client") == ()
    assert sent.repeats
    assert all(one.first.number in lost for one in sent.repeats), sent.repeats
    assert received.repeats == ()
    assert all(len(received.streams[stream, "server"]) > 60_000 for stream in (0, 4, 8, 12))


def test_a_stateless_reset() -> None:
    made = fetched("/a")
    made.settle(100 * MS)
    tracker = QuicTracker(made.keys)
    for one in made.capture("client"):
        tracker.add(one)
    (found,) = tracker.connections
    token = found.parameters["server"]["stateless_reset_token"]
    assert isinstance(token, bytes)
    tracker.add(Datagram(900, 0, SERVER, CLIENT, b"\x51" + bytes(range(30)) + token))
    assert tracker.resets == [(found, 900)]
    assert found.packets[-1].problem == "a stateless reset"
    tracker.add(Datagram(901, 0, SERVER, CLIENT, b"\x51" + bytes(60)))
    assert len(tracker.resets) == 1
    assert found.packets[-1].problem


def test_connection_close() -> None:
    made = fetched("/a")
    made.client.close(error_code=0x100, reason_phrase="enough")
    made.settle(100 * MS)
    close = at(made, "server").close
    assert close is not None
    frame = next(one for one in close.frames if one.name == "CONNECTION_CLOSE")
    assert (frame.fields["error_code"], frame.fields["reason_phrase"]) == (0x100, "enough")


def test_two_connections_at_one_socket() -> None:
    one, other = fetched("/a"), fetched("/b")
    keys = KeyLog({**one.keys.secrets, **other.keys.secrets})
    both = sorted((*one.capture("client"), *other.capture("client")), key=lambda d: d.time_ns)
    found = quic_connections(both, keys)
    assert len(found) == 2
    assert {str(one.problems) for one in found} == {"()"}


@pytest.mark.parametrize(
    ("dropped", "reason"),
    [
        ("SERVER_TRAFFIC_SECRET_0", "the key log has no SERVER_TRAFFIC_SECRET_0 for the client random"),
        ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "the key log has no CLIENT_HANDSHAKE_TRAFFIC_SECRET"),
    ],
)
def test_a_missing_secret_is_named(dropped: str, reason: str) -> None:
    keys = KeyLog({key: value for key, value in default().keys.secrets.items() if key[0] != dropped})
    (found,) = quic_connections(default().capture("client"), keys)
    assert len(found.problems) == 1
    assert reason in found.problems[0]
    assert found.sni == NAME


def test_a_wrong_secret() -> None:
    keys = KeyLog({key: bytes(len(value)) for key, value in default().keys.secrets.items()})
    (found,) = quic_connections(default().capture("client"), keys)
    assert all("the secrets that there are don't open it" in one for one in found.problems)
    assert found.streams == {}


def test_a_capture_that_begins_within_the_connection() -> None:
    tracker = QuicTracker(default().keys)
    for one in default().capture("client")[2:]:
        tracker.add(one)
    assert tracker.connections == []
    assert len(tracker.unknown) == len(default().capture("client")) - 2


def test_server_packets_before_the_servers_hello() -> None:
    """Reordered: they are opened once the keys can be known, and their bytes count from then."""
    seen = list(default().capture("client"))
    flight = next(number for number, one in enumerate(seen) if one.src == SERVER)
    whole = seen[flight]
    split = next(p for p in at(default()).packets if p.sender == "server" and p.type == "Handshake")
    hello = whole._replace(data=whole.data[: split.sealed.start])
    rest = whole._replace(data=whole.data[split.sealed.start :])
    reordered = [*seen[:flight], rest, hello._replace(frame=1000), *seen[flight + 1 :]]
    (found,) = quic_connections(reordered, default().keys)
    assert found.problems == ()
    certificate = next(one for one in found.messages if one.name == "Certificate")
    assert (certificate.frames, certificate.done) == ((whole.frame,), 1000)


@given(st.binary(max_size=1500))
def test_random_datagrams_never_raise(data: bytes) -> None:
    tracker = QuicTracker(KeyLog())
    tracker.add(Datagram(1, 0, CLIENT, SERVER, data))
    tracker.add(Datagram(2, 0, CLIENT, SERVER, b"\xc0\0\0\0\1\x08" + data))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_conversations_never_raise(data: st.DataObject) -> None:
    seen = list(default().capture("client"))
    for _ in range(data.draw(st.integers(1, 4))):
        at_ = data.draw(st.integers(0, len(seen) - 1))
        damaged = bytearray(seen[at_].data)
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
        cut = data.draw(st.integers(0, len(damaged)))
        seen[at_] = seen[at_]._replace(data=bytes(damaged[cut // 2 :] if cut % 2 else damaged))
    seen = data.draw(st.permutations(seen))
    for found in quic_connections(seen, default().keys):
        assert found.repeats == ()
        for (stream, side), one in found.streams.items():
            assert at(default()).streams[stream, side].data.startswith(one.data)
