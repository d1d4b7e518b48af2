"""The DNS codec: round trips, truncation, and hostile bytes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netlab.errors import InputError, LocalProtocolError, RemoteProtocolError
from netlab.proto.dns import (
    FrameCodec,
    Message,
    Question,
    ResourceRecord,
    decode,
    encode,
    format_error,
    record,
    reply,
)
from netlab.proto.dns_names import ancestors, fold, is_within, parent

# Lower case only: compression writes a name once, in the case of its first sighting (RFC 1035, 4.1.4).
LABEL = st.text("abcxyz0189-", min_size=1, max_size=9)
NAME = st.lists(LABEL, min_size=1, max_size=5).map(".".join)
TTL = st.integers(0, 2**31 - 1)
DATA = st.one_of(
    st.tuples(st.just("A"), st.ip_addresses(v=4).map(str)),
    st.tuples(st.just("AAAA"), st.ip_addresses(v=6).map(lambda ip: record("a", "AAAA", 1, str(ip)).data)),
    st.tuples(st.sampled_from(["NS", "CNAME", "PTR"]), NAME.map(lambda name: name + ".")),
    st.tuples(st.just("MX"), NAME.map(lambda name: f"10 {name}.")),
    st.tuples(st.just("TXT"), LABEL.map(lambda text: f'"{text}"')),
    st.tuples(st.just("SOA"), NAME.map(lambda name: f"{name}. root.{name}. 1 2 3 4 5")),
)
# One record per name and type: records of one set share the lowest TTL, which a round trip would not show.
RECORDS = st.lists(
    st.builds(lambda name, ttl, data: ResourceRecord(name, data[0], ttl, data[1]), NAME, TTL, DATA),
    max_size=4,
    unique_by=lambda one: (fold(one.name), one.type),
).map(tuple)
MESSAGES = st.builds(
    Message,
    id=st.integers(0, 65_535),
    question=st.none()
    | st.builds(Question, NAME, st.sampled_from(["A", "AAAA", "NS", "SOA", "TXT", "HTTPS"])),
    response=st.booleans(),
    rcode=st.sampled_from(["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"]),
    authoritative=st.booleans(),
    truncated=st.booleans(),
    recursion_desired=st.booleans(),
    recursion_available=st.booleans(),
    answers=RECORDS,
    authority=RECORDS,
    additional=RECORDS,
    edns_bytes=st.none() | st.integers(0, 65_535),
)
QUERY = Message(7, Question("API.Example.com"), recursion_desired=True, edns_bytes=1232)


@given(MESSAGES)
def test_a_message_survives_the_wire(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x00" * 11)
@example(b"\x00" * 12)
def test_random_bytes_raise_nothing_but_a_remote_error(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        assert isinstance(decode(data), Message)


@given(MESSAGES, st.data())
def test_damaged_messages_raise_nothing_but_a_remote_error(message: Message, data: st.DataObject) -> None:
    wire = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(wire)))
    for damaged in (bytes(wire), bytes(wire[:cut]), bytes(wire) + b"\0"):
        try:
            decoded = decode(damaged)
        except RemoteProtocolError:
            continue
        assert decode(encode(decoded)).id == decoded.id


def test_the_case_of_the_question_is_kept() -> None:
    assert decode(encode(QUERY)).question == Question("API.Example.com")
    assert Question("API.Example.com").key == Question("api.example.COM.").key


def test_two_questions_are_refused() -> None:
    wire = bytearray(encode(Message(1, Question("a.b"))))
    wire[5] = 2
    with pytest.raises(RemoteProtocolError, match="2 questions"):
        decode(bytes(wire) + b"\x01c\x00\x00\x01\x00\x01")


def test_another_opcode_keeps_its_header() -> None:
    update = bytes([0, 9, 5 << 3, 0]) + bytes(8)
    message = decode(update)
    assert (message.id, message.opcode, message.question) == (9, "UPDATE", None)
    assert decode(encode(reply(message, "NOTIMP"))).opcode == "UPDATE"


def test_a_reply_repeats_id_question_and_edns() -> None:
    answer = reply(QUERY, "REFUSED", recursion_available=True)
    assert (answer.id, answer.question, answer.response) == (7, QUERY.question, True)
    assert (answer.recursion_desired, answer.edns_bytes) == (True, 1232)
    assert reply(Message(1, Question("a")), "NOERROR").edns_bytes is None


@pytest.mark.parametrize(("offered", "limit"), [(None, 512), (100, 512), (900, 900), (65_535, 1232)])
def test_the_udp_limit_follows_edns(offered: int | None, limit: int) -> None:
    assert Message(1, edns_bytes=offered).udp_limit == limit


def _addresses(count: int) -> tuple[ResourceRecord, ...]:
    return tuple(ResourceRecord("big.example.com", "A", 60, f"10.0.0.{host}") for host in range(count))


def test_an_answer_past_the_limit_is_truncated() -> None:
    message = Message(1, Question("big.example.com"), response=True, answers=_addresses(100))
    assert len(encode(message)) > 512
    cut = encode(message, 512)
    assert len(cut) <= 512
    assert decode(cut).truncated
    assert decode(cut).answers == ()


def test_additional_records_past_the_limit_are_left_out_without_truncation() -> None:
    kept = ResourceRecord("a.example.com", "A", 60, "10.0.0.1")
    message = Message(1, Question("a.example.com"), answers=(kept,), additional=_addresses(100))
    cut = decode(encode(message, 512))
    assert (cut.truncated, cut.answers, cut.additional) == (False, (kept,), ())


def test_records_of_one_set_keep_their_order() -> None:
    message = Message(1, Question("big.example.com"), response=True, answers=_addresses(5))
    assert decode(encode(message)).answers == message.answers


def test_record_reads_as_a_zone_file_does() -> None:
    assert record("@", "NS", 60, "ns1", "example.com").data == "ns1.example.com."
    assert record("www", "CNAME", 60, "cdn.example.net.", "example.com").data == "cdn.example.net."
    assert record("www", "A", 60, "192.0.2.1", "example.com").name == "www.example.com"
    assert record("com", "NS", 60, "ns.com", ".").data == "ns.com."
    assert record("@", "NS", 60, "a.root").name == "."


@pytest.mark.parametrize(
    ("type_", "data"),
    [("A", "not-an-address"), ("MX", "mail"), ("NOPE", "x"), ("A", ""), ("AAAA", "10.0.0.1")],
)
def test_wrong_data_is_an_input_error(type_: str, data: str) -> None:
    with pytest.raises(InputError, match=r"record www .* of zone example\.com: "):
        record("www", type_, 60, data, "example.com")


def test_what_cannot_be_written_is_our_error() -> None:
    with pytest.raises(LocalProtocolError):
        encode(Message(1, answers=(ResourceRecord("a", "A", 1, "not an address"),)))
    with pytest.raises(LocalProtocolError):
        encode(Message(1, Question("a" * 64)))


def test_a_malformed_query_gets_a_format_error() -> None:
    wire = format_error(b"\x12\x34\x01\x00" + b"\xff" * 20)
    assert wire is not None
    assert (decode(wire).id, decode(wire).rcode, decode(wire).response) == (0x1234, "FORMERR", True)
    assert format_error(b"\x12\x34\x81\x00" + b"\xff" * 20) is None, "responses are never answered"
    assert format_error(b"\x12") is None


@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(1, 7))
def test_frames_come_out_as_they_went_in(messages: list[bytes], step: int) -> None:
    sender = FrameCodec()
    stream = b"".join(sender.send(message) for message in messages)
    for size in (len(stream) or 1, 1, step):
        codec = FrameCodec()
        chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [one for chunk in chunks for one in codec.receive(chunk)] == messages
        assert codec.buffered() == 0
        assert codec.receive(b"") == []


def test_an_end_inside_a_frame_is_a_remote_error() -> None:
    codec = FrameCodec()
    assert codec.receive(b"\x00\x05abc") == []
    assert codec.buffered() == 5
    with pytest.raises(RemoteProtocolError, match="5 bytes"):
        codec.receive(b"")


def test_a_frame_holds_65535_bytes_and_no_more() -> None:
    assert FrameCodec().receive(FrameCodec().send(bytes(65_535))) == [bytes(65_535)]
    with pytest.raises(LocalProtocolError):
        FrameCodec().send(bytes(65_536))


def test_names() -> None:
    assert parent("a.b.c") == "b.c"
    assert parent("com") == "."
    assert parent(".") == "."
    assert ancestors("a.b") == ("a.b", "b", ".")
    assert ancestors(".") == (".",)
    assert is_within("API.example.com", "Example.com.")
    assert is_within("example.com", "example.com")
    assert is_within("x", ".")
    assert not is_within("notexample.com", "example.com")
    assert not is_within("com", "example.com")
    assert parent(r"a\.b.c") == "c"
    assert fold("A.B.") == "a.b"
    assert fold(".") == "."
