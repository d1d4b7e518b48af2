"""A topology as a drawing: text for Graphviz (DOT language) and for Mermaid (flowchart)."""

from __future__ import annotations

from collections.abc import Iterator

from netlab.model.topology import Interface, Link, Node, Topology
from netlab.plan.render import impairment

_DOT_SHAPES = {"host": "box", "router": "ellipse", "switch": "diamond"}
_MERMAID_SHAPES = {"host": ("[", "]"), "router": ("([", "])"), "switch": ("{{", "}}")}


def dot(topology: Topology) -> str:
    """For `dot -Tsvg`. Nodes of one location share a frame."""
    out = [f"graph {_quoted(topology.name)} {{", "  node [fontname=sans]; edge [fontname=sans, fontsize=9];"]
    for number, (place, names) in enumerate(_places(topology).items()):
        indent = "    " if place else "  "
        if place:
            out += [f"  subgraph cluster_{number} {{", f"    label={_quoted(place)};"]
        for name in names:
            node = topology.nodes[name]
            label = "\\n".join(_escaped(line) for line in _label(name, node))
            out.append(f'{indent}{_quoted(name)} [shape={_DOT_SHAPES[node.kind]}, label="{label}"];')
        if place:
            out.append("  }")
    for link in topology.links:
        a, b = link.ends
        label = "\\n".join(_escaped(line) for line in _edge(link))
        style = "" if label else ", penwidth=2"
        out.append(f'  {_quoted(a.node)} -- {_quoted(b.node)} [label="{label}"{style}];')
    return "\n".join([*out, "}"]) + "\n"


def mermaid(topology: Topology) -> str:
    """For a Markdown page. Nodes of one location share a frame."""
    ids = {name: f"n{number}" for number, name in enumerate(topology.nodes)}
    out = ["flowchart LR"]
    for number, (place, names) in enumerate(_places(topology).items()):
        if place:
            out.append(f"  subgraph p{number} [{_mermaid(place)}]")
        for name in names:
            node = topology.nodes[name]
            left, right = _MERMAID_SHAPES[node.kind]
            out.append(f"    {ids[name]}{left}{_mermaid('<br>'.join(_label(name, node)))}{right}")
        if place:
            out.append("  end")
    for link in topology.links:
        a, b = (ids[end.node] for end in link.ends)
        label = "<br>".join(_edge(link))
        out.append(f"  {a} ---{f'|{_mermaid(label)}|' if label else ''} {b}")
    return "\n".join(out) + "\n"


def _places(topology: Topology) -> dict[str, list[str]]:
    places: dict[str, list[str]] = {}
    for name, node in topology.nodes.items():
        places.setdefault(node.location, []).append(name)
    return places


def _label(name: str, node: Node) -> Iterator[str]:
    yield name
    roles = ", ".join(role.kind for role in node.roles)
    if roles:
        yield roles
    for rule in node.nat:
        yield f"{rule.kind} on {rule.out}"
    for interface, one in node.interfaces.items():
        yield from _addresses(interface, one)


def _addresses(interface: str, one: Interface) -> Iterator[str]:
    if one.addresses:
        yield f"{interface} {', '.join(map(str, one.addresses))}"


def _edge(link: Link) -> Iterator[str]:
    """What the link does; nothing for a perfect one."""
    if link.up == link.down:
        if not link.up.perfect:
            yield impairment(link.up)
        return
    yield f"up {impairment(link.up)}"
    yield f"down {impairment(link.down)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _mermaid(text: str) -> str:
    return '"' + text.replace('"', "#quot;") + '"'
