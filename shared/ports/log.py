"""The log: where a message becomes durable, and how logger and relay read it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from shared.domain.logged import Entry, Run, Taken
from shared.domain.message import Message
from shared.domain.received import Entered, Received, Ruling, Settled
from shared.domain.record import Accepted, Attempt, Deliveries
from shared.domain.relaying import Gate, Oldest, Relayed, Retry, Watched
from shared.domain.repairing import Mark, Marked

Publish = Callable[[Sequence[Entry]], None]


class LogQueue(Protocol):
    """The door's side of the log. Conformance: tests/conformance/log_queue.py, run on memory and Redis."""

    async def append(self, records: Sequence[Accepted], publish: Publish | None = None) -> Sequence[Entry]:
        """Write the records down; one entry each, in order. Returns once what is new is on disk where the operator asked for it.

        Records of one call may land in different flushes. `publish` is called with the entries of each as soon as it is there, in the
        order of the log: what it hands to lanes then is published in that order. An entry of a flush whose outcome can't be known is
        `unknown`; where that is all of them, Unavailable is raised instead.
        """

    async def seen(self, messages: Sequence[Message]) -> list[Entry | None]:
        """The entry of each message accepted within the recent window (`duplicate` or `conflict`), None for the others. Writes nothing."""

    async def first(self, entry: Entry) -> Message | None:
        """The message that a `conflict` is in conflict with, while its flush is in the log. Raises Unavailable."""

    def refuse(self, attempts: Sequence[Attempt]) -> list[bool]:
        """Record refusals, bounded per (org, principal, rule). Whether each is recorded (False: only counted). Never blocks or raises."""

    def may_publish(self, entry: Entry | Run, backbone: str) -> bool:
        """Whether the door may publish this entry, or all of this run, now: False while the backbone is held (the relay delivers it)."""

    async def opened(self, entry: Entry, backbone: str) -> bool:
        """Like may_publish, but waits out `closing` (1 s at most)."""

    def delivered(self, entries: Sequence[Entry], deliveries: Deliveries) -> None:
        """Note what a backbone took: rides on the next flush. The entries, all of one shard, are no longer pending there. Never blocks."""

    def now(self) -> int:
        """Microseconds since 1970 by the log's clock, as far as this process knows it."""

    def hold(self, shard: int, backbone: str, reason: str) -> None:
        """Stop this and every other door publishing to the backbone: a PubAck is missing. The relay takes over. Never blocks."""

    def refused(self, entries: Sequence[Entry], deliveries: Deliveries, retry_ms: int) -> None:
        """A reachable backbone refused these (deliveries.error says why): they move to its retry schedule, due in `retry_ms`. Never
        blocks."""


class ReceivedLog(Protocol):
    """The log of messages that wait for their verdict. Conformance: tests/conformance/received_log.py, run on memory and Redis.

    Every method raises Unavailable: then nobody knows what was written, and the caller does the same again.
    """

    async def receive(self, records: Sequence[Received]) -> list[Entered]:
        """Write them down, each unless the same event waits or was accepted in the recent window; what wants a receipt is always written,
        since each copy gets one. Returns once it is on disk."""

    async def settle(self, ruling: Ruling) -> Settled:
        """Log a verdict, unless the record has one: the first is the verdict, whoever asks. Returns once it is on disk.

        The record waits no more, and its identity is free for another one; what was accepted is pending on its backbones, in a flush of its
        own. A verdict is kept for 5 minutes.
        """

    async def overdue(self, older_than_s: float, limit: int, skip: int = 0) -> list[Received]:
        """Those that have waited longer than that, the oldest first; of each shard the first `skip` are left out."""

    async def first(self, entry: Entry) -> Message | None:
        """The message that a `conflict` is in conflict with, while its flush is in the log."""


class LogReader(Protocol):
    """The logger's side of one shard. Conformance: tests/conformance/log_reader.py. Every method raises Unavailable."""

    async def take(self, limit_bytes: int, limit_records: int) -> list[Taken]:
        """Move flushes into this worker's processing list and read them, oldest first; waits up to a second for the first, [] when none
        came. The limits are on the packed bytes and the records; one flush is taken whatever its size."""

    async def commit(self, taken: Sequence[Taken]) -> None:
        """The store has them: out of the processing list; and out of the log, unless a backbone still waits. Twice does no harm."""

    async def recover(self) -> int:
        """Take over what workers without a heartbeat for 5 s had taken and not committed: it is taken next. How many flushes."""

    async def beat(self) -> None:
        """Say that this worker lives. take() and commit() say it too."""

    async def leave(self) -> None:
        """Give back what was taken and not committed, for another worker to take at once."""


class RelayLog(Protocol):
    """The relay's side of one (shard, backbone), under a lease with a fencing number. Conformance: tests/conformance/relay_log.py.

    Every method raises Unavailable; those behind lease() raise Conflict when another relay has the lease.
    """

    async def lease(self) -> bool:
        """Take the lease, or renew it: it lasts 3 s. False: another relay has it."""

    def hold(self, lease: str) -> None:
        """This is the lease, which a RelayWatch of the same worker has taken or renewed."""

    async def leave(self) -> None:
        """Give the lease up."""

    async def gate(self) -> Gate:
        """How the backbone stands; an open one becomes held when its oldest entry is older than 5 s."""

    async def turn(self, gate: Gate, state: str) -> tuple[Gate | None, int]:
        """Turn the gate, if it still stands as given: how it stands then, else None; and the number of the last flush logged before."""

    async def oldest(self, limit: int, last: int | None = None) -> Oldest:
        """The oldest entries, about `limit` messages, none logged after the flush `last`."""

    async def retries(self, limit: int) -> list[Retry]:
        """What is due on the retry schedule."""

    async def done(self, relayed: Relayed) -> None:
        """Note all of it, in one step. After Unavailable the outcome is unknown: ask for the oldest again."""

    async def marks(self) -> list[Marked]:
        """What was recorded of the backbone's streams, an entry an org, by this shard's doors and relays."""

    async def trust(self, marked: Sequence[Marked]) -> None:
        """These doubts were looked at, and the streams have what they must."""

    async def mark(self, org: str, mark: Mark | None) -> None:
        """Remember this of the org's stream, and nothing else (None: nothing at all): it was repaired."""

    async def unwritten(self) -> tuple[int | None, int]:
        """The oldest flush that no logger has committed yet, None where there is none; and the last flush logged."""


class RelayWatch(Protocol):
    """A worker's look at all the backbones of a shard at once. Conformance: tests/conformance/relay_watch.py."""

    async def look(self, backbones: Sequence[str]) -> dict[str, Watched]:
        """Take or renew the lease of each, and see how it stands, as RelayLog.lease and .gate do: those whose lease this worker has now.

        Raises Unavailable: then some of it may have been done.
        """
