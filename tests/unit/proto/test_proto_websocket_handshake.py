"""The opening handshake (RFC 6455 section 4, RFC 8441 section 5)."""

from __future__ import annotations

import pytest

from netlab.errors import RemoteProtocolError
from netlab.proto.http import Headers, RequestHead, ResponseHead
from netlab.proto.websocket_handshake import Accepted, Refused, accept_key, answer, ask, concluded

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = Headers((("Host", "x"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", KEY)))


def request(
    headers: Headers = FIELDS, *, method: str = "GET", protocol: str = "websocket", version: str = "1.1"
) -> RequestHead:
    return RequestHead(method, "/chat", headers, version=version, protocol=protocol)


def accepted(result: Accepted | Refused) -> Accepted:
    assert isinstance(result, Accepted), result
    return result


def test_the_key_of_the_rfc() -> None:
    assert accept_key(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_plain_handshake() -> None:
    assert accepted(answer(request())).headers == (("Sec-WebSocket-Accept", accept_key(KEY)),)


def test_an_extended_connect_has_neither_key_nor_accept() -> None:
    head = request(FIELDS.without("sec-websocket-key"), version="2")
    assert accepted(answer(head)).headers == ()


@pytest.mark.parametrize(
    ("head", "status", "field"),
    [
        (request(protocol=""), 426, "upgrade"),
        (request(protocol="", version="2"), 400, ""),
        (request(method="POST"), 405, "allow"),
        (request(FIELDS.without("sec-websocket-version")), 400, "sec-websocket-version"),
        (request(FIELDS.having("Sec-WebSocket-Version", "8")), 426, "sec-websocket-version"),
        (request(FIELDS.having("Sec-WebSocket-Version", "13, 8")), 426, "sec-websocket-version"),
        (request(FIELDS.plus("Sec-WebSocket-Version", "8")), 426, "sec-websocket-version"),
        (request(FIELDS.without("sec-websocket-key")), 400, ""),
        (request(FIELDS.plus("Sec-WebSocket-Key", KEY)), 400, ""),
        (request(FIELDS.having("Sec-WebSocket-Key", "dG9vIHNob3J0")), 400, ""),
        (request(FIELDS.having("Sec-WebSocket-Key", "%%%")), 400, ""),
        (request(FIELDS.having("Sec-WebSocket-Key", "é")), 400, ""),
        (request(FIELDS.plus("Sec-WebSocket-Extensions", "a; =")), 400, ""),
        (request(FIELDS.plus("Sec-WebSocket-Protocol", "a, a")), 400, ""),
        (request(FIELDS.plus("Sec-WebSocket-Protocol", "a b")), 400, ""),
    ],
)
def test_what_a_server_refuses(head: RequestHead, status: int, field: str) -> None:
    refused = answer(head)
    assert isinstance(refused, Refused), refused
    assert refused.status == status, refused
    assert not field or refused.headers.has(field), refused


def test_the_version_that_is_spoken_is_told() -> None:
    refused = answer(request(FIELDS.having("Sec-WebSocket-Version", "7")))
    assert isinstance(refused, Refused)
    assert refused.headers.get("sec-websocket-version") == "13"


def test_the_server_prefers_a_subprotocol() -> None:
    head = request(FIELDS.plus("Sec-WebSocket-Protocol", "soap, wamp"))
    made = accepted(answer(head, ("mqtt", "wamp", "soap")))
    assert made.subprotocol == "wamp"
    assert made.headers.get("sec-websocket-protocol") == "wamp"
    assert not accepted(answer(head, ("mqtt",))).headers.has("sec-websocket-protocol")


def both(version: str = "1.1", *, compress: bool = True) -> tuple[RequestHead, ResponseHead]:
    fields = ask(Headers((("Host", "x"),)), bytes(16), ("chat",), compress=compress)
    head = request(fields, version=version)
    made = accepted(answer(head, ("chat",), compress=compress))
    return head, ResponseHead(101 if version == "1.1" else 200, made.headers, version=version)


@pytest.mark.parametrize("version", ["1.1", "2", "3"])
def test_our_client_and_our_server_agree(version: str) -> None:
    head, response = both(version)
    made = concluded(head, response)
    assert made.subprotocol == "chat"
    assert made.compression is not None
    assert (made.compression.server_bits, made.compression.client_bits) == (12, 12)


@pytest.mark.parametrize(
    "change",
    [
        ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("Sec-WebSocket-Accept", ""),
        ("Sec-WebSocket-Protocol", "other"),
        ("Sec-WebSocket-Protocol", "chat, chat"),
        ("Sec-WebSocket-Extensions", "permessage-bzip2"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; novelty"),
    ],
)
def test_a_client_fails_on_lies(change: tuple[str, str]) -> None:
    head, response = both()
    with pytest.raises(RemoteProtocolError):
        concluded(head, response.with_headers(response.headers.having(*change)))


def test_a_client_fails_on_an_extension_that_it_did_not_offer() -> None:
    head, response = both(compress=False)
    with pytest.raises(RemoteProtocolError, match="not offered"):
        concluded(
            head,
            response.with_headers(response.headers.plus("Sec-WebSocket-Extensions", "permessage-deflate")),
        )
