"""What is told of messages that are new, and that one stream stored in a row: nearly all batches end so. Said once, for all of them; what
is said of one is made when somebody asks for it."""

from collections.abc import Iterator, Sequence
from typing import overload

from shared.domain.message import Message
from shared.domain.verdict import Delivery, Receipt


class StoredInARow(Sequence[tuple[Delivery, ...]]):
    """The deliveries of messages, one each: `sequences` are theirs in the stream, in order."""

    __slots__ = ("backbone", "sequences", "stream")

    def __init__(self, backbone: str, stream: str, sequences: range) -> None:
        self.backbone, self.stream, self.sequences = backbone, stream, sequences

    def __len__(self) -> int:
        return len(self.sequences)

    def __iter__(self) -> Iterator[tuple[Delivery, ...]]:
        return map(self._of, self.sequences)

    @overload
    def __getitem__(self, place: int) -> tuple[Delivery, ...]: ...
    @overload
    def __getitem__(self, place: slice) -> "StoredInARow": ...
    def __getitem__(self, place: int | slice) -> "tuple[Delivery, ...] | StoredInARow":
        if isinstance(place, slice):
            return StoredInARow(self.backbone, self.stream, self.sequences[place])
        return self._of(self.sequences[place])

    def _of(self, sequence: int) -> tuple[Delivery, ...]:
        return (Delivery(self.backbone, self.stream, sequence),)


class ReceiptsInARow(Sequence[Receipt]):
    """The receipts of such messages, each accepted under its own revision."""

    __slots__ = ("messages", "stored")

    def __init__(self, messages: Sequence[Message], stored: StoredInARow) -> None:
        if len(messages) != len(stored):
            raise ValueError(f"{len(messages)} messages, of which {len(stored)} are stored")
        self.messages, self.stored = messages, stored

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[Receipt]:
        return map(_receipt, self.messages, self.stored)

    @overload
    def __getitem__(self, place: int) -> Receipt: ...
    @overload
    def __getitem__(self, place: slice) -> "ReceiptsInARow": ...
    def __getitem__(self, place: int | slice) -> "Receipt | ReceiptsInARow":
        if isinstance(place, slice):
            return ReceiptsInARow(self.messages[place], self.stored[place])
        return _receipt(self.messages[place], self.stored[place])


def _receipt(message: Message, deliveries: tuple[Delivery, ...]) -> Receipt:
    return Receipt(message, message.revision, deliveries)
