"""A Plan as lines for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, assert_never

from netlab.model.impairment import FourState, GilbertElliott, Impairment, Slot
from netlab.model.units import format_duration, format_probability, format_rate
from netlab.plan.ops import (
    AddAddress,
    AddNeighbour,
    AddRoute,
    CreateBridge,
    CreateNamespace,
    CreateVeth,
    CrossConnect,
    LoadRuleset,
    Operation,
    Plan,
    Port,
    SetOffloads,
    SetQdisc,
    SetSysctl,
    StartRole,
    StartWire,
)


def lines(plan: Plan) -> Iterator[str]:
    """One line per operation, in order; a ruleset and a role's spec go over several, indented."""
    for operation in plan.operations:
        yield from _lines(operation)
    for name, played in plan.playbacks.items():
        count = f"{len(played.steps)} step{'s' if len(played.steps) != 1 else ''}"
        yield f"playback  {name}: {count} in {format_duration(played.period_ns)}, again and again"


def document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-ready data; an operation is its fields and `op`, its name."""
    return {
        "name": plan.name,
        "backend": plan.backend,
        "interfaces": [f"{node}:{interface}" for node, interface in plan.interfaces],
        "addresses": {node: list(found) for node, found in plan.addresses.items()},
        "resolvers": {node: list(found) for node, found in plan.resolvers.items()},
        "locations": plan.locations,
        "operations": [_document(operation) for operation in plan.operations],
        "playbacks": {name: asdict(played) for name, played in plan.playbacks.items()},
    }


def impairment(one: Impairment) -> str:
    """`delay 10ms, rate 10mbit, limit 1000`, as tc-netem says it; `perfect` for a wire that does nothing."""
    if one.perfect:
        return "perfect"
    words = [*_delay(one), *_loss(one), *_shares(one), *_rate(one)]
    if one.slot is not None:
        words.append(_slot(one.slot))
    if one.ecn:
        words.append("ecn")
    words.append(f"limit {one.limit_packets}")
    return ", ".join(words if one.seed is None else [*words, f"seed {one.seed}"])


def _delay(one: Impairment) -> Iterator[str]:
    if not one.delay_ns:
        return
    jitter = f" ± {format_duration(one.jitter_ns)}" if one.jitter_ns else ""
    yield f"delay {format_duration(one.delay_ns)}{jitter}{_correlated(one.delay_correlation)}"
    if one.distribution != "uniform":
        table = f" ({len(one.table)} entries)" if one.table else ""
        yield f"distribution {one.distribution}{table}"


def _loss(one: Impairment) -> Iterator[str]:
    match one.loss_model:
        case GilbertElliott(p, r, bad, good):
            shares = zip(("p", "r", "1-h", "1-k"), (p, r, bad, good), strict=True)
            yield f"loss gemodel {_named(shares)}"
        case FourState(p13, p31, p32, p23, p14):
            shares = zip(("p13", "p31", "p32", "p23", "p14"), (p13, p31, p32, p23, p14), strict=True)
            yield f"loss state {_named(shares)}"
    if one.loss:
        yield f"loss {format_probability(one.loss)}{_correlated(one.loss_correlation)}"


def _named(shares: Iterable[tuple[str, float]]) -> str:
    return " ".join(f"{name} {_share(share)}" for name, share in shares)


def _share(share: float) -> str:
    """With what is left of sums of binary fractions rounded away."""
    return format_probability(round(share, 12))


def _shares(one: Impairment) -> Iterator[str]:
    for word in ("duplicate", "corrupt", "reorder"):
        if share := getattr(one, word):
            gap = f" gap {one.reorder_gap}" if word == "reorder" and one.reorder_gap else ""
            yield f"{word} {format_probability(share)}{_correlated(getattr(one, f'{word}_correlation'))}{gap}"


def _correlated(share: float) -> str:
    return f" (correlation {format_probability(share)})" if share else ""


def _rate(one: Impairment) -> Iterator[str]:
    if not one.rate_bps:
        return
    overhead = f" overhead {one.rate_overhead_bytes}" if one.rate_overhead_bytes else ""
    cells = f" cells of {one.cell_bytes} + {one.cell_overhead_bytes} bytes" if one.cell_bytes else ""
    yield f"rate {format_rate(one.rate_bps)}{overhead}{cells}"


def _slot(slot: Slot) -> str:
    high = f" to {format_duration(slot.max_ns)}" if slot.max_ns != slot.min_ns else ""
    bounds = [
        f" {value} {word}" for word, value in (("packets", slot.packets), ("bytes", slot.bytes)) if value
    ]
    return f"slot {format_duration(slot.min_ns)}{high}{''.join(bounds)}"


def _document(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {"op": type(operation).__name__}
    if isinstance(operation, StartRole):
        spec = operation.spec.model_dump(mode="json", by_alias=True)
        return found | {
            "node": operation.node,
            "role": operation.role,
            "spec": spec,
            "names": list(operation.names),
        }
    return found | asdict(operation)


def _lines(operation: Operation) -> Iterator[str]:
    match operation:
        case LoadRuleset(node, text):
            yield f"nftables  {node}:"
            yield from _indented(text)
        case StartWire(links):
            for link in links:
                yield f"wire      {link.name} ({link.a}, {link.b})"
                yield f"            up   {impairment(link.up)}"
                yield f"            down {impairment(link.down)}"
        case StartRole():
            yield from _role(operation)
        case _:
            yield _line(operation)


def _line(  # noqa: PLR0911 - one case for each operation
    operation: CreateNamespace
    | CreateVeth
    | CreateBridge
    | AddAddress
    | AddNeighbour
    | AddRoute
    | SetSysctl
    | SetOffloads
    | SetQdisc
    | CrossConnect,
) -> str:
    match operation:
        case CreateNamespace(node):
            return f"namespace {node}"
        case SetSysctl(node, key, value):
            return f"sysctl    {node}: {key} = {value}"
        case CreateVeth(a, b):
            return f"veth      {_port(a)} ── {_port(b)}"
        case SetOffloads(node, interface, enabled):
            return f"offloads  {node}:{interface} {'on' if enabled else 'off'}"
        case CreateBridge(node, interface, mac, ports):
            return f"bridge    {node}:{interface} ({mac}): {', '.join(ports)}"
        case AddAddress(node, interface, address):
            return f"address   {node}:{interface} {address}"
        case AddNeighbour(node, interface, address, mac):
            return f"neighbour {node}:{interface} {address} is {mac}"
        case AddRoute(node, to, via, metric):
            spare = f" metric {metric}" if metric else ""
            return f"route     {node}: {'default' if to.endswith('/0') else to} via {via}{spare}"
        case SetQdisc(node, interface, one):
            return f"netem     {node}:{interface}: {impairment(one)}"
        case CrossConnect(link, _, a, b):
            return f"middle    {link} ({a}, {b})"
        case _:
            assert_never(operation)


def _port(port: Port) -> str:
    return f"{port.node}:{port.interface} ({port.mac}, MTU {port.mtu})"


def _indented(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield f"            {line}"


def _role(start: StartRole) -> Iterator[str]:
    certificate = f", certificate for {', '.join(start.names)}" if start.names else ""
    yield f"role      {start.node}: {start.role}{certificate}"
    for name, value in start.spec.model_dump(mode="json", by_alias=True).items():
        if name != "kind" and not _empty(value):
            yield f"            {name}: {_plain(value)}"


def _empty(value: Any) -> bool:
    return value in ("", [], {}, None)


def _plain(value: Any) -> str:
    """As YAML's flow style has it, without what is empty."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{key}: {_plain(one)}" for key, one in value.items() if not _empty(one))
        return f"{{{inner}}}"
    return str(value)
