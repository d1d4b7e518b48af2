"""Faults before the handler of an HTTP server: late responses, and errors in place of responses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from netlab.model.fault import parse_fault
from netlab.net.answers import refuse
from netlab.net.exchange import Exchange, Handler
from netlab.net.role_control import RoleControl
from netlab.policy.request_faults import Met, RequestFaults


class HttpFaults:
    """Those of one role. The supervisor tells of them: `{"op": "fault", "faults": [[word]]}`, all that there
    are from then on."""

    def __init__(self, control: RoleControl, seed: int) -> None:
        self._faults = RequestFaults(seed)
        control.operations["fault"] = self._replace

    def before(self, handler: Handler) -> Handler:
        """`handler`, which some requests reach late or not at all."""

        def handle(exchange: Exchange) -> Awaitable[None]:
            if self._faults:
                return _meet(self._faults.next(), exchange, handler)
            return handler(exchange)

        return handle

    def _replace(self, request: Mapping[str, Any]) -> None:
        self._faults.replace([parse_fault(words) for words in request["faults"]])


async def _meet(met: Met, exchange: Exchange, handler: Handler) -> None:
    if met.delay_s:
        await asyncio.sleep(met.delay_s)
    if met.status:
        await refuse(exchange, met.status, "a fault of the lab (netlab fault)")
    else:
        await handler(exchange)
