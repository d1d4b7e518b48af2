"""Faults as they are written."""

from __future__ import annotations

import pytest

from netlab.errors import InputError
from netlab.model.fault import Fault, parse_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("kill app-2", Fault("kill", "app-2")),
        ("pause lb.balancer-2", Fault("pause", "lb.balancer-2")),
        ("slow app-2 200ms", Fault("slow", "app-2", delay_ns=200_000_000)),
        ("slow app-2 1.5s 5%", Fault("slow", "app-2", delay_ns=1_500_000_000, share=0.05)),
        ("error app-2 503", Fault("error", "app-2", status=503)),
        ("error app-2 503 20%", Fault("error", "app-2", status=503, share=0.2)),
        ("partition cloud-edge", Fault("partition", "cloud-edge")),
        ("partition cloud-edge transit", Fault("partition", "cloud-edge", other="transit")),
        ("cpu app-2", Fault("cpu", "app-2")),
        ("cpu app-2 4", Fault("cpu", "app-2", processes=4)),
    ],
)
def test_words_are_a_fault_and_a_fault_is_words(text: str, fault: Fault) -> None:
    assert parse_fault(text.split()) == fault
    assert parse_fault(fault.words()) == fault


@pytest.mark.parametrize(
    ("text", "cause", "remedy"),
    [
        ("", "no fault ''", "faults: kill, pause, slow, error, partition, cpu"),
        ("kil app-2", "no fault 'kil'", "did you mean `kill`?"),
        ("kill", "is written: kill ROLE", "kill app-2"),
        ("kill app-2 now", "is written: kill ROLE", "kill app-2"),
        ("slow app-2", "is written: slow ROLE TIME [SHARE]", "slow app-2 200ms"),
        ("slow app-2 200", "is not a duration", "slow app-2 200ms"),
        ("slow app-2 0", "late by more than 0", "slow app-2 200ms"),
        ("slow app-2 61m", "at most an hour", "slow app-2 200ms"),
        ("slow app-2 1s 101%", "past 100%", "slow app-2 200ms"),
        ("error app-2 200", "no status of an error", "error app-2 503 20%"),
        ("error app-2 abc", "no status of an error", "error app-2 503 20%"),
        ("error app-2 503 20", "is not a percentage", "error app-2 503 20%"),
        ("error app-2 503 0%", "a share of 0 is no fault", "error app-2 503 20%"),
        ("partition a a", "no link to itself", "partition cloud-edge"),
        ("cpu a 0", "no number of processes from 1 to 64", "cpu app-2 2"),
        ("cpu a 65", "no number of processes from 1 to 64", "cpu app-2 2"),
        ("cpu a ²", "no number of processes from 1 to 64", "cpu app-2 2"),
    ],
)
def test_what_is_wrong_is_said_with_how_it_is_written(text: str, cause: str, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_fault(text.split())
    assert cause in caught.value.cause, caught.value.cause
    assert remedy in caught.value.remedy, caught.value.remedy
