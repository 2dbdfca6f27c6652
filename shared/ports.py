"""What a handler may ask of the world. Each port has a behavioural suite in tests/conformance/, run on every adapter."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import msgspec

from shared.domain.message import Message
from shared.domain.principal import Grant, Principal
from shared.domain.record import Accepted, Attempt, DeadLetter, Deliveries, Flush
from shared.domain.snapshot import Snapshot

# ---- the log: where a message becomes durable ---------------------------------------------------------------------------------


class Entry(msgspec.Struct, frozen=True):
    """What the log said of one message.

    `outcome` is `new`, `duplicate` (accepted before, same digest), `conflict` (another digest), `full` (over the org's or the log's
    limit: nothing was written) or `unknown` (the log did not answer: it may be there, or not). `flush` and `index` are the place of the
    first copy, `revision` and `targets` those it was accepted under. `known` marks a message whose publish must never join an atomic
    batch: a duplicate.
    """

    outcome: str
    message: Message
    targets: tuple[str, ...]
    revision: int
    shard: int
    flush: int
    index: int
    undeliverable: str | None = None
    logged: float = 0.0  # time.monotonic() when the log answered: what was logged long ago is the relay's
    epoch: bytes = b""  # of the log that `flush` is a number of: after a lost log the numbers begin again

    @property
    def known(self) -> bool:
        return self.outcome == "duplicate"


Publish = Callable[[Sequence[Entry]], None]


class LogQueue(Protocol):
    """The door's side of the log. Conformance: tests/conformance/log_queue.py, run on memory and Redis."""

    async def append(self, records: Sequence[Accepted], publish: Publish | None = None) -> list[Entry]:
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

    def may_publish(self, entry: Entry, backbone: str) -> bool:
        """Whether the door may publish this entry now: False while the backbone is held (the relay delivers it)."""

    async def opened(self, entry: Entry, backbone: str) -> bool:
        """Like may_publish, but waits out `closing` (1 s at most)."""

    def delivered(self, entries: Sequence[Entry], deliveries: Deliveries) -> None:
        """Note what a backbone took: rides on the next flush. The entries, all of one shard, are no longer pending there. Never blocks."""

    def now(self) -> int:
        """Microseconds since 1970 by the log's clock, as far as this process knows it."""

    def hold(self, shard: int, backbone: str, reason: str) -> None:
        """Stop this and every other door publishing to the backbone: a PubAck is missing. The relay takes over. Never blocks."""

    def refused(self, entries: Sequence[Entry], deliveries: Deliveries) -> None:
        """A reachable backbone refused these (deliveries.error says why): they move to its retry schedule. Never blocks."""


# ---- backbones ----------------------------------------------------------------------------------------------------------------


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message on its way to a stream. `revision` goes into `ce-sbrevision`; a `known` one is published alone, never in a batch."""

    message: Message
    revision: int
    known: bool = False
    nats_id: str | None = None  # Nats-Msg-Id; None: the message id. Replays have their own.


class Published(msgspec.Struct, frozen=True, gc=False):
    """What became of one Outgoing: taken (`sequence`), refused by a reachable backbone (`refused`), or unknown (`lost`: no PubAck)."""

    sequence: int = 0
    duplicate: bool = False
    refused: str | None = None
    lost: str | None = None


class PublishedGroup(msgspec.Struct, frozen=True):
    """One publish group on one stream: `results` in the order given. `created`: the stream's creation time, as NATS tells it."""

    backbone: str
    stream: str
    created: str
    subjects: tuple[str, ...]
    results: tuple[Published, ...]


class Backbones(Protocol):
    """The NATS deployments this process can publish to. Conformance: tests/conformance/backbones.py, run on memory and NATS."""

    async def publish(self, backbone: str, org: str, group: Sequence[Outgoing]) -> PublishedGroup:
        """Publish a group of one org's messages to its stream `sb-<org>`, in order; every PubAck awaited, with a deadline.

        The caller has one group in flight per (backbone, org). Makes the stream where it is missing. Never raises for the backbone's
        state: a result says `lost`.
        """

    def reachable(self, backbone: str) -> bool:
        """Whether there is a live connection to it now."""


# ---- the logger's and the relay's side of the log -----------------------------------------------------------------------------


class Unreadable(msgspec.Struct, frozen=True):
    """A flush whose bytes this release can't read: it goes to quarantine whole."""

    number: int
    packed: bytes
    reason: str


Taken = Flush | Unreadable


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


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A message that a backbone waits for. `message` is None where its flush is gone from the log: the store has it."""

    index: int
    org: str
    id: bytes
    message: Message | None


class Pending(msgspec.Struct, frozen=True):
    """A flush that a backbone waits for, and what of it. `lost`: neither flush nor index is in the log any more."""

    flush: int
    logged_at: int
    waiting: tuple[Waiting, ...]
    lost: bool = False


class Oldest(msgspec.Struct, frozen=True):
    """The oldest entries in log order. `all`: there is nothing behind them."""

    entries: tuple[Pending, ...]
    all: bool


class Retry(msgspec.Struct, frozen=True):
    """What a reachable backbone refused `attempts` times. `due` is microseconds by Redis TIME; `message` as in Waiting."""

    flush: int
    index: int
    attempts: int
    id: bytes
    due: int = 0
    message: Message | None = None


class Gate(msgspec.Struct, frozen=True):
    """How a backbone stands: `state` is `open`, `held` or `closing`, `turn` tells this one from every other time it stood so.

    `now` is microseconds by Redis TIME; `pending` counts flushes, `due` the retries whose time has come.
    """

    state: str
    turn: str
    now: int
    pending: int
    due: int


class Relayed(msgspec.Struct):
    """What a relay did. `whole`: flushes of which nothing waits any more; `part`: indexes that don't, of others; `tried`: off the retry
    schedule; `again`: onto it, after that many ms; `records`: what to write into the log of it all."""

    whole: list[int] = []
    part: list[tuple[int, tuple[int, ...]]] = []
    tried: list[Retry] = []
    again: list[tuple[Retry, int]] = []
    records: list[Deliveries | DeadLetter] = []


class RelayLog(Protocol):
    """The relay's side of one (shard, backbone), under a lease with a fencing number. Conformance: tests/conformance/relay_log.py.

    Every method raises Unavailable; those behind lease() raise Conflict when another relay has the lease.
    """

    async def lease(self) -> bool:
        """Take the lease, or renew it: it lasts 3 s. False: another relay has it."""

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


# ---- the feed: what websocket pods read ---------------------------------------------------------------------------------------


class FeedEntry(msgspec.Struct, frozen=True, gc=False):
    """One flush as the feed keeps it: `packed` is what unpack_flush() reads, bodies over 16 KiB cut."""

    shard: int
    number: int
    packed: bytes


class FeedSpan(msgspec.Struct, frozen=True, gc=False):
    """What one shard's feed holds: the numbers behind `lost`, the highest one trimmed away (0: none), and before `next`.

    `epoch` is "" for a shard that never logged anything. Numbers of two epochs have nothing to do with each other.
    """

    epoch: str = ""
    lost: int = 0
    next: int = 0


class FeedReader(Protocol):
    """The feed's reader. Conformance: tests/conformance/feed_reader.py, run on memory and Redis. Every method raises Unavailable."""

    async def spans(self) -> list[FeedSpan]:
        """What each shard's feed holds now, by shard."""

    async def follow(self, places: Sequence[int], wait_ms: int) -> tuple[list[FeedSpan], list[FeedEntry]]:
        """The first entries of every shard with numbers of at least `places[shard]`, in order within a shard; waits `wait_ms` for one.

        The spans are read after the entries: where an epoch is another than the caller's, the entries count for nothing. One caller.
        """

    async def page(self, shard: int, start: int, limit: int) -> tuple[FeedSpan, list[FeedEntry]]:
        """At most `limit` entries of a shard from number `start` on, and the span as it was after that. Any number of callers."""

    async def close(self) -> None:
        """Let go of the connections; the next call makes new ones."""


# ---- the store ----------------------------------------------------------------------------------------------------------------


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for. Times are microseconds since 1970. `readable` are the caller's read grants: only rows under one of them."""

    org: str
    readable: tuple[Grant, ...]
    topic: str | None = None  # a NATS pattern
    subject: str | None = None
    source: str | None = None
    event_id: str | None = None
    type: str | None = None
    verdict: str | None = None
    since: int | None = None
    until: int | None = None
    limit: int = 100
    before: tuple[int, bytes] | None = None  # (received_at, record id) of the last item of the page before


class StoredDelivery(msgspec.Struct, frozen=True):
    backbone: str
    stream: str
    sequence: int | None
    error: str | None
    time: int
    attempt: int = 0
    by: str = "door"


class StoredMessage(msgspec.Struct, frozen=True):
    """One row: an accepted message (its record id is the message id) or an attempt."""

    record_id: bytes
    message: Message
    verdict: str
    rule: str | None
    detail: str | None
    status: int
    logged_at: int
    targets: tuple[str, ...]
    conflict: bool = False
    cut: bool = False
    undeliverable: str | None = None
    redelivered: int = 0
    deliveries: tuple[StoredDelivery, ...] = ()


class History(msgspec.Struct, frozen=True):
    """Everything the store knows of one message id: rows newest first, deliveries in time order."""

    rows: tuple[StoredMessage, ...]
    attempts: int
    dead_letters: tuple[DeadLetter, ...] = ()


class MessageStore(Protocol):
    """TimescaleDB or plain PostgreSQL. Conformance: tests/conformance/message_store.py, run on memory and PostgreSQL."""

    async def write(self, shard: int, flushes: Sequence[Flush]) -> None:
        """Write every new record in one transaction; what is there already is not written twice. Raises Unavailable, or
        NotProcessable when the store refuses a record (the caller bisects)."""

    async def quarantine(self, shard: int, flush: int, index: int, packed: bytes, reason: str) -> None:
        """Put a record the store refuses aside, with its bytes."""

    async def history(self, org: str, id: bytes) -> History | None:
        """All rows of one message id within the org; None when there is none."""

    async def search(self, wanted: Search) -> list[StoredMessage]:
        """Newest first, at most `limit`."""

    async def delivered(self, backbone: str, ids: Sequence[bytes]) -> set[bytes]:
        """Which of these message ids the backbone is recorded to have taken."""

    async def bodies(self, ids: Sequence[bytes]) -> dict[bytes, Message]:
        """The accepted messages of these ids, for redelivery after their flush is gone."""


# ---- config -------------------------------------------------------------------------------------------------------------------


class ConfigStore(Protocol):
    """Where config is kept. Conformance: tests/conformance/config_store.py."""

    async def snapshot(self) -> Snapshot:
        """The config state in force. Raises Unavailable."""

    def changes(self) -> AsyncIterator[Snapshot]:
        """The snapshot in force, then each new one within a second of its change; never ends, and waits out an unreachable store."""

    async def put_principal(self, principal: Principal, author: str, reason: str = "") -> int:
        """Create or replace a principal; the new config revision."""

    async def principal(self, org: str, name: str) -> Principal | None: ...

    async def principals(self, org: str) -> list[Principal]:
        """All principals of an org, by name."""

    async def delete_principal(self, org: str, name: str, author: str, reason: str = "") -> bool:
        """Remove a principal and its keys. Whether there was one."""

    async def create_key(self, org: str, name: str, author: str) -> tuple[str, str]:
        """A new API key of a principal: (key id, the key itself, which is stored only as SHA-256)."""

    async def keys(self, org: str, name: str | None = None) -> list[dict[str, str]]:
        """Ids, principals and creation times; never a key."""

    async def delete_key(self, org: str, name: str, key_id: str, author: str) -> bool:
        """Whether there was such a key."""
