"""A small topology in which one request crosses every role of HTTP, each side in a version of choice."""

from __future__ import annotations


def chain(origin: str = "1.1", upstream: str = "1.1", clients: str = "1.1, 2, 3") -> str:
    """client ─► cdn ─► balancer ─► proxy ─► app, on one switch, without delays.

    `origin`: the version that the cdn speaks to the proxy; `upstream`: the proxy to the app; `clients`:
    what the cdn offers.
    """
    return f"""
name: NAME
nodes:
  client:
    interfaces: {{eth0: 10.60.0.10/24}}
    resolvers: [dns]
    roles: [{{kind: client}}]
  dns:
    interfaces: {{eth0: 10.60.0.53/24}}
    roles: [{{kind: resolver, roots: [root]}}]
  root:
    interfaces: {{eth0: 10.60.0.54/24}}
    roles:
      - kind: nameserver
        zones:
          - name: .
            records:
              - {{name: "@", type: NS, data: ns.}}
              - {{name: ns, type: A, data: root}}
              - {{name: www.example, type: A, data: cdn}}
              - {{name: app.example, type: A, data: app}}
  cdn:
    interfaces: {{eth0: 10.60.0.20/24}}
    roles:
      - kind: cdn
        names: [www.example]
        http: [{clients}]
        origin: lb:443
        origin_name: origin.example
        origin_http: {origin}
  lb:
    interfaces: {{eth0: 10.60.0.25/24}}
    roles: [{{kind: balancer, upstreams: ["proxy:443"], udp: true}}]
  proxy:
    interfaces: {{eth0: 10.60.0.30/24}}
    roles:
      - kind: proxy
        names: [www.example, origin.example]
        routes: [{{path: /, upstreams: ["app:8443"], http: {upstream}, tls_name: app.example}}]
  app:
    interfaces: {{eth0: 10.60.0.40/24}}
    roles: [{{kind: app, listen: 8443, names: [app.example]}}]
  sw: {{kind: switch}}
links:
  - {{ends: [client:eth0, sw]}}
  - {{ends: [dns:eth0, sw]}}
  - {{ends: [root:eth0, sw]}}
  - {{ends: [cdn:eth0, sw]}}
  - {{ends: [lb:eth0, sw]}}
  - {{ends: [proxy:eth0, sw]}}
  - {{ends: [app:eth0, sw]}}
"""
