"""The recorder on real interfaces, and what Wireshark's own reader finds in the assembled files."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from netlab.capture.assemble import Summary, assemble, salvage
from netlab.capture.files import DIRECTIONS, Counts, Direction, RingSize, pieces, raw
from netlab.capture.recorder import Target, serve
from netlab.decode.frame import frames, headers, identity
from netlab.decode.stream import Stream
from netlab.decode.tls import KeyLog, decrypt
from netlab.errors import HostError
from netlab.fabric.enter import mount
from netlab.fabric.kernel import Kernel
from netlab.plan.ops import (
    AddAddress,
    CreateBridge,
    CreateNamespace,
    CreateVeth,
    Operation,
    Port,
    SetOffloads,
)
from tests.kit.inside import inside, run_inside, udp_socket
from tests.kit.poll import poll_until
from tests.kit.tls_dialogue import NAME, certificate

REQUEST = b"GET /user/42 HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def hosts(pairs: int = 1) -> list[Operation]:
    """Nodes a0 and b0, a1 and b1 …, each pair with a link: 10.0.N.1 -- 10.0.N.2."""
    made: list[Operation] = []
    for n in range(pairs):
        ports = [Port(f"{side}{n}", "eth0", f"02:00:00:00:{n:02x}:{side}{side}", 1500) for side in "ab"]
        made += [CreateNamespace(port.node) for port in ports]
        made.append(CreateVeth(*ports))
        made += [SetOffloads(port.node, "eth0", enabled=False) for port in ports]
        made += [AddAddress(f"{side}{n}", "eth0", f"10.0.{n}.{i}/24") for i, side in enumerate("ab", 1)]
    return made


class Recorder:
    """`serve` in a thread, and the other end of its control socket."""

    def __init__(
        self,
        targets: Sequence[Target],
        directory: Path,
        capture_filter: str = "",
        ring: RingSize | None = None,
    ) -> None:
        self.control, theirs = socket.socketpair()
        self.control.settimeout(20)
        self.lines = self.control.makefile("rb")

        def body() -> None:
            with theirs:
                serve(targets, directory, 65535, capture_filter, theirs, ring)

        self.thread = threading.Thread(target=body)
        self.thread.start()

    def hear(self) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(self.lines.readline())
        return heard

    def stop(self) -> list[Counts]:
        self.control.sendall(b'{"op": "stop"}\n')
        heard = self.hear()
        assert "stopped" in heard, heard
        counts: list[Counts] = heard["stopped"]
        return counts

    def close(self) -> None:
        self.lines.close()
        self.control.close()
        self.thread.join()


@contextmanager
def recorder(
    kernel: Kernel,
    nodes: Sequence[str],
    directory: Path,
    capture_filter: str = "",
    ring: RingSize | None = None,
) -> Iterator[Recorder]:
    """A recorder of `eth0` of the nodes, or of another interface that is named, that records already."""
    places = [(node, interface or "eth0") for node, _, interface in (one.partition(":") for one in nodes)]
    targets = [Target(node, interface, kernel.namespace(node)) for node, interface in places]
    running = Recorder(targets, directory, capture_filter, ring)
    try:
        assert running.hear() == {"ready": True}
        yield running
    finally:
        running.close()


def tshark(path: Path, *arguments: str) -> list[list[str]]:
    """The fields that tshark prints, a list per packet; without any settings of a user's."""
    argv = ["tshark", "-r", str(path), "-o", "nameres.network_name:FALSE", "-T", "fields", *arguments]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"HOME": "/nonexistent", "PATH": "/usr/bin"},
    )
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def talk(kernel: Kernel, directory: Path) -> str:
    """One request over TLS 1.3 from a0 to b0:443; the key log."""
    path = certificate(directory)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(path)
    client_context = ssl.create_default_context(cafile=str(path))
    client_context.keylog_filename = str(directory / "keys.log")
    client_context.minimum_version = ssl.TLSVersion.TLSv1_3
    listener = inside(kernel.namespace("b0"), lambda: socket.create_server(("10.0.0.2", 443)))
    listener.settimeout(10)

    def answer() -> None:
        with listener, server_context.wrap_socket(listener.accept()[0], server_side=True) as connection:
            assert connection.recv(1000) == REQUEST
            connection.sendall(RESPONSE)

    server = threading.Thread(target=answer)
    server.start()
    plain = inside(kernel.namespace("a0"), lambda: socket.create_connection(("10.0.0.2", 443), 10))
    with client_context.wrap_socket(plain, server_hostname=NAME) as client:
        client.sendall(REQUEST)
        assert client.recv(1000) == RESPONSE
    server.join()
    return (directory / "keys.log").read_text()


def recorded_request(kernel: Kernel, directory: Path) -> Summary:
    kernel.apply(hosts())
    run = directory / "run"
    run.mkdir()
    with recorder(kernel, ["a0", "b0"], run) as running:
        keys = talk(kernel, directory)
        counts = running.stop()
    return assemble(run, counts, keys, {NAME: ["10.0.0.2"]}, {("a0", "eth0"): "the client"})


@pytest.mark.needs("tshark")
def test_tshark_decrypts_with_no_key_file(kernel: Kernel, tmp_path: Path, host_unchanged: None) -> None:
    trace, at_a, at_b = recorded_request(kernel, tmp_path).files
    fields = ("-e", "frame.interface_name", "-e", "http.request.uri")
    assert tshark(at_a, "-Y", "http.request", *fields) == [["a0:eth0", "/user/42"]]
    assert tshark(at_b, "-Y", "http.request", *fields) == [["b0:eth0", "/user/42"]]
    assert tshark(at_a, "-Y", "http.response", "-e", "http.response.code") == [["200"]]
    named = tshark(
        trace, "-Y", "tcp.flags == 0x002", "-e", "frame.interface_name", "-e", "frame.interface_description"
    )
    assert named == [["a0:eth0", "the client"], ["b0:eth0", ""]]


def test_our_own_decoder_agrees(kernel: Kernel, tmp_path: Path) -> None:
    summary = recorded_request(kernel, tmp_path)
    trace = list(frames(summary.files[0].read_bytes()))
    assert len(trace) == summary.packets
    assert all(one.time_ns <= other.time_ns for one, other in pairwise(trace))
    up, down = Stream(), Stream()
    for frame in [frame for frame in trace if frame.node == "a0"]:
        found = headers(frame.data)
        if found is not None and found.protocol == "tcp":
            payload = frame.data[found.payload_offset : found.payload_offset + found.payload_length]
            (up if found.dport == 443 else down).add(frame.number, found.seq, payload, found.flags)
    session = decrypt(up, down, KeyLog.parse((tmp_path / "keys.log").read_text()))
    assert (session.undecrypted, session.sni, session.version) == ("", NAME, "TLS 1.3")
    assert (session.client_plain.data, session.server_plain.data) == (REQUEST, RESPONSE)
    assert up.finished
    tcp = [frame for frame in trace if (found := headers(frame.data)) and found.protocol == "tcp"]
    at_a, at_b = ({identity(one.data): one for one in tcp if one.node == node} for node in ("a0", "b0"))
    assert at_a.keys() == at_b.keys()
    for key, one in at_a.items():
        found = headers(one.data)
        assert found is not None
        sent, received = (one, at_b[key]) if found.dport == 443 else (at_b[key], one)
        assert sent.time_ns <= received.time_ns, f"arrived before it left: {sent} {received}"


def switched() -> list[Operation]:
    """Hosts a and b on a switch sw: a:eth0 -- sw:pa, b:eth0 -- sw:pb."""
    made: list[Operation] = [CreateNamespace(node) for node in ("a", "b", "sw")]
    for n, node in enumerate("ab", 1):
        ends = (
            Port(node, "eth0", f"02:00:00:00:01:{n:02x}", 1500),
            Port("sw", f"p{node}", f"02:00:00:00:02:{n:02x}", 1500),
        )
        made.append(CreateVeth(*ends))
        made += [SetOffloads(end.node, end.interface, enabled=False) for end in ends]
        made.append(AddAddress(node, "eth0", f"10.0.0.{n}/24"))
    made.append(CreateBridge("sw", "br0", "02:00:00:00:00:01", ("pa", "pb")))
    return made


@pytest.mark.needs("tshark")
def test_every_packet_has_its_direction_at_hosts_and_at_the_ports_of_a_switch(
    kernel: Kernel, tmp_path: Path
) -> None:
    """At a port, neither of a frame's MAC addresses is the port's own. The sender's may even be forged."""
    kernel.apply(switched())
    places = ["a", "sw:pa", "sw:pb", "b"]
    with (
        udp_socket(kernel.namespace("a"), "10.0.0.1", 9) as a,
        udp_socket(kernel.namespace("b"), "10.0.0.2", 9) as b,
        recorder(kernel, places, tmp_path, "udp port 9") as running,
    ):
        for asked, answered in ((b"1", b"2"), (b"3", b"4")):
            a.sendto(asked, ("10.0.0.2", 9))
            assert b.recv(9) == asked
            b.sendto(answered, ("10.0.0.1", 9))
            assert a.recv(9) == answered
        counts = running.stop()
    assert [one["packets"] for one in counts] == [4, 4, 4, 4]
    trace = assemble(tmp_path, counts, "", {}, {}).files[0]
    found: dict[str, str] = {}
    for name, flag in tshark(trace, "-e", "frame.interface_name", "-e", "frame.packet_flags_direction"):
        found[name] = found.get(name, "") + {"0x00000001": "in ", "0x00000002": "out "}.get(flag, flag)
    assert found == {
        "a:eth0": "out in out in ",
        "sw:pa": "in out in out ",
        "sw:pb": "out in out in ",
        "b:eth0": "in out in out ",
    }


def test_a_filter_and_the_direction_hold_from_the_first_packet_on(kernel: Kernel, tmp_path: Path) -> None:
    """Packets come all the time, also while the filter is put in place."""
    kernel.apply(hosts())
    done, sent = threading.Event(), [0]
    sockets = [udp_socket(kernel.namespace(node)) for node in ("a0", "b0")]

    def chat() -> None:
        while not done.is_set():
            sent[0] += 1
            for udp, other in zip(sockets, ("10.0.0.2", "10.0.0.1"), strict=True):
                for port in (9, 10):
                    udp.sendto(b"%d" % sent[0], (other, port))

    chatting = threading.Thread(target=chat)
    chatting.start()
    try:
        with recorder(kernel, ["a0"], tmp_path, "udp dst port 9") as running:
            first = sent[0] + 1
            poll_until(lambda: raw(tmp_path, "a0", "eth0", "in").stat().st_size > 100, "packets come")
            last = sent[0]
            running.stop()
    finally:
        done.set()
        chatting.join()
        for udp in sockets:
            udp.close()
    for way, source in zip(DIRECTIONS, ("10.0.0.2", "10.0.0.1"), strict=True):
        seen = [headers(frame.data) for frame in frames(raw(tmp_path, "a0", "eth0", way).read_bytes())]
        assert {(one.src, one.dport) for one in seen if one} == {(source, 9)}
        numbers = [int(one.data[42:]) for one in frames(raw(tmp_path, "a0", "eth0", way).read_bytes())]
        assert [one for one in numbers if first <= one <= last] == list(range(first, last + 1))


def test_a_ring_is_bounded_and_counts_what_it_gave_up(kernel: Kernel, tmp_path: Path) -> None:
    kernel.apply(hosts())
    size = RingSize(64 * 1024, 3)
    largest = 0
    with (
        udp_socket(kernel.namespace("a0")) as a,
        udp_socket(kernel.namespace("b0")) as b,
        recorder(kernel, ["a0"], tmp_path, "udp port 9", size) as running,
    ):
        b.sendto(b"the first", ("10.0.0.1", 9))
        for number in range(3000):
            a.sendto(b"%d" % number, ("10.0.0.2", 9))
            if not number % 100:
                b.sendto(b"%d" % number, ("10.0.0.1", 9))
                running.thread.join(0.02)  # so that packets are spread over some blocks of the kernel's
                largest = max(largest, sum(path.stat().st_size for path in tmp_path.iterdir()))
        counts = running.stop()
    assert [(one["packets"], one["dropped"]) for one in counts] == [(3031, 0)]
    assert largest <= size.size * size.files
    assert len(pieces(raw(tmp_path, "a0", "eth0", "out"))) in (4, 5), sorted(tmp_path.iterdir())
    summary = assemble(tmp_path, counts, "", {}, {})
    kept = [frame.data[42:] for frame in frames(summary.files[1].read_bytes()) if frame.direction == "out"]
    assert kept == [b"%d" % number for number in range(3000 - len(kept), 3000)]
    assert 1000 < len(kept) < 2500
    assert summary.interfaces[0].missing == 3031 - summary.packets


def test_a_full_disk_is_told_and_what_was_written_can_be_read(kernel: Kernel, tmp_path: Path) -> None:
    kernel.apply(hosts())
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("none", str(disk), "tmpfs", data="size=256k")
    with recorder(kernel, ["a0"], disk, "udp port 9") as running, udp_socket(kernel.namespace("a0")) as udp:
        for _ in range(4000):
            udp.sendto(bytes(100), ("10.0.0.2", 9))
        running.control.sendall(b'{"op": "stop"}\n')
        heard = running.hear()
    assert heard["error"]["kind"] == "HostError"
    assert "the packets could not all be written" in heard["error"]["cause"], heard
    stats = salvage(disk, [("a0", "eth0")])
    with pytest.raises(HostError, match="No space left"):
        assemble(disk, stats, "", {}, {})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in disk.glob("*.pcap"):
        copyfile(path, elsewhere / path.name)
    summary = assemble(elsewhere, stats, "", {}, {})
    assert 1000 < summary.packets < 4000
    assert {frame.data[42:] for frame in frames(summary.files[0].read_bytes())} == {bytes(100)}


def test_no_packet_is_lost_on_sixty_interfaces(kernel: Kernel, tmp_path: Path) -> None:
    pairs, datagrams = 30, 300
    kernel.apply(hosts(pairs))
    nodes = [f"{side}{n}" for n in range(pairs) for side in "ab"]
    sockets = [udp_socket(kernel.namespace(f"a{n}")) for n in range(pairs)]
    with recorder(kernel, nodes, tmp_path, "udp and dst port 9") as running:
        for number in range(datagrams):
            for n, udp in enumerate(sockets):
                udp.sendto(b"%d" % number * 100, (f"10.0.{n}.2", 9))
        counts = running.stop()
    for udp in sockets:
        udp.close()
    assert [(one["node"], one["packets"], one["dropped"]) for one in counts] == [
        (node, datagrams, 0) for node in nodes
    ]
    summary = assemble(tmp_path, counts, "", {}, {})
    assert summary.packets == len(nodes) * datagrams
    assert summary.dropped == 0


def test_a_link_that_goes_down_does_not_end_the_recording(kernel: Kernel, tmp_path: Path) -> None:
    kernel.apply(hosts())
    sender, receiver = udp_socket(kernel.namespace("a0")), udp_socket(kernel.namespace("b0"), "10.0.0.2", 9)
    receiver.setblocking(False)

    def arrives(data: bytes) -> bool:
        """Sends again at each call: the kernel may take a while to use a link that came up."""
        with suppress(OSError):
            sender.sendto(data, ("10.0.0.2", 9))
        with suppress(BlockingIOError):
            return receiver.recv(100) == data
        return False

    with recorder(kernel, ["a0", "b0"], tmp_path, "udp and dst port 9") as running, sender, receiver:
        poll_until(lambda: arrives(b"before"), "a datagram crosses the link")
        for state in ("down", "up"):
            run_inside(kernel.namespace("a0"), "ip", "link", "set", "eth0", state)
        poll_until(lambda: arrives(b"after"), "a datagram crosses the link again", 20)
        running.stop()
    at: list[tuple[str, Direction]] = [("a0", "out"), ("b0", "in")]
    for node, way in at:
        payloads = {frame.data[42:] for frame in frames(raw(tmp_path, node, "eth0", way).read_bytes())}
        assert payloads == {b"before", b"after"}, node


def test_an_interface_that_disappears_is_told(kernel: Kernel, tmp_path: Path) -> None:
    kernel.apply(hosts())
    with recorder(kernel, ["a0", "b0"], tmp_path) as running:
        run_inside(kernel.namespace("a0"), "ip", "link", "del", "eth0")
        running.control.sendall(b'{"op": "stop"}\n')
        heard = running.hear()
    assert heard["error"]["kind"] == "LabError"
    assert "capturing eth0: The interface disappeared" in heard["error"]["cause"], heard


def test_silent_interfaces_have_valid_files(kernel: Kernel, tmp_path: Path) -> None:
    kernel.apply(hosts())
    with recorder(kernel, ["a0"], tmp_path, "tcp port 1") as running:
        counts = running.stop()
    assert counts == [{"node": "a0", "interface": "eth0", "packets": 0, "dropped": 0}]
    for path in assemble(tmp_path, counts, "", {}, {}).files:
        assert list(frames(path.read_bytes())) == []


def test_the_end_of_the_control_socket_ends_the_recording(kernel: Kernel, tmp_path: Path) -> None:
    kernel.apply(hosts())
    with (
        udp_socket(kernel.namespace("a0")) as udp,
        recorder(kernel, ["a0"], tmp_path, "udp port 9") as running,
    ):
        udp.sendto(b"x", ("10.0.0.2", 9))
        running.control.shutdown(socket.SHUT_RDWR)
        running.thread.join(10)
        assert not running.thread.is_alive()
    assert len(list(frames(raw(tmp_path, "a0", "eth0", "out").read_bytes()))) == 1


@pytest.mark.parametrize(
    ("interface", "capture_filter", "directory", "kind", "cause"),
    [
        ("eth0", "tcp porrt 80", "", "InputError", "capture filter 'tcp porrt 80': "),
        ("eth7", "", "", "LabError", "a0: capturing eth7: "),
        ("eth0", "", "missing", "HostError", "No such file or directory"),
    ],
)
def test_what_cannot_be_recorded_is_told(
    kernel: Kernel,
    tmp_path: Path,
    interface: str,
    capture_filter: str,
    directory: str,
    kind: str,
    cause: str,
) -> None:
    kernel.apply(hosts())
    target = Target("a0", interface, kernel.namespace("a0"))
    running = Recorder([target], tmp_path / directory, capture_filter)
    heard = running.hear()
    running.close()
    assert heard["error"]["kind"] == kind
    assert cause in heard["error"]["cause"]
