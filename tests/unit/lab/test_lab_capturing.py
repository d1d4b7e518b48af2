"""Which interfaces the patterns of a capture name."""

from __future__ import annotations

import pytest

from netlab.errors import InputError
from netlab.lab.capturing import chosen_interfaces

KNOWN = [("client-a", "eth0"), ("client-a", "wwan0"), ("edge-london", "eth0"), ("edge-tokyo", "eth0")]


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        ([], KNOWN),
        (["client-a"], KNOWN[:2]),
        (["client-a:eth0"], KNOWN[:1]),
        (["edge-*"], KNOWN[2:]),
        (["*:eth0"], [KNOWN[0], KNOWN[2], KNOWN[3]]),
        (["edge-*,client-a:wwan0"], KNOWN[1:]),
        (["edge-tokyo , client-?:eth0"], [KNOWN[0], KNOWN[3]]),
        (["edge-tokyo", "edge-*"], KNOWN[2:]),
    ],
)
def test_patterns(patterns: list[str], chosen: list[tuple[str, str]]) -> None:
    assert chosen_interfaces(KNOWN, patterns) == chosen


@pytest.mark.parametrize("pattern", ["client-b", "client-a:eth7", "edge-*,lb", "client-a,", "*:eth0:*"])
def test_one_that_names_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(InputError, match="no interface of the lab matches"):
        chosen_interfaces(KNOWN, [pattern])
