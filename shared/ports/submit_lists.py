"""The Redis door's lists."""

from collections.abc import Sequence
from typing import Protocol

from shared.domain.submitted import Batch, Settlement, Side


class SubmitLists(Protocol):
    """The orgs' submit lists, as one worker sees them. Conformance: tests/conformance/submit_lists.py. Every method raises Unavailable.

    A worker has one batch of each side of an org's list at a time: take() gives the same one until settle() has let go of all of it.
    """

    async def waiting(self, orgs: Sequence[str]) -> list[str]:
        """Those of the orgs for which there may be something to take."""

    async def take(self, org: str, side: Side = "taken") -> Batch:
        """What this worker has in its processing list; where that is empty, what it moves there now: at least one element if there is one.

        `over` takes the newest, and only while the list holds more than it may. Counts as a heartbeat. What a worker held that is gone
        comes in small batches: 32 elements, and one where the next worker died of it too.
        """

    async def settle(self, org: str, side: Side, batch: Batch, done: int, told: Settlement) -> bool:
        """Let go of the first `done` elements of the batch, and tell what is to be told. Once: False where this worker doesn't hold this
        batch as it was taken (it was done already, or another worker has taken over), and then nothing is told."""

    async def beat(self, orgs: Sequence[str]) -> None:
        """Say that this worker, which holds something of these orgs, lives."""

    async def recover(self, orgs: Sequence[str]) -> int:
        """Put back what workers without a heartbeat for 5 s hold: it is taken next. How many elements."""

    async def leave(self, orgs: Sequence[str]) -> None:
        """Put back what this worker holds."""
