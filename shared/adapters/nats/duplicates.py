"""What a stream says it has already: the same message, or another one under the same id (log.md, "The same event again").

A stream remembers ids for longer than the log, and its Nats-Msg-Id has no digest in it: an event of a known identity with other content
is a message of its own to the log by then, and would never come to be in the stream. So what the stream has is looked at.
"""

from collections.abc import Sequence

import msgspec

from shared.adapters.nats.connection import Connection
from shared.adapters.nats.frames import Item, content
from shared.adapters.nats.replies import ApiError
from shared.adapters.nats.streams import Stream
from shared.domain.errors import Malformed
from shared.domain.publishing import Published

UNREAD = "the message that the stream has under its id could not be read in time"
NO_MESSAGE = 10037  # nats-server, errors.json: it was there, and was deleted or is over the stream's limits


class _Message(msgspec.Struct):
    hdrs: bytes = b""  # base64 in JSON, which msgspec reads
    data: bytes = b""


class _MessageAnswer(msgspec.Struct):
    message: _Message | None = None
    error: ApiError | None = None


decode_message = msgspec.json.Decoder(_MessageAnswer).decode


class Comparison:
    """Whether the stream has what was published, by index: None until it is known. A message that is gone is another one: to be
    published twice is allowed, never to be is not. `reason` says why something is not known."""

    __slots__ = ("_answered", "_items", "reason", "same")

    def __init__(self, items: Sequence[Item]) -> None:
        self.same: list[bool | None] = [None] * len(items)
        self.reason = UNREAD
        self._items = items
        self._answered: set[int] = set()

    def take(self, place: bytes, data: bytes, headers: bytes | None) -> bool:
        """Compare at once, so that the answers of large messages are not kept."""
        try:
            index = int(place)
            answer = decode_message(data) if data else None
        except (ValueError, msgspec.DecodeError):
            return False
        if not 0 <= index < len(self._items):
            return False
        self._answered.add(index)
        if answer is not None and answer.message is not None:
            self.same[index] = _is_same(self._items[index], answer.message)
        elif answer is not None and answer.error is not None and answer.error.err_code == NO_MESSAGE:
            self.same[index] = False
        elif answer is not None and answer.error is not None:
            self.reason = f"{UNREAD}: {answer.error.description}"
        return len(self._answered) == len(self._items)


async def other_messages(
    connection: Connection, stream: Stream, repeated: Sequence[tuple[Item, int]], results: list[Published | None], deadline: float
) -> list[Item]:
    """Look at the messages whose sequences the PubAcks of these duplicates named, and note the results of those that are the same.

    Returns the others. What could not be compared by the deadline (loop time) is noted as lost. Raises Lost when nothing can be sent.
    """
    comparison = Comparison([item for item, _ in repeated])
    await connection.ask(comparison, lambda reply: get_frames(stream.name, [sequence for _, sequence in repeated], reply), deadline)
    others: list[Item] = []
    for (item, sequence), same in zip(repeated, comparison.same, strict=True):
        if same is None:
            results[item.place] = Published(lost=connection.gone or comparison.reason)
        elif same:
            results[item.place] = Published(sequence, duplicate=True)
        else:
            others.append(item)
    return others


def get_frames(stream: str, sequences: Sequence[int], reply: str) -> bytes:
    """A request for each message. The leader answers these; a direct get may ask a replica that has not got the message yet."""
    parts: list[str] = []
    for index, sequence in enumerate(sequences):
        request = f'{{"seq":{sequence}}}'
        parts.append(f"PUB $JS.API.STREAM.MSG.GET.{stream} {reply}.{index} {len(request)}\r\n{request}\r\n")
    return "".join(parts).encode()


def _is_same(item: Item, stored: _Message) -> bool:
    if stored.data != item.body:
        return False
    try:
        headers = stored.hdrs.decode()
        return headers.startswith(item.headers) or content(headers, stored.data) == content(item.headers, item.body)
    except (Malformed, UnicodeDecodeError):  # not of our making
        return False
