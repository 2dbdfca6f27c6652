"""The submit lists in memory, for unit tests: what is pushed on the left is taken on the right."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from time import monotonic

from shared.domain.submitted import Batch, Settlement, Side

GONE_AFTER_S = 5.0
TAKE_ELEMENTS, SUSPECTS = 1_000, 32


@dataclass
class Died:
    """Of workers in a row that are gone: how many, how many elements of theirs are left, and how many of them held `which` alone."""

    times: int = 0
    left: int = 0
    alone: int = 0
    which: bytes | None = None


class Lists:
    """What all workers share. `limit` is how many elements an org's list may hold before the newest are taken as `over`."""

    def __init__(self, limit: int = 1_000_000, clock: Callable[[], float] = monotonic) -> None:
        self.limit, self.clock = limit, clock
        self.submitted: dict[str, list[bytes]] = defaultdict(list)  # the oldest first
        self.held: dict[tuple[str, str, Side], list[bytes]] = defaultdict(list)  # by org, worker and side, in the order taken
        self.batches: dict[tuple[str, str, Side], tuple[int, bool]] = {}  # likewise: their numbers, and whether they are suspects
        self.died: dict[tuple[str, Side], Died] = defaultdict(Died)
        self.beats: dict[tuple[str, str], float] = {}
        self.receipts: dict[str, list[bytes]] = defaultdict(list)
        self.rejected: dict[str, list[bytes]] = defaultdict(list)

    def push(self, org: str, *elements: bytes) -> None:
        """As LPUSH does it."""
        self.submitted[org] += elements


class MemorySubmitLists:
    """The SubmitLists port for one worker."""

    def __init__(self, lists: Lists, worker: str = "one") -> None:
        self._lists, self._worker = lists, worker
        self._numbers = count(1)

    async def waiting(self, orgs: Sequence[str]) -> list[str]:
        return [org for org in orgs if self._lists.submitted[org]]

    async def take(self, org: str, side: Side = "taken") -> Batch:
        lists = self._lists
        held = lists.held[org, self._worker, side]
        again, died = bool(held), lists.died[org, side]
        most = TAKE_ELEMENTS if not died.times else SUSPECTS if died.times == 1 else 1
        waiting = lists.submitted[org]
        while not again and waiting and len(held) < most and (side == "taken" or len(waiting) > lists.limit):
            held.append(waiting.pop(0 if side == "taken" else -1))
        if not held:
            return Batch([])
        lists.beats[org, self._worker] = lists.clock()
        if not again:
            lists.batches[org, self._worker, side] = next(self._numbers), died.times > 0
        deaths = died.alone if held[0] == died.which else 0
        return Batch(list(held), again, None, lists.batches[org, self._worker, side][0], deaths)

    async def settle(self, org: str, side: Side, batch: Batch, done: int, told: Settlement) -> bool:
        mine = self._lists.held[org, self._worker, side]
        number, suspect = self._lists.batches.get((org, self._worker, side), (0, False))
        if (len(mine), number) != (len(batch.elements), batch.number):
            return False
        del mine[:done]
        if not mine:
            self._lists.batches.pop((org, self._worker, side), None)
        if suspect and done:
            died = self._lists.died[org, side]
            died.left, died.alone, died.which = died.left - done, 0, None
            if died.left <= 0:
                del self._lists.died[org, side]
        for replyto, receipt in told.receipts:
            if replyto.startswith(f"sb:receipts:{{{org}}}:"):
                self._lists.receipts[replyto].append(receipt)
        self._lists.rejected[org] += told.rejected
        return True

    async def beat(self, orgs: Sequence[str]) -> None:
        for org in orgs:
            self._lists.beats[org, self._worker] = self._lists.clock()

    async def recover(self, orgs: Sequence[str]) -> int:
        now, moved = self._lists.clock(), 0
        for (org, worker), last in list(self._lists.beats.items()):
            if org in orgs and worker != self._worker and now - last > GONE_AFTER_S:
                for side in ("taken", "over"):
                    self._note_death(org, side, self._lists.held[org, worker, side])
                moved += self._put_back(org, worker)
        return moved

    def _note_death(self, org: str, side: Side, held: Sequence[bytes]) -> None:
        if not held:
            return
        died, which = self._lists.died[org, side], held[0] if len(held) == 1 else None
        alone = 0 if which is None else 1 + (died.alone if died.which == which else 0)
        self._lists.died[org, side] = Died(died.times + 1, max(died.left, len(held)), alone, which)

    async def leave(self, orgs: Sequence[str]) -> None:
        for org in orgs:
            self._put_back(org, self._worker)

    def _put_back(self, org: str, worker: str) -> int:
        taken, over = self._lists.held.pop((org, worker, "taken"), []), self._lists.held.pop((org, worker, "over"), [])
        self._lists.submitted[org] = [*taken, *self._lists.submitted[org], *reversed(over)]
        self._lists.beats.pop((org, worker), None)
        for side in ("taken", "over"):
            self._lists.batches.pop((org, worker, side), None)
        return len(taken) + len(over)
