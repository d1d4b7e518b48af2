"""A stored response as one file of a disk cache.

MAGIC, the head's length (4 bytes, network order), the head (JSON), its SHA-256, the body. The head has the
body's length and SHA-256, so that half a file, or a damaged one, is never taken for a response.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, replace
from typing import Any

from netlab.policy.cache_key import Key
from netlab.policy.ranges import Span
from netlab.policy.stored import Stored
from netlab.proto.http import Headers, ResponseHead

MAGIC = b"netlab cache 1\n"
_LENGTH = struct.Struct("!I")
PREFIX = len(MAGIC) + _LENGTH.size  # what must be read to know how long the head is
_DIGEST = hashlib.sha256().digest_size
_LONGEST_HEAD = 1 << 20


class DamagedError(ValueError):
    """What was read is no stored response, or not all of one."""


@dataclass(frozen=True, slots=True)
class FileHead:
    """`entry` is without its body, which has `size` bytes."""

    key: Key
    entry: Stored
    size: int
    body_digest: str


def encode(key: Key, entry: Stored) -> bytes:
    """The whole file."""
    part = entry.part
    document = {
        "key": key,
        "status": entry.head.status,
        "reason": entry.head.reason,
        "headers": list(entry.head.headers),
        "received_at": entry.received_at,
        "initial_age_s": entry.initial_age_s,
        "varied": entry.varied,
        "stale": entry.stale,
        "default_s": entry.default_s,
        "part": [part[0].first, part[0].last, part[1]] if part else None,
        "size": len(entry.body),
        "body": hashlib.sha256(entry.body).hexdigest(),
    }
    head = json.dumps(document, separators=(",", ":")).encode()
    return b"".join((MAGIC, _LENGTH.pack(len(head)), head, hashlib.sha256(head).digest(), entry.body))


def head_size(prefix: bytes) -> int:
    """How many bytes follow the first PREFIX bytes before the body. Raises DamagedError."""
    if len(prefix) != PREFIX or not prefix.startswith(MAGIC):
        raise DamagedError("it does not begin as a stored response does")
    (length,) = _LENGTH.unpack(prefix[len(MAGIC) :])
    if length > _LONGEST_HEAD:
        raise DamagedError(f"its head has {length} bytes")
    return int(length) + _DIGEST


def decode_head(data: bytes, file_size: int) -> FileHead:
    """From the bytes that `head_size` counts, of a file of `file_size` bytes. Raises DamagedError."""
    head, digest = data[:-_DIGEST], data[-_DIGEST:]
    if hashlib.sha256(head).digest() != digest:
        raise DamagedError("its head is damaged")
    try:
        found = _file_head(json.loads(head))
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"its head is not understood: {error!r}") from error
    if PREFIX + len(data) + found.size != file_size:
        raise DamagedError(f"its body should have {found.size} bytes")
    return found


def decode(data: bytes) -> tuple[Key, Stored]:
    """The whole file. Raises DamagedError."""
    end = PREFIX + head_size(data[:PREFIX])
    found = decode_head(data[PREFIX:end], len(data))
    body = data[end:]
    if hashlib.sha256(body).hexdigest() != found.body_digest:
        raise DamagedError("its body is damaged")
    return found.key, replace(found.entry, body=body)


def _file_head(told: dict[str, Any]) -> FileHead:
    authority, target = told["key"]
    fields = Headers((str(name), str(value)) for name, value in told["headers"])
    part = told["part"]
    entry = Stored(
        ResponseHead(int(told["status"]), fields, str(told["reason"])),
        b"",
        float(told["received_at"]),
        float(told["initial_age_s"]),
        tuple((str(name), None if value is None else str(value)) for name, value in told["varied"]),
        stale=bool(told["stale"]),
        part=(Span(int(part[0]), int(part[1])), int(part[2])) if part else None,
        default_s=float(told["default_s"]),
    )
    return FileHead((str(authority), str(target)), entry, int(told["size"]), str(told["body"]))
