"""The message store's suite in memory, and on PostgreSQL with and without TimescaleDB."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from shared.adapters.memory.message_store import MemoryMessageStore
from shared.adapters.postgres import PostgresMessageStore, writer
from shared.adapters.postgres.batch import Batch
from shared.adapters.postgres.connections import Connection
from shared.adapters.postgres.known_batch import insert_known
from shared.adapters.postgres.migrations import migrate
from shared.adapters.postgres.new_batch import NewBatch, insert_new
from shared.domain.errors import Unavailable
from shared.domain.record import Flush
from shared.domain.retention import Retention
from tests.conformance.message_store import DAY, MINUTE, ReadingConformance, WritingConformance, found, rows_of
from tests.missing import missing
from tests.servers import Databases, add_timescaledb
from tests.stored import NOON, accepted, attempt, flush, taken
from tests.waiting import eventually


class TestMemory(WritingConformance, ReadingConformance):
    @pytest.fixture
    def store(self) -> MemoryMessageStore:
        return MemoryMessageStore()


@pytest.fixture(scope="module", params=["timescaledb", "plain"])
def shared_database(databases: Databases, request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database for all tests of this file: each has an org and a cluster of its own."""
    with databases.temporary() as url:
        if request.param == "timescaledb" and not add_timescaledb(url):
            missing("no TimescaleDB on this machine: it comes from Debian's packages")
        migrate(url)
        yield url


class TestPostgres(WritingConformance, ReadingConformance):
    @pytest.fixture
    async def store(self, shared_database: str) -> AsyncIterator[PostgresMessageStore]:
        store = PostgresMessageStore(shared_database, cluster=secrets.token_hex(4))
        await store.start()
        yield store
        await store.stop()

    @pytest.fixture
    async def other(self, store: PostgresMessageStore, shared_database: str) -> AsyncIterator[PostgresMessageStore]:
        """Another process of the same cluster."""
        other = PostgresMessageStore(shared_database, cluster=store.cluster)
        yield other
        await other.stop()

    async def test_each_message_is_there_once_when_two_processes_write_one_shard_at_once(
        self, store: PostgresMessageStore, other: PostgresMessageStore, org: str
    ) -> None:
        batches = [flush(number, *(accepted(str(place), org) for place in range(50))) for number in range(1, 9)]
        await asyncio.gather(*(writer.write(0, [batch]) for batch in batches for writer in (store, other)))
        assert len(await found(store, org)) == 50
        (row,) = await rows_of(store, org)
        assert row.redelivered == 7

    async def test_each_message_is_there_once_when_two_clusters_write_it_at_once(
        self, store: PostgresMessageStore, shared_database: str, org: str
    ) -> None:
        elsewhere = PostgresMessageStore(shared_database, cluster="elsewhere-" + secrets.token_hex(4))
        batches = [flush(number, *(accepted(str(place), org) for place in range(50))) for number in range(1, 6)]
        await asyncio.gather(*(writer.write(0, [batch]) for batch in batches for writer in (store, elsewhere)))
        await elsewhere.stop()
        assert len(await found(store, org)) == 50
        (row,) = await rows_of(store, org)
        assert row.redelivered == 9

    async def test_nothing_is_there_twice_when_the_backend_is_ended_at_any_moment_of_a_batch(
        self, store: PostgresMessageStore, shared_database: str, org: str
    ) -> None:
        batch, outcomes = a_batch(org), set()
        with psycopg.connect(shared_database, autocommit=True) as admin:
            for turns in range(60):  # of the event loop, until the writer's backend is ended
                write = asyncio.ensure_future(store.write(0, batch))
                for _ in range(turns):
                    await asyncio.sleep(0)
                admin.execute(END_WRITERS)
                await asyncio.wait([write])
                outcomes.add(type(write.exception()))
        assert Unavailable in outcomes
        assert outcomes <= {Unavailable, type(None)}
        await eventually(lambda: written(store, batch))
        await is_there_once(store, org)

    async def test_nothing_is_there_twice_when_the_answer_to_commit_is_lost(
        self, store: PostgresMessageStore, shared_database: str, org: str
    ) -> None:
        batch = a_batch(org)
        async with losing_commits(shared_database) as url:
            cut_off = PostgresMessageStore(url, cluster=store.cluster)
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await cut_off.write(0, batch)
            await cut_off.stop()
        await is_there_once(store, org)  # it was committed, and nobody was told
        await store.write(0, batch)
        await is_there_once(store, org)

    async def test_batch_is_there_once_when_its_writer_was_cancelled_and_it_is_written_again(
        self, store: PostgresMessageStore, org: str
    ) -> None:
        batch = [flush(1, *(accepted(str(place), org) for place in range(200)))]
        for turns in range(0, 60, 3):
            write = asyncio.ensure_future(store.write(0, batch))
            for _ in range(turns):
                await asyncio.sleep(0)
            write.cancel()
            await asyncio.wait([write])
        await store.write(0, batch)
        assert len(await found(store, org, limit=1000)) == 200

    async def test_row_is_written_when_its_day_has_no_partition(self, store: PostgresMessageStore, org: str) -> None:
        far = NOON + 400 * DAY
        await store.write(0, [flush(1, accepted(org=org, received_at=far), taken(accepted(org=org).message, time=far + 9 * DAY))])
        (row,) = await rows_of(store, org)
        assert [each.time for each in row.deliveries] == [far + 9 * DAY]

    async def test_rows_are_written_when_a_day_without_partition_turns_up_behind_what_was_sent(
        self, store: PostgresMessageStore, org: str
    ) -> None:
        """Rows go in pieces of 120 kB at most: the far day is behind the first."""
        await store.write(0, [flush(1, accepted("known", org))])
        far = accepted("far", org, received_at=NOON + 500 * DAY)
        await store.write(0, [flush(2, accepted("large", org, body=b"x" * 1_000_000)), flush(3, far)])
        assert sorted(await found(store, org)) == ["far", "known", "large"]

    async def test_identity_has_one_row_when_it_turns_up_again_behind_what_was_sent(self, store: PostgresMessageStore, org: str) -> None:
        large = accepted("large", org, body=b"x" * 1_000_000)
        await store.write(0, [flush(1, accepted(org=org)), flush(2, large), flush(3, accepted(org=org, received_at=NOON + MINUTE))])
        assert sorted(await found(store, org)) == ["1", "large"]
        assert [(row.message.received_at, row.redelivered) for row in await rows_of(store, org)] == [(NOON, 1)]

    async def test_only_a_batch_that_has_an_identity_twice_is_looked_up_first(
        self, store: PostgresMessageStore, org: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that the store had is a sign that more will come; two of one batch are not."""
        looked_up = []

        async def counting(connection: Connection, batch: Batch) -> None:
            looked_up.append(sorted(row.record.message.event_id for row in batch.accepted))
            await insert_known(connection, batch)

        monkeypatch.setattr(writer, "insert_known", counting)
        await store.write(0, [flush(1, accepted("1", org)), flush(2, accepted("1", org, received_at=NOON + MINUTE))])
        await store.write(0, [flush(3, accepted("2", org))])
        assert looked_up == [["1", "1"]]
        await store.write(0, [flush(4, accepted("2", org, received_at=NOON + MINUTE))])
        await store.write(0, [flush(5, accepted("3", org))])
        assert looked_up[1:] == [["2"], ["3"]]
        assert sorted(await found(store, org)) == ["1", "2", "3"]

    async def test_batches_are_sent_once_when_each_of_a_backlog_has_an_identity_twice(
        self, store: PostgresMessageStore, org: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """But for the first: nobody looks for that where it hardly ever is."""
        sent = []

        async def counting(connection: Connection, batch: NewBatch) -> None:
            sent.append("new")
            await insert_new(connection, batch)

        async def counting_known(connection: Connection, batch: Batch) -> None:
            sent.append("known")
            await insert_known(connection, batch)

        await store.write(0, [flush(1, accepted("0", org))])  # its day has its partitions then
        monkeypatch.setattr(writer, "CAREFUL", 3_600.0)  # a busy disk may take seconds for a batch
        monkeypatch.setattr(writer, "insert_new", counting)
        monkeypatch.setattr(writer, "insert_known", counting_known)
        for number in (2, 4, 6):
            again = accepted(f"{number}", org, received_at=NOON + MINUTE)
            await store.write(0, [flush(number, accepted(f"{number}", org), accepted(f"{number}-b", org)), flush(number + 1, again)])
        await store.write(0, [flush(8, accepted("8", org))])
        assert sent == ["new", "known", "known", "known", "new"]
        assert [row.redelivered for number in "246" for row in await rows_of(store, org, number)] == [1, 1, 1]

    async def test_reads_go_on_when_idle_connections_were_ended(self, store: PostgresMessageStore, shared_database: str, org: str) -> None:
        await store.write(0, [flush(1, accepted(org=org))])
        await asyncio.gather(*(found(store, org) for _ in range(5)))
        with psycopg.connect(shared_database, autocommit=True) as admin:
            admin.execute(END_ALL)
        assert await found(store, org) == ["1"]

    async def test_store_is_ready_when_it_was_migrated(self, store: PostgresMessageStore) -> None:
        assert await store.ready()


async def test_store_is_unavailable_when_nothing_listens() -> None:
    store = PostgresMessageStore("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable):
        await store.write(0, [flush(1, accepted())])
    with pytest.raises(Unavailable):
        await store.history("acme", bytes(16))
    with pytest.raises(Unavailable):
        await store.ready()
    await store.stop()


END_WRITERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE 'switchboard-logger%'"
)
END_ALL = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def a_batch(org: str) -> list[Flush]:
    """200 messages with a delivery each, and 20 attempts."""
    sent = [accepted(str(place), org) for place in range(200)]
    return [flush(1, *sent, *(attempt(f"a{place}", org) for place in range(20))), flush(2, *(taken(each.message) for each in sent))]


async def written(store: PostgresMessageStore, batch: list[Flush]) -> bool:
    """Whether the store took it: the connection may have been ended while it was idle, which shows at the next batch."""
    try:
        await store.write(0, batch)
    except Unavailable:
        return False
    return True


async def is_there_once(store: PostgresMessageStore, org: str) -> None:
    """The batch of a_batch() is there, and nothing of it twice."""
    assert len(await found(store, org, limit=1000)) == 220
    (row,) = await rows_of(store, org)
    assert (row.redelivered, len(row.deliveries)) == (0, 1)


@asynccontextmanager
async def losing_commits(database_url: str) -> AsyncIterator[str]:
    """The URL of a way to the database on which a COMMIT arrives and its answer doesn't: the connection is gone instead."""
    server = urlsplit(database_url)
    tasks: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, committing: asyncio.Event, asks: bool) -> None:
        try:
            while piece := await reader.read(1 << 16):
                if asks and b"COMMIT" in piece:
                    committing.set()
                if not asks and committing.is_set():
                    break
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass  # the other side is gone, which ends this one too
        finally:
            writer.close()

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        database_reader, database_writer = await asyncio.open_connection(server.hostname, server.port)
        committing = asyncio.Event()
        for carrying in (carry(reader, database_writer, committing, True), carry(database_reader, writer, committing, False)):
            task = asyncio.create_task(carrying)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(joined, "127.0.0.1", 0)
    user, _, _ = server.netloc.rpartition("@")
    try:
        yield urlunsplit(server._replace(netloc=f"{user}@127.0.0.1:{listening.sockets[0].getsockname()[1]}", query="sslmode=disable"))
    finally:
        listening.close()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("kind", ["timescaledb", "plain"])
async def test_days_go_whole_when_nobody_keeps_them(databases: Databases, kind: str) -> None:
    """A day past the longest retention is dropped as a chunk or partition; keys stay three days at least."""
    with databases.temporary() as url:
        if kind == "timescaledb" and not add_timescaledb(url):
            missing("no TimescaleDB on this machine: it comes from Debian's packages")
        migrate(url)
        store = PostgresMessageStore(url)
        await store.write(0, [flush(1, *(accepted(str(day), "acme", received_at=NOON + day * DAY) for day in range(6)))])
        retention = Retention({"acme": 86_400}, 86_400)
        gone = 0
        while step := await store.expire(retention, NOON + 5 * DAY, 1_000):
            gone += step
        assert gone >= 4
        assert await found(store, "acme") == ["5", "4"]
        with psycopg.connect(url) as connection:
            keys = connection.execute("SELECT count(*) FROM message_keys").fetchone()
            days = connection.execute("SELECT count(*) FROM pg_class WHERE relname ~ '^message_keys_2026010[1-6]$'").fetchone()
        assert (keys, days) == ((4,), (4,))
        await store.stop()
