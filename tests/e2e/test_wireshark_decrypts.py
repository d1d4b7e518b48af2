"""A run's files in Wireshark's engine, with no key file and no settings: all TLS and QUIC is decrypted, at
every hop, and every packet says at which interface it was seen."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

from netlab.decode.frame import frames, headers
from tests.e2e.conftest import Lab
from tests.e2e.test_trace_rest import a_lab

pytestmark = [pytest.mark.needs("postgres"), pytest.mark.needs("tshark")]

TLS_IN_TLS = "23"  # the content type that TLS 1.3 gives every encrypted record (RFC 8446, section 5.2)
RETRY = "3"  # a QUIC packet without a number; Version Negotiation has no type
FIELDS = (
    "frame.number",
    "frame.interface_name",
    "tls.record.version",
    "tls.record.opaque_type",
    "tls.record.content_type",
    "quic.header_form",
    "quic.long.packet_type",
    "quic.packet_number",
    "quic.frame_type",
    "quic.remaining_payload",
    "quic.decryption_failed",
)


@dataclass(frozen=True)
class Seen:
    """A packet, as tshark has it: for each field, its values."""

    values: dict[str, list[str]]

    def count(self, field: str) -> int:
        return len(self.values[field])

    @property
    def encrypted_records(self) -> int:
        return self.values["tls.record.opaque_type"].count(TLS_IN_TLS)

    @property
    def quic_packets(self) -> int:
        return self.count("quic.header_form") - self.values["quic.long.packet_type"].count(RETRY)

    @property
    def closed(self) -> str:
        """What isn't decrypted; nothing, if all is.

        Each TLS record has a version. A record of TLS 1.3 that is decrypted has its true content type beside
        that of its head; one that isn't has none. A QUIC packet that is decrypted has its number and frames.
        """
        closed = self.count("tls.record.version") - self.count("tls.record.content_type")
        if closed:
            return f"{closed} TLS records"
        failed = self.count("quic.remaining_payload") + self.count("quic.decryption_failed")
        numbered = self.count("quic.packet_number")
        if failed or numbered != self.quic_packets or (numbered and not self.count("quic.frame_type")):
            return f"{self.quic_packets} QUIC packets, {numbered} with a number, {failed} failed"
        return ""


def tshark(path: Path) -> list[Seen]:
    """Without any settings of a user's."""
    fields = [word for field in FIELDS for word in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-r", str(path), "-T", "fields", "-E", "occurrence=a", *fields],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"HOME": "/nonexistent", "PATH": "/usr/bin"},
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [
        Seen({name: row.split(",") if row else [] for name, row in zip(FIELDS, one, strict=True)})
        for one in rows
    ]


def talkative(hops: Path) -> list[Path]:
    """The files in which there is TCP or UDP; there can be no TLS or QUIC in the others."""
    found = []
    for path in sorted(hops.glob("*.pcapng")):
        seen = (headers(frame.data) for frame in frames(path.read_bytes(), str(path)))
        if any(one is not None and one.protocol in ("tcp", "udp") for one in seen):
            found.append(path)
    return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from a_lab(tmp_path_factory.mktemp("decrypts"))


@pytest.mark.parametrize(("version", "kind"), [(("--http", "3"), "quic"), ((), "tls")], ids=["3", "1.1"])
def test_everything_is_decrypted_at_every_hop(lab: Lab, version: Sequence[str], kind: str) -> None:
    folder = lab.directory / "-".join(("run", *version))
    traced = lab.netlab("trace", "rest", *version, "--keep", "--lab", lab.name, "--out", str(folder))
    assert traced.status == 0, traced
    closed, records, packets = [], 0, 0
    files = talkative(folder / "hops")
    with ThreadPoolExecutor(2) as pool:
        for path, found in zip(files, pool.map(tshark, files), strict=True):
            node, _, interface = path.stem.partition(".")
            names = {value for one in found for value in one.values["frame.interface_name"]}
            assert names == {f"{unquote(node)}:{unquote(interface)}"}, path
            closed += [
                f"{path.name} {one.values['frame.number']}: {one.closed}" for one in found if one.closed
            ]
            records += sum(one.encrypted_records for one in found)
            packets += sum(one.quic_packets for one in found)
    assert closed == [], f"{len(closed)} packets of {len(files)} files"
    assert len(files) > 20, files
    assert (packets if kind == "quic" else records) > 200, f"{records} TLS records, {packets} QUIC packets"


def test_what_is_asked_above_is_refused_without_secrets(lab: Lab) -> None:
    """So it is a question that can be answered with no."""
    for version in ((), ("--http", "3")):
        path = lab.directory / "-".join(("run", *version)) / "hops" / "client-a.eth0.pcapng"
        bare = lab.directory / "bare.pcapng"
        subprocess.run(["editcap", "--discard-all-secrets", str(path), str(bare)], check=True)
        assert any(one.closed for one in tshark(bare)), version
    assert lab.netlab("down", lab.name).status == 0
