"""The verdicts of `lb`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from netlab.scenarios.lb_layers import Layers
from netlab.scenarios.lb_read import (
    EVIDENCE,
    Failover,
    Hang,
    Seen,
    constant,
    counts,
    first_frames,
    in_turn,
    load,
    smooth,
)
from netlab.scenarios.lb_stimulus import APP, BEHIND_NAT, GOES
from netlab.scenarios.verdicts import Finding, claim
from netlab.trace.claim import Claim, Verdict

_WEIGHTS = {f"{APP}1": 3, f"{APP}2": 1}
_MOST = 0.9  # of the choices: what is nearly always so; packets of one instant can't be put in order


def claims(seen: Seen, flaws: Sequence[str]) -> Iterator[Claim]:
    """Each with its verdict; `flaws` as of verdicts.claim."""

    def of(number: str, guide: str, statement: str, expected: str, found: Finding | None) -> Claim:
        return claim(number, guide, statement, expected, found, flaws)

    yield of("round-robin", "8.2", "round robin: each server in turn", "in turn", _round_robin(seen))
    yield of(
        "round-robin-load",
        "8.2",
        "round robin does not account for the servers' load",
        "also to busy ones",
        _round_robin_load(seen),
    )
    yield of(
        "least-connections",
        "8.2",
        "least connections: to the server with the fewest active ones",
        "to the fewest",
        _least(seen),
    )
    yield of(
        "least-long",
        "8.2",
        "least connections is better for connections that last",
        "fewer at once on one server",
        _less_at_once(seen),
    )
    yield of("weighted", "8.2", "weighted round robin: more to powerful servers", "3 to 1", _weighted(seen))
    yield of(
        "ip-hash-affinity", "8.2", "IP hash gives session affinity", "one server a client", _affinity(seen)
    )
    yield of(
        "ip-hash-nat",
        "8.2",
        "IP hash has a problem with NAT: many clients appear as one address",
        "one address, one server",
        _nat(seen),
    )
    yield of(
        "check-alive",
        "3.7",
        "the health check tells whether a backend is alive",
        "not of one that hangs",
        _alive(seen.hang),
    )
    yield of(
        "unhealthy-removed",
        "8.2",
        "health checks remove unhealthy servers from rotation",
        "attempts end",
        _removed(seen),
    )
    yield of(
        "passive-faster",
        "8.2",
        "passive checks detect faster than active ones",
        "sooner",
        _faster(seen.failovers),
    )
    yield of(
        "next-upstream",
        "8.2",
        "proxy_next_upstream: a request that failed is sent to the next server",
        "no GET fails",
        _retried(seen.failovers.get("failover proxy")),
    )
    yield from _on_layers(seen.layers, flaws)


def _on_layers(found: Layers | None, flaws: Sequence[str]) -> Iterator[Claim]:
    yield claim(
        "layer-4-unread",
        "8.2",
        "layer 4 does not inspect the content",
        "the same bytes",
        _unread(found),
        flaws,
    )
    yield claim(
        "layer-4-faster",
        "8.2",
        "layer 4 is faster: less processing",
        "less than layer 7",
        _less_processing(found),
        flaws,
    )
    yield claim(
        "layer-7-changes",
        "8.2",
        "layer 7 ends TLS, and modifies requests",
        "fields of its own",
        _changed(found),
        flaws,
    )


def _unread(found: Layers | None) -> Finding | None:
    if found is None:
        return None
    words = f"{found.same} of {found.connections} TLS connections have the same bytes on both sides"
    verdict = Verdict.HOLDS if found.same == found.connections else Verdict.REFUTED
    return Finding(words, verdict, {"layer 4": found.evidence["layer 4"]})


def _less_processing(found: Layers | None) -> Finding | None:
    if found is None:
        return None
    four, seven = median(found.four_ms), median(found.seven_ms)
    words = f"{four:.2f} ms in the balancer, {seven:.2f} ms in the proxy (medians of {len(found.four_ms)})"
    return Finding(words, Verdict.HOLDS if four < seven else Verdict.REFUTED, found.evidence)


def _changed(found: Layers | None) -> Finding | None:
    if found is None:
        return None
    words = f"plain HTTP behind it, with {', '.join(found.added) or 'no field more'}"
    verdict = Verdict.HOLDS if found.added else Verdict.REFUTED
    return Finding(words, verdict, {"layer 7": found.evidence["layer 7"]})


def _round_robin(seen: Seen) -> Finding | None:
    choices = seen.of("round-robin")
    members = len(seen.members)
    if len(choices) < 2 * members:
        return None
    share = in_turn([one.app for one in choices], members)
    words = f"{len(choices)} requests, {_spelt(counts(seen, choices))}; {share:.0%} in turn"
    verdict = Verdict.HOLDS if share == 1 else Verdict.PARTLY if share >= _MOST else Verdict.REFUTED
    return Finding(words, verdict, {"turns": first_frames(choices)})


def _spelt(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{app} {count}" for app, count in counts.items())


def _round_robin_load(seen: Seen) -> Finding | None:
    """It takes no account of load where more than a tenth of its choices are of a busier one."""
    choices = seen.of("round-robin, uneven")
    if not choices:
        return None
    busy = load(choices, seen.members)
    words = f"{busy.fewest:.0%} went to the least busy; up to {busy.peak} at once on one"
    verdict = Verdict.HOLDS if busy.fewest < _MOST else Verdict.REFUTED
    return Finding(words, verdict, {"uneven": first_frames(choices)})


def _least(seen: Seen) -> Finding | None:
    choices = seen.of("least connections, uneven")
    if not choices:
        return None
    busy = load(choices, seen.members)
    words = f"{busy.fewest:.0%} of {len(choices)} went to one with the fewest"
    verdict = Verdict.HOLDS if busy.fewest >= _MOST else Verdict.REFUTED
    return Finding(words, verdict, {"uneven": first_frames(choices)})


def _less_at_once(seen: Seen) -> Finding | None:
    turns, fewest = seen.of("round-robin, uneven"), seen.of("least connections, uneven")
    if not turns or not fewest:
        return None
    one, other = load(turns, seen.members).peak, load(fewest, seen.members).peak
    words = f"at most {other} at once on one server; by round robin {one}"
    verdict = Verdict.HOLDS if other < one else Verdict.REFUTED
    return Finding(words, verdict, {"least": first_frames(fewest), "round robin": first_frames(turns)})


def _weighted(seen: Seen) -> Finding | None:
    choices = seen.of("weighted 3:1")
    if not choices:
        return None
    order = [one.app for one in choices]
    share = smooth(order, _WEIGHTS)
    words = f"{_spelt(counts(seen, choices))}: {' '.join(app.removeprefix(APP) for app in order)}"
    whole = sum(_WEIGHTS.values())
    exact = all(order.count(app) * whole == len(order) * weight for app, weight in _WEIGHTS.items())
    verdict = Verdict.HOLDS if exact and share == 1 else Verdict.PARTLY if exact else Verdict.REFUTED
    return Finding(words, verdict, {"weighted": first_frames(choices)})


def _affinity(seen: Seen) -> Finding | None:
    """A hash, not chance: the clients must not all have the same upstream either."""
    choices = seen.of("IP hash")
    if not choices:
        return None
    share, servers = constant(choices), len({one.app for one in choices})
    words = f"{share:.0%} of the requests got their client's server again; {servers} servers in use"
    verdict = Verdict.HOLDS if share == 1 and servers > 1 else Verdict.REFUTED
    return Finding(words, verdict, {"IP hash": first_frames(choices)})


def _nat(seen: Seen) -> Finding | None:
    choices = [one for one in seen.of("IP hash") if one.client in BEHIND_NAT]
    addresses = {client: found for client, found in seen.addresses.items() if client in BEHIND_NAT}
    if {one.client for one in choices} != set(BEHIND_NAT) or len(addresses) < len(BEHIND_NAT):
        return None
    heard, servers = {address for address, _ in addresses.values()}, {one.app for one in choices}
    words = f"{' and '.join(BEHIND_NAT)} come from {', '.join(heard)}, and get {', '.join(servers)}"
    verdict = Verdict.HOLDS if len(heard) == 1 and len(servers) == 1 else Verdict.REFUTED
    evidence = {client: (frame,) for client, (_, frame) in addresses.items()}
    return Finding(words, verdict, evidence | {"choices": first_frames(choices)})


def _alive(found: Hang | None) -> Finding | None:
    """A kernel accepts connections for a process that hangs; only a request shows it."""
    if found is None or not (found.accepted or found.asked):
        return None
    words = (
        f"while {GOES} hung it got {len(found.lost)} requests; it accepted {len(found.accepted)} checks by "
        f"connection alone, and left {len(found.asked)} with a request unanswered"
    )
    checks = (*found.accepted, *found.asked)
    evidence = {"lost": first_frames(found.lost), "checks": tuple(one.frame for one in checks)[:EVIDENCE]}
    return Finding(words, Verdict.REFUTED if found.accepted else Verdict.HOLDS, evidence)


def _removed(seen: Seen) -> Finding | None:
    """Clients' attempts at the dead one must have ended while others went on."""
    found = seen.failovers.get("failover active")
    if found is None:
        return None
    later = [one for one in seen.of("failover active") if one.start > found.refused[-1] and one.app != GOES]
    words = (
        f"{len(found.refused)} attempts within {found.lasted_ms:.0f} ms, then none among {len(later)} more"
    )
    enough = len(later) >= 2 * len(seen.members)
    evidence = {"the last": (found.refused[-1].frame,), "after it": first_frames(later)}
    return Finding(words, Verdict.HOLDS if enough else Verdict.REFUTED, evidence)


def _faster(failovers: Mapping[str, Failover]) -> Finding | None:
    active, passive = failovers.get("failover active"), failovers.get("failover passive")
    if active is None or passive is None:
        return None
    words = (
        f"passive: attempts failed for {passive.lasted_ms:.0f} ms ({passive.again} after the first was "
        f"known); active, every 500 ms: for {active.lasted_ms:.0f} ms ({active.again})"
    )
    verdict = Verdict.HOLDS if passive.lasted_ms < active.lasted_ms else Verdict.REFUTED
    evidence = {
        name: (one.refused[0].frame, one.refused[-1].frame)
        for name, one in (("passive", passive), ("active", active))
    }
    return Finding(words, verdict, evidence)


def _retried(found: Failover | None) -> Finding | None:
    if found is None:
        return None
    words = f"{len(found.refused)} attempts failed, {len(found.lost)} of {found.asked} GETs"
    verdict = Verdict.REFUTED if found.lost else Verdict.HOLDS
    return Finding(words, verdict, {"failed attempts": tuple(one.frame for one in found.refused)[:EVIDENCE]})
