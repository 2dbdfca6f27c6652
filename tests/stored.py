"""Messages for a store: what tests of query put there."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from shared.domain.message import Message, message_digest, message_id
from shared.domain.record import NEW, Accepted, Attempt, Deliveries, Flush, Record
from shared.domain.uuid7 import uuid7
from tests.rest import Api

NOON = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z, microseconds since 1970


def message(event_id: str = "1", org: str = "acme", **changes: Any) -> Message:
    """A message; `changes` are other attributes."""
    given: dict[str, Any] = {
        "topic": "orders.created",
        "subject": "agent-7",
        "source": "/shop",
        "type": "order",
        "time": None,
        "datacontenttype": "application/json",
        "dataschema": None,
        "extensions": None,
        "body": b'{"sku":"a"}',
        "received_at": NOON,
        "door": "http",
        "principal": "shop",
        "revision": 1,
        **changes,
    }
    digest = message_digest(given["type"], given["subject"], given["topic"], given["datacontenttype"], given["dataschema"], given["body"])
    return Message(id=message_id(org, given["source"], event_id), digest=digest, org=org, event_id=event_id, **given)


def accepted(event_id: str = "1", org: str = "acme", *, targets: tuple[str, ...] = ("local",), **changes: Any) -> Accepted:
    """An accepted message."""
    return Accepted(message(event_id, org, **changes), targets, None if targets else "no-route")


def attempt(event_id: str = "1", org: str = "acme", *, rule: str = "grant", status: int = 403, **changes: Any) -> Attempt:
    """A refused message."""
    return Attempt(uuid7(), message(event_id, org, **changes), False, status, rule, f"{rule} says no")


def taken(of: Message, sequence: int = 7, *, time: int = NOON + 2000, error: str | None = None) -> Deliveries:
    """The backbone `local` took the message, or refused it."""
    stream = f"sb-{of.org}"
    return Deliveries(of.org, "local", stream, "2026-01-01T00:00:00Z", time, of.id, (f"sb.{of.org}.x",), (sequence,), error)


def flush(number: int, *records: Record, logged_at: int = NOON + 1000) -> Flush:
    """One group commit of these records: those with an identity come first, as the log has them."""
    ordered: Sequence[Record] = sorted(records, key=lambda record: not isinstance(record, Accepted))
    return Flush(number, logged_at, bytes([NEW]) * sum(isinstance(record, Accepted) for record in records), ordered)


async def stored(api: Api, *records: Record) -> None:
    """Put the records into the store of a function."""
    await api.store.write(0, [flush(1, *records)])


def text(id: bytes) -> str:
    """An id as URLs have it."""
    return str(UUID(bytes=id))
