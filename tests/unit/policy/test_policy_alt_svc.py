"""Alt-Svc (RFC 7838) and HTTPS records (RFC 9460)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.policy.alt_svc import Alternative, Cache, parse, serialise
from netlab.policy.https_record import alternatives

H3 = Alternative("h3", 443)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ('h3=":443"', (H3,)),
        ('h3=":443"; ma=3600', (Alternative("h3", 443, max_age_s=3600),)),
        ('h3=":443";ma="60" ; persist=1', (Alternative("h3", 443, "", 60, True),)),
        ('h3=":443"; persist=2', (H3,)),
        ('h3=":443"; unknown="a,b;c"', (H3,)),
        (
            'h2="alt.Example.com:8000", h3=":50781"',
            (Alternative("h2", 8000, "alt.example.com"), Alternative("h3", 50_781)),
        ),
        ('w%3Dx%3Ay#z=":1"', (Alternative("w=x:y#z", 1),)),
        ('h3="[2001:db8::1]:443"', (Alternative("h3", 443, "[2001:db8::1]"),)),
        (r'h3=":\4\43"', (H3,)),
        ("clear", ()),
        ("Clear", None),
        ("", None),
        ("h3=:443", None),
        ('h3="443"', None),
        ('h3=":0"', None),
        ('h3=":65536"', None),
        ('h3=":443"; ma=-1', None),
        ('h3=":443"; ma', None),
        ('h3=":443" junk', None),
        ('h3=":443', None),
        ('=":443"', None),
        ('h3="a b:443"', None),
        ('junk, h3=":443", h2="x"', (H3,)),
    ],
)
def test_the_field_s_grammar(value: str, found: tuple[Alternative, ...] | None) -> None:
    assert parse(value) == found


names = st.sampled_from(["h3", "h2", "w=x:y#z", "a/b", "100%"])
made = st.builds(
    Alternative,
    names,
    st.integers(1, 65_535),
    st.sampled_from(["", "alt.example", "[2001:db8::1]"]),
    st.integers(0, 2**31),
    st.booleans(),
)


@given(st.lists(made, min_size=1, max_size=4))
def test_what_is_written_is_read_again(written: list[Alternative]) -> None:
    assert parse(serialise(written)) == tuple(written)


def test_no_alternatives_are_written_as_clear() -> None:
    assert serialise(()) == "clear"
    assert serialise([H3]) == 'h3=":443"'


@given(st.text(max_size=200))
def test_rubbish_is_no_error(text: str) -> None:
    parse(text)
    alternatives([text], 443, 1)


def test_the_cache_keeps_them_fresh() -> None:
    cache = Cache()
    short, long = Alternative("h3", 443, max_age_s=10), Alternative("h2", 443, max_age_s=100)
    cache.store("origin", (short, long), 0.0)
    assert cache.get("origin", 9.0) == (short, long)
    assert cache.get("origin", 10.0) == (long,)
    cache.store("origin", (short,), 20.0, age_s=4)
    assert cache.get("origin", 25.0) == (short,), "what came last is all that counts"
    assert cache.get("origin", 26.0) == (), "the response had been in a cache for 4 s"
    assert cache.get("other", 0.0) == ()


def test_clear_and_drop_forget_them() -> None:
    cache = Cache()
    cache.store("a", (H3,), 0.0)
    cache.store("b", (H3,), 0.0)
    cache.store("a", (), 0.0)
    cache.drop("b")
    cache.drop("b")
    assert cache.get("a", 0.0) == cache.get("b", 0.0) == ()


def test_another_network_keeps_those_that_persist() -> None:
    cache = Cache()
    kept = Alternative("h3", 8443, persist=True)
    cache.store("a", (H3, kept), 0.0)
    cache.store("b", (H3,), 0.0)
    cache.network_changed()
    assert (cache.get("a", 0.0), cache.get("b", 0.0)) == ((kept,), ())


def test_https_records() -> None:
    records = [
        '2 backup.example.net. alpn="h2"',
        '1 . alpn="h3,h2" port="8443" ipv4hint="192.0.2.1"',
        "0 other.example.",
        '3 . mandatory="alpn,newthing" alpn="h3" newthing="x"',
        '4 . alpn="h3" port="99999"',
        "nonsense",
    ]
    assert alternatives(records, 443, 60) == (
        Alternative("h3", 8443, "", 60),
        Alternative("h2", 8443, "", 60),
        Alternative("h2", 443, "backup.example.net", 60),
    )
    assert alternatives(["1 . alpn=h3"], 444, 60) == (Alternative("h3", 444, "", 60),)
    assert alternatives(["1 ."], 443, 60) == ()
