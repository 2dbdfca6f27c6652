"""What a flush shows on the feed: its messages, recorded refusals and deliveries, each encoded once for every client."""

import logging
from collections.abc import Iterator

import msgspec

from functions.websocket.shown import read_back
from shared.domain.message import uuid_text
from shared.domain.names import parse_nats_subject
from shared.domain.record import Accepted, Attempt, Deliveries, Flush
from shared.domain.stored import StoredDelivery, StoredMessage
from shared.view import delivery_view, encode, message_view

ACCEPTED, BLOCKED = "accepted", "blocked"
log = logging.getLogger(__name__)


class Item:
    """One message or delivery. `message` says which; a delivery counts as `accepted`, and has its message's topic, subject and `id`."""

    __slots__ = ("_json", "_source", "id", "message", "org", "subject", "topic", "verdict")

    def __init__(
        self, source: StoredMessage | tuple[bytes, StoredDelivery], org: str, topic: str, subject: str | None, verdict: str = ACCEPTED
    ) -> None:
        self.message = isinstance(source, StoredMessage)
        self.id = source.message.id if isinstance(source, StoredMessage) else source[0]
        self.org, self.topic, self.subject, self.verdict = org, topic, subject, verdict
        self._source: StoredMessage | tuple[bytes, StoredDelivery] | None = source
        self._json = b""

    @property
    def json(self) -> bytes:
        """As the frames show it. Encoded when the first client wants it; what it was made of is let go then."""
        if self._source is not None:
            self._json = _message_json(self._source) if isinstance(self._source, StoredMessage) else _delivery_json(*self._source)
            self._source = None
        return self._json

    @property
    def row(self) -> StoredMessage | None:
        """The message, for who asks about it. None for a delivery, and for what can't be shown."""
        if not self.message:
            return None
        return self._source if isinstance(self._source, StoredMessage) else read_back(self._json)


def items_of(flush: Flush) -> list[Item]:
    """The items of a flush, in the order of its records: a cursor counts them."""
    items: list[Item] = []
    for _, record in flush.new():
        if isinstance(record, Accepted):
            items.append(_accepted(record, flush.logged_at))
        elif isinstance(record, Attempt):
            items.append(_attempt(record, flush.logged_at))
        elif isinstance(record, Deliveries):
            items.extend(_delivered(record))
    return items


def _accepted(record: Accepted, logged_at: int) -> Item:
    message = record.message
    row = StoredMessage(
        message.id,
        message,
        ACCEPTED,
        None,
        None,
        202,
        logged_at,
        record.targets,
        cut=record.cut,
        undeliverable=record.undeliverable,
        shadows=record.shadows,
    )
    return Item(row, message.org, message.topic, message.subject)


def _attempt(record: Attempt, logged_at: int) -> Item:
    message = record.message
    row = StoredMessage(
        record.record_id,
        message,
        BLOCKED,
        record.rule,
        record.detail,
        record.status,
        logged_at,
        (),
        cut=record.cut,
        shadows=record.shadows,
    )
    return Item(row, message.org, message.topic, message.subject, BLOCKED)


def _delivered(record: Deliveries) -> Iterator[Item]:
    """One item a message id. A subject that isn't a message's shows nothing, and still counts: the cursor's numbers must not move."""
    for place, text in enumerate(record.subjects):
        try:
            org, subject, topic = parse_nats_subject(text)
        except ValueError:
            log.warning("the feed has a delivery on %r, which is no message's subject", text)
            org, subject, topic = "", None, ""
        sequence = record.sequences[place] if place < len(record.sequences) else None
        delivery = StoredDelivery(record.backbone, record.stream, sequence, record.error, record.time, record.attempt, record.by)
        yield Item((record.ids[place * 16 : place * 16 + 16], delivery), org if org == record.org else "", topic, subject)


def _message_json(row: StoredMessage) -> bytes:
    try:
        return encode(message_view(row))
    except (msgspec.EncodeError, UnicodeEncodeError):  # never a reason to lose the neighbours
        log.exception("a message on the feed can't be shown: %s", row.message.id.hex())
        return encode({"id": uuid_text(row.message.id), "org": row.message.org, "verdict": row.verdict, "unreadable": True})


def _delivery_json(id: bytes, delivery: StoredDelivery) -> bytes:
    return encode({"id": uuid_text(id), **delivery_view(delivery)})
