"""Rows in the binary format of COPY (PostgreSQL's documentation, "COPY", "Binary Format"), packed by hand: a row must cost Python far
less than the server, which takes about 15 us. A field is its length (big-endian, -1 for NULL) and its bytes."""

from collections.abc import Iterable, Iterator
from struct import Struct

import msgspec

from shared.adapters.postgres.statements import statement
from shared.domain.message import Message
from shared.domain.record import Accepted, Attempt, Deliveries

COPY_MESSAGES, COPY_KEYS = statement("copy_messages"), statement("copy_keys")

DAY = 86_400_000_000  # microseconds
EPOCH = 946_684_800_000_000  # 2000-01-01 UTC, from where PostgreSQL counts, in microseconds since 1970
EPOCH_DAY = EPOCH // DAY

START = b"PGCOPY\n\xff\r\n\x00" + bytes(8)  # no flags, no header extension
END = b"\xff\xff"
NO_ROWS = START + END
FIRST_PIECE = 16_000  # bytes: the server waits for it
PIECE = 120_000  # bytes given to psycopg at once: it cuts what is over 128 KiB

_NULL = b"\xff\xff\xff\xff"
_TEXT = 25  # the OID of text
_length = Struct(">i").pack
_LENGTHS = tuple(map(_length, range(256)))
_array = Struct(">iiiii").pack  # dimensions, nulls, type of the elements, their number, first subscript
_message = Struct(">h i16s i16s iq iq iq ih i? i? i").pack
_jsonb = Struct(">iB").pack
_key = Struct(">h i16s ii iq i").pack
_delivery = Struct(">h iq i16s").pack
_sequence = Struct(">iq").pack
_attempt = Struct(">ii").pack
_json = msgspec.json.Encoder().encode

# Most of a row's text is what many rows have. Both are emptied when they are full: what comes often is back at once.
CACHED = 4096
CACHED_BYTES = 1024  # longer ones aren't kept: the caches are at most 8 MB
_labels: dict[tuple[object, ...], bytes] = {}
_places: dict[tuple[str, str | None, str], bytes] = {}


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row of `messages`, or one that would be. `day` is received_at's, UTC, since 1970."""

    record: Accepted | Attempt
    logged_at: int
    day: int
    conflict: bool = False


def day_of(time: int) -> int:
    """The day, UTC, since 1970 of a time in microseconds since 1970."""
    return time // DAY


def key_rows(rows: Iterable[Row]) -> Iterator[bytes]:
    """The same rows for sql/copy_keys.sql. As bytes they sort by id."""
    orgs: dict[str, bytes] = {}
    for row in rows:
        message = row.record.message
        org, digest = message.org, message.digest
        packed_org = orgs.get(org) or orgs.setdefault(org, _text(org))
        head = _key(5, 16, message.id, 4, row.day - EPOCH_DAY, 8, message.received_at - EPOCH, len(digest))
        yield head + digest + packed_org


def key_id(packed: bytes) -> bytes:
    """The message id in a row of `key_rows`."""
    return packed[6:22]


def message_rows(rows: Iterable[Row]) -> Iterator[bytes]:
    """Rows of sql/copy_messages.sql. Raises UnicodeEncodeError or struct.error where a value can't be written."""
    for row in rows:
        record = row.record
        message = record.message
        if type(record) is Accepted:
            record_id, status, cut = message.id, 202, False
            labels = _cached_labels(message, record)
        else:
            record_id, status, cut = record.record_id, record.status, record.cut  # type: ignore[union-attr]  # it is an Attempt
            labels = _labels_of(message, record)
        digest, body = message.digest, message.body
        event_id, time = message.event_id.encode(), (message.time or "").encode()
        extensions = _json(message.extensions) if message.extensions else b""
        yield b"".join(
            (
                _message(
                    28, 16, record_id, 16, message.id, 8, message.received_at - EPOCH, 8, row.logged_at - EPOCH,
                    8, message.revision, 2, status, 1, cut, 1, row.conflict, len(digest),
                ),
                digest,
                labels,
                _places.get((message.topic, message.subject, message.source)) or _new_place(message),
                _LENGTHS[len(event_id)] if len(event_id) < 256 else _length(len(event_id)),
                event_id,
                _NULL if message.time is None else _LENGTHS[len(time)] if len(time) < 256 else _length(len(time)),
                time,
                _jsonb(len(extensions) + 1, 1) if extensions else _NULL,  # its version, 1, and the text
                extensions,
                _NULL if body is None else _length(len(body)),
                body or b"",
                _json_text(record.shadows) if record.shadows else _NULL,
            )
        )  # fmt: skip


def delivery_rows(deliveries: Iterable[Deliveries]) -> Iterator[bytes]:
    """Rows of sql/copy_deliveries.sql: each group expanded into a row a message."""
    for group in deliveries:
        labels = b"".join(
            (_attempt(4, group.attempt), *map(_text, (group.org, group.backbone, group.stream, group.created, group.by, group.error)))
        )
        ids, sequences, subjects = group.ids, group.sequences, group.subjects
        for place in range(len(ids) // 16):
            yield b"".join(
                (
                    _delivery(11, 8, group.time - EPOCH, 16, ids[place * 16 : place * 16 + 16]),
                    _NULL if group.error is not None else _sequence(8, sequences[place]),
                    labels,
                    _text(subjects[place]),
                )
            )


def pieces(rows: Iterable[bytes]) -> Iterator[bytes]:
    """The rows between the format's start and end, in pieces of about PIECE bytes: rows are packed while the server takes the last ones."""
    piece, size, enough = [START], 0, FIRST_PIECE
    for row in rows:
        piece.append(row)
        size += len(row)
        if size >= enough:
            yield b"".join(piece)
            piece, size, enough = [], 0, PIECE
    yield b"".join((*piece, END))


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    encoded = value.encode()
    return _length(len(encoded)) + encoded


def _texts(values: tuple[str, ...]) -> bytes:
    """A text[]."""
    encoded = b"".join(map(_text, values))
    head = _array(1, 0, _TEXT, len(values), 1) if values else _array(0, 0, _TEXT, 0, 0)[:12]
    return _length(len(head) + len(encoded)) + head + encoded


def _json_text(value: object) -> bytes:
    encoded = _json(value)
    return _length(len(encoded)) + encoded


def _cached_labels(message: Message, record: Accepted) -> bytes:
    key = (
        message.org, message.type, message.door, message.principal, message.datacontenttype, message.dataschema,
        record.targets, record.undeliverable,
    )  # fmt: skip
    if packed := _labels.get(key):
        return packed
    packed = _labels_of(message, record)
    if len(packed) <= CACHED_BYTES:
        if len(_labels) >= CACHED:
            _labels.clear()
        _labels[key] = packed
    return packed


def _labels_of(message: Message, record: Accepted | Attempt) -> bytes:
    verdict: tuple[str | None, ...]
    if isinstance(record, Accepted):
        verdict, targets = ("accepted", None, None), (_texts(record.targets), _text(record.undeliverable))
    else:
        detail = record.detail.replace("\0", "\ufffd")  # a rule may say it, and no text of PostgreSQL's has it
        verdict, targets = ("blocked", record.rule, detail), (_texts(()), _NULL)
    who: tuple[str | None, ...] = message.org, message.type, message.door, message.principal, message.datacontenttype, message.dataschema
    return b"".join((*map(_text, (*who, *verdict)), *targets))


def _new_place(message: Message) -> bytes:
    packed = b"".join(map(_text, (message.topic, message.subject, message.source)))
    if len(packed) <= CACHED_BYTES:
        if len(_places) >= CACHED:
            _places.clear()
        _places[message.topic, message.subject, message.source] = packed
    return packed
