"""netem, where the kernel has it."""

from __future__ import annotations

import os
import time

import pytest

from netlab.errors import HostError, LabError
from netlab.fabric.kernel import Kernel
from netlab.model.impairment import FourState, GilbertElliott, Impairment, Slot
from netlab.plan.ops import SetQdisc
from tests.kernel.test_fabric_hosts import two_hosts
from tests.kit.inside import run_inside, udp_socket

RELEASE = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])

pytestmark = pytest.mark.needs("netem")


def test_delay_is_added_in_each_direction(kernel: Kernel) -> None:
    impairment = Impairment(delay_ns=30_000_000)
    kernel.apply([*two_hosts(), *(SetQdisc(node, "eth0", impairment) for node in ("a", "b"))])
    with (
        udp_socket(kernel.namespace("a"), "10.0.0.1") as client,
        udp_socket(kernel.namespace("b"), "10.0.0.2", 7) as server,
    ):
        round_trips = []
        for _ in range(3):  # the first also resolves the neighbour
            started = time.monotonic()
            client.sendto(b"ping", ("10.0.0.2", 7))
            server.sendto(*server.recvfrom(10))
            client.recv(10)
            round_trips.append(time.monotonic() - started)
    # never less than the two delays; how much more depends on how busy the machine is
    assert 0.060 <= min(round_trips) <= 0.160, round_trips


def test_everything_lost_means_that_nothing_arrives(kernel: Kernel) -> None:
    kernel.apply([*two_hosts(), SetQdisc("a", "eth0", Impairment(loss=1.0))])
    statistics = ["-s", "qdisc", "show", "dev", "eth0"]
    with udp_socket(kernel.namespace("a"), "10.0.0.1") as client:
        client.sendto(b"lost", ("10.0.0.2", 7))
    shown = run_inside(kernel.namespace("a"), "tc", *statistics)
    assert "loss 100%" in shown
    assert "dropped 0" not in shown, shown


@pytest.mark.parametrize(
    ("impairment", "shown"),
    [
        (Impairment(delay_ns=2_500_000, jitter_ns=1_000_000), ["delay 2.5ms", "1ms"]),
        (Impairment(rate_bps=10_000_000, limit_packets=50), ["rate 10Mbit", "limit 50"]),
        (Impairment(rate_bps=100_000_000_000), ["rate 100Gbit"]),  # past 32 bits of bytes per second
        (Impairment(delay_ns=10**6, delay_correlation=0.25, jitter_ns=10**6), ["25%"]),
        (Impairment(loss_model=GilbertElliott(0.25, 0.5)), ["loss gemodel p 25% r 50%"]),
        (Impairment(loss_model=FourState(0.25, p14=0.5)), ["loss state p13 25%", "p14 50%"]),
        (Impairment(duplicate=0.25, duplicate_correlation=0.5), ["duplicate 25% 50%"]),
        (Impairment(corrupt=0.25), ["corrupt 25%"]),
        (Impairment(delay_ns=10**6, reorder=0.25, reorder_gap=5), ["reorder 25%", "gap 5"]),
        (
            Impairment(rate_bps=10**6, rate_overhead_bytes=-20, cell_bytes=53, cell_overhead_bytes=5),
            ["rate 1Mbit packetoverhead -20 cellsize 53 celloverhead 5"],
        ),
        (Impairment(loss=0.05, ecn=True), ["ecn"]),
        (Impairment(slot=Slot(10**6, 2 * 10**6, 8, 3000)), ["slot 1ms 2ms packets 8 bytes 3000"]),
        (Impairment(loss=0.05), ["loss 5%"]),
    ],
)
def test_tc_shows_what_was_asked(kernel: Kernel, impairment: Impairment, shown: list[str]) -> None:
    kernel.apply([*two_hosts(), SetQdisc("a", "eth0", impairment)])
    said = run_inside(kernel.namespace("a"), "tc", "qdisc", "show", "dev", "eth0")
    assert [text for text in shown if text not in said] == [], said


def test_it_can_be_changed_while_the_lab_runs(kernel: Kernel) -> None:
    kernel.apply([*two_hosts(), SetQdisc("a", "eth0", Impairment(delay_ns=1_000_000))])
    kernel.apply([SetQdisc("a", "eth0", Impairment(loss=0.5))])
    said = run_inside(kernel.namespace("a"), "tc", "qdisc", "show", "dev", "eth0")
    assert "loss 50%" in said
    assert "delay" not in said


def test_delays_past_the_old_fields_are_held(kernel: Kernel) -> None:
    """More than 32 bits of ticks, which is all that tc shows; read back by the Kernel itself."""
    kernel.apply([*two_hosts(), SetQdisc("a", "eth0", Impairment(delay_ns=400_000_000_001))])


def test_what_the_kernel_would_clamp_is_an_error(kernel: Kernel) -> None:
    wanted = Impairment(delay_ns=10**10, jitter_ns=3 * 10**9)
    with pytest.raises(LabError, match=r"a:eth0: .*jitter_ns 2147483647 instead of 3000000000"):
        kernel.apply([*two_hosts(), SetQdisc("a", "eth0", wanted)])


@pytest.mark.skipif(RELEASE >= (6, 6), reason="this kernel's netem has a seed")
def test_a_seed_is_an_error_where_netem_has_none(kernel: Kernel) -> None:
    with pytest.raises(HostError, match="no seed"):
        kernel.apply([*two_hosts(), SetQdisc("a", "eth0", Impairment(loss=0.5, seed=7))])


def test_duplicates_do_not_go_with_a_line_and_its_jitter(kernel: Kernel) -> None:
    wanted = Impairment(delay_ns=10**7, jitter_ns=10**6, rate_bps=10**6, duplicate=0.5)
    with pytest.raises(HostError, match="duplicating"):
        kernel.apply([*two_hosts(), SetQdisc("a", "eth0", wanted)])


def test_a_line_that_jitters_is_two_netems(kernel: Kernel) -> None:
    wanted = Impairment(delay_ns=10**7, jitter_ns=10**6, rate_bps=10**6, distribution="normal")
    kernel.apply([*two_hosts(), SetQdisc("a", "eth0", wanted)])
    said = run_inside(kernel.namespace("a"), "tc", "qdisc", "show", "dev", "eth0")
    root, child = said.splitlines()
    assert "netem 1: root" in root
    assert "rate 1Mbit" in root
    assert "netem 2: parent 1:1" in child
    assert "delay 10ms  1ms" in child
    kernel.set_impairment("a", "eth0", Impairment())
    said = run_inside(kernel.namespace("a"), "tc", "qdisc", "show", "dev", "eth0")
    assert not [word for word in ("delay", "rate") if word in said], said


@pytest.mark.parametrize("rate_bps", [0, 10_000_000])
def test_a_change_loses_nothing_in_flight(kernel: Kernel, rate_bps: int) -> None:
    """The frame on its way keeps its time, and one that is sent after the change has the new delay."""
    slow, fast = (Impairment(delay_ns=ms * 10**6, rate_bps=rate_bps) for ms in (300, 5))
    kernel.apply([*two_hosts(), SetQdisc("a", "eth0", slow)])
    with (
        udp_socket(kernel.namespace("a"), "10.0.0.1") as client,
        udp_socket(kernel.namespace("b"), "10.0.0.2", 7) as server,
    ):
        client.sendto(b"first", ("10.0.0.2", 7))  # resolves the neighbour
        server.settimeout(5)
        assert server.recv(10) == b"first"
        client.sendto(b"slow", ("10.0.0.2", 7))
        kernel.set_impairment("a", "eth0", fast)
        client.sendto(b"fast", ("10.0.0.2", 7))
        assert [server.recv(10), server.recv(10)] == [b"fast", b"slow"]
