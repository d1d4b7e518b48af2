"""What a link does to frames, the same for both backends: wire here, netem where the kernel has it.

Bounds of chance are 4.5 standard deviations; bounds of time leave room for a busy machine.
"""

from __future__ import annotations

import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from netlab.fabric.kernel import Kernel
from netlab.model import distributions
from netlab.model.impairment import Impairment
from tests.kit.inside import inside, ip_json, run_inside, udp_socket
from tests.kit.linked import KIND, SO_TIMESTAMPNS, Arrival, Linked
from tests.kit.wired import frame_of

MS = 1_000_000
CHANCE = 4.5
Link = Callable[[str], Linked]


@pytest.fixture(params=["wire", pytest.param("netem", marks=pytest.mark.needs("netem"))])
def link(request: pytest.FixtureRequest, kernel: Kernel) -> Iterator[Link]:
    """Makes the link with these words of YAML."""
    made: list[Linked] = []

    def make(words: str) -> Linked:
        made.append(Linked(kernel, request.param, words))
        return made[-1]

    yield make
    for one in made:
        one.close()


def about(count: int, share: float, of: int) -> bool:
    """Whether a count is what chance allows."""
    return bool(abs(count - share * of) <= CHANCE * (of * share * (1 - share)) ** 0.5)


def delays_ms(came: list[Arrival]) -> list[float]:
    return sorted(one.delay_ns / MS for one in came)


def test_delay(link: Link) -> None:
    with link("delay: 20ms").flight() as flight:
        flight.send(50, gap_s=0.005)
        delays = delays_ms(flight.all_of())
    assert len(delays) == 50
    assert delays[0] >= 19.9, delays
    assert statistics.median(delays) <= 26, delays


@pytest.mark.parametrize(("sender", "receiver"), [("a", "b"), ("b", "a")])
def test_captures_see_a_frame_before_its_delay_and_after_it(link: Link, sender: str, receiver: str) -> None:
    """At its sender when it was sent, at its receiver when it arrived, as on a cable. Of 50 ms either way."""
    linked = link("delay: 50ms")
    places = {"a": linked.a, "b": linked.b}
    with (
        captured(places[sender]) as near,
        captured(places[receiver]) as far,
        captured(places[sender]) as source,  # a socket doesn't see what it sends itself
    ):
        before_ns = time.time_ns()
        source.send(frame_of(KIND, b"once"))
        after_ns = time.time_ns()
        left_ns, came_ns = stamp(near), stamp(far)
    assert before_ns <= left_ns <= after_ns + 20 * MS, (before_ns, left_ns, after_ns)
    assert 49.9 <= (came_ns - left_ns) / MS <= 75, (left_ns, came_ns)


def captured(namespace_fd: int) -> socket.socket:
    """A socket that sees, as tcpdump does, what goes and comes at eth0."""

    def opened() -> socket.socket:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        raw.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        raw.bind(("eth0", 3))
        raw.settimeout(5)
        return raw

    return inside(namespace_fd, opened)


def stamp(capture: socket.socket) -> int:
    """The kernel's time of the next frame of our kind."""
    while True:
        data, ancillary, _, _ = capture.recvmsg(2000, 64)
        if data[12:14] == KIND.to_bytes(2, "big"):
            seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
            return int(seconds * 1_000_000_000 + nanoseconds)


@pytest.mark.parametrize("distribution", ["uniform", "normal", "pareto", "paretonormal"])
def test_jitter_follows_its_distribution(link: Link, distribution: str) -> None:
    """Kolmogorov-Smirnov against the table; the bound is three times that of 99%, for the machine's noise."""
    words = f"delay: 100ms, jitter: 20ms, distribution: {distribution}, limit: 5000"
    with link(words).flight() as flight:
        flight.send(1000, gap_s=0.001)
        delays = delays_ms(flight.all_of())
    assert len(delays) == 1000
    table = sorted(distributions.table(distribution)) or list(range(-8192, 8192))
    expected = [max(0.0, 100 + 20 * value / 8192) for value in table]
    distance = kolmogorov_smirnov(delays, expected)
    assert distance <= 3 * 1.63 / 1000**0.5, (distance, delays[::100], expected[:: len(expected) // 10])


def kolmogorov_smirnov(sample: list[float], expected: list[float]) -> float:
    """The largest distance between two distributions, both sorted."""
    at, distance = 0, 0.0
    for index, value in enumerate(sample):
        while at < len(expected) and expected[at] <= value:
            at += 1
        distance = max(distance, abs((index + 1) / len(sample) - at / len(expected)))
    return distance


def test_random_loss(link: Link) -> None:
    with link("loss: 10%").flight() as flight:
        flight.send(2000)
        came = flight.all_of()
    assert about(2000 - len(came), 0.1, 2000), len(came)


def test_gilbert_elliott_loses_in_bursts(link: Link) -> None:
    with link("loss: {gemodel: {p: 2%, r: 30%}}").flight() as flight:
        flight.send(5000)
        numbers = [one.number for one in flight.all_of()]
    bursts = [later - earlier - 1 for earlier, later in pairwise([-1, *numbers, 5000]) if later - earlier > 1]
    mean = statistics.mean(bursts)
    spread = CHANCE * ((1 - 0.3) ** 0.5 / 0.3) / len(bursts) ** 0.5  # of the mean of geometric lengths
    assert abs(mean - 1 / 0.3) <= spread, (mean, bursts)
    assert 0.02 <= sum(bursts) / 5000 <= 0.11, sum(bursts)  # 6.25%, and bursts widen what chance allows


def test_duplicates(link: Link) -> None:
    with link("duplicate: 20%").flight() as flight:
        flight.send(1000)
        came = flight.all_of()
    assert about(len(came) - 1000, 0.2, 1000), len(came)
    assert {one.number for one in came} == set(range(1000))


def test_corruption_flips_one_bit(link: Link) -> None:
    with link("corrupt: 50%").flight() as flight:
        flight.send(400, length=1000)
        came = flight.all_of()
    wrong = [bits for one in came if (bits := flipped(one.data))]
    assert set(wrong) == {1}, wrong
    assert about(len(wrong) + 400 - len(came), 0.5, 400), (len(wrong), len(came))


def flipped(data: bytes) -> int:
    """How many bits of what follows the number are not as they were sent."""
    return sum((byte ^ 0x55).bit_count() for byte in data[18:])


def test_reordered_frames_leave_at_once(link: Link) -> None:
    with link("delay: 100ms, reorder: 25%").flight() as flight:
        flight.send(1000, gap_s=0.0002)
        came = flight.all_of()
    early = [one for one in came if one.delay_ns < 50 * MS]
    assert len(came) == 1000
    assert about(len(early), 0.25, 1000), len(early)


def test_rate(link: Link) -> None:
    """100 frames of 1,000 bytes at 8 Mbit/s: 1 ms each."""
    with link("rate: 8mbit").flight() as flight:
        flight.send(100, length=1000)
        came = flight.all_of()
    assert len(came) == 100
    took_ms = (came[-1].time_ns - came[0].time_ns) / MS
    assert 98 <= took_ms <= 125, took_ms


def test_what_is_past_the_limit_is_dropped_at_the_tail(link: Link) -> None:
    with link("rate: 100kbit, limit: 10").flight() as flight:
        flight.send(50, length=1000)
        numbers = [one.number for one in flight.all_of()]
    assert 10 <= len(numbers) <= 12, numbers
    assert numbers[:10] == list(range(10)), numbers


def test_slots_gather_frames(link: Link) -> None:
    with link("slot: {min: 20ms, max: 20ms}").flight() as flight:
        flight.send(100, gap_s=0.002)
        came = flight.all_of()
    assert len(came) == 100
    bursts = 1 + sum(later.time_ns - earlier.time_ns > 10 * MS for earlier, later in pairwise(came))
    assert 4 <= bursts <= 16, bursts


def test_ecn_marks_instead_of_dropping(link: Link) -> None:
    """RFC 3168: ECT(0), 2, becomes CE, 3."""
    linked = link("loss: 50%, ecn: true")
    mac = next(one["address"] for one in ip_json(linked.b, "link") if one["ifname"] == "eth0")
    # ARP has no ECN, so it would be lost
    run_inside(linked.a, "ip", "neigh", "add", "10.0.0.2", "lladdr", mac, "dev", "eth0", "nud", "permanent")
    with udp_socket(linked.a, "10.0.0.1") as source, udp_socket(linked.b, "10.0.0.2", 7) as sink:
        source.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 2)
        sink.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        marks = []
        for _ in range(400):
            source.sendto(b"x", ("10.0.0.2", 7))
            _, ancillary, _, _ = sink.recvmsg(10, 64)
            marks += [value[0] & 3 for _, kind, value in ancillary if kind == socket.IP_TOS]
    assert len(marks) == 400
    assert about(marks.count(3), 0.5, 400), marks.count(3)


def test_a_change_leaves_what_is_under_way_alone(link: Link) -> None:
    linked = link("delay: 300ms")
    with linked.flight() as flight:
        flight.send(50)
        linked.set(Impairment(delay_ns=MS))
        flight.send(1)
        came = flight.all_of(quiet_s=0.6)
    delays = {one.number: one.delay_ns / MS for one in came}
    assert len(delays) == 51, sorted(delays)
    assert min(delays[number] for number in range(50)) >= 299, delays
    assert delays[50] < 150, delays


def test_a_seed_repeats_the_choices() -> None:
    """Of wire here; netem has seeds from Linux 6.6 on (tests/kernel/test_fabric_netem.py)."""
    lost = []
    for _ in range(2):
        one = Kernel()
        try:
            linked = Linked(one, "wire", "loss: 20%, seed: 7")
            with linked.flight() as flight:
                flight.send(300)
                lost.append(sorted(set(range(300)) - {came.number for came in flight.all_of()}))
            linked.close()
        finally:
            one.close()
    assert lost[0] == lost[1]
    assert about(len(lost[0]), 0.2, 300), lost[0]
