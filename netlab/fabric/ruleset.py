"""nftables rulesets, by the nft program."""

from __future__ import annotations

import shutil

from netlab.errors import HostError, LabError


def find_nft() -> str:
    """The path of the nft program, empty if there is none. Looks where Debian has it even if PATH doesn't."""
    return shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin:/usr/local/sbin") or ""


def load(text: str, what: str) -> None:
    """Replace nothing and add `text` to the ruleset of the namespace that the calling thread is in.

    All of it or nothing (nft's transactions). HostError where nft is missing; LabError with nft's own
    message where it refuses. `what` begins the message.
    """
    import subprocess

    nft = find_nft()
    if not nft:
        raise HostError(f"{what}: the program nft is missing", "apt-get install nftables")
    done = subprocess.run([nft, "-f", "-"], input=text.encode(), capture_output=True, check=False)
    if done.returncode:
        raise LabError(f"{what}: {done.stderr.decode(errors='replace').strip()}")
