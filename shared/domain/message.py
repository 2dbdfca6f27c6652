"""The message: one CloudEvent as Switchboard holds it, and what makes two of them the same (log.md, "Identity")."""

import struct
from binascii import hexlify
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

try:  # Python's own SHA-256: half of OpenSSL's time for the hundred bytes of an identity, which is mostly its set-up
    from _sha256 import sha256 as _short_sha256
except ImportError:
    try:
        from _sha2 import sha256 as _short_sha256  # its name since 3.12
    except ImportError:
        _short_sha256 = sha256

ABSENT = b"\xff\xff\xff\xff"
_length = struct.Struct(">I").pack
_uuid_groups = struct.Struct("8s4s4s4s12s").unpack

Extension = str | int | bool

if TYPE_CHECKING:
    from hashlib import _Hash

    Hash = _Hash


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
_UNMARKED = ~(0xF000 << 64 | 0xC000 << 48) & (1 << 128) - 1
_MARKS = 0x8000 << 64 | 0x8000 << 48
_number = int.from_bytes


def identity_start(org: str, source: str) -> bytes:
    """What the identities of one source begin with: worth keeping, since a source sends many events."""
    org_bytes, source_bytes = org.encode(), source.encode()
    return b"".join((_length(len(org_bytes)), org_bytes, _length(len(source_bytes)), source_bytes))


def identified(start: bytes, event_id: str) -> bytes:
    """The message id of an event, given its source's identity_start()."""
    encoded = event_id.encode()
    hashed: bytes = _short_sha256(start + _length(len(encoded)) + encoded).digest()
    return (_number(hashed[:16]) & _UNMARKED | _MARKS).to_bytes(16)


def message_id(org: str, source: str, event_id: str) -> bytes:
    """The message id, 16 bytes: SHA-256 of the identity's length-prefixed parts, as an RFC 9562 version 8 UUID."""
    return identified(identity_start(org, source), event_id)


def digest_start(type: str, subject: str | None, topic: str, datacontenttype: str | None, dataschema: str | None) -> bytes:
    """What the digests of events with these attributes are made of first: few combinations make most of the traffic."""
    parts: list[bytes] = []
    for text in (type, subject, topic, datacontenttype, dataschema):
        if text is None:
            parts.append(ABSENT)
        else:
            encoded = text.encode()
            parts += (_length(len(encoded)), encoded)
    return b"".join(parts)


def digested(start: "Hash", body: bytes | None) -> bytes:
    """The digest of a body, given the hash of its attributes' digest_start(), which is left as it was."""
    hashing = start.copy()
    hashing.update(ABSENT if body is None else _length(len(body)) + body)
    return hashing.digest()


def message_digest(
    type: str, subject: str | None, topic: str, datacontenttype: str | None, dataschema: str | None, body: bytes | None
) -> bytes:
    """The digest, 32 bytes: SHA-256 over what may not differ between two events of one identity.

    Time, trace and other extensions are left out: brokers and retries change those. The caller gives `application/json` for the
    absent datacontenttype of a JSON body.
    """
    return digested(sha256(digest_start(type, subject, topic, datacontenttype, dataschema)), body)


def uuid_text(id: bytes) -> str:
    """16 bytes as the usual 8-4-4-4-12 text, lower case."""
    return b"-".join(_uuid_groups(hexlify(id))).decode()
