"""The feed's cursor: how far a client is in each shard, signed (contracts.md, "Watching")."""

import base64
import hmac
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from shared.domain.errors import Fault, Malformed

_PURPOSE = b"switchboard.feed.cursor.1\0"  # the same keys sign other things too
_MAC = 16  # bytes


class Position(msgspec.Struct, frozen=True, array_like=True):
    """The next thing to look at in one shard: item `index` of the flush `number`, or of the first one behind it. Numbers mean
    something within their epoch only; epoch "" with number 0 is the start of a shard that never logged anything.
    """

    epoch: str = ""
    number: int = 0
    index: int = 0


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A position for each shard. `time` is when the last flush seen was logged, microseconds since 1970 (0: none was)."""

    positions: tuple[Position, ...]
    time: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Cursor).decode


def seal(cursor: Cursor, keys: Sequence[bytes]) -> str:
    """The cursor as text, signed with the first of the keys."""
    payload = _encode(cursor)
    return base64.urlsafe_b64encode(_mac(keys[0], payload) + payload).rstrip(b"=").decode()


def unseal(text: str, keys: Sequence[bytes]) -> Cursor:
    """The cursor that seal() made. Raises Malformed where none of the keys signed it."""
    try:
        sealed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise _forged() from error
    mac, payload = sealed[:_MAC], sealed[_MAC:]
    if not any(hmac.compare_digest(mac, _mac(key, payload)) for key in keys):
        raise _forged()
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # signed by a release whose cursors looked different
        raise _forged() from error


def _mac(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + payload, sha256)[:_MAC]


def _forged() -> Malformed:
    return Malformed(
        "the cursor is not one that this feed gave: use `cursor` of the last frame, or none", faults=[Fault("/cursor", "not signed here")]
    )
