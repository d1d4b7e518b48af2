"""An OCSP responder, datagrams, and any program."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from netlab.model.roles.spec import HostName, Port, Spec, Upstream
from netlab.model.units import DurationNs

# No directories, and no hidden files.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$")]


class OcspSpec(Spec):
    """Tells how the certificates of the lab's authority stand, over plain HTTP: an OCSP responder (RFC 6960;
    GET and POST), and at /authority.crl the list of the revoked. A lab has at most one.

    With one in the lab, certificates say where it is, and clients with `revocation: crl` ask it.
    """

    kind: Literal["ocsp"] = "ocsp"
    listen: Port = 80


class DatagramsSpec(Spec):
    """UDP traffic. With `to` (`node:port`): sends `count` datagrams of `size` bytes (UDP payload), one every
    `interval`, and ends. Without: counts those that come to `listen`. Nothing is sent again."""

    kind: Literal["datagrams"] = "datagrams"
    listen: Port = 9
    to: Upstream | Literal[""] = ""
    count: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    interval_ns: DurationNs = Field(1_000_000, alias="interval")
    size: Annotated[int, Field(ge=20, le=65_507)] = 200


class CommandSpec(Spec):
    """Any program. It is ready when `ready_port` accepts TCP, or at once without one.

    It starts in a directory of its own, NETLAB_DIR, as a user without rights, who may bind any port. `files`
    (name to text) and `config` (files beside the topology) are put there. `names`: it has a certificate of
    the lab's authority for these: NETLAB_CERT (the chain), NETLAB_KEY, and NETLAB_PEM (both in one file).
    NETLAB_TRUST is the lab's root. In `argv`, `env` and files `{{app-1}}` is the address of a node, and
    `{{NETLAB_DIR}}` what that variable has. It is ended by SIGTERM.
    """

    kind: Literal["command"] = "command"
    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    env: dict[str, str] = Field({})
    names: tuple[HostName, ...] = ()
    files: dict[FileName, str] = Field({})
    config: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    ready_port: Port | None = None
