"""The store of messages in memory: the twin of shared/adapters/postgres, for unit tests."""

from collections.abc import Iterator, Sequence

import msgspec

from shared.domain.errors import NotProcessable
from shared.domain.message import Message
from shared.domain.names import matches
from shared.domain.principal import Grant, Principal
from shared.domain.record import Accepted, Attempt, Audit, DeadLetter, Deliveries, Flush, Record, RefusalCount
from shared.domain.repairing import Recorded
from shared.domain.retention import Retention
from shared.domain.stored import FirstCopy, History, Search, StoredDelivery, StoredMessage, first_copy

DAY = 86_400_000_000  # microseconds


class MemoryMessageStore:
    """MessageStore that forgets everything with its process."""

    def __init__(self) -> None:
        self.rows: list[StoredMessage] = []  # in the order they were written
        self.deliveries: list[Deliveries] = []
        self.dead_letters: list[DeadLetter] = []
        self.refusal_counts: list[RefusalCount] = []
        self.audits: list[Audit] = []
        self.quarantined: list[tuple[int, int, int, bytes, str]] = []
        self._flushes: set[tuple[str | None, int, int, int, bytes]] = set()

    async def write(self, shard: int, flushes: Sequence[Flush], cluster: str | None = None) -> None:
        for flush in flushes:
            for _, record in flush.new():
                _refuse_unwritable(record)
        for flush in flushes:
            identity = cluster, shard, flush.number, flush.logged_at, flush.mask
            if identity in self._flushes:
                continue
            self._flushes.add(identity)
            for _, record in flush.new():
                self._keep(record, flush.logged_at)

    async def quarantine(self, shard: int, flush: int, index: int, packed: bytes, reason: str, cluster: str | None = None) -> None:
        entry = shard, flush, index, packed, reason
        if entry not in self.quarantined:
            self.quarantined.append(entry)

    async def history(self, org: str, id: bytes) -> History | None:
        rows = [row for row in self.rows if row.message.org == org and row.message.id == id]
        if not rows:
            return None
        attempts = sum(row.verdict == "blocked" for row in rows)
        dead = tuple(dead for dead in self.dead_letters if dead.org == org and dead.id == id)
        return History(tuple(map(self._with_deliveries, sorted(rows, key=_newest, reverse=True))), attempts, dead)

    async def accepted(self, org: str, wanted: Sequence[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], FirstCopy]:
        """See FirstCopies.accepted."""
        found = {(id, digest): first_copy(await self.history(org, id), digest) for id, digest in wanted}
        return {each: copy for each, copy in found.items() if copy is not None}

    async def search(self, wanted: Search) -> list[StoredMessage]:
        found = sorted((row for row in self.rows if _is_wanted(row, wanted)), key=_newest, reverse=True)
        return [self._with_deliveries(row) for row in found[: wanted.limit]]

    async def scan(self, wanted: Search, after: tuple[int, bytes] | None) -> list[StoredMessage]:
        """See MessageStore.scan."""
        rows = sorted((row for row in self.rows if _is_wanted(row, wanted)), key=_newest)
        return [row for row in rows if after is None or _newest(row) > after][: wanted.limit]

    async def delivered(self, backbone: str, wanted: Sequence[tuple[bytes, bytes]]) -> set[tuple[bytes, bytes]]:
        taken = {each for group in self.deliveries if group.backbone == backbone and group.error is None for each in _ids(group)}
        digests = {id: [row.message.digest for row in self._accepted(id)] for id, _ in wanted}
        return {(id, digest) for id, digest in wanted if id in taken and len(digests[id]) == 1 and digest in (b"", *digests[id])}

    async def recorded(
        self, backbone: str, org: str, since: int, after: Recorded | None, limit: int, *, every: bool = False
    ) -> list[Recorded]:
        """See Known.recorded."""
        groups = [group for group in self.deliveries if group.backbone == backbone and group.org == org and group.error is None]
        taken = [
            Recorded(id, group.created, sequence, group.time)
            for group in groups
            for id, sequence in zip(_ids(group), group.sequences, strict=True)
        ]
        last = {each.id: max((other for other in taken if other.id == each.id), key=_when) for each in taken}
        doubtful = {row.message.id for row in self.rows if row.conflict}
        found = sorted((each for each in taken if every or each is last[each.id] or each.id in doubtful), key=_when)
        return [each for each in found if each.time >= since and (after is None or _when(each) > _when(after))][:limit]

    async def bodies(self, wanted: Sequence[tuple[bytes, int | None]]) -> dict[tuple[bytes, int | None], Message]:
        found: dict[tuple[bytes, int | None], Message] = {}
        for id, logged_at in wanted:
            rows = [row for row in self._accepted(id) if logged_at is not None or not row.conflict]
            if rows:
                before = [row for row in rows if logged_at is not None and row.logged_at <= logged_at]
                found[id, logged_at] = max(before or rows, key=lambda row: row.logged_at).message
        return found

    async def expire(self, retention: Retention, now: int, limit: int) -> int:
        """See MessageStore.expire."""
        old = [row for row in self.rows if row.message.received_at < now - retention.of(row.message.org) * 1_000_000][:limit]
        letters = [letter for letter in self.dead_letters if letter.time < now - retention.of(letter.org) * 1_000_000]
        self.rows = [row for row in self.rows if row not in old]
        self.dead_letters = [letter for letter in self.dead_letters if letter not in letters]
        return len(old) + len(letters)

    def _accepted(self, id: bytes) -> list[StoredMessage]:
        return [row for row in self.rows if row.verdict == "accepted" and row.message.id == id]

    def _keep(self, record: Record, logged_at: int) -> None:
        match record:
            case Accepted():
                self._keep_accepted(record, logged_at)
            case Attempt(record_id, message, cut, status, rule, detail, shadows):
                row = StoredMessage(record_id, message, "blocked", rule, detail, status, logged_at, (), cut=cut, shadows=shadows)
                self.rows.append(row)
            case Deliveries():
                self.deliveries.append(record)
            case DeadLetter():
                self.dead_letters.append(record)
            case RefusalCount():
                self.refusal_counts.append(record)
            case Audit():
                self.audits.append(record)

    def _keep_accepted(self, record: Accepted, logged_at: int) -> None:
        message = record.message
        day = message.received_at // DAY
        near = [place for place, row in enumerate(self.rows) if _is_near(row, message.id, day)]
        owner = next((place for place in near if not self.rows[place].conflict), None)
        if any(self.rows[place].message.digest == message.digest for place in near):
            place = near[0] if owner is None else owner
            self.rows[place] = msgspec.structs.replace(self.rows[place], redelivered=self.rows[place].redelivered + 1)
            return
        if record.undeliverable is not None:
            self.dead_letters.append(DeadLetter(message.org, message.id, "", record.undeliverable, 0, logged_at))
        row = StoredMessage(message.id, message, "accepted", None, None, 202, logged_at, record.targets, shadows=record.shadows)
        self.rows.append(msgspec.structs.replace(row, conflict=owner is not None, undeliverable=record.undeliverable))

    def _with_deliveries(self, row: StoredMessage) -> StoredMessage:
        if row.verdict != "accepted":
            return row
        found = [
            StoredDelivery(
                group.backbone,
                group.stream,
                None if group.error else group.sequences[place],
                group.error,
                group.time,
                group.attempt,
                group.by,
            )
            for group in self.deliveries
            if group.org == row.message.org
            for place, each in enumerate(_ids(group))
            if each == row.message.id
        ]
        return msgspec.structs.replace(row, deliveries=tuple(sorted(found, key=lambda delivery: (delivery.time, delivery.attempt))))


def _ids(group: Deliveries) -> Iterator[bytes]:
    return (group.ids[start : start + 16] for start in range(0, len(group.ids), 16))


def _newest(row: StoredMessage) -> tuple[int, bytes]:
    return row.message.received_at, row.record_id


def _is_near(row: StoredMessage, id: bytes, day: int) -> bool:
    """Whether a row is of this identity and within its log window."""
    return row.verdict == "accepted" and row.message.id == id and abs(row.message.received_at // DAY - day) <= 1


def _is_wanted(row: StoredMessage, wanted: Search) -> bool:
    message = row.message
    exact = ("subject", message.subject), ("source", message.source), ("event_id", message.event_id), ("type", message.type)
    return (
        message.org == wanted.org
        and all(getattr(wanted, name) in (None, value) for name, value in (*exact, ("verdict", row.verdict)))
        and (wanted.topic is None or matches(wanted.topic, message.topic))
        and (wanted.since is None or message.received_at >= wanted.since)
        and (wanted.until is None or message.received_at < wanted.until)
        and (wanted.before is None or _newest(row) < wanted.before)
        and _may_read(wanted.readable, message)
    )


def _may_read(grants: tuple[Grant, ...], message: Message) -> bool:
    return Principal("", message.org, grants).may_touch("read", message.topic, message.subject)


def _refuse_unwritable(record: Record) -> None:
    """Refuse the text that PostgreSQL refuses: NUL, and half a surrogate pair."""
    if isinstance(record, Accepted | Attempt):
        message = record.message
        for text in (message.topic, message.subject, message.source, message.event_id, message.type, message.time):
            if text is not None and ("\0" in text or any("\ud800" <= character <= "\udfff" for character in text)):
                raise NotProcessable("the store refuses a record: text that can't be stored")


def _when(recorded: Recorded) -> tuple[int, int]:
    return recorded.time, recorded.sequence
