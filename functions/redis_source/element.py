"""One element of a submit list: the events in it, where their receipts go, and what is told of one that can't be read. No I/O."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from shared.codec import Context, decode_event_or_array
from shared.codec.batch import split_array
from shared.codec.json_text import BLANK, readable_members
from shared.domain.errors import Fault, Malformed, Overloaded, SwitchboardError, TooLarge
from shared.domain.message import Message
from shared.domain.submitted import Element, Oversized, Settlement
from shared.domain.verdict import Refusal
from shared.sources.outcomes import Done, Rejected, Retry, Settled, receipt_of, unreadable

MAX_RAW = 64 * 1024  # bytes of an element that a rejection repeats
REPLYTO = "replyto"
QUOTA = "submit-quota"
FULL = "the org's submit list is full: send the same again later"


class Work(msgspec.Struct):
    """An element on its way. `items` are its events, in order; `answers` what became of each, None or Retry while that isn't known."""

    element: Element
    items: Sequence[Message | Malformed]
    answers: list[Settled | None]
    fault: SwitchboardError | None = None  # why there are no items

    @property
    def messages(self) -> list[Message]:
        """Those whose outcome is still to come, in order."""
        return [
            item
            for item, answer in zip(self.items, self.answers, strict=True)
            if (answer is None or type(answer) is Retry) and isinstance(item, Message)
        ]

    @property
    def final(self) -> bool:
        """Whether every event has its outcome."""
        return not [answer for answer in self.answers if answer is None or type(answer) is Retry]

    def answer(self, answers: Sequence[Settled]) -> None:
        """What became of `messages`."""
        if len(answers) == len(self.items):  # nearly always: it was asked for all of them
            self.answers = list(answers)
            return
        given = iter(answers)
        for place, (item, answer) in enumerate(zip(self.items, self.answers, strict=True)):
            if (answer is None or type(answer) is Retry) and isinstance(item, Message):
                self.answers[place] = next(given)


def read(element: Element, context: Context, known: Sequence[Settled | None] | None = None) -> Work:
    """The events of an element. `known` are the answers that an earlier try has brought. Raises nothing."""
    if isinstance(element, Oversized):
        detail = f"the element has {element.size} bytes; a batch's 8 MiB are allowed"
        return Work(element, (), [], TooLarge(detail, rule="size"))
    try:
        items = decode_event_or_array(element, context).items
    except SwitchboardError as error:
        return Work(element, (), [], error)
    if known is None:
        known = [unreadable(item) if isinstance(item, Malformed) else None for item in items]
    return Work(element, items, list(known))


def refuse(work: Work) -> None:
    """The list holds more than it may: every event of this element is refused, and the sender is told to slow down."""
    error = Overloaded(FULL, rule=QUOTA, retry_after_ms=5_000)
    answers: list[Settled] = [Done(Refusal(error, message.id)) for message in work.messages]
    work.answer(answers)
    work.fault = work.fault or error


def told(works: Sequence[Work]) -> Settlement:
    """What is told when these leave the list."""
    receipts: list[tuple[str, bytes]] = []
    rejected: list[bytes] = []
    for work in works:
        if work.fault is not None:
            rejected.append(rejection(work.fault.detail, work.element, work.fault.faults))
        if not work.items and work.fault is not None:
            if replyto := _replyto_of(work.element):
                receipts.append(
                    (replyto, receipt_of(Refusal(work.fault, work.fault.identity if isinstance(work.fault, Malformed) else None)))
                )
            continue
        raw = _raw(work)
        for place in _told_of(work):
            item, answer = work.items[place], work.answers[place]
            replyto = _replyto(item, raw[place]) if raw else _replyto_of_message(item)
            if isinstance(answer, Rejected):
                where = "" if len(work.items) == 1 and not _is_array(work.element) else f"event {place} of the array: "
                rejected.append(rejection(where + answer.reason, raw[place], answer.faults))
            if replyto and isinstance(answer, Done | Rejected) and (receipt := answer.receipt) is not None:
                receipts.append((replyto, receipt))
    return Settlement(receipts, rejected)


def _told_of(work: Work) -> list[int]:
    """The places of the events of which somebody may have to be told: nearly always none."""
    return [
        place
        for place, (item, answer) in enumerate(zip(work.items, work.answers, strict=True))
        if not isinstance(item, Message) or item.extensions or type(answer) is Rejected
    ]


def rejection(reason: str, element: Element, faults: Sequence[Fault] = ()) -> bytes:
    """An entry of the rejected list, as JSON: `reason`, `errors` (`pointer`, `detail`), `time`, `bytes`, and the element itself as `raw`,
    or `raw_base64` where it is no text; `cut` where that is only its beginning."""
    size, raw = element if isinstance(element, Oversized) else (len(element), element)
    entry: dict[str, object] = {"reason": reason, "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", "bytes": size}
    if faults:
        entry["errors"] = [fault._asdict() for fault in faults]
    if size > MAX_RAW:
        raw, entry["cut"] = raw[:MAX_RAW], True
    try:
        entry["raw"] = raw.decode()
    except UnicodeDecodeError:
        entry["raw_base64"] = base64.b64encode(raw).decode()
    return msgspec.json.encode(entry)


def _is_array(element: Element) -> bool:
    return isinstance(element, bytes) and element.lstrip(BLANK).startswith(b"[")


def _raw(work: Work) -> Sequence[Element]:
    """The bytes of each event, found in one go (a thousand looks into 8 MiB took minutes); none where nobody has to be told of them."""
    if not any(isinstance(answer, Rejected) for answer in work.answers):
        return ()
    if not isinstance(work.element, bytes) or not _is_array(work.element):
        return (work.element,)
    return [bytes(event) for event in split_array(work.element)]


def _replyto(item: Message | Malformed, raw: Element) -> str | None:
    """Where the receipt of an event is wanted. One that can't be read may still say it."""
    return _replyto_of(raw) if isinstance(item, Malformed) else _replyto_of_message(item)


def _replyto_of_message(item: Message | Malformed) -> str | None:
    wanted = item.extensions.get(REPLYTO) if isinstance(item, Message) and item.extensions else None
    return wanted if isinstance(wanted, str) else None


def _replyto_of(element: Element) -> str | None:
    if isinstance(element, Oversized) or _is_array(element):
        return None
    try:
        return msgspec.json.decode(readable_members(element, (REPLYTO,)).get(REPLYTO, b""), type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
