"""The signed cursor of a list: where the next page starts, for one org and one set of filters only."""

import base64
import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256

import msgspec

from shared.domain.errors import Fault, Malformed

_PURPOSE = b"switchboard.query.cursor.1"  # the same keys sign other things too
_MAC = 32  # bytes


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The last row of the page before. `since` is the start of the range as the first page understood it: an age like `15m` means
    another moment a page later.
    """

    received_at: int
    record_id: bytes
    since: int | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Cursor).decode


def seal(cursor: Cursor, org: str, filters: Mapping[str, str], keys: Sequence[bytes]) -> str:
    """The cursor as text, signed with the first of the keys. `filters` are the query's parameters as the caller wrote them."""
    payload = _encode(cursor)
    return base64.urlsafe_b64encode(_mac(keys[0], org, filters, payload) + payload).rstrip(b"=").decode()


def unseal(text: str, org: str, filters: Mapping[str, str], keys: Sequence[bytes]) -> Cursor:
    """The cursor that seal() made. Raises Malformed where none of the keys signed it for this org and these filters."""
    try:
        sealed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise _forged() from error
    mac, payload = sealed[:_MAC], sealed[_MAC:]
    if not any(hmac.compare_digest(mac, _mac(key, org, filters, payload)) for key in keys):
        raise _forged()
    try:
        return _decode(payload)
    except msgspec.DecodeError as error:  # signed by a release whose cursors looked different
        raise _forged() from error


def _mac(key: bytes, org: str, filters: Mapping[str, str], payload: bytes) -> bytes:
    bound = _encode([_PURPOSE, org, sorted(filters.items()), payload])
    return hmac.digest(key, bound, sha256)


def _forged() -> Malformed:
    return Malformed(
        "the cursor is not one that this query was given: use `next` of the page before, with the same parameters",
        faults=[Fault("cursor", "not a cursor of this query")],
    )
