"""A group that goes to its stream for the first time, written as one atomic batch when it is looked at: no Item a message is made, which
somebody needs only where the stream doesn't take the batch."""

from collections.abc import Iterator, Sequence
from typing import overload
from uuid import uuid4

from shared.adapters.nats.frames import Item, usual_items
from shared.domain.publishing import FirstTime, Outgoing
from shared.speedups import core

MOST_MESSAGES = 1000  # in a step: a server's limit for a batch (ADR-50)
MOST_BYTES = 8 * 1024 * 1024  # in a step: a server keeps a batch in memory until its commit


class Framed(Sequence[Item]):
    """The items of a group, and the frames of all of them as one batch. `size` is theirs in bytes."""

    __slots__ = ("_after", "_before", "_group", "_items", "_max_payload", "size", "subjects")

    def __init__(self, group: FirstTime, max_payload: int, subjects: list[str], before: bytes, after: bytes) -> None:
        self.subjects = subjects
        self.size = len(before) + len(after)
        self._group, self._max_payload = group, max_payload
        self._before, self._after = before, after
        self._items: list[Item] | None = None

    def frames(self, reply: str) -> tuple[bytes, ...]:
        """The frames in pieces, acknowledged on `<reply>.0`. They are to be had once: the batch has an id of its own."""
        if not self._before:
            raise AssertionError("a batch is sent once")
        pieces = self._before, reply.encode(), self._after
        self._before = self._after = b""  # what is sent isn't kept until it is acknowledged
        return pieces

    def __len__(self) -> int:
        return len(self.subjects)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._made())

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...
    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        return self._made()[place]

    def _made(self) -> list[Item]:
        if self._items is None:
            self._items = usual_items(self._group, self._max_payload)
            if self._items is None:
                raise AssertionError("what was written as a batch is usual")
        return self._items


def framed(group: Sequence[Outgoing], max_payload: int) -> Framed | None:
    """The group as one batch; None where it is more than one, or isn't of messages for the first time, or anything about it is unusual."""
    if core is None or not isinstance(group, FirstTime) or len(group) > MOST_MESSAGES:
        return None
    made = core.first_batch(group.messages, uuid4().hex, max_payload, MOST_BYTES)
    return None if made is None else Framed(group, max_payload, *made)
