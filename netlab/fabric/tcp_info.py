"""What a kernel knows of the TCP connections of a node: TCP_INFO by sock_diag(7), from outside of the
programs that own them, so also of foreign ones."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from netlab.fabric.enter import enter

_ESTABLISHED = 1 << 1  # net/tcp_states.h; as a mask
_INFO = 1 << (2 - 1)  # INET_DIAG_INFO
_NO_THRESHOLD = 0x7FFF_FFFF
_STATES = ("open", "disorder", "cwr", "recovery", "loss")  # TCP_CA_*: what congestion control is doing


class TcpInfo(NamedTuple):
    """One connection at one moment. The window and what is in flight are in segments of `mss` bytes.

    `ssthresh` None: slow start has not ended yet. `state`: open, disorder, cwr, recovery (fast
    retransmit) or loss (a timeout). `time_ns`: CLOCK_REALTIME.
    """

    time_ns: int
    local: str
    local_port: int
    remote: str
    remote_port: int
    state: str
    cwnd: int
    ssthresh: int | None
    mss: int
    unacked: int
    rtt_us: int
    rto_us: int
    retransmits: int  # in all
    sent_bytes: int
    peer_window: int  # bytes; what the receiver allows


@contextmanager
def sampling(namespace: int, port: int, every_s: float = 0.01) -> Iterator[list[TcpInfo]]:
    """Look every `every_s` at the established connections whose local port is `port`, in the network
    namespace behind this descriptor, while the context lasts; gives the list that is being filled.

    Raises KernelError where the namespace can't be entered, OSError where sock_diag is refused.
    """
    found: list[TcpInfo] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def look() -> None:
        try:
            enter(namespace)
            _look_until(stop, port, every_s, found)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            failures.append(error)

    thread = threading.Thread(target=look, name=f"tcp-info :{port}", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]


def _look_until(stop: threading.Event, port: int, every_s: float, found: list[TcpInfo]) -> None:
    from pyroute2 import DiagSocket  # slow to import, and only some scenarios look

    with DiagSocket() as diag:
        while not stop.wait(every_s):
            for family in (socket.AF_INET, socket.AF_INET6):
                stats = diag.get_sock_stats(
                    family=family, states=_ESTABLISHED, protocol=socket.IPPROTO_TCP, extensions=_INFO
                )
                found += samples(list(stats), port, time.time_ns())


def samples(stats: Sequence[Any], port: int, time_ns: int) -> Iterator[TcpInfo]:
    """Of sock_diag's answers, those of connections at `port`."""
    for one in stats:
        info = one.get_attr("INET_DIAG_INFO")
        if one["idiag_sport"] != port or info is None:
            continue
        threshold = info["tcpi_snd_ssthresh"]
        yield TcpInfo(
            time_ns,
            str(one["idiag_src"]),
            one["idiag_sport"],
            str(one["idiag_dst"]),
            one["idiag_dport"],
            _STATES[info["tcpi_ca_state"]],
            info["tcpi_snd_cwnd"],
            None if threshold >= _NO_THRESHOLD else threshold,
            info["tcpi_snd_mss"],
            info["tcpi_unacked"],
            info["tcpi_rtt"],
            info["tcpi_rto"],
            info["tcpi_total_retrans"],
            info.get("tcpi_bytes_sent") or 0,
            info.get("tcpi_snd_wnd") or 0,
        )
