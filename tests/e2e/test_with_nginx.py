"""nginx, HAProxy, varnish and hitch as the middle tier: a request goes through all, and all end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from netlab.model.find import find
from netlab.model.load import load
from netlab.model.roles import CommandSpec
from tests.e2e.conftest import Done, Lab, own_lab
from tests.e2e.test_trace_scenarios import trace, verdicts
from tests.kit.poll import poll_until

pytestmark = pytest.mark.needs("nginx", "haproxy", "varnishd", "hitch", "curl")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def middle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from own_lab(tmp_path_factory.mktemp("with"), "with-nginx")


def curl(lab: Lab, *words: str, node: str = "client-a") -> Done:
    done = lab.netlab("exec", node, "--lab", lab.name, "--", "curl", "-sS", "--max-time", "10", *words)
    assert done.status == 0, done
    return done


def headers(lab: Lab, url: str, *words: str, node: str = "client-a") -> dict[str, str]:
    """Names in lower case; `status` is the last of the status line."""
    first, *rest = curl(lab, "-D", "-", "-o", "/dev/null", *words, url, node=node).stdout.splitlines()
    found = {"status": first.split()[1]}
    for line in filter(None, rest):
        name, _, value = line.partition(":")
        key = name.lower()
        found[key] = f"{found[key]}, {value.strip()}" if key in found else value.strip()
    return found


# First, as connections between the tiers that stand already can't be decrypted.


def test_the_cdn_s_scenario_finds_in_varnish_what_a_cache_does(middle: Lab) -> None:
    found = trace(middle, "cdn", topology="with-nginx")
    told = verdicts(found)
    for name in ("hit", "miss", "validate", "purge", "vary", "collapse", "shield", "offload"):
        assert told[f"cdn-{name}"] == "holds", (name, found["claims"])


def test_the_proxy_s_scenario_finds_in_nginx_the_client_s_address(middle: Lab) -> None:
    found = trace(middle, "proxy", topology="with-nginx")
    told = verdicts(found)
    assert (told["proxy-tls"], told["proxy-forwarded"]) == ("holds", "holds"), found["claims"]
    assert told["proxy-jwt"] == "not run", found["claims"]


def test_the_balancer_s_scenario_finds_in_haproxy_what_can_be_seen_without_settings(middle: Lab) -> None:
    found = trace(middle, "lb", topology="with-nginx")
    told = verdicts(found)
    for name in ("round-robin", "round-robin-load", "unhealthy-removed", "next-upstream", "layer-4-unread"):
        assert told[name] == "holds", (name, found["claims"], found["tables"])
    for name in ("least-connections", "weighted", "ip-hash-affinity", "passive-faster"):
        assert told[name] == "not run", (name, found["claims"])
    assert any("left out" in note for note in found["tables"][0]["notes"]), found["tables"][0]


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_request_goes_through_every_program_to_an_app(middle: Lab, version: str) -> None:
    url = f"https://api.example.com/objects/1?{version}"
    done = curl(
        middle,
        version,
        "-H",
        f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01",
        "-D",
        "-",
        "-o",
        "/dev/null",
        url,
    )
    assert done.stdout.startswith(f"HTTP/{'2' if version == '--http2' else '1.1'} 200"), done
    assert done.stdout.lower().count("via: 1.1 varnish") == 2, done  # edge and shield
    assert "server: nginx" in done.stdout.lower(), done
    lines = (middle.state / "events.jsonl").read_text().splitlines()
    came = [one for one in map(json.loads, lines) if one["event"] == "request-received"]
    (seen,) = [one for one in came if one["target"].endswith(version)]
    assert seen["node"].startswith("app-"), seen


def test_what_is_kept_comes_from_varnish_and_a_purge_makes_both_tiers_forget(middle: Lab) -> None:
    url = "https://api.example.com/objects/7?max_age=60&size=500"
    first, second = headers(middle, url), headers(middle, url)
    assert (first["status"], first["cache-status"]) == ("200", "edge; fwd=miss"), first
    assert (second["status"], second["cache-status"]) == ("200", "edge; hit"), second
    assert len(second["x-varnish"].split(",")[-1].split()) == 2, second  # of two requests: a hit
    assert int(second["age"].split(",")[-1]) < 60, second
    refused = headers(middle, url, "-X", "PURGE", node="client-b")
    assert refused["status"] == "403", refused
    assert headers(middle, url, "-X", "PURGE")["status"] == "200"
    after = headers(middle, url)
    assert after["cache-status"] == "edge; fwd=miss", after
    assert len(after["x-varnish"].split(",")[0].split()) == 1, after  # the shield asked too


def test_secrets_between_the_tiers_are_in_the_key_log(middle: Lab) -> None:
    """varnish asks by HAProxy over TLS 1.2: RFC 5246 secrets, a line for each request."""
    headers(middle, "https://api.example.com/objects/2")

    def told() -> list[str]:
        path = middle.state / "keys" / "edge-london.command-3.keys"
        return [line for line in path.read_text().splitlines() if len(line.split()) == 3]

    lines = poll_until(told, "the key log has secrets")
    for line in lines:
        label, chance, secret = line.split()
        assert (label, len(chance), len(secret)) == ("CLIENT_RANDOM", 64, 96), lines


def test_an_app_that_is_gone_is_left_out_by_nginx_and_by_haproxy(middle: Lab) -> None:
    assert middle.netlab("fault", "kill", "app-2", "--for", "60s", "--lab", middle.name).status == 0
    statuses = {headers(middle, f"https://api.example.com/objects/{n}")["status"] for n in range(4)}
    assert statuses == {"200"}
    assert middle.netlab("fault", "clear", "--lab", middle.name).status == 0


def test_the_network_is_that_of_middle() -> None:
    """A change of middle.yaml is to be made in with-nginx.yaml too."""
    ours, theirs = load(find("middle")), load(find("with-nginx"))
    assert list(ours.nodes) == list(theirs.nodes)
    assert [one.model_dump() for one in ours.links] == [one.model_dump() for one in theirs.links]
    for name, node in theirs.nodes.items():
        replaced = any(isinstance(role, CommandSpec) for role in node.roles)
        assert node.interfaces == ours.nodes[name].interfaces, name
        assert node.resolvers == ours.nodes[name].resolvers, name
        assert replaced or node.roles == ours.nodes[name].roles, name


def test_each_file_is_used() -> None:
    folder = Path(find("with-nginx")).parent / "with-nginx"
    used = {
        Path(written).name
        for node in load(find("with-nginx")).nodes.values()
        for role in node.roles
        if isinstance(role, CommandSpec)
        for written in role.config
    }
    assert used == {path.name for path in folder.iterdir()}
