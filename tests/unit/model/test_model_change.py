"""Changes in words: what they mean, and what is said of wrong ones."""

# ruff: noqa: E501 - messages are compared whole, on one line

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import InputError
from netlab.model.change import parse
from netlab.model.check_impairment import faults
from netlab.model.impairment import FourState, GilbertElliott, Impairment, Slot

MS = 1_000_000
BASE = Impairment(delay_ns=20 * MS, jitter_ns=2 * MS, rate_bps=10_000_000, loss=0.01)


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("delay=80ms", {"delay_ns": 80 * MS, "limit_packets": 13_334}),
        ("delay=0 jitter=0 loss=0", {}),
        ("delay=5ms jitter=1ms distribution=normal delay-correlation=25%", {"delay_ns": 5 * MS, "jitter_ns": MS, "distribution": "normal", "delay_correlation": 0.25}),
        ("loss=1%", {"loss": 0.01}),
        ("loss=1% loss.correlation=25%", {"loss": 0.01, "loss_correlation": 0.25}),
        ("loss.gemodel=1%", {"loss_model": GilbertElliott(0.01, 0.99)}),
        ("loss_gemodel=1%,10%,70%,0.1%", {"loss_model": GilbertElliott(0.01, 0.1, 0.7, 0.001)}),
        ("loss.state=1%", {"loss_model": FourState(0.01, 0.99)}),
        ("loss.state=1%,80%,10%,90%,2%", {"loss_model": FourState(0.01, 0.8, 0.1, 0.9, 0.02)}),
        ("duplicate=1% duplicate.correlation=5%", {"duplicate": 0.01, "duplicate_correlation": 0.05}),
        ("corrupt=1%", {"corrupt": 0.01}),
        ("delay=1ms reorder=25% reorder.gap=5", {"delay_ns": MS, "reorder": 0.25, "reorder_gap": 5}),
        ("rate=8mbit overhead=26 cell_size=48 cell_overhead=5", {"rate_bps": 8_000_000, "rate_overhead_bytes": 26, "cell_bytes": 48, "cell_overhead_bytes": 5}),
        ("limit=10", {"limit_packets": 10}),
        ("slot=10ms", {"slot": Slot(10 * MS, 10 * MS)}),
        ("slot=1ms,5ms,20,30000", {"slot": Slot(MS, 5 * MS, 20, 30_000)}),
        ("loss=5% ecn=on", {"loss": 0.05, "ecn": True}),
        ("seed=7", {"seed": 7}),
        ("SEED=none slot=none rate=unlimited", {}),
    ],
)  # fmt: skip
def test_words(words: str, fields: dict[str, object]) -> None:
    assert parse(words.split(), Impairment()) == Impairment(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "cause", "remedy"),
    [
        ("dealy=1ms", "`dealy=1ms`: unknown word `dealy`", "did you mean `delay`?"),
        ("delay", "`delay`: no value", "write delay=VALUE"),
        ("delay=20", "`delay=20`: '20' is not a duration", "write a number and a unit, such as 20ms"),
        ("delay=1ms", "`jitter`: jitter 2ms is more than the delay of 1ms", "a frame can't arrive before it is sent"),
        ("loss=150%", "`loss=150%`: 150% is past 100%", ""),
        ("rate=0bit", "`rate=0bit`: `0bit` lets nothing pass", "for no bound, write unlimited"),
        ("rate=1bit", "`rate=1bit`: rate 1bit is not from 8bit to ", ""),
        ("ecn=yes", "`ecn=yes`: `yes` is neither on nor off", ""),
        ("limit=0", "`limit=0`: limit 0 is not from 1 to 10000000 packets", ""),
        ("limit=²", "`limit=²`: `²` is not a whole number", ""),
        ("reorder.gap=5", "`reorder.gap=5`: a gap without reorder", "say the share too"),
        ("distribution=norml", "`distribution=norml`: unknown distribution `norml`", "did you mean `normal`?, or the path of a table such as ./my.dist"),
        ("distribution=./none.dist", "none.dist: No such file or directory", "give the path of a distribution's table"),
        ("loss.gemodel=1%,2%,3%,4%,5%", "`loss.gemodel=1%,2%,3%,4%,5%`: 5 values", "write p[,r[,1-h[,1-k]]]"),
        ("slot=5ms,1ms", "`slot=5ms,1ms`: slot: min 5ms is more than max 1ms", ""),
    ],
)  # fmt: skip
def test_wrong_words(word: str, cause: str, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        parse([word], BASE)
    assert caught.value.cause.startswith(cause), caught.value.cause
    assert caught.value.remedy == remedy


def test_a_word_twice_and_no_word() -> None:
    with pytest.raises(InputError, match=r"already said by `loss.correlation=1%`"):
        parse(["loss.correlation=1%", "loss_correlation=2%"], BASE)
    with pytest.raises(InputError, match="nothing to change"):
        parse([], BASE)


def test_what_is_not_named_stays() -> None:
    base = Impairment(20 * MS, 2 * MS, distribution="pareto", duplicate=0.1, seed=3)
    assert parse(["loss=1%"], base) == Impairment(
        20 * MS, 2 * MS, 0.01, distribution="pareto", duplicate=0.1, seed=3
    )


def test_what_loses_its_base_goes_with_it() -> None:
    base = Impairment(
        20 * MS,
        2 * MS,
        0.1,
        1_000_000,
        distribution="normal",
        delay_correlation=0.1,
        loss_correlation=0.1,
        ecn=True,
        reorder=0.1,
        reorder_gap=3,
        cell_bytes=48,
        cell_overhead_bytes=5,
    )
    assert parse(["jitter=0", "loss=0", "reorder=0", "rate=unlimited", "limit=7"], base) == Impairment(
        20 * MS, limit_packets=7
    )


def test_the_queue_grows_with_the_line_unless_it_was_chosen() -> None:
    assert parse(["delay=100ms", "rate=1gbit"], Impairment()).limit_packets == 16_667
    assert parse(["delay=100ms", "rate=1gbit", "limit=50"], Impairment()).limit_packets == 50
    assert parse(["delay=100ms", "rate=1gbit"], Impairment(limit_packets=50)).limit_packets == 50


def test_a_table_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "my.dist").write_text("# mine\n-8192 0\n8192\n")
    found = parse([f"distribution={tmp_path / 'my.dist'}"], BASE)
    assert found.table == (-8192, 0, 8192)
    assert parse(["distribution=normal"], found).table == ()


_NAMES = st.sampled_from(
    ["delay", "jitter", "loss", "rate", "limit", "slot", "reorder.gap", "loss.state", "ecn", "x"]
)
_VALUES = st.text(alphabet="0123456789.,%mskbit-onf", max_size=12)


@given(st.lists(st.builds("{}={}".format, _NAMES, _VALUES), max_size=4))
def test_any_words_are_a_possible_impairment_or_an_error(words: list[str]) -> None:
    for found in _outcome(words):
        assert list(faults(found)) == []


def _outcome(words: list[str]) -> list[Impairment]:
    """None where the words are wrong; anything but an InputError fails the test."""
    try:
        return [parse(words, BASE)]
    except InputError:
        return []
