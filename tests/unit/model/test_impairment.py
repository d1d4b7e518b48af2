"""Impairments go to JSON and back."""

from __future__ import annotations

import json

import pytest

from netlab.model.impairment import FourState, GilbertElliott, Impairment, Slot, from_document


@pytest.mark.parametrize(
    "impairment",
    [
        Impairment(),
        Impairment(delay_ns=5, jitter_ns=1, table=(-8192, 0, 8192), seed=3),
        Impairment(loss_model=GilbertElliott(0.01, 0.1)),
        Impairment(loss_model=FourState(0.01), slot=Slot(1, 2, 3, 4), ecn=True),
    ],
)
def test_there_and_back(impairment: Impairment) -> None:
    assert from_document(json.loads(json.dumps(impairment.document()))) == impairment


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(TypeError, match="delai"):
        from_document({"delai": 3})


@pytest.mark.parametrize(
    ("impairment", "perfect"),
    [
        (Impairment(), True),
        (Impairment(limit_packets=5, seed=1), True),
        (Impairment(loss_model=GilbertElliott(0.01, 0.1)), False),
        (Impairment(corrupt=0.1), False),
        (Impairment(slot=Slot(1, 2)), False),
    ],
)
def test_what_a_plain_veth_does_too(impairment: Impairment, perfect: bool) -> None:
    assert impairment.perfect is perfect
