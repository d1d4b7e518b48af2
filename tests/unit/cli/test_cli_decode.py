"""`netlab decode` on good, foreign, cut, damaged and mutated files: results or clear errors, no traceback."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from netlab.cli.app import main
from netlab.decode.tls import KeyLog
from netlab.errors import CaptureError
from netlab.proto import pcapng
from netlab.proto.capture_file import CaptureFile
from netlab.report.packets import document, line, stack, tree
from netlab.trace.index import index
from netlab.trace.stack import stack_of
from netlab.trace.walk import Walk
from tests.kit.quic_bytes import MS, network
from tests.kit.tcp_path import TcpPath
from tests.kit.tls_bytes import contexts
from tests.kit.tls_path import NAME, Http2, secure


def http2_capture(folder: Path, *, secrets: bool = True) -> bytes:
    """A request over TLS, as the client saw it, in pcapng."""
    client, server, log = contexts(folder, NAME, "1.3", ("h2",))
    path = TcpPath()
    http = Http2(*secure(path, (client, server)), together=1, answer=lambda _: bytes(3000))
    http.client.ready = lambda: http.ask("/a")
    path.connect()
    path.run(lambda: len(http.done) == 1)
    keys = [pcapng.secrets(log.read_text())] if secrets else []
    packets = [pcapng.packet(0, one.time_ns, one.data) for one in path.frames("client")]
    return b"".join([pcapng.section("test"), pcapng.interface("client:eth0"), *keys, *packets])


def quic_capture() -> bytes:
    made = network()
    made.connect()
    made.fetch("/a")
    made.settle(100 * MS)
    packets = [pcapng.packet(0, one.time_ns, one.data) for one in made.frames("client")]
    keys = pcapng.secrets(made.secrets.getvalue())
    return b"".join([pcapng.section("test"), pcapng.interface("client:eth0"), keys, *packets])


def as_pcap(capture: bytes, order: str = "<", snaplen: int = 65535) -> bytes:
    """The same packets in the classic format, without secrets."""
    found = [struct.pack(order + "IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, snaplen, 1)]
    for block in pcapng.read(capture):
        if isinstance(block, pcapng.Packet):
            data = block.data[:snaplen]
            seconds, rest = divmod(block.time_ns, 1_000_000_000)
            found.append(struct.pack(order + "IIII", seconds, rest, len(data), block.length) + data)
    return b"".join(found)


def everything(capture: bytes) -> int:
    """Shows each packet in each way; how many there were. CaptureError is the only one allowed."""
    found = index(CaptureFile(capture))
    walk, count = Walk(found, KeyLog.parse("\n".join(found.file.secrets))), 0
    try:
        for packet in walk.packets():
            count += 1
            rows = stack_of(packet)
            assert line(packet, 0)
            assert tree(packet)
            assert stack(packet, rows)
            json.dumps(document(packet))
    except CaptureError:
        assert found.problem is not None
    return count


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["decode", *arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_lines_tree_stack_and_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.pcapng"
    file.write_bytes(http2_capture(tmp_path))
    code, out, err = run(capsys, str(file))
    assert (code, err) == (0, "")
    assert "HEADERS stream 1 GET /a" in out, out
    assert "client:eth0" in out
    code, out, _ = run(capsys, str(file), "--json")
    packets = [json.loads(row) for row in out.splitlines()]
    asked = next(one for one in packets if "GET /a" in one["summary"])
    code, out, _ = run(capsys, str(file), "--frame", str(asked["number"]))
    assert code == 0
    assert ":path: /a" in out, out
    code, out, _ = run(capsys, str(file), "--frame", str(asked["number"]), "--stack")
    assert [row[:2] for row in out.splitlines() if row.startswith("L")] == [
        f"L{osi}" for osi in range(7, 0, -1)
    ]
    code, out, _ = run(capsys, str(file), "--filter", "tcp[tcpflags] & tcp-syn != 0")
    assert (code, len(out.splitlines())) == (0, 2)


def test_missing_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.pcapng"
    file.write_bytes(http2_capture(tmp_path, secrets=False))
    code, out, _ = run(capsys, str(file))
    assert code == 0
    assert "encrypted application data" in out
    assert "the key log has no secrets for the client random" in out, out
    keys = next(path for path in tmp_path.iterdir() if "CLIENT_" in path.read_text(errors="replace"))
    code, out, _ = run(capsys, str(file), "--keys", str(keys))
    assert "GET /a" in out, out


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_of_pcap(order: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.pcap"
    file.write_bytes(as_pcap(http2_capture(tmp_path), order))
    code, out, _ = run(capsys, str(file))
    assert code == 0
    assert "ClientHello" in out, out


def test_a_snapshot_length_and_a_start_within(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.pcap"
    file.write_bytes(as_pcap(http2_capture(tmp_path), snaplen=100))
    code, out, _ = run(capsys, str(file))
    assert code == 0
    assert "bytes captured" in out, out
    whole = as_pcap(http2_capture(tmp_path))
    starts = [record for record in _records(whole) if record > 0]
    file.write_bytes(whole[:24] + whole[starts[6] :])
    code, out, _ = run(capsys, str(file))
    assert code == 0
    assert out


def _records(data: bytes) -> list[int]:
    found, place = [], 24
    while place < len(data):
        found.append(place)
        place += 16 + struct.unpack_from("<I", data, place + 8)[0]
    return found


def test_damage_is_told_after_what_comes_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = http2_capture(tmp_path)
    file = tmp_path / "cut.pcapng"
    file.write_bytes(whole[:-30])
    code, out, err = run(capsys, str(file))
    assert code == 2
    assert "ClientHello" in out
    assert "ends within a block" in err


@pytest.mark.parametrize("content", [b"", b"\x00", b"#!/bin/sh\n" * 9, pcapng.MAGIC, b"\xd4\xc3\xb2\xa1\0"])
def test_what_is_no_capture(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "no.pcap"
    file.write_bytes(content)
    code, out, err = run(capsys, str(file))
    assert (code, out) == (2, "")
    assert str(file) in err


def test_a_pipe_in_and_a_reader_that_leaves(tmp_path: Path) -> None:
    """From a pipe; and into one whose other end is closed: no complaint, the code that a shell has for it."""
    program = "import sys; from netlab.cli.app import main; sys.exit(main(['decode', '-']))"
    capture = http2_capture(tmp_path) + b"".join(pcapng.packet(0, 1, bytes(60)) for _ in range(5000))
    done = subprocess.run([sys.executable, "-c", program], input=capture, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 5000
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        argv = [sys.executable, "-c", program]
        left = subprocess.run(argv, input=capture, stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (left.returncode, left.stderr) == (141, b"")


def test_wrong_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.pcapng"
    file.write_bytes(http2_capture(tmp_path))
    code, _, err = run(capsys, str(file), "--filter", "tcp prt 1")
    assert code == 2
    assert "tcp prt 1" in err
    code, _, err = run(capsys, str(file), "--frame", "99999")
    assert code == 2
    assert "no packet 99999" in err
    assert run(capsys, str(tmp_path / "none"))[0] == 2
    assert run(capsys, str(tmp_path))[0] == 2
    assert run(capsys, str(file), "--keys", str(tmp_path / "none"))[0] == 2


def test_quic_without_secrets_or_start() -> None:
    whole = CAPTURES["quic"]
    blocks = [block for block in pcapng.read(whole) if isinstance(block, pcapng.Packet)]
    head = [pcapng.section(), pcapng.interface("client:eth0")]
    sealed = lines(b"".join([*head, *(pcapng.packet(0, one.time_ns, one.data) for one in blocks)]))
    assert any("ClientHello" in one for one in sealed), sealed
    assert any("1-RTT" in one and "TRAFFIC_SECRET_0" in one for one in sealed), sealed
    late = lines(b"".join([*head, *(pcapng.packet(0, one.time_ns, one.data) for one in blocks[4:])]))
    assert any("the connection's start isn't in the capture" in one for one in late), late


def test_an_unknown_link_type() -> None:
    capture = b"".join([pcapng.section(), pcapng.interface("a:b", linktype=147), pcapng.packet(0, 1, b"abc")])
    (told,) = lines(capture)
    assert "link type 147, which isn't decoded" in told


@pytest.mark.parametrize("linktype", [0, 1, 101, 113, 276])
def test_packets_cut_anywhere(linktype: int) -> None:
    """Every length of a packet, from nothing to all of it."""
    whole = segment(40000, 80, 1, b"GET / HTTP/1.1\r\n\r\n")
    cut = [pcapng.packet(0, size, whole[:size], len(whole)) for size in range(1, len(whole) + 1)]
    interface = pcapng.interface("a:b", linktype=linktype)
    assert everything(b"".join([pcapng.section(), interface, *cut])) == len(cut)


def lines(capture: bytes) -> list[str]:
    found = index(CaptureFile(capture))
    return [line(packet, 0) for packet in Walk(found, KeyLog.parse("\n".join(found.file.secrets))).packets()]


def test_memory_does_not_grow_with_the_capture() -> None:
    """Many connections one after the other: four times as many need hardly more than their places."""
    peaks, counts = [], []
    for connections in (5, 20):
        capture = _many(connections)
        tracemalloc.start()
        found = index(CaptureFile(capture))
        counts.append(sum(1 for _ in Walk(found, KeyLog.parse("")).packets()))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    grown, more = peaks[1] - peaks[0], counts[1] - counts[0]
    assert more > 1000
    assert grown < 150 * more + 200_000, (peaks, counts)


_PEAK = """
import re, sys
from pathlib import Path
from netlab.cli.app import main
status = main(sys.argv[1:])
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(int(peak[1]) * 1024, file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.parametrize("words", [("--filter", "udp"), ("--frame", "9000")])
def test_a_file_larger_than_the_memory_that_it_may_take(words: tuple[str, ...], tmp_path: Path) -> None:
    """A mapped file's pages count as memory too, until they are given back."""
    peaks = []
    for packets in (1000, 9000):
        file = tmp_path / f"{packets}.pcap"
        _sparse(file, packets, 65_000)
        argv = [sys.executable, "-c", _PEAK, "decode", str(file), *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == (2 if words == ("--frame", "9000") and packets == 1000 else 0), done
        peaks.append(int(done.stderr.splitlines()[-1]))
        size = file.stat().st_size
        file.unlink()
    assert size > 500_000_000
    assert peaks[1] < size / 3, (peaks, size)
    assert peaks[1] - peaks[0] < size / 5, (peaks, size)


def _sparse(file: Path, packets: int, size: int) -> None:
    """Many connections; of most packets only the headers take room on the disk."""
    with file.open("wb") as made:
        made.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, 1))
        head = bytearray(segment(80, 40_000, 1, b""))
        struct.pack_into(">H", head, 16, size - 14)
        for number in range(packets):
            struct.pack_into(">H", head, 36, 40_000 + number // 100)
            struct.pack_into(">I", head, 38, 1 + number % 100 * (size - 54))
            record = struct.pack("<IIII", number // 1000, number % 1000 * 1000, size, size) + head
            made.write(record)
            made.seek(size - len(head), os.SEEK_CUR)
        made.truncate(made.tell())


def _many(connections: int) -> bytes:
    """HTTP/1.1 in the clear, a response of 100 packets in each."""
    packets = []
    for number in range(connections):
        port, at = 40000 + number, number * 1_000_000
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        packets.append(pcapng.packet(0, at, segment(port, 80, 1, request)))
        body = b"HTTP/1.1 200 OK\r\nContent-Length: 120000\r\n\r\n" + bytes(120_000)
        packets += [
            pcapng.packet(0, at + start, segment(80, port, 1 + start, body[start : start + 1200]))
            for start in range(0, len(body), 1200)
        ]
    return b"".join([pcapng.section(), pcapng.interface("a:eth0"), *packets])


def segment(sport: int, dport: int, seq: int, data: bytes) -> bytes:
    ends = ("192.0.2.1", "192.0.2.2") if dport == 80 else ("192.0.2.2", "192.0.2.1")
    address = IP(src=ends[0], dst=ends[1])
    return bytes(
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        / address
        / TCP(sport=sport, dport=dport, seq=seq, flags="A")
        / data
    )


def test_small_limits_show_headers_only(tmp_path: Path) -> None:
    found = index(CaptureFile(http2_capture(tmp_path)))
    walk = Walk(found, KeyLog.parse("\n".join(found.file.secrets)), active=10)
    packets = list(walk.packets())
    assert walk.shallow == len(packets) == found.packets
    assert all(packet.protocol == "TCP" for packet in packets)


CAPTURES: dict[str, bytes] = {}


@pytest.fixture(scope="module", autouse=True)
def _captures(tmp_path_factory: pytest.TempPathFactory) -> None:
    CAPTURES["http2"] = http2_capture(tmp_path_factory.mktemp("tls"))
    CAPTURES["quic"] = quic_capture()


CHANGES = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["http2", "quic"]), CHANGES, st.integers(0, 1 << 20))
def test_mutated_captures(which: str, changes: list[tuple[int, int]], cut: int) -> None:
    """Bytes changed anywhere, and in half of the cases the end cut off."""
    damaged = bytearray(CAPTURES[which])
    for place, value in changes:
        damaged[place % len(damaged)] = value
    if cut % 2:
        del damaged[cut % len(damaged) :]
    if bytes(damaged[:4]) == pcapng.MAGIC:
        everything(bytes(damaged))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["http2", "quic"]), CHANGES, st.integers(0, 3))
def test_mutated_packets(which: str, changes: list[tuple[int, int]], kind: int) -> None:
    """Bytes changed within packets only, so that the file stays whole; other link types too."""
    blocks = [block for block in pcapng.read(CAPTURES[which]) if isinstance(block, pcapng.Packet)]
    data = [bytearray(block.data) for block in blocks]
    for place, value in changes:
        packet = data[place % len(data)]
        packet[(place >> 5) % len(packet)] = value
    linktype = (1, 1, 113, 101)[kind]
    interface = pcapng.interface("n:e", linktype=linktype)
    packets = [pcapng.packet(0, one.time_ns, bytes(b)) for one, b in zip(blocks, data, strict=True)]
    assert everything(b"".join([pcapng.section(), interface, *packets])) == len(blocks)
