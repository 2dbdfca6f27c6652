"""A message read back from the JSON that the feed shows: what it was made of is let go once the first client sees it, and a filter that
comes later still asks about it."""

import base64
from datetime import datetime
from uuid import UUID

import msgspec

from shared.domain.message import Extension, Message
from shared.domain.stored import StoredMessage


class _Shown(msgspec.Struct):
    """The members of shared.view.message_view() that a filter asks about."""

    id: str
    org: str
    topic: str
    subject: str | None
    source: str
    event_id: str
    type: str
    time: str | None
    received_at: str
    door: str
    principal: str
    verdict: str
    datacontenttype: str | None
    dataschema: str | None
    extensions: dict[str, Extension]
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: str | None = None
    cut: bool = False


_decode = msgspec.json.Decoder(_Shown).decode


def read_back(shown: bytes) -> StoredMessage | None:
    """The row, as far as a filter asks about it; None where the feed could only say that there is one."""
    try:
        view = _decode(shown)
    except msgspec.ValidationError:
        return None
    body = None if view.data_base64 is None else base64.b64decode(view.data_base64)
    if view.data is not msgspec.UNSET:
        body = bytes(view.data)
    message = Message(
        id=UUID(view.id).bytes,
        digest=bytes(32),
        org=view.org,
        topic=view.topic,
        subject=view.subject,
        source=view.source,
        event_id=view.event_id,
        type=view.type,
        time=view.time,
        datacontenttype=view.datacontenttype,
        dataschema=view.dataschema,
        extensions=view.extensions or None,
        body=body,
        received_at=_microseconds(view.received_at),
        door=view.door,
        principal=view.principal,
    )
    return StoredMessage(message.id, message, view.verdict, None, None, 0, 0, (), cut=view.cut)


def _microseconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
