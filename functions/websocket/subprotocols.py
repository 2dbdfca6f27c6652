"""The two languages of the events door: what a text frame is read as, and what its sender is told (contracts.md, "The four doors")."""

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import NamedTuple
from uuid import uuid4

import msgspec

from shared.codec import Context, check_event_bytes, decode_event_or_array, decode_structured, encode_receipt, encode_receipts, event_id_in
from shared.domain.errors import Fault, Malformed, SwitchboardError
from shared.domain.message import Message
from shared.domain.verdict import Outcome

CLOUDEVENTS = "cloudevents.json"  # CloudEvents 1.0.2, WebSockets binding, 3.1
SWITCHBOARD = "switchboard.events.v1"

Items = list[Message | Malformed]
Answer = Callable[[bytes, Items, Sequence[Outcome]], bytes]  # the frame, what was read in it, and its outcomes: the answering frame


class Subprotocol(NamedTuple):
    """`decode` raises SwitchboardError for a frame that is refused as a whole: then its items are none, and its outcome is one."""

    name: str
    decode: Callable[[bytes, Context], Items]
    answer: Answer


class _ReceiptEvent(msgspec.Struct, omit_defaults=True, gc=False):
    specversion: str
    id: str
    source: str
    type: str
    datacontenttype: str
    data: msgspec.Raw
    subject: str | None = None


_encode = msgspec.json.Encoder().encode


def chosen(offered: Iterable[str], cluster: str) -> Subprotocol:
    """The first of the client's subprotocols that we have, for one connection. Raises Malformed where it offers none of them."""
    for name in offered:
        if name == SWITCHBOARD:
            return Subprotocol(name, _event_or_array, _receipts)
        if name == CLOUDEVENTS:
            return Subprotocol(name, _one_event, _receipt_events(f"/clusters/{cluster}/websocket"))
    raise Malformed(
        f"offer a subprotocol: {CLOUDEVENTS} or {SWITCHBOARD}", faults=[Fault("sec-websocket-protocol", "has none that is spoken here")]
    )


def _one_event(frame: bytes, context: Context) -> Items:
    check_event_bytes(len(frame))
    return [decode_structured(frame, context)]


def _event_or_array(frame: bytes, context: Context) -> Items:
    return decode_event_or_array(frame, context).items


def _receipts(frame: bytes, items: Items, outcomes: Sequence[Outcome]) -> bytes:
    return encode_receipts(outcomes)


def _receipt_events(source: str) -> Answer:
    """Receipts as CloudEvents; `subject` is the sent event's id, left out where that can't be read."""
    connection, numbers = uuid4().hex, count()

    def answer(frame: bytes, items: Items, outcomes: Sequence[Outcome]) -> bytes:
        item = items[0] if items else None
        subject = item.event_id if isinstance(item, Message) else event_id_in(frame)
        receipt = msgspec.Raw(encode_receipt(outcomes[0]))
        return _encode(
            _ReceiptEvent("1.0", f"{connection}-{next(numbers)}", source, "switchboard.receipt", "application/json", receipt, subject)
        )

    return answer


def refusal_of(error: SwitchboardError) -> bytes | None:
    """The message id of a frame that is refused as a whole, where it is one event whose source and id can be read."""
    return error.identity if isinstance(error, Malformed) else None
