"""Waiting for a condition, with a deadline; never a sleep of a guessed length."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def poll_until(condition: Callable[[], Value], what: str, timeout_s: float = 5.0) -> Value:
    """The first true value of `condition`; AssertionError with `what` and the last after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}; last seen: {value!r}")
        time.sleep(0.002)
    return value
