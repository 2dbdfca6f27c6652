"""What every place of receipts must do. Subclasses give `outside`: the port, a place of its org, and what came there."""

from typing import Protocol

from shared.ports import Receipts


class Outside(Protocol):
    org: str
    place: str

    @property
    def receipts(self) -> Receipts: ...

    async def came(self, count: int) -> list[bytes]:
        """What came there, once it is so many."""


class ReceiptsConformance:
    async def test_receipt_is_at_its_place_when_it_was_told(self, outside: Outside) -> None:
        await outside.receipts.tell(outside.org, outside.place, b'{"status":"accepted"}')
        assert await outside.came(1) == [b'{"status":"accepted"}']

    async def test_receipts_are_in_order_when_several_are_told(self, outside: Outside) -> None:
        told = [b'{"n":%d}' % number for number in range(20)]
        for each in told:
            await outside.receipts.tell(outside.org, outside.place, each)
        assert await outside.came(20) == told
