"""HPACK with shortcuts gives what the library without them gives (RFC 7541)."""

from __future__ import annotations

import pytest
from hpack import (
    Decoder,
    Encoder,
    HeaderTuple,
    HPACKError,
    InvalidTableIndexError,
    NeverIndexedHeaderTuple,
    OversizedHeaderListError,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from netlab.proto.http2_compression import SectionDecoder, SectionEncoder

NAMES = (b":status", b"content-type", b"date", b"etag", b"x-a", b"authorization")
_fields = st.builds(
    lambda name, value: (NeverIndexedHeaderTuple if name == b"authorization" else HeaderTuple)(name, value),
    st.sampled_from(NAMES),
    st.sampled_from((b"", b"200", b"1", b"2" * 40, b"3" * 200, b"4" * 600)),
)
_sections = st.lists(_fields, max_size=6)
_steps = st.lists(st.one_of(_sections, st.sampled_from((0, 64, 500, 1000))), max_size=12)


@settings(deadline=None)  # Huffman coding of many values, on a machine that others use
@given(_steps, st.lists(st.integers(0, 11), max_size=12))
def test_the_encoder_gives_the_librarys_bytes(steps: list[list[HeaderTuple] | int], again: list[int]) -> None:
    ours, theirs = SectionEncoder(), Encoder()
    for step in [*steps, *(steps[index] for index in again if index < len(steps))]:
        if isinstance(step, int):
            ours.header_table_size = step
            if step != theirs.header_table_size:
                theirs.header_table_size = step
        else:
            assert ours.encode(step) == theirs.encode(step)
            assert ours.encode(step) == theirs.encode(step)
        assert list(ours.header_table.dynamic_entries) == list(theirs.header_table.dynamic_entries)


@settings(deadline=None)
@given(_steps)
def test_the_decoder_gives_the_librarys_fields(steps: list[list[HeaderTuple] | int]) -> None:
    encoder, ours, theirs = Encoder(), SectionDecoder(1 << 20), Decoder(1 << 20)
    for step in steps:
        if isinstance(step, int):
            if step != encoder.header_table_size:  # which the library would forget to say
                encoder.header_table_size = step
            continue
        for block in (encoder.encode(step), encoder.encode(step)):
            wanted = [(one[0], one[1]) for one in theirs.decode(block, raw=True)]
            assert ours.decode(block) == wanted


@given(st.lists(st.binary(max_size=24), max_size=6))
def test_the_decoder_agrees_with_the_library_on_rubbish(blocks: list[bytes]) -> None:
    ours, theirs = SectionDecoder(4096), Decoder(4096)
    for block in blocks:
        try:
            wanted = [(one[0], one[1]) for one in theirs.decode(block, raw=True)]
        except HPACKError:
            with pytest.raises(HPACKError):
                ours.decode(block)
            return
        assert ours.decode(block) == wanted


def test_a_size_that_is_set_twice_is_said() -> None:
    """RFC 7541 section 4.2; a peer may send the same SETTINGS_HEADER_TABLE_SIZE again."""
    encoder = SectionEncoder()
    encoder.header_table_size = 0
    encoder.header_table_size = 0
    assert encoder.encode([(b":method", b"GET")]) == b"\x20\x82"
    assert encoder.encode([(b":method", b"GET")]) == b"\x82"


@pytest.mark.parametrize("block", [b"\x80", b"\x82\x80", b"\x82\xbe", b"\xfe"])
def test_an_index_that_is_not_in_the_table(block: bytes) -> None:
    """RFC 7541 section 2.3.3."""
    with pytest.raises(InvalidTableIndexError):
        SectionDecoder(4096).decode(block)


def test_a_change_of_size_behind_a_field() -> None:
    """RFC 7541 section 4.2: it must come first."""
    assert SectionDecoder(4096).decode(b"\x20\x82") == [(b":method", b"GET")]
    with pytest.raises(HPACKError, match="size update"):
        SectionDecoder(4096).decode(b"\x82\x20")


def test_sections_that_grow_too_large() -> None:
    """A bomb: one large entry, at an index of one byte again and again; also with a literal behind."""
    decoder = SectionDecoder(16_000)
    block = Encoder().encode([(b"x", b"y" * 3000)])
    assert decoder.decode(block) == [(b"x", b"y" * 3000)]
    assert len(decoder.decode(b"\xbe" * 5)) == 5
    for bomb in (b"\xbe" * 6, b"\xbe" * 5 + b"\x00\x01z\x7f\xe9\x05" + b"w" * 872):
        with pytest.raises(OversizedHeaderListError):
            decoder.decode(bomb)
