"""nftables text: address translation and forwarding filters of a router."""

from __future__ import annotations

from netlab.model.topology import Forwarding, Node


def ruleset(node: Node) -> str:
    """The whole ruleset of a node for `nft -f`; empty where it needs none."""
    return _nat(node) + _forwarding(node.forwarding)


def _nat(node: Node) -> str:
    """Masquerading keeps the source port where it is free (RFC 4787 REQ-3: port preservation)."""
    if not node.nat:
        return ""
    rules = "".join(f'    oifname "{rule.out}" masquerade\n' for rule in node.nat)
    return (
        "table ip nat {\n"
        "  chain postrouting {\n"
        "    type nat hook postrouting priority srcnat; policy accept;\n"
        f"{rules}"
        "  }\n"
        "}\n"
    )


def _forwarding(forwarding: Forwarding) -> str:
    if forwarding.policy == "accept":
        return ""
    rules = "".join(f"    {_accept(rule)}\n" for rule in forwarding.accept)
    return (
        "table inet filter {\n"
        "  chain forward {\n"
        "    type filter hook forward priority filter; policy drop;\n"
        "    ct state established,related accept\n"
        f"{rules}"
        "  }\n"
        "}\n"
    )


def _accept(rule: Forwarding.Accept) -> str:
    words = []
    if rule.interface:
        words.append(f'iifname "{rule.interface}"')
    if rule.to is not None:
        words.append(f"{'ip' if rule.to.version == 4 else 'ip6'} daddr {rule.to}")
    if rule.protocol == "icmp":
        words.append("meta l4proto { icmp, ipv6-icmp }")
    elif rule.port:
        words.append(f"{rule.protocol} dport {rule.port}")
    elif rule.protocol:
        words.append(f"meta l4proto {rule.protocol}")
    return " ".join([*words, "accept"])
