"""`make bench`: every benchmark in turn. Name some to run only these: python -m benchmarks chain."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = ("internet", "chain", "links", "protocols", "decode", "capture", "middle")


def main() -> None:
    """Run the named benchmarks, or all."""
    chosen = sys.argv[1:] or BENCHMARKS
    for name in chosen:
        if name not in BENCHMARKS:
            sys.exit(f"no benchmark {name}; there are: {', '.join(BENCHMARKS)}")
    sys.argv[1:] = []  # a benchmark reads its own arguments when it is run alone
    for name in chosen:
        print(f"--- {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
