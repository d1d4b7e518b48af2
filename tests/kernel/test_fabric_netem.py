"""netem, where the kernel has it."""

from __future__ import annotations

import time

import pytest

from netlab.fabric.kernel import Kernel
from netlab.model.impairment import Impairment
from netlab.plan.ops import SetQdisc
from tests.kernel.test_fabric_hosts import two_hosts
from tests.kit.inside import run_inside, udp_socket

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
        (Impairment(delay_ns=2_500_000, jitter_ns=500_000), ["delay 2.5ms", "500us"]),
        (Impairment(rate_bps=10_000_000, limit_packets=50), ["rate 10Mbit", "limit 50"]),
        (Impairment(rate_bps=100_000_000_000), ["rate 100Gbit"]),  # past 32 bits of bytes per second
        (Impairment(delay_ns=400_000_000_000), ["delay 400s"]),  # past 32 bits of ticks
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
