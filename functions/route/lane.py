"""A lane: one door process's way to one stream. One publish group in flight; what comes meanwhile is the next, in log order."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from shared.domain.in_a_row import StoredInARow
from shared.domain.logged import Entry, Fresh, joined
from shared.domain.message import Message
from shared.domain.publishing import FirstTime, InARow, Outgoing, Published, PublishedGroup
from shared.domain.record import Deliveries
from shared.domain.verdict import Delivery
from shared.ports import Backbones, LogQueue

log = logging.getLogger(__name__)

MAX_GROUP = 1_000  # messages: what one atomic batch may have
FIRST_RETRY_MS = 100  # where config says nothing

Told = Sequence[tuple[Delivery, ...]]  # of each entry the one delivery that a lane knows of
FirstRetry = Callable[[Message], int]  # after how many ms a refused message is tried again


class Lane:
    """Publishes one org's entries to its stream on one backbone."""

    def __init__(self, backbones: Backbones, log: LogQueue, backbone: str, org: str, first_retry: FirstRetry) -> None:
        self._backbones = backbones
        self._log = log
        self._backbone = backbone
        self._org = org
        self._first_retry = first_retry
        self._pending = (Delivery(backbone, status="pending"),)
        self._waiting: list[tuple[Sequence[Entry], asyncio.Future[Told]]] = []
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()  # kept: asking for it is a system call

    def publish(self, entries: Sequence[Entry]) -> asyncio.Future[Told]:
        """A delivery for each entry, once the stream has answered or the relay has taken over. The future never fails."""
        answer: asyncio.Future[Told] = self._loop.create_future()
        self._waiting.append((entries, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"lane-{self._backbone}-{self._org}")
        return answer

    @property
    def idle(self) -> bool:
        return self._task is None

    async def _run(self) -> None:
        try:
            while self._waiting:
                group = self._next_group()
                entries = joined([some for some, _ in group])
                try:
                    deliveries = await self._deliver(entries)
                except Exception:
                    log.exception("publishing to %s failed", self._backbone)
                    deliveries = self._give_up(entries)
                start = 0
                for some, answer in group:
                    if not answer.done():
                        answer.set_result(deliveries[start : start + len(some)])
                    start += len(some)
        finally:
            self._task = None

    def _give_up(self, entries: Sequence[Entry]) -> Told:
        """Nobody knows what became of these: the relay delivers them."""
        for shard in _shards(entries):
            self._log.hold(shard, self._backbone, "publishing failed")
        return [self._pending] * len(entries)

    def _next_group(self) -> list[tuple[Sequence[Entry], asyncio.Future[Told]]]:
        """The entries at the front of the lane, as many as one group takes."""
        count = taken = 0
        for some, _ in self._waiting:
            if taken and count + len(some) > MAX_GROUP:
                break
            count += len(some)
            taken += 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

    async def _deliver(self, entries: Sequence[Entry]) -> Told:
        """Publish what the gate lets through; the rest is pending, and the relay's."""
        if isinstance(entries, Fresh) and all(self._log.may_publish(run, self._backbone) for run in entries.runs):  # nearly always
            return await self._publish(entries, FirstTime(entries.messages))
        ready = entries
        open_flushes: dict[tuple[int, int], bool] = {}
        for entry in entries:
            key = (entry.shard, entry.flush)
            if key not in open_flushes:
                open_flushes[key] = self._log.may_publish(entry, self._backbone) or await self._log.opened(entry, self._backbone)
        if not all(open_flushes.values()):
            ready = [entry for entry in entries if open_flushes[entry.shard, entry.flush]]
        if not ready:
            return [self._pending] * len(entries)
        made = await self._publish(ready, [Outgoing(entry.message, entry.revision, entry.outcome == "duplicate") for entry in ready])
        if ready is entries:
            return made
        answers = iter(made)
        return [next(answers) if open_flushes[entry.shard, entry.flush] else self._pending for entry in entries]

    async def _publish(self, entries: Sequence[Entry], outgoing: Sequence[Outgoing]) -> Told:
        published = await self._backbones.publish(self._backbone, self._org, outgoing)
        self._note(entries, published)
        backbone, stream, results = self._backbone, published.stream, published.results
        if isinstance(results, InARow):
            return StoredInARow(backbone, stream, results.sequences)
        return [(Delivery(backbone, stream, result.sequence),) if result.sequence else self._pending for result in results]

    def _note(self, entries: Sequence[Entry], published: PublishedGroup) -> None:
        """Tell the log what became of a group: taken, refused, or lost, which holds the backbone."""
        results = published.results
        now = self._log.now()
        new = isinstance(results, InARow) or {result.sequence > 0 and not result.duplicate for result in results} == {True}
        if new and len(_shards(entries)) == 1:  # nearly always
            self._log.delivered(entries, self._record(entries, published.subjects, results, published, now))
            return
        noted: dict[tuple[int, str | None], list[int]] = {}
        lost: dict[int, str] = {}
        for place, (entry, result) in enumerate(zip(entries, published.results, strict=True)):
            if result.lost is not None:
                lost[entry.shard] = result.lost
            elif not (result.duplicate and entry.outcome == "duplicate"):  # a duplicate the stream had is no news
                noted.setdefault((entry.shard, result.refused), []).append(place)
        for shard, reason in lost.items():
            self._log.hold(shard, self._backbone, reason)
        for (_, refused), places in noted.items():
            some = [entries[place] for place in places]
            deliveries = self._record(
                some, [published.subjects[place] for place in places], [published.results[place] for place in places], published, now
            )
            if refused is None:
                self._log.delivered(some, deliveries)
            else:
                self._log.refused(some, deliveries, max(self._first_retry(entry.message) for entry in some))

    def _record(
        self, entries: Sequence[Entry], subjects: Sequence[str], results: Sequence[Published], published: PublishedGroup, now: int
    ) -> Deliveries:
        refused = None if isinstance(results, InARow) else results[0].refused
        messages = entries.messages if isinstance(entries, Fresh) else [entry.message for entry in entries]
        return Deliveries(
            self._org,
            self._backbone,
            published.stream,
            published.created,
            now,
            b"".join([message.id for message in messages]),
            tuple(subjects),
            tuple(results.sequences if isinstance(results, InARow) else [result.sequence for result in results]),
            refused,
            0 if refused is None else 1,
        )


def _shards(entries: Sequence[Entry]) -> set[int]:
    return {run.shard for run in entries.runs} if isinstance(entries, Fresh) else {entry.shard for entry in entries}
