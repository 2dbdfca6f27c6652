"""The message: one CloudEvent as Switchboard holds it, and what makes two of them the same (log.md, "Identity")."""

import struct
from hashlib import sha256

import msgspec

ABSENT = b"\xff\xff\xff\xff"
_pack = struct.Struct(">I").pack

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


# RFC 9562: the version (8) is the high nibble of byte 6, the variant (binary 10) the high bits of byte 8.
_NOT_MARKED = ~(0xF000 << 64 | 0xC000 << 48) & (1 << 128) - 1
_MARKED = 0x8000 << 64 | 0x8000 << 48
_number = int.from_bytes


def identity_prefix(org: str, source: str) -> bytes:
    """What the identities of one source begin with: worth keeping, since a source sends many events."""
    org_bytes, source_bytes = org.encode(), source.encode()
    return b"".join((_pack(len(org_bytes)), org_bytes, _pack(len(source_bytes)), source_bytes))


def identified(prefix: bytes, event_id: str) -> bytes:
    """The message id of an event, given its source's identity_prefix()."""
    encoded = event_id.encode()
    hashed = sha256(prefix + _pack(len(encoded)) + encoded).digest()
    return (_number(hashed[:16]) & _NOT_MARKED | _MARKED).to_bytes(16)


def message_id(org: str, source: str, event_id: str) -> bytes:
    """The message id, 16 bytes: SHA-256 of the identity's length-prefixed parts, as an RFC 9562 version 8 UUID."""
    return identified(identity_prefix(org, source), event_id)


def digest_prefix(type: str, subject: str | None, topic: str, datacontenttype: str | None, dataschema: str | None) -> bytes:
    """What the digests of events with these attributes begin with: worth keeping, since few combinations make most of the traffic."""
    parts: list[bytes] = []
    for text in (type, subject, topic, datacontenttype, dataschema):
        if text is None:
            parts.append(ABSENT)
        else:
            encoded = text.encode()
            parts += (_pack(len(encoded)), encoded)
    return b"".join(parts)


def digested(prefix: bytes, body: bytes | None) -> bytes:
    """The digest of a body, given the digest_prefix() of its attributes."""
    if body is None:
        return sha256(prefix + ABSENT).digest()
    return sha256(prefix + _pack(len(body)) + body).digest()


def message_digest(
    type: str, subject: str | None, topic: str, datacontenttype: str | None, dataschema: str | None, body: bytes | None
) -> bytes:
    """The digest, 32 bytes: SHA-256 over what may not differ between two events of one identity.

    Time, trace and other extensions are left out: brokers and retries change those. The caller gives `application/json` for the
    absent datacontenttype of a JSON body.
    """
    return digested(digest_prefix(type, subject, topic, datacontenttype, dataschema), body)


def uuid_text(id: bytes) -> str:
    """16 bytes as the usual 8-4-4-4-12 text, lower case."""
    text = id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
