"""The tree of a packet as Wireshark's engine (`sharkd`) has it: what is asked of it, what it answers.

Source: sharkd's JSON-RPC (Wireshark's wiki, "sharkd Request Syntax"): `load`, `setconf`, `frame`, `bye`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from netlab.errors import CaptureError


class Node(NamedTuple):
    """A protocol or a field. `start` and `length` in the bytes of `source`: 0 for the frame, else the number
    of what was put together or decrypted; `length` 0 where it has no bytes. `filter`: a display filter for
    it. `generated`: not in the packet, but computed."""

    label: str
    start: int
    length: int
    source: int
    filter: str
    generated: bool
    children: tuple[Node, ...]


class DeepTree(NamedTuple):
    """`sources`: names of the bytes that nodes' sources count, the frame first."""

    nodes: tuple[Node, ...]
    sources: tuple[str, ...]


def conversation(file: str, number: int, keys: str = "") -> str:
    """What to write to sharkd's input. `keys`: a key log file."""
    asked: list[tuple[str, dict[str, Any]]] = []
    if keys:
        asked.append(("setconf", {"name": "tls.keylog_file", "value": keys}))
    asked.append(("load", {"file": file}))
    asked.append(("frame", {"frame": number, "proto": True, "bytes": True}))
    asked.append(("bye", {}))
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": at, "method": method, **({"params": given} if given else {})})
        for at, (method, given) in enumerate(asked, 1)
    ]
    return "\n".join(lines) + "\n"


def answered(text: str) -> DeepTree:
    """Of what sharkd wrote. Raises CaptureError with its words where it could not do it."""
    try:
        replies = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise CaptureError(f"sharkd: an answer that is no JSON: {error}") from error
    for one in replies:
        if "error" in one:
            raise CaptureError(f"sharkd: {one['error'].get('message', one['error'])}")
        result = one.get("result", {})
        if "tree" in result:
            others = [str(part.get("name", "")) for part in result.get("ds", ())]
            return DeepTree(tuple(map(_node, result["tree"])), ("frame", *others))
    raise CaptureError("sharkd: it ended without an answer", "see whether sharkd itself works")


def _node(found: dict[str, Any]) -> Node:
    start, length = found.get("h", (0, 0))
    return Node(
        str(found.get("l", "")),
        int(start),
        int(length),
        int(found.get("ds", 0)),
        str(found.get("f", "")),
        bool(found.get("g", False)),
        tuple(map(_node, found.get("n", ()))),
    )


def text(tree: DeepTree) -> str:
    """A line a node, indented, and its place in the frame, [start +length]; other bytes have their name."""
    return "\n".join(_lines(tree.nodes, tree.sources, 0))


def _lines(nodes: Sequence[Node], sources: Sequence[str], depth: int) -> Iterator[str]:
    for node in nodes:
        yield f"{'  ' * depth}{node.label}  {_place(node, sources)}".rstrip()
        yield from _lines(node.children, sources, depth + 1)


def _place(node: Node, sources: Sequence[str]) -> str:
    if not node.length:
        return ""
    place = f"[{node.start} +{node.length}]"
    if not node.source:
        return place
    name = sources[node.source] if node.source < len(sources) else f"bytes {node.source}"
    return f"{place} {name}"


def document(tree: DeepTree) -> dict[str, Any]:
    """Of `--json`."""
    return {"sources": list(tree.sources), "tree": [_document(node) for node in tree.nodes]}


def _document(node: Node) -> dict[str, Any]:
    made = node._asdict()
    made["children"] = [_document(one) for one in node.children]
    return made
