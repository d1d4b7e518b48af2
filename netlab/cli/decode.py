"""`netlab decode`: what the packets of a capture say, layer by layer."""

from __future__ import annotations

import io
import json as jsonlib
import sys
from mmap import ACCESS_READ, mmap
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated

import typer

from netlab.errors import CaptureError, InputError

if TYPE_CHECKING:
    from netlab.trace.dissection import Dissection
    from netlab.trace.run import Run
    from netlab.trace.walk import Walk


def command(
    file: Annotated[Path, typer.Argument(help="A pcap or pcapng file, or - for stdin.", metavar="FILE")],
    frame: Annotated[int, typer.Option("--frame", min=0, help="Only this packet, whole.")] = 0,
    expression: Annotated[
        str, typer.Option("--filter", metavar="EXPR", help="Only packets that this pcap-filter(7) takes.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Data: an object a line.")] = False,
    tree: Annotated[bool, typer.Option("--tree", help="Every field, with its place.")] = False,
    stack: Annotated[bool, typer.Option("--stack", help="The OSI layers 7 to 1.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="With --frame: Wireshark's tree of it, by its sharkd.")
    ] = False,
    keys: Annotated[
        Path | None, typer.Option("--keys", metavar="KEYLOG", help="TLS secrets, beside those in FILE.")
    ] = None,
) -> None:
    """Show what the packets of a capture say: one line each, or every layer of them. Needs no root.

    Exit codes: 0 done, 2 the file is damaged (what comes before the damage is shown) or can't be read.
    """
    if tree + stack + deep > 1:
        raise InputError("--tree, --stack and --deep exclude each other")
    if deep:
        _deep(file, frame, keys, json=json)
        return
    shown = _Shown(file, json=json, tree=tree or (frame > 0 and not stack), stack=stack)
    walk = _walk(file, _opened(file), keys)
    if frame:
        if expression:
            raise InputError("--frame and --filter exclude each other")
        shown.show(walk.packet(frame))
    else:
        _all(walk, expression, shown)
    if walk.shallow:
        said = "their connections are too large to be decoded deeply at once"
        typer.echo(f"netlab: headers only of {walk.shallow} packets: {said}", err=True)
    if walk.index.problem is not None:
        raise walk.index.problem


def _deep(file: Path, frame: int, keys: Path | None, *, json: bool) -> None:
    from netlab.cli.sharkd import deep_tree
    from netlab.proto.capture_file import CaptureFile
    from netlab.report import deep_tree as told

    if not frame:
        raise InputError("--deep tells one packet", "name it with --frame")
    found = deep_tree(CaptureFile(_opened(file), str(file)), frame, _read(keys) if keys is not None else "")
    _speak_any()
    sys.stdout.write((jsonlib.dumps(told.document(found)) if json else told.text(found)) + "\n")


def _speak_any() -> None:
    """What the terminal's encoding lacks is replaced, not an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _all(walk: Walk, expression: str, shown: _Shown) -> None:
    from netlab.capture.packet_filter import PacketFilter

    chosen = PacketFilter(expression) if expression else None
    packets = walk.packets(
        None if chosen is None else lambda one: chosen.matches(one.data, one.length, one.linktype)
    )
    try:
        for packet in packets:
            shown.show(packet)
    except CaptureError:
        if walk.index.problem is None:
            raise  # else it is told at the end


def _walk(file: Path, data: bytes | mmap, keys: Path | None) -> Walk:
    from netlab.decode.tls import KeyLog
    from netlab.proto.capture_file import CaptureFile
    from netlab.trace.index import index
    from netlab.trace.walk import Walk

    found = index(CaptureFile(data, str(file)))
    text = "\n".join(found.file.secrets)
    if keys is not None:
        text += "\n" + _read(keys)
    return Walk(found, KeyLog.parse(text))


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error


def _opened(path: Path) -> bytes | mmap:
    """The file as a memory map; what can't be mapped (a pipe) is copied into a file without a name first."""
    try:
        with sys.stdin.buffer if str(path) == "-" else path.open("rb") as source, TemporaryFile() as copy:
            if not source.seekable():
                copyfileobj(source, copy)
                copy.flush()
            held = copy if not source.seekable() else source
            return mmap(held.fileno(), 0, access=ACCESS_READ) if held.seek(0, io.SEEK_END) else b""
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "give a pcap or pcapng file") from error


class _Shown:
    """Prints packets in the way that was asked for."""

    def __init__(self, file: Path, *, json: bool, tree: bool, stack: bool) -> None:
        self.json = json
        self.tree = tree
        self.stack = stack
        self.run = _run_beside(file) if stack else None
        self.start_ns = -1
        _speak_any()

    def show(self, packet: Dissection) -> None:
        if self.start_ns < 0:
            self.start_ns = packet.frame.time_ns
        sys.stdout.write(self._text(packet) + "\n")

    def _text(self, packet: Dissection) -> str:
        from netlab.report import packets
        from netlab.trace.stack import stack_of

        if self.stack:
            rows = stack_of(packet, self.run)
            if not self.json:
                return packets.stack(packet, rows)
            made = packets.stack_document(packet, rows)
        elif self.json:
            made = packets.document(packet)
        else:
            return packets.tree(packet) if self.tree else packets.line(packet, self.start_ns)
        return jsonlib.dumps(made, ensure_ascii=False, separators=(",", ":"))


def _run_beside(file: Path) -> Run | None:
    """run.json beside the capture, or a directory above it (of a hop's file)."""
    from netlab.trace.run import Run

    for folder in (file.parent, file.parent.parent):
        path = folder / "run.json"
        if path.is_file():
            return Run.from_json(_read(path))
    return None
