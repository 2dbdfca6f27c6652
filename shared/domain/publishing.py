"""Messages on their way to a stream, and what became of them there."""

from collections.abc import Iterator, Sequence
from typing import overload

import msgspec

from shared.domain.message import Message


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message on its way to a stream. `revision` goes into `ce-sbrevision`; a `known` one is published alone, never in a batch."""

    message: Message
    revision: int
    known: bool = False
    nats_id: str | None = None  # Nats-Msg-Id; None: the message id. Replays have their own.
    repair: bool = False  # published again to a stream that lost it


class FirstTime(Sequence[Outgoing]):
    """Messages that go to a stream for the first time, under their own revision and id. An Outgoing is made when it is asked for."""

    __slots__ = ("messages",)

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[Outgoing]:
        return (Outgoing(message, message.revision) for message in self.messages)

    @overload
    def __getitem__(self, place: int) -> Outgoing: ...
    @overload
    def __getitem__(self, place: slice) -> list[Outgoing]: ...
    def __getitem__(self, place: int | slice) -> Outgoing | list[Outgoing]:
        return list(self)[place] if isinstance(place, slice) else Outgoing(self.messages[place], self.messages[place].revision)


class Published(msgspec.Struct, frozen=True, gc=False):
    """What became of one Outgoing: taken (`sequence`), refused by a reachable backbone (`refused`), or unknown (`lost`: no PubAck)."""

    sequence: int = 0
    duplicate: bool = False
    refused: str | None = None
    lost: str | None = None


class InARow(Sequence[Published]):
    """All of a group was taken, as new messages with these sequences. A Published is made when it is asked for."""

    __slots__ = ("sequences",)

    def __init__(self, sequences: range) -> None:
        self.sequences = sequences

    def __len__(self) -> int:
        return len(self.sequences)

    def __iter__(self) -> Iterator[Published]:
        return map(Published, self.sequences)

    @overload
    def __getitem__(self, place: int) -> Published: ...
    @overload
    def __getitem__(self, place: slice) -> list[Published]: ...
    def __getitem__(self, place: int | slice) -> Published | list[Published]:
        return list(map(Published, self.sequences[place])) if isinstance(place, slice) else Published(self.sequences[place])


class PublishedGroup(msgspec.Struct, frozen=True):
    """One publish group on one stream: `results` in the order given. `created`: the stream's creation time, as NATS tells it."""

    backbone: str
    stream: str
    created: str
    subjects: tuple[str, ...]
    results: Sequence[Published]
