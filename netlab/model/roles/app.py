"""The application server, and its database."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from netlab.model.roles.resilience import Shed
from netlab.model.roles.spec import HostName, HttpVersion, Port, Spec, Upstream
from netlab.model.roles.tls import TlsServer


class AppSpec(Spec):
    """The application server: GET /user/{id} from the database, GET /health; see docs/reference.md.

    `allow`: the subjects (of verified tokens) that may read users; empty: anyone who gets here.
    `names`: serve TLS, with a certificate for these; without names it serves plain HTTP/1.1 and, by prior
    knowledge, HTTP/2. Without a `database` there are no users, and a channel ends at this process.
    `shed`: refuse at once what can't be answered in time.
    """

    kind: Literal["app"] = "app"
    listen: Port = 8080
    names: tuple[HostName, ...] = ()
    http: Annotated[tuple[HttpVersion, ...], Field(min_length=1)] = ("1.1", "2", "3")
    tls: TlsServer = TlsServer()
    database: Upstream | None = None
    max_age_s: Annotated[int, Field(ge=0)] = 300
    allow: tuple[str, ...] = ()
    shed: Shed | None = None


class DatabaseSpec(Spec):
    """PostgreSQL, the real server, with its data in memory and seeded with the guide's user 42."""

    kind: Literal["database"] = "database"
    listen: Port = 5432
