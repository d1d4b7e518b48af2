"""What is done to a balancer: its algorithms in turn, an upstream that is drained, one that is killed."""

from __future__ import annotations

import time
from contextlib import ExitStack

from netlab.model.roles import Request
from netlab.scenarios.answers import refuse_failed
from netlab.scenarios.bench import Bench

CLIENT = "client-1"
BEHIND_NAT = ("client-a", "client-c")
CLIENTS = (*BEHIND_NAT, "client-1", "client-2", "client-3", "client-4", "client-b")
LB, PROXY = "lb", "proxy"
PUBLIC, INSIDE = "public", "vpc"
APP = "app-"  # how the names of the upstreams begin
GOES = "app-2"  # the one that is drained and killed
LEAVES = "app-1"  # the one that leaves the hashes
PORT = 8080
IN_TURN = 12
BY_CHANCE = 60
EACH = 2  # requests of each client, for the hashes
LONG_MS = 600
HANGS = "hang"
KILLED = ("failover active", "failover passive", "failover proxy")
_ROLE = "lb.balancer-2"
_PLAIN = f"http://93.184.216.34:{PORT}"
_SECURE = "https://origin.example.com"
PATIENCE_NS = 1_000_000_000  # of a client whose upstream hangs
_HANGING, _HANGING_AT_ONCE = 40, 4
_FAILOVER = 96
_PARALLEL = 6
_SERVED_MS = 150  # so long that a request is at the one that is killed, mostly
_STEPS_MS = 20  # so that they don't go in waves
_CALM_S = 2.0  # until the active checks have seen that it is back


def stimulus(bench: Bench) -> None:
    """Algorithms are changed only where the balancer is ours."""
    ours = bench.is_ours(LB, "balancer")
    _in_turn(bench, "round-robin")
    _uneven(bench, "round-robin, uneven")
    if ours:
        _algorithms(bench)
        _hashes(bench)
        _drained(bench)
    _hung(bench)
    _killed(bench, "failover active", _PLAIN)
    if ours:
        time.sleep(_CALM_S)
        with bench.role_set(_ROLE, "passive=1"):
            _killed(bench, "failover passive", _PLAIN)
    with ExitStack() as stack:
        if bench.is_ours(PROXY, "proxy"):
            stack.enter_context(bench.role_set(PROXY, "passive=1"))
        _killed(bench, "failover proxy", _SECURE)


def _requests(phase: str, count: int, path: str = "/health") -> list[Request]:
    """On a connection of its own each."""
    return [Request(name=f"{phase}/{n}", url=f"{_PLAIN}{path}", fresh=True) for n in range(1, count + 1)]


def _in_turn(bench: Bench, phase: str) -> None:
    """One after another, so that the order says whose turn it was."""
    bench.say(f"{IN_TURN} requests one after another: {phase}")
    with bench.phase(phase):
        refuse_failed(bench.ask(CLIENT, _requests(phase, IN_TURN)))


def _at_once(bench: Bench, phase: str) -> None:
    bench.say(f"{BY_CHANCE} requests, 10 at a time: {phase}")
    with bench.phase(phase):
        refuse_failed(bench.ask(CLIENT, _requests(phase, BY_CHANCE, "/slow?ms=20"), parallel=10))


def _uneven(bench: Bench, phase: str) -> None:
    """Every third takes long: turns give them all to the same upstream."""
    bench.say(f"{2 * IN_TURN} requests, 6 at a time, every third takes {LONG_MS} ms: {phase}")
    requests = [
        one.model_copy(update={"url": f"{_PLAIN}/slow?ms={LONG_MS if n % 3 == 0 else 10}"})
        for n, one in enumerate(_requests(phase, 2 * IN_TURN))
    ]
    with bench.phase(phase):
        refuse_failed(bench.ask(CLIENT, requests, parallel=6))


def _algorithms(bench: Bench) -> None:
    weights = ("algorithm=weighted", f"weights={APP}1:3,{APP}2:1", f"drain={APP}3")
    with bench.role_set(_ROLE, *weights):
        _in_turn(bench, "weighted 3:1")
    with bench.role_set(_ROLE, "algorithm=least-connections"):
        _uneven(bench, "least connections, uneven")
    with bench.role_set(_ROLE, "algorithm=random"):
        _at_once(bench, "random")
    with bench.role_set(_ROLE, "algorithm=two-choices"):
        _at_once(bench, "two choices")


def _hashes(bench: Bench) -> None:
    """Every client, with all upstreams and with one less."""
    for algorithm, title in (("ip-hash", "IP hash"), ("consistent-hash", "consistent hash")):
        with bench.role_set(_ROLE, f"algorithm={algorithm}"):
            _everyone(bench, title)
            with bench.role_set(_ROLE, f"drain={LEAVES}"):
                _everyone(bench, f"{title}, one less")


def _everyone(bench: Bench, phase: str) -> None:
    bench.say(f"{EACH} requests of each of {len(CLIENTS)} clients: {phase}")
    with bench.phase(phase), ExitStack() as stack:
        for client in CLIENTS:
            stack.enter_context(bench.asking(client, _requests(f"{phase}/{client}", EACH)))


def _drained(bench: Bench) -> None:
    """Long requests to each upstream; then one is drained, and others come while the long ones last."""
    bench.say(f"long requests, then {GOES} is drained, then {IN_TURN} more")
    long = [one.model_copy(update={"url": f"{_PLAIN}/slow?ms=2500"}) for one in _requests("drain, before", 3)]
    with bench.phase("drain"), bench.asking(CLIENT, long, parallel=3):
        time.sleep(0.6)  # they are at their upstreams
        with bench.role_set(_ROLE, f"drain={GOES}"), bench.phase("drained"):
            refuse_failed(bench.ask(CLIENT, _requests("drain, after", IN_TURN)))


def _hung(bench: Bench) -> None:
    """Requests all the time, whose client gives up after a second; one of the upstreams hangs among them."""
    bench.say(f"{_HANGING} requests, {_HANGING_AT_ONCE} at a time, while {GOES} hangs")
    requests = [one.model_copy(update={"timeout_ns": PATIENCE_NS}) for one in _requests(HANGS, _HANGING)]
    with (
        bench.phase(HANGS),
        bench.asking(CLIENT, requests, may_fail=True, parallel=_HANGING_AT_ONCE),
    ):
        time.sleep(0.5)
        with bench.fault("pause", GOES):
            time.sleep(2.5)


def _killed(bench: Bench, phase: str, base: str) -> None:
    """Requests all the time; one of the upstreams is killed among them."""
    bench.say(f"{_FAILOVER} requests, {_PARALLEL} at a time, while {GOES} is killed: {phase}")
    secure = base == _SECURE
    requests = [
        Request(
            name=f"{phase}/{n}",
            url=f"{base}/slow?ms={_SERVED_MS + _STEPS_MS * (n % 7)}",
            fresh=not secure,
            http="1.1",
            timeout="10s",
        )
        for n in range(1, _FAILOVER + 1)
    ]
    with bench.phase(phase), bench.asking(CLIENT, requests, may_fail=True, parallel=_PARALLEL):
        time.sleep(1.0)
        with bench.fault("kill", GOES):
            time.sleep(2.5)
