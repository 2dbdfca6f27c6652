"""What a handler may ask of the world. Each port has a behavioural suite in tests/conformance/, run on every adapter."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Protocol

from shared.domain.feed import FeedEntry, FeedSpan
from shared.domain.logged import Entry, Taken
from shared.domain.message import Message
from shared.domain.principal import Principal
from shared.domain.publishing import Outgoing, PublishedGroup
from shared.domain.received import Entered, Received, Ruling, Settled
from shared.domain.record import Accepted, Attempt, Deliveries, Flush
from shared.domain.registry.deciding import Change, Kept, Place, Written
from shared.domain.registry.shapes import Event, Status
from shared.domain.relaying import Gate, Oldest, Relayed, Retry
from shared.domain.retention import Retention
from shared.domain.revisions import Document, NewOrg, OrgState, Revision, Write
from shared.domain.snapshot import Snapshot
from shared.domain.stored import History, Search, StoredMessage
from shared.domain.submitted import Batch, Settlement, Side
from shared.domain.token_issuer import Issuer

# ---- the log: where a message becomes durable ---------------------------------------------------------------------------------


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

    def refused(self, entries: Sequence[Entry], deliveries: Deliveries, retry_ms: int) -> None:
        """A reachable backbone refused these (deliveries.error says why): they move to its retry schedule, due in `retry_ms`. Never
        blocks."""


class ReceivedLog(Protocol):
    """The log of messages that wait for their verdict. Conformance: tests/conformance/received_log.py, run on memory and Redis.

    Every method raises Unavailable: then nobody knows what was written, and the caller does the same again.
    """

    async def receive(self, records: Sequence[Received]) -> list[Entered]:
        """Write them down, each unless the same event waits or was accepted in the recent window. Returns once it is on disk."""

    async def settle(self, ruling: Ruling) -> Settled:
        """Log a verdict, unless the record has one: the first is the verdict, whoever asks. Returns once it is on disk.

        The record waits no more, and its identity is free for another one; what was accepted is pending on its backbones, in a flush of its
        own. A verdict is kept for 5 minutes.
        """

    async def overdue(self, older_than_s: float, limit: int) -> list[Received]:
        """Those that have waited longer than that, the oldest first."""

    async def first(self, entry: Entry) -> Message | None:
        """The message that a `conflict` is in conflict with, while its flush is in the log."""


# ---- backbones ----------------------------------------------------------------------------------------------------------------


class Backbones(Protocol):
    """The NATS deployments this process can publish to. Conformance: tests/conformance/backbones.py, run on memory and NATS."""

    async def publish(self, backbone: str, org: str, group: Sequence[Outgoing]) -> PublishedGroup:
        """Publish a group of one org's messages to its stream `sb-<org>`, in order; every PubAck awaited, with a deadline.

        The caller has one group in flight per (backbone, org). Makes the stream where it is missing. Never raises for the backbone's
        state: a result says `lost`.
        """

    def reachable(self, backbone: str) -> bool:
        """Whether there is a live connection to it now."""


# ---- the Redis door -----------------------------------------------------------------------------------------------------------


class SubmitLists(Protocol):
    """The orgs' submit lists, as one worker sees them. Conformance: tests/conformance/submit_lists.py. Every method raises Unavailable.

    A worker has one batch of each side of an org's list at a time: take() gives the same one until settle() has let go of all of it.
    """

    async def waiting(self, orgs: Sequence[str]) -> list[str]:
        """Those of the orgs for which there may be something to take."""

    async def take(self, org: str, side: Side = "taken") -> Batch:
        """What this worker has in its processing list; where that is empty, what it moves there now: at least one element if there is one.

        `over` takes the newest, and only while the list holds more than it may. Counts as a heartbeat.
        """

    async def settle(self, org: str, side: Side, held: int, done: int, told: Settlement) -> bool:
        """Let go of the first `done` of the `held` elements, and tell what is to be told. Once: False where this worker doesn't hold that
        many (it was done already, or another worker has taken over), and then nothing is told."""

    async def beat(self, orgs: Sequence[str]) -> None:
        """Say that this worker, which holds something of these orgs, lives."""

    async def recover(self, orgs: Sequence[str]) -> int:
        """Put back what workers without a heartbeat for 5 s hold: it is taken next. How many elements."""

    async def leave(self, orgs: Sequence[str]) -> None:
        """Put back what this worker holds."""


# ---- the logger's and the relay's side of the log -----------------------------------------------------------------------------


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


class FeedWriter(Protocol):
    """The hub's feed, as log-batch adds to it what other clusters logged. Conformance: tests/conformance/feed_writer.py, run on memory and
    Redis. Every method raises Unavailable."""

    async def ready(self) -> None:
        """Nothing, where the feed can be written to now."""

    async def show(self, cluster: str, shard: int, flushes: Sequence[Flush]) -> int:
        """Append the flushes of another cluster's shard, in this order, bodies over 16 KiB cut. Those it was given before, within 15
        minutes, are not shown twice. How many are new."""


# ---- the store ----------------------------------------------------------------------------------------------------------------


class Known(Protocol):
    """What doors and relays ask of what was logged before: the store's, here or at the hub. Every method raises Unavailable.

    Conformance: tests/conformance/known.py.
    """

    async def delivered(self, backbone: str, wanted: Sequence[tuple[bytes, bytes]]) -> set[tuple[bytes, bytes]]:
        """Which of these messages (id, digest) the backbone is recorded to have taken.

        Delivery records know ids only: one counts where the id has a single accepted message, and that has the digest. An empty
        digest is one that the caller doesn't know. What is not here may have been taken nevertheless.
        """

    async def bodies(self, wanted: Sequence[tuple[bytes, int | None]]) -> dict[tuple[bytes, int | None], Message]:
        """The accepted messages (id, logged_at of their flush), for redelivery after their flush is gone, by what was asked for.

        An id may have several: a conflict is a message too. One that was logged again later has the row of its first copy, so the one
        logged last until then is meant. None for logged_at: the newest that is no conflict.
        """


class MessageStore(Known, Protocol):
    """TimescaleDB or plain PostgreSQL. Conformance: tests/conformance/message_store.py, run on memory and PostgreSQL."""

    async def write(self, shard: int, flushes: Sequence[Flush], cluster: str | None = None) -> None:
        """Write every new record in one transaction; what is there already is not written twice. `cluster` is the one whose log they are
        of, this process's own unless given. Raises Unavailable, or NotProcessable when the store refuses a record (the caller bisects)."""

    async def quarantine(self, shard: int, flush: int, index: int, packed: bytes, reason: str, cluster: str | None = None) -> None:
        """Put a record the store refuses aside, with its bytes."""

    async def history(self, org: str, id: bytes) -> History | None:
        """All rows of one message id within the org; None when there is none."""

    async def search(self, wanted: Search) -> list[StoredMessage]:
        """Newest first, at most `limit`."""

    async def scan(self, wanted: Search, after: tuple[int, bytes] | None) -> list[StoredMessage]:
        """Oldest first, at most `limit`, from behind (received_at, record id) on, without deliveries. Of `wanted` only org, topic, subject,
        since, until, limit and readable count."""

    async def expire(self, retention: Retention, now: int, limit: int) -> int:
        """Remove what is kept no longer at `now` (microseconds since 1970): whole days, and about `limit` messages with what was written
        of them. How much went: 0 when all is done, or while another process is at it. Raises Unavailable."""


# ---- config -------------------------------------------------------------------------------------------------------------------


class ConfigDocuments(Protocol):
    """Config documents and their history. The part of ConfigStore that most of config-crud needs. Every method raises Unavailable."""

    async def current(self) -> int:
        """The config revision in force."""

    async def document(self, org: str, path: str) -> Document | None: ...

    async def documents(self, org: str, revision: int | None = None) -> dict[str, Document]:
        """The org's documents by path: those in force, or those that were at a revision."""

    async def write_documents(self, org: str, wanted: Write, author: str, reason: str = "") -> int:
        """Change documents, all or none; the new revision. Raises Stale unless they are as the write expects them, NotProcessable where
        the org would have too many, or was deleted."""

    async def revisions(self, org: str | None, limit: int, before: int | None = None, path: str | None = None) -> list[Revision]:
        """Revisions that touched the org or everybody (None: any), newest first; `before` and `path` narrow them. Fewer than `limit`,
        but one at least where there are any, when what they changed is large."""

    async def revision(self, org: str | None, number: int) -> Revision | None: ...


class ConfigSource(Protocol):
    """Where snapshots come from: the store itself, or the hub. Conformance: tests/conformance/config_source.py."""

    async def snapshot(self, revision: int | None = None) -> Snapshot:
        """The config state in force, or that of a revision. Raises Unavailable; NotFound for a revision to come, and for one whose state
        ended over a day ago."""

    def changes(self) -> AsyncIterator[Snapshot]:
        """The snapshot in force, then each new one within a second of its change; never ends, and waits out an unreachable store."""


class ConfigStore(ConfigDocuments, ConfigSource, Protocol):
    """Where config is kept. Conformance: tests/conformance/config_store.py.

    Writers may say the principal's revision that they saw as `expected`, 0 for none: Stale is raised where it is another now.
    """

    async def put_principal(self, principal: Principal, author: str, reason: str = "", expected: int | None = None) -> int:
        """Create or replace a principal; the new config revision. Raises LastAdmin where no system admin with a key would be left, and
        there was one; NotProcessable in an org that was deleted."""

    async def principal(self, org: str, name: str) -> Principal | None: ...

    async def principal_version(self, org: str, name: str) -> tuple[Principal, int] | None:
        """The principal, and the revision that last changed it."""

    async def principals(self, org: str) -> list[Principal]:
        """All principals of an org, by name."""

    async def delete_principal(self, org: str, name: str, author: str, reason: str = "", expected: int | None = None) -> bool:
        """Remove a principal and its keys. Whether there was one. Raises LastAdmin."""

    async def create_key(self, org: str, name: str, author: str, expected: int | None = None) -> tuple[str, str]:
        """A new API key of a principal: (key id, the key itself, which is stored only as SHA-256)."""

    async def keys(self, org: str, name: str | None = None) -> list[dict[str, str]]:
        """Ids, principals and creation times; never a key."""

    async def delete_key(self, org: str, name: str, key_id: str, author: str) -> bool:
        """Whether there was such a key. Raises LastAdmin."""

    async def issuers(self) -> dict[str, tuple[Issuer, int]]:
        """The issuers of tokens by name, in order; each with the revision that last changed it."""

    async def put_issuer(self, issuer: Issuer, org: str, author: str, reason: str = "", expected: int | None = None) -> int:
        """Create or replace an issuer; the new config revision, which is in the history of `org`: its author's. Raises NotProcessable
        where a token could be of two issuers."""

    async def delete_issuer(self, name: str, org: str, author: str, reason: str = "", expected: int | None = None) -> bool:
        """Whether there was one."""

    async def orgs(self, org: str | None = None) -> list[OrgState]:
        """All orgs by name, those that were deleted too; or the one."""

    async def create_org(self, admin: Principal, author: str, reason: str = "", *, restore: bool = False) -> NewOrg:
        """Make `admin.org` with its first admin and a key. Raises Stale where there is one; with `restore`, not for a deleted one."""

    async def delete_org(self, org: str, author: str, reason: str = "") -> bool:
        """Remove an org's principals, keys and documents, and note that it is gone. Whether there was one. Raises LastAdmin."""


# ---- the registry ---------------------------------------------------------------------------------------------------------------


class Registry(Protocol):
    """Where clusters and backbones are declared. Conformance: tests/conformance/registry.py, run on memory and PostgreSQL.

    Changes take config revisions, and snapshots have them. Every method raises Unavailable.
    """

    async def registered(self, orgs: Collection[str] | None = None, path: str | None = None) -> dict[Place, Kept]:
        """What these orgs have declared (None: all; `""` is shared), by org and path, in that order; or what is at one path."""

    async def write(self, change: Change, author: str, reason: str = "") -> Written:
        """Do what shared.domain.registry.deciding.decide() makes of the change, and note it in its history. What changes nothing makes
        no revision. Raises Stale; NotProcessable where it doesn't hold, and for a new one of an org that was deleted."""

    async def report(self, org: str, path: str, status: Status, happened: Sequence[Event] = ()) -> bool:
        """Keep how something was found to be, and add to its history (numbers and times are the store's). No revision. False, and nothing
        is kept, where it isn't declared any more."""

    async def events(self, org: str, path: str, limit: int, before: int | None = None) -> list[Event]:
        """What happened to something, newest first; the last 1,000 are kept, when it is gone too. `before`: numbers below."""
