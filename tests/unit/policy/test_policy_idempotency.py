"""The same key is acted on once."""

from __future__ import annotations

import pytest

from netlab.policy.idempotency import Known, New, Refused, Store, key_of


def test_once_and_then_the_same_answer() -> None:
    store = Store(10, 60.0)
    assert store.begin("k", "body", 0.0) == New()
    assert store.begin("k", "body", 0.1) == Refused(409, "the first request is being worked on")
    store.finish("k", "order 1", 0.2)
    assert store.begin("k", "body", 59.0) == Known("order 1")
    refused = store.begin("k", "another body", 59.0)
    assert isinstance(refused, Refused)
    assert refused.status == 422
    assert store.begin("k", "body", 60.2) == New(), "its time is over"


def test_what_was_not_acted_on_is_new_again() -> None:
    store = Store(10, 60.0)
    store.begin("k", "body", 0.0)
    store.abandon("k")
    assert store.begin("k", "body", 0.0) == New()


def test_memory_is_bounded_and_what_is_under_way_is_kept() -> None:
    store = Store(2, 60.0)
    store.begin("slow", "", 0.0)
    for number in range(50):
        assert store.begin(number, "", 0.0) == New()
        store.finish(number, number, 0.0)
        assert len(store) == 2
    assert store.begin("slow", "", 0.0) == Refused(409, "the first request is being worked on")
    store.begin("another", "", 0.0)
    refused = store.begin("one more", "", 0.0)
    assert isinstance(refused, Refused)
    assert refused.status == 503


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("a1b2c3d4-e5f6-7890", "a1b2c3d4-e5f6-7890"),
        ('"8e03978e-40d5"', "8e03978e-40d5"),
        (' "a \\"b\\" \\\\" ', 'a "b" \\'),
        ("", ""),
        ('""', ""),
        ("x" * 256, ""),
        ("schlüssel", ""),
        ("a\tb", ""),
    ],
)
def test_keys(field: str, key: str) -> None:
    assert key_of(field) == key
