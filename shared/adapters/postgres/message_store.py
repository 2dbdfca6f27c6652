"""The store of messages: written by loggers, read by query and relays. The way in is writer.py."""

from collections.abc import Sequence
from typing import Any

from shared.adapters.postgres.connections import Connection, Connections
from shared.adapters.postgres.patterns import is_exact, readable, topic_regex
from shared.adapters.postgres.retention import expire
from shared.adapters.postgres.statements import statement
from shared.adapters.postgres.stored import deliveries_by_id, stored_message, with_deliveries
from shared.adapters.postgres.times import moment, uuids
from shared.adapters.postgres.writer import ShardWriter
from shared.domain.message import Message, message_id
from shared.domain.record import DeadLetter, Flush
from shared.domain.repairing import Recorded
from shared.domain.retention import Retention
from shared.domain.stored import FirstCopy, History, Search, StoredDelivery, StoredMessage, first_copy

SEARCH = statement("search", columns="message_columns", rows="all_messages", key="key_of_message")
SEARCH_IDS = statement("search", columns="message_columns", rows="messages_of_ids", key="key_of_message")
HISTORY = statement("history", columns="message_columns", rows="messages_of_ids", key="key_of_message")
BODIES, SCAN = statement("bodies", columns="message_columns"), statement("scan", columns="message_columns")
COUNT_ATTEMPTS, DELIVERIES_OF, DEAD_LETTERS_OF = statement("count_attempts"), statement("deliveries_of"), statement("dead_letters_of")
DELIVERED, RECORDED = statement("delivered"), statement("recorded")
INSERT_QUARANTINE, SESSION = statement("insert_quarantine"), statement("reader_session")

ROWS_OF_AN_ID = 200  # what history() gives at most; attempts beyond are counted
SLACK = 600_000_000  # microseconds by which a delivery's clock may be behind the door's


class PostgresMessageStore:
    """MessageStore on PostgreSQL, with TimescaleDB or without. One writing connection a shard; reads share `readers` connections.

    `cluster` is whose log the flushes are of; `deadline` the seconds one batch may take.
    """

    def __init__(self, database_url: str, cluster: str = "local", readers: int = 8, deadline: float = 60.0) -> None:
        self._database_url = database_url
        self.cluster = cluster
        self._deadline = deadline
        self._writers: dict[tuple[str, int], ShardWriter] = {}
        self._reads = Connections(database_url, SESSION, "switchboard-store", readers)

    async def write(self, shard: int, flushes: Sequence[Flush], cluster: str | None = None) -> None:
        """One transaction for all of it. Raises Unavailable (write the same again), NotProcessable (nothing was written: bisect)."""
        whose = cluster or self.cluster
        writer = self._writers.get((whose, shard))
        if writer is None:
            writer = self._writers[whose, shard] = ShardWriter(self._database_url, whose, shard, self._deadline)
        await writer.write(flushes)

    async def quarantine(self, shard: int, flush: int, index: int, packed: bytes, reason: str, cluster: str | None = None) -> None:
        values = {"cluster": cluster or self.cluster, "shard": shard, "flush": flush, "place": index, "packed": packed}
        printable = reason.encode(errors="replace").decode().replace("\0", "")
        await self._fetch(INSERT_QUARANTINE, values | {"reason": printable}, answers=False)

    async def history(self, org: str, id: bytes) -> History | None:
        values = {"org": org, "ids": uuids([id]), "limit": ROWS_OF_AN_ID}
        rows = [stored_message(row) for row in await self._fetch(HISTORY, values)]
        if not rows:
            return None
        [[attempts]] = await self._fetch(COUNT_ATTEMPTS, values)
        dead = [
            DeadLetter(whose, uuid.bytes, backbone, reason, tries, time)
            for whose, uuid, backbone, reason, tries, time in await self._fetch(DEAD_LETTERS_OF, values)
        ]
        deliveries = await self._deliveries(org, rows)
        return History(tuple(with_deliveries(row, deliveries) for row in rows), attempts, tuple(dead))

    async def accepted(self, org: str, wanted: Sequence[tuple[bytes, bytes]]) -> dict[tuple[bytes, bytes], FirstCopy]:
        """See FirstCopies.accepted."""
        found = {(id, digest): first_copy(await self.history(org, id), digest) for id, digest in wanted}
        return {each: copy for each, copy in found.items() if copy is not None}

    async def search(self, wanted: Search) -> list[StoredMessage]:
        values = _conditions(wanted)
        if wanted.source is not None and wanted.event_id is not None:  # together they are an identity
            values["ids"] = uuids([message_id(wanted.org, wanted.source, wanted.event_id)])
            found = await self._fetch(SEARCH_IDS, values)
        else:
            found = await self._fetch(SEARCH, values)
        rows = [stored_message(row) for row in found]
        deliveries = await self._deliveries(wanted.org, rows)
        return [with_deliveries(row, deliveries) for row in rows]

    async def scan(self, wanted: Search, after: tuple[int, bytes] | None) -> list[StoredMessage]:
        """See MessageStore.scan."""
        time, record = after or (None, None)
        more = {"after": None if time is None else moment(time), "after_record": None if record is None else record.hex()}
        return [stored_message(row) for row in await self._fetch(SCAN, _conditions(wanted) | more)]

    async def delivered(self, backbone: str, wanted: Sequence[tuple[bytes, bytes]]) -> set[tuple[bytes, bytes]]:
        values = {"backbone": backbone, "ids": uuids([id for id, _ in wanted]), "digests": [digest for _, digest in wanted]}
        return {wanted[place - 1] for (place,) in await self._fetch(DELIVERED, values)}

    async def bodies(self, wanted: Sequence[tuple[bytes, int | None]]) -> dict[tuple[bytes, int | None], Message]:
        logged = [None if logged_at is None else moment(logged_at) for _, logged_at in wanted]
        rows = await self._fetch(BODIES, {"ids": uuids([id for id, _ in wanted]), "logged": logged})
        return {wanted[place - 1]: stored_message(row).message for place, *row in rows}

    async def recorded(
        self, backbone: str, org: str, since: int, after: Recorded | None, limit: int, *, every: bool = False
    ) -> list[Recorded]:
        """See Known.recorded."""
        start = (since - 1, 0) if after is None else (after.time, after.sequence)
        values = {"backbone": backbone, "org": org, "since": moment(max(since, start[0])), "limit": limit, "every": every}
        rows = await self._fetch(RECORDED, values | {"after_time": moment(start[0]), "after_sequence": start[1]})
        return [Recorded(uuid.bytes, created, sequence, time) for uuid, created, sequence, time in rows]

    async def expire(self, retention: Retention, now: int, limit: int) -> int:
        """See MessageStore.expire."""
        return await self._reads.run(lambda connection: expire(connection, retention, now, limit))

    async def ready(self) -> bool:
        """Whether the store answers and has its tables. Raises Unavailable when it doesn't answer."""
        [[found]] = await self._fetch(b"SELECT to_regclass('messages') IS NOT NULL", {})
        return bool(found)

    async def start(self) -> None:
        """Nothing: connections are made when they are needed, and a store that is down now may be up then."""

    async def stop(self) -> None:
        """Let go of all connections."""
        for writer in self._writers.values():
            await writer.close()
        await self._reads.close()

    async def _deliveries(self, org: str, rows: Sequence[StoredMessage]) -> dict[bytes, tuple[StoredDelivery, ...]]:
        accepted = [row.message for row in rows if row.verdict == "accepted"]
        if not accepted:
            return {}
        since = moment(min(message.received_at for message in accepted) - SLACK)
        ids = {message.id for message in accepted}
        return deliveries_by_id(await self._fetch(DELIVERIES_OF, {"org": org, "ids": uuids(ids), "since": since}))

    async def _fetch(self, query: bytes, values: dict[str, Any], answers: bool = True) -> list[tuple[Any, ...]]:
        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            cursor = await connection.execute(query, values, binary=True)
            return await cursor.fetchall() if answers else []

        return await self._reads.run(work)


def _conditions(wanted: Search) -> dict[str, Any]:
    """The parameters of search.sql."""
    exact = wanted.topic is not None and is_exact(wanted.topic)
    wild = wanted.topic is not None and not exact and wanted.topic != ">"
    before, before_record = wanted.before or (None, None)
    return {
        "org": wanted.org,
        "topic": wanted.topic if exact else None,
        "topics": topic_regex([wanted.topic]) if wild and wanted.topic else None,
        "subject": wanted.subject,
        "source": wanted.source,
        "event_id": wanted.event_id,
        "type": wanted.type,
        "verdict": wanted.verdict,
        "since": None if wanted.since is None else moment(wanted.since),
        "until": None if wanted.until is None else moment(wanted.until),
        "before": None if before is None else moment(before),
        "before_record": None if before_record is None else before_record.hex(),
        "readable": readable(wanted.readable),
        "limit": wanted.limit,
    }
