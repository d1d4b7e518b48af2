"""Certificates of any kind for tests of the verifier: a root, an intermediate and a leaf, each changeable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509

from netlab.pki.certificate import Extension, Key, Party, Validity, authority_extensions, leaf_extensions

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
VALID = Validity(NOW - DAY, NOW + DAY)
NAME = "api.example.com"


def replaced(extensions: Iterable[Extension], *others: Extension) -> tuple[Extension, ...]:
    """`extensions`, with those of the same kinds taken from `others`, which come on top."""
    kinds = tuple(type(value) for value, _ in others)
    return (*(one for one in extensions if not isinstance(one[0], kinds)), *others)


def without(extensions: Iterable[Extension], kind: type[x509.ExtensionType]) -> tuple[Extension, ...]:
    return tuple(one for one in extensions if not isinstance(one[0], kind))


def authority(name: str, issuer: Party | None = None, path_length: int = 1, key: Key | None = None) -> Party:
    """A root where `issuer` is None."""
    party = Party.create(name, key)
    return party.certified(issuer or party, VALID, *authority_extensions(path_length))


def leaf(
    issuer: Party, *extensions: Extension, names: tuple[str, ...] = (NAME,), key: Key | None = None
) -> Party:
    """A server's; `extensions` replace those of their kind."""
    party = Party.create(names[0] if names else "nameless", key)
    return party.certified(issuer, VALID, *replaced(leaf_extensions("server", names, ""), *extensions))


@dataclass(frozen=True)
class Chain:
    root: Party
    intermediate: Party
    leaf: Party

    @property
    def presented(self) -> tuple[x509.Certificate, ...]:
        return self.leaf.shown, self.intermediate.shown

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        return *self.presented, self.root.shown


def chain(*extensions: Extension, names: tuple[str, ...] = (NAME,)) -> Chain:
    """A good one, but for the leaf's `extensions`."""
    root = authority("root")
    intermediate = authority("intermediate", root, path_length=0)
    return Chain(root, intermediate, leaf(intermediate, *extensions, names=names))
