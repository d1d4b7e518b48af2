"""Tables of jitter: their moments, their shape, and files that are none."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.errors import InputError, TopologyError
from netlab.model.distributions import LARGEST, MOST, SCALE, SIZE, SMALLEST, parse, read, table

_NAMED = ("normal", "pareto", "paretonormal")


@pytest.mark.parametrize(
    ("name", "mean", "sigma"),
    [
        # pareto: shape 3, scaled by 4/3, cut at 4 (at share s = (2/9)**3 of the tail). Of X = s**(-1/3),
        # E X and E X² of the cut one are 1.5 - 0.5 * (2/9)**2 and 3 - 2 * (2/9).
        ("normal", 0.0, 1.0),
        ("pareto", -0.0329, 0.8203),
        ("paretonormal", -0.0247, 0.8344),
    ],
)
def test_moments_in_jitters(name: str, mean: float, sigma: float) -> None:
    entries = table(name)
    assert fmean(entries) / SCALE == pytest.approx(mean, abs=0.001)
    assert pstdev(entries) / SCALE == pytest.approx(sigma, abs=0.001)


@pytest.mark.parametrize("name", _NAMED)
def test_a_table_rises_within_16_bits(name: str) -> None:
    entries = table(name)
    assert len(entries) == SIZE
    assert list(entries) == sorted(entries)
    assert entries[0] >= SMALLEST
    assert entries[-1] <= LARGEST


def test_the_tails() -> None:
    assert max(map(abs, table("normal"))) < 4 * SCALE
    assert table("normal")[0] == -table("normal")[-1]
    assert min(table("pareto")) / SCALE == pytest.approx(-2 / 3, abs=0.001)
    assert max(table("pareto")) == LARGEST
    past = [sum(one > 2 * SCALE for one in table(name)) for name in _NAMED]
    assert past[1] > 1.5 * past[0], past  # a long tail
    assert table("uniform") == ()


def test_no_such_table() -> None:
    with pytest.raises(KeyError):
        table("norml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "t:1:1: no numbers; a table has 2 to 16384"),
        ("# only words\n", "t:1:1: no numbers; a table has 2 to 16384"),
        ("5\n", "t:1:1: one number only; a table has 2 to 16384"),
        (
            "# a\n1 2\n3 x 4\n",
            "t:3:3: `x` is not a whole number; a table has numbers and lines that start with #",
        ),
        ("1 2.5\n", "t:1:3: `2.5` is not a whole number; a table has numbers and lines that start with #"),
        ("1\n32768\n", "t:2:1: 32768 is not from -32768 to 32767"),
        ("1\n-32769\n", "t:2:1: -32769 is not from -32768 to 32767"),
        ("1 " * MOST + "\n1\n", "t:2:1: more than 16384 numbers; the kernel takes no more"),
    ],
)
def test_what_is_no_table(text: str, expected: str) -> None:
    with pytest.raises(TopologyError) as caught:
        parse(text, "t")
    assert str(caught.value) == expected


@given(st.lists(st.integers(SMALLEST, LARGEST), min_size=2, max_size=50), st.integers(1, 9))
def test_tables_come_back(entries: list[int], columns: int) -> None:
    rows = [" ".join(map(str, entries[i : i + columns])) for i in range(0, len(entries), columns)]
    assert parse("# a table\n" + "\n".join(rows), "t") == tuple(entries)


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.dist").write_text("1 2\n", encoding="utf-8")
    assert read(tmp_path / "a.dist") == (1, 2)
    with pytest.raises(InputError, match="No such file"):
        read(tmp_path / "b.dist")
