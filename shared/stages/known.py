"""What an edge asks of the hub's store, on the wire: MessagePack both ways, to log-batch, under a request proof (docs/internals.md)."""

from collections.abc import Sequence

import msgspec

from shared.domain.errors import Malformed
from shared.domain.message import Message
from shared.domain.repairing import Recorded
from shared.domain.stored import FirstCopy

BATCHES, BODIES, DELIVERED, RECORDED = "/v1/log/batches", "/v1/log/bodies", "/v1/log/delivered", "/v1/log/recorded"
ACCEPTED = "/v1/log/accepted"
AT_ONCE = 1_000  # messages a question asks for
HISTORIES = 100  # and where each is looked up by itself
MAX_QUESTION = 128 * 1024  # bytes


class WantedBodies(msgspec.Struct, frozen=True, array_like=True):
    """Messages by (id, logged_at of their flush): see MessageStore.bodies."""

    wanted: tuple[tuple[bytes, int | None], ...]


class Bodies(msgspec.Struct, frozen=True, array_like=True):
    """The messages that were found, each with its place in the question. The first `answered` of it were looked for: an answer has its
    bounds, and what is behind is to be asked for again. What isn't here below that isn't there."""

    answered: int
    found: tuple[tuple[int, Message], ...]


class WantedDeliveries(msgspec.Struct, frozen=True, array_like=True):
    """Messages by (id, digest): see MessageStore.delivered."""

    backbone: str
    wanted: tuple[tuple[bytes, bytes], ...]


class Delivered(msgspec.Struct, frozen=True, array_like=True):
    """The places in the question of those that were delivered."""

    places: tuple[int, ...]


class WantedRecorded(msgspec.Struct, frozen=True, array_like=True):
    """What a backbone took of an org's: see Known.recorded. The answer is a list of Recorded."""

    backbone: str
    org: str
    since: int
    after: Recorded | None
    limit: int
    every: bool = False


class WantedAccepted(msgspec.Struct, frozen=True, array_like=True):
    """Messages of an org by (id, digest): see FirstCopies.accepted. The answer is a list of (place in the question, FirstCopy)."""

    org: str
    wanted: tuple[tuple[bytes, bytes], ...]


encode = msgspec.msgpack.Encoder().encode
decode_bodies = msgspec.msgpack.Decoder(Bodies).decode
decode_delivered = msgspec.msgpack.Decoder(Delivered).decode
decode_recorded = msgspec.msgpack.Decoder(list[Recorded]).decode
decode_accepted = msgspec.msgpack.Decoder(list[tuple[int, FirstCopy]]).decode
_wanted_accepted = msgspec.msgpack.Decoder(WantedAccepted).decode
_wanted_recorded = msgspec.msgpack.Decoder(WantedRecorded).decode
_wanted_bodies = msgspec.msgpack.Decoder(WantedBodies).decode
_wanted_deliveries = msgspec.msgpack.Decoder(WantedDeliveries).decode


def wanted_bodies(body: bytes) -> WantedBodies:
    """Raises Malformed."""
    try:
        asked = _wanted_bodies(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the question can't be read: {error}") from error
    _check(asked.wanted)
    if any(logged_at is not None and not 0 <= logged_at < 2**52 for _, logged_at in asked.wanted):
        raise Malformed("wanted: a time is out of range")
    return asked


def wanted_deliveries(body: bytes) -> WantedDeliveries:
    """Raises Malformed."""
    try:
        asked = _wanted_deliveries(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the question can't be read: {error}") from error
    _check(asked.wanted)
    return asked


def wanted_accepted(body: bytes) -> WantedAccepted:
    """Raises Malformed."""
    try:
        asked = _wanted_accepted(body)
    except msgspec.DecodeError as error:
        raise Malformed(f"the question can't be read: {error}") from error
    _check(asked.wanted)
    return asked


def wanted_recorded(body: bytes) -> WantedRecorded:
    """Raises Malformed."""
    try:
        asked = _wanted_recorded(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the question can't be read: {error}") from error
    if not 0 < asked.limit <= AT_ONCE:
        raise Malformed(f"limit: from 1 to {AT_ONCE}")
    times = (asked.since,) if asked.after is None else (asked.since, asked.after.time, asked.after.sequence)
    if any(not 0 <= time < 2**62 for time in times):
        raise Malformed("since, after: out of range")
    return asked


def _check(wanted: Sequence[tuple[bytes, object]]) -> None:
    if len(wanted) > AT_ONCE:
        raise Malformed(f"wanted: at most {AT_ONCE} messages are asked for at once")
    if any(len(id) != 16 for id, _ in wanted):
        raise Malformed("wanted: an id has 16 bytes")
