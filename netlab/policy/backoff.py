"""How long to wait before the next attempt: exponential back-off, with or without jitter.

Full jitter keeps clients that lost one server at once from coming back at once. The guide's 8.4 adds a
random second and cuts the sum at the longest wait; past that cut nobody differs from anybody any more.
"""

from __future__ import annotations

import random

from netlab.model.roles import Retry

_MOST_DOUBLINGS = 32


def ceiling_s(failures: int, base_s: float, cap_s: float) -> float:
    """`base_s` × 2ⁿ, at most `cap_s`; n: failures before this one."""
    return min(cap_s, base_s * 2.0 ** min(failures, _MOST_DOUBLINGS))


def wait_s(retry: Retry, failures: int, rng: random.Random, retry_after_s: float | None = None) -> float:
    """Seconds before the attempt that follows; `failures` before the one that has just failed.

    `retry_after_s`: what the failure itself asked for; it is waited for in full, and the jitter on top.
    """
    cap_s = retry.cap_ns / 1e9
    step_s = ceiling_s(failures, retry.base_ns / 1e9, cap_s)
    match retry.jitter:
        case "none":
            return step_s if retry_after_s is None else max(step_s, retry_after_s)
        case "added":
            wait = min(cap_s, step_s + rng.uniform(0, retry.spread_ns / 1e9))
            return wait if retry_after_s is None else max(wait, retry_after_s)
        case "full":
            return (retry_after_s or 0.0) + rng.uniform(0, step_s)
