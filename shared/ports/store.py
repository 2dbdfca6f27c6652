"""The message store, and what is asked of it from elsewhere."""

from collections.abc import Sequence
from typing import Protocol

from shared.domain.message import Message
from shared.domain.record import Flush
from shared.domain.repairing import Recorded
from shared.domain.retention import Retention
from shared.domain.stored import FirstCopy, History, Search, StoredMessage


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

    async def recorded(
        self, backbone: str, org: str, since: int, after: Recorded | None, limit: int, *, every: bool = False
    ) -> list[Recorded]:
        """What the backbone is recorded to have taken of the org's since that time, the oldest first, from behind `after` on.

        Of a message that was delivered again only the last time counts, unless `every` time is asked for; of one that is in conflict with
        another each does, for the records don't tell them apart.
        """


class FirstCopies(Protocol):
    """What a source asks about messages that come to it again: the store's, here or at the hub. Conformance: with Known."""

    async def accepted(self, org: str, wanted: Sequence[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], FirstCopy]:
        """What is recorded of those of these messages (id, digest) of the org that were accepted, whichever backbones they went to.
        Raises Unavailable."""


class MessageStore(Known, FirstCopies, Protocol):
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
