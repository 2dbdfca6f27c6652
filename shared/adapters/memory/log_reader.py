"""The logger's side of the log in memory, for unit tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from shared.adapters.memory.log_queue import MemoryLogQueue
from shared.domain.logged import Taken
from shared.domain.record import Flush, pack_records

GONE_AFTER_S = 5.0


@dataclass
class Taking:
    """What the workers of one log share: how far it is taken, what was given back, who has what, and their heartbeats."""

    next: int = 0
    returned: list[Flush] = field(default_factory=list)
    taken: dict[str, list[Flush]] = field(default_factory=dict)
    beats: dict[str, float] = field(default_factory=dict)


class MemoryLogReader:
    """The LogReader port: one worker. It does not wait for flushes."""

    def __init__(self, queue: MemoryLogQueue, taking: Taking | None = None, worker: str = "one") -> None:
        self.worker = worker
        self._queue = queue
        self._taking = taking or Taking()

    async def take(self, limit_bytes: int, limit_records: int) -> list[Taken]:
        """See LogReader.take."""
        await self.beat()
        waiting = self._taking.returned + self._queue.flushes[self._taking.next :]
        taken: list[Taken] = []
        for flush in waiting:
            limit_bytes -= len(pack_records(flush.records))
            limit_records -= len(flush.records)
            if taken and (limit_bytes < 0 or limit_records < 0):
                break
            taken.append(flush)
            self._taking.taken.setdefault(self.worker, []).append(flush)
        again = min(len(taken), len(self._taking.returned))
        self._taking.returned = self._taking.returned[again:]
        self._taking.next += len(taken) - again
        return taken

    async def commit(self, taken: Sequence[Taken]) -> None:
        """See LogReader.commit."""
        await self.beat()
        numbers = {flush.number for flush in taken}
        mine = self._taking.taken.get(self.worker, [])
        self._taking.taken[self.worker] = [flush for flush in mine if flush.number not in numbers]

    async def recover(self) -> int:
        """See LogReader.recover."""
        await self.beat()
        gone = [worker for worker, beat in self._taking.beats.items() if monotonic() - beat > GONE_AFTER_S]
        return sum(self._give_back(worker) for worker in gone)

    async def beat(self) -> None:
        """See LogReader.beat."""
        self._taking.beats[self.worker] = monotonic()

    async def leave(self) -> None:
        """See LogReader.leave."""
        self._give_back(self.worker)

    def _give_back(self, worker: str) -> int:
        self._taking.beats.pop(worker, None)
        flushes = self._taking.taken.pop(worker, [])
        self._taking.returned = flushes + self._taking.returned
        return len(flushes)
