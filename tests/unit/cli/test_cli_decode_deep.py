"""`netlab decode --deep`: Wireshark's tree of a packet, where its sharkd is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netlab.cli.app import main
from netlab.errors import CaptureError
from netlab.proto import pcapng
from netlab.report.deep_tree import answered, conversation, document, text
from tests.kit.tcp_path import TcpPath
from tests.kit.tls_bytes import contexts
from tests.kit.tls_path import NAME, Http2, secure


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What both ends saw of a request over HTTP/2, merged, without secrets; and the key log."""
    folder = tmp_path_factory.mktemp("deep")
    client, server, log = contexts(folder, NAME, "1.3", ("h2",))
    path = TcpPath()
    http = Http2(*secure(path, (client, server)))
    http.client.ready = lambda: http.ask("/a")
    path.connect()
    path.run(lambda: bool(http.done))
    path.settle()
    blocks = [pcapng.section(), pcapng.interface("client:eth0"), pcapng.interface("server:eth0")]
    blocks += [pcapng.packet(int(one.node == "server"), one.time_ns, one.data) for one in path.frames()]
    file = folder / "both.pcapng"
    file.write_bytes(b"".join(blocks))
    return file, log


def told(file: Path, number: int, keys: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["decode", str(file), "--frame", str(number), "--deep", "--keys", str(keys), *words]) == 0
    return capsys.readouterr().out


def nodes(tree: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in tree:
        yield one
        yield from nodes(one["children"])


@pytest.mark.needs("sharkd")
def test_a_packet_at_the_second_interface_is_decrypted_and_each_field_has_its_bytes(
    capture: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, keys = capture
    blocks = [one for one in pcapng.read(file.read_bytes()) if isinstance(one, pcapng.Packet)]
    seen = [number for number, one in enumerate(blocks, 1) if one.interface == 1]
    asked = [number for number in seen if "GET /a" in told(file, number, keys, capsys)]
    assert len(asked) == 1, "the request came once to the server"
    text = told(file, asked[0], keys, capsys)
    assert f"Frame {seen.index(asked[0]) + 1}: " in text
    assert "server:eth0" in text
    found = json.loads(told(file, asked[0], keys, capsys, "--json"))
    assert found["sources"][0] == "frame"
    raw = blocks[asked[0] - 1].data
    port = next(one for one in nodes(found["tree"]) if one["filter"] == "tcp.dstport == 443")
    assert int.from_bytes(raw[port["start"] : port["start"] + port["length"]]) == 443
    path = next(one for one in nodes(found["tree"]) if one["label"] == "Header: :path: /a")
    assert found["sources"][path["source"]].startswith("Decrypted TLS")


@pytest.mark.needs("sharkd")
def test_what_cannot_be_asked(capture: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (("--frame", "100000", "--deep"), "no packet 100000"),
        (("--deep",), "--deep tells one packet"),
        (("--frame", "1", "--deep", "--stack"), "exclude each other"),
    ):
        assert main(["decode", str(capture[0]), *words]) == 2
        assert said in capsys.readouterr().err


def test_without_sharkd_it_says_what_to_install(
    capture: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("netlab.cli.sharkd.shutil.which", lambda _: None)
    assert main(["decode", str(capture[0]), "--frame", "1", "--deep"]) != 0
    shown = capsys.readouterr().err
    assert "needs sharkd, which isn't installed" in shown
    assert "--tree" in shown


def test_answers_are_read_and_refusals_told() -> None:
    node = {
        "l": "A",
        "h": [1, 2],
        "f": "a == 1",
        "n": [{"l": "B", "h": [0, 4], "ds": 1, "g": True}, {"l": "C"}],
    }
    reply = {"jsonrpc": "2.0", "id": 2, "result": {"tree": [node], "ds": [{"name": "Decrypted (4 bytes)"}]}}
    tree = answered(f'{{"id": 1, "result": {{"status": "OK"}}}}\n{json.dumps(reply)}\n')
    assert text(tree).splitlines() == ["A  [1 +2]", "  B  [0 +4] Decrypted (4 bytes)", "  C"]
    assert document(tree)["tree"][0]["children"][0]["generated"] is True
    refused = '{"jsonrpc":"2.0","id":1,"error":{"code":-5001,"message":"Unable to open the file"}}'
    with pytest.raises(CaptureError, match="Unable to open the file"):
        answered(refused)
    for other in ("", "no JSON", '{"result": {}}'):
        with pytest.raises(CaptureError):
            answered(other)


def test_a_file_name_is_data() -> None:
    said = conversation('/tmp/"}\n{"method":"bye', 3, "k")
    methods = [json.loads(line)["method"] for line in said.splitlines()]
    assert methods == ["setconf", "load", "frame", "bye"]
