"""Congestion control by routes, where the sysctl would be refused."""

from __future__ import annotations

import os
import subprocess

import pytest

from netlab.errors import InputError
from netlab.fabric.congestion import control_routes


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_routes_take_it_and_are_what_they_were_without_it() -> None:
    run("ip", "link", "add", "one0", "type", "veth", "peer", "name", "two0")
    run("ip", "addr", "add", "10.9.9.1/24", "dev", "one0")
    run("ip", "link", "set", "one0", "up")
    run("ip", "link", "set", "two0", "up")
    run("ip", "route", "add", "default", "via", "10.9.9.2", "proto", "static")
    run("ip", "route", "add", "10.8.0.0/16", "via", "10.9.9.3", "metric", "7")
    before = run("ip", "route", "show")
    namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    control_routes(namespace, "cubic")
    during = run("ip", "route", "show").splitlines()
    assert sum("congctl cubic" in line for line in during) == 2, during
    control_routes(namespace, "")
    assert run("ip", "route", "show") == before
    with pytest.raises(InputError, match="no congestion control 'vegetarian'"):
        control_routes(namespace, "vegetarian")
    os.close(namespace)
