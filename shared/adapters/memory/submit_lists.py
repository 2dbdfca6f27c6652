"""The submit lists in memory, for unit tests: what is pushed on the left is taken on the right."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from time import monotonic

from shared.domain.submitted import Batch, Settlement, Side

GONE_AFTER_S = 5.0
TAKE_ELEMENTS = 1_000


class Lists:
    """What all workers share. `limit` is how many elements an org's list may hold before the newest are taken as `over`."""

    def __init__(self, limit: int = 1_000_000, clock: Callable[[], float] = monotonic) -> None:
        self.limit, self.clock = limit, clock
        self.submitted: dict[str, list[bytes]] = defaultdict(list)  # the oldest first
        self.held: dict[tuple[str, str, Side], list[bytes]] = defaultdict(list)  # by org, worker and side, in the order taken
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

    async def waiting(self, orgs: Sequence[str]) -> list[str]:
        return [org for org in orgs if self._lists.submitted[org]]

    async def take(self, org: str, side: Side = "taken") -> Batch:
        lists = self._lists
        held = lists.held[org, self._worker, side]
        again = bool(held)
        waiting = lists.submitted[org]
        while not again and waiting and len(held) < TAKE_ELEMENTS and (side == "taken" or len(waiting) > lists.limit):
            held.append(waiting.pop(0 if side == "taken" else -1))
        if held:
            lists.beats[org, self._worker] = lists.clock()
        return Batch(list(held), again)

    async def settle(self, org: str, side: Side, held: int, done: int, told: Settlement) -> bool:
        mine = self._lists.held[org, self._worker, side]
        if len(mine) != held:
            return False
        del mine[:done]
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
                moved += self._put_back(org, worker)
        return moved

    async def leave(self, orgs: Sequence[str]) -> None:
        for org in orgs:
            self._put_back(org, self._worker)

    def _put_back(self, org: str, worker: str) -> int:
        taken, over = self._lists.held.pop((org, worker, "taken"), []), self._lists.held.pop((org, worker, "over"), [])
        self._lists.submitted[org] = [*taken, *self._lists.submitted[org], *reversed(over)]
        self._lists.beats.pop((org, worker), None)
        return len(taken) + len(over)
