"""Scenario A of the guide: one client asks for user 42, straight from the origin, then through the CDN.

Three requests of one process: `direct` to the origin with everything cold; `miss` through the CDN edge,
whose cache is empty; `hit`, the same again.
"""

from __future__ import annotations

from netlab.errors import InputError
from netlab.model.roles import ClientSpec, Request
from netlab.model.topology import Topology
from netlab.scenarios.answers import refuse_failed
from netlab.scenarios.bench import Bench
from netlab.scenarios.claims import rest_claims
from netlab.scenarios.scenario import TLS_WAYS
from netlab.trace.findings import Findings
from netlab.trace.load import Trace
from netlab.trace.recording import Recording

URLS = {
    "direct": "https://origin.example.com/user/42",
    "miss": "https://api.example.com/user/42",
    "hit": "https://api.example.com/user/42",
}
_CLIENT = "client-a"


def stimulus(bench: Bench) -> None:
    """Each request on a connection of its own, in the version that the guide has, or the user chose."""
    node, role = client_of(bench.topology)
    http = bench.options.http[0] if bench.options.http else "1.1"
    tls = TLS_WAYS[bench.options.tls[0]] if bench.options.tls else role.tls
    bench.say(f"asking from {node}")
    asked = [Request(name=name, url=url, http=http, tls=tls, fresh=True) for name, url in URLS.items()]
    refuse_failed(bench.run(node, role.model_copy(update={"requests": tuple(asked)})))


def judge(read: Recording) -> Findings:
    """The story of the three requests, and the claims of guide 1.2, 3.3, 8.1, 8.3 and 10.1."""
    trace = Trace.of(read)
    failed = tuple(
        f"{variant.name}: {variant.url} was answered with {variant.status}"
        for variant in trace.variants
        if variant.status >= 400
    )
    return Findings(claims=rest_claims(trace.variants, trace.run.flaws), trace=trace, failed=failed)


def client_of(topology: Topology) -> tuple[str, ClientSpec]:
    """The node that asks, and its role: client-a, or the first client. Raises InputError."""
    clients = {
        name: role
        for name, node in topology.nodes.items()
        for role in node.roles
        if isinstance(role, ClientSpec)
    }
    if not clients:
        remedy = "give a node `roles: [{kind: client}]`"
        raise InputError(f"the topology {topology.name} has no client to ask", remedy)
    name = _CLIENT if _CLIENT in clients else next(iter(clients))
    return name, clients[name]
