"""What the log remembers of the backbones' streams, as scripts/marks.lua has it."""

from collections.abc import Iterable, Mapping

from shared.domain.record import Deliveries, Record
from shared.domain.repairing import Mark, Marked

Told = tuple[str, str, str, int, int, str]  # backbone, org, created, lowest sequence, highest sequence, its message id in hex


def told_by(records: Iterable[Record]) -> list[Told]:
    """What delivery records tell: one entry each, in order. Refusals tell nothing."""
    return [_told(record) for record in records if type(record) is Deliveries and record.error is None and record.sequences]


def _told(taken: Deliveries) -> Told:
    highest = max(taken.sequences)
    place = taken.sequences.index(highest)
    return taken.backbone, taken.org, taken.created, min(taken.sequences), highest, taken.ids[place * 16 : place * 16 + 16].hex()


def packed(mark: Mark | None) -> str:
    """A mark as its hash has it; "" for none."""
    return "" if mark is None else f"{mark.created} {mark.sequence} {mark.id.hex()}"


def read(marks: list[bytes], doubts: list[bytes]) -> list[Marked]:
    """What the two hashes have, as HGETALL gives them."""
    doubted = _pairs(doubts)
    return [Marked(org, mark, doubted.get(org)) for org, mark in _pairs(marks).items()]


def _pairs(flat: list[bytes]) -> Mapping[str, Mark]:
    return {flat[at].decode(): _mark(flat[at + 1].decode()) for at in range(0, len(flat), 2)}


def _mark(text: str) -> Mark:
    created, sequence, id = text.split(" ")
    return Mark(created, int(sequence), bytes.fromhex(id))
