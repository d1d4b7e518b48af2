"""An end that goes down takes the far end's carrier along, and gives it back, in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netlab.fabric.changes import Flags
from netlab.lab.carriers import Step, next_step

MIDDLE = ("x", "y")
UP, DARK, DOWN = Flags(True, True), Flags(True, False), Flags(False, False)


def test_steps() -> None:
    assert next_step(MIDDLE, "", {"x": UP, "y": UP}) is None
    assert next_step(MIDDLE, "", {"x": DARK, "y": UP}) == Step("y", up=False, held="y")
    assert next_step(MIDDLE, "y", {"x": DARK, "y": DOWN}) is None
    assert next_step(MIDDLE, "y", {"x": UP, "y": DOWN}) == Step("y", up=True, held="")
    assert next_step(MIDDLE, "", {"x": UP, "y": DARK}) == Step("x", up=False, held="x")
    assert next_step(MIDDLE, "", {"x": DOWN, "y": DOWN}) is None, "pulled by hand"


@given(st.lists(st.tuples(st.sampled_from(MIDDLE), st.booleans(), st.booleans()), max_size=30))
def test_in_the_end_both_have_a_carrier_or_none(story: list[tuple[str, bool, bool]]) -> None:
    """Ends beyond x and y go up and down; what is to be done may be done only after more has happened."""
    beyond, middle, held = {"x": True, "y": True}, {"x": True, "y": True}, ""

    def settle(held: str, most: int) -> str:
        for _ in range(most):
            flags = {one: Flags(middle[one], middle[one] and beyond[one]) for one in MIDDLE}
            step = next_step(MIDDLE, held, flags)
            if step is None:
                return held
            middle[step.interface], held = step.up, step.held
        assert most == 1, "it goes on for ever"
        return held

    for end, up, at_once in story:
        beyond[end] = up
        if at_once:
            held = settle(held, 1)
    settle(held, 10)
    seen = [beyond[one] and middle[one] for one in MIDDLE]
    assert seen == ([True, True] if all(beyond.values()) else [False, False]), (beyond, middle)
