"""Stopping a process with all below it."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from netlab.lab.process_tree import signal_tree
from tests.kit.poll import poll_until


def states(pids: set[int]) -> set[str]:
    """As proc(5) has them."""
    return {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids}


def test_children_and_their_children_stop_and_go_on() -> None:
    script = "sleep 60 & sh -c 'sleep 60 & wait' & wait"
    root = subprocess.Popen(["sh", "-c", script])
    met: set[int] = set()
    try:

        def all_started() -> bool:
            met.update(signal_tree(root.pid, signal.SIGCONT))
            return len(met) == 4

        poll_until(all_started, "four processes run")
        assert signal_tree(root.pid, signal.SIGSTOP) == met
        assert poll_until(lambda: states(met) == {"T"}, f"all are stopped: {met}")
        assert signal_tree(root.pid, signal.SIGCONT) == met
        assert "T" not in states(met)
    finally:
        signal_tree(root.pid, signal.SIGKILL)
        root.wait()


def test_a_process_that_has_ended_is_passed_over() -> None:
    root = subprocess.Popen(["true"])
    root.wait()
    assert signal_tree(root.pid, signal.SIGCONT) == {root.pid}
