"""What a door's submit list holds, and what becomes of it (contracts.md, "The four doors": redis)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

Side = Literal["taken", "over"]  # the oldest of a list, to be worked off; the newest, beyond what the list may hold


class Oversized(NamedTuple):
    """An element that is larger than anything a door reads: how many bytes it has, and the first of them."""

    size: int
    head: bytes


Element = bytes | Oversized


class Batch(msgspec.Struct, frozen=True):
    """Elements in a worker's processing list, in the order taken. `again`: they were there before, and stand where they stood.

    `number` tells it from every other batch of its worker. `deaths` is how many workers in a row are gone that held the first element
    and no other, and never said what became of it. `wrong_type` is what the submit key holds where that is no list: then nothing was taken.
    """

    elements: Sequence[Element] = ()
    again: bool = False
    wrong_type: str | None = None
    number: int = 0
    deaths: int = 0


class Settlement(msgspec.Struct, frozen=True):
    """What is told of the first elements of a batch when they leave it: receipts by the list they go to, and rejections as JSON."""

    receipts: Sequence[tuple[str, bytes]] = ()
    rejected: Sequence[bytes] = ()
