"""Rows of sql/message_columns.sql as StoredMessage, and the deliveries that belong to them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from shared.domain.message import Extension, Message
from shared.domain.stored import StoredDelivery, StoredMessage
from shared.domain.verdict import Shadow

_extensions = msgspec.json.Decoder(dict[str, Extension]).decode
_shadows = msgspec.json.Decoder(tuple[Shadow, ...]).decode


def stored_message(row: Sequence[Any]) -> StoredMessage:
    """One row, without its deliveries."""
    record_id, message_id, digest, org, topic, subject, source, event_id, kind, time, datacontenttype, dataschema = row[:12]
    extensions, body, received_at, door, principal, revision = row[12:18]
    verdict, rule, detail, status, logged_at, targets, conflict, cut, undeliverable, shadows, redelivered = row[18:]
    message = Message(
        id=message_id.bytes,
        digest=digest,
        org=org,
        topic=topic,
        subject=subject,
        source=source,
        event_id=event_id,
        type=kind,
        time=time,
        datacontenttype=datacontenttype,
        dataschema=dataschema,
        extensions=None if extensions is None else _extensions(extensions),
        body=body,
        received_at=received_at,
        door=door,
        principal=principal,
        revision=revision,
    )
    return StoredMessage(
        record_id=record_id.bytes,
        message=message,
        verdict=verdict,
        rule=rule,
        detail=detail,
        status=status,
        logged_at=logged_at,
        targets=tuple(targets),
        conflict=conflict,
        cut=cut,
        undeliverable=undeliverable,
        redelivered=redelivered,
        shadows=() if shadows is None else _shadows(shadows),
    )


def deliveries_by_id(rows: Iterable[Sequence[Any]]) -> dict[bytes, tuple[StoredDelivery, ...]]:
    """Rows of sql/deliveries_of.sql, by message id, in their order."""
    found: dict[bytes, list[StoredDelivery]] = {}
    for message_id, *delivery in rows:
        found.setdefault(message_id.bytes, []).append(StoredDelivery(*delivery))
    return {message_id: tuple(deliveries) for message_id, deliveries in found.items()}


def with_deliveries(stored: StoredMessage, deliveries: Mapping[bytes, tuple[StoredDelivery, ...]]) -> StoredMessage:
    """The row with what became of it; an attempt was never delivered."""
    if stored.verdict != "accepted" or stored.message.id not in deliveries:
        return stored
    return msgspec.structs.replace(stored, deliveries=deliveries[stored.message.id])
