"""Message <-> the CloudEvents SDK's event: for remote hops, sinks and `send`, where a few microseconds don't matter.

The SDK is imported where it is used: a door that starts doesn't wait for it.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from shared.codec.attributes import header_value, is_json_type, json_pointer
from shared.codec.event import Context, compose, malformed
from shared.domain.errors import Fault
from shared.domain.message import Message

if TYPE_CHECKING:
    from cloudevents.http import CloudEvent


def to_cloudevent(message: Message) -> "CloudEvent":
    """The message as the SDK's event; its data is the body's bytes. `topic` is said only where it isn't the type."""
    from cloudevents.http import CloudEvent

    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": message.event_id,
        "source": message.source,
        "type": message.type,
        "subject": message.subject,
        "time": message.time,
        "datacontenttype": message.datacontenttype,
        "dataschema": message.dataschema,
        "topic": None if message.topic == message.type else message.topic,
        **(message.extensions or {}),
    }
    event = CloudEvent({name: value for name, value in attributes.items() if value is not None}, message.body)
    if message.time is None:
        del event["time"]  # the SDK makes one up
    return event


def to_binary_http(message: Message) -> tuple[dict[str, str], bytes]:
    """Headers and body of the message in HTTP binary mode. The SDK leaves the percent-encoding to its caller."""
    from cloudevents.conversion import to_binary

    headers, body = to_binary(to_cloudevent(message), data_marshaller=_as_it_is)
    encoded = {name: header_value(value) if name.startswith("ce-") else value for name, value in headers.items()}
    return encoded, body or b""


def to_structured_http(message: Message) -> tuple[dict[str, str], bytes]:
    """Headers and body of the message in HTTP structured mode, its data in base64: the SDK would write other bytes as JSON."""
    from cloudevents.conversion import to_structured

    return to_structured(to_cloudevent(message))


def from_cloudevent(event: "CloudEvent", context: Context) -> Message:
    """The Message of the SDK's event. Data that the SDK has parsed is written as JSON again, so its bytes may differ from those sent.

    Raises Malformed.
    """
    attributes = {name: value for name, value in event.get_attributes().items() if value is not None}
    faults = [
        Fault(json_pointer(name), "must be a string, boolean or integer")
        for name, value in attributes.items()
        if not isinstance(value, str | int)
    ]
    if faults:
        raise malformed(faults)
    data = event.get_data()
    if data is not None and not isinstance(data, bytes):
        datacontenttype = attributes.setdefault("datacontenttype", "application/json")
        as_text = isinstance(data, str) and not is_json_type(str(datacontenttype))
        try:
            data = data.encode() if as_text else msgspec.json.encode(data)
        except (ValueError, TypeError, RecursionError):
            raise malformed([Fault("/data", "can't be written as JSON")]) from None
    return compose(attributes, data, context, json_pointer)


def _as_it_is(data: Any) -> Any:
    return data
