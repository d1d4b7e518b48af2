"""Requests per second over HTTP/1.1, keep-alive: the app role beside hypercorn with the same response."""

from __future__ import annotations

import sys
from contextlib import ExitStack

from benchmarks.protocols_load import compare, free_port, print_table, program, role
from netlab.model.roles import AppSpec

TARGET = 1.5


def main() -> None:
    """Print rates, 99th percentiles and the ratio."""
    with ExitStack() as stack:
        port = free_port()
        sides = [stack.enter_context(role("app role", AppSpec(listen=port), port))]
        for loop in ("asyncio", "uvloop"):
            port = free_port()
            argv = [sys.executable, "-m", "benchmarks.protocols_hypercorn", str(port), loop]
            sides.append(stack.enter_context(program(f"hypercorn on {loop}", argv, port)))
        print_table(compare("benchmarks.protocols_load", sides, "/health"), TARGET)


if __name__ == "__main__":
    main()
