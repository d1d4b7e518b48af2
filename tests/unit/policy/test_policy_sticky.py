"""Sticky cookies: opaque, the same after a restart, and nothing that a client makes up gets anywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netlab.policy.sticky import StickyCookie

UPSTREAMS = ("10.0.0.51:8080", "10.0.0.52:8080")


def cookie(secret: bytes = b"lab", max_age_s: int = 0) -> StickyCookie:
    return StickyCookie("lb", max_age_s, "/", secret, UPSTREAMS)


def pair(field: str) -> str:
    return field.partition(";")[0]


def test_what_was_set_names_the_upstream_again_also_after_a_restart() -> None:
    for upstream in UPSTREAMS:
        field = cookie().set_cookie(upstream)
        assert field.endswith("; Path=/; HttpOnly; Secure; SameSite=Lax")
        assert cookie().upstream_of([f"theme=dark; {pair(field)}"]) == upstream
        assert cookie().upstream_of(["theme=dark", pair(field)]) == upstream
        assert "10.0.0" not in field
        assert cookie(b"another").upstream_of([pair(field)]) == ""
    assert "; Max-Age=60;" in cookie(max_age_s=60).set_cookie(UPSTREAMS[0])


def test_an_upstream_that_is_no_longer_there_is_nobody() -> None:
    field = pair(cookie().set_cookie(UPSTREAMS[0]))
    rest = StickyCookie("lb", 0, "/", b"lab", UPSTREAMS[1:])
    assert rest.upstream_of([field]) == ""


@given(st.lists(st.text(max_size=80), max_size=4))
def test_rubbish_names_nobody(fields: list[str]) -> None:
    assert cookie().upstream_of([*fields, *(f"lb={field}" for field in fields)]) == ""
