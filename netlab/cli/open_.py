"""`netlab open`: a run in Wireshark."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from netlab.errors import HostError, InputError
from netlab.model.suggest import nearest


def command(
    run: Annotated[Path, typer.Argument(help="A run directory that `netlab trace` wrote.", metavar="RUN")],
    at: Annotated[
        str,
        typer.Option(help="One interface's capture (node:interface); all of them without it.", metavar="END"),
    ] = "",
    print_only: Annotated[bool, typer.Option("--print", help="Say the command, and start nothing.")] = False,
) -> None:
    """Open a run's capture in Wireshark, decrypted, with columns and colours that say where each packet was
    seen. Without Wireshark, or without a display, it says the command to type.

    Wireshark before 4.4 takes a packet's second sighting for a retransmission; it gets the capture of the
    interface at which the run's first packet was seen, if --at names none.

    Exit codes: 0 done, 2 the directory can't be read or has no such capture.
    """
    from netlab.report.wireshark import DEINTERLACING
    from netlab.trace.recording import Recording

    read = Recording.load(run)
    version = _version()
    hops = {path.stem.replace(".", ":", 1): path for path in sorted((run / "hops").glob("*.pcapng"))}
    if at and at not in hops:
        raise InputError(f"{run} has no capture of {at}", nearest(at, hops, "captures"))
    capture = hops[at] if at else run / read.run.capture.file
    if not at and (0,) < version < DEINTERLACING and read.frames:
        first = read.frames[0]
        capture = hops[f"{first.node}:{first.interface}"]
        typer.echo(
            f"Wireshark {'.'.join(map(str, version))}: one interface at a time; --at chooses", err=True
        )
    profile = _profile(run, version, hops)
    if print_only or not _can_show():
        typer.echo(f"WIRESHARK_CONFIG_DIR={profile} wireshark {capture}")
        return
    _start(profile, capture)


def _version() -> tuple[int, ...]:
    """Of Wireshark, or of tshark, which goes with it; (0,) where neither is installed."""
    for program in ("wireshark", "tshark"):
        path = shutil.which(program)
        if path is not None:
            text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
            if found is not None:
                return tuple(int(part) for part in found.groups(default="0"))
    return (0,)


def _profile(run: Path, version: tuple[int, ...], hops: dict[str, Path]) -> Path:
    """RUN/wireshark, written anew. Where the run can't be written to, that is an error: HostError."""
    from netlab.report.wireshark import colour_filters, preferences

    place = run / "wireshark"
    try:
        place.mkdir(exist_ok=True)
        (place / "preferences").write_text(preferences(version), encoding="utf-8")
        (place / "colorfilters").write_text(colour_filters(hops), encoding="utf-8")
    except OSError as error:
        remedy = "copy the run to a place of yours, or run this as who made it"
        raise HostError(f"{place}: {error.strerror}", remedy) from error
    return place


def _can_show() -> bool:
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return shutil.which("wireshark") is not None and bool(display)


def _start(profile: Path, capture: Path) -> None:
    """Wireshark lives on when this ends."""
    environment = os.environ | {"WIRESHARK_CONFIG_DIR": str(profile.resolve())}
    subprocess.Popen(
        ["wireshark", str(capture)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
