"""What this machine offers, and what is missing: one finding per line of `netlab doctor`."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netlab.errors import NetlabError
from netlab.lab import state

_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """`required`: nothing works without it; else only what `found` or `remedy` says."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    required: bool = True

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def examine() -> list[Finding]:
    """All findings. Nothing is changed: what is tried is tried where it vanishes."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _root,
        _state_directory,
        _kernel,
        _nft,
        _libpcap,
        _postgres,
        _tshark,
        _same_name,
    )
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("python", sys.version_info >= (3, 11), version, "netlab needs Python 3.11 or later")


def _root() -> Iterator[Finding]:
    root = os.geteuid() == 0
    yield Finding("root", root, "yes" if root else "no", "" if root else "run it with sudo")


def _state_directory() -> Iterator[Finding]:
    place = state.ROOT if state.ROOT.exists() else state.ROOT.parent
    writable = os.access(place, os.W_OK)
    found = f"{place} is {'writable' if writable else 'not writable'}"
    yield Finding("state directory", writable, found, "" if writable else "run it with sudo")


def _kernel() -> Iterator[Finding]:
    if os.geteuid() != 0:
        yield Finding("kernel", False, "can't be tried without root", "run it with sudo")
        return
    from netlab.fabric.probe import probe

    try:
        capabilities = probe()
    except NetlabError as error:
        yield Finding("network namespaces", False, error.cause, error.remedy)
        return
    yield Finding("network namespaces", True, f"can be made; kernel {os.uname().release}")
    if capabilities.netem:
        seeds = (
            "" if capabilities.netem_seed else "; links with a seed are relayed (netem has it from 6.6 on)"
        )
        yield Finding("links", True, f"netem: the kernel impairs them{seeds}", required=False)
    else:
        missing = "sch_netem, or sch_ingress, cls_u32 or act_mirred beside it"
        found = f"wire: this kernel has no {missing}, so netlab relays impaired links itself"
        yield Finding("links", True, found, required=False)
    yield _namespaces()


def _namespaces() -> Finding:
    missing = [
        kind for kind in ("mnt", "net", "pid", "ipc", "uts") if not Path("/proc/self/ns", kind).exists()
    ]
    remedy = f"this kernel was built without namespaces: {', '.join(missing)}" if missing else ""
    return Finding("isolation", not missing, "mount, PID, IPC and UTS namespaces", remedy)


def _nft() -> Iterator[Finding]:
    yield _program("nft", ("nft", "--version"), "apt install nftables", required=True)


def _libpcap() -> Iterator[Finding]:
    found = ctypes.util.find_library("pcap")
    remedy = "" if found else "apt install libpcap0.8"
    yield Finding("libpcap", found is not None, found or "not found: nothing can be captured", remedy)


def _postgres() -> Iterator[Finding]:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version_of)
    program = versions[-1] if versions else shutil.which("postgres")
    if program is None:
        cause = "not found: no `database` role can run"
        yield Finding("postgres", False, cause, "apt install postgresql", required=False)
        return
    said = _first_line((str(program), "--version"))
    yield Finding(
        "postgres", bool(said), f"{said} ({program})", "" if said else f"{program} doesn't run", False
    )


def _version_of(path: Path) -> float:
    try:
        return float(path.parent.parent.name)
    except ValueError:
        return 0.0


def _tshark() -> Iterator[Finding]:
    finding = _program("tshark", ("tshark", "--version"), "apt install tshark", required=False)
    yield finding


def _program(name: str, argv: tuple[str, ...], remedy: str, *, required: bool) -> Finding:
    path = shutil.which(argv[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        return Finding(name, False, "not found", remedy, required)
    said = _first_line((path, *argv[1:]))
    return Finding(name, bool(said), f"{said or 'does not run'} ({path})", "" if said else remedy, required)


def _first_line(argv: tuple[str, ...]) -> str:
    """What the program says first; empty where it doesn't run."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return next((line.strip() for line in done.stdout.splitlines() if line.strip()), "")


def _same_name() -> Iterator[Finding]:
    """Another lab tool has the same command name; with both on PATH, which one runs depends on its order."""
    others = [path for path in _on_path("netlab") if not _is_ours(path)]
    found = f"another program called netlab: {others[0]}" if others else "no other program called netlab"
    remedy = f"call this one by its path: {sys.argv[0]}" if others else ""
    yield Finding("command", not others, found, remedy, required=False)


def _on_path(name: str) -> Iterator[Path]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = Path(folder or ".", name)
        # os.access first: a folder that this user may not enter is an error to Path.is_file
        if os.access(path, os.R_OK | os.X_OK) and path.is_file():
            yield path


def _is_ours(path: Path) -> bool:
    """Our script imports netlab.cli; so does no other."""
    with path.open("rb") as file:
        return b"netlab.cli" in file.read(4096)
