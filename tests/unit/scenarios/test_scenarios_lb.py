"""The verdicts of `lb`: each holds, and is refuted by a counter-case; and what the packets say of a call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from netlab.decode.frame import ACK, RST, Frame
from netlab.model.event import Event, Flow
from netlab.scenarios.lb_claims import claims
from netlab.scenarios.lb_layers import Layers
from netlab.scenarios.lb_read import Choice, Failover, Hang, Seen, in_turn, load, moved, seen_in, smooth
from netlab.trace.claim import Verdict
from netlab.trace.recording import Recording
from netlab.trace.round_trips import Moment
from netlab.trace.run import RunNode, RunPhase
from tests.kit.recordings import recording, traceparent
from tests.kit.tcp_path import CLIENT as LB_SOCKET
from tests.kit.tcp_path import EPOCH_NS, MS, TcpPath

MEMBERS = ("app-1", "app-2", "app-3")
A, B, C = MEMBERS


def choices(phase: str, apps: Iterable[str], *, apart_ms: int = 100, hold_ms: int = 50) -> tuple[Choice, ...]:
    """One after another; each is held for so long."""
    return tuple(
        Choice(
            phase,
            str(n),
            "client-1",
            app,
            Moment(n * apart_ms * MS, n),
            Moment((n * apart_ms + hold_ms) * MS, 1000 + n),
            True,
        )
        for n, app in enumerate(apps)
    )


def asked_by(phase: str, places: dict[str, str]) -> tuple[Choice, ...]:
    """Two requests of each client, at its upstream."""
    both = choices(phase, [app for app in places.values() for _ in range(2)])
    names = [client for client in places for _ in range(2)]
    return tuple(replace(one, client=name) for one, name in zip(both, names, strict=True))


def verdicts(seen: Seen) -> dict[str, Verdict]:
    return {one.id: one.verdict for one in claims(seen, ())}


def seen(*found: Sequence[Choice]) -> Seen:
    return Seen(MEMBERS, tuple(one for part in found for one in part))


@pytest.mark.parametrize(
    ("apps", "verdict"),
    [
        ([A, B, C] * 4, Verdict.HOLDS),
        ([A, B, C] * 8 + [A, B, B], Verdict.PARTLY),
        ([A, A, B, B, C, C], Verdict.REFUTED),
        ([A, B], Verdict.NOT_RUN),
    ],
)
def test_round_robin_is_each_in_turn(apps: list[str], verdict: Verdict) -> None:
    assert verdicts(seen(choices("round-robin", apps)))["round-robin"] is verdict


@pytest.mark.parametrize(
    ("order", "verdict"),
    [
        ("112111211121", Verdict.HOLDS),
        ("111111111222", Verdict.PARTLY),
        ("121212121212", Verdict.REFUTED),
    ],
)
def test_weights_are_exact_and_smooth(order: str, verdict: Verdict) -> None:
    found = choices("weighted 3:1", [f"app-{one}" for one in order])
    assert verdicts(seen(found))["weighted"] is verdict


# Three at a time: by turns, the long ones (1 s) are all at app-1.
TURNS = choices("round-robin, uneven", [A, B, C] * 4, hold_ms=90)
LONG = tuple(
    replace(one, end=Moment(one.start.time_ns + 1000 * MS, 9)) if one.app == A else one for one in TURNS
)
FEWEST = choices("least connections, uneven", [A, B, C] * 4, hold_ms=290)


def test_turns_go_to_busy_ones_and_least_connections_do_not() -> None:
    told = verdicts(seen(LONG, FEWEST))
    assert told["round-robin-load"] is Verdict.HOLDS
    assert told["least-connections"] is Verdict.HOLDS
    assert told["least-long"] is Verdict.HOLDS
    swapped = [
        tuple(replace(one, phase="least connections, uneven") for one in LONG),
        tuple(replace(one, phase="round-robin, uneven") for one in FEWEST),
    ]
    told = verdicts(seen(*swapped))
    assert told["round-robin-load"] is Verdict.REFUTED
    assert told["least-connections"] is Verdict.REFUTED
    assert told["least-long"] is Verdict.REFUTED


def test_a_connection_that_ends_at_the_same_instant_is_no_proof() -> None:
    """What the interface shows and what the balancer knew then may differ by less than the slack."""
    one, two = choices("x", [A, A], apart_ms=100, hold_ms=101)
    assert load((one, two), MEMBERS).fewest == 1.0
    assert load((replace(one, end=Moment(150 * MS, 9)), two), MEMBERS).fewest == 0.5
    assert load((replace(one, end=Moment(150 * MS, 9)), two), MEMBERS).busiest == 0.5


PLACES = {"client-a": A, "client-c": A, "client-1": B, "client-2": C, "client-3": C}
ONE_ADDRESS = {"client-a": ("203.0.113.5", 1), "client-c": ("203.0.113.5", 2)}


def test_a_hash_ties_clients_and_takes_a_nat_for_one_of_them() -> None:
    told = verdicts(replace(seen(asked_by("IP hash", PLACES)), addresses=ONE_ADDRESS))
    assert told["ip-hash-affinity"] is Verdict.HOLDS
    assert told["ip-hash-nat"] is Verdict.HOLDS


def test_a_client_that_wanders_has_no_affinity_and_clients_apart_no_nat_problem() -> None:
    wandering = choices("IP hash", [A, B, A, B])
    assert verdicts(seen(wandering))["ip-hash-affinity"] is Verdict.REFUTED
    one_server = choices("IP hash", [A, A, A, A])
    assert verdicts(seen(one_server))["ip-hash-affinity"] is Verdict.REFUTED, "no hash at all"
    apart = replace(seen(asked_by("IP hash", PLACES | {"client-c": B})), addresses=ONE_ADDRESS)
    assert verdicts(apart)["ip-hash-nat"] is Verdict.REFUTED
    assert verdicts(seen(asked_by("IP hash", PLACES)))["ip-hash-nat"] is Verdict.NOT_RUN, "no address seen"


def test_who_moves_when_one_goes() -> None:
    before = asked_by("x", PLACES)
    modulo = asked_by("y", {"client-a": B, "client-c": B, "client-1": C, "client-2": B, "client-3": C})
    ring = asked_by("y", PLACES | {"client-a": C, "client-c": C})
    assert moved(before, modulo, A) == (3, 2, 2)
    assert moved(before, ring, A) == (3, 0, 2)


def failover(*at_ms: int, lost: int = 0, took_ms: int = 0) -> Failover:
    moments = tuple(Moment(ms * MS, n) for n, ms in enumerate(at_ms, 1))
    began = tuple((ms - took_ms) * MS for ms in at_ms)
    return Failover(moments, began, tuple(f"r{n}" for n in range(lost)), 100)


def test_failover_passive_before_active_and_no_get_lost() -> None:
    others = choices("failover active", [A, C] * 20)
    made = replace(
        seen(others),
        failovers={
            "failover active": failover(500, 700, 900),
            "failover passive": failover(500, 560, took_ms=60),
            "failover proxy": failover(500),
        },
    )
    told = verdicts(made)
    assert told["passive-faster"] is Verdict.HOLDS
    assert told["unhealthy-removed"] is Verdict.HOLDS
    assert told["next-upstream"] is Verdict.HOLDS
    assert made.failovers["failover active"].again == 2
    assert made.failovers["failover passive"].again == 0, "it was under way when the first failed"


def test_failover_that_goes_on_is_refuted() -> None:
    made = replace(
        seen(choices("failover active", [A, C] * 20)),
        failovers={
            "failover active": failover(500, 3900),
            "failover passive": failover(500, 3999),
            "failover proxy": failover(500, lost=1),
        },
    )
    told = verdicts(made)
    assert told["unhealthy-removed"] is Verdict.REFUTED, "it was asked until the end"
    assert told["passive-faster"] is Verdict.REFUTED
    assert told["next-upstream"] is Verdict.REFUTED


LAYERS = Layers(2, 2, (0.1, 0.2), (1.0, 2.0), ("via",), {"layer 4": (1, 2), "layer 7": (3, 4)})


def test_layer_4_leaves_alone_what_layer_7_changes() -> None:
    told = verdicts(replace(seen(), layers=LAYERS))
    assert {told[name] for name in ("layer-4-unread", "layer-4-faster", "layer-7-changes")} == {Verdict.HOLDS}
    other = replace(LAYERS, same=1, four_ms=(3.0, 3.0), added=())
    told = verdicts(replace(seen(), layers=other))
    assert {told[name] for name in ("layer-4-unread", "layer-4-faster", "layer-7-changes")} == {
        Verdict.REFUTED
    }


@pytest.mark.parametrize(
    ("accepted", "asked", "verdict"),
    [(3, 0, Verdict.REFUTED), (0, 3, Verdict.HOLDS), (0, 0, Verdict.NOT_RUN)],
)
def test_a_check_by_connection_alone_does_not_see_a_hang(accepted: int, asked: int, verdict: Verdict) -> None:
    lost = choices("hang", [B, B, B])
    hang = Hang(lost, (Moment(1, 1),) * accepted, (Moment(2, 2),) * asked)
    assert verdicts(replace(seen(lost), hang=hang))["check-alive"] is verdict


def test_nothing_seen_is_not_run() -> None:
    assert set(verdicts(Seen(MEMBERS)).values()) == {Verdict.NOT_RUN}
    flawed = claims(seen(choices("round-robin", [A, B, C] * 4)), ("the capture lost 3 packets",))
    assert next(iter(flawed)).verdict is Verdict.NOT_RUN


def test_windows() -> None:
    assert in_turn([A, B, C, A], 3) == 1
    assert in_turn([A, B, A, C], 3) == 0.5
    assert in_turn([A], 3) == 0
    assert smooth([A, A, B, A, A, A, B, A], {A: 3, B: 1}) == 1
    assert smooth([A, A, B, B], {A: 3, B: 1}) == 0


# ----------------------------------------------------------------------------- from the packets


def call(number: int, *, answers: bool, refused: bool = False) -> tuple[Frame, ...]:
    """The balancer's connection to app-2, at its inner interface: a request that is answered, or none, as the
    server refuses; or one that it ends before it has answered."""
    path = TcpPath(one_way_ns=MS)
    if answers:
        path.server.heard = lambda _: path.server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    path.connect()
    path.settle(10 * MS)
    if not refused:
        ask = f"GET / HTTP/1.1\r\nHost: x\r\ntraceparent: {traceparent(number)}\r\n\r\n"
        path.client.send(ask.encode())
        path.settle(20 * MS)
    if refused or not answers:
        path.transmit(path.server, 0, RST | ACK, b"")
        path.settle(20 * MS)
    frames = path.frames("client")
    if refused:
        frames = (frames[0], frames[-1])
    return tuple(replace(one, node="lb", interface="vpc") for one in frames)


def read(frames: tuple[Frame, ...], *events: Event) -> Recording:
    phase = "failover active"
    made = recording(
        frames,
        [
            Event(
                0,
                "client-1",
                "client",
                "request-start",
                None,
                {"name": f"{phase}/{n}", "traceparent": traceparent(n)},
            )
            for n in (1, 2)
        ]
        + list(events),
        phases=[RunPhase(name=phase, started_ns=EPOCH_NS, ended_ns=EPOCH_NS + 1000 * MS)],
    )
    nodes = {"app-2": RunNode(addresses=("192.0.2.2",)), "lb": RunNode(addresses=("192.0.2.1",))}
    return replace(made, run=made.run.model_copy(update={"nodes": nodes}))


def with_frames(made: Recording, frames: tuple[Frame, ...]) -> Recording:
    made.__dict__["frames"] = frames
    return made


def test_a_choice_is_a_request_on_a_connection_to_an_app() -> None:
    frames = call(1, answers=True)
    found = seen_in(with_frames(read(frames), frames))
    (one,) = found.choices
    assert (one.phase, one.name, one.client, one.app) == ("failover active", "1", "client-1", B)
    assert one.answered
    assert one.start.frame == frames[0].number
    assert found.failovers == {}, "nothing failed"


@pytest.mark.parametrize("refused", [True, False])
def test_attempts_that_fail_count_and_health_checks_do_not(refused: bool) -> None:
    frames = call(1, answers=False, refused=refused)
    found = seen_in(with_frames(read(frames), frames)).failovers["failover active"]
    assert [one.frame for one in found.refused] == [frames[-1].number]
    assert found.began_ns == (frames[0].time_ns,), "with its connection, which was made for it"
    assert (found.asked, len(found.lost)) == (2, 2), "no client was captured that got an answer"
    flow = Flow("tcp", *LB_SOCKET, "192.0.2.2", 443)
    check = Event(0, "lb", "balancer", "connect-start", flow, {"purpose": "health-check"})
    assert seen_in(with_frames(read(frames, check), frames)).failovers == {}
