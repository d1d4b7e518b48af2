"""The verdicts of `retry`, from captures made by hand."""

from __future__ import annotations

from itertools import count

from netlab.scenarios import retry
from netlab.scenarios.calls import APPS, CLIENT, PUBLIC, SERVER
from netlab.scenarios.retry_read import ATTEMPTS, BUDGET, CALLS, CLIENTS, OUT_PORT, RESERVE
from netlab.trace.claim import Claim, Verdict
from netlab.trace.run import RunPhase
from tests.kit.recordings import by_id, recording
from tests.kit.segments import Capture, phase

HERE = (SERVER, PUBLIC)
REPLAYED = "Idempotent-Replayed: true\r\n"
Waves = tuple[tuple[float, float], ...]  # when a wave of retries begins, and how long it is, in ms
NARROW: Waves = ((340, 50), (980, 50), (2220, 50))
WIDE: Waves = ((300, 300), (700, 600), (1400, 2400))


class Made:
    """A capture, its phases, and the numbers of its traces."""

    def __init__(self) -> None:
        self.capture = Capture((HERE,), CLIENT)
        self.phases: list[RunPhase] = []
        self.numbers = count(1)
        self.start_ms = 0.0

    def herd(self, jitter: str, waves: Waves) -> None:
        """All clients at once, then in waves; the last wave is served."""
        began = self.start_ms
        for client in range(CLIENTS):
            self.capture.syns(OUT_PORT, began + client * 0.4)
            for start, length in waves[:-1]:
                self.capture.syns(OUT_PORT, began + start + length * client / CLIENTS)
            start, length = waves[-1]
            at = began + start + length * client / CLIENTS
            self.capture.call(f"{jitter}/{client + 1}", next(self.numbers), at, port=OUT_PORT)
        self._end(f"herd {jitter}", began, 5000)

    def order(self, group: str, *answers: tuple[int, str], places: tuple[tuple[str, str], ...] = ()) -> None:
        """One order, sent as often as it is answered."""
        number = next(self.numbers)
        for turn, (status, fields) in enumerate(answers):
            at = self.start_ms + 100 * turn
            where = (HERE, places[turn]) if places else (HERE,)
            self.capture.call(
                f"{group}/1", number, at, status=status, fields=fields, method="POST", places=where
            )
        self.start_ms += 1000

    def calls(self, name: str, attempts: int) -> None:
        for number in range(attempts):
            self.capture.syns(OUT_PORT, self.start_ms + number)
        self._end(name, self.start_ms, 1000)

    def _end(self, name: str, began: float, lasts_ms: float) -> None:
        self.phases.append(phase(name, began - 1, began + lasts_ms))
        self.start_ms = began + lasts_ms + 10

    def claims(self) -> dict[str, Claim]:
        read = recording(self.capture.frames(), self.capture.events, phases=self.phases)
        return by_id(retry.judge(read).claims)


def apps(*numbers: int) -> tuple[tuple[str, str], ...]:
    return tuple((APPS[number], "eth0") for number in numbers)


def test_a_herd_without_jitter_and_the_same_clients_with_it() -> None:
    made = Made()
    made.herd("none", NARROW)
    made.herd("full", WIDE)
    made.herd("added", ((340, 100), (980, 200), (2220, 160)))
    found = made.claims()
    assert found["exponential-backoff"].verdict is Verdict.HOLDS, found["exponential-backoff"]
    assert found["full-jitter"].verdict is Verdict.HOLDS, found["full-jitter"]
    assert found["full-jitter"].evidence["none"]
    assert found["guides-jitter"].verdict is Verdict.PARTLY, found["guides-jitter"]


def test_waves_that_do_not_double_and_jitter_that_does_nothing() -> None:
    made = Made()
    made.herd("none", ((340, 50), (680, 50), (1020, 50)))
    made.herd("full", NARROW)
    found = made.claims()
    assert found["exponential-backoff"].verdict is Verdict.REFUTED, found["exponential-backoff"]
    assert found["full-jitter"].verdict is Verdict.REFUTED, found["full-jitter"]
    assert found["guides-jitter"].verdict is Verdict.NOT_RUN


def test_orders() -> None:
    made = Made()
    made.order("order plain", (201, ""))
    made.order("order keyed", (201, ""), (409, ""), (201, REPLAYED))
    made.order("spread keyed", (201, ""), (201, ""), (201, REPLAYED), places=apps(0, 1, 0))
    found = made.claims()
    assert found["post-not-retried"].verdict is Verdict.HOLDS, found["post-not-retried"]
    assert found["idempotency-key"].verdict is Verdict.HOLDS, found["idempotency-key"]
    assert found["idempotency-key"].measured == "sent 3 times, and 1 order made"
    assert found["idempotency-key-apps"].verdict is Verdict.REFUTED, found["idempotency-key-apps"]


def test_orders_that_go_wrong() -> None:
    made = Made()
    made.order("order plain", (201, ""), (201, ""))
    made.order("order keyed", (201, ""), (201, ""))
    made.order("spread keyed", (201, ""), (201, REPLAYED), places=apps(1, 1))
    found = made.claims()
    assert found["post-not-retried"].verdict is Verdict.REFUTED
    assert found["idempotency-key"].verdict is Verdict.REFUTED
    assert found["idempotency-key-apps"].verdict is Verdict.HOLDS, "the apps share what they know"


def test_a_budget_that_holds_and_one_that_does_not() -> None:
    most = CALLS + RESERVE + CALLS * BUDGET // 100
    for attempts, verdict in ((most, Verdict.HOLDS), (most + 1, Verdict.REFUTED)):
        made = Made()
        made.calls("bounded", attempts)
        made.calls("unbounded", CALLS * ATTEMPTS)
        assert made.claims()["retry-budget"].verdict is verdict
    assert {one.verdict for one in Made().claims().values()} == {Verdict.NOT_RUN}
