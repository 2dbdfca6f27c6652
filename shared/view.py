"""A message as query and feed show it (contracts.md, "Shapes used by all REST functions")."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from shared.domain.message import uuid_text
from shared.domain.stored import StoredDelivery, StoredMessage

_encode = msgspec.json.Encoder().encode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


def encode(view: Mapping[str, object]) -> bytes:
    """A view, or an answer made of views, as JSON."""
    return _encode(view)


def time_text(microseconds: int) -> str:
    """Microseconds since 1970 as RFC 3339 in UTC, with all six digits: `2026-01-31T12:00:00.000000Z`."""
    return f"{_second_text(microseconds // 1_000_000)}.{microseconds % 1_000_000:06d}Z"


def message_view(row: StoredMessage) -> dict[str, object]:
    """One row as `{id, org, topic, subject, source, event_id, type, time, received_at, door, principal, verdict, rule,
    config_revision, datacontenttype, dataschema, data | data_base64, extensions, deliveries}`, to be encoded with encode().

    `data` is the body itself where that is JSON, as msgspec.Raw, `data_base64` any other body, and neither where the event has none.
    `cut` is there where the body isn't whole. An attempt has `record_id` and `detail` besides, an accepted message that no backbone
    takes `undeliverable`, one whose identity was accepted before with another body `conflict`, and one that shadow policies would have
    done something to `shadows`.
    """
    message = row.message
    view: dict[str, object] = {
        "id": uuid_text(message.id),
        "org": message.org,
        "topic": message.topic,
        "subject": message.subject,
        "source": message.source,
        "event_id": message.event_id,
        "type": message.type,
        "time": message.time,
        "received_at": time_text(message.received_at),
        "door": message.door,
        "principal": message.principal,
        "verdict": row.verdict,
        "rule": row.rule,
        "config_revision": message.revision,
        "datacontenttype": message.datacontenttype,
        "dataschema": message.dataschema,
    }
    if message.body is not None:
        if not row.cut and _is_json(message.datacontenttype, message.body):
            view["data"] = msgspec.Raw(message.body)
        else:  # half of a number is a number too: a cut body is never shown as JSON
            view["data_base64"] = base64.b64encode(message.body).decode()
    view["extensions"] = message.extensions or {}
    view["deliveries"] = [delivery_view(delivery) for delivery in row.deliveries]
    if row.verdict == "blocked":
        view["record_id"] = uuid_text(row.record_id)
        view["detail"] = row.detail
    if row.cut:
        view["cut"] = True
    if row.conflict:
        view["conflict"] = True
    if row.undeliverable is not None:
        view["undeliverable"] = row.undeliverable
    if row.shadows:
        view["shadows"] = row.shadows
    return view


def delivery_view(delivery: StoredDelivery) -> dict[str, object]:
    """One delivery attempt of a message: `sequence` where the stream took it, else `error`."""
    return {
        "backbone": delivery.backbone,
        "stream": delivery.stream,
        "sequence": delivery.sequence,
        "error": delivery.error,
        "time": time_text(delivery.time),
    }


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()


@lru_cache(maxsize=1024)
def _says_json(datacontenttype: str | None) -> bool:
    """Whether a content type means JSON: subtype `json` or `+json`, or none at all (CloudEvents JSON format, section 3.1)."""
    if datacontenttype is None:
        return True
    subtype = datacontenttype.partition(";")[0].strip().lower().partition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def _is_json(datacontenttype: str | None, body: bytes) -> bool:
    """Whether the body can stand in an answer as it is: JSON by its type, and valid. Nothing is built from it to find out."""
    if not _says_json(datacontenttype):
        return False
    try:
        body.isascii() or body.decode()  # the scan below doesn't look inside strings
        _decode_raw(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
