"""Many events as one JSON array (JSON format, section 4), and what doors without a Content-Type are sent: one event or an array."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice

import msgspec

from shared.codec.event import MAX_BATCH_BYTES, MAX_EVENTS, Context, Decoded, check_event_bytes, malformed
from shared.codec.json_text import BLANK, UNREADABLE, parts, reason
from shared.codec.structured import decode_exactly, identity_in
from shared.codec.usual import UNUSUAL, decode_envelope, decode_envelopes, extended_message, messages_of
from shared.domain.errors import Fault, Malformed, TooLarge
from shared.domain.message import Message


def decode_structured(data: bytes | memoryview, context: Context) -> Message:
    """The Message of one event as JSON. Raises Malformed."""
    text = bytes(data)
    try:
        return messages_of((decode_envelope(text),), text, context)[0]
    except UNUSUAL:
        pass
    try:
        return extended_message(text, context)
    except UNUSUAL:
        pass
    try:
        return decode_exactly(text, context)
    except Malformed as error:
        error.identity = identity_in(text, context.org)
        raise


def decode_event_or_array(data: bytes | memoryview, context: Context) -> Decoded:
    """What a frame, list element or message holds: one structured event, or an array of them.

    Raises Malformed where it is one event that can't be read, or neither; TooLarge where the array is over a batch's limits, or the event
    over its own.
    """
    text = bytes(data)
    if text.lstrip(BLANK).startswith(b"["):
        return decode_batch(text, context)
    check_event_bytes(len(text))
    return Decoded(True, [decode_structured(text, context)])


def decode_batch(body: bytes, context: Context) -> Decoded:
    """The events of a JSON array, each by itself. Raises Malformed where it is no array, TooLarge over 1,000 events or 8 MiB."""
    if len(body) > MAX_BATCH_BYTES:
        fault = Fault("", f"is over {MAX_BATCH_BYTES} bytes")
        raise TooLarge(f"the batch has {len(body)} bytes; {MAX_BATCH_BYTES} are allowed", rule="size", faults=[fault])
    try:
        envelopes = decode_envelopes(body)
        if len(envelopes) <= MAX_EVENTS:
            return Decoded(False, [*messages_of(envelopes, body, context)])
    except UNUSUAL:
        pass  # at least one of them is: each by itself, then
    return Decoded(False, [_message_or_error(event, context) for event in split_array(body)])


def split_array(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    """The items of an array, raw. One that is no JSON is told from its neighbours, as long as it keeps quotes and brackets in balance.

    Raises Malformed; TooLarge over 1,000 items, and nothing behind those is read.
    """
    is_array = body.lstrip(BLANK).startswith(b"[")
    try:
        return [item for item in _items()(body) if item is not msgspec.UNSET]
    except msgspec.ValidationError:
        raise _too_many() if is_array else malformed([Fault("", "is not a JSON array of events")]) from None
    except UNREADABLE as error:
        try:
            if not is_array:
                raise ValueError("not an array")
            events = list(islice(parts(body), MAX_EVENTS + 1))
        except ValueError:
            raise malformed([Fault("", reason(error, body))]) from None
    if len(events) > MAX_EVENTS:
        raise _too_many()
    return events


@cache
def _items() -> Callable[[bytes], Sequence[msgspec.Raw | msgspec.UnsetType]]:
    """A decoder of an array that stops at one item too many: 8 MiB of `1,` were four million of them, and 300 MB. It takes 6 ms to make,
    which no start needs."""
    fields = [(f"item_{place}", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for place in range(MAX_EVENTS)]
    decode = msgspec.json.Decoder(msgspec.defstruct("Items", fields, array_like=True, forbid_unknown_fields=True, gc=False)).decode
    return lambda body: msgspec.structs.astuple(decode(body))


def _too_many() -> TooLarge:
    fault = Fault(f"/{MAX_EVENTS}", f"is one event more than the {MAX_EVENTS} that are allowed")
    return TooLarge(f"the batch has more than {MAX_EVENTS} events", rule="size", faults=[fault])


def _message_or_error(event: bytes | msgspec.Raw, context: Context) -> Message | Malformed:
    try:
        return decode_structured(bytes(event), context)
    except Malformed as error:
        return error
