"""The form of a response that a client wants: as it came, or compressed while it passes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from netlab.net.exchange import Body
from netlab.policy.compression import LEAST, Gzip, gzipped, gzipped_head, varying, wants_gzip
from netlab.proto.http import RequestHead, ResponseHead


def in_form(request: RequestHead, head: ResponseHead, body: Body) -> tuple[ResponseHead, Body]:
    """Of a response that may be compressed."""
    if isinstance(body, bytes):
        if len(body) < LEAST:
            return head, body
        if wants_gzip(request):
            packed = gzipped(body)
            return gzipped_head(head, len(packed)), packed
    elif wants_gzip(request):
        return gzipped_head(head), _gzipped(body)
    return varying(head), body


async def _gzipped(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    gzip = Gzip()
    async for part in body:
        if packed := gzip.add(part):
            yield packed
    yield gzip.end()
