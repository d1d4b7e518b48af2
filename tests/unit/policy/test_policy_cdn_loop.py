"""CDN-Loop (RFC 8586)."""

from __future__ import annotations

import pytest

from netlab.policy.cdn_loop import is_loop, with_loop
from netlab.proto.http import Headers


@pytest.mark.parametrize(
    ("lines", "loop"),
    [
        ((), False),
        (("edge",), True),
        (("shield, edge; v=1",), True),
        (("shield", "edge"), True),
        (("edge-2",), False),
        (('other; x="edge, edge"',), False),
    ],
)
def test_loops(lines: tuple[str, ...], loop: bool) -> None:
    assert is_loop(Headers(("CDN-Loop", line) for line in lines), "edge") is loop


def test_entries_stay() -> None:
    assert with_loop(Headers((("CDN-Loop", "a"), ("cdn-loop", "b; v=1"))), "edge") == "a, b; v=1, edge"
