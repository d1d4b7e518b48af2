"""Hits of the CDN role beside nginx's proxy_cache, varnish behind hitch, and hypercorn as a Python floor.

Each is one process with one worker (varnish has threads), serves TLS 1.3 and HTTP/1.1, and has the same
response in its cache: hypercorn makes it.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.middle_load import NAME, compare, found
from benchmarks.nginx import configured
from benchmarks.protocols_load import Side, free_port, print_verdict, program, role
from netlab.model.launch import Identity
from netlab.model.roles import CdnSpec
from netlab.pki.authority import Authority

TARGET = 2.0
PATH = "/cached"
_CACHED = """
      proxy_pass http://127.0.0.1:{origin};
      proxy_cache bench;
"""
_HITCH = """
frontend = {{ host = "127.0.0.1" port = "{port}" }}
backend = "[127.0.0.1]:{backend}"
pem-file = "{directory}/both.pem"
workers = 1
daemon = off
quiet = on
user = "nobody"
alpn-protos = "http/1.1"
"""


def main() -> None:
    """Print requests per second of each, and the ratios."""
    authority = Authority.create("bench", datetime.now(UTC))  # noqa: TID251 - certificates of today
    identity = authority.issue((NAME,))
    with ExitStack() as stack:
        directory = _directory(stack, identity)
        files = [str(directory / name) for name in ("chain.pem", "key.pem")]
        plain, secure = free_port(), free_port()
        stack.enter_context(_hypercorn("origin", plain))
        floor = stack.enter_context(_hypercorn("hypercorn", secure, *files))
        port = free_port()
        spec = CdnSpec(
            listen=port, names=(NAME,), http=("1.1",), origin=f"127.0.0.1:{secure}", origin_name=NAME
        )
        cdn = role("cdn role, hits", spec, port, identity=identity, trust_pem=authority.root_pem)
        sides = [stack.enter_context(cdn), floor]
        sides += _peers(stack, directory, plain)
        rates = compare(sides, PATH)
    for one in rates:
        spread = f"{min(one.rounds):,.0f} to {max(one.rounds):,.0f}"
        print(f"{one.name:24} {one.median:10,.0f} requests/s ({spread})")
    ours, hypercorn, *others = rates
    ratio = ours.median / hypercorn.median
    print_verdict(f"{ratio:.2f} times hypercorn", f"at least {TARGET:g}", met=ratio >= TARGET)
    for one in others:
        print(f"{ours.median / one.median:.2f} times {one.name}")


def _hypercorn(name: str, port: int, *files: str) -> AbstractContextManager[Side]:
    argv = [sys.executable, "-m", "benchmarks.protocols_hypercorn", str(port), "asyncio", *files]
    return program(name, argv, port)


def _directory(stack: ExitStack, identity: Identity) -> Path:
    """The certificate, for those that read it from files."""
    directory = Path(stack.enter_context(TemporaryDirectory()))
    directory.chmod(0o755)  # nginx's workers are another user
    (directory / "chain.pem").write_text(identity.chain_pem)
    (directory / "key.pem").write_text(identity.key_pem)
    (directory / "both.pem").write_text(identity.key_pem + identity.chain_pem)
    return directory


def _peers(stack: ExitStack, directory: Path, origin: int) -> list[Side]:
    sides = []
    if nginx := found("nginx"):
        port = free_port()
        before = f"  proxy_cache_path {directory}/cache keys_zone=bench:1m;"
        argv = [nginx, *configured(directory, port, _CACHED.format(origin=origin), before)]
        sides.append(stack.enter_context(program("nginx proxy_cache", argv, port)))
    varnish, hitch = found("varnishd"), found("hitch")
    if varnish and hitch:
        sides.append(_varnish(stack, varnish, hitch, directory, origin))
    return sides


def _varnish(stack: ExitStack, varnish: str, hitch: str, directory: Path, origin: int) -> Side:
    backend, port = free_port(), free_port()
    argv = [varnish, "-F", "-n", str(directory / "varnish"), "-s", "malloc,64m"]
    argv += ["-a", f"127.0.0.1:{backend}", "-b", f"127.0.0.1:{origin}"]
    stack.enter_context(program("varnish", argv, backend, quiet=True))
    config = directory / "hitch.conf"
    config.write_text(_HITCH.format(directory=directory, port=port, backend=backend))
    return stack.enter_context(
        program("varnish behind hitch", [hitch, f"--config={config}"], port, quiet=True)
    )


if __name__ == "__main__":
    main()
