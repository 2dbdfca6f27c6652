"""Messages for tests, made as the codec makes them."""

import time

from shared.domain.message import Extension, Message, message_digest, message_id
from shared.domain.record import Accepted, Attempt
from shared.domain.uuid7 import uuid7


def message(
    event_id: str = "e1",
    *,
    org: str = "acme",
    topic: str = "orders.created",
    subject: str | None = None,
    source: str = "/shop",
    body: bytes | None = b'{"sku":"a"}',
    extensions: dict[str, Extension] | None = None,
    received_at: int | None = None,
    principal: str = "tester",
    revision: int = 1,
) -> Message:
    """A message of type `order` with a JSON body."""
    return Message(
        message_id(org, source, event_id),
        message_digest("order", subject, topic, "application/json", None, body),
        org,
        topic,
        subject,
        source,
        event_id,
        "order",
        None,
        "application/json",
        None,
        extensions,
        body,
        time.time_ns() // 1000 if received_at is None else received_at,
        "http",
        principal,
        revision,
    )


def accepted(event_id: str = "e1", *, targets: tuple[str, ...] = ("local",), **attributes: object) -> Accepted:
    """A record of such a message."""
    return Accepted(message(event_id, **attributes), targets)  # type: ignore[arg-type]


def attempt(event_id: str = "e1", *, rule: str = "grant", body: bytes | None = b"{}", org: str = "acme") -> Attempt:
    """A refused message."""
    return Attempt(uuid7(), message(event_id, body=body, org=org), False, 403, rule, "no")
