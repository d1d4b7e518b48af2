"""A request at a proxy: what is known of it, and what its answer will carry."""

from __future__ import annotations

from dataclasses import dataclass, field

from netlab.net.exchange import Exchange
from netlab.net.request_body import RequestBody
from netlab.policy.forwarded import Chain


@dataclass(slots=True)
class Visit:
    """`host`: whom it is for, in lower case and without a port. `fields` go on its answer, whatever that
    is. `subject`: of its token, once that is verified."""

    exchange: Exchange
    body: RequestBody
    chain: Chain
    host: str
    request_id: str
    subject: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        """Of header rules (model.roles.routing.VARIABLES)."""
        request = self.exchange.request
        return {
            "client": self.chain.client,
            "host": request.authority,
            "method": request.method,
            "path": request.path,
            "request_id": self.request_id,
            "scheme": self.chain.proto,
            "subject": self.subject,
        }
