"""The message: one CloudEvent as Switchboard holds it, and what makes two of them the same (log.md, "Identity")."""

import struct
from hashlib import sha256

import msgspec

ABSENT = b"\xff\xff\xff\xff"
_length = struct.Struct(">I").pack

Extension = str | int | bool


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The internal format, whatever door it came through. Packed as a MessagePack array in this order: append, never reorder.

    `id` and `digest` are raw bytes (16 and 32). `time` is RFC 3339 text as received. `body` is the bytes of `data` as received,
    None where the event has none. `extensions` has every extension attribute except `topic`. `received_at` is microseconds since
    1970 UTC by the door's clock. `revision` is the config revision the verdict was given under.
    """

    id: bytes
    digest: bytes
    org: str
    topic: str
    subject: str | None
    source: str
    event_id: str
    type: str
    time: str | None
    datacontenttype: str | None
    dataschema: str | None
    extensions: dict[str, Extension] | None
    body: bytes | None
    received_at: int
    door: str
    principal: str
    revision: int = 0


def message_id(org: str, source: str, event_id: str) -> bytes:
    """The message id, 16 bytes: SHA-256 of the identity's length-prefixed parts, as an RFC 9562 version 8 UUID."""
    parts = org.encode(), source.encode(), event_id.encode()
    hashed = sha256(
        b"".join((_length(len(parts[0])), parts[0], _length(len(parts[1])), parts[1], _length(len(parts[2])), parts[2]))
    ).digest()
    return bytes((*hashed[:6], hashed[6] & 0x0F | 0x80, hashed[7], hashed[8] & 0x3F | 0x80, *hashed[9:16]))


def message_digest(
    type: str, subject: str | None, topic: str, datacontenttype: str | None, dataschema: str | None, body: bytes | None
) -> bytes:
    """The digest, 32 bytes: SHA-256 over what may not differ between two events of one identity.

    Time, trace and other extensions are left out: brokers and retries change those. The caller gives `application/json` for the
    absent datacontenttype of a JSON body.
    """
    parts: list[bytes] = []
    for text in (type, subject, topic, datacontenttype, dataschema):
        if text is None:
            parts.append(ABSENT)
        else:
            encoded = text.encode()
            parts += (_length(len(encoded)), encoded)
    if body is None:
        parts.append(ABSENT)
    else:
        parts += (_length(len(body)), body)
    return sha256(b"".join(parts)).digest()


def uuid_text(id: bytes) -> str:
    """16 bytes as the usual 8-4-4-4-12 text, lower case."""
    text = id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
